"""The store's part of direct alarms: one alarm of two copies (D3), reports (D2), and what the ARC has already (D4)."""

import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from hotspare_cloud.core.sameness import SAME_WITHIN, SIGHTINGS_KEPT, Side, Sighting
from hotspare_cloud.store.base import KeptAlarm, NewAlarm, Report, Store
from tests.integration.test_store_cloud import alarm, delivered, group, numbers, opened, other, store

__all__ = ["group", "opened", "other", "store"]

CLOUD, DIRECT = Side.CLOUD, Side.DIRECT
Again = Callable[[], Awaitable[Store]]


def copy(side: Side, occurred: float = 1000.0, content: bytes = b"burglary", **fields: Any) -> NewAlarm:
    """An alarm as it came on one of the two paths."""
    return alarm(sighting=Sighting(side, content, occurred), **fields)


async def put(store: Store, group: int, *alarms: NewAlarm) -> list[KeptAlarm]:
    """Store alarms, each in a commit of its own."""
    return [kept for each in alarms for kept in await store.store_alarms(group, [each])]


async def test_d3_the_copy_of_the_other_path_is_the_same_alarm_whichever_came_first(store: Store, group: int) -> None:
    for number, (first, second) in enumerate(((CLOUD, DIRECT), (DIRECT, CLOUD)), start=1):
        kept = await put(store, group, copy(first, 1000.0 * number), copy(second, 1000.0 * number))
        assert numbers(kept) == [(number, number, False), (number, number, True)]
        assert [each.twin for each in kept] == [False, True]


async def test_d3_two_copies_in_one_commit_are_one_alarm(store: Store, group: int) -> None:
    kept = await store.store_alarms(group, [copy(DIRECT), copy(CLOUD)])
    assert numbers(kept) == [(1, 1, False), (1, 1, True)]


async def test_d3_alarms_of_one_path_are_never_the_same(store: Store, group: int) -> None:
    kept = await put(store, group, *(copy(side, content=side.name.encode()) for side in Side for _ in range(3)))
    assert numbers(kept) == [(number, number, False) for number in range(1, 7)]


async def test_d3_the_k_th_copy_is_that_of_the_k_th_alarm(store: Store, group: int) -> None:
    await put(store, group, copy(CLOUD, 1000.0), copy(CLOUD, 1004.0))
    kept = await put(store, group, copy(DIRECT, 1000.0), copy(DIRECT, 1004.0), copy(DIRECT, 1008.0))
    assert numbers(kept) == [(1, 1, True), (2, 2, True), (3, 3, False)]


async def test_d3_another_device_content_group_or_time_is_another_alarm(store: Store, group: int, other: int) -> None:
    await put(store, group, copy(CLOUD, 1000.0))
    strangers = [
        copy(DIRECT, device_id="another"),
        copy(DIRECT, content=b"fire"),
        copy(DIRECT, 1000.0 + SAME_WITHIN + 0.5),
        copy(DIRECT, 1000.0 - SAME_WITHIN - 0.5),
    ]
    assert not any(each.duplicate for each in await put(store, group, *strangers))
    assert not (await put(store, other, copy(DIRECT)))[0].duplicate
    assert (await put(store, group, copy(DIRECT, 1000.0 + SAME_WITHIN)))[0].number == 1


async def test_d3_a2_a_copy_again_changes_nothing_and_answers_the_same(
    opened: tuple[Store, Again], store: Store, group: int
) -> None:
    first, second = copy(CLOUD), copy(DIRECT)
    await put(store, group, first, second)
    # Another alarm waits for its copy: the repetition must not use that up.
    await put(store, group, copy(CLOUD))
    assert await store.direct_groups() == [group]
    again = await opened[1]()
    assert await again.direct_groups() == [group]
    repeated = await put(again, group, second, first, second)
    assert numbers(repeated) == [(1, 1, True)] * 3
    assert (await put(again, group, copy(DIRECT)))[0].number == 2


async def test_d3_a_copy_that_never_comes_is_forgotten_in_the_end(store: Store, group: int) -> None:
    early = [copy(CLOUD, received_at=float(at)) for at in range(20)]
    await put(store, group, *early)
    late = SIGHTINGS_KEPT + 100.0
    await put(store, group, *(copy(DIRECT, content=b"fire", received_at=late) for _ in range(4)))
    assert not (await put(store, group, copy(DIRECT, received_at=late)))[0].duplicate


async def test_d2_a_report_is_kept_with_its_alarm_once_also_of_a_copy(store: Store, group: int) -> None:
    direct = copy(DIRECT, report=Report("r1", b"frame"))
    await put(store, group, copy(CLOUD), direct, direct, alarm(report=Report("r1", b"other")))
    assert await _reports(store) == [(1, "r1", b"frame"), (2, "r1", b"other")]


async def test_d4_what_the_arc_has_is_stored_as_confirmed(store: Store, group: int) -> None:
    (kept,) = await put(store, group, alarm(report=Report("r1", b"", 1500.0)))
    assert (kept.duplicate, kept.confirmed, kept.was_aside) == (False, True, False)
    assert await store.waiting_alarms(group, 0, 10) == []
    assert numbers(await put(store, group, alarm())) == [(2, 2, False)]  # it has its place in the line all the same


async def test_d4_what_waits_at_the_cloud_is_confirmed_once_whatever_path_it_came_by(store: Store, group: int) -> None:
    await delivered(store, group, 1)
    by_id, by_content = alarm(), copy(CLOUD)
    await put(store, group, by_id, by_content)
    told = Report("r1", b"", 1500.0)
    reports = [by_id._replace(report=told), copy(DIRECT, report=told)]
    kept = await put(store, group, *reports, *reports)
    assert numbers(kept) == [(2, 2, True), (3, 3, True)] * 2
    assert [each.confirmed for each in kept] == [True, True, False, False]
    assert [each.number for each in await store.waiting_alarms(group, 0, 10)] == [1]


async def test_a2_a6_many_in_one_commit_get_what_they_would_get_one_by_one(
    store: Store, group: int, other: int
) -> None:
    known = [alarm("one"), alarm("two", "9999"), alarm("three")]
    again = alarm("one")
    batch = [known[1], alarm("one"), again, alarm("two", "9999"), again, known[0], alarm("three", "77AA"), again]
    batch.append(again._replace(device_id="three"))  # the same id of another device
    batch.append(again._replace(payload=b"what came first counts"))
    for where in (group, other):
        await store.store_alarms(where, known)
    at_once = await store.store_alarms(group, batch)
    assert [(each.number, each.duplicate) for each in at_once] == [
        (2, True), (4, False), (5, False), (6, False), (5, True), (1, True), (7, False),
        (5, True), (8, False), (5, True),
    ]  # fmt: skip
    assert at_once == await put(store, other, *batch)
    assert await store.waiting_alarms(group, 0, 99) == await store.waiting_alarms(other, 0, 99)


async def test_d3_without_a_sighting_nothing_is_looked_for(store: Store, group: int) -> None:
    plain = alarm(alarm_id=str(uuid4()))
    await put(store, group, copy(DIRECT), plain)
    assert numbers(await put(store, group, plain)) == [(2, 2, True)]


async def _reports(store: Store) -> list[tuple[object, ...]]:
    def read(db: sqlite3.Connection) -> list[tuple[object, ...]]:
        rows = db.execute("SELECT number, receiver_id, report FROM gateway_report ORDER BY number")
        return [tuple(row) for row in rows]

    found: list[tuple[object, ...]] = await store.database.read(read)  # type: ignore[attr-defined]
    return found
