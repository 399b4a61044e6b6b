"""P8: how fast a backlog goes away: to a receiver by a pull, and through one DC-09 connection to the ARC."""

import time
from contextlib import ExitStack

from benchmarks.alarms import alarms, arc, pulling
from benchmarks.alarms.bench import ARC, REAL, Bench
from benchmarks.alarms.ground import Ground, cpu_of, new_account
from benchmarks.alarms.hands import PATIENCE, Hand
from benchmarks.alarms.peers import postgres, redis
from benchmarks.failover.arrivals import wait_for
from hotspare_model.group import GroupSettings

WINDOWS = (10_000, GroupSettings().window)
SLOW = 0.001
"""Seconds that an ARC takes which is not on the same machine."""
LINE = "through one DC-09 connection"
BARE = "bare ask and answer"
AT_ONCE = "peer answers at once"
AFTER = "peer answers after 1 ms"
SLOWEST = 100
"""Alarms a second; whoever is slower has failed."""
PAGE = 500
"""Alarms that Redis and PostgreSQL give and confirm at a time."""


def pull_series(window: int) -> str:
    """Of drains by a pull with so many alarms unacknowledged."""
    return f"pull, window {window:,}"


def measure(bench: Bench) -> None:
    """One round."""
    for window in WINDOWS:
        _pull(bench, window)
    for count, delay, peer in ((bench.options.line, 0.0, AT_ONCE), (bench.options.slow_line, SLOW, AFTER)):
        _line(bench, count, delay, peer)
    _peers(bench)


def _pull(bench: Bench, window: int) -> None:
    count = bench.options.backlog
    with bench.place("pull") as folder, Ground(folder, new_account(ARC), window=window) as ground:
        ground.furnish()
        ground.fill(ARC, count)
        ground.start()
        identity, _ = ground.enrol(ARC, 1)
        with Hand(pulling.pull, ground.cloud.grpc, identity, window, count, False) as puller:
            puller.heard()
            before = ground.cpu()
            puller.go()
            took: pulling.Pulled = puller.result()
            used = ground.cpu() - before
        if took.count != count or ground.waiting():
            raise RuntimeError(f"{took.count} of {count} were delivered, {ground.waiting()} wait")
        bench.took(pull_series(window), took.seconds, count, cpu=round(used, 2))


def _line(bench: Bench, count: int, delay: float, peer: str) -> None:
    with bench.place("line") as folder, Ground(folder, new_account(REAL)) as ground, ExitStack() as stack:
        ground.furnish()
        ground.fill(REAL, count, devices=8 * alarms.DEVICES)
        ground.start()
        hand = stack.enter_context(Hand(arc.arc, count, delay))
        ground.receiver(REAL, 0)
        assert ground.host is not None
        before = (ground.cpu(), cpu_of(ground.host.pid))
        ground.send_to(hand.heard())
        hand.heard(max(PATIENCE, count / SLOWEST))
        wait_for(lambda: ground.waiting() == 0, 60, "the cloud has all confirmations")
        ended = time.monotonic()
        hand.stop()
        received: arc.Received = hand.result()
        seconds = ended - min(received.times.values())
        # From when the receiver was told where to send: a moment more than the figure's.
        cpu = {"cpu_cloud": ground.cpu() - before[0], "cpu_receiver": cpu_of(ground.host.pid) - before[1]}
        rounded = {name: round(value, 2) for name, value in cpu.items()}
        bench.took(f"{LINE}, {peer}", seconds, count, again=received.again, **rounded)
    with Hand(arc.arc, 2 * count, delay) as hand, Hand(arc.ask, hand.heard(), received.frames, count) as asker:
        asker.heard()
        asker.go()
        bench.took(f"{BARE}, {peer}", asker.result(), count)


def _peers(bench: Bench) -> None:
    count = bench.options.backlog
    if redis.PROGRAM:
        with bench.place("redis") as folder, redis.Redis(folder) as server:
            with Hand(redis.fill, server.address, count) as hand:
                hand.result()
            _peer(bench, redis.NAME, Hand(redis.drain, server.address, count, PAGE), count)
    if postgres.usable(bench.folder):
        with bench.place("postgres") as folder, postgres.Postgres(folder) as server:
            with Hand(postgres.prepare, server.address) as hand:
                hand.result()
            with Hand(postgres.fill, server.address, count) as hand:
                hand.result()
            _peer(bench, postgres.NAME, Hand(postgres.drain, server.address, count, PAGE), count)


def _peer(bench: Bench, series: str, hand: Hand, count: int) -> None:
    with hand:
        hand.heard()
        hand.go()
        bench.took(series, hand.result(), count)
