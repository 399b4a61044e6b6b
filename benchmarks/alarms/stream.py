"""P6: the stream of batches, durable, duplicates found; beside Redis Streams and PostgreSQL in the same shape."""

from collections.abc import Sequence
from contextlib import ExitStack

from benchmarks.alarms import alarms, publishing
from benchmarks.alarms.bench import ARC, Bench
from benchmarks.alarms.ground import Ground, Panel, new_account
from benchmarks.alarms.hands import Hand
from benchmarks.alarms.peers import postgres, redis

SIZE = 100
"""Alarms a batch."""
IN_FLIGHT = 16
OURS = "publish stream"
AGAIN = "publish stream, all sent again"
RANDOM = "publish stream, ids without order"
FOUR = "publish stream, four devices at once"
REDIS_ONCE = f"{redis.NAME}, duplicates found"
STREAMS = 4


def measure(bench: Bench) -> None:
    """One round."""
    count = bench.options.alarms
    with bench.place("stream") as folder, Ground(folder, new_account(ARC)) as ground:
        ground.furnish()
        ground.start()
        _, panels = ground.enrol(ARC)
        ids = [alarms.new_id() for _ in range(count)]
        _stream(bench, ground, OURS, [(panels[0], ids)])
        _stream(bench, ground, AGAIN, [(panels[0], ids)])
        _stream(bench, ground, RANDOM, [(panels[1], [alarms.random_id() for _ in range(count)])])
        share = count // STREAMS
        each = [(panels[2 + index], [alarms.new_id() for _ in range(share)]) for index in range(STREAMS)]
        _stream(bench, ground, FOUR, each)
    _peers(bench)


def _stream(bench: Bench, ground: Ground, series: str, streams: Sequence[tuple[Panel, list[str]]]) -> None:
    with ExitStack() as stack:
        hands = []
        for panel, ids in streams:
            arguments = (ground.cloud.grpc, panel.metadata, ids, SIZE, max(1, IN_FLIGHT // len(streams)))
            hands.append(stack.enter_context(Hand(publishing.stream, *arguments)))
        for hand in hands:
            hand.heard()
        before = ground.cpu()
        for hand in hands:
            hand.go()
        results = [hand.result() for hand in hands]
        used = ground.cpu() - before
    count = sum(len(ids) for _, ids in streams)
    came: dict[str, int] = {}
    for _, each in results:
        came = {kind: came.get(kind, 0) + number for kind, number in each.items()}
    _check(series, came, count)
    bench.took(series, max(seconds for seconds, _ in results), count, cpu=round(used, 2), **came)


def _check(series: str, came: dict[str, int], count: int) -> None:
    """A figure counts only when the work was done."""
    wanted = {"stored": 0, "duplicates": count, "refused": 0} if series == AGAIN else None
    if came != (wanted or {"stored": count, "duplicates": 0, "refused": 0}):
        raise RuntimeError(f"{series}: of {count} alarms came {came}")


def _peers(bench: Bench) -> None:
    ids = [alarms.new_id() for _ in range(bench.options.alarms)]
    if redis.PROGRAM:
        for series, once in ((redis.NAME, False), (REDIS_ONCE, True)):
            with bench.place("redis") as folder, redis.Redis(folder) as server:
                _peer(bench, series, Hand(redis.stream, server.address, ids, SIZE, IN_FLIGHT, once), len(ids))
    if postgres.usable(bench.folder):
        with bench.place("postgres") as folder, postgres.Postgres(folder) as server:
            with Hand(postgres.prepare, server.address) as hand:
                hand.result()
            _peer(bench, postgres.NAME, Hand(postgres.stream, server.address, ids, SIZE, IN_FLIGHT), len(ids))


def _peer(bench: Bench, series: str, hand: Hand, count: int) -> None:
    with hand:
        hand.heard()
        hand.go()
        seconds, came = hand.result()
    _check(series, came, count)
    bench.took(series, seconds, count)
