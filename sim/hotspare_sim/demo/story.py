"""What happens in the demo: the host is killed, spare 1 takes over, the host returns; a switchover, and its end; then a
change of the configuration on the host, which the spares take over."""

import asyncio
import shlex
import time
from dataclasses import dataclass

from hotspare_sim.core.ledger import Delivery, first_published_after
from hotspare_sim.demo.cast import ROLES
from hotspare_sim.demo.children import DemoError, run_command
from hotspare_sim.demo.screen import Tone
from hotspare_sim.demo.stage import Stage
from hotspare_sim.publish import Way

FLOW = 6.0
"""Seconds of alarms before the kill."""
PAUSE = 3.0
"""Seconds of alarms after a move, for who watches."""
FIRST_ALARM = 30.0
TAKEOVER = 30.0
HELD = 30.0
LONGEST_HOLD = 10.0
START = 30.0
RETURN = 60.0
SYNCED = 15.0
"""Seconds after which what was waited for has failed."""


@dataclass
class Outcome:
    """The times of the moves, in seconds."""

    takeover: float | None = None
    """From the kill to the first alarm, published after it, that the ARC acknowledged."""
    held: float | None = None
    """From the kill until no alarm of the host's was held any more. None: it had none in hand."""
    returned: float | None = None
    """From the start of the host to the first alarm through it, `failback_delay` included."""
    return_gap: float | None = None
    """Between the last alarm through spare 1 and the first one through the host."""
    switched: float | None = None
    """From the command of the switchover to the first alarm through spare 2."""
    resumed: float | None = None
    """From the command that ends it to the first alarm through the host again."""
    synced: float | None = None
    """From the command that changed a device on the host until all spares had the change."""
    reconnected: float | None = None
    """From the start of the host until it had an alarm of a panel by DC-09 again; only where panels have two paths."""

    @property
    def done(self) -> bool:
        """Whether all of it happened. `reconnected` is waited for where it has to happen."""
        return None not in (self.takeover, self.returned, self.switched, self.resumed, self.synced)


async def play_round(stage: Stage, outcome: Outcome) -> None:
    """One round; `outcome` is filled in on the way. Raises DemoError when something does not happen."""
    await _flow(stage)
    killed = await _take_over(stage, outcome)
    await _held(stage, outcome, killed)
    await _return(stage, outcome)
    await _switch_over(stage, outcome)
    await _resume(stage, outcome)
    await _edit(stage, outcome)


async def go_on(stage: Stage) -> None:
    """Without end; what somebody kills is started again."""
    stage.revives = True
    pids = ", ".join(f"{one.title} {one.receiver.pid}" for one in stage.cast.stations.values())
    stage.now = "the round is done; it goes on until Ctrl-C"
    stage.screen.say(
        "The round is done, and it goes on until Ctrl-C. Kill one yourself, it is started again soon: "
        f"kill -9 PID ({pids}, the cloud {stage.cast.cloud.pid})",
        Tone.GOOD,
    )
    while True:
        await stage.step()


async def _flow(stage: Stage) -> None:
    stage.now = "the devices begin"
    await stage.until(
        lambda _: stage.ledger.confirmed > 0, FIRST_ALARM, "an alarm that the ARC of the host acknowledges"
    )
    stage.now = "alarms flow from the devices through the cloud and the host to the ARC"
    stage.screen.say("Alarms flow.", Tone.GOOD)
    if stage.cast.ways.direct:
        # The first ones may have been there before the host knew its panels.
        await stage.until(lambda _: stage.books.by_way[Way.DIRECT] > 0, FIRST_ALARM, "an alarm over DC-09 to the host")
        stage.now = "alarms flow from the panels by DC-09 to the host, through the cloud, and to the ARC"
        stage.screen.say("The panels speak DC-09 to the host, which publishes their alarms at the cloud.", Tone.GOOD)
    await stage.wait(FLOW)


async def _take_over(stage: Stage, outcome: Outcome) -> float:
    """Kill the host, and wait until alarms flow through spare 1. Returns the clock at the kill."""
    host = stage.cast.host.receiver
    stage.now = "the host is dead; the cloud waits a second for it to come back"
    cut_off = ", and with it its listener: the panels go on by the cloud" if stage.cast.ways.direct else ""
    stage.screen.say(f"kill -9 {host.pid}: the host is gone{cut_off}", Tone.BAD)
    killed = time.monotonic()
    host.kill()
    first: Delivery | None = None

    def taken_over(deliveries: list[Delivery]) -> bool:
        nonlocal first
        first = first_published_after(killed, "spare1", deliveries)
        return first is not None

    await stage.until(taken_over, TAKEOVER, "a new alarm through spare 1 after the kill of the host")
    assert first is not None
    stage.takeover = outcome.takeover = first.confirmed - killed
    stage.screen.say(
        f"Take-over: {outcome.takeover:.2f} s after the kill the ARC had the first alarm published after it",
        Tone.GOOD,
    )
    return killed


async def _held(stage: Stage, outcome: Outcome, killed: float) -> None:
    """What the host had and did not confirm is held until its lease has surely run out (F6)."""
    held = 0

    def all_is_over(_: list[Delivery]) -> bool:
        nonlocal held
        held = max(held, stage.view.held)
        stage.now = f"spare 1 works; {_alarms(stage.view.held)} in hand of the dead host: held for its lease"
        # A view may be late, or its receiver cut off: after the longest lease it must not stop the demo.
        is_free = stage.view.held == 0 or time.monotonic() > killed + LONGEST_HOLD
        return is_free and stage.ledger.waiting_since_before(killed) == 0

    spare1 = stage.cast.spare1
    await stage.until(lambda _: stage.status_of(spare1) == "WORKING", TAKEOVER, "the status of spare 1")
    await stage.until(all_is_over, HELD, "every alarm from before the kill")
    if held:
        outcome.held = time.monotonic() - killed
        stage.screen.say(
            f"{_alarms(held)} in hand of the dead host: held until its lease had surely run out, and confirmed; "
            f"{outcome.held:.1f} s after the kill",
            Tone.GOOD,
        )
    stage.now = "spare 1 works"
    await stage.wait(PAUSE)


async def _return(stage: Stage, outcome: Outcome) -> None:
    station = stage.cast.host
    stage.now = "the host starts again on its same data folder"
    started = time.monotonic()
    await station.receiver.start()
    stage.screen.say(f"The host is started again, pid {station.receiver.pid}", Tone.MOVE)
    stage.books.await_direct(started)
    await stage.until(lambda _: station.receiver.look_for_addresses(), START, "the host serving again")
    await stage.until(lambda _: stage.status_of(station) == "STANDBY", START, "the host standing by")
    stage.now = "the host stands by; it works again after failback_delay (10 s)"
    stage.screen.say("The host is back and stands by; the return comes after failback_delay (10 s)")
    first: Delivery | None = None

    def returned(deliveries: list[Delivery]) -> bool:
        nonlocal first
        first = first_published_after(started, "host", deliveries)
        return first is not None

    await stage.until(returned, RETURN, "an alarm through the host again")
    assert first is not None
    outcome.returned = first.confirmed - started
    move = next((move for move in reversed(stage.ledger.moves) if move.new == "host"), None)
    outcome.return_gap = None if move is None else move.gap
    gap = "" if move is None else f", {move.gap:.2f} s after the last one through {ROLES[move.old]}"
    stage.screen.say(
        f"Return: {outcome.returned:.1f} s after its start the first alarm goes through the host again{gap}",
        Tone.GOOD,
    )
    stage.now = "the host works again"
    if stage.cast.ways.direct:
        await _reconnected(stage, outcome, started)
    await stage.wait(PAUSE)


async def _reconnected(stage: Stage, outcome: Outcome, started: float) -> None:
    """The panels try the host again by themselves; it takes them before it works: a host on standby is a gateway."""
    books = stage.books
    await stage.until(lambda _: books.direct_at is not None, RETURN, "an alarm over DC-09 to the host again")
    assert books.direct_at is not None
    outcome.reconnected = books.direct_at - started
    stage.screen.say(
        f"Panels: {outcome.reconnected:.1f} s after its start the host took alarms by DC-09 again; meanwhile they went "
        f"to the cloud, {books.by_way[Way.CLOUD]} of them",
        Tone.GOOD,
    )


async def _switch_over(stage: Stage, outcome: Outcome) -> None:
    """An operator moves the work to spare 2, which is pinned then (F8)."""
    stage.now = "an operator switches over to spare 2"
    words = ("switchover", "--to", "spare2", "--reason", "shown by the demo", "--yes", "--no-wait")
    outcome.switched = await _asked(stage, words, "spare2")
    stage.screen.say(
        f"Switchover: {outcome.switched:.2f} s after the command the first alarm goes through spare 2, which is pinned",
        Tone.GOOD,
    )
    stage.now = "spare 2 works, pinned: the host stands by, although it comes first"
    await stage.wait(PAUSE)


async def _resume(stage: Stage, outcome: Outcome) -> None:
    """The pin ends, and the host, which has long been back, works again at once."""
    stage.now = "the operator resumes automatic moves"
    outcome.resumed = await _asked(stage, ("resume",), "host")
    stage.screen.say(
        f"Resumed: {outcome.resumed:.2f} s after the command the first alarm goes through the host again", Tone.GOOD
    )
    stage.now = "the host works again"
    await stage.wait(PAUSE)


async def _edit(stage: Stage, outcome: Outcome) -> None:
    """A device gets a name on the host; the cloud and all spares have it by themselves (B3, B4)."""
    stage.now = "an operator names a device, on the host"
    before = stage.watch.copies.get("host")
    command = stage.cast.host.hotspare("device", "update", next(iter(stage.cast.accounts)), "--name", "Front door")
    stage.screen.say(f"  $ {shlex.join(command)}", Tone.COMMAND, timed=False)
    asked = time.monotonic()
    await run_command(command)

    def arrived() -> bool:
        copies = stage.watch.copies
        return copies["host"] != before and all(copies.get(role) == copies["host"] for role in ROLES)

    while True:
        await stage.watch.look()
        if arrived():
            break
        if time.monotonic() > asked + SYNCED:
            raise DemoError(f"the change at all spares: not within {SYNCED:g} s")
        await asyncio.sleep(0.02)
    outcome.synced = time.monotonic() - asked
    stage.screen.say(
        f"Configuration: {outcome.synced:.2f} s after the command all three spares had the change, with equal digests",
        Tone.GOOD,
    )
    await stage.wait(PAUSE)


async def _asked(stage: Stage, words: tuple[str, ...], role: str) -> float:
    """Give a command at spare 3, and wait for an alarm through the receiver of the role. Returns the seconds."""
    command = stage.cast.stations["spare3"].hotspare(*words)
    stage.screen.say(f"  $ {shlex.join(command)}", Tone.COMMAND, timed=False)
    asked = time.monotonic()
    await run_command(command)
    first: Delivery | None = None

    def arrived(deliveries: list[Delivery]) -> bool:
        nonlocal first
        first = first_published_after(asked, role, deliveries)
        return first is not None

    await stage.until(arrived, RETURN, f"an alarm through {ROLES[role]} after hotspare {words[0]}")
    assert first is not None
    return first.confirmed - asked


def _alarms(count: int) -> str:
    return "1 alarm" if count == 1 else f"{count} alarms"
