"""Devices, by the contract alone: they publish at the cloud, and try again under the same id until answered."""

import threading
import time
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from hotspare.v1 import alarm_pb2, alarm_service_pb2, alarm_service_pb2_grpc
from tests.acceptance.harness.book import Event, Published, wire_sequence

CODES = ("130", "131", "110", "401", "602")
"""Known to us and to pysiaalarm."""
QUALIFIERS = {
    1: alarm_pb2.QUALIFIER_NEW,
    3: alarm_pb2.QUALIFIER_RESTORE,
    6: alarm_pb2.QUALIFIER_STATUS,
}
ATTEMPT = 2.0
PAUSE = 0.05
# An outcome that is unknown, or a refusal that will pass. The same id again is safe (A2).
AGAIN = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.CANCELLED,
)


class Panel:
    """One device with its key, and all that it published."""

    def __init__(
        self,
        channel: grpc.Channel,
        arc_id: str,
        device_id: str,
        account: str,
        key: str,
        told: Callable[[tuple[str, int], float, float], None] = lambda *_: None,
    ) -> None:
        """`told` is called with each alarm that the cloud answered: its identity, when its first attempt began, when it
        was answered."""
        self.device_id = device_id
        self.account = account
        self.published: list[Published] = []
        """What the cloud answered, in order."""
        self.attempts = 0
        self._metadata = (
            ("hotspare-arc-id", arc_id),
            ("hotspare-device-id", device_id),
            ("hotspare-device-key", key),
        )
        self._stub = alarm_service_pb2_grpc.AlarmServiceStub(channel)
        self._told = told
        self._made = 0

    def once(self, alarm: alarm_pb2.Alarm, timeout: float = ATTEMPT) -> alarm_service_pb2.AlarmReceipt:
        """One attempt with an alarm of the caller's own; `published` does not have it. Raises grpc.RpcError."""
        begun = time.monotonic()
        receipt = self._attempt(alarm, timeout)
        self._told((self.account, wire_sequence(receipt.account_sequence)), begun, time.monotonic())
        return receipt

    def _attempt(self, alarm: alarm_pb2.Alarm, timeout: float = ATTEMPT) -> alarm_service_pb2.AlarmReceipt:
        self.attempts += 1
        request = alarm_service_pb2.PublishAlarmRequest(submission=alarm_service_pb2.AlarmSubmission(alarm=alarm))
        response: alarm_service_pb2.PublishAlarmResponse = self._stub.PublishAlarm(
            request, timeout=timeout, metadata=self._metadata
        )
        return response.receipt

    def publish(self, stop: threading.Event | None = None) -> Published | None:
        """Publish the next alarm, until answered; None when `stop` came first (it may be stored or not)."""
        event = self._next_event()
        occurred = Timestamp()
        occurred.FromDatetime(event.occurred)
        alarm = alarm_pb2.Alarm(
            alarm_id=str(uuid.uuid4()),
            qualifier=QUALIFIERS[event.qualifier],
            code_format=alarm_pb2.CODE_FORMAT_CONTACT_ID,
            code=event.code,
            partition=event.partition,
            zone=event.zone,
            occur_time=occurred,
        )
        begun = time.monotonic()
        while stop is None or not stop.is_set():
            try:
                receipt = self._attempt(alarm)
            except grpc.RpcError as error:
                if not isinstance(error, grpc.Call) or error.code() not in AGAIN:
                    raise
                time.sleep(PAUSE)
                continue
            done = Published(self.account, receipt.account_sequence, event, begun, time.monotonic())
            self.published.append(done)
            self._told((done.account, done.sequence), done.begun, done.answered)
            return done
        return None

    def _next_event(self) -> Event:
        index, self._made = self._made, self._made + 1
        now = datetime.now(UTC).replace(microsecond=0)
        return Event((1, 3, 6)[index % 3], CODES[index % len(CODES)], 1 + index % 9, index % 1000, now)


class Stream:
    """Panels that publish all the time, each in a thread of its own, until the end of the `with` block.

    In the end each finishes the alarm that it is at, so that all it published is known.
    """

    def __init__(self, panels: Iterable[Panel], rate: float) -> None:
        """`rate`: alarms a second of each panel."""
        self._panels = list(panels)
        self._interval = 1 / rate
        self._over = threading.Event()
        self._abandoned = threading.Event()
        self._problems: list[str] = []
        self._threads = [threading.Thread(target=self._publish, args=(panel,), daemon=True) for panel in self._panels]

    def __enter__(self) -> "Stream":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(15)
        self._abandoned.set()
        for thread in self._threads:
            thread.join(5)
        assert not self._problems, self._problems

    def _publish(self, panel: Panel) -> None:
        due = time.monotonic()
        try:
            while not self._over.wait(max(0.0, due - time.monotonic())):
                due = max(due + self._interval, time.monotonic() - 1)
                if panel.publish(self._abandoned) is None:
                    self._problems.append(f"{panel.device_id}: its last alarm was not answered")
        except grpc.RpcError as error:
            self._problems.append(f"{panel.device_id}: {error}")
