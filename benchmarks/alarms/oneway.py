"""P7: how long one alarm takes, at a steady rate: until it is with the receiver, until the ARC has confirmed it."""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack

from benchmarks.alarms import alarms, arc, publishing, pulling
from benchmarks.alarms.bench import ARC, REAL, Bench
from benchmarks.alarms.ground import Ground, Identity, Panel, new_account
from benchmarks.alarms.hands import Hand
from benchmarks.alarms.peers import nats, redis
from benchmarks.failover.arrivals import wait_for
from benchmarks.results import Sample
from hotspare_model.group import GroupSettings

ANSWERED = "publish to answered"
PULLED = "publish to pulled"
CONFIRMED = "publish to confirmed by DC-09"
FLOODED_ANSWERED = "publish to answered, one device floods"
WARM_UP = 1.0
"""Seconds of the load that are not counted: first connections, caches."""
FLOOD = (100, 16)
"""What one device floods with: alarms a batch, batches in flight."""
WINDOW = GroupSettings().window


def measure(bench: Bench) -> None:
    """One round."""
    with bench.place("one-way") as folder, Ground(folder, new_account(ARC), new_account(REAL)) as ground:
        ground.furnish()
        ground.start()
        identity, panels = ground.enrol(ARC)
        _pulled(bench, ground, identity, panels[1:])
        _confirmed(bench, ground)
        _flooded(bench, ground, panels)
    _peers(bench)


def _count(bench: Bench) -> int:
    return round(bench.options.rate * (bench.options.one_way + WARM_UP))


def _steady(bench: Bench, ground: Ground, panels: Iterable[Panel]) -> Hand:
    who = [(panel.account_number, panel.metadata) for panel in panels]
    return Hand(publishing.steady, ground.cloud.grpc, who, bench.options.rate, _count(bench))


def _pulled(bench: Bench, ground: Ground, identity: Identity, panels: list[Panel]) -> None:
    arguments = (ground.cloud.grpc, identity, WINDOW, _count(bench), True)
    with Hand(pulling.pull, *arguments) as puller, _steady(bench, ground, panels) as publisher:
        puller.heard()
        puller.go()
        puller.heard()
        publisher.heard()
        publisher.go()
        times: publishing.Times = publisher.result()
        came: pulling.Pulled = puller.result()
    begun = {alarm_id: each[0] for alarm_id, each in times.items()}
    _note(bench, ANSWERED, begun, {alarm_id: each[1] for alarm_id, each in times.items()})
    _note(bench, PULLED, begun, came.times)


def _flooded(bench: Bench, ground: Ground, panels: list[Panel]) -> None:
    """The same load, while another device sends all that it can; nobody pulls."""
    with (
        Hand(publishing.flood, ground.cloud.grpc, panels[0].metadata, *FLOOD) as flood,
        _steady(bench, ground, panels[1:]) as publisher,
    ):
        flood.heard()
        publisher.heard()
        flood.go()
        publisher.go()
        times: publishing.Times = publisher.result()
        flood.stop()
        stored = flood.result()["stored"]
    begun = {alarm_id: each[0] for alarm_id, each in times.items()}
    _note(bench, FLOODED_ANSWERED, begun, {alarm_id: each[1] for alarm_id, each in times.items()})
    bench.turn.add({"flooded": stored})


def _confirmed(bench: Bench, ground: Ground) -> None:
    with ExitStack() as stack:
        peer = stack.enter_context(Hand(arc.arc, _count(bench), 0.0))
        panels = ground.receiver(REAL, alarms.DEVICES)
        ground.send_to(peer.heard())
        publisher = stack.enter_context(_steady(bench, ground, panels))
        publisher.heard()
        publisher.go()
        times: publishing.Times = publisher.result()
        peer.heard()
        wait_for(lambda: ground.waiting() == 0, 30, "the cloud has all confirmations")
        peer.stop()
        received: arc.Received = peer.result()
    begun = {alarm_id: each[0] for alarm_id, each in times.items()}
    came = {alarm_id: received.times[each[2], each[3]] for alarm_id, each in times.items()}
    _note(bench, CONFIRMED, begun, came)
    bench.turn.add({"twice": received.again})


def _note(bench: Bench, series: str, begun: Mapping[str, float], came: Mapping[str, float]) -> None:
    """A sample for each alarm, in the order in which they were published; the first second is left out."""
    ordered = sorted(begun.items(), key=lambda item: item[1])
    first = ordered[0][1] + WARM_UP
    kept = [(alarm_id, at) for alarm_id, at in ordered if at >= first]
    # One that did not come would be an error: who waits for them gives up.
    bench.turn.samples += [Sample(series, came[alarm_id] - at) for alarm_id, at in kept]
    values = sorted(came[alarm_id] - at for alarm_id, at in kept)
    bench.say(f"{series}: {len(values)}, median {values[len(values) // 2] * 1e3:.2f} ms, max {values[-1] * 1e3:.1f} ms")


def _peers(bench: Bench) -> None:
    if redis.PROGRAM:
        with bench.place("redis") as folder, redis.Redis(folder) as server:
            steady = Hand(redis.steady, server.address, bench.options.rate, _count(bench))
            _peer(bench, redis.NAME, Hand(redis.consume, server.address, _count(bench)), steady)
    if nats.usable():
        with bench.place("nats") as folder, nats.Nats(folder) as server:
            with Hand(nats.prepare, server.address) as hand:
                hand.result()
            steady = Hand(nats.steady, server.address, bench.options.rate, _count(bench))
            _peer(bench, nats.NAME, Hand(nats.consume, server.address, _count(bench)), steady)


def _peer(bench: Bench, series: str, consumer: Hand, publisher: Hand) -> None:
    with consumer, publisher:
        consumer.heard()
        publisher.heard()
        consumer.go()
        publisher.go()
        begun = publisher.result()
        _note(bench, series, begun, consumer.result())
