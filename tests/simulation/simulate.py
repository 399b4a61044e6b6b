"""One seed: a cloud, four receivers, their ARCs, some devices; first faults, then healing and a demand for progress."""

import gc
import logging
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from unittest import mock

from hotspare_cloud.core.admission import Membership
from hotspare_cloud.store.base import AccountRow, DeviceRow
from hotspare_cloud.store.schema import MIGRATIONS
from hotspare_cloud.store.sqlite import SqliteStore
from hotspare_cloud.store.sqlite_groups import settings_to_json
from hotspare_model.group import GroupSettings, Role
from hotspare_receiver.store.schema import migrations
from hotspare_rpc.credentials import sha256
from tests.simulation.actors import (
    ARC_ID,
    ARC_KEY,
    GROUP_ID,
    SUB_ACCOUNT,
    CloudNode,
    ReceiverNode,
    name_of,
    receiver_id,
    run_name,
)
from tests.simulation.arc import Arc
from tests.simulation.devices import Device
from tests.simulation.disk import InstantDatabase, at_once, blank, image_of
from tests.simulation.faults import Faults
from tests.simulation.history import History, Violation
from tests.simulation.judge import Judge
from tests.simulation.wire import Road
from tests.simulation.world import Clock, LogWatch, World, boottime

RATE_ERROR = 0.001
SHORT = GroupSettings(
    lease=timedelta(seconds=2),
    beat=timedelta(seconds=0.4),
    reconnect_grace=timedelta(seconds=0.4),
    suspect_after=timedelta(seconds=1),
    restart_grace=timedelta(seconds=1),
    failback_delay=timedelta(seconds=2),
    drain_timeout=timedelta(seconds=1.5),
)
PROFILES = (GroupSettings(), GroupSettings(failback_delay=timedelta(seconds=1)), SHORT)
WINDOWS = (2, 5, 20, 256)

BEGIN = 2.0
"""By then the group works."""

STEP = 0.25
RETURN = 2.0
"""Seconds that a receiver may need to be back at a cloud that serves again (F11)."""

LOGGERS = ("hotspare_cloud", "hotspare_receiver")


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a seed."""

    seed: int
    violation: Violation | None
    error: BaseException | None
    history: History
    seconds: float
    """Virtual time."""
    healing: float
    """Seconds from the healing until nothing was left to do."""
    published: int
    received: int
    duplicates: int
    epochs: int
    faults: tuple[str, ...]


class Simulation:
    """One seed's world."""

    def __init__(self, seed: int) -> None:
        self.world = world = World(seed)
        self.seed = seed
        dice = world.random
        self.settings = self._settings()
        self.judge = Judge(self.settings.window, world.violated)
        self.healed = False
        self.heal_at = BEGIN + dice.uniform(1.2, 4.2) * max(5.0, self.settings.lease.total_seconds())
        rows = [DeviceRow(GROUP_ID, f"panel-{index}", b"", str(1000 + index)) for index in range(1, dice.randint(2, 6))]
        self.cloud = CloudNode(world, self.judge, self._clock(), _cloud_image(self.settings), rows)
        self.receivers = [self._receiver(role) for role in Role]
        for node in self.receivers:
            node.nodes = self.receivers
        self.devices = [Device(world, row, self.cloud, self.judge) for row in rows]
        self.cloud.on_over = self._taken_as_stopped
        self.faults = Faults(self, BEGIN, self.heal_at)
        self._able_since: dict[str, float] = {}
        self._worked_at = 0.0

    def _settings(self) -> GroupSettings:
        dice = self.world.random
        profile = dice.choice(PROFILES)
        return GroupSettings(
            **{name: getattr(profile, name) for name in GroupSettings.__dataclass_fields__}
            | {"window": dice.choice(WINDOWS)}
        )

    def _clock(self) -> Clock:
        dice = self.world.random
        # Mostly at the bounds: what lies between is easier.
        error = dice.choice((-RATE_ERROR, RATE_ERROR, dice.uniform(-RATE_ERROR, RATE_ERROR)))
        return Clock(self.world, 1.0 + error, dice.uniform(1_000, 100_000))

    def _receiver(self, role: Role) -> ReceiverNode:
        name = name_of(receiver_id(role))
        road = Road(self.world, name, lambda: self.cloud.service)
        arc = Arc(self.world, f"arc-{name}")
        return ReceiverNode(self.world, self.judge, self._clock(), _receiver_image(), role, road, arc)

    # The course.

    def run(self) -> float:
        """Run it. Returns the seconds that healing took."""
        world, dice = self.world, self.world.random
        self.cloud.start()
        for node in self.receivers:
            world.at(dice.uniform(0.05, 0.6), node.start)
        for device in self.devices:
            self._publish(device, rate=dice.choice((0.5, 1.0, 2.0)))
        time = 0.0
        while time < self.heal_at and world.history.violation is None:
            time += STEP
            world.run(time)
            self._check_worked()
        self.healed = True
        self.faults.heal()
        limit = self.bound
        while world.history.violation is None and not (done := self._done()) and world.now < self.heal_at + limit:
            world.run(world.now + STEP)
            self._check_worked()
        if world.history.violation is None and not done:
            world.violated("liveness", f"{limit:.0f} s after the healing: {self._left()}")
        if world.history.violation is None:
            self._check_end()
        return world.now - self.heal_at

    @property
    def bound(self) -> float:
        """Seconds within which all must be well again after the healing."""
        return 40.0 + self.settings.failback_delay.total_seconds()

    def _publish(self, device: Device, rate: float) -> None:
        dice = self.world.random
        time = 0.7 + dice.expovariate(rate)
        while time < self.heal_at + 2.0:
            for _ in range(dice.choice((1, 1, 1, 6))):
                self.world.at(time, device.happens)
            time += dice.expovariate(rate) * 4 + 0.05

    def close(self) -> None:
        """Let everything end quietly."""
        self.world.ended = True
        for process in (*self.cloud.processes, *(each for node in self.receivers for each in node.processes)):
            process.bury()

    # What must be so.

    def _done(self) -> bool:
        group = self.cloud.group
        return (
            group is not None
            and all(device.done for device in self.devices)
            and not self.judge.missing()
            and all(node.settled for node in self.receivers)
            and self.receivers[0].may_write()
            and group.state.holder is not None
            and group.state.holder.receiver_id == self.receivers[0].receiver_id
            and not group.state.holds
            and group.backlog == 0
            and group.delivery.window.outstanding == 0
        )

    def _left(self) -> str:
        group = self.cloud.group
        window = group.delivery.window if group else None
        return (
            f"missing {self.judge.missing()[:5]}, unanswered {[d.row.device_id for d in self.devices if not d.done]},"
            f" unsettled {[node.name for node in self.receivers if not node.settled]},"
            f" holder {run_name(group.state.holder.incarnation) if group and group.state.holder else None},"
            f" working {[node.name for node in self.receivers if node.may_write()]},"
            f" holds {group.state.holds if group else None}, backlog {group.backlog if group else None},"
            f" outstanding {window.outstanding if window else None}, held {window.held() if window else None}"
        )

    def _check_end(self) -> None:
        if unmatched := self.judge.unmatched():
            self.world.violated("A4", f"confirmed, and no ARC has them: {unmatched}")
        window = self.cloud.group.delivery.window if self.cloud.group else None
        if window is not None and window.held():
            self.world.violated("liveness", f"{window.held()} alarms are held, and no hold is left")

    def _check_worked(self) -> None:
        """While nothing changes and one could work, one works (F3)."""
        now = self.world.now
        cloud_well = self.cloud.running and not self.cloud.disk.full and self.cloud.disk.commit_takes[1] < 0.2
        for node in self.receivers:
            well = cloud_well and node.running and not any(node.road.cut) and node.road.takes[0][1] < 0.1
            well = well and node.road.takes[1][1] < 0.1 and node.work is not None and not node.work.guard.stopping
            if not well:
                self._able_since.pop(node.name, None)
            else:
                self._able_since.setdefault(node.name, now)
        if any(node.may_write() for node in self.receivers):
            self._worked_at = now
        since = min(self._able_since.values(), default=now)
        limit = (self.settings.suspect_after + self.settings.restart_grace).total_seconds() + RETURN
        if now - max(since, self.faults.last_change, self._worked_at) > limit:
            self.world.violated("F3", f"nobody works, though {sorted(self._able_since)} could since {since:.1f} s")

    def _taken_as_stopped(self, epoch: int, incarnation: str) -> None:
        """The cloud takes a holder as stopped: it has to be."""
        for node in self.receivers:
            if node.process is not None and node.process.name == incarnation and node.may_write(epoch):
                self.world.violated(
                    "lease", f"the cloud takes epoch {epoch} as over, and {incarnation} may still write under it"
                )


@contextmanager
def simulated(world: World, *, logs: bool) -> Iterator[None]:
    """Give the code under test the world's clock, and its log to the history."""
    handler = LogWatch(world)
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(logger, logger.level, logger.propagate) for logger in loggers]
    with ExitStack() as stack:
        for place in ("hotspare_cloud.clock", "hotspare_cloud.group", "hotspare_cloud.services.alarm_pull"):
            stack.enter_context(mock.patch(f"{place}.boottime", boottime))
        for logger in loggers:
            logger.addHandler(handler)
            logger.setLevel(logging.INFO if logs else logging.ERROR)
            logger.propagate = False
        collecting = gc.isenabled()
        gc.disable()
        try:
            yield
        finally:
            if collecting:
                gc.enable()
            for logger, level, propagate in before:
                logger.removeHandler(handler)
                logger.setLevel(level)
                logger.propagate = propagate


def simulate(seed: int, *, logs: bool = False) -> Result:
    """Run one seed. With `logs` the log of the code under test stands in the history."""
    dice = random.getstate()
    # Backoffs of the code under test take their randomness here.
    random.seed(seed)
    sim = Simulation(seed)
    with simulated(sim.world, logs=logs):
        try:
            healing = sim.run()
        finally:
            sim.close()
            random.setstate(dice)
    history = sim.world.history
    return Result(
        seed=seed,
        violation=history.violation,
        error=history.error,
        history=history,
        seconds=sim.world.now,
        healing=healing,
        published=len(sim.judge.published),
        received=sim.judge.received,
        duplicates=sim.judge.duplicates,
        epochs=len(sim.judge.epochs),
        faults=tuple(sim.faults.kinds),
    )


@cache
def _furnished() -> bytes:
    connection = blank(MIGRATIONS)
    store = SqliteStore(InstantDatabase(connection))
    at_once(store.create_account(AccountRow(ARC_ID, sha256(ARC_KEY), 0.0), [SUB_ACCOUNT]))
    for generation, role in enumerate(Role, 1):
        who = receiver_id(role)
        member = Membership(who, role, generation, name_of(who), f"machine-{name_of(who)}", "", "1", False, "", 0.0)
        at_once(store.save_member(GROUP_ID, member, generation))
    return image_of(connection)


@cache
def _cloud_image(settings: GroupSettings) -> bytes:
    connection = blank(MIGRATIONS)
    connection.deserialize(_furnished())
    connection.execute("UPDATE grp SET settings = ?", (settings_to_json(settings),))
    return image_of(connection)


@cache
def _receiver_image() -> bytes:
    return image_of(blank(migrations))
