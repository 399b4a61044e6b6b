"""Points in time as they are typed on the command line: `2026-11-22T16:04:26Z`, or `2h` ago."""

from datetime import UTC, datetime

from hotspare_cli.errors import usage_error
from hotspare_rpc.spans import is_span, parse_span


def moment(text: str, option: str, now: datetime) -> datetime:
    """A point in time: of the calendar, without an offset by the local clock, or so long before `now`.

    Raises:
        CliError: it is neither.
    """
    try:
        if is_span(text):
            return now - parse_span(text)
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise usage_error(
            f"{option}: {text!r} is neither a time nor a span.",
            f"Examples: {option} 2h (so long ago), {option} 2026-11-22T16:04:26Z, {option} 2026-11-22.",
        ) from None
