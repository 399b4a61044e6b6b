"""Where direct alarms come in (D1, D2): whether they are taken here, under which id, and who gets them.

They are taken on a host, or on a receiver that works alone, with dual connection switched on; elsewhere, and as soon as
that is over, the port is closed and nothing is taken (G5).
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, Protocol

from hotspare.v1 import alarm_pb2, alarm_service_pb2
from hotspare_model.alarm import AlarmMark, AlarmPath
from hotspare_model.errors import HotspareError, Reason
from hotspare_model.group import Role
from hotspare_receiver.clients.members import MembersWatch
from hotspare_receiver.clock import Clock
from hotspare_receiver.core.dc09_window import TimeWindow
from hotspare_receiver.direct.gateway import PATIENCE, Gateway
from hotspare_receiver.direct.identity import Identities, Message
from hotspare_receiver.direct.intake import Accepted, DirectAlarm
from hotspare_receiver.direct.listener import Listener, ListenSettings
from hotspare_receiver.store.settings import SettingsStore
from hotspare_rpc.address import parse_address
from hotspare_rpc.logs import log_event
from hotspare_rpc.wire import alarm_to_proto, timestamp_from_proto, timestamp_to_proto

FRAME_BYTES = 4 * 1024
"""Of a frame, as far as it is kept."""

_log = logging.getLogger(__name__)


def takes_direct(settings: SettingsStore, members: MembersWatch) -> bool:
    """Whether this receiver's role lets it take direct devices (D1): the host, or one that works alone (G7).

    One without a role has to know that its group has no host, and that no other receiver works alone there.
    """
    if settings.role is not None:
        return settings.role.role is Role.HOST
    view = members.view
    if view is None or members.host() is not None:
        return False
    return view.group.working_receiver_id in ("", settings.receiver_id)


class Isolation(Protocol):
    """Takes direct alarms while this host is cut off from the cloud (D4)."""

    @property
    def active(self) -> bool:
        """Whether it does now."""
        ...

    async def accept(self, submission: alarm_service_pb2.AlarmSubmission) -> Accepted:
        """Keep an alarm durably, and forward it. Raises HotspareError."""
        ...

    def check_room(self) -> None:
        """Raises HotspareError DISK_LOW: this host would not know, after a crash, what it has sent."""
        ...

    async def wait_for_turn(self, device_id: str, patience: float) -> None:
        """Wait until the cloud has what was kept of a device, or is cut off again; callers for one device go on in the
        order in which they came. Raises HotspareError."""
        ...


class Gate:
    """The `DirectIntake` of this receiver, and what opens and closes its listener."""

    def __init__(
        self,
        settings: SettingsStore,
        role_allows: Callable[[], bool],
        gateway: Gateway,
        clock: Clock,
        on_alive: Callable[[str, AlarmPath], None],
        isolation: Isolation | None = None,
    ) -> None:
        """`on_alive`: a device showed that it lives, on the direct path (A9)."""
        self.accepted = 0
        """Direct alarms that are durable, each repetition counted."""
        self.refused = 0
        """Direct alarms that were not taken, for whatever reason."""
        self._settings = settings
        self._role_allows = role_allows
        self._gateway = gateway
        self._clock = clock
        self._on_alive = on_alive
        self._isolation = isolation
        self._identities = Identities()
        self._listener: Listener | None = None
        self._stopped = False
        self._applied: asyncio.Task[None] | None = None
        self._look_again = False
        self._under_way: set[asyncio.Task[Any]] = set()

    # What opens and closes it.

    def start(self, listener: Listener) -> None:
        """Have this listener follow the settings and the role. Call it in the loop."""
        self._listener = listener
        self.look()

    def look(self) -> None:
        """The settings, the role, or what is known of the group, may be others: open or close the port."""
        self._look_again = True
        if self._applied is None and self._listener is not None and not self._stopped:
            self._applied = asyncio.create_task(self._apply(self._listener), name="direct-gate")

    async def stop(self) -> None:
        """Take nothing more, and close the port."""
        self._stopped = True
        if self._applied is not None:
            self._applied.cancel()
            await asyncio.gather(self._applied, return_exceptions=True)
        if self._listener is not None:
            await self._listener.stop()
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _apply(self, listener: Listener) -> None:
        try:
            while self._look_again:
                self._look_again = False
                await listener.apply(self._wanted(), self._role_allows())
        except Exception as error:
            # The next look tries again; a defect here must not end what the rest of the receiver does.
            log_event(_log, logging.ERROR, "direct_gate_failed", error=error)
        finally:
            self._applied = None

    def _wanted(self) -> ListenSettings:
        known = self._settings.settings
        window = TimeWindow(
            timedelta(seconds=known.dc09_window.past),
            timedelta(seconds=known.dc09_window.future),
            known.dc09_window.off,
        )
        address = parse_address(known.dc09_listen) if known.dc09_listen else None
        return ListenSettings(known.dual_connection, address, window)

    # DirectIntake.

    @property
    def open(self) -> bool:
        """Whether direct devices are taken now."""
        return not self._stopped and self._settings.settings.dual_connection and self._role_allows()

    def check_open(self) -> None:
        """Raises HotspareError DUAL_CONNECTION_OFF, SHUTTING_DOWN."""
        if self._stopped:
            raise _stopping()
        if not self.open:
            why = "" if not self._settings.settings.dual_connection else ", which is for hosts and receivers alone"
            raise HotspareError(Reason.DUAL_CONNECTION_OFF, f"dual connection is not switched on at this receiver{why}")

    async def accept(self, alarm: DirectAlarm) -> Accepted:
        """See DirectIntake. It goes on when the caller has gone: the device will ask again, and is answered at once."""
        message = _message_of(alarm)
        try:
            self.check_open()
            named = alarm.alarm.alarm_id or self._identities.id_of(message)
            if alarm.alarm.device_id:
                self._on_alive(alarm.alarm.device_id, alarm.path)
            task = asyncio.create_task(self._take(_submission(alarm, named)))
            self._under_way.add(task)
            task.add_done_callback(self._done)
            accepted = await _outcome(task)
        except HotspareError:
            self.refused += 1
            self._identities.failed(message)
            raise
        self.accepted += 1
        if not alarm.alarm.alarm_id:
            self._identities.answered(message)
        return accepted

    async def alive(self, device_id: str, path: AlarmPath) -> None:
        """See DirectIntake."""
        self._on_alive(device_id, path)

    async def _take(self, submission: alarm_service_pb2.AlarmSubmission) -> Accepted:
        isolation = self._isolation
        if isolation is None:
            return self._accepted(await self._gateway.publish(submission))
        isolation.check_room()
        device_id = submission.alarm.device_id
        await isolation.wait_for_turn(device_id, PATIENCE)
        # What came before it may still be on its way to a cloud that is gone by now: it waits behind that (A3).
        if isolation.active and not self._gateway.is_busy(device_id):
            return await isolation.accept(submission)
        try:
            return self._accepted(await self._gateway.publish(submission))
        except HotspareError as error:
            if error.reason is not Reason.CLOUD_UNREACHABLE or not isolation.active:
                raise
        # It is cut off by now.
        return await isolation.accept(submission)

    def _accepted(self, receipt: alarm_service_pb2.AlarmReceipt) -> Accepted:
        return Accepted(
            alarm_id=receipt.alarm_id,
            received=timestamp_from_proto(receipt.receive_time) or self._clock.wall(),
            account_sequence=receipt.account_sequence,
            number=receipt.number,
            duplicate=receipt.duplicate,
            marks=tuple(mark for mark in AlarmMark if int(mark) in {int(told) for told in receipt.marks}),
        )

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # Its caller may have gone; the gateway has told it.


async def _outcome(task: "asyncio.Task[Accepted]") -> Accepted:
    """What comes of an alarm. When the gate stops it is cancelled, and its device is told; else it goes on."""
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if task.cancelled():
            raise _stopping() from None
        raise


def _stopping() -> HotspareError:
    return HotspareError(Reason.SHUTTING_DOWN, "the receiver is stopping")


def _message_of(alarm: DirectAlarm) -> Message:
    return Message(alarm.alarm, alarm.raw, alarm.sequence, alarm.stamped, alarm.received)


def _submission(alarm: DirectAlarm, alarm_id: str) -> alarm_service_pb2.AlarmSubmission:
    return alarm_service_pb2.AlarmSubmission(
        alarm=alarm_to_proto(replace(alarm.alarm, alarm_id=alarm_id)),
        gateway=alarm_service_pb2.GatewayReport(
            path=alarm_pb2.AlarmPath.ValueType(alarm.path.value),
            receive_time=timestamp_to_proto(alarm.received),
            raw_frame=alarm.raw[:FRAME_BYTES],
        ),
    )
