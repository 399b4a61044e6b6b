"""Supervision of the devices that are connected to the cloud (A9): who fell silent is told to the ARC as an alarm of
that device, and so is who is back.

Who is judged, and what of it is told when, is decided in `hotspare_model.supervision`; whether an outage of ours stands
against it, in `hotspare_model.outages`. Here signs of life come in, and events go to the store: each together with the
fact that it was told, in one commit, so that there is one whatever process dies in between.

When a device was heard last decides nothing after a restart, for everybody gets one interval of grace then. It is kept
for people, and to know who was ever there, so it is written for all at once, now and then.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from hotspare_cloud.clock import boottime
from hotspare_cloud.directory import Directory
from hotspare_cloud.finish import start
from hotspare_cloud.group import Group
from hotspare_cloud.store.base import DeviceRow, NewAlarm
from hotspare_cloud.store.base_devices import DeviceStore, NewTell
from hotspare_model.alarm import AlarmMark, AlarmPath, StoredAlarm
from hotspare_model.errors import HotspareError, Reason
from hotspare_model.outages import TURN, Outages, Verdict
from hotspare_model.supervision import Path, Supervisor, Tell, event
from hotspare_rpc.alarm_ids import uuid7
from hotspare_rpc.logs import log_event
from hotspare_rpc.wire import stored_alarm_to_proto

SAVE_EVERY = 60.0
"""Seconds by which a time of the last sign of life may be behind in the store."""

ROOM = 100
"""Alarms of a group that may wait before a storm of supervision adds no more: it must not bury what devices report."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Lives:
    """The devices of one group."""

    supervisor: Supervisor
    last_seen: dict[str, float] = field(default_factory=dict)
    """Wall clock, for people."""
    unsaved: set[str] = field(default_factory=set)
    told: Counter[str] = field(default_factory=lambda: Counter(silent=0, back=0))
    """Events since the start."""


class Supervision:
    """All groups' devices on the cloud's path. One a process."""

    def __init__(
        self, store: DeviceStore, directory: Directory, free_bytes: Callable[[], int], floor_bytes: int
    ) -> None:
        now = boottime()
        self.outages = Outages(now)
        self._store = store
        self._directory = directory
        self._free_bytes = free_bytes
        self._floor_bytes = floor_bytes
        self._lives: dict[int, Lives] = {}
        self._pulses: dict[int, float] = {}
        """What the last signs of life of each group's receivers add up to: it changes with each."""
        self._beats: dict[int, float] = {}
        """Seconds between beats, of groups whose receivers were heard since the start."""
        self._save_at = now + SAVE_EVERY
        self._saving: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read what is stored, and begin. Before anything is served."""
        known = {(row.group_id, row.device_id): row for row in await self._store.lives()}
        now = boottime()
        for device in self._directory.devices():
            lives, life = self.lives(device.group_id), known.get((device.group_id, device.device_id))
            told = life is not None and life.told
            lives.supervisor.put(device.device_id, device.watched, now, heard=life is not None, told=told)
            if life is not None:
                lives.last_seen[device.device_id] = life.last_seen
        self._directory.device_watchers.append(self._devices_changed)
        self._task = asyncio.create_task(self._run(), name="supervision")

    async def stop(self) -> None:
        """End it, and store when devices were heard last."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, *([self._saving] if self._saving else []), return_exceptions=True)
            await self._save()

    def lives(self, group_id: int) -> Lives:
        """The devices of a group."""
        lives = self._lives.get(group_id)
        if lives is None:
            lives = self._lives[group_id] = Lives(Supervisor(boottime()))
        return lives

    def known(self, group_id: int) -> Lives | None:
        """The devices of a group that had any, for metrics."""
        return self._lives.get(group_id)

    def interval(self, device: DeviceRow) -> float:
        """Seconds of silence after which a device counts as lost. 0: it is not supervised."""
        return self.lives(device.group_id).supervisor.interval(device.device_id)

    def heard(self, device: DeviceRow) -> None:
        """A device itself called, whatever became of its call. What a gateway passes on says nothing of this path."""
        lives = self.lives(device.group_id)
        if device.device_id not in lives.supervisor:
            return
        now = boottime()
        self.outages.heard(now)
        if device.device_id not in lives.last_seen:
            # That it was ever there must outlive us, or it would never be missed.
            self._save_at = now
        lives.last_seen[device.device_id] = time.time()
        lives.unsaved.add(device.device_id)
        tell = lives.supervisor.heard(device.device_id, now)
        if tell is not None:
            # Its commit stands in line before that of what the device publishes with this call (A3).
            start(self._tell(device.group_id, [tell]))

    def _devices_changed(self, group: Group, changed: Sequence[DeviceRow], gone: Sequence[str]) -> None:
        lives, now = self.lives(group.row.group_id), boottime()
        for device in changed:
            lives.supervisor.put(device.device_id, device.watched, now)
        for device_id in gone:
            lives.supervisor.drop(device_id)
            lives.last_seen.pop(device_id, None)
            lives.unsaved.discard(device_id)

    # Time.

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(TURN)
            try:
                self._turn(boottime())
            except Exception as error:
                log_event(_log, logging.ERROR, "supervision_failed", error=error)

    def _turn(self, now: float) -> None:
        self._listen(now)
        storing = self._free_bytes() >= self._floor_bytes
        match self.outages.look(now, beat=max(self._beats.values(), default=0.0), storing=storing):
            case Verdict.GRACE:
                log_event(_log, logging.WARNING, "supervision_grace", outages=self.outages.count)
                for lives in self._lives.values():
                    lives.supervisor.grace(now)
            case Verdict.JUDGE:
                for group_id, lives in self._lives.items():
                    self._judge(group_id, lives, now)
            case Verdict.WAIT:
                pass
        if now >= self._save_at and (self._saving is None or self._saving.done()):
            self._save_at = now + SAVE_EVERY
            self._saving = start(self._save())

    def _listen(self, now: float) -> None:
        """Whether any receiver was heard since the last turn."""
        for group in self._directory.groups():
            own, pulse = group.row.group_id, sum(group.last_seen.values())
            before = self._pulses.get(own, pulse)
            self._pulses[own] = pulse
            if pulse != before:
                self.outages.pulse(now)
                self._beats[own] = group.state.settings.beat.total_seconds()

    def _judge(self, group_id: int, lives: Lives, now: float) -> None:
        supervisor, group = lives.supervisor, self._directory.by_id(group_id)
        was_in_storm = supervisor.in_storm
        tells = supervisor.tick(now, ROOM - group.backlog)
        if supervisor.in_storm and not was_in_storm:
            named = _named(group)
            log_event(_log, logging.WARNING, "supervision_storm", **named, silent=supervisor.silent)
        if tells:
            start(self._tell(group_id, tells))

    # The store.

    async def _tell(self, group_id: int, tells: Sequence[Tell]) -> None:
        """Store events. It reaches the store's queue before it first waits: so what is told of a device stays in order,
        and stands before what is published later."""
        lives, group = self.lives(group_id), self._directory.by_id(group_id)
        now = time.time()
        found = [(tell, self._directory.device_in(group, tell.device_id)) for tell in tells]
        known = [(tell, self._new(lives, device, tell, now)) for tell, device in found if device is not None]
        try:
            stored = await self._store.tell(group_id, [new for _, new in known])
        except HotspareError as error:
            for tell in tells:
                lives.supervisor.failed(tell)
            if error.reason is not Reason.STORE_FAILED:
                log_event(_log, logging.WARNING, "supervision_not_stored", **_named(group), problem=error)
            return
        for (tell, _), is_new in zip(known, stored, strict=True):
            lives.supervisor.told(tell)
            if is_new:
                lives.told["silent" if tell.silent else "back"] += 1
                what = "device_silent" if tell.silent else "device_back"
                log_event(_log, logging.INFO, what, **_named(group), device_id=tell.device_id)
        if any(stored):
            group.arrived(sum(stored))

    def _new(self, lives: Lives, device: DeviceRow, tell: Tell, now: float) -> NewTell:
        seen = lives.last_seen.get(device.device_id)
        at = datetime.fromtimestamp(now, UTC)
        alarm = event(
            Path.CLOUD,
            str(uuid7()),
            device.device_id,
            silent=tell.silent,
            at=at,
            last_seen=datetime.fromtimestamp(seen, UTC) if seen is not None else None,
            interval=device.watched.interval,
        )
        stored = StoredAlarm(
            number=0,
            alarm=alarm,
            account_number=device.account_number,
            account_sequence=0,
            received=at,
            marks=(AlarmMark.SYSTEM,),
            path=AlarmPath.SYSTEM,
        )
        payload = stored_alarm_to_proto(stored).SerializeToString()
        new = NewAlarm(alarm.alarm_id, device.device_id, device.account_number, now, payload)
        return NewTell(device.device_id, tell.silent, seen if seen is not None else now, new)

    async def _save(self) -> None:
        """Store when devices were heard last, as far as that is possible now; it must hold up nothing, least an end."""
        for group_id, lives in tuple(self._lives.items()):
            if not lives.unsaved:
                continue
            unsaved, lives.unsaved = lives.unsaved, set()
            try:
                await self._store.save_lives(group_id, {each: lives.last_seen[each] for each in unsaved})
            except HotspareError as error:
                lives.unsaved |= unsaved & lives.last_seen.keys()
                log_event(_log, logging.WARNING, "supervision_not_saved", problem=error)
                return


def _named(group: Group) -> dict[str, Any]:
    return {"arc_id": group.row.arc_id, "sub_account": group.row.sub_account}
