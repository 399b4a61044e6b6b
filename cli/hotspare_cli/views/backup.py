"""Copies of the configuration, their revisions, and what differs between two of them."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from hotspare.v1.backup_pb2 import BackupRevision, BackupRow, BackupTable
from hotspare.v1.backup_service_pb2 import (
    DiffBackupRevisionsResponse,
    GetBackupResponse,
    ListBackupRevisionsResponse,
    RecordDifference,
    RestoreBackupResponse,
    StartLineageResponse,
)
from hotspare.v1.group_pb2 import SyncState
from hotspare.v1.record_pb2 import Record, RecordKind
from hotspare.v1.role_service_pb2 import ListMembersResponse
from hotspare_cli.layout import Cell, CellLike, Facts, Grid, Lines, Part, Tone, grid, state
from hotspare_cli.naming import Names
from hotspare_cli.record_options import option_word
from hotspare_cli.record_values import shown
from hotspare_cli.words import NONE, clock, number, word
from hotspare_model.kinds import Kind, kind_of

_DIGEST_SHOWN = 6
"""Bytes of a digest that are shown: enough to tell two apart; json has all of it."""
_TONES = {"added": Tone.GOOD, "changed": Tone.WATCH, "deleted": Tone.BAD}


def backup_view(response: GetBackupResponse) -> Iterator[Part]:
    """The whole answer of `backup show`."""
    yield from table_parts(response.backup)


def restored_view(response: RestoreBackupResponse, revision: int | None) -> Iterator[Part]:
    """The answer of `backup restore`."""
    now = number(response.backup.revision)
    told = f"The contents of revision {number(revision)} are back" if revision else "The cloud's copy was taken over"
    yield Lines((Cell(f"{told}: the configuration is revision {now} now.", Tone.GOOD),))
    yield from table_parts(response.backup)


def lineage_view(response: StartLineageResponse) -> Iterator[Part]:
    """The answer of `backup start-lineage`."""
    text = f"This host's configuration is the cloud's now, as revision {number(response.backup.revision)}."
    yield Lines((Cell(text, Tone.GOOD),))
    yield from table_parts(response.backup)


def table_parts(backup: BackupTable) -> Iterator[Part]:
    """A backup table: what it is a copy of, and a row a kind (B6)."""
    yield Facts(
        (
            ("Lineage", backup.lineage or NONE),
            ("Revision", number(backup.revision) if backup.revision else "none yet"),
            ("Stored by version", backup.software_version or NONE),
        )
    )
    yield rows_grid(backup.rows)
    shared = _shared_detail(backup.rows)
    if shared:
        yield Lines((Cell(shared, Tone.WATCH),))


def rows_grid(rows: Iterable[BackupRow], *, title: str = "") -> Grid:
    """The rows of a backup table. What is told of all of them alike is told once, beside it."""
    whole = tuple(rows)
    columns = ["NAME", "RECORDS", "REVISION", "DIGEST", "UPDATED", "STATUS"]
    if len({row.detail for row in whole}) < 2:
        return grid(columns, (_row(row) for row in whole), title=title, empty="no records")
    return grid(
        (*columns, "DETAIL"), ((*_row(row), row.detail or NONE) for row in whole), title=title, below=("DETAIL",)
    )


def _shared_detail(rows: Iterable[BackupRow]) -> str:
    details = {row.detail for row in rows}
    return details.pop() if len(details) == 1 else ""


def revisions_view(response: ListBackupRevisionsResponse, members: ListMembersResponse) -> Iterator[Part]:
    """The whole answer of `backup revisions`; the members tell what receivers are called."""
    names = Names(members.members)
    columns = ("REVISION", "STORED", "CHANGES", "FROM", "OPERATOR", "VERSION", "RESTORED", "LINEAGE")
    rows = (_revision(one, names) for one in response.revisions)
    yield grid(columns, rows, empty="the cloud keeps no revision yet", below=("LINEAGE", "RESTORED", "VERSION"))


def diff_view(response: DiffBackupRevisionsResponse) -> Iterator[Part]:
    """The whole answer of `backup diff`: a line for each field that differs, and how many records there are."""
    counts: Counter[str] = Counter()
    rows: list[tuple[CellLike, ...]] = []
    for one in response.differences:
        what = _what(one)
        counts[what] += 1
        rows.extend(_difference(one, what))
    columns = ("WHAT", "KIND", "ID", "FIELD", "BEFORE", "AFTER")
    yield grid(columns, rows, empty="the two revisions are equal", wraps=("BEFORE", "AFTER"))
    if rows:
        yield Lines((", ".join(f"{number(counts[what])} {what}" for what in _TONES if counts[what]) + ".",))


def _row(row: BackupRow) -> tuple[CellLike, ...]:
    return (
        row.name or word(RecordKind.DESCRIPTOR, row.kind),
        number(row.count),
        number(row.revision) if row.revision else NONE,
        row.sha256[:_DIGEST_SHOWN].hex() or NONE,
        clock(row.update_time) if row.HasField("update_time") else NONE,
        state(word(SyncState.DESCRIPTOR, row.status)),
    )


def _revision(one: BackupRevision, names: Names) -> tuple[CellLike, ...]:
    return (
        number(one.revision),
        clock(one.create_time) if one.HasField("create_time") else NONE,
        number(one.change_count),
        names.of(one.receiver_id) if one.receiver_id else NONE,
        one.operator_name or NONE,
        one.software_version or NONE,
        f"from {number(one.restored_from)}" if one.restored_from else NONE,
        one.lineage or NONE,
    )


def _what(one: RecordDifference) -> str:
    if not one.HasField("before"):
        return "added"
    return "changed" if one.HasField("after") else "deleted"


def _difference(one: RecordDifference, what: str) -> Iterator[tuple[CellLike, ...]]:
    """A line for each field that differs; what it is about stands on the first one."""
    try:
        kind = kind_of(one.kind)
    except KeyError:  # of a newer release (V3)
        yield Cell(what, _TONES[what]), word(RecordKind.DESCRIPTOR, one.kind), one.id, NONE, NONE, NONE
        return
    head: tuple[CellLike, ...] = (Cell(what, _TONES[what]), kind.name, one.id)
    for field, before, after in _fields(kind, one) or [(NONE if what != "changed" else "key", NONE, NONE)]:
        yield (*head, field, before, after)
        head = ("", "", "")


def _fields(kind: Kind, one: RecordDifference) -> list[tuple[str, str, str]]:
    """The fields that differ, with both values. None do where only a secret changed, which is left out."""
    before, after = _values(kind, one, "before"), _values(kind, one, "after")
    return [
        (name, before.get(name, NONE), after.get(name, NONE))
        for name in {**before, **after}
        if before.get(name, NONE) != after.get(name, NONE)
    ]


def _values(kind: Kind, one: RecordDifference, side: str) -> dict[str, str]:
    if not one.HasField(side):  # type: ignore[arg-type]
        return {}
    message = _message(kind, getattr(one, side))
    return {
        option_word(field.name): shown(message, field)
        for field in kind.fields
        if not field.fixed and field.name in message.DESCRIPTOR.fields_by_name
    }


def _message(kind: Kind, record: Record) -> Any:
    """The record of that kind; where it travels wrapped, with secrets, what is inside."""
    found = getattr(record, kind.name)
    return found if kind.id_field in found.DESCRIPTOR.fields_by_name else getattr(found, kind.name)
