"""D4: a host that is cut off keeps direct alarms, answers and forwards them, and publishes them when it is back."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hotspare.v1 import alarm_pb2, alarm_service_pb2
from hotspare_model.alarm import AlarmMark
from hotspare_model.errors import HotspareError, Reason
from hotspare_receiver.clock import SystemClock
from hotspare_receiver.core.forwarder import Outcome, Sending
from hotspare_receiver.direct import isolated as isolated_module
from hotspare_receiver.direct.doubts import DurableDoubts
from hotspare_receiver.direct.isolated import SYNC_BEHIND, SYNC_DIVERGED, Isolated
from hotspare_receiver.history import AttemptRecord
from hotspare_receiver.journal import AlarmQuery, Journal
from hotspare_receiver.snapshot import SyncReport
from hotspare_receiver.status_direct import direct_advice
from hotspare_receiver.store.direct import DirectStore
from hotspare_receiver.store.schema import migrations
from hotspare_rpc.wire import stored_alarm_from_proto
from hotspare_store.database import Database
from tests.integration.test_receiver_desk_support import wait_until

Submission = alarm_service_pb2.AlarmSubmission
GRPC = alarm_pb2.ALARM_PATH_DIRECT_GRPC
NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
UP_TO_DATE = SyncReport(1, 7)


@dataclass
class Around:
    """What the host goes by, as the test sets it."""

    silent: float | None = 0.0
    allowing: bool = True
    full: bool = False
    group: str = "north/default"
    dual: bool = True
    unknown: set[str] = field(default_factory=lambda: {"nobody"})
    """Devices that the configuration here does not have."""

    def allowed(self) -> bool:
        return self.allowing

    def dual_connection(self) -> bool:
        return self.dual

    def silent_for(self) -> float | None:
        return self.silent

    def suspect_after(self) -> float:
        return 3.0

    def scope(self) -> str:
        return self.group

    async def account_number(self, device_id: str) -> str:
        if device_id in self.unknown:
            raise HotspareError(Reason.DEVICE_UNKNOWN, "there is no such device", device_id=device_id)
        return "4001"

    def check_disk(self) -> None:
        if self.full:
            raise HotspareError(Reason.DISK_LOW, "the disk is nearly full", free_bytes=0, floor_bytes=1)


@dataclass
class Cloud:
    """Stands for the gateway."""

    published: list[Submission] = field(default_factory=list)
    refusal: HotspareError | None = None
    unknown: set[str] = field(default_factory=set)
    """Devices that it does not have."""
    asked: int = 0

    async def publish(self, submission: Submission) -> alarm_service_pb2.AlarmReceipt:
        self.asked += 1
        if self.refusal is not None:
            raise self.refusal
        device_id = submission.alarm.device_id
        if device_id in self.unknown:
            raise HotspareError(Reason.DEVICE_UNKNOWN, f"the group has no device {device_id}", device_id=device_id)
        self.published.append(submission)
        return alarm_service_pb2.AlarmReceipt(alarm_id=submission.alarm.alarm_id, number=len(self.published))

    @property
    def zones(self) -> list[int]:
        return [each.alarm.zone for each in self.published]


@dataclass
class Host:
    """The isolated part of a host, with one required output that is the test's."""

    isolated: Isolated
    around: Around
    cloud: Cloud
    doubts: DurableDoubts
    journal: Journal
    sent: list[Sending] = field(default_factory=list)

    def take(self) -> Sending | None:
        """What the output sends now."""
        sending = self.isolated.line.take("arc")
        if sending is not None:
            self.sent.append(sending)
        return sending

    def answer(self, sending: Sending, outcome: Outcome = Outcome.CONFIRMED) -> None:
        """What came of it."""
        attempt = AttemptRecord("arc", sending.attempt, NOON, NOON, outcome, b"frame", b"ACK", "")
        self.isolated.line.attempted(sending, attempt, "", 2)

    def forward_all(self) -> list[int]:
        """Send and confirm whatever is due; returns the zones."""
        zones = []
        while (sending := self.take()) is not None:
            self.answer(sending)
            zones.append(sending.delivered.stored.alarm.zone)
        return zones

    async def cut_off(self) -> None:
        """The cloud has not been heard for long."""
        self.around.silent = 10.0
        await wait_until(lambda: (shown := self.isolated.snapshot()) is not None and shown.since is not None)

    async def accept(self, zone: int, device: str = "panel") -> bool:
        """Take a direct alarm; returns whether it was known."""
        accepted = await self.isolated.accept(alarm(zone, device))
        assert (accepted.number, accepted.account_sequence, accepted.marks) == (0, 0, (AlarmMark.ISOLATED,))
        return accepted.duplicate

    def tells(self, *words: str) -> bool:
        """Whether the status tells all of that in one line."""
        lines = direct_advice(self.isolated.snapshot(), "")
        return any(all(word in line for word in words) for line in lines)

    async def until_published(self, *zones: int) -> None:
        """Wait until exactly these are at the cloud, in this order, and nothing is left here."""
        await wait_until(lambda: not self.isolated.unpublished)
        assert self.cloud.zones == list(zones)


def alarm(zone: int, device: str = "panel") -> Submission:
    """A direct alarm on its way to the cloud."""
    named = f"00000000-0000-7000-8000-{zone:012d}"
    what = alarm_pb2.Alarm(alarm_id=named, device_id=device, code="130", zone=zone)
    return Submission(alarm=what, gateway=alarm_service_pb2.GatewayReport(path=GRPC, raw_frame=b"raw"))


Opener = Callable[[], "asyncio.Future[Host]"]


@asynccontextmanager
async def host_in(folder: Path, cloud: Cloud | None = None) -> AsyncIterator[Host]:
    """A host on a data folder, as after its start."""
    clock, around, cloud = SystemClock(), Around(), cloud or Cloud()
    database = Database.open(folder / "receiver.db", migrations)
    journal = Journal(database, clock)
    store = DirectStore(database)
    doubts = DurableDoubts(store, clock)
    isolated = Isolated(store, journal, lambda: cloud, doubts, around, clock, lambda: None)  # type: ignore[arg-type, return-value]
    isolated.line.set_outputs({"arc": True})
    isolated.start()
    try:
        yield Host(isolated, around, cloud, doubts, journal)
    finally:
        await isolated.stop()
        await journal.close()
        database.close()


async def test_d4_a_host_that_is_cut_off_takes_forwards_and_publishes_as_confirmed(tmp_path: Path) -> None:
    async with host_in(tmp_path) as host:
        assert not host.isolated.active
        assert host.isolated.snapshot() is None
        await host.cut_off()
        for zone in (1, 2, 3):
            assert not await host.accept(zone)
        assert host.forward_all() == [1, 2, 3]
        await wait_until(lambda: host.isolated.confirmed == 3)
        shown = host.isolated.snapshot()
        assert shown is not None
        assert (shown.taken, shown.confirmed, shown.unpublished, shown.in_doubt) == (3, 3, 3, 0)
        assert host.isolated.sync_report(UP_TO_DATE).state == SYNC_BEHIND
        assert host.cloud.published == []
        host.around.silent = 0.0
        await host.until_published(1, 2, 3)
        assert host.isolated.snapshot() is None
        assert host.isolated.sync_report(UP_TO_DATE) == UP_TO_DATE
        reports = [each.gateway for each in host.cloud.published]
        assert all(each.HasField("confirm_time") and each.HasField("receive_time") for each in reports)
        assert [each.wire_sequence for each in reports] == ["0001", "0002", "0003"]
        assert {(each.answer, each.raw_frame, each.path) for each in reports} == {(b"ACK", b"raw", GRPC)}


async def test_d4_the_first_alarm_that_meets_the_cut_is_counted_and_forwarded(tmp_path: Path) -> None:
    async with host_in(tmp_path) as host:
        host.around.silent = 10.0
        await host.accept(1)  # before the host has looked by itself
        assert host.forward_all() == [1]
        shown = host.isolated.snapshot()
        assert shown is not None
        assert (shown.taken, shown.unpublished) == (1, 1)


async def test_d4_the_history_has_them_with_what_was_sent(tmp_path: Path) -> None:
    async with host_in(tmp_path) as host:
        await host.cut_off()
        await host.accept(1)
        host.forward_all()
        await host.journal.flush()
        (record,) = (await host.journal.list_alarms(AlarmQuery())).records
        stored = stored_alarm_from_proto(alarm_pb2.StoredAlarm.FromString(record.stored))
        assert (stored.number, stored.account_sequence, stored.marks) == (0, 0, (AlarmMark.ISOLATED,))
        assert (record.attempt_count, record.confirmed is not None) == (1, True)


async def test_d4_nothing_is_forwarded_while_the_cloud_is_heard(tmp_path: Path) -> None:
    async with host_in(tmp_path) as host:
        await host.cut_off()
        await host.accept(1)
        host.around.silent = 0.1  # heard at this very moment: the check right before the write sees it
        assert host.take() is None
        assert not host.isolated.line.may_write()
        await host.until_published(1)
        assert not host.cloud.published[0].gateway.HasField("confirm_time")
        assert host.sent == []


@pytest.mark.parametrize("refused", [None, 2.9])
async def test_d4_a_cloud_that_refuses_or_is_silent_for_a_moment_makes_no_isolation(
    tmp_path: Path, refused: float | None
) -> None:
    async with host_in(tmp_path) as host:
        host.around.silent = refused
        assert not host.isolated.active
        host.around.silent, host.around.allowing = 100.0, False  # the setting, or the role
        assert not host.isolated.active


async def test_d4_what_the_cloud_may_hold_is_kept_and_never_forwarded(tmp_path: Path) -> None:
    async with host_in(tmp_path) as host:
        # It was sent, and no answer came: then the line broke, and the process ended.
        assert await host.doubts.sending(("panel", alarm(1).alarm.alarm_id))
    async with host_in(tmp_path) as host:
        await host.cut_off()
        await host.accept(1)
        await host.accept(2)
        assert host.forward_all() == [2]
        shown = host.isolated.snapshot()
        assert shown is not None
        assert (shown.unpublished, shown.in_doubt) == (2, 1)
        host.around.silent = 0.0
        await host.until_published(1, 2)
        assert [each.gateway.HasField("confirm_time") for each in host.cloud.published] == [False, True]


async def test_d4_a_doubt_that_was_settled_is_gone_also_after_a_restart(tmp_path: Path) -> None:
    key = ("panel", alarm(1).alarm.alarm_id)
    async with host_in(tmp_path) as host:
        assert await host.doubts.sending(key)
        assert not await host.doubts.sending(key)
        host.doubts.settled(key)
    async with host_in(tmp_path) as host:
        assert key not in host.doubts
        assert await host.doubts.sending(key)


async def test_d4_what_was_kept_survives_a_restart_and_is_not_sent_again_once_confirmed(tmp_path: Path) -> None:
    async with host_in(tmp_path) as host:
        await host.cut_off()
        await host.accept(1)
        await host.accept(2)
        first = host.take()
        assert first is not None
        host.answer(first)
        await host.accept(1)  # the device did not get its answer
    async with host_in(tmp_path) as host:
        assert host.isolated.unpublished == 2
        await host.cut_off()
        assert await host.accept(1)  # known
        assert host.forward_all() == [2]
        host.around.silent = 0.0
        await host.until_published(1, 2)
        assert all(each.gateway.HasField("confirm_time") for each in host.cloud.published)
    async with host_in(tmp_path) as host:
        assert host.isolated.unpublished == 0


@pytest.mark.full
async def test_d4_what_is_in_flight_when_the_cloud_comes_is_published_by_what_came_of_it(tmp_path: Path) -> None:
    async with host_in(tmp_path) as host:
        await host.cut_off()
        await host.accept(1)
        await host.accept(2, "other")
        flying = [host.take()]
        host.isolated.line.set_outputs({"arc": True, "second": False})
        host.around.silent = 0.0
        await wait_until(lambda: not host.isolated.active)
        await asyncio.sleep(0.3)  # were it not waited for, it would be published by now
        assert host.cloud.zones == []
        assert flying[0] is not None
        host.answer(flying[0])
        await host.until_published(1, 2)
        assert [each.gateway.HasField("confirm_time") for each in host.cloud.published] == [True, False]


async def test_a5_what_the_arc_refuses_lets_its_device_go_on_and_is_the_clouds_later(tmp_path: Path) -> None:
    async with host_in(tmp_path) as host:
        await host.cut_off()
        await host.accept(1)
        await host.accept(2)
        for _ in range(2):
            await wait_until(lambda: host.take() is not None)
            host.answer(host.sent[-1], Outcome.REFUSED)
        assert [sending.delivered.stored.alarm.zone for sending in host.sent] == [1, 1]
        assert host.forward_all() == [2]
        host.around.silent = 0.0
        await host.until_published(1, 2)
        assert [each.gateway.HasField("confirm_time") for each in host.cloud.published] == [False, True]


@pytest.mark.full
async def test_a3_a_later_alarm_of_a_device_waits_until_what_was_kept_is_published(tmp_path: Path) -> None:
    async with host_in(tmp_path) as host:
        host.cloud.refusal = HotspareError(Reason.DISK_LOW, "full", free_bytes=0, floor_bytes=1)
        await host.cut_off()
        await host.accept(1)
        host.around.silent = 0.0
        await wait_until(lambda: not host.isolated.active)
        await host.isolated.wait_for_turn("another", 0.0)
        with pytest.raises(HotspareError) as error:
            await host.isolated.wait_for_turn("panel", 0.2)
        assert error.value.reason is Reason.CLOUD_UNREACHABLE
        host.cloud.refusal = None
        await host.isolated.wait_for_turn("panel", 8.0)
        assert host.cloud.zones == [1]


@pytest.mark.parametrize("reason", [Reason.FIELD_INVALID, Reason.DEVICE_UNKNOWN])
async def test_d4_what_the_cloud_will_never_take_holds_up_nothing(tmp_path: Path, reason: Reason) -> None:
    async with host_in(tmp_path) as host:
        await host.cut_off()
        await host.accept(1)
        host.forward_all()
        host.cloud.refusal = HotspareError(reason, "wrong, or deleted there")
        host.around.unknown.add("panel")  # deleted here as well
        host.around.silent = 0.0
        await wait_until(lambda: not host.isolated.unpublished)
        assert host.isolated.published == 0


async def test_d4_an_answered_alarm_of_a_device_that_only_the_cloud_does_not_know_is_kept_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cloud that was restored is told of the device in a moment, or once an operator has acted (B7)."""
    monkeypatch.setattr(isolated_module, "UNKNOWN_AGAIN", 0.1)
    async with host_in(tmp_path) as host:
        await host.cut_off()
        for zone, device in ((1, "new"), (2, "panel"), (3, "new"), (4, "panel")):
            await host.accept(zone, device)
        host.forward_all()
        host.cloud.unknown.add("new")
        host.around.silent = 0.0
        await wait_until(lambda: host.tells("2 direct alarms", "can't be published: the group has no device new."))
        assert host.cloud.zones == [2, 4]  # the others go on
        assert host.isolated.sync_report(UP_TO_DATE).state == SYNC_BEHIND
        await host.isolated.wait_for_turn("panel", 0.0)
    async with host_in(tmp_path, host.cloud) as host:  # over a restart
        await wait_until(lambda: host.tells("can't be published"))
        host.cloud.unknown.clear()
        await host.until_published(2, 4, 1, 3)
        assert all(each.gateway.HasField("confirm_time") for each in host.cloud.published)
        assert host.isolated.snapshot() is None


class Learning(Cloud):
    """It is told of its devices as soon as it was asked for one that it does not know."""

    async def publish(self, submission: Submission) -> alarm_service_pb2.AlarmReceipt:
        try:
            return await super().publish(submission)
        finally:
            self.unknown.clear()


async def test_a3_a_later_alarm_does_not_pass_one_whose_device_the_cloud_learns_of_just_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolated_module, "UNKNOWN_AGAIN", 0.1)
    async with host_in(tmp_path, Learning(unknown={"panel"})) as host:
        await host.cut_off()
        await host.accept(1)
        await host.accept(2)
        host.around.silent = 0.0
        await host.until_published(1, 2)


async def test_d4_dual_connection_that_was_switched_off_too_early_is_told(tmp_path: Path) -> None:
    async with host_in(tmp_path) as host:
        await host.cut_off()
        await host.accept(1)
        assert host.tells("Cut off from the cloud")
        # At once, though the cloud can't say so.
        host.cloud.refusal = HotspareError(Reason.CLOUD_UNREACHABLE, "gone")
        host.around.dual = host.around.allowing = False
        await wait_until(lambda: host.tells("1 direct alarm,", "can't be published, for dual connection"))
        # Nor does the cloud hear at once that it is on again.
        host.cloud.refusal = HotspareError(Reason.DUAL_CONNECTION_OFF, "off")
        host.around.dual, host.around.silent = True, 0.0
        await wait_until(lambda: host.tells("1 direct alarm,", "can't be published, for dual connection"))
        host.cloud.refusal = None
        await host.until_published(1)
        assert host.isolated.snapshot() is None


async def test_d4_what_is_wrong_for_a_moment_only_is_no_problem_of_the_operators(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolated_module, "PUBLISH_AGAIN", 0.1)
    async with host_in(tmp_path) as host:
        await host.cut_off()
        await host.accept(1)
        await host.accept(2)
        host.cloud.refusal = HotspareError(Reason.INTAKE_FULL, "full")
        host.around.silent = 0.0
        await wait_until(lambda: host.cloud.asked >= 2)
        assert host.tells("2 direct alarms,", "are being published")
        host.cloud.refusal = None
        await host.until_published(1, 2)


async def test_d4_what_diverged_is_told_before_what_is_unpublished(tmp_path: Path) -> None:
    """Either keeps the work away; the members' list has room for one, and this one takes an operator."""
    async with host_in(tmp_path) as host:
        await host.cut_off()
        await host.accept(1)
        diverged = SyncReport(SYNC_DIVERGED, 7, "another lineage")
        assert host.isolated.sync_report(diverged) == diverged


async def test_d4_a_full_disk_and_an_unknown_device_are_refused_and_kept_by_the_device(tmp_path: Path) -> None:
    async with host_in(tmp_path) as host:
        await host.cut_off()
        for device, full, reason in (("nobody", False, Reason.DEVICE_UNKNOWN), ("panel", True, Reason.DISK_LOW)):
            host.around.full = full
            with pytest.raises(HotspareError) as error:
                await host.accept(1, device)
            assert error.value.reason is reason
        assert host.isolated.unpublished == 0


async def test_d4_what_another_group_has_to_get_waits_for_that_group_and_keeps_nothing_of_this_one(
    tmp_path: Path,
) -> None:
    async with host_in(tmp_path) as host:
        await host.cut_off()
        await host.accept(1)
        host.around.silent, host.around.group = 0.0, "north/other"
        await wait_until(lambda: host.tells("1 direct alarm,", "wait for the group north/default"))
        assert not host.tells("being published")
        assert host.isolated.sync_report(UP_TO_DATE) == UP_TO_DATE
        await host.isolated.wait_for_turn("panel", 0.0)
        # What is kept of the same device in this group is no reason to touch it.
        await host.cut_off()
        await host.accept(2)
        host.around.silent = 0.0
        await wait_until(lambda: host.isolated.unpublished == 1)
        assert host.cloud.zones == [2]
        host.around.group = "north/default"
        await host.until_published(2, 1)
