"""The file of event definitions: all that is right is taken, all that is wrong is named."""

import csv
import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hotspare_model.errors import HotspareError, Reason
from hotspare_model.event_csv import (
    COLUMNS,
    HEADER,
    MAX_BYTES,
    MAX_LINE_BYTES,
    WRONG_LINES_TOLD,
    EventFile,
    EventFileReader,
    written,
)
from hotspare_model.event_definitions import DEFINITIONS
from hotspare_model.kinds import composed_id, kind_named

GOOD = f"{HEADER}\n130,BA,BR,Burglary,alarm,true\n,CL,OP,Closed,,\n"


def read(data: bytes, piece: int = 1 << 20) -> EventFile:
    reader = EventFileReader()
    for start in range(0, len(data), piece):
        reader.feed(data[start : start + piece])
    return reader.end()


def refusal(data: bytes, piece: int) -> HotspareError | None:
    try:
        read(data, piece)
    except HotspareError as error:
        return error
    return None


def endless(piece: bytes) -> HotspareError:
    reader = EventFileReader()
    reader.feed(f"{HEADER}\n".encode())
    try:
        for _ in range(MAX_BYTES // len(piece) + 2):
            reader.feed(piece)
    except HotspareError as error:
        return error
    raise AssertionError("a file without end was read to its end")


def wrong(line: str) -> list[tuple[int, str, str]]:
    file = read(f"{HEADER}\n{line}\n".encode())
    assert file.wrong_line_count == len(file.wrong_lines)
    return [(each.line, each.column, each.problem) for each in file.wrong_lines]


@given(st.integers(1, 200), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans(), st.booleans())
@example(1, "\r\n", True, True)
def test_a_file_is_read_the_same_in_any_pieces(piece: int, ending: str, bom: bool, ended: bool) -> None:
    text = GOOD if ended else GOOD.rstrip("\n")
    file = read((b"\xef\xbb\xbf" if bom else b"") + text.replace("\n", ending).encode(), piece)
    assert (file.wrong_line_count, file.lines) == (0, 3)
    assert list(file.definitions) == ["130", "SIA-CL"]
    assert file.definitions["SIA-CL"] == {
        "contact_id_code": "",
        "sia_code": "CL",
        "sia_restore_code": "OP",
        "name": "Closed",
        "severity": "info",
        "forwarded": True,
    }


@given(st.binary(max_size=300), st.integers(1, 50))
@example(b"\r", 1)
@example(f"{HEADER}\n\r\n\n".encode(), 1)
def test_s4_whatever_comes_is_read_or_refused_with_a_reason(data: bytes, piece: int) -> None:
    error = refusal(data, piece)
    if error is not None:
        assert error.reason is Reason.IMPORT_INVALID
        assert error.metadata["problem"]
        assert int(error.metadata["line"]) >= 1
        assert error.message.isprintable()


def test_columns_come_in_any_order() -> None:
    file = read(b"Name, severity,FORWARDED,sia_restore_code,sia_code,contact_id_code\nX,TEST,no,,,1bf\n")
    assert file.definitions["1BF"]["severity"] == "test"
    assert file.definitions["1BF"]["forwarded"] is False


def test_names_may_have_commas_quotes_and_letters_of_all_people() -> None:
    file = read(f'{HEADER}\n130,,,"Say ""fire"", 火災 \U0001f525",alarm,1\n'.encode())
    assert file.definitions["130"]["name"] == 'Say "fire", 火災 \U0001f525'


@pytest.mark.parametrize(
    ("line", "column", "problem"),
    [
        ("13A,,,Name,alarm,true", "contact_id_code", "0-9 and B-F"),
        ("130,B,,Name,alarm,true", "sia_code", "two letters"),
        ("130,,,,alarm,true", "name", "required"),
        (f"130,,,{'x' * 129},alarm,true", "name", "128 characters"),
        ("130,,,a\x07b,alarm,true", "name", "U+0007"),
        ("130,,,a\u202eb,alarm,true", "name", "U+202E"),
        ("130,,,Name,grave,true", "severity", "alarm, trouble"),
        ("130,,,Name,alarm,perhaps", "forwarded", "true or false"),
        (",,,Name,alarm,true", "", "neither"),
        ("130,,,Name,alarm", "", "5 columns, not 6"),
        ("130,,,Name,alarm,true,", "", "7 columns, not 6"),
        ('130,,,"Name,alarm,true', "", "quotes"),
        ('130,,,"Na"me,alarm,true', "", "quotes"),
    ],
)
def test_a_wrong_line_is_named_with_number_column_and_reason(line: str, column: str, problem: str) -> None:
    (found,) = wrong(line)
    assert found[:2] == (2, column)
    assert problem in found[2]
    assert found[2].isprintable()


def test_every_mistake_of_a_line_is_named_and_of_two_definitions_the_second() -> None:
    assert [column for _, column, _ in wrong("13A,B,,,x,x")] == [
        "contact_id_code",
        "sia_code",
        "name",
        "severity",
        "forwarded",
    ]
    file = read((GOOD + "130,,,Again,alarm,true\n").encode())
    assert file.wrong_lines[0].problem == "defines 130 again, which line 2 does"


def test_of_many_wrong_lines_the_first_thousand_are_told_and_all_counted() -> None:
    file = read((HEADER + "\n" + "x\n" * (WRONG_LINES_TOLD + 5)).encode())
    assert (len(file.wrong_lines), file.wrong_line_count) == (WRONG_LINES_TOLD, WRONG_LINES_TOLD + 5)
    assert file.wrong_lines[-1].line == WRONG_LINES_TOLD + 1


@pytest.mark.parametrize(
    ("data", "line", "problem"),
    [
        (b"", 1, "empty"),
        (b"\n\n", 1, "it lacks contact_id_code"),
        (b"code,name\n130,x\n", 1, "it lacks contact_id_code, sia_code"),
        (f"{HEADER},note\n".encode(), 1, "unknown 'note'"),
        (f"{HEADER},name\n".encode(), 1, "twice name"),
        (HEADER.replace(",", ";").encode(), 1, "commas are needed"),
        (f"{HEADER}\n130,,,Einbr\u00fcche,alarm,true\n".encode("cp1252"), 2, "not in UTF-8 (byte 0xFC)"),
        (GOOD.encode("utf-16"), 1, "UTF-16"),
        (b"\x7fELF\x02\x01\x01\0\0\0\n", 1, "zero byte"),
        (b"PK\x03\x04\x14\xff\n", 1, "not in UTF-8"),
        (f"{HEADER}\n130,,,{'x' * MAX_LINE_BYTES}".encode(), 2, "longer than"),
    ],
)
def test_s4_what_is_no_file_of_events_is_refused_with_a_clear_text(data: bytes, line: int, problem: str) -> None:
    with pytest.raises(HotspareError) as raised:
        read(data)
    assert raised.value.reason is Reason.IMPORT_INVALID
    assert raised.value.metadata["line"] == str(line)
    assert problem in raised.value.message


def test_s4_a_file_without_end_is_refused_with_little_in_memory() -> None:
    for piece, problem in (
        (b"x" * MAX_LINE_BYTES, "line 2 is longer than 16 KiB"),
        (b"\n" * 50_000, "more than 200,000 lines"),
        ((b" " * 8000 + b"\n") * 100, "larger than 64 MiB"),
    ):
        assert problem in str(endless(piece))


texts = st.text(st.characters(blacklist_categories=("C", "Z")), min_size=1, max_size=128)


@given(st.dictionaries(st.sampled_from(["130", "1BF", "999"]), texts))
def test_what_is_written_is_read_again(names: dict[str, str]) -> None:
    definitions = [dict(DEFINITIONS[0], contact_id_code=code, sia_code="", name=name) for code, name in names.items()]
    file = read(f"{HEADER}\n{written(definitions)}".encode())
    assert not file.wrong_lines
    assert list(file.definitions.values()) == definitions


def test_the_catalogue_is_written_and_read_again() -> None:
    file = read(f"{HEADER}\n{written(DEFINITIONS)}".encode())
    kind = kind_named("event")
    assert kind is not None
    assert file.definitions == {composed_id(kind, definition): definition for definition in DEFINITIONS}
    rows = list(csv.DictReader(io.StringIO(f"{HEADER}\n{written(DEFINITIONS)}")))
    assert tuple(rows[0]) == COLUMNS
