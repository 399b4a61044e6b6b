"""The lane of a stream output: several in flight, and the order of each device all the same."""

from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from hotspare_model.alarm import Alarm, AlarmPath, CodeFormat, StoredAlarm
from hotspare_model.contact_id import Qualifier
from hotspare_receiver.core.forwarder import Delivered, Forwarder, Outcome, Sending
from hotspare_receiver.core.stream_lane import StreamLane

MORNING = datetime(2026, 5, 4, 6, 0, tzinfo=UTC)


def delivered(number: int, device: str = "panel", epoch: int = 1) -> Delivered:
    what = Alarm(f"id-{number}", device, Qualifier.NEW, CodeFormat.CONTACT_ID, "130", 1, 1, MORNING, "")
    return Delivered(StoredAlarm(number, what, "1234", number, MORNING, (), AlarmPath.CLOUD), epoch, 1, False, b"")


def forwarder(*alarms: Delivered, wired: bool = False) -> Forwarder:
    found = Forwarder()
    found.set_outputs({"feed": True} | ({"wired": True} if wired else {}), streams={"feed"})
    found.begin(1)
    found.deliver(alarms, (), 0.0)
    return found


def taken(source: Forwarder, count: int = 1000) -> list[Sending]:
    found: list[Sending] = []
    while len(found) < count and (sending := source.take("feed", 0.0)) is not None:
        found.append(sending)
    return found


def numbers(sendings: list[Sending]) -> list[int]:
    return [sending.delivered.number for sending in sendings]


def test_o1_a_stream_has_many_in_flight_also_of_one_device_in_order() -> None:
    source = forwarder(delivered(1), delivered(2), delivered(3, "other"), delivered(4))
    assert numbers(taken(source)) == [1, 2, 3, 4]
    assert source.flying == 4


def test_a4_each_acknowledgement_confirms_its_own_alarm_in_whatever_order() -> None:
    source = forwarder(delivered(1), delivered(2), delivered(3))
    flights = taken(source)
    for index in (1, 2, 0):
        sent = flights[index].delivered
        assert source.finished("feed", sent, Outcome.CONFIRMED, 0.0) is sent
    assert source.drained
    assert source.waiting_for("feed") == 0


def test_a4_beside_another_required_output_both_have_to_confirm() -> None:
    source = forwarder(delivered(1), wired=True)
    flight = taken(source)[0].delivered
    assert source.finished("feed", flight, Outcome.CONFIRMED, 0.0) is None
    wired = source.take("wired", 0.0)
    assert wired is not None
    assert source.finished("wired", wired.delivered, Outcome.CONFIRMED, 0.0) is flight


def test_a3_what_comes_back_from_a_lost_stream_goes_first_in_its_old_order() -> None:
    source = forwarder(*(delivered(number) for number in range(1, 7)))
    flights = taken(source, 4)
    source.finished("feed", flights[1].delivered, Outcome.CONFIRMED, 0.0)
    # In whatever order the output tells it.
    for index in (0, 3, 2):
        source.finished("feed", flights[index].delivered, Outcome.UNKNOWN, 0.0)
    again = taken(source)
    assert numbers(again) == [1, 3, 4, 5, 6]
    assert [sending.attempt for sending in again] == [2, 2, 2, 1, 1]


def test_f7_what_the_subscriber_has_stays_in_flight_when_the_epoch_is_over_and_counts_late() -> None:
    source = forwarder(delivered(1), delivered(2))
    first = taken(source, 1)[0].delivered
    source.begin(0)
    assert taken(source) == []
    assert source.finished("feed", first, Outcome.CONFIRMED, 0.0) is first
    assert source.drained


def test_f7_one_that_comes_again_under_a_later_epoch_counts_for_that() -> None:
    source = forwarder(delivered(1), delivered(2))
    old = taken(source)[0].delivered
    source.begin(2)
    newer = delivered(1, epoch=2)
    source.deliver((newer, delivered(2, epoch=2)), (), 0.0)
    assert source.waiting_for("feed") == 4
    again = taken(source)
    assert numbers(again) == [1, 2]
    assert source.waiting_for("feed") == 2
    assert source.finished("feed", old, Outcome.UNKNOWN, 0.0) is None
    assert source.flying == 2
    assert source.finished("feed", newer, Outcome.CONFIRMED, 0.0) is newer
    assert source.waiting_for("feed") == 1


def test_f7_a_late_answer_takes_the_newer_delivery_along() -> None:
    source = forwarder(delivered(1), delivered(2))
    old = taken(source, 1)[0].delivered
    source.begin(2)
    newer = delivered(1, epoch=2)
    source.deliver((newer,), (), 0.0)
    assert source.finished("feed", old, Outcome.CONFIRMED, 0.0) is newer
    assert taken(source) == []
    assert source.waiting_for("feed") == 0


def test_f5_a_hand_over_waits_for_what_the_subscriber_has_and_gives_back_the_rest() -> None:
    source = forwarder(delivered(1), delivered(2), delivered(3))
    first = taken(source, 1)[0].delivered
    assert source.give_back() == 2
    assert taken(source) == []
    assert not source.drained
    assert source.finished("feed", first, Outcome.CONFIRMED, 0.0) is first
    assert source.drained


def test_a3_an_attempt_that_was_none_is_not_counted() -> None:
    source = forwarder(delivered(1))
    source.finished("feed", taken(source)[0].delivered, Outcome.NOT_SENT, 0.0)
    assert taken(source)[0].attempt == 1


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(("a", "b", "c"))),
        st.tuples(st.just("take"), st.integers(1, 4)),
        st.tuples(st.just("ack"), st.integers(0, 30)),
        st.tuples(st.just("lost"), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_a3_nothing_is_lost_or_passed_whatever_happens(steps: list[tuple[str, object]]) -> None:
    """Of what is taken and not acknowledged nothing is taken twice; each device's alarms are taken in order."""
    lane: StreamLane[Delivered] = StreamLane()
    flying: dict[int, Delivered] = {}
    waiting: list[Delivered] = []
    count = 0
    for kind, value in steps:
        match kind, value:
            case "put", str():
                count += 1
                waiting.append(delivered(count, value))
                lane.put(waiting[-1])
            case "take", int():
                for _ in range(value):
                    item = lane.take(0.0)
                    assert item is min(waiting, key=lambda one: one.number, default=None)
                    if item is not None:
                        waiting.remove(item)
                        flying[item.number] = item
            case "ack", int() if flying:
                item = list(flying.values())[value % len(flying)]
                assert lane.lands(item)
                lane.done()
                del flying[item.number]
            case "lost", _:
                for item in reversed(flying.values()):
                    assert lane.lands(item)
                    lane.again()
                waiting.extend(flying.values())
                flying.clear()
            case _:
                pass
        assert len(lane) == len(waiting) + len(flying)
        assert lane.flights == len(flying)
