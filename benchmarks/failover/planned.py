"""P3: the work is handed over as planned."""

import signal
import time
from dataclasses import dataclass
from enum import Enum

from benchmarks.failover.balance import settle
from benchmarks.failover.load import Load
from benchmarks.failover.stage import PATIENCE, Stage
from benchmarks.failover.unplanned import Say
from benchmarks.figures import longest_gap
from benchmarks.results import Fact, Round, Sample
from benchmarks.tables import NO_MOVE

RATE = 200.0
"""Alarms a second of all devices."""
AROUND = 0.5
"""Seconds before and after the move that belong to it."""


class Move(Enum):
    """A hand-over. The values are the names in tables."""

    SWITCHOVER = "switchover"
    SIGTERM = "SIGTERM"
    FAILBACK = "failback"


@dataclass(frozen=True)
class Moved:
    """One that was done: from its cause, as far as that can be seen from outside, until the next one worked."""

    move: Move
    begin: float
    end: float
    next: str


def hand_over(stage: Stage, switchovers: int, returns: int, turn: Round, say: Say) -> None:
    """Measure the longest time without an alarm at any ARC around each hand-over, and what was lost or came twice.

    `returns`: how often the host is stopped by SIGTERM and comes back by failback.
    """
    since, stalls = stage.arrivals.count(), stage.stalls()
    done: list[Moved] = []
    quiet: list[tuple[float, float]] = []
    with Load(stage.panels, RATE, stage.arrivals) as load:
        for number in range(switchovers):
            quiet.append(_nothing(stage))
            done.append(_switch_over(stage))
            _tell(stage, done[-1], number, switchovers, say)
        if switchovers:
            _go_home(stage)
        for number in range(returns):
            quiet.append(_nothing(stage))
            done.append(_terminate(stage, "host"))
            _tell(stage, done[-1], number, returns, say)
            done.append(_come_back(stage, "host"))
            _tell(stage, done[-1], number, returns, say)
        stage.await_all_here()
        load.stop()
        account = settle(stage, load, since)
    times = [each.at for each in stage.arrivals.since(since)]
    again = _times_of_second_receipts(stage, since)
    for moved in done:
        begin, end = moved.begin - AROUND, moved.end + AROUND
        duplicates = sum(1 for at in again if begin <= at <= end)
        facts: dict[str, Fact] = {"next": moved.next, "duplicates": duplicates}
        turn.samples.append(Sample(moved.move.value, longest_gap(times, begin, end), facts))
    for begin, end in quiet:
        turn.samples.append(Sample(NO_MOVE, longest_gap(times, begin, end)))
    turn.add({**account.facts(), "stalls": stage.stalls() - stalls})
    say(str(account))


def _nothing(stage: Stage) -> tuple[float, float]:
    stage.await_all_here()
    begin = time.monotonic()
    time.sleep(2 * AROUND)
    return begin, time.monotonic()


def _switch_over(stage: Stage) -> Moved:
    target = "spare1" if stage.worker() == "host" else "host"
    epoch, begin = stage.epoch_now, time.monotonic()
    stage.switch_over(target)
    return _moved(stage, Move.SWITCHOVER, epoch, begin)


def _terminate(stage: Stage, role: str) -> Moved:
    epoch = stage.epoch_now
    begin = stage.receivers[role].signal(signal.SIGTERM)
    moved = _moved(stage, Move.SIGTERM, epoch, begin)
    stage.receivers[role].wait()
    return moved


def _come_back(stage: Stage, role: str) -> Moved:
    epoch = stage.epoch_now
    stage.receivers[role].start()
    # When the cloud tells the other one to yield can't be seen from here; when the host begins can.
    at, successor = stage.await_epoch_after(epoch)
    time.sleep(AROUND)
    return Moved(Move.FAILBACK, at - AROUND, at, successor)


def _moved(stage: Stage, move: Move, epoch: int, begin: float) -> Moved:
    at, successor = stage.await_epoch_after(epoch)
    time.sleep(AROUND)
    return Moved(move, begin, at, successor)


def _go_home(stage: Stage) -> None:
    """End the pin; the host works again by failback, which is not measured here."""
    stage.resume()
    deadline = time.monotonic() + PATIENCE
    while stage.await_all_here() != "host":
        if time.monotonic() > deadline:
            raise RuntimeError("the host does not work again")
        time.sleep(AROUND)


def _tell(stage: Stage, moved: Moved, number: int, of: int, say: Say) -> None:
    times = [each.at for each in stage.arrivals.since(max(0, stage.arrivals.count() - 2000))]
    gap = longest_gap(times, moved.begin - AROUND, moved.end + AROUND)
    say(f"{moved.move.value} {number + 1}/{of}: to {moved.next}, no alarm for {gap * 1e3:.0f} ms")


def _times_of_second_receipts(stage: Stage, since: int) -> list[float]:
    receipts = stage.arrivals.since(since)
    return [each.at for each in receipts if stage.arrivals.first(each.identity) is not each]
