"""The CSV file of event definitions: read piece by piece as it comes, and written.

One line is one definition; memory is bounded by how many definitions there can be, not by the size of the file. What
makes a file no file of events at all ends the reading (IMPORT_INVALID); a line that is wrong is noted with its reason,
so that one dry run shows all of them.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from hotspare_model.digest import RecordKind
from hotspare_model.errors import HotspareError, Reason
from hotspare_model.kinds import Field, Form, composed_id, kind_of
from hotspare_model.values import checked, problem_of, quoted

MAX_BYTES = 64 * 1024 * 1024
MAX_LINES = 200_000
MAX_LINE_BYTES = 16 * 1024
WRONG_LINES_TOLD = 1000

_KIND = kind_of(RecordKind.EVENT)
COLUMNS = tuple(column.name for column in _KIND.fields)
HEADER = ",".join(COLUMNS)

_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_BOM = b"\xef\xbb\xbf"
_BOMS_OF_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class WrongLine:
    """A line that is refused: its number, from 1 for the header; the column, or empty for the line as a whole."""

    line: int
    column: str
    problem: str


@dataclass(slots=True)
class EventFile:
    """What a file says. With any wrong line it is not to be imported."""

    definitions: dict[str, Mapping[str, object]] = field(default_factory=dict)
    """Id -> values of the fields, checked."""
    wrong_lines: list[WrongLine] = field(default_factory=list)
    """The first of them."""
    wrong_line_count: int = 0
    lines: int = 0
    """So many were read, with the header."""


class EventFileReader:
    """Takes a file in pieces: `feed` each, then `end`."""

    def __init__(self) -> None:
        self.file = EventFile()
        self._rest = b""
        self._bytes = 0
        self._order: Sequence[str] = ()
        self._seen: dict[str, int] = {}

    def feed(self, data: bytes) -> None:
        """Take the next piece.

        Raises:
            HotspareError: IMPORT_INVALID, for what is no CSV file of events.
        """
        self._bytes += len(data)
        if self._bytes > MAX_BYTES:
            raise self._invalid(f"the file is larger than {MAX_BYTES // 1024 // 1024} MiB")
        data = self._rest + data
        # A \r at the end may be half of a line's end.
        whole = data[:-1] if data.endswith(b"\r") else data
        lines = whole.splitlines(keepends=True)
        ended = not lines or lines[-1].endswith((b"\n", b"\r"))
        last = b"" if ended else lines.pop()
        self._rest = last + data[len(whole) :]
        for line in lines:
            self._line(line.rstrip(b"\r\n"))
        if len(self._rest) > MAX_LINE_BYTES + len(_BOM):
            self.file.lines += 1
            raise self._too_long()

    def end(self) -> EventFile:
        """Take the end of the file; returns what it says.

        Raises:
            HotspareError: IMPORT_INVALID.
        """
        if self._rest:
            self._line(self._rest.rstrip(b"\r"))
            self._rest = b""
        if not self._order:
            raise self._invalid(f"the file is empty: its first line must be {HEADER}")
        return self.file

    def _line(self, line: bytes) -> None:
        self.file.lines += 1
        if self.file.lines > MAX_LINES:
            raise self._invalid(f"the file has more than {MAX_LINES:,} lines")
        if self.file.lines == 1:
            if line.startswith(_BOMS_OF_UTF_16):
                raise self._invalid("the file is in UTF-16; save it as UTF-8")
            line = line.removeprefix(_BOM)
        if len(line) > MAX_LINE_BYTES:
            raise self._too_long()
        if b"\0" in line:
            raise self._invalid(f"line {self.file.lines} has a zero byte: this is no text file")
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise self._invalid(
                f"line {self.file.lines} is not in UTF-8 (byte 0x{line[error.start]:02X}); save the file as UTF-8, in a"
                " spreadsheet as `CSV UTF-8`"
            ) from None
        if self.file.lines == 1:
            self._order = self._header(text)
        elif text.strip():
            self._definition(text)

    def _header(self, text: str) -> Sequence[str]:
        names = [name.strip().lower() for name in next(csv.reader([text]), [])]
        if sorted(names) == sorted(COLUMNS):
            return names
        if any(sorted(text.lower().split(separator)) == sorted(COLUMNS) for separator in ";\t"):
            raise self._invalid("the columns are separated by semicolons or tabs; commas are needed")
        missing = [name for name in COLUMNS if name not in names]
        unknown = [quoted(name) for name in names if name not in COLUMNS]
        twice = [name for name in COLUMNS if names.count(name) > 1]
        said = [
            f"{words} {', '.join(found[:10])}"
            for words, found in (("it lacks", missing), ("it has unknown", unknown), ("it has twice", twice))
            if found
        ]
        raise self._invalid(f"the first line must be {HEADER}, in any order of the columns: {'; '.join(said)}")

    def _definition(self, text: str) -> None:
        try:
            cells = next(csv.reader([text], strict=True))
        except csv.Error:
            self._wrong("", "its quotes don't match: a quoted text ends in its line, and a quote in it is doubled")
            return
        if len(cells) != len(self._order):
            self._wrong("", f"has {len(cells)} columns, not {len(self._order)}")
            return
        typed = dict(zip(self._order, cells, strict=True))
        values: dict[str, object] = {}
        right = True
        for column in _KIND.fields:
            try:
                values[column.name] = _value(column, typed[column.name].strip())
            except HotspareError as error:
                self._wrong(column.name, problem_of(error))
                right = False
        if right:
            self._keep(values)

    def _keep(self, values: Mapping[str, object]) -> None:
        event_id = composed_id(_KIND, values)
        if not event_id:
            self._wrong("", "has neither a contact_id_code nor a sia_code")
        elif event_id in self._seen:
            self._wrong("", f"defines {event_id} again, which line {self._seen[event_id]} does")
        else:
            self._seen[event_id] = self.file.lines
            self.file.definitions[event_id] = values

    def _wrong(self, column: str, problem: str) -> None:
        self.file.wrong_line_count += 1
        if len(self.file.wrong_lines) < WRONG_LINES_TOLD:
            self.file.wrong_lines.append(WrongLine(self.file.lines, column, problem))

    def _too_long(self) -> HotspareError:
        return self._invalid(f"line {self.file.lines} is longer than {MAX_LINE_BYTES // 1024} KiB")

    def _invalid(self, problem: str) -> HotspareError:
        return HotspareError(
            Reason.IMPORT_INVALID, f"no CSV file of events: {problem}", problem=problem, line=max(1, self.file.lines)
        )


def written(definitions: Iterable[Mapping[str, object]]) -> str:
    """Lines of the file for definitions; an empty text for none."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([_cell(definition[name]) for name in COLUMNS] for definition in definitions)
    return text.getvalue()


def _value(column: Field, text: str) -> object:
    if column.form is Form.FLAG:
        flag = _FLAGS.get(text.lower())
        if flag is None and text:
            raise HotspareError(Reason.FIELD_INVALID, "must be true or false", problem="must be true or false")
        return checked(column.name, column, flag)
    return checked(column.name, column, text.lower() if column.form is Form.CHOICE else text)


def _cell(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
