"""Supervision of the devices that are connected directly (A9): the host decides, by the same rules as the cloud for its
own path (`hotspare_model.supervision`, `hotspare_model.outages`).

An event is an alarm of the device, made here. It is kept with its alarm id before it is handed to the intake, and until
the intake has said that it is durable: at the cloud, or here while this host is cut off (D4). Handed over again, after
any end of this process, it is the same alarm (A2).
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial

from hotspare_model.alarm import AlarmPath
from hotspare_model.digest import RecordKind
from hotspare_model.errors import HotspareError
from hotspare_model.outages import TURN, Outages, Verdict
from hotspare_model.supervision import AS_USUAL, BURST, Path, Supervisor, Tell, Watched, event
from hotspare_receiver.clock import Clock
from hotspare_receiver.direct.intake import DirectAlarm, DirectIntake
from hotspare_receiver.snapshot import LinkState, PathSnapshot
from hotspare_receiver.store.configuration import ConfigurationStore
from hotspare_receiver.store.direct_lives import DirectLives, Intention
from hotspare_receiver.store.draft import Draft, Head
from hotspare_rpc.alarm_ids import uuid7
from hotspare_rpc.logs import log_event
from hotspare_rpc.records import watched_of

SAVE_EVERY = 60.0
"""Seconds by which a time of the last sign of life may be behind in the store."""

AGAIN = 5.0
"""Seconds until an event that was not taken is handed over again."""

PULSE = 1.0
"""Seconds between what proves that our own network works: the cloud, or an ARC, that is reached."""

_READ_TOGETHER = 200

_log = logging.getLogger(__name__)


class DirectSupervision:
    """The devices of the direct path. Call it in the loop."""

    def __init__(
        self,
        lives: DirectLives,
        configuration: ConfigurationStore,
        intake: DirectIntake,
        reaches_anyone: Callable[[], bool],
        clock: Clock,
    ) -> None:
        """`reaches_anyone`: whether the cloud or an ARC is reached, so that silence is not our own network's."""
        self.events = {"silent": 0, "back": 0}
        """Events that became durable since the start."""
        self.supervisor = Supervisor(clock.now())
        self._lives = lives
        self._configuration = configuration
        self._intake = intake
        self._reaches_anyone = reaches_anyone
        self._clock = clock
        self._outages = Outages(clock.now())
        self._reached = False
        self._last_seen: dict[str, float] = {}
        self._unsaved: set[str] = set()
        self._unknown: dict[str, float] = {}
        """Devices that were heard, and whose records have to be read first."""
        self._known_head = Head()
        self._intentions: dict[str, tuple[Intention, Tell]] = {}
        """What is to be told, in its order."""
        self._try_at = clock.now()
        self._handing_over: asyncio.Task[None] | None = None
        self._save_at = clock.now() + SAVE_EVERY
        self._task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Devices of which the ARC is still to be told."""
        return self.supervisor.waiting + len(self._intentions)

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="direct-supervision")

    async def stop(self) -> None:
        """End it, and store when devices were heard last."""
        tasks = [task for task in (self._task, self._handing_over) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._task is not None:
            self._task = None
            try:
                await self._save()
            except HotspareError as error:
                log_event(_log, logging.WARNING, "supervision_not_saved", problem=error.message)

    def heard(self, device_id: str, path: AlarmPath) -> None:
        """A sign of life on the direct path. An event that was made here is none."""
        if path is AlarmPath.SYSTEM:
            return
        now = self._clock.now()
        self._outages.heard(now)
        if device_id not in self.supervisor:
            self._unknown[device_id] = now
            return
        self._last_seen[device_id] = self._clock.wall().timestamp()
        self._unsaved.add(device_id)
        # Its return is told with the next turn: what it publishes with this call is on its way to the intake already.
        tell = self.supervisor.heard(device_id, now)
        if tell is not None:
            self.supervisor.failed(tell)

    # Time.

    async def _run(self) -> None:
        is_loaded = False
        while True:
            try:
                if is_loaded:
                    await self.turn(self._clock.now())
                else:
                    await self.load()
                    is_loaded = True
            except HotspareError as error:
                log_event(_log, logging.WARNING, "supervision_not_stored", problem=error.message)
            except Exception as error:
                log_event(_log, logging.ERROR, "supervision_failed", error=error)
            await asyncio.sleep(TURN)

    async def load(self) -> None:
        """Read what is stored. Before the first turn; when it failed it can be done again. It writes nothing: a disk
        that is full must not keep devices from being missed."""
        rows = await self._lives.all()
        self._known_head = self._configuration.head
        now, records = self._clock.now(), await self._records([row.device_id for row in rows])
        for row in rows:
            watched = records[row.device_id]
            if watched is None:
                self._unknown.setdefault(row.device_id, now)  # The first turn finds that it is gone, and forgets it.
                continue
            self._last_seen[row.device_id] = row.last_seen
            intention = row.intention
            told = row.told if intention is None else not intention.silent
            self.supervisor.put(row.device_id, watched, now, heard=True, told=told)
            if intention is not None:
                tell = self.supervisor.resume(row.device_id, silent=intention.silent)
                self._intentions[row.device_id] = (intention, tell)

    async def turn(self, now: float) -> None:
        """One look, each TURN. Raises HotspareError DISK_LOW, STORE_FAILED: what was to be done is done later."""
        await self._follow(now)
        if self._reaches_anyone():
            self._reached = True
            self._outages.pulse(now)
        verdict = self._outages.look(now, beat=PULSE if self._reached else 0.0, storing=self._intake.open)
        if verdict is Verdict.GRACE:
            log_event(_log, logging.WARNING, "supervision_grace", outages=self._outages.count)
            self.supervisor.grace(now)
        elif verdict is Verdict.JUDGE:
            await self._judge(now)
        is_idle = self._handing_over is None or self._handing_over.done()
        if is_idle and self._intake.open and self._intentions and now >= self._try_at:
            # Beside the turns: one that has to wait for the cloud must not look like a standstill of ours.
            self._handing_over = asyncio.create_task(self._hand_over(), name="direct-supervision-events")
        if now >= self._save_at:
            self._save_at = now + SAVE_EVERY
            await self._save()

    async def _judge(self, now: float) -> None:
        was_in_storm = self.supervisor.in_storm
        tells = self.supervisor.tick(now, BURST - len(self._intentions))
        if self.supervisor.in_storm and not was_in_storm:
            log_event(_log, logging.WARNING, "supervision_storm", silent=self.supervisor.silent)
        if not tells:
            return
        at = self._clock.wall().timestamp()
        intended = [
            (Intention(each.device_id, str(uuid7()), each.silent, at, self._last_seen.get(each.device_id, at)), each)
            for each in tells
        ]
        try:
            await self._lives.intend(intention for intention, _ in intended)
        except HotspareError:
            for tell in tells:
                self.supervisor.failed(tell)
            raise
        self._intentions |= {intention.device_id: (intention, tell) for intention, tell in intended}

    async def _hand_over(self) -> None:
        """Hand what is to be told to the intake, until one is not taken."""
        for intention, tell in tuple(self._intentions.values()):
            try:
                await self._intake.accept(self._alarm(intention))
                await self._lives.done(intention)
            except HotspareError as error:
                # A device that the cloud does not know yet may get there; one that is gone is dropped by its record.
                log_event(_log, logging.WARNING, "supervision_not_told", problem=error.message)
                self._try_at = self._clock.now() + AGAIN
                return
            what = "silent" if intention.silent else "back"
            self.events[what] += 1
            log_event(_log, logging.INFO, f"direct_device_{what}", device_id=intention.device_id)
            self._intentions.pop(intention.device_id, None)
            self.supervisor.told(tell)

    def _alarm(self, intention: Intention) -> DirectAlarm:
        at = datetime.fromtimestamp(intention.at, UTC)
        alarm = event(
            Path.DIRECT,
            intention.alarm_id,
            intention.device_id,
            silent=intention.silent,
            at=at,
            last_seen=datetime.fromtimestamp(intention.last_seen, UTC),
            interval=self.supervisor.interval(intention.device_id),
        )
        return DirectAlarm(alarm, AlarmPath.SYSTEM, at, b"")

    # What is stored.

    async def _follow(self, now: float) -> None:
        """Take over what the records say of devices that are new here, or whose configuration changed."""
        head, asked = self._configuration.head, set(self._unknown)
        if head != self._known_head:
            asked |= self._last_seen.keys()
        if not asked:
            return
        records = await self._records(asked)
        self._known_head = head
        gone = [device_id for device_id, watched in records.items() if watched is None]
        for device_id, watched in records.items():
            heard_at = self._unknown.pop(device_id, None)
            if watched is None:
                continue
            self.supervisor.put(device_id, watched, now)
            if heard_at is not None:
                self.heard(device_id, AlarmPath.DIRECT_GRPC)
                self._save_at = now  # That it was ever there must outlive us, or it would never be missed.
        for device_id in gone:
            self.supervisor.drop(device_id)
            self._intentions.pop(device_id, None)
            self._last_seen.pop(device_id, None)
            self._unsaved.discard(device_id)
        await self._lives.forget(gone)

    async def _records(self, device_ids: Iterable[str]) -> dict[str, Watched | None]:
        """How devices are supervised; None: there is no such device."""
        found: dict[str, Watched | None] = {}
        names = sorted(device_ids)
        for start in range(0, len(names), _READ_TOGETHER):
            some = names[start : start + _READ_TOGETHER]
            for name, record in (await self._configuration.look(partial(_read, names=some))).items():
                found[name] = _watched(name, record) if record else None
        return found

    async def _save(self) -> None:
        unsaved, self._unsaved = self._unsaved, set()
        try:
            await self._lives.save({each: self._last_seen[each] for each in unsaved})
        except HotspareError:
            self._unsaved |= unsaved & self._last_seen.keys()
            raise


def reaches_anyone(snapshot: PathSnapshot) -> bool:
    """Whether the cloud or an ARC is reached: then our own network is there."""
    return snapshot.cloud.connected or any(output.link is LinkState.UP for output in snapshot.outputs)


def _read(draft: Draft, names: Iterable[str]) -> dict[str, bytes | None]:
    return {name: draft.get(RecordKind.DEVICE, name) for name in names}


def _watched(name: str, record: bytes) -> Watched:
    try:
        return watched_of(record)
    except HotspareError as error:
        log_event(_log, logging.ERROR, "device_not_read", device_id=name, problem=error.message)
        return AS_USUAL
