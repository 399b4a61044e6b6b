"""A host that is cut off from the cloud takes direct alarms by itself (D4).

1. It is cut off when the cloud was not heard for the group's `suspect_after`. A cloud that refuses it is no such thing.
2. It keeps each direct alarm durably, answers it, and forwards it (line.py): nobody else can have it. One that was sent
   to the cloud before, without an answer, the cloud may have: that is kept and answered too, but not forwarded.
3. When the cloud is heard again, nothing more is forwarded here. Everything that was kept is published in its order:
   what the ARC has as confirmed, with what stood on the wire; the rest for whoever works now. Until then later alarms
   of such a device wait, and this host tells the cloud that it is behind, so that the work does not go back to it yet.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

from hotspare.v1 import alarm_service_pb2
from hotspare_model.alarm import AlarmMark, AlarmPath, StoredAlarm
from hotspare_model.errors import HotspareError, Reason
from hotspare_model.sequence import wire_sequence
from hotspare_receiver.clock import Clock
from hotspare_receiver.core.forwarder import Delivered
from hotspare_receiver.direct.doubts import DurableDoubts
from hotspare_receiver.direct.gateway import Gateway
from hotspare_receiver.direct.intake import Accepted
from hotspare_receiver.direct.line import ISOLATED_EPOCH, DirectLine, journal_scope, kept_number, line_number
from hotspare_receiver.direct.turns import Turns
from hotspare_receiver.history import AttemptRecord
from hotspare_receiver.journal import Journal
from hotspare_receiver.snapshot import SyncReport
from hotspare_receiver.store.direct import DirectStore, KeptAlarm
from hotspare_rpc.logs import log_event
from hotspare_rpc.wire import alarm_from_proto, stored_alarm_to_proto, timestamp_to_proto

LOOK_EVERY = 0.2
"""Seconds between looks at whether the cloud is there."""

PUBLISH_AGAIN = 1.0
"""Seconds until what could not be published is tried again."""

UNKNOWN_AGAIN = 5.0
"""Seconds until the cloud is asked again about devices that it does not know and this host does. It may have been
restored, and be told of them in a moment, or wait for an operator for hours."""

LANDING = 10.0
"""Seconds for which an answer of the ARC is waited for, once the cloud is back; after that the alarm is published as
one that may have been sent."""

LAND = 0.05
"""Seconds between looks at whether an alarm has landed."""

SYNC_BEHIND, SYNC_DIVERGED = 4, 7
"""Numbers of SyncState in group.proto: with either the work does not go back to a host."""

PASSING = frozenset({Reason.CLOUD_UNREACHABLE, Reason.SHUTTING_DOWN, Reason.STORE_FAILED, Reason.INTAKE_FULL})
"""What the cloud says or does for a moment, so that nobody has to act."""

_log = logging.getLogger(__name__)

Submission = alarm_service_pb2.AlarmSubmission


@dataclass(frozen=True, slots=True)
class IsolationSnapshot:
    """How it stands. `since`: aware UTC; None: the cloud is there, and the rest is being published."""

    since: datetime | None
    taken: int
    confirmed: int
    unpublished: int
    in_doubt: int
    """Of the unpublished ones, those that are not forwarded here because the cloud may have them."""
    elsewhere: Mapping[str, int] = field(default_factory=dict)
    """Of the unpublished ones, those of groups that this receiver is not of now, by the group's name."""
    problem: HotspareError | None = None
    """What the cloud has against being told of the others. None: nothing that lasts."""


class Surroundings(Protocol):
    """What the isolated host goes by."""

    def allowed(self) -> bool:
        """Whether direct devices are taken here, and the setting lets a host forward alone."""
        ...

    def dual_connection(self) -> bool:
        """Whether it is switched on: without it the cloud takes no alarms of direct devices from here."""
        ...

    def silent_for(self) -> float | None:
        """Seconds since the cloud was heard. None: it is not to be heard at all now, or refuses this receiver."""
        ...

    def suspect_after(self) -> float:
        """Seconds of silence after which the host counts as cut off."""
        ...

    def scope(self) -> str:
        """Names the group. Empty: none."""
        ...

    async def account_number(self, device_id: str) -> str:
        """The account number of a device, or with an empty id of this receiver. Raises HotspareError."""
        ...

    def check_disk(self) -> None:
        """Raises HotspareError DISK_LOW below the floor."""
        ...


class Isolated:
    """Takes, forwards and later publishes the alarms of a host that is cut off. All in one event loop."""

    def __init__(
        self,
        store: DirectStore,
        journal: Journal,
        gateway: Callable[[], Gateway],
        doubts: DurableDoubts,
        around: Surroundings,
        clock: Clock,
        on_change: Callable[[], None],
    ) -> None:
        """`gateway`: the way to the cloud, which is made after this."""
        self.taken = 0
        """Alarms taken while cut off, since the process started."""
        self.confirmed = 0
        """Those of them that the ARC has confirmed."""
        self.published = 0
        """Those that the cloud has by now."""
        self.line = DirectLine(journal, lambda: self.active, clock.now, self._has_arc)
        self._store = store
        self._journal = journal
        self._gateway = gateway
        self._doubts = doubts
        self._around = around
        self._clock = clock
        self._on_change = on_change
        self._kept: dict[int, KeptAlarm] = dict(store.kept)
        self._devices = Counter((kept.scope, kept.key[0]) for kept in self._kept.values())
        """How many are kept of each device of a group, and on their way to the disk."""
        self._groups = Counter(kept.scope for kept in self._kept.values())
        """The same of each group."""
        self._turns = Turns(clock.now)
        self._since: datetime | None = None
        self._taken = 0
        self._confirmed = 0
        self._turn = asyncio.Lock()
        self._problem: HotspareError | None = None
        self._publish_at = clock.now()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._runner: asyncio.Task[None] | None = None

    # What can be seen.

    @property
    def active(self) -> bool:
        """Whether this host is cut off at this moment, and takes and forwards direct alarms itself."""
        silent = self._around.silent_for()
        return silent is not None and silent >= self._around.suspect_after() and self._around.allowed()

    @property
    def unpublished(self) -> int:
        """Alarms that the cloud does not have yet, as far as is known here."""
        return len(self._kept)

    def snapshot(self) -> IsolationSnapshot | None:
        """How it stands. None: the host is not cut off, and nothing is left to publish."""
        active = self.active
        if not active and not self._kept:
            return None
        since = self._since or self._clock.wall() if active else None
        in_doubt = sum(1 for kept in self._kept.values() if kept.key in self._doubts)
        here = self._around.scope()
        return IsolationSnapshot(
            since,
            self._taken,
            self._confirmed,
            len(self._kept),
            in_doubt,
            {group: count for group, count in self._groups.items() if group != here},
            self._lasting_problem(),
        )

    def _lasting_problem(self) -> HotspareError | None:
        if self._problem is not None and self._problem.reason not in PASSING:
            return self._problem
        if self._groups[self._around.scope()] and not self._around.dual_connection():
            # Told at once, also while the cloud can't say so itself.
            return HotspareError(Reason.DUAL_CONNECTION_OFF, "dual connection is switched off")
        return None

    def sync_report(self, report: SyncReport) -> SyncReport:
        """What a beat tells of the copy of the configuration (3)."""
        # Those of another group wait for that one; this one has nothing to wait for. And what diverged tells more.
        left = self._groups[self._around.scope()]
        if not left or report.state == SYNC_DIVERGED:
            return report
        return SyncReport(SYNC_BEHIND, report.revision, f"{left} direct alarms are not published yet")

    # What runs.

    def start(self) -> None:
        """Begin to look. Call it in the loop."""
        self._runner = asyncio.create_task(self._run(), name="isolated")

    async def stop(self) -> None:
        """Forward nothing more; what is kept stays kept."""
        tasks = [task for task in (self._runner, *self._tasks) if task is not None]
        if self._runner is not None:
            self._runner.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.line.end()
        await self._doubts.stop()

    async def _run(self) -> None:
        while True:
            try:
                self._look()
                if self._since is None and self._clock.now() >= self._publish_at:
                    if self._around.silent_for() is not None:
                        await self._publish_kept()
                    self._met(None)
            except HotspareError as error:
                again = UNKNOWN_AGAIN if error.reason is Reason.DEVICE_UNKNOWN else PUBLISH_AGAIN
                self._publish_at = self._clock.now() + again
                self._met(error)
            except Exception as error:
                # A defect must not end the looking: the alarms are kept, and the log tells.
                log_event(_log, logging.ERROR, "isolation_failed", error=error)
                await asyncio.sleep(PUBLISH_AGAIN)
            await asyncio.sleep(LOOK_EVERY)

    def _met(self, problem: HotspareError | None) -> None:
        """Publishing met a problem, or none: the first of a kind is told."""
        reason, before = (None if each is None else each.reason for each in (problem, self._problem))
        self._problem = problem
        if reason is before:
            return
        if problem is not None:
            log_event(
                _log, logging.WARNING, "isolated_alarms_unpublished", problem=problem.message,
                unpublished=self._groups[self._around.scope()],
            )  # fmt: skip
        self._on_change()

    def _look(self) -> None:
        """Follow what is so: begin to forward, or stop."""
        active = self.active
        if active and self._since is None:
            self._since = self._clock.wall()
            self._taken = self._confirmed = 0
            self._problem = None
            log_event(_log, logging.WARNING, "isolated", kept=len(self._kept))
            self.line.begin(self._around.scope())
            self._forward(tuple(self._kept.values()))
            self._on_change()
        elif not active and self._since is not None:
            self._since = None
            self._publish_at = self._clock.now()
            self.line.end()
            log_event(
                _log, logging.WARNING, "isolation_over", taken=self._taken, confirmed=self._confirmed,
                unpublished=len(self._kept),
            )  # fmt: skip
            self._on_change()

    # Taking.

    async def accept(self, submission: Submission) -> Accepted:
        """Keep an alarm durably and forward it (2). The answer to a repetition is the same.

        Raises:
            HotspareError: DEVICE_UNKNOWN, FIELD_INVALID, DISK_LOW, STORE_FAILED.
        """
        alarm, scope = submission.alarm, self._around.scope()
        self.check_room()
        # It may be the first to notice.
        self._look()
        received = self._clock.wall()
        # Counted from here on: should the cloud come back now, a later one must not pass it on its way to the disk.
        self._count(scope, alarm.device_id, +1)
        known = True
        try:
            async with self._turn:
                # One after the other up to here, so that the order of a device stays (A3); the commits are shared.
                account = await self._around.account_number(alarm.device_id)
                keeping = asyncio.create_task(
                    self._store.keep(
                        KeptAlarm(
                            number=0,
                            scope=scope,
                            key=(alarm.device_id, alarm.alarm_id),
                            account_number=account,
                            submission=submission.SerializeToString(),
                            received=received,
                        )
                    )
                )
            kept, known = await keeping
        finally:
            if known:
                self._count(scope, alarm.device_id, -1)
        if not known:
            self._kept[kept.number] = kept
            self.taken += 1
            self._taken += 1
            self._forward((kept,))
            self._on_change()
        return Accepted(alarm.alarm_id, kept.received, 0, 0, known, (AlarmMark.ISOLATED,))

    def check_room(self) -> None:
        """Raises HotspareError DISK_LOW, where the free disk is below the floor (A7)."""
        self._around.check_disk()

    async def wait_for_turn(self, device_id: str, patience: float) -> None:
        """Wait until nothing of a device is kept, so that a new alarm does not pass an older one (A3). Nor does it pass
        one that waits for the same.

        Raises:
            HotspareError: CLOUD_UNREACHABLE, when that takes longer than `patience` seconds.
        """

        def is_free() -> bool:
            return self.active or not self._devices[self._around.scope(), device_id]

        await self._turns.wait(device_id, is_free, patience)

    def _count(self, scope: str, device_id: str, more: int) -> None:
        self._groups[scope] += more
        self._devices[scope, device_id] += more
        if not self._groups[scope]:
            del self._groups[scope]
        if not self._devices[scope, device_id]:
            del self._devices[scope, device_id]

    def _forward(self, alarms: tuple[KeptAlarm, ...]) -> None:
        """Give alarms to the outputs that the ARC does not have and the cloud can't have."""
        if self._since is None:
            return
        scope = self._around.scope()
        self.line.deliver(
            _delivered(kept)
            for kept in alarms
            if kept.confirmed is None and kept.scope == scope and kept.key not in self._doubts
        )

    def _has_arc(self, delivered: Delivered, attempt: AttemptRecord | None) -> None:
        """The ARC has an alarm."""
        kept = self._kept.get(kept_number(delivered.number))
        if kept is None or kept.confirmed is not None:
            return
        sent = f"{wire_sequence(delivered.stored.account_sequence):04d}"
        answer = attempt.answer if attempt is not None else b""
        confirmed = replace(kept, confirmed=self._clock.wall(), wire_sequence=sent, answer=answer)
        self._kept[kept.number] = confirmed
        self._spawn(self._keep_confirmed(confirmed))

    async def _keep_confirmed(self, kept: KeptAlarm) -> None:
        assert kept.confirmed is not None
        try:
            await self._store.confirm(kept.number, kept.confirmed, kept.wire_sequence, kept.answer)
        except HotspareError as error:
            # After a crash now it would be published for others to send: once more, not once less.
            log_event(_log, logging.ERROR, "isolated_confirmation_not_kept", number=kept.number, problem=error.message)
        self.confirmed += 1
        self._confirmed += 1
        self._on_change()

    # Publishing.

    async def _publish_kept(self) -> None:
        """Publish what is kept of this group, oldest first, until it is done or the cloud is gone again.

        A device that the cloud does not know is left out, and all others go on; then that is raised.

        Raises:
            HotspareError: the cloud did not answer, or has no room.
        """
        scope = self._around.scope()
        unknown: dict[str, HotspareError] = {}
        some = False
        for number in tuple(self._kept):
            kept = self._kept[number]
            if kept.scope != scope or kept.key[0] in unknown:
                continue
            await self._landed(line_number(number))
            if self.active:
                return
            try:
                await self._publish(self._kept[number])
                some = True
            except HotspareError as error:
                if error.reason is not Reason.DEVICE_UNKNOWN:
                    raise
                unknown[kept.key[0]] = error
        if unknown:
            raise next(iter(unknown.values()))
        if some and not self._groups[scope]:
            log_event(_log, logging.WARNING, "isolated_alarms_published", alarms=self.published)
            self._on_change()

    async def _landed(self, number: int) -> None:
        """Wait for what comes of an alarm that is in flight: it has to be told."""
        deadline = self._clock.now() + LANDING
        while self._clock.now() < deadline:
            if not self.line.is_flying(number):
                return
            await asyncio.sleep(LAND)

    async def _publish(self, kept: KeptAlarm) -> None:
        try:
            await self._gateway().publish(_report(kept))
            self.published += 1
        except HotspareError as error:
            if not await self._is_final(error, kept):
                raise
            log_event(
                _log, logging.ERROR, "isolated_alarm_refused", device_id=kept.key[0], alarm_id=kept.key[1],
                confirmed=kept.confirmed is not None, problem=error.message,
            )  # fmt: skip
        if kept.confirmed is not None:
            local = line_number(kept.number)
            self._journal.stored(journal_scope(kept.scope), ISOLATED_EPOCH, [(local, local)])
        await self._store.forget(kept.number)
        del self._kept[kept.number]
        self._count(kept.scope, kept.key[0], -1)

    async def _is_final(self, error: HotspareError, kept: KeptAlarm) -> bool:
        """Whether the cloud will never take an alarm. Its device was answered: it is given up for nothing less."""
        if error.reason is Reason.FIELD_INVALID:
            return True
        if error.reason is not Reason.DEVICE_UNKNOWN:
            return False
        # A cloud that was restored gets to know the device from here, be it after an operator acted (B7).
        try:
            await self._around.account_number(kept.key[0])
        except HotspareError as own:
            return own.reason is Reason.DEVICE_UNKNOWN
        return False

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _delivered(kept: KeptAlarm) -> Delivered:
    """An alarm as the outputs and the journal take it: its number is that of this receiver, and told to nobody."""
    submission = Submission.FromString(kept.submission)
    stored = StoredAlarm(
        number=line_number(kept.number),
        alarm=alarm_from_proto(submission.alarm),
        account_number=kept.account_number,
        account_sequence=kept.number,
        received=kept.received,
        marks=(AlarmMark.ISOLATED,),
        path=AlarmPath(submission.gateway.path),
        raw_frame=submission.gateway.raw_frame,
    )
    shown = stored_alarm_to_proto(replace(stored, number=0, account_sequence=0)).SerializeToString()
    return Delivered(stored, ISOLATED_EPOCH, 1, False, shown)


def _report(kept: KeptAlarm) -> Submission:
    """What the cloud is told of an alarm."""
    submission = Submission.FromString(kept.submission)
    if not submission.gateway.HasField("receive_time"):
        submission.gateway.receive_time.CopyFrom(timestamp_to_proto(kept.received))
    if kept.confirmed is not None:
        submission.gateway.confirm_time.CopyFrom(timestamp_to_proto(kept.confirmed))
        submission.gateway.wire_sequence = kept.wire_sequence
        submission.gateway.answer = kept.answer[:4096]
    return submission
