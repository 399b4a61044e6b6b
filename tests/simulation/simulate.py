"""One seed: a cloud, four receivers, their ARCs, some devices; first faults, then healing and a demand for progress."""

import gc
import logging
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from unittest import mock

from hotspare_cloud.core.admission import Membership
from hotspare_cloud.store.base import AccountRow, DeviceRow
from hotspare_cloud.store.schema import MIGRATIONS
from hotspare_cloud.store.sqlite import SqliteStore
from hotspare_cloud.store.sqlite_steps import settings_to_json
from hotspare_model.group import GroupSettings, Role
from hotspare_receiver.store.schema import migrations
from hotspare_rpc.credentials import sha256
from tests.proof.checker import Checker
from tests.proof.facts import Able, Works
from tests.proof.history import History, Violation
from tests.proof.limits import Limits
from tests.simulation.arc import Arc
from tests.simulation.cloud import CloudNode
from tests.simulation.devices import Device
from tests.simulation.disk import InstantDatabase, at_once, blank, image_of
from tests.simulation.faults import Faults
from tests.simulation.names import ARC_ID, ARC_KEY, GROUP_ID, SUB_ACCOUNT, name_of, receiver_id, run_name
from tests.simulation.operators import Operators
from tests.simulation.receiver import ReceiverNode
from tests.simulation.technicians import Technicians
from tests.simulation.wire import Road, unchanged
from tests.simulation.world import Clock, LogWatch, World, boottime, wall_time

RATE_ERROR = 0.001
SHORT = GroupSettings(
    lease=timedelta(seconds=2),
    beat=timedelta(seconds=0.4),
    reconnect_grace=timedelta(seconds=0.4),
    suspect_after=timedelta(seconds=1),
    restart_grace=timedelta(seconds=1),
    unhealthy_after=timedelta(seconds=2),
    failback_delay=timedelta(seconds=2),
    drain_timeout=timedelta(seconds=1.5),
)
PROFILES = (GroupSettings(), GroupSettings(failback_delay=timedelta(seconds=1)), SHORT)
WINDOWS = (2, 5, 20, 256)
LOSSES = {2: 2, 20: 1}
"""With these windows fewer losses hold a receiver back: no seed is long enough for many."""

TELLING, BEATING = 0.5, 0.3
"""Parts of the seeds in which the receivers have account numbers of their own (F10), and heartbeats on idle links."""

BEGIN = 2.0
"""By then the group works."""

STEP = 0.25
RETURN = 2.0
"""Seconds that a receiver may need to be back at a cloud that serves again (F11)."""

DISLIKED = 4
"""In one world of so many the ARCs refuse one alarm of so many, whoever sends it."""

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

    def __init__(self, seed: int, *, traced: bool = False) -> None:
        self.world = world = World(seed, traced=traced)
        self.seed = seed
        dice = world.random
        self.settings = self._settings()
        world.checker = Checker(self._limits(self.settings))
        self.healed = False
        self.heal_at = BEGIN + dice.uniform(1.2, 4.2) * max(5.0, self.settings.lease.total_seconds())
        rows = [DeviceRow(GROUP_ID, f"panel-{index}", b"", str(1000 + index)) for index in range(1, dice.randint(2, 6))]
        self.cloud = CloudNode(world, self._clock(), _cloud_image(self.settings), rows)
        self.cloud.limits = self._limits
        self.receivers = [self._receiver(role) for role in Role]
        self.nodes = list(self.receivers)
        """The receivers, and those that run on copies of their folders."""
        told, beats = dice.random() < TELLING, dice.random() < BEATING
        for node in self.receivers:
            node.nodes = self.nodes
            node.account = f"F00{int(node.role)}" if told else ""
            node.heartbeat = timedelta(seconds=2) if beats else timedelta(0)
            node.arc.dislikes = DISLIKED if seed % DISLIKED == 0 else 0
        self.devices = [Device(world, row, self.cloud) for row in rows]
        self.cloud.on_over = self._taken_as_stopped
        self.faults = Faults(self, BEGIN, self.heal_at)
        refusals = self.settings.set_aside_after
        choices = tuple(replace(profile, window=dice.choice(WINDOWS), set_aside_after=refusals) for profile in PROFILES)
        self.operators = Operators(self, BEGIN, self.heal_at, choices)
        self.technicians = Technicians(self, BEGIN, self.heal_at)
        self._able: set[str] = set()
        self._working: set[str] = set()

    def _settings(self) -> GroupSettings:
        dice = self.world.random
        profile = dice.choice(PROFILES)
        window = dice.choice(WINDOWS)
        # Whether a fault of an ARC lasts until an alarm is set aside is no matter of the dice.
        refusals = 2 if self.seed % 8 < 5 else profile.set_aside_after
        losses = LOSSES.get(window, profile.losses_per_hour)
        return replace(profile, window=window, losses_per_hour=losses, set_aside_after=refusals)

    def _clock(self) -> Clock:
        dice = self.world.random
        # Mostly at the bounds: what lies between is easier.
        error = dice.choice((-RATE_ERROR, RATE_ERROR, dice.uniform(-RATE_ERROR, RATE_ERROR)))
        return Clock(self.world, 1.0 + error, dice.uniform(1_000, 100_000))

    def _receiver(self, role: Role) -> ReceiverNode:
        name = name_of(receiver_id(role))
        road = Road(self.world, name, lambda: self.cloud.service)
        arc = Arc(self.world, f"arc-{name}")
        return ReceiverNode(self.world, self._clock(), _receiver_image(), role, road, arc)

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
        while time < self.heal_at and world.violation is None:
            time += STEP
            world.run(time)
            self._note_who_works()
        self.healed = True
        self.faults.heal()
        self.operators.put_in_order()
        self.technicians.keep_in_order()
        done = False
        while world.violation is None and not done and world.now < self.heal_at + self.bound:
            world.run(world.now + STEP)
            self._note_who_works()
            done = self._done()
        if world.violation is None and not done:
            world.violated("liveness", f"{self.bound:.0f} s after the healing: {self._left()}")
        if world.violation is None:
            self._check_end()
        return world.now - self.heal_at

    @property
    def bound(self) -> float:
        """Seconds within which all must be well again after the healing."""
        settings = self.cloud.group.state.settings if self.cloud.group else self.settings
        return 50.0 + settings.failback_delay.total_seconds()

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
        for process in (*self.cloud.processes, *(each for node in self.nodes for each in node.processes)):
            process.bury()

    # What must be so.

    def _done(self) -> bool:
        group = self.cloud.group
        return (
            group is not None
            and self.technicians.done
            and all(device.done for device in self.devices)
            and not self.world.checker.alarms.missing()
            and (self.seed % 3 > 0 or not self.cloud.set_aside)
            and all(node.settled for node in self.receivers)
            and self.receivers[0].may_write()
            and group.state.holder is not None
            and group.state.holder.receiver_id == self.receivers[0].receiver_id
            and not group.state.holds
            and group.state.pause is None
            and group.state.pin is None
            and group.backlog == 0
            and group.delivery.window.outstanding == 0
        )

    def _left(self) -> str:
        group = self.cloud.group
        window = group.delivery.window if group else None
        return (
            f"roles {self.technicians.done}, missing {self.world.checker.alarms.missing()[:5]},"
            f" unanswered {[device.row.device_id for device in self.devices if not device.done]},"
            f" unsettled {[node.name for node in self.receivers if not node.settled]},"
            f" holder {run_name(group.state.holder.incarnation) if group and group.state.holder else None},"
            f" working {[node.name for node in self.receivers if node.may_write()]},"
            f" pause {group.state.pause if group else None}, pin {group.state.pin if group else None},"
            f" held back {sorted(group.state.held_back) if group else None},"
            f" holds {group.state.holds if group else None}, backlog {group.backlog if group else None},"
            f" outstanding {window.outstanding if window else None}, held {window.held() if window else None}"
        )

    def _check_end(self) -> None:
        self.world.checker.end(self.world.now)
        self.world.look()
        alarms, group = self.world.checker.alarms, self.cloud.group
        aside = self.cloud.set_aside
        if not alarms.was_restored and aside != alarms.aside:
            self.world.violated("A5", f"set aside are {alarms.aside}, and listed {aside}")
        if group is not None and group.aside.now != len(aside):
            self.world.violated("A5", f"{len(aside)} alarms are set aside, and counted {group.aside.now}")
        window = self.cloud.group.delivery.window if self.cloud.group else None
        if window is not None and window.held():
            self.world.violated("liveness", f"{window.held()} alarms are held, and no hold is left")

    def _note_who_works(self) -> None:
        """Who could work, and who does: while nothing changes and one could, one works (F3)."""
        world, cloud = self.world, self.cloud
        cloud_well = cloud.running and not cloud.disk.full and cloud.disk.commit_takes[1] < 0.2
        for node in self.receivers:
            able = cloud_well and node.running and not any(node.road.cut) and node.road.takes[0][1] < 0.1
            able = able and node.road.takes[1][1] < 0.1 and node.work is not None and not node.work.guard.stopping
            able = able and not node.refused and node.road.passes is unchanged
            if node.superseded and not any(each.folder and each.receiver_id == node.receiver_id for each in self.nodes):
                world.violated("F7", f"the living {node.name} was put out for a process that is dead")
            if able is not (node.name in self._able):
                self._able ^= {node.name}
                world.add(Able(world.now, node.name, able))
        for node in self.nodes:
            works, name = node.may_write(), f"{node.name}{node.folder}"
            if works is not (name in self._working):
                self._working ^= {name}
                world.add(Works(world.now, name, works))
        world.checker.moves.look(world.now)
        world.look()

    def _limits(self, settings: GroupSettings) -> Limits:
        idle = (settings.suspect_after + settings.restart_grace).total_seconds() + RETURN
        order = tuple(name_of(receiver_id(role)) for role in Role)
        # Clocks are off by this, over the longest of the delays.
        slack = 2 * RATE_ERROR * settings.failback_delay.total_seconds()
        return replace(Limits.of(settings, slack=slack), idle=idle, order=order, inside=True)

    def _taken_as_stopped(self, epoch: int, incarnation: str) -> None:
        """The cloud takes a holder as stopped: it has to be."""
        for node in self.nodes:
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
        stack.enter_context(mock.patch("time.time", wall_time))
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
    sim = Simulation(seed, traced=logs)
    with simulated(sim.world, logs=logs):
        try:
            healing = sim.run()
        finally:
            sim.close()
            random.setstate(dice)
    world, checker = sim.world, sim.world.checker
    return Result(
        seed=seed,
        violation=world.violation,
        error=world.error,
        history=world.history,
        seconds=world.now,
        healing=healing,
        published=len(checker.alarms.published),
        received=checker.alarms.received,
        duplicates=checker.alarms.duplicates,
        epochs=len(checker.epochs.known),
        faults=(*sim.faults.kinds, *sim.operators.kinds, *sim.technicians.kinds),
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
