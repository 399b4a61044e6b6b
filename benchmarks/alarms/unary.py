"""P5: what one publish costs the server, against an echo of the same size on the same server."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from benchmarks.alarms import alarms, publishing
from benchmarks.alarms.bench import ARC, Bench
from benchmarks.alarms.echo import METHOD
from benchmarks.alarms.ground import Ground, new_account
from benchmarks.alarms.hands import Hand
from benchmarks.alarms.peers import nats, redis

PUBLISH = "publish"
ECHO = "echo on the same server"
BARE = "echo on a bare grpc.aio"
CPU = "CPU of the server: "
"""Before the name of a series: seconds of its processor, where the series itself has those of the clock."""
CLIENTS = 2
"""Processes that call: one alone is slower than an echo."""
TURNS = 2


def measure(bench: Bench) -> None:
    """One round."""
    with bench.place("unary") as folder, Ground(folder, new_account(ARC)) as ground:
        ground.furnish()
        ground.start(with_echo=True)
        _, panels = ground.enrol(ARC)
        metadata = [panel.metadata for panel in panels]
        loads = (
            (PUBLISH, ground.cloud.grpc, alarms.PUBLISH),
            (ECHO, ground.cloud.grpc, METHOD),
            (BARE, ground.echo, METHOD),
        )
        for _ in range(TURNS):
            for series, target, method in loads:
                _load(bench, ground, series, target, method, metadata)
    _peers(bench)


def _load(bench: Bench, ground: Ground, series: str, target: str, method: str, metadata: Sequence[Any]) -> None:
    callers = bench.options.callers // CLIENTS
    with ExitStack() as stack:
        arguments = (target, method, metadata, callers, bench.options.seconds)
        hands = [stack.enter_context(Hand(publishing.unary, *arguments)) for _ in range(CLIENTS)]
        for hand in hands:
            hand.heard()
        before = ground.cpu()
        for hand in hands:
            hand.go()
        results = [hand.result() for hand in hands]
        used = ground.cpu() - before
    count = sum(calls for calls, _ in results)
    bench.took(series, max(seconds for _, seconds in results), count)
    bench.took(CPU + series, used, count)


def _peers(bench: Bench) -> None:
    options = bench.options
    if redis.PROGRAM:
        with bench.place("redis") as folder, redis.Redis(folder) as server:
            _peer(bench, redis.NAME, Hand(redis.unary, server.address, options.callers, options.seconds))
    if nats.usable():
        with bench.place("nats") as folder, nats.Nats(folder) as server:
            with Hand(nats.prepare, server.address) as hand:
                hand.result()
            _peer(bench, nats.NAME, Hand(nats.unary, server.address, options.callers, options.seconds))


def _peer(bench: Bench, series: str, hand: Hand) -> None:
    with hand:
        hand.heard()
        hand.go()
        count, seconds = hand.result()
    bench.took(series, seconds, count)
