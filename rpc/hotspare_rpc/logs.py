"""Logs for operators and machines: one line an event, as `TIME LEVEL event key=value ...`.

    2026-03-01T02:03:04.567Z WARNING working_changed arc_id=north epoch=7 from=a1 to=b2 detail="stream ended"

Times are UTC. A value with anything but plain characters stands in quotes, with everything unprintable
escaped, so that no value can forge a line. No secret is ever written (S1): the dataclasses that hold one hide
it, and fields named like one are blanked here as well.
"""

import logging
import re
import sys
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO, TypeAlias

from hotspare_rpc.text import printable

VALUE_LIMIT = 1024
TRACEBACK_LIMIT = 16_384
HIDDEN = "(hidden)"

_FIELDS = "hotspare_fields"
_PLAIN = re.compile(r"[^\s\"'=\\]+")
_SECRET_NAME = re.compile(r"(?:.*_)?(?:key|secret|token|password|authorization)")

_ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None] | None


def setup_logging(stream: TextIO = sys.stderr, level: int = logging.INFO) -> None:
    """Write the logs of this process to `stream`, and only there."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)


def log_event(
    logger: logging.Logger, level: int, event: str, *, error: BaseException | None = None, **fields: object
) -> None:
    """Log one event. `event` is a fixed name in snake_case; what changes goes into `fields`.

    Args:
        error: its type, text and traceback are added.
    """
    if logger.isEnabledFor(level):
        logger.log(level, event, extra={_FIELDS: fields}, exc_info=error, stacklevel=2)


class LineFormatter(logging.Formatter):
    """Formats records as lines; those that did not come by `log_event` as the event `log` with a message."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields: dict[str, Any] | None = getattr(record, _FIELDS, None)
        if fields is None:
            event = "log"
            fields = {"logger": record.name, "message": _message(record)}
        else:
            event = str(record.msg)
        words = [time.replace("+00:00", "Z"), record.levelname, printable(event, VALUE_LIMIT)]
        words += [f"{printable(name, VALUE_LIMIT)}={_value(name, value)}" for name, value in fields.items()]
        words += _exception(record.exc_info)
        return " ".join(words)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):  # a library's mistake in its own call must not cost the line
        return str(record.msg)


def _value(name: str, value: object) -> str:
    if _SECRET_NAME.fullmatch(name) and value is not None:
        return HIDDEN
    match value:
        case None:
            return "-"
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:.6g}"
        case datetime():
            return value.isoformat()
        case bytes():
            return _quoted(value[:VALUE_LIMIT].hex(), VALUE_LIMIT)
        case _:
            return _quoted(str(value), VALUE_LIMIT)


def _quoted(text: str, limit: int) -> str:
    if _PLAIN.fullmatch(text) and text.isprintable() and len(text) <= limit // 4:
        return text
    escaped = text[: limit + 1].replace("\\", "\\\\").replace('"', '\\"')
    return f'"{printable(escaped, limit)}"'


def _exception(exc_info: _ExcInfo) -> list[str]:
    if exc_info is None or exc_info[0] is None or exc_info[1] is None:
        return []
    lines = "".join(traceback.format_exception(exc_info[1]))
    # The end of a traceback tells most.
    tail = lines[-TRACEBACK_LIMIT // 2 :]
    return [
        f"error={_quoted(exc_info[0].__name__, VALUE_LIMIT)}",
        f"problem={_quoted(str(exc_info[1]), VALUE_LIMIT)}",
        f"traceback={_quoted(tail, TRACEBACK_LIMIT)}",
    ]
