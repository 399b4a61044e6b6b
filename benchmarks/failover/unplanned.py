"""P1, P2 and P4: the working receiver is lost."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from random import Random

from benchmarks.failover.arrivals import NotInTime, wait_for
from benchmarks.failover.balance import duplicates_of, settle
from benchmarks.failover.faults import BEAT, Fault, Loss, mend, strike
from benchmarks.failover.load import Load
from benchmarks.failover.stage import PATIENCE, Stage
from benchmarks.figures import FAILED
from benchmarks.results import Fact, Round, Sample
from tests.acceptance.harness.book import Received

RATE = 50.0
"""Alarms a second of all devices: one every 20 ms."""
LIMIT = 30.0
"""Seconds after which a sample has failed. Far from any figure: it keeps a run from standing still."""
ANSWERED = 0.05
"""Seconds in which a device has its answer too, when an ARC has the alarm already."""

PILE_RATE = 100.0
PILE_TIME = 1.5
PILE_DELAY = 0.05
"""To have alarms in flight: so many a second, for so long, to an ARC that takes so long for each."""

Say = Callable[[str], None]


def lose(stage: Stage, faults: Sequence[Fault], turn: Round, rng: Random, say: Say) -> None:
    """P1 and P2: lose the working receiver once for each of `faults`, and measure until a new alarm is through.

    From right before the fault until the ARC of the next one acknowledged an alarm that was published after the fault
    by a device that had nothing in flight.
    """
    since, stalls = stage.arrivals.count(), stage.stalls()
    losses: list[Loss] = []
    firsts: list[Received | None] = []
    with Load(stage.panels, RATE, stage.arrivals) as load:
        for number, fault in enumerate(faults, 1):
            victim = _one_that_works(stage)
            # At any moment between two beats.
            time.sleep(rng.uniform(0, BEAT))
            mark = stage.arrivals.count()
            loss = strike(stage, victim, fault)
            first = _first_new(stage, load, loss, mark)
            mend(stage, loss)
            losses.append(loss)
            firsts.append(first)
            took = f"{first.arc} took over, {first.at - loss.at:.3f} s" if first else f"FAILED, not within {LIMIT:g} s"
            say(f"{fault.value} {number}/{len(faults)}: {victim} lost, {took}")
        stage.await_all_here()
        load.stop()
        account = settle(stage, load, since)
    doubled = duplicates_of(losses, stage.arrivals, since)
    for loss, first, duplicates in zip(losses, firsts, doubled, strict=True):
        successor = first.arc if first else ""
        facts = _facts(loss, duplicates) | {"next": successor}
        turn.samples.append(Sample(loss.fault.value, first.at - loss.at if first else FAILED, facts))
    turn.add({**account.facts(), "stalls": stage.stalls() - stalls})
    say(str(account))


def lose_with_alarms_in_flight(stage: Stage, faults: Sequence[Fault], turn: Round, rng: Random, say: Say) -> None:
    """P4: lose it with many alarms in flight, and measure until each that no ARC had has come through the next one."""
    for number, fault in enumerate(faults, 1):
        since, stalls = stage.arrivals.count(), stage.stalls()
        victim = stage.await_all_here()
        time.sleep(rng.uniform(0, BEAT))
        with _slow_arc(stage, victim), Load(stage.panels, PILE_RATE, stage.arrivals) as load:
            time.sleep(PILE_TIME)
            loss = strike(stage, victim, fault)
            load.stop()
        ends = _ends_of_those_in_flight(stage, load, loss, since)
        mend(stage, loss)
        stage.await_all_here()
        account = settle(stage, load, since)
        last = max(ends, default=FAILED)
        facts = _facts(loss, account.duplicates) | {"in flight": len(ends)}
        turn.samples.append(Sample(fault.value, last, facts))
        turn.add({**account.facts(), "stalls": stage.stalls() - stalls})
        say(f"{fault.value} {number}/{len(faults)}: {len(ends)} in flight, the last came after {last:.3f} s; {account}")


def _facts(loss: Loss, duplicates: int) -> dict[str, Fact]:
    return {"victim": loss.victim, "duplicates": duplicates, "load": loss.load}


def _one_that_works(stage: Stage) -> str:
    """The role that works, when all are here and alarms flow through it."""
    victim = stage.await_all_here()
    ready = time.monotonic()

    def flows() -> bool | None:
        last = stage.arrivals.last()
        return True if last is not None and last.at > ready and last.arc == victim else None

    wait_for(flows, PATIENCE, f"alarms flow through {victim}")
    return victim


def _first_new(stage: Stage, load: Load, loss: Loss, mark: int) -> Received | None:
    """The first receipt, at the ARC of another one, of an alarm that was published after the loss."""

    def look() -> Received | None:
        for receipt in stage.arrivals.since(mark):
            alarm = load.find(receipt.identity)
            if receipt.arc != loss.victim and alarm is not None and alarm.begun > loss.at:
                return receipt
        return None

    try:
        wait_for(look, LIMIT, "a new alarm through the next one")
    except NotInTime:
        return None
    # An ARC may have an alarm before its device has the answer, and so before it is known here what it was.
    time.sleep(ANSWERED)
    return look()


def _ends_of_those_in_flight(stage: Stage, load: Load, loss: Loss, since: int) -> list[float]:
    """For each alarm that was answered before the loss and had not come to an ARC: seconds until it came."""
    had = {each.identity for each in stage.arrivals.since(since) if each.at <= loss.at}
    waiting = [
        identity
        for alarm in load.published
        if alarm.answered <= loss.at and (identity := (alarm.account, alarm.sequence)) not in had
    ]
    deadline = loss.at + LIMIT
    while load.missing() and time.monotonic() < deadline:
        time.sleep(ANSWERED)
    firsts = [stage.arrivals.first(identity) for identity in waiting]
    return [FAILED if first is None else first.at - loss.at for first in firsts]


@contextmanager
def _slow_arc(stage: Stage, role: str) -> Iterator[None]:
    stage.arcs[role].delay = PILE_DELAY
    try:
        yield
    finally:
        stage.arcs[role].delay = 0.0
