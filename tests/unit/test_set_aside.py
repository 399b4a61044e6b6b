"""A5: when a receiver rejects an alarm (core/forwarder.py), and what goes out alone at the cloud (core/window.py)."""

from hypothesis import given
from hypothesis import strategies as st

from hotspare_cloud.core.window import ALONE_AFTER
from hotspare_receiver.core.forwarder import Forwarder, Outcome
from tests.unit.forwarder_trial import EPOCH, OUT, alarm, deliver, finish, number_sent, send, working
from tests.unit.test_cloud_window import Row, Store
from tests.unit.test_cloud_window import working as working_window


def refuse(forwarder: Forwarder, times: int, outcome: Outcome = Outcome.REFUSED, *, output: str = OUT) -> float:
    """Have the ARC answer so to what goes out next, so many times; returns the time then."""
    now = 0.0
    for _ in range(times):
        due = forwarder.due(output)
        now = max(now, due if due is not None else now)
        sending = forwarder.take(output, now)
        assert sending is not None
        forwarder.finished(output, sending.delivered, outcome, now)
    return now


# --- Refused in so many words ---


def test_a5_an_alarm_is_rejected_at_the_set_number_of_refusals_and_not_before() -> None:
    forwarder = working()
    forwarder.set_aside_after = 3
    deliver(forwarder, alarm(1), alarm(2))
    refuse(forwarder, 2)
    assert forwarder.rejection(1) is None
    now = refuse(forwarder, 1)
    rejection = forwarder.rejection(1)
    assert rejection is not None
    assert (rejection.delivered.number, rejection.output, rejection.refusals) == (1, OUT, 3)
    # Its device waits for the cloud's word, for good: what is not set aside durably is not passed (A3).
    assert (forwarder.due(OUT), number_sent(forwarder, now=now + 1e6)) == (None, None)


def test_a3_a5_the_next_alarm_of_the_device_goes_once_the_cloud_has_set_it_aside() -> None:
    forwarder = working()
    forwarder.set_aside_after = 1
    deliver(forwarder, alarm(1), alarm(2), alarm(3, "other"))
    refuse(forwarder, 1)
    other = send(forwarder)
    assert other.number == 3, "it holds up nobody else"
    finish(forwarder, other, Outcome.CONFIRMED)
    assert forwarder.set_aside(1)
    assert number_sent(forwarder) == 2
    assert (forwarder.rejection(1), forwarder.set_aside(1)) == (None, False)
    assert forwarder.progress(0.0).waiting == 1


def test_a5_silence_lost_links_and_clocks_reject_nothing() -> None:
    forwarder = working()
    forwarder.set_aside_after = 2
    deliver(forwarder, alarm(1))
    for outcome in (Outcome.UNKNOWN, Outcome.NOT_SENT, Outcome.CLOCK_REFUSED):
        refuse(forwarder, 20, outcome)
        assert forwarder.rejection(1) is None
    assert number_sent(forwarder, now=1e6) == 1
    assert forwarder.pressing, "a NAK is no excuse: clocks have to be set"


def test_a5_answers_of_another_kind_between_them_do_not_make_refusals_fewer() -> None:
    forwarder = working()
    forwarder.set_aside_after = 2
    deliver(forwarder, alarm(1))
    refuse(forwarder, 1)
    refuse(forwarder, 3, Outcome.UNKNOWN)
    refuse(forwarder, 1)
    assert forwarder.rejection(1) is not None


def test_a5_refusals_of_an_earlier_process_count_and_the_last_one_is_still_to_come() -> None:
    forwarder = working()
    forwarder.set_aside_after = 3
    forwarder.recall({1: {OUT: 7}, 2: {OUT: 1}})
    deliver(forwarder, alarm(1), alarm(2, "other"))
    assert forwarder.rejection(1) is None
    refuse(forwarder, 1)
    assert forwarder.rejection(1) is not None
    refuse(forwarder, 1)
    assert forwarder.rejection(2) is None
    refuse(forwarder, 1)
    assert forwarder.rejection(2) is not None


def test_a5_an_output_that_is_not_required_is_done_with_it_and_rejects_nothing() -> None:
    forwarder = working(must=True, may=False)
    forwarder.set_aside_after = 2
    deliver(forwarder, alarm(1), alarm(2))
    refuse(forwarder, 2, output="may")
    assert forwarder.rejection(1) is None
    assert number_sent(forwarder, "may") == 2
    assert forwarder.passed_over == 1
    assert finish(forwarder, send(forwarder, "must"), Outcome.CONFIRMED, "must") == 1


def test_a5_one_that_is_in_flight_elsewhere_is_not_tried_there_again() -> None:
    forwarder = working(a=True, b=True)
    forwarder.set_aside_after = 1
    deliver(forwarder, alarm(1), alarm(2))
    flying = send(forwarder, "b")
    refuse(forwarder, 1, output="a")
    assert forwarder.set_aside(1)
    assert finish(forwarder, flying, Outcome.UNKNOWN, "b") is None
    assert (number_sent(forwarder, "a"), number_sent(forwarder, "b")) == (2, 2)


def test_a5_under_a_new_epoch_or_given_back_nothing_is_rejected() -> None:
    for end in (lambda forwarder: forwarder.begin(EPOCH + 1), Forwarder.give_back):
        forwarder = working()
        forwarder.set_aside_after = 1
        deliver(forwarder, alarm(1))
        refuse(forwarder, 1)
        end(forwarder)
        assert forwarder.rejection(1) is None
        assert forwarder.drained


def test_a5_without_the_output_that_rejected_it_the_others_decide() -> None:
    forwarder = working(a=True, b=True)
    forwarder.set_aside_after = 1
    deliver(forwarder, alarm(1), alarm(2))
    refuse(forwarder, 1, output="a")
    forwarder.set_outputs({"a": False, "b": True})
    assert forwarder.rejection(1) is None
    assert number_sent(forwarder, "a") == 2, "the one that refused it is not asked again"
    assert finish(forwarder, send(forwarder, "b"), Outcome.CONFIRMED, "b") == 1


@given(
    st.lists(st.sampled_from([Outcome.REFUSED, Outcome.CLOCK_REFUSED, Outcome.UNKNOWN, Outcome.NOT_SENT]), max_size=30),
    st.integers(1, 6),
)
def test_a5_exactly_the_refusals_count(outcomes: list[Outcome], limit: int) -> None:
    forwarder = working()
    forwarder.set_aside_after = limit
    deliver(forwarder, alarm(1))
    refusals, now = 0, 0.0
    for outcome in outcomes:
        now += 100.0
        if (sending := forwarder.take(OUT, now)) is None:
            break
        forwarder.finished(OUT, sending.delivered, outcome, now)
        refusals += outcome is Outcome.REFUSED
        assert (forwarder.rejection(1) is not None) is (refusals >= limit)
    assert refusals <= limit


# --- Lost under it again and again (timing: what counts as a loss) ---


def lost_with(store: Store, *numbers: int, losses: int = ALONE_AFTER) -> None:
    for number in numbers:
        store.rows[number] = Row(number, store.rows[number].device_id, losses)


def test_timing_4_an_alarm_with_which_the_receiver_was_lost_twice_goes_out_alone() -> None:
    store, window = Store(*"abcdef"), working_window()
    lost_with(store, 2, 4)
    lost_with(store, 5, losses=ALONE_AFTER - 1)
    assert store.pump(window) == [1]
    assert store.pump(window) == [], "what is out comes back first"
    store.confirm(window, 1)
    assert store.pump(window) == [2]
    assert (store.pump(window), window.wanted()) == ([], None)
    store.confirm(window, 2)
    assert store.pump(window) == [3]
    store.confirm(window, 3)
    assert store.pump(window) == [4]
    store.confirm(window, 4)
    assert store.pump(window) == [5, 6]


def test_timing_4_a_new_pull_gives_it_alone_again() -> None:
    store, window = Store(*"abc"), working_window()
    lost_with(store, 1)
    assert store.pump(window) == [1]
    window.open(10)
    assert store.pump(window) == [1]
    assert store.pump(window) == []


def test_timing_4_nobody_reads_the_queue_in_vain_while_the_way_is_cleared() -> None:
    store, window = Store(*"abc"), working_window()
    lost_with(store, 2)
    assert store.pump(window) == [1]
    assert window.wanted() is None


def test_a5_what_is_set_aside_frees_its_place() -> None:
    store, window = Store(*"aab"), working_window(1)
    assert store.pump(window) == [1]
    del store.rows[1]
    window.set_aside([1])
    assert store.pump(window) == [2]
    assert window.outstanding == 1


def test_f7_a5_what_is_put_back_waits_for_an_earlier_holder_that_may_still_be_writing_it() -> None:
    store, window = Store(*"ab"), working_window()
    store.pump(window)
    window.end(hold=True)
    first = store.rows.pop(1)
    window.set_aside([1])
    window.begin(2)
    window.open(9)
    store.rows[1] = first
    window.replayed(1)
    assert store.pump(window) == []
    window.free(1)
    assert store.pump(window) == [1, 2]


def test_f7_a5_what_is_put_back_and_was_out_under_this_epoch_is_held_at_its_end() -> None:
    store, window = Store(*"ab"), working_window()
    store.pump(window)
    store.confirm(window, 2)
    window.set_aside([1])
    window.recall(1, "a", 1, held=False)
    window.replayed(1)
    assert store.pump(window) == [1]
    assert window.end(hold=True) == 1
    window.begin(2)
    window.open(9)
    assert store.pump(window) == []


def test_f7_a5_what_is_put_back_waits_for_the_hold_of_the_epoch_under_which_it_was_refused() -> None:
    store, window = Store(*"ab"), working_window()
    store.pump(window)
    first = store.rows.pop(1)
    window.set_aside([1])
    window.end(hold=True)
    window.begin(2)
    window.open(9)
    store.rows[1] = first
    window.recall(1, "a", 1, held=True)
    window.replayed(1)
    assert store.pump(window) == []
    window.free(1)
    assert store.pump(window) == [1, 2]


def test_f7_a5_of_several_that_are_put_back_none_is_forgotten_when_their_holds_end_one_by_one() -> None:
    store, window = Store(*"aaa"), working_window()
    store.pump(window)
    rows = dict(store.rows)
    store.rows.clear()
    window.set_aside(rows)
    window.end(hold=True)
    window.begin(3)
    window.open(9)
    for number, epoch in ((1, 1), (3, 2)):
        store.rows[number] = rows[number]
        window.recall(number, "a", epoch, held=True)
        window.replayed(number)
    assert store.pump(window) == []
    window.free(1)
    assert store.pump(window) == []
    window.free(2)
    assert store.pump(window) == [1, 3]


def test_a5_what_is_put_back_goes_out_at_its_place_also_behind_the_cursor() -> None:
    store, window = Store(*"abc"), working_window()
    first = store.rows.pop(1)
    assert store.pump(window) == [2, 3]
    store.rows[1] = first
    window.replayed(1)
    assert store.pump(window) == [1]


def test_a5_what_is_put_back_while_a_page_is_read_is_not_missed() -> None:
    store, window = Store(*"abc"), working_window()
    second = store.rows.pop(2)
    page = window.wanted()
    assert page is not None
    read = list(store.rows.values())
    store.rows[2] = second
    window.replayed(2)
    assert window.take(page, read) == []
    assert store.pump(window) == [1, 2, 3]
