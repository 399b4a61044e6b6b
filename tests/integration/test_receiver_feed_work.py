"""The stream of a subscription while the work moves: restarts, leases, hand-overs (F3, F5, F7)."""

from hotspare_receiver.core.health import ProblemKind
from hotspare_receiver.snapshot import LinkState
from tests.integration.feed_trial import FEED, FeedReceiver, Subscribe, Subscriber, working
from tests.integration.path_fakes import FakeArc, FakeCloud, stored_alarm, until


async def test_o1_a_restart_of_the_receiver_tells_again_with_the_same_cursor_and_the_next_attempt(
    feed: FeedReceiver, cloud: FakeCloud, subscribe: Subscribe
) -> None:
    first = await subscribe()
    cloud.publish(stored_alarm(1), stored_alarm(2))
    await until(lambda: len(first.alarms) == 2)
    first.acknowledge(first.alarms[0])
    await until(lambda: cloud.confirmed == [1])
    await feed.restart()
    second = Subscriber(feed.served_at, await feed.token(name="again"))
    await second.ready()
    await until(lambda: second.alarms)
    assert (second.numbers, second.attempts) == ([2], [2])
    assert second.alarms[0].cursor == first.alarms[1].cursor
    second.acknowledge(*second.alarms)
    await until(lambda: cloud.confirmed == [1, 2])
    await second.close()


async def test_f7_an_acknowledgement_to_the_process_before_is_a_fact(
    feed: FeedReceiver, cloud: FakeCloud, subscribe: Subscribe
) -> None:
    first = await subscribe()
    cloud.publish(stored_alarm(1))
    await until(lambda: first.alarms)
    # Where the work went, meanwhile: this receiver gets nothing under the later epoch.
    cloud.delivering = False
    await feed.restart()
    second = Subscriber(feed.served_at, await feed.token(name="again"))
    await second.ready()
    second.acknowledge(first.alarms[0])
    await until(lambda: second.acknowledged == [first.alarms[0].cursor])
    await until(lambda: cloud.confirms)
    assert [(one.epoch, one.first, one.last) for one in cloud.confirms] == [(1, 1, 1)]
    assert second.alarms == []
    await second.close()


async def test_a4_beside_another_required_output_a_late_acknowledgement_waits_for_that_one(
    feed: FeedReceiver, cloud: FakeCloud, arc: FakeArc, subscribe: Subscribe
) -> None:
    arc.answer = lambda frame: None
    feed.configure(FEED, feed.output())
    first = await subscribe()
    cloud.publish(stored_alarm(1))
    await until(lambda: first.alarms)
    cloud.delivering = False
    await feed.restart()
    second = Subscriber(feed.served_at, await feed.token(name="again"))
    await second.ready()
    second.acknowledge(first.alarms[0])
    await until(lambda: second.acknowledged)
    assert (cloud.confirms, feed.journal.unwritten_confirmations) == ([], 0)
    arc.answer = arc.ack
    cloud.delivering = True
    cloud.publish(stored_alarm(1))
    await until(lambda: cloud.confirmed == [1])
    assert cloud.confirms[0].epoch == 2
    assert second.alarms == []
    await second.close()


async def test_o1_a_receiver_on_standby_tells_who_works_by_the_epoch(
    feed: FeedReceiver, cloud: FakeCloud, subscribe: Subscribe
) -> None:
    cloud.end_epoch(epoch=2)
    await until(lambda: not working(feed))
    software = await subscribe()
    await until(lambda: software.states[-1] == (False, 2))
    # Nothing of its own lease changes here.
    cloud.epoch = 5
    cloud.push()
    await until(lambda: software.states[-1] == (False, 5))


async def test_f7_what_was_acknowledged_is_not_told_again_when_it_comes_again(
    feed: FeedReceiver, cloud: FakeCloud, arc: FakeArc, subscribe: Subscribe
) -> None:
    arc.answer = lambda frame: None
    feed.configure(FEED, feed.output())
    first = await subscribe()
    cloud.publish(stored_alarm(1))
    await until(lambda: first.alarms)
    first.acknowledge(*first.alarms)
    await until(lambda: first.acknowledged)
    await feed.restart()
    arc.answer = arc.ack
    second = Subscriber(feed.served_at, await feed.token(name="again"))
    await second.ready()
    await until(lambda: cloud.confirmed == [1])
    assert second.alarms == []
    # An operator's wish to send it again is another matter.
    cloud.replays.add(1)
    cloud.publish(stored_alarm(2))
    await until(lambda: second.alarms)
    assert second.numbers == [2]
    await second.close()


async def test_a5_o1_the_subscriber_is_told_that_an_operator_sends_an_alarm_again(
    cloud: FakeCloud, subscribe: Subscribe
) -> None:
    software = await subscribe()
    cloud.replays.add(2)
    cloud.publish(stored_alarm(1), stored_alarm(2))
    await until(lambda: len(software.alarms) == 2)
    assert [alarm.replay for alarm in software.alarms] == [False, True]
    software.acknowledge(*software.alarms)
    await until(lambda: cloud.confirmed == [1, 2])


async def test_f7_under_a_lapsed_lease_nothing_is_told_and_the_state_tells_so(
    feed: FeedReceiver, cloud: FakeCloud, subscribe: Subscribe
) -> None:
    software = await subscribe(window=1)
    await until(lambda: software.states[-1] == (True, 1))
    cloud.publish(stored_alarm(1), stored_alarm(2))
    await until(lambda: software.alarms)
    cloud.granting = False
    await until(lambda: not working(feed))
    await until(lambda: software.states[-1] == (False, 1))
    # The subscriber has it: a fact. The next one waits for a lease.
    software.acknowledge(*software.alarms)
    await until(lambda: cloud.confirmed == [1] and software.acknowledged)
    assert software.numbers == [1]
    cloud.granting = True
    await until(lambda: software.numbers == [1, 2])
    assert software.states[-1] == (True, 1)


async def test_f7_when_the_work_moves_the_stream_stays_and_a_late_acknowledgement_counts(
    feed: FeedReceiver, cloud: FakeCloud, subscribe: Subscribe
) -> None:
    software = await subscribe(window=2)
    cloud.publish(*(stored_alarm(number) for number in (1, 2, 3)))
    await until(lambda: len(software.alarms) == 2)
    cloud.end_epoch(epoch=2)
    await until(lambda: software.states[-1] == (False, 2))
    software.acknowledge(software.alarms[0])
    await until(lambda: cloud.confirmed == [1])
    assert cloud.confirms[0].epoch == 1
    assert software.numbers == [1, 2]
    # It works again: what the subscriber has and did not acknowledge is not told twice on one stream.
    cloud.end_epoch(epoch=3, working=True)
    await until(lambda: software.numbers == [1, 2, 3])
    assert software.alarms[2].epoch == 3
    software.acknowledge(*software.alarms[1:])
    await until(lambda: sorted(cloud.confirmed) == [1, 2, 3])
    assert {one.epoch for one in cloud.confirms if one.first > 1} == {3}


async def test_f5_a_hand_over_waits_for_the_acknowledgements_and_gives_back_the_rest(
    feed: FeedReceiver, cloud: FakeCloud, subscribe: Subscribe
) -> None:
    software = await subscribe(window=1)
    cloud.publish(stored_alarm(1), stored_alarm(2))
    await until(lambda: software.alarms)
    cloud.yield_to = "receiver-2"
    cloud.push()
    await until(lambda: feed.path.snapshot().lease.draining)
    assert cloud.epoch == 1
    software.acknowledge(*software.alarms)
    await until(lambda: cloud.epoch == 2)
    assert cloud.confirmed == [1]
    assert software.numbers == [1]
    assert not software.ended


async def test_f3_a_required_stream_without_a_subscriber_is_a_problem_until_one_comes(
    feed: FeedReceiver, cloud: FakeCloud, subscribe: Subscribe
) -> None:
    def problems() -> set[ProblemKind]:
        return {problem.kind for problem in feed.path.snapshot().problems}

    await until(lambda: ProblemKind.OUTPUT_DOWN in problems())
    problem = next(one for one in feed.path.snapshot().problems if one.kind is ProblemKind.OUTPUT_DOWN)
    assert (problem.subject, "nobody has opened" in problem.detail) == ("feed", True)
    await subscribe()
    await until(lambda: not problems())
    assert feed.path.snapshot().outputs[0].link is LinkState.UP
