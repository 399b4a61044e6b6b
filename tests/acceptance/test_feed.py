"""Our own stream on running processes: a subscriber that follows the work from receiver to receiver, and loses nothing
over kills of either (O1, A3, A6, F6, F7); `alarm tail`."""

import json
import queue
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import grpc
import pytest

from hotspare.v1 import alarm_feed_service_pb2, alarm_feed_service_pb2_grpc
from tests.acceptance.harness.book import WINDOW
from tests.acceptance.harness.panels import Stream
from tests.acceptance.harness.polling import until
from tests.acceptance.harness.process import run
from tests.acceptance.harness.system import Receiver, System

ROLES = ("host", "spare1")
Request = alarm_feed_service_pb2.StreamAlarmsRequest


@dataclass(frozen=True)
class Got:
    """An alarm as the subscriber got it."""

    role: str
    number: int
    alarm_id: str
    account: str
    sequence: int
    attempt: int
    epoch: int


class Software:
    """Keeps a stream to each receiver, in threads of its own, and acknowledges what it has written down."""

    def __init__(self, receivers: dict[str, Receiver], secrets: dict[str, str]) -> None:
        self.got: list[Got] = []
        self.deaf = False
        """It keeps alarms and acknowledges none."""
        self.works: dict[str, bool] = {}
        self._receivers = receivers
        self._secrets = secrets
        self._calls: dict[str, grpc.Call] = {}
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._follow, args=(role,), daemon=True) for role in receivers]
        for thread in self._threads:
            thread.start()

    def kill(self) -> None:
        """End at once."""
        self._over.set()
        for call in self._calls.values():
            call.cancel()
        for thread in self._threads:
            thread.join(10)

    def _follow(self, role: str) -> None:
        while not self._over.is_set():
            try:
                self._read(role)
            except grpc.RpcError:
                self.works[role] = False
            self._over.wait(0.2)

    def _read(self, role: str) -> None:
        requests: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        requests.put(Request(open=Request.Open(subscription="automation", window=20)))
        metadata = (("authorization", f"Bearer {self._secrets[role]}"),)
        with grpc.insecure_channel(self._receivers[role].grpc) as channel:
            stub = alarm_feed_service_pb2_grpc.AlarmFeedServiceStub(channel)
            call = self._calls[role] = stub.StreamAlarms(iter(requests.get, None), metadata=metadata)
            try:
                for response in call:
                    if response.WhichOneof("frame") == "state":
                        self.works[role] = response.state.working
                    if response.WhichOneof("frame") == "alarm":
                        alarm = response.alarm
                        self._keep(role, alarm)
                        if not self.deaf:
                            requests.put(Request(acknowledge=Request.Acknowledge(cursors=[alarm.cursor])))
            finally:
                requests.put(None)

    def _keep(self, role: str, alarm: alarm_feed_service_pb2.FeedAlarm) -> None:
        stored = alarm.stored
        got = Got(
            role, stored.number, stored.alarm.alarm_id, stored.account_number, stored.account_sequence,
            alarm.attempt, alarm.epoch,
        )  # fmt: skip
        if not self._over.is_set():
            self.got.append(got)


class Group:
    """A host and a spare with one subscription each, and the software that follows both."""

    def __init__(self, system: System) -> None:
        self.system = system
        system.start_cloud()
        secrets = {}
        for role in ROLES:
            receiver = system.receivers[role] = system.start_receiver(role)
            receiver.serving()
            system.tell_cloud(receiver)
            receiver.cli("output", "add", "feed", "--kind", "stream", "--subscription", "automation")
            words = ("--role", "feed", "--subscription", "automation", "--out", system.folder / f"{role}.feed")
            receiver.cli("token", "create", "software", *words)
            secrets[role] = (system.folder / f"{role}.feed").read_text().strip()
            receiver.cli("enable", "--role", role)
        self.secrets = secrets
        self.panels = [system.panel("panel-1", "0B01"), system.panel("panel-2", "0B02")]
        self.got: list[Got] = []
        self.software = self.start_software()

    def start_software(self) -> Software:
        return Software(self.system.receivers, self.secrets)

    def all_got(self) -> list[Got]:
        return [*self.got, *self.software.got]

    def lost(self) -> set[tuple[str, int]]:
        """What was published and did not come."""
        published = {(panel.account, alarm.number) for panel in self.panels for alarm in panel.published}
        return published - {(got.account, got.sequence) for got in self.all_got()}

    def settle(self) -> None:
        """All came, first receipts in order, each time as the same alarm; and the cloud knows."""
        until(lambda: not self.lost(), 40, lambda: f"all came: {sorted(self.lost())[:5]}")
        waiting = "hotspare_cloud_alarms_waiting"
        until(lambda: self.system.page().value(waiting) == 0, 20, "the cloud has all confirmations")
        for panel in self.panels:
            first = list(dict.fromkeys(got.sequence for got in self.all_got() if got.account == panel.account))
            assert first == sorted(first)
        same = {(got.number, got.alarm_id, got.account, got.sequence) for got in self.all_got()}
        assert len(same) == len({number for number, *_ in same})

    def repeated(self) -> int:
        return len(self.all_got()) - len({got.number for got in self.all_got()})


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Group]:
    with System(tmp_path_factory.mktemp("feed")) as system:
        group = Group(system)
        yield group
        group.software.kill()


@pytest.mark.full
def test_f6_the_subscriber_follows_to_the_next_receiver_and_nothing_is_lost(group: Group) -> None:
    group.system.await_working("host")
    with Stream(group.panels, 20):
        until(lambda: len(group.all_got()) >= 20, 20, "alarms come from the host")
        group.system.receivers["host"].kill()
        group.system.await_working("spare1")
        mark = len(group.all_got())
        until(lambda: len(group.all_got()) >= mark + 40, 20, "alarms come from the spare")
    group.settle()
    assert {got.role for got in group.all_got()} == set(ROLES)
    assert group.repeated() <= WINDOW
    assert group.software.works == {"host": False, "spare1": True}
    epochs = {got.role: got.epoch for got in group.all_got()}
    assert epochs["spare1"] > epochs["host"]


@pytest.mark.full
def test_f4_the_host_comes_back_with_its_subscriber_by_a_hand_over_without_a_repetition(group: Group) -> None:
    before = group.repeated()
    with Stream(group.panels, 20):
        group.system.receivers["host"].start()
        group.system.receivers["host"].serving()
        group.system.await_working("host", 60)
    group.settle()
    assert group.repeated() == before


@pytest.mark.full
def test_o1_what_a_killed_subscriber_did_not_acknowledge_comes_again_with_its_attempt(group: Group) -> None:
    group.software.deaf = True
    for panel in group.panels:
        for _ in range(5):
            assert panel.publish() is not None
    until(lambda: not group.lost(), 20, "all came, and none was acknowledged")
    unsafe = {got.number for got in group.software.got[-10:]}
    group.software.kill()
    group.got = group.all_got()
    # Both sides are new: what was told is known from the disk.
    group.system.receivers["host"].cli("pause", "--yes")
    group.system.receivers["host"].kill()
    group.system.receivers["host"].start()
    group.system.receivers["host"].serving()
    group.software = group.start_software()
    group.system.receivers["host"].cli("resume")
    group.settle()
    again = [got for got in group.software.got if got.number in unsafe]
    assert {got.number for got in again} == unsafe
    assert all(got.attempt > 1 for got in again if got.role == "host")


@pytest.mark.full
def test_a2_a_test_alarm_of_any_member_goes_the_whole_way_once(group: Group) -> None:
    for role, account in (("host", "0B07"), ("spare1", "0B08")):
        receiver = group.system.receivers[role]
        receiver.cli("settings", "set", "--own-account", account)
        request = alarm_feed_service_pb2.SendTestAlarmRequest(alarm_id=str(uuid.uuid4()), text="by hand")
        metadata = (("authorization", f"Bearer {group.secrets[role]}"),)
        with grpc.insecure_channel(receiver.grpc) as channel:
            stub = alarm_feed_service_pb2_grpc.AlarmFeedServiceStub(channel)
            # The cloud hears of the account number in a moment.
            first = until(lambda: sent(stub, request, metadata), 20, "the test is taken")  # noqa: B023
            again = stub.SendTestAlarm(request, metadata=metadata, timeout=10)
        assert first is not None
        assert (again.number, again.receive_time) == (first.number, first.receive_time)
        came = until(lambda: [got for got in group.all_got() if got.alarm_id == request.alarm_id], 20, "it came")  # noqa: B023
        assert (came[0].account, came[0].number, came[0].sequence) == (account, first.number, 1)
    group.settle()


def sent(
    stub: alarm_feed_service_pb2_grpc.AlarmFeedServiceStub,
    request: alarm_feed_service_pb2.SendTestAlarmRequest,
    metadata: tuple[tuple[str, str], ...],
) -> alarm_feed_service_pb2.SendTestAlarmResponse | None:
    try:
        return stub.SendTestAlarm(request, metadata=metadata, timeout=10)
    except grpc.RpcError as error:
        if isinstance(error, grpc.Call) and error.code() is grpc.StatusCode.INVALID_ARGUMENT:
            return None
        raise


@pytest.mark.full
def test_o1_alarm_tail_shows_alarms_as_they_come_and_a_test(group: Group) -> None:
    host = group.system.receivers["host"]
    group.system.await_working("host", 60)
    host.cli("output", "add", "console", "--kind", "stream", "--subscription", "console", "--best-effort")
    for panel in group.panels:
        assert panel.publish() is not None
    server = ("--server", host.grpc, "--token-file", str(host.token))
    tail = ["hotspare", *server, "alarm", "tail", "console", "--limit", "2"]
    shown = run([*tail, "-o", "json"])
    lines = [json.loads(line) for line in shown.stdout.splitlines()]
    assert [line["stored"]["account_number"] for line in lines] == ["0B01", "0B02"]
    assert "The receiver works, under epoch" in shown.stderr
    tested: list[str] = []

    def follow() -> None:
        tested.append(run([*tail[:-1], "1"]).stdout)

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    deadline = time.monotonic() + 20
    while host.cli("output", "test", "console", "--account", "0B09", fail=True).status:
        assert time.monotonic() < deadline
    follower.join(20)
    assert "test  account 0B09  -  601 (new)" in tested[0]
    group.settle()
