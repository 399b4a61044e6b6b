"""The group's configuration on the alarm path of a receiver: read from its copy, followed on change, and acted upon."""

import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hotspare.v1 import record_pb2
from hotspare_model.alarm import CodeFormat
from hotspare_model.code_translation import CodeBook, Definition
from hotspare_model.contact_id import Qualifier
from hotspare_model.dc09_reply import encode_duh
from hotspare_model.digest import RecordKind
from hotspare_model.kinds import kind_of
from hotspare_receiver import definitions as definitions_module
from hotspare_receiver.core import forwarder as forwarder_module
from hotspare_receiver.core.backoff import Backoff
from hotspare_receiver.core.group_view import NOTHING_KNOWN, GroupView
from hotspare_receiver.definitions import Definitions
from hotspare_receiver.history import AlarmQuery, RecordState
from hotspare_receiver.snapshot import SyncReport
from hotspare_receiver.store.configuration import ConfigurationStore
from hotspare_receiver.store.copy import CopyStore
from hotspare_receiver.store.draft import Draft
from hotspare_receiver.store.schema import migrations
from hotspare_rpc.records import packed, set_id
from hotspare_store.database import Database
from tests.integration.path_fakes import ATTENDANCE, SETTINGS, FakeArc, FakeCloud, Receiver, stored_alarm, until

SILENCED = GroupView(CodeBook([Definition("602", "RP", forwarded=False)]), disabled=frozenset({"off"}))


class Copy:
    """A copy of a configuration, and what is known of it."""

    def __init__(self, folder: Path) -> None:
        self.database = Database.open(folder / "receiver.db", migrations)
        self.configuration = ConfigurationStore(self.database)
        self.views: list[GroupView] = []
        self.definitions = Definitions(self.database.path, self.views.append)

    @property
    def view(self) -> GroupView:
        """The newest."""
        return self.views[-1] if self.views else NOTHING_KNOWN

    async def edit(self, *records: Any) -> None:
        """Put devices and events; an id alone deletes that device."""

        def change(draft: Draft) -> None:
            for record in records:
                if isinstance(record, str):
                    draft.put(RecordKind.DEVICE, record, None)
                elif isinstance(record, record_pb2.Device):
                    payload = record_pb2.DeviceRecord(device=record, device_key_sha256=bytes(32))
                    draft.put(RecordKind.DEVICE, record.device_id, packed(kind_of(RecordKind.DEVICE), payload))
                else:
                    kind = kind_of(RecordKind.EVENT)
                    draft.put(RecordKind.EVENT, set_id(kind, record), packed(kind, record))

        await self.configuration.edit("admin", datetime.now(UTC), change)


@pytest.fixture
async def copy(tmp_path: Path) -> AsyncIterator[Copy]:
    copy = Copy(tmp_path)
    yield copy
    await copy.definitions.stop()
    copy.database.close()


def device(device_id: str, **fields: Any) -> record_pb2.Device:
    return record_pb2.Device(device_id=device_id, account_number="1234", **fields)


def event(code: str, sia: str = "", **fields: Any) -> record_pb2.Event:
    return record_pb2.Event(contact_id_code=code, sia_code=sia, name="x", **fields)


async def test_o1_the_view_follows_each_edit_at_once(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(definitions_module, "LOOK_INTERVAL", 3600.0)
    copy.configuration.listen(copy.definitions.changed)
    copy.definitions.start()
    await copy.edit(device("panel-1", line_number="1a"), device("panel-2", disabled=True), event("131", "BX"))
    await until(lambda: copy.view.line_of("panel-1") == "1A")
    assert copy.view.disabled == {"panel-2"}
    assert copy.view.codes.to_sia(stored_alarm(1, code="131").alarm).code == "BX"
    made = copy.view.codes.definition_of(stored_alarm(1, code="131").alarm)
    assert made is not None
    assert made.forwarded, "one that does not tell is forwarded"
    await copy.edit(device("panel-2"), event("131", "BX", forwarded=False), "panel-1")
    await until(lambda: not copy.view.disabled)
    assert copy.view.lines == {}
    found = copy.view.codes.definition_of(stored_alarm(1, code="131").alarm)
    assert found is not None
    assert not found.forwarded


async def test_x1_a_copy_that_is_cleared_leaves_nothing_behind(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(definitions_module, "LOOK_INTERVAL", 3600.0)
    copy.configuration.listen(copy.definitions.changed)
    copy.definitions.start()
    await copy.edit(device("panel-1", disabled=True))
    await until(lambda: copy.view.disabled)

    def followed(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE copy SET synced = 1")

    await copy.database.write(followed)
    assert await CopyStore(copy.database, copy.configuration).clear() > 0
    await until(lambda: not copy.view.disabled)
    assert copy.view.codes.definition_of(stored_alarm(1).alarm) is None


async def test_o1_at_the_start_the_copy_is_read_before_an_alarm_comes(copy: Copy) -> None:
    await copy.edit(device("panel-1", disabled=True))
    copy.definitions.load()
    assert copy.view.disabled == {"panel-1"}


async def test_o1_an_edit_whose_caller_left_is_found_all_the_same(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(definitions_module, "LOOK_INTERVAL", 0.02)
    copy.definitions.start()
    await copy.edit(device("panel-1", disabled=True))
    await until(lambda: copy.view.disabled)


async def test_o1_a_change_costs_its_bucket_and_not_the_whole_copy(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    await copy.edit(*(device(f"panel-{number}", line_number="1") for number in range(300)))
    copy.definitions.load()
    read: list[tuple[int, int]] = []
    part = definitions_module._part

    def noted(connection: sqlite3.Connection, key: tuple[int, int], sha256: bytes) -> Any:
        read.append(key)
        return part(connection, key, sha256)

    monkeypatch.setattr(definitions_module, "_part", noted)
    copy.definitions.load()
    assert (read, len(copy.views)) == ([], 1)
    await copy.edit(device("panel-7", line_number="2"))
    copy.definitions.load()
    assert len(read) == 1
    assert copy.view.line_of("panel-7") == "2"
    assert len(copy.view.lines) == 300


async def test_s4_what_can_not_be_read_is_left_out_and_the_rest_counts(copy: Copy) -> None:
    strange = record_pb2.Device(device_id="strange", account_number="1234", line_number="\x1b[2J")
    await copy.edit(device("panel-1", disabled=True), strange)

    def spoil(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE record SET record = x'ff' WHERE kind = 6 AND id = '130'")
        connection.execute("UPDATE record SET record = x'ff' WHERE kind = 1 AND id = 'spoilt'")

    await copy.edit(device("spoilt", disabled=True))
    await copy.database.write(spoil)
    copy.definitions.load()
    assert copy.view.disabled == {"panel-1"}
    assert copy.view.lines == {}
    assert copy.view.codes.definition_of(stored_alarm(1, code="131").alarm) is not None


# On the alarm path.


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarder_module.Forwarder.__init__, "__defaults__", (Backoff(first=0.02, longest=0.05),))


async def state_of(receiver: Receiver, number: int) -> RecordState:
    await receiver.journal.flush()
    found = await receiver.journal.get_alarm(number=number)
    assert found is not None
    return found.state


async def test_a4_what_the_group_keeps_from_the_arc_is_journalled_and_confirmed_without_being_sent(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    receiver.start()
    receiver.path.follow_group(SILENCED)
    cloud.publish(
        stored_alarm(1),
        stored_alarm(2, code="602"),
        stored_alarm(3, code="602", qualifier=Qualifier.RESTORE),
        stored_alarm(4, code="RP", code_format=CodeFormat.SIA),
        stored_alarm(5, "off"),
        stored_alarm(6),
    )
    await until(lambda: sorted(cloud.confirmed) == [1, 2, 3, 4, 5, 6])
    assert arc.sequences == [1, 6]
    await receiver.journal.flush()
    listed = await receiver.journal.list_alarms(AlarmQuery(state=RecordState.NOT_FORWARDED))
    assert {each.number: each.last_problem for each in listed.records} == {
        2: "not forwarded: the event 602 is defined so",
        3: "not forwarded: the event 602 is defined so",
        4: "not forwarded: the event 602 is defined so",
        5: "not forwarded: the device off is disabled",
    }
    assert {each.attempt_count for each in listed.records} == {0}
    snapshot = receiver.path.snapshot()
    assert (snapshot.counters.not_forwarded, snapshot.counters.confirmed, snapshot.waiting) == (4, 2, 0)


async def test_a4_a_change_acts_on_what_waits_also_while_the_arc_is_away(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    await arc.stop()
    receiver.start()
    cloud.publish(stored_alarm(1, "off"), stored_alarm(2), stored_alarm(3, "off"))
    await until(lambda: receiver.path.snapshot().waiting == 3)
    receiver.path.follow_group(SILENCED)
    await until(lambda: sorted(cloud.confirmed) == [1, 3])
    await arc.start(arc.address.port)
    await until(lambda: len(cloud.confirmed) == 3)
    assert arc.sequences == [2]


async def test_a4_a_change_while_it_is_in_flight_counts_once_the_arc_has_refused_it(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    def answer(frame: Any) -> bytes:
        if frame.sequence != 1:
            return arc.ack(frame)
        receiver.path.follow_group(SILENCED)
        return encode_duh(frame)

    arc.answer = answer
    receiver.start()
    cloud.publish(stored_alarm(1, code="602"), stored_alarm(2))
    await until(lambda: sorted(cloud.confirmed) == [1, 2])
    assert arc.sequences == [1, 2], "it is not tried again, and its device goes on"
    assert await state_of(receiver, 1) is RecordState.NOT_FORWARDED


async def test_a3_the_device_goes_on_at_every_output_once_its_refused_alarm_is_withheld(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other output would wait for the end of a long pause."""
    monkeypatch.setattr(forwarder_module.Forwarder.__init__, "__defaults__", (Backoff(first=60.0, longest=60.0),))
    other = FakeArc()
    await other.start()

    def slow(frame: Any) -> bytes | None:
        return None if frame.sequence == 1 else arc.ack(frame)

    arc.answer = slow
    other.answer = lambda frame: encode_duh(frame) if frame.sequence == 1 else other.ack(frame)
    config = receiver.output(dc09=replace(receiver.output().dc09, answer_timeout=timedelta(seconds=30)))
    try:
        receiver.start(config, replace(config, name="other", addresses=(other.address,)))
        cloud.publish(stored_alarm(1, code="602"), stored_alarm(2))
        await until(lambda: arc.sequences == [1] and other.sequences == [1])
        receiver.path.follow_group(SILENCED)
        arc.say(encode_duh(arc.frames[0]))
        await until(lambda: sorted(cloud.confirmed) == [1, 2])
    finally:
        await other.stop()


async def test_f7_without_a_lease_nothing_is_decided_and_with_its_renewal_it_is(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    await arc.stop()
    receiver.start()
    cloud.publish(stored_alarm(1, "off"))
    await until(lambda: receiver.path.snapshot().waiting == 1)
    cloud.granting = False
    await until(lambda: not receiver.path.snapshot().lease.working)
    receiver.path.follow_group(SILENCED)
    assert (receiver.path.snapshot().waiting, receiver.path.snapshot().counters.not_forwarded) == (1, 0)
    cloud.granting = True
    await until(lambda: cloud.confirmed == [1])


@pytest.mark.parametrize("state", [0, 3, 4, 5, 6, 7])
async def test_b5_a_receiver_withholds_nothing_while_its_copy_may_not_be_the_groups(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc, state: int
) -> None:
    """Unknown, syncing, behind, of another version, failed, diverged: an alarm too many is better than one too few."""
    receiver.sync = SyncReport(state, 7)
    receiver.start()
    receiver.path.follow_group(SILENCED)
    cloud.publish(stored_alarm(1, "off"), stored_alarm(2, code="602"))
    await until(lambda: cloud.confirmed == [1, 2])
    assert arc.sequences == [1, 2]


async def test_b5_a_host_whose_edits_are_on_their_way_goes_by_them(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    receiver.sync = SyncReport(2, 7)
    receiver.start()
    receiver.path.follow_group(SILENCED)
    cloud.publish(stored_alarm(1, "off"))
    await until(lambda: cloud.confirmed == [1])
    assert arc.sequences == []


async def test_b5_what_still_waits_when_its_copy_counts_again_is_withheld(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    await arc.stop()
    receiver.sync = SyncReport(4, 7)
    receiver.start()
    receiver.path.follow_group(SILENCED)
    cloud.publish(stored_alarm(1, "off"))
    await until(lambda: receiver.path.snapshot().waiting == 1)
    beats = len(cloud.beats)
    await until(lambda: len(cloud.beats) >= beats + 3)
    assert receiver.path.snapshot().waiting == 1
    receiver.sync = SyncReport(1, 7)
    await until(lambda: cloud.confirmed == [1])


async def test_d4_a_copy_counts_until_the_cloud_was_lost_for_long(
    receiver: Receiver, cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.start()
    receiver.path.follow_group(SILENCED)
    await until(lambda: cloud.beats)
    withholding, now = receiver.path._work._withholding, receiver.clock.now()
    assert withholding.certain is SILENCED
    monkeypatch.setattr(receiver.clock, "now", lambda: now + 61.0)
    # The next word of the cloud would end it: there is none within this step.
    assert withholding.certain is NOTHING_KNOWN


async def test_d4_what_a_host_has_not_published_yet_is_told_to_the_cloud_and_makes_its_copy_no_worse(
    receiver: Receiver, cloud: FakeCloud
) -> None:
    receiver.start()
    receiver.path._tell_sync = lambda report: replace(report, state=3)
    receiver.path.follow_group(SILENCED)
    await until(lambda: cloud.beats and cloud.beats[-1].sync_state == 3)
    # Alarms of a device that is switched off would go to the ARC.
    assert receiver.path._work._withholding.certain is SILENCED


async def test_d4_the_time_while_nothing_was_attended_is_no_silence_of_the_cloud(
    receiver: Receiver, cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.start(attendance=None)
    assert receiver.path.silent_for is None
    now = receiver.clock.now() + 3600.0
    monkeypatch.setattr(receiver.clock, "now", lambda: now)
    receiver.path.attend(ATTENDANCE)
    assert receiver.path.silent_for == 0.0


async def test_f6_what_was_withheld_and_comes_again_is_confirmed_again_and_never_sent(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    cloud.storing = False
    receiver.start()
    receiver.path.follow_group(SILENCED)
    cloud.publish(stored_alarm(1, "off"))
    await until(lambda: cloud.confirmed == [1])
    # The process that comes next knows another configuration: what was confirmed stays so.
    cloud.publish(stored_alarm(1, "off"))
    await receiver.restart()
    cloud.storing = True
    cloud.publish(stored_alarm(2, "off"))
    await until(lambda: 2 in cloud.confirmed)
    assert arc.sequences == [2]
    assert await state_of(receiver, 1) is RecordState.NOT_FORWARDED


async def test_a5_an_operator_who_sends_an_alarm_again_gets_it_sent(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    receiver.start()
    receiver.path.follow_group(SILENCED)
    cloud.replays.add(1)
    cloud.publish(stored_alarm(1, "off"))
    await until(lambda: cloud.confirmed == [1])
    assert arc.sequences == [1]


async def test_o1_codes_and_lines_follow_the_configuration_and_generic_events_are_counted(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    receiver.start()
    cloud.publish(stored_alarm(1, code="9B1"))
    await until(lambda: cloud.confirmed == [1])
    receiver.path.follow_group(GroupView(CodeBook([Definition("9B1")]), lines={"panel": "AB"}))
    cloud.publish(stored_alarm(2, code="9B1"))
    await until(lambda: cloud.confirmed == [1, 2])
    assert [(frame.line, frame.data) for frame in arc.frames] == [
        ("2", "#1234|1140 01 001"),
        ("AB", "#1234|19B1 01 002"),
    ]
    (output,) = receiver.path.snapshot().outputs
    assert (output.generic, output.last_generic) == (1, "19B1")
    await receiver.journal.flush()
    found = await receiver.journal.get_alarm(number=1)
    assert found is not None
    assert found.forwarded_code == "140"
    assert [attempt.detail for attempt in found.attempts] == ["a generic event in place of the code 19B1"]
    assert found.last_problem == ""


async def test_a5_the_groups_limit_counts_from_the_first_delivery_of_a_process(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    """It is above the usual one: counted on by that, an alarm would be refused anew after each restart."""
    cloud.settings = replace(SETTINGS, set_aside_after=9)
    answered: list[int] = []

    def seven_then_silent(frame: Any) -> bytes | None:
        answered.append(frame.sequence)
        return encode_duh(frame) if len(answered) <= 7 else None

    arc.answer = seven_then_silent
    receiver.start()
    cloud.publish(stored_alarm(1))
    await until(lambda: len(answered) >= 8)
    await receiver.journal.flush()
    arc.answer = encode_duh
    before = len(arc.sequences)
    await receiver.restart()
    await until(lambda: cloud.refusals)
    assert (cloud.refusals[0].refusals, len(arc.sequences) - before) == (9, 2)
