"""The store of the configuration: what is derived from records is always what they say (B1, B3, B5)."""

import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlite_utils
from hypothesis import given, settings
from hypothesis import strategies as st

from hotspare.v1 import record_pb2
from hotspare_model.digest import RecordKind, bucket_of, digest_of, empty_digests
from hotspare_model.event_definitions import DEFINITIONS
from hotspare_model.kinds import kind_of
from hotspare_model.transfer import Change
from hotspare_receiver.store import lists, records
from hotspare_receiver.store.configuration import ConfigurationStore
from hotspare_receiver.store.digests import digests, follow
from hotspare_receiver.store.draft import Draft
from hotspare_receiver.store.lists import ListFilter
from hotspare_receiver.store.schema import migrations
from hotspare_rpc.records import packed, record_id
from hotspare_store.database import Database

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DEVICE, ZONE = kind_of(RecordKind.DEVICE), kind_of(RecordKind.ZONE)
TABLES = ("bucket", "reference", "lookup", "record_text")


def device(device_id: str, name: str = "") -> bytes:
    message = record_pb2.Device(device_id=device_id, account_number="1234", name=name)
    return packed(DEVICE, record_pb2.DeviceRecord(device=message, device_key_sha256=bytes(32)))


def zone(device_id: str, number: int, name: str = "") -> bytes:
    message = record_pb2.Zone(device_id=device_id, number=number, name=name)
    message.zone_id = record_id(ZONE, message)
    return packed(ZONE, message)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = Database.open(tmp_path / "r.db", migrations)
    yield opened
    opened.close()


def fresh() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.row_factory = sqlite3.Row
    migrations.apply(sqlite_utils.Database(connection))
    return connection


def dump(connection: sqlite3.Connection) -> dict[str, list[tuple[object, ...]]]:
    return {table: [tuple(row) for row in connection.execute(f"SELECT * FROM {table}")] for table in TABLES}


edits = st.lists(
    st.tuples(st.sampled_from("pqr"), st.integers(0, 3), st.none() | st.sampled_from(["", "Hall", "Yard"])), max_size=12
)


@given(edits)
@settings(max_examples=40, deadline=None)
def test_b5_after_any_edits_digests_and_what_is_derived_are_those_of_the_records(
    changes: list[tuple[str, int, str | None]],
) -> None:
    connection = fresh()
    kept: dict[tuple[RecordKind, str], bytes] = {}
    for revision, (device_id, number, name) in enumerate(changes, 1):
        kind = RecordKind.ZONE if number else RecordKind.DEVICE
        own_id = f"{device_id}/{number}" if number else device_id
        record = None if name is None else zone(device_id, number, name) if number else device(device_id, name)
        follow(connection, [records.put(connection, kind, own_id, record, revision, "anna")])
        if record is None:
            kept.pop((kind, own_id), None)
        else:
            kept[kind, own_id] = record
        told = {digest.kind: digest for digest in digests(connection)}
        assert told[kind] == digest_of(kind, [(name, each) for (of, name), each in kept.items() if of is kind])
    before = dump(connection)
    records.rebuild(connection)
    assert dump(connection) == before
    references = {(row["id"], row["to_id"]) for row in connection.execute("SELECT * FROM reference")}
    assert references == {(own_id, own_id[0]) for kind, own_id in kept if kind is RecordKind.ZONE}
    assert records.clear(connection) == len(kept)
    assert not any(dump(connection).values())
    assert digests(connection) == empty_digests()
    connection.close()


def test_b3_an_edit_digests_the_buckets_that_it_touches_and_no_other() -> None:
    connection = fresh()
    follow(connection, [records.put(connection, RecordKind.DEVICE, f"p{n}", device(f"p{n}"), 1, "") for n in range(50)])
    other = next(n for n in range(50) if bucket_of(f"p{n}") != bucket_of("p0"))
    connection.execute("UPDATE bucket SET sha256 = ? WHERE bucket = ?", (bytes(31) + b"x", bucket_of(f"p{other}")))
    follow(connection, [records.put(connection, RecordKind.DEVICE, "p0", device("p0", "new"), 2, "")])
    row = connection.execute("SELECT sha256 FROM bucket WHERE bucket = ?", (bucket_of(f"p{other}"),)).fetchone()
    assert row["sha256"] == bytes(31) + b"x"
    connection.close()


def test_b5_a_database_of_before_gets_what_is_derived_at_its_first_start() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.row_factory = sqlite3.Row
    older = sqlite_utils.Database(connection)
    migrations.apply(older, stop_before="desk_3")
    kept = {f"p{number}": device(f"p{number}", "Hall") for number in range(300)}
    for own_id, record in kept.items():
        connection.execute("INSERT INTO record VALUES (1, ?, ?, ?, 7)", (own_id, bucket_of(own_id), record))
    connection.execute("INSERT INTO record VALUES (1, 'gone', ?, NULL, 8)", (bucket_of("gone"),))
    migrations.apply(older)
    assert digests(connection)[0] == digest_of(RecordKind.DEVICE, kept.items())
    page = lists.page(connection, RecordKind.DEVICE, "", 10, ListFilter(text="hall"))
    assert (page.total, page.more, page.records[0][0]) == (300, True, "p0")
    connection.close()


@pytest.mark.parametrize("asked", [ListFilter(), ListFilter(text="x"), ListFilter(value="p"), ListFilter("x", "p")])
def test_b1_no_list_reads_records_that_it_leaves_out(asked: ListFilter) -> None:
    """With 70,000 records, each of these has to find its rows by an index."""
    connection = fresh()
    source, values = lists.source_of(RecordKind.ZONE, asked)
    plan = connection.execute(
        f"EXPLAIN QUERY PLAN SELECT found.id FROM {source} AND found.id > ? ORDER BY found.id LIMIT 5", (*values, "")
    ).fetchall()
    steps = [row["detail"] for row in plan]
    assert all("SEARCH" in step for step in steps if step.startswith(("SCAN", "SEARCH"))), steps
    assert not any("TEMP B-TREE" in step for step in steps), steps
    connection.close()


def test_b3_an_edit_reads_what_it_touches_and_no_whole_kind() -> None:
    """With 70,000 records a statement that finds its rows by the kind alone would read tens of thousands."""
    connection = fresh()
    traced: list[str] = []
    for edit in (device("p"), device("p", "new"), None):
        draft = Draft(connection, "", NOW)
        connection.set_trace_callback(traced.append)
        assert not draft.referring(RecordKind.DEVICE, "p")
        draft.put(RecordKind.DEVICE, "p", edit)
        draft.finish()
        connection.set_trace_callback(None)
    for statement in dict.fromkeys(text for text in traced if not text.startswith(("--", "INSERT", "SAVEPOINT"))):
        plan = [row["detail"] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
        assert all(" AND " in step for step in plan), (statement, plan)
    connection.close()


async def test_b3_an_edit_is_one_revision_with_who_made_it_and_one_that_is_refused_none(database: Database) -> None:
    store = ConfigurationStore(database)

    def two(draft: Draft) -> None:
        draft.put(RecordKind.DEVICE, "p", device("p"))
        draft.put(RecordKind.ZONE, "p/1", zone("p", 1))

    await store.edit("anna", NOW, two)
    assert (store.head.revision, store.head.operator) == (1, "anna")
    lineage = store.head.lineage

    def refusing(draft: Draft) -> None:
        draft.put(RecordKind.DEVICE, "q", device("q"))
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await store.edit("anna", NOW, refusing)
    await store.edit("bert", NOW, lambda draft: draft.get(RecordKind.DEVICE, "p"))
    assert (store.head.revision, store.head.operator) == (1, "anna")
    assert await store.get(RecordKind.DEVICE, "q") is None
    await store.edit("bert", NOW, lambda draft: draft.put(RecordKind.ZONE, "p/1", None))
    assert (store.head.revision, store.head.operator, store.head.lineage) == (2, "bert", lineage)
    assert await store.count() == 1 + len(DEFINITIONS)
    async with store.view(1) as view:
        assert view.count == 1
        assert [change async for change in view.changes()] == [Change(RecordKind.ZONE, "p/1", b"", 2, "bert")]


async def test_b3_a_push_reads_one_moment_piece_by_piece_while_edits_go_on(database: Database) -> None:
    store = ConfigurationStore(database)
    names = sorted(f"p{number}" for number in range(1200))

    def many(draft: Draft) -> None:
        for name in names:
            draft.put(RecordKind.DEVICE, name, device(name, "x" * 100))

    await store.edit("anna", NOW, many)
    async with store.view(0) as view:
        found: list[Change] = []
        async for change in view.changes():
            if not found:
                await store.edit("bert", NOW, lambda draft: draft.put(RecordKind.DEVICE, "p999", None))
            found.append(change)
        assert (view.head.revision, view.count) == (1, len(found))
    assert [change.record_id for change in found if change.kind is RecordKind.DEVICE] == names
    places = [(change.kind, change.record_id) for change in found]
    assert places == sorted(places)
    for digest in view.digests:
        assert digest == digest_of(digest.kind, [(c.record_id, c.record) for c in found if c.kind is digest.kind])
    assert store.head.revision == 2
