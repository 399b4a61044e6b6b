"""Pages of records: by id, filtered by what is kept beside the records, so that none is unpacked to be left out."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from hotspare_model.digest import RecordKind
from hotspare_model.kinds import kind_of
from hotspare_receiver.store import catalogue
from hotspare_receiver.store.digests import count
from hotspare_receiver.store.draft import events_began
from hotspare_rpc.records import filter_values, search_text, unpack

PAGE_BYTES = 2 * 1024 * 1024
"""Records of one page at most: half of what a message may have. A page of long records is shorter than asked for."""


@dataclass(frozen=True, slots=True)
class ListFilter:
    """What a list is asked for. `text`: folded, in id or name; `value`: of the kind's filter. Empty: all."""

    text: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True)
class RecordPage:
    """Records by id, whether there are more, and how many the filter lets through in all."""

    records: tuple[tuple[str, bytes], ...]
    more: bool
    total: int


def page(connection: sqlite3.Connection, kind: RecordKind, after: str, size: int, asked: ListFilter) -> RecordPage:
    """Records with ids above `after` that the filter lets through, at most `size` of them."""
    if kind is catalogue.KIND and not events_began(connection):
        return _of_catalogue(after, size, asked)
    source, values = source_of(kind, asked)
    if asked == ListFilter():
        total = count(connection, kind)
    else:
        total = connection.execute(f"SELECT count(*) FROM {source}", values).fetchone()[0]
    rows = connection.execute(
        f"SELECT found.id AS id, record FROM {source} AND found.id > ? ORDER BY found.id LIMIT ?",
        (*values, after, size + 1),
    )
    return _cut(((row["id"], row["record"]) for row in rows), size, total)


def source_of(kind: RecordKind, asked: ListFilter) -> tuple[str, tuple[object, ...]]:
    """The tables and the condition that a filter needs, as SQL up to its WHERE, and the values in it."""
    number = int(kind)
    join = " JOIN record ON record.kind = found.kind AND record.id = found.id"
    if asked.value:
        source, values = f"lookup AS found{join} WHERE found.kind = ? AND found.value = ?", (number, asked.value)
        if not asked.text:
            return source, values
        text = (
            " AND EXISTS (SELECT 1 FROM record_text WHERE kind = found.kind AND id = found.id AND instr(text, ?) > 0)"
        )
        return source + text, (*values, asked.text)
    if asked.text:
        return f"record_text AS found{join} WHERE found.kind = ? AND instr(found.text, ?) > 0", (number, asked.text)
    return "record AS found WHERE found.kind = ? AND found.record IS NOT NULL", (number,)


def _of_catalogue(after: str, size: int, asked: ListFilter) -> RecordPage:
    kind = kind_of(catalogue.KIND)
    let_through = []
    for record_id, record in catalogue.catalogue().items():
        event = unpack(kind, record)
        if asked.text not in search_text(kind, event):
            continue
        if not asked.value or asked.value in filter_values(kind, event):
            let_through.append((record_id, record))
    return _cut((item for item in let_through if item[0] > after), size, len(let_through))


def _cut(rows: Iterable[tuple[str, bytes]], size: int, total: int) -> RecordPage:
    """The page of what comes: no more than fits into a message, and one record at least."""
    found: list[tuple[str, bytes]] = []
    room = PAGE_BYTES
    for record_id, record in rows:
        room -= len(record)
        if len(found) == size or (found and room < 0):
            return RecordPage(tuple(found), True, total)
        found.append((record_id, record))
    return RecordPage(tuple(found), False, total)
