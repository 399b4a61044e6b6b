"""A power cut loses nothing that was answered, whatever the disk made of what was not synced (A1, A4, D4).

The stores run on a SQLite whose file system records what is written and what is synced; then the power is cut at many
places of the record, and plain SQLite reads what is left.
"""

from pathlib import Path
from random import Random
from typing import Any

import pytest

from hotspare_cloud.store.base import NewAlarm
from hotspare_cloud.store.sqlite import SqliteStore
from tests.power.connection import Module
from tests.power.disk import Delete, Replay, Said, Survival, Sync, Truncate, Write
from tests.power.hunt import Hunt, hunt
from tests.power.recorder import Recorder
from tests.power.stories import STORIES, Answered

OFTEN = {"wal_autocheckpoint": "8"}
"""Pages after which the WAL is copied into the database: by default a thousand, and a story would see none of it."""


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


async def record(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, rounds: int, seed: int = 1, **pragmas: str
) -> tuple[Recorder, Module]:
    """Tell a story on the recorder's SQLite."""
    story: Any = STORIES[name]
    await story.prepare(folder)
    recorder = Recorder(folder)
    module = Module(recorder.name, {**OFTEN, **pragmas})
    with monkeypatch.context() as patched:
        patched.setattr("hotspare_store.database.sqlite3", module)
        # The schema is there; its tools know the real module only.
        patched.setattr("hotspare_store.database.Database._migrate", lambda *_: None)
        await story.tell(folder, recorder, rounds, Random(seed))
    recorder.close()
    return recorder, module


async def cut(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, rounds: int, cuts: int, seed: int = 1, **pragmas: str
) -> Hunt:
    """Tell a story, and cut the power in it."""
    recorder, _ = await record(name, _made(folder / "live"), monkeypatch, rounds, seed, **pragmas)
    return hunt(STORIES[name], recorder, folder / "cut", cuts, seed)


@pytest.mark.parametrize("name", STORIES)
async def test_a1_a_power_cut_loses_nothing_that_was_answered(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await cut(name, tmp_path, monkeypatch, rounds=8, cuts=10)
    assert found.problems == []
    # It was about something: disks that lack what was written, and answers to be found on them.
    assert found.harmed > found.disks // 10
    assert found.facts > 10 * found.disks


@pytest.mark.parametrize("name", STORIES)
@pytest.mark.parametrize("level", ["NORMAL", "OFF"])
async def test_a1_without_a_sync_at_each_commit_a_cut_is_seen_to_lose_what_was_answered(
    name: str, level: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await cut(name, tmp_path, monkeypatch, rounds=8, cuts=3, synchronous=level)
    assert any("was answered and is lost" in problem or "was told and is lost" in problem for problem in found.problems)


async def test_a1_the_product_itself_asks_for_the_syncs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder, module = await record("cloud", _made(tmp_path / "live"), monkeypatch, rounds=2)
    assert module.set.count(("synchronous", "FULL")) == 2
    assert module.set.count(("journal_mode", "WAL")) == 2
    # Every answer comes behind a sync of what it answers.
    written = False
    for event in recorder.log:
        match event:
            case Write("cloud.db-wal"):
                written = True
            case Sync("cloud.db-wal"):
                written = False
            case Said(Answered()):
                break
            case _:
                pass
    assert not written


async def test_a2_an_alarm_that_was_answered_before_a_cut_is_known_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder, _ = await record("cloud", _made(tmp_path / "live"), monkeypatch, rounds=6)
    replay = Replay(recorder.base, recorder.log)
    replay.advance(len(recorder.log) * 2 // 3)
    _made(tmp_path / "after")
    for name, data in replay.disk(Survival.NOTHING, Random(1)).items():
        (tmp_path / "after" / name).write_bytes(data)
    store = SqliteStore.open(tmp_path / "after", lambda error: None)
    group = (await store.groups())[0].group_id
    answered = [fact for fact in replay.facts if isinstance(fact, Answered)]
    assert answered
    waiting = {one.number: one.device_id for one in await store.waiting_alarms(group, 0, 10_000)}
    for fact in answered:
        device = waiting.get(fact.number)
        if device is not None:
            again = NewAlarm(fact.alarm_id, device, "1234", 9999.0, b"again")
            (kept,) = await store.store_alarms(group, [again])
            assert (kept.number, kept.account_sequence, kept.duplicate) == (fact.number, fact.sequence, True)
    store.close()


@pytest.mark.full
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", STORIES)
async def test_a1_hundreds_of_cuts_lose_nothing_that_was_answered(
    name: str, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await cut(name, tmp_path, monkeypatch, rounds=40, cuts=150, seed=seed)
    assert found.problems == []
    assert found.harmed > found.disks // 5


# What a disk may hold.

SYNCED = [Write("f", 0, b"a" * 1024), Sync("f")]


def left(log: list[Any], survival: Survival, base: dict[str, bytes] | None = None) -> set[tuple[bytes | None, ...]]:
    """What there may be of the file `f`, by many draws."""
    replay = Replay(base or {}, log)
    replay.advance(len(log))
    return {(replay.disk(survival, Random(seed)).get("f"),) for seed in range(60)}


def test_what_was_synced_stays_and_what_was_not_may_go() -> None:
    log = [*SYNCED, Write("f", 0, b"b" * 1024)]
    assert left(log, Survival.NOTHING) == {(b"a" * 1024,)}
    assert left(log, Survival.ALL) == {(b"b" * 1024,)}
    assert left([*log, Sync("f")], Survival.SECTORS) == {(b"b" * 1024,)}
    halves = {(first * 512 + second * 512,) for first in (b"a", b"b") for second in (b"a", b"b")}
    assert left(log, Survival.SECTORS) == halves


def test_of_two_writes_to_a_sector_the_second_never_comes_without_the_first() -> None:
    log = [*SYNCED, Write("f", 0, b"b" * 10), Write("f", 5, b"c" * 10)]
    rest = b"a" * 1009
    assert left(log, Survival.SECTORS) == {
        (b"a" * 1024,),
        (b"b" * 10 + b"a" * 5 + rest,),
        (b"b" * 5 + b"c" * 10 + rest,),
    }


def test_a_later_sector_may_be_there_without_an_earlier_one() -> None:
    log = [Sync("f"), Write("f", 0, b"b" * 512), Write("f", 512, b"c" * 512)]
    assert (bytes(512) + b"c" * 512,) in left(log, Survival.SECTORS)


def test_a_torn_write_leaves_a_part_and_harms_nothing_beside_it() -> None:
    log = [*SYNCED, Write("f", 100, b"b" * 100)]
    found = {data for (data,) in left(log, Survival.TORN) if data is not None}
    assert len(found) > 2
    for data in found:
        changed = data[100:200].rstrip(b"a")
        assert data == b"a" * 100 + changed.ljust(100, b"a") + b"a" * 824
        assert set(changed) <= {ord("b")}


def test_files_that_were_made_cut_or_deleted_since_may_be_as_they_were() -> None:
    assert left([Write("f", 0, b"b")], Survival.NOTHING) == {(None,)}
    assert {(None,), (b"",), (b"b",)} >= left([Write("f", 0, b"b")], Survival.SECTORS) > {(None,)}
    assert left([*SYNCED, Truncate("f", 1)], Survival.SECTORS) == {(b"a",), (b"a" * 1024,)}
    assert left([*SYNCED, Delete("f", False)], Survival.SECTORS) == {(None,), (b"a" * 1024,)}
    assert left([*SYNCED, Delete("f", True)], Survival.NOTHING) == {(None,)}
