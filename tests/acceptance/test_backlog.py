"""A failover in the middle of a backlog of 20,000: nothing is lost, each device's alarms come in order (F3, F6, A3)."""

import contextlib
import queue
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import grpc
import pytest

from hotspare.v1 import (
    alarm_feed_service_pb2_grpc,
    alarm_pb2,
    alarm_service_pb2,
    alarm_service_pb2_grpc,
    configuration_service_pb2,
    record_pb2,
)
from hotspare.v1.alarm_feed_service_pb2 import StreamAlarmsRequest
from hotspare.v1.configuration_service_pb2_grpc import ConfigurationServiceStub
from tests.acceptance.conftest import Teller
from tests.acceptance.harness.book import WINDOW
from tests.acceptance.harness.polling import until
from tests.acceptance.harness.system import ARC_ID, Receiver, System

pytestmark = pytest.mark.full

ALARMS = 20_000
ACCOUNTS = ("0B01", "0B02", "0B03", "0B04")
BATCH = 250
SUBSCRIPTION = "console"
ACKNOWLEDGED_AT_ONCE = 1000
KILLED_AFTER = 3000
"""Confirmed alarms at the kill: the backlog has begun to go out, and most of it waits."""
DRAINED = 120.0


@dataclass
class Batches:
    """One device that publishes its alarms over a stream, a batch at a time."""

    channel: grpc.Channel
    device_id: str
    account: str
    key: str
    problem: BaseException | None = None

    def __post_init__(self) -> None:
        self.answered: list[int] = []
        """The numbers in the account, in the order of the answers."""

    def run(self) -> None:
        """Publish all of them."""
        try:
            self._publish(ALARMS // len(ACCOUNTS))
        except BaseException as problem:
            self.problem = problem

    def _publish(self, count: int) -> None:
        metadata = (
            ("hotspare-arc-id", ARC_ID), ("hotspare-device-id", self.device_id), ("hotspare-device-key", self.key),
        )  # fmt: skip
        turn = threading.Semaphore(1)

        def batches() -> Iterator[alarm_service_pb2.PublishAlarmsRequest]:
            for number in range(count // BATCH):
                turn.acquire()
                submissions = [alarm_service_pb2.AlarmSubmission(alarm=alarm(each)) for each in range(BATCH)]
                yield alarm_service_pb2.PublishAlarmsRequest(batch=number + 1, submissions=submissions)

        for answer in alarm_service_pb2_grpc.AlarmServiceStub(self.channel).PublishAlarms(batches(), metadata=metadata):
            self.answered += [result.receipt.account_sequence for result in answer.results]
            turn.release()


def alarm(zone: int) -> alarm_pb2.Alarm:
    """An alarm; its identity on the wire tells which."""
    made = alarm_pb2.Alarm(
        alarm_id=str(uuid.uuid4()), qualifier=alarm_pb2.QUALIFIER_NEW, code_format=alarm_pb2.CODE_FORMAT_CONTACT_ID,
        code="130", partition=1, zone=zone,
    )  # fmt: skip
    made.occur_time.GetCurrentTime()
    return made


def devices(system: System, channel: grpc.Channel) -> list[Batches]:
    """One device an account, made by one connection to the host; nobody misses them when they have no more to say."""
    host = system.receivers["host"]
    metadata = (("authorization", f"Bearer {host.token.read_text().strip()}"),)
    made = []
    with grpc.insecure_channel(host.grpc) as to_host:
        stub = ConfigurationServiceStub(to_host)
        for account in ACCOUNTS:
            device = record_pb2.Device(device_id=f"panel-{account}", account_number=account)
            device.supervision_interval.SetInParent()
            request = configuration_service_pb2.CreateDeviceRequest(device=device)
            answer = stub.CreateDevice(request, metadata=metadata, timeout=10)
            made.append(Batches(channel, device.device_id, account, answer.device_key))
            # Their alarms are looked at here: the checker's cost grows with the square of them.
            system.records.unseen(account)
    return made


class Software:
    """An ARC's software at one receiver: it takes the feed, and acknowledges what it has."""

    def __init__(self, receiver: Receiver, together: list[tuple[str, str, int]]) -> None:
        """`together`: receiver, account and sequence of each alarm that any of them acknowledged, in order."""
        self.name = receiver.name
        self._together = together
        self._done: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._channel = grpc.insecure_channel(receiver.grpc)
        metadata = (("authorization", f"Bearer {receiver.token.read_text().strip()}"),)
        stub = alarm_feed_service_pb2_grpc.AlarmFeedServiceStub(self._channel)
        self._call = stub.StreamAlarms(self._says(), metadata=metadata)
        threading.Thread(target=self._listen, daemon=True).start()

    def _says(self) -> Iterator[StreamAlarmsRequest]:
        yield StreamAlarmsRequest(open=StreamAlarmsRequest.Open(subscription=SUBSCRIPTION, window=10_000))
        while (cursor := self._done.get()) is not None:
            cursors = [cursor]
            while len(cursors) < ACKNOWLEDGED_AT_ONCE and not self._done.empty():
                if (more := self._done.get()) is None:
                    return
                cursors.append(more)
            yield StreamAlarmsRequest(acknowledge=StreamAlarmsRequest.Acknowledge(cursors=cursors))

    def _listen(self) -> None:
        # Its end is the end of the receiver, or of the test.
        with contextlib.suppress(grpc.RpcError):
            for said in self._call:
                if said.HasField("alarm"):
                    stored = said.alarm.stored
                    self._together.append((self.name, stored.account_number, stored.account_sequence))
                    self._done.put(said.alarm.cursor)

    def stop(self) -> None:
        """Take nothing more."""
        self._done.put(None)
        self._call.cancel()
        self._channel.close()


@pytest.fixture
def told(system: System) -> Iterator[list[tuple[str, str, int]]]:
    """A host and a spare, each with its software; what these acknowledged. (Over DC-09, one alarm at a time, the same
    takes minutes.)"""
    system.start_cloud()
    together: list[tuple[str, str, int]] = []
    with contextlib.ExitStack() as stack:
        for role in ("host", "spare1"):
            receiver = system.receivers[role] = system.start_receiver(role)
            receiver.serving()
            system.tell_cloud(receiver)
            receiver.cli("output", "add", "console", "--kind", "stream", "--subscription", SUBSCRIPTION)
            receiver.cli("enable", "--role", role)
            stack.callback(Software(receiver, together).stop)
        system.await_working("host")
        yield together


def test_f3_f6_a3_a_failover_in_a_backlog_of_20000_loses_nothing(
    system: System, told: list[tuple[str, str, int]], tell: Teller
) -> None:
    # The spare first: while nobody is healthy, the host stays the one that works (F1).
    for role in ("spare1", "host"):
        system.receivers[role].cli("output", "pause", "console", "--yes")
    with grpc.insecure_channel(system.cloud.grpc) as channel:
        panels = devices(system, channel)
        until(lambda: all(known(panel) for panel in panels), 10, "the cloud knows all devices")
        threads = [threading.Thread(target=panel.run, daemon=True) for panel in panels]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert [panel.problem for panel in panels] == [None] * len(panels)
    assert sum(len(panel.answered) for panel in panels) == ALARMS

    def waiting() -> int:
        return int(system.page().value("hotspare_cloud_alarms_waiting"))

    assert waiting() >= ALARMS
    system.receivers["host"].cli("output", "resume", "console")
    system.await_working("host")
    until(lambda: len(told) > KILLED_AFTER, DRAINED, "the host delivers")
    system.receivers["host"].kill()
    left = waiting()
    assert left > ALARMS // 4
    system.receivers["spare1"].cli("output", "resume", "console")
    until(lambda: waiting() == 0, DRAINED, lambda: f"all is confirmed; {waiting()} wait")
    assert system.working() == "spare1"
    lost = duplicates = 0
    for panel in panels:
        came = [number for _, account, number in told if account == panel.account]
        lost += len(set(panel.answered) - set(came))
        duplicates += len(came) - len(set(came))
        first = list(dict.fromkeys(came))
        assert first == sorted(first), f"{panel.account}: out of order"
    tell(f"killed with {left:,} of {ALARMS:,} waiting: {lost} lost, {duplicates} duplicates")
    assert lost == 0
    assert duplicates <= WINDOW
    assert {who for who, _, _ in told} == {"host", "spare1"}


def known(panel: Batches) -> bool:
    """Whether the cloud takes its credentials. A malformed alarm asks without storing anything."""
    stub = alarm_service_pb2_grpc.AlarmServiceStub(panel.channel)
    metadata = (
        ("hotspare-arc-id", ARC_ID), ("hotspare-device-id", panel.device_id), ("hotspare-device-key", panel.key),
    )  # fmt: skip
    wrong = alarm_service_pb2.AlarmSubmission(alarm=alarm_pb2.Alarm(alarm_id="no id"))
    with pytest.raises(grpc.RpcError) as refused:
        stub.PublishAlarm(alarm_service_pb2.PublishAlarmRequest(submission=wrong), metadata=metadata, timeout=5)
    return bool(refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT)
