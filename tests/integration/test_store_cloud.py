"""The verbs of the cloud's store, against the protocol: whatever implements `Store` has to pass all of this."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from hotspare_cloud.core.admission import Membership
from hotspare_cloud.core.state import BeginEpoch
from hotspare_cloud.core.state import Reason as Move
from hotspare_cloud.store.base import (
    AccountRow,
    KeptAlarm,
    NewAlarm,
    Step,
    Store,
    TokenRow,
)
from hotspare_cloud.store.base_queue import RefusedAlarm
from hotspare_cloud.store.sqlite import SqliteStore
from hotspare_model.errors import HotspareError, Reason
from hotspare_model.group import GroupSettings, Role

Again = Callable[[], Awaitable[Store]]
"""Opens what was stored anew, as a start of the cloud does."""


@pytest.fixture(params=["sqlite"])
async def opened(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Store, Again]]:
    """An empty store, and how to open it again."""
    stores = [SqliteStore.open(tmp_path, lambda error: None)]

    async def again() -> Store:
        stores[-1].close()
        stores.append(SqliteStore.open(tmp_path, lambda error: None))
        return stores[-1]

    yield stores[0], again
    stores[-1].close()


@pytest.fixture
async def store(opened: tuple[Store, Again]) -> Store:
    """A store with one account of two groups."""
    await opened[0].create_account(AccountRow("arc", b"k" * 32, 1000.5), ["north", "south"])
    return opened[0]


@pytest.fixture
async def group(store: Store) -> int:
    """A group."""
    return (await store.groups())[0].group_id


@pytest.fixture
async def other(store: Store) -> int:
    """The other group."""
    return (await store.groups())[1].group_id


def alarm(device_id: str = "panel", account_number: str = "1234", **fields: object) -> NewAlarm:
    """An alarm to be stored."""
    made = NewAlarm(str(uuid4()), device_id, account_number, 2000.25, b"payload")
    return made._replace(**fields)  # type: ignore[arg-type]


def member(receiver_id: str = "r1", role: Role = Role.HOST, **fields: object) -> Membership:
    """A member."""
    made = Membership(receiver_id, role, 1, "name", "machine", "host:1", "1.2.3", True, "A1B2", 1234.5)
    return replace(made, **fields)  # type: ignore[arg-type]


def epoch(number: int, receiver_id: str = "r1", previous: str | None = None) -> BeginEpoch:
    """The beginning of an epoch."""
    return BeginEpoch(number, receiver_id, f"incarnation-of-{receiver_id}", "machine", Move.FIRST, previous, 1.5)


async def delivered(store: Store, group: int, count: int, number: int = 1, receiver_id: str = "r1") -> None:
    """An epoch under which so many new alarms went out."""
    kept = await store.store_alarms(group, [alarm() for _ in range(count)])
    await change_epoch(store, group, None, epoch(number, receiver_id), Role.HOST)
    await store.note_delivery(group, number, [each.number for each in kept])


def numbers(kept: Sequence[KeptAlarm]) -> list[tuple[int, int, bool]]:
    """Number, sequence, duplicate."""
    return [(each.number, each.account_sequence, each.duplicate) for each in kept]


# Accounts and tokens.


async def change_epoch(
    store: Store, group: int, ended: tuple[int, bool] | None, begun: BeginEpoch | None, role: Role | None
) -> None:
    """One step of who works."""
    await store.save_step(group, Step(ended=ended, begun=begun, role=role))


async def test_s1_accounts_groups_and_key_digests_are_kept(opened: tuple[Store, Again], store: Store) -> None:
    with pytest.raises(HotspareError) as error:
        await store.create_account(AccountRow("arc", b"z" * 32, 2.0), ["east"])
    assert error.value.reason is Reason.RESOURCE_EXISTS
    for _ in range(2):
        await store.create_sub_account("arc", "east")
    again = await opened[1]()
    assert await again.accounts() == [AccountRow("arc", b"k" * 32, 1000.5)]
    assert [(row.arc_id, row.sub_account) for row in await again.groups()] == [
        ("arc", "east"),
        ("arc", "north"),
        ("arc", "south"),
    ]


async def test_s1_a_token_may_take_the_name_of_one_that_has_ended(store: Store) -> None:
    first = TokenRow("desk", 1, b"1" * 32, 10.0, None, None)
    await store.create_token(first)
    with pytest.raises(HotspareError) as error:
        await store.create_token(replace(first, sha256=b"2" * 32))
    assert error.value.reason is Reason.RESOURCE_EXISTS
    await store.revoke_token("desk", 20.0)
    second = replace(first, sha256=b"2" * 32, created_at=30.0, expires_at=40.0)
    await store.create_token(second)
    third = replace(first, sha256=b"3" * 32, created_at=40.5)
    await store.create_token(third)
    await store.revoke_token("desk", 50.0)
    assert await store.tokens() == [
        replace(first, revoked_at=20.0),
        replace(second, revoked_at=50.0),
        replace(third, revoked_at=50.0),
    ]


# Members and epochs.


async def test_g6_a_group_begins_empty_with_the_default_settings(store: Store, group: int) -> None:
    facts = await store.load_group(group)
    assert facts.settings == GroupSettings()
    assert (dict(facts.members), list(facts.epochs), list(facts.out), facts.backlog) == ({}, [], [], 0)


async def test_g6_a_member_is_kept_with_all_that_is_known_of_it(
    opened: tuple[Store, Again], store: Store, group: int, other: int
) -> None:
    first = member(incarnation="i2", superseded=("i0", "i1"))
    await store.save_member(group, first, 1)
    await store.save_member(group, member("r2", Role.SPARE_3, name="other"), 2)
    await store.save_member(other, member("r1"), 1)
    await store.save_last_seen(group, {"r1": 77.5, "never-there": 1.0})
    changed = replace(first, role=Role.SPARE_1, generation=3, address="elsewhere:2")
    await store.save_member(group, changed, 3)
    again = await opened[1]()
    facts = await again.load_group(group)
    assert facts.members == {"r1": changed, "r2": member("r2", Role.SPARE_3, name="other")}
    assert (facts.generation, dict(facts.last_seen)) == (3, {"r1": 77.5})
    await again.remove_members(group, {"r1": True}, 4)
    facts = await again.load_group(group)
    assert (set(facts.members), facts.generation, dict(facts.departed)) == ({"r2"}, 4, {"r1": True})
    await again.save_member(group, changed, 5)
    assert dict((await again.load_group(group)).departed) == {}
    await again.remove_members(group, {"r1": False}, 6)
    assert dict((await again.load_group(group)).departed) == {"r1": False}
    assert set((await again.load_group(other)).members) == {"r1"}


async def test_g1_no_two_members_hold_one_role(store: Store, group: int) -> None:
    await store.save_member(group, member("r1", Role.HOST), 1)
    with pytest.raises(Exception, match=r".+"):  # each database has an error of its own
        await store.save_member(group, member("r2", Role.HOST), 2)
    facts = await store.load_group(group)
    assert (set(facts.members), facts.generation) == ({"r1"}, 1)


async def test_f11_the_newest_epoch_and_those_that_are_held_are_loaded(
    opened: tuple[Store, Again], store: Store, group: int
) -> None:
    before = time.time()
    await change_epoch(store, group, None, epoch(1, "r1"), Role.HOST)
    await change_epoch(store, group, (1, True), epoch(2, "r2", "r1"), Role.SPARE_1)
    await change_epoch(store, group, (2, False), epoch(3, "r3", "r2"), Role.SPARE_2)
    again = await opened[1]()
    held, newest = (await again.load_group(group)).epochs
    assert (held.epoch, held.receiver_id, held.held, held.ended_at is not None) == (1, "r1", True, True)
    assert (newest.epoch, newest.receiver_id, newest.incarnation) == (3, "r3", "incarnation-of-r3")
    assert (newest.role, newest.held, newest.ended_at) == (Role.SPARE_2, False, None)
    assert before <= newest.started_at <= time.time()
    await again.save_step(group, Step(freed=(1,)))
    await change_epoch(again, group, (3, True), None, None)
    facts = await again.load_group(group)
    assert [(row.epoch, row.held, row.ended_at is not None) for row in facts.epochs] == [(3, True, True)]


async def test_f7_an_epoch_is_never_used_again(store: Store, group: int, other: int) -> None:
    await change_epoch(store, group, None, epoch(1, "r1"), Role.HOST)
    with pytest.raises(Exception, match=r".+"):  # each database has an error of its own
        await change_epoch(store, group, (1, True), epoch(1, "r2"), Role.SPARE_1)
    (kept,) = (await store.load_group(group)).epochs
    assert (kept.receiver_id, kept.ended_at, kept.held) == ("r1", None, False)  # whole, or not at all
    await change_epoch(store, other, None, epoch(1, "r2"), Role.HOST)


async def test_f11_what_was_out_under_the_current_or_a_held_epoch_is_loaded(
    opened: tuple[Store, Again], store: Store, group: int
) -> None:
    await delivered(store, group, 3)
    await store.confirm(group, 1, "r1", [(2, 2)], 5.0)
    await change_epoch(store, group, (1, True), epoch(2, "r2"), Role.SPARE_1)
    await store.store_alarms(group, [alarm("panel-2")])
    await store.note_delivery(group, 2, [4])
    again = await opened[1]()
    facts = await again.load_group(group)
    assert sorted((out.number, out.device_id, out.epoch) for out in facts.out) == [
        (1, "panel", 1),
        (3, "panel", 1),
        (4, "panel-2", 2),
    ]
    assert facts.backlog == 3
    await again.save_step(group, Step(freed=(1,)))
    assert [(out.number, out.epoch) for out in (await again.load_group(group)).out] == [(4, 2)]


# Alarms.


async def test_a6_numbers_count_in_the_group_and_sequences_in_the_account_number(
    opened: tuple[Store, Again], store: Store, group: int, other: int
) -> None:
    first = await store.store_alarms(group, [alarm(), alarm("two"), alarm("three", "9999")])
    assert numbers(first) == [(1, 1, False), (2, 2, False), (3, 1, False)]
    assert numbers(await store.store_alarms(other, [alarm()])) == [(1, 1, False)]
    again = await opened[1]()
    assert numbers(await again.store_alarms(group, [alarm(), alarm("three", "9999")])) == [(4, 3, False), (5, 2, False)]


async def test_a2_an_alarm_that_is_kept_stays_as_it_is(opened: tuple[Store, Again], store: Store, group: int) -> None:
    made = alarm()
    changed = made._replace(payload=b"another", received_at=9999.0, account_number="5678")
    (first,) = await store.store_alarms(group, [made])
    for repeated in (made, changed):
        (kept,) = await store.store_alarms(group, [repeated])
        assert kept == first._replace(duplicate=True)
    twice = alarm()
    assert [each.duplicate for each in await store.store_alarms(group, [twice, alarm(), twice])] == [False, False, True]
    again = await opened[1]()
    assert (await again.store_alarms(group, [made]))[0] == first._replace(duplicate=True)
    assert numbers(await again.store_alarms(group, [alarm()])) == [(4, 4, False)]  # no number was skipped


async def test_a2_one_id_of_two_devices_or_two_groups_is_two_alarms(store: Store, group: int, other: int) -> None:
    made = alarm()
    await store.store_alarms(group, [made])
    assert numbers(await store.store_alarms(group, [made._replace(device_id="another")])) == [(2, 2, False)]
    assert numbers(await store.store_alarms(other, [made])) == [(1, 1, False)]


async def test_a3_what_waits_is_read_by_number_from_a_cursor(store: Store, group: int, other: int) -> None:
    await store.store_alarms(group, [alarm(f"panel-{number}", payload=bytes([number])) for number in range(1, 8)])
    await store.store_alarms(other, [alarm()])
    assert [each.number for each in await store.waiting_alarms(group, 0, 3)] == [1, 2, 3]
    assert [each.number for each in await store.waiting_alarms(group, 5, 100)] == [6, 7]
    assert await store.waiting_alarms(group, 7, 100) == []
    (sixth, _) = await store.waiting_alarms(group, 5, 2)
    assert (sixth.device_id, sixth.account_number, sixth.account_sequence) == ("panel-6", "1234", 6)
    assert (sixth.received_at, sixth.payload, sixth.deliveries) == (2000.25, bytes([6]), 0)


async def test_a4_deliveries_are_counted_over_all_epochs(store: Store, group: int) -> None:
    await delivered(store, group, 2)
    await store.note_delivery(group, 1, [1])
    await change_epoch(store, group, (1, True), epoch(2, "r2"), Role.SPARE_1)
    await store.note_delivery(group, 2, [1])
    assert [each.deliveries for each in await store.waiting_alarms(group, 0, 10)] == [3, 1]


async def test_f7_a_confirmation_counts_for_what_went_to_that_receiver_under_that_epoch(
    store: Store, group: int, other: int
) -> None:
    await delivered(store, group, 4)
    await store.store_alarms(group, [alarm()])  # 5: never delivered
    await delivered(store, other, 1)
    for who, under, ranges in (("r2", 1, [(1, 4)]), ("r1", 2, [(1, 4)]), ("r1", 1, [(5, 9)]), ("r1", 1, [])):
        result = await store.confirm(group, under, who, ranges, 5.0)
        assert (list(result.newly), list(result.known)) == ([], []), (who, under, ranges)
    result = await store.confirm(group, 1, "r1", [(1, 1), (3, 99)], 5.0)
    assert (sorted(result.newly), sorted(result.known)) == ([1, 3, 4], [1, 3, 4])
    assert list(result.received) == [2000.25] * 3
    again = await store.confirm(group, 1, "r1", [(1, 4)], 6.0)
    assert list(again.received) == [2000.25]
    assert (sorted(again.newly), sorted(again.known)) == ([2], [1, 2, 3, 4])
    assert [each.number for each in await store.waiting_alarms(group, 0, 10)] == [5]
    assert len(await store.waiting_alarms(other, 0, 10)) == 1


async def test_f7_a_late_confirmation_counts_after_the_epoch_ended_and_only_once(
    opened: tuple[Store, Again], store: Store, group: int
) -> None:
    await delivered(store, group, 1)
    await change_epoch(store, group, (1, False), epoch(2, "r2"), Role.SPARE_1)
    await store.note_delivery(group, 2, [1])
    again = await opened[1]()
    assert list((await again.confirm(group, 1, "r1", [(1, 1)], 5.0)).newly) == [1]
    result = await again.confirm(group, 2, "r2", [(1, 1)], 6.0)
    assert (list(result.newly), list(result.known)) == ([], [1])
    assert (await again.load_group(group)).backlog == 0


@pytest.mark.parametrize("ranges", [[(2**63, 2**64 - 1)], [(1, 2**64 - 1)], [(2**63 - 1, 2**63 - 1)]])
async def test_s4_numbers_beyond_all_are_no_defect(store: Store, group: int, ranges: list[tuple[int, int]]) -> None:
    await delivered(store, group, 1)
    result = await store.confirm(group, 1, "r1", ranges, 5.0)
    assert list(result.known) == ([1] if ranges[0][0] == 1 else [])


async def test_a7_the_oldest_that_waits_is_told(store: Store, group: int) -> None:
    assert await store.oldest_waiting(group) is None
    await store.store_alarms(group, [alarm(received_at=10.0), alarm(received_at=20.0)])
    assert await store.oldest_waiting(group) == 10.0
    await change_epoch(store, group, None, epoch(1), Role.HOST)
    await store.note_delivery(group, 1, [1])
    await store.confirm(group, 1, "r1", [(1, 1)], 30.0)
    assert await store.oldest_waiting(group) == 20.0


async def test_a5_one_that_was_put_back_waits_since_then(store: Store, group: int) -> None:
    """Else each repair would look as if an alarm had waited for days."""
    await store.store_alarms(group, [alarm(received_at=10.0), alarm(received_at=500.0)])
    await change_epoch(store, group, None, epoch(1), Role.HOST)
    await store.note_delivery(group, 1, [1])
    await store.set_aside(group, 1, "r1", RefusedAlarm(1, "arc", "DUH", b"", b"", 5), 30.0)
    assert await store.oldest_waiting(group) == 500.0
    await store.replay(group, 1, "olga", str(uuid4()), 600.0)
    assert await store.oldest_waiting(group) == 500.0
    await store.note_delivery(group, 1, [2])
    await store.confirm(group, 1, "r1", [(2, 2)], 610.0)
    assert await store.oldest_waiting(group) == 600.0


# Settings.


def test_the_settings_that_tests_write_are_read_as_they_are() -> None:
    from hotspare_cloud.store.sqlite_groups import settings_from_json
    from hotspare_cloud.store.sqlite_steps import settings_to_json

    settings = GroupSettings(lease=timedelta(seconds=2.5), window=7, takeover_event_code="311")
    assert settings_from_json(settings_to_json(settings)) == settings
    assert settings_from_json("{}") == GroupSettings()
