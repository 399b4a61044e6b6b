"""Links that carry one way, slowly or unevenly: who hears us, and who is lost (F3; timing 4)."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotspare_cloud.attendance import Line
from hotspare_cloud.core.decide import restarted
from hotspare_cloud.core.state import Beat, Kind, Reason, Stalled, WorksAgain
from hotspare_model.group import Role
from tests.unit.cloud_trial import SETTINGS, STEP, Trial, granted

SUSPECT = SETTINGS.suspect_after.total_seconds()
BEAT = SETTINGS.beat.total_seconds()


@pytest.fixture
def trial() -> Trial:
    return Trial()


def cut_towards(trial: Trial, who: str) -> float:
    """From now on our states don't reach it; its beats do reach us. Returns when the newest was sent that did."""
    sent = trial.now - 0.1
    trial.hearing[who] = sent
    return sent


def beats_over_a_link(
    trial: Trial, seconds: float, round_trip: float, *others: str, every: float = BEAT, before: float = 0.2
) -> None:
    """The host beats; each beat echoes the newest state of those that are answers to its beats and have arrived.

    `before` is the round trip until now.
    """
    half = round_trip / 2
    start = trial.now
    sendings = [start + number * every for number in range(int(seconds / every) + 1)]
    # Answers of before, to beats of before; the newest that has arrived was sent half a round trip ago.
    answered: list[float] = [start - before / 2 - number * every for number in range(5)]
    next_beat = start
    while trial.now < start + seconds - 1e-9:
        arrived = [sent + half for sent in sendings if trial.now < sent + half <= trial.now + STEP + 1e-9]
        trial.run(STEP)
        for at in arrived:
            echoed = max((sent for sent in answered if sent + half <= at - half), default=start - 9)
            trial.hearing["host"] = echoed
            trial.beat("host")
            answered.append(trial.now)
        if trial.now >= next_beat - 1e-9:
            next_beat += BEAT
            for who in others:
                trial.beat(who)


def test_f3_one_that_beats_and_does_not_hear_is_lost_suspect_after_the_newest_state_that_it_heard(
    trial: Trial,
) -> None:
    trial.arrive("host", "one")
    trial.run(20, "host", "one")
    sent = cut_towards(trial, "host")
    trial.run(sent + SUSPECT - trial.now - STEP, "host", "one")
    assert trial.working == "host"
    trial.run(2 * STEP, "host", "one")
    assert trial.move == ("one", Reason.SILENT)
    assert trial.now - sent < SUSPECT + 0.3


@pytest.mark.parametrize(("age", "late"), [(0.5, 0.2), (1.5, 0.7)])
def test_f3_on_a_slow_link_too_it_counts_from_the_state_and_not_from_the_beat_that_echoed_it(
    trial: Trial, age: float, late: float
) -> None:
    """`late`: a beat has to come without a new echo before it shows."""
    trial.attend("host")
    trial.beat("host", echo_age=age)
    trial.arrive("one")
    for _ in range(5):
        trial.run(BEAT, "one")
        trial.beat("host", echo_age=age)
    sent = trial.hearing["host"] = trial.now - age
    while trial.working == "host":
        trial.run(STEP)
        if round(trial.now - sent - age, 6) % BEAT == 0:
            trial.beat("host")
            trial.beat("one")
    assert trial.move == ("one", Reason.SILENT)
    assert SUSPECT - STEP <= trial.now - sent < SUSPECT + late


def test_f7_a_beat_soon_after_another_is_granted_as_well(trial: Trial) -> None:
    trial.arrive("host", "one")
    trial.run(5, "host", "one")
    trial.hearing["host"] = trial.now - 0.1
    trial.now += 0.5 * BEAT
    assert granted(trial.beat("host"), "host")
    assert trial.state.holder
    assert trial.state.holder.lease_until == trial.now + SETTINGS.lease.total_seconds()


def test_f3_one_whose_echoes_are_never_fresh_is_never_present(trial: Trial) -> None:
    trial.attend("host")
    for _ in range(10):
        trial.now += BEAT
        trial.beat("host", echo_age=SUSPECT + 0.1)
    assert trial.working is None
    assert not trial.state.attendance["host"].deaf


def test_f7_one_that_does_not_hear_gets_no_lease_before_it_is_lost(trial: Trial) -> None:
    trial.arrive("host", "one")
    trial.run(20, "host", "one")
    assert trial.state.holder
    until = trial.state.holder.lease_until
    cut_towards(trial, "host")
    for _ in range(2):
        trial.now += BEAT
        trial.beat("one")
        assert not granted(trial.beat("host"), "host")
    assert trial.state.holder.lease_until == until


def test_f3_one_late_answer_loses_nobody_and_no_more_than_one_renewal(trial: Trial) -> None:
    trial.arrive("host", "one")
    trial.run(20, "host", "one")
    cut_towards(trial, "host")
    trial.run(BEAT, "host", "one")
    del trial.hearing["host"]
    trial.now += BEAT
    assert granted(trial.beat("host"), "host")
    trial.beat("one")
    trial.run(30, "host", "one")
    assert (trial.working, trial.state.epoch) == ("host", 1)


def test_f3_one_that_hears_again_before_suspect_after_is_not_lost(trial: Trial) -> None:
    trial.arrive("host", "one")
    trial.run(20, "host", "one")
    cut_towards(trial, "host")
    trial.run(2.5, "host", "one")
    del trial.hearing["host"]
    trial.beat("host")
    trial.run(10, "host", "one")
    assert (trial.working, trial.state.epoch) == ("host", 1)


@pytest.mark.parametrize("round_trip", [0.3, 1.0, 1.5, 1.9])
def test_f3_a_slow_link_is_no_loss(trial: Trial, round_trip: float) -> None:
    trial.attend("host")
    trial.beat("host", echo_age=round_trip)
    trial.arrive("one")
    beats_over_a_link(trial, 60, round_trip, "one", before=round_trip)
    assert (trial.working, trial.state.epoch) == ("host", 1)
    assert trial.state.holder
    assert trial.state.holder.lease_until - trial.now > SETTINGS.lease.total_seconds() - 1.2


def test_f3_a_link_that_grows_slow_at_once_is_no_loss(trial: Trial) -> None:
    trial.arrive("host", "one")
    for round_trip in (0.2, 1.5, 0.2, 1.5):
        beats_over_a_link(trial, 20, round_trip, "one")
    assert (trial.working, trial.state.epoch) == ("host", 1)


def test_f3_a_link_so_slow_that_no_echo_is_fresh_is_a_loss(trial: Trial) -> None:
    trial.arrive("host", "one")
    beats_over_a_link(trial, 20, SUSPECT + 0.5, "one")
    assert trial.working == "one"


def test_f3_extra_beats_in_quick_succession_are_no_deafness(trial: Trial) -> None:
    trial.arrive("host", "one")
    for _ in range(40):
        trial.run(BEAT, "one")
        trial.beat("host")
        heard = trial.now - 0.1
        trial.hearing["host"] = heard
        for _ in range(20):
            trial.now += 0.01
            trial.beat("host")
        del trial.hearing["host"]
    assert (trial.working, trial.state.epoch) == ("host", 1)
    assert not trial.state.attendance["host"].deaf


def test_f3_beats_that_were_held_up_and_come_all_at_once_lose_nobody(trial: Trial) -> None:
    trial.arrive("host", "one")
    trial.run(20, "host", "one")
    cut_towards(trial, "host")
    trial.run(2.0, "one")
    for _ in range(2):
        trial.beat("host")
    del trial.hearing["host"]
    trial.beat("host")
    trial.run(10, "host", "one")
    assert (trial.working, trial.state.epoch) == ("host", 1)


def test_f3_one_that_never_echoed_anything_is_never_present(trial: Trial) -> None:
    trial.attend("host")
    for _ in range(10):
        trial.now += BEAT
        trial.beat("host", echo_age=None)
    assert trial.working is None
    trial.arrive("one")
    assert trial.working == "one"


def test_f3_a_cut_towards_a_spare_makes_it_no_candidate(trial: Trial) -> None:
    trial.arrive("host", "one", "two")
    trial.run(20, "host", "one", "two")
    cut_towards(trial, "one")
    trial.run(4, "host", "one", "two")
    trial.lose("host", "one", "two")
    assert trial.working == "two"


def test_f3_a_cut_the_other_way_is_silence(trial: Trial) -> None:
    trial.arrive("host", "one")
    trial.run(20, "host", "one")
    silent = trial.now
    trial.run(SUSPECT - STEP, "one")
    assert trial.working == "host"
    trial.run(2 * STEP, "one")
    assert trial.move == ("one", Reason.SILENT)
    assert trial.now - silent < SUSPECT + 0.3


def test_f4_one_that_hears_again_counts_the_delay_anew(trial: Trial) -> None:
    trial.arrive("host", "one")
    trial.run(20, "host", "one")
    cut_towards(trial, "host")
    trial.run(60, "host", "one")
    assert trial.working == "one"
    assert trial.yielding is None
    del trial.hearing["host"]
    trial.beat("host")
    back = trial.now
    trial.hand_over("host", "one")
    assert trial.now - back >= SETTINGS.failback_delay.total_seconds()


def test_f3_a_cut_without_a_successor_ends_nothing_and_is_told_once(trial: Trial) -> None:
    trial.arrive("host")
    trial.run(20, "host")
    cut_towards(trial, "host")
    trial.run(60, "host")
    assert trial.kinds == [Kind.NOBODY_LEFT]
    del trial.hearing["host"]
    assert granted(trial.beat("host"), "host")
    assert (trial.working, trial.state.epoch) == ("host", 1)


@pytest.mark.parametrize("first", ["beat", "hello"])
def test_f8_the_time_without_a_working_one_counts_though_it_comes_back_having_released(
    trial: Trial, first: str
) -> None:
    """Its lease ran out while it was cut off, so it releases the epoch as soon as it is heard again: with its first
    beat, or before that with the hello of its stream."""
    trial.arrive("host")
    trial.run(20, "host")
    heard = trial.now
    trial.part("host")
    trial.run(60)
    assert trial.kinds == [Kind.NOBODY_LEFT]
    if first == "beat":
        trial.attend("host")
    trial.released["host"] = trial.state.epoch
    if first == "hello":
        trial.attend("host")
    trial.beat("host")
    assert (trial.working, trial.state.epoch) == ("host", 2)
    assert trial.begun[-1].gap == pytest.approx(trial.now - heard)


@pytest.mark.parametrize("how", ["all leave at once", "one after another", "with a restart of the cloud"])
def test_f8_in_a_group_that_ended_nobody_is_missed(trial: Trial, how: str) -> None:
    """Else its time without a working receiver would grow for ever, and so would an alert."""
    trial.arrive("host")
    trial.run(5, "host")
    if how == "one after another":
        trial.leave("host", released={"host": 1})
        trial.run(10)
        assert trial.state.idle_since is not None
        trial.leave("one", "two", "three")
    else:
        trial.leave("host", "one", "two", "three")
    assert (trial.state.holder, trial.state.idle_since) == (None, None)
    if how == "with a restart of the cloud":
        trial.state = restarted(trial.state.settings, trial.state, trial.now)
    trial.run(1000)
    trial.join("two", Role.HOST)
    trial.arrive("two")
    trial.run(10, "two")
    assert (trial.working, trial.begun[-1].gap) == ("two", 0.0)


@pytest.mark.parametrize("event", ["stall", "settings"])
def test_f11_a_grace_of_the_cloud_does_not_bring_a_holder_back_that_is_gone(trial: Trial, event: str) -> None:
    trial.arrive("host")
    trial.part("host")
    trial.run(60)
    effects = trial.feed(Stalled(trial.now - 1.0)) if event == "stall" else ()
    if event == "settings":
        trial.set(window=7)
    effects += trial.feed(Beat("one", "one-1", 1, 0, None))
    assert not [effect for effect in effects if isinstance(effect, WorksAgain)]
    trial.run(30)
    assert trial.kinds == [Kind.NOBODY_LEFT]


def test_f3_the_quickest_settings_survive_a_link_of_a_third_of_suspect_after(trial: Trial) -> None:
    trial.set(
        lease=timedelta(seconds=2),
        beat=timedelta(seconds=0.2),
        suspect_after=timedelta(seconds=1.2),
        reconnect_grace=timedelta(seconds=0.3),
        restart_grace=timedelta(seconds=1),
    )
    trial.arrive("host", "one")
    beats_over_a_link(trial, 20, 0.4, "one", every=0.2)
    assert (trial.working, trial.state.epoch) == ("host", 1)


@given(now=st.floats(0, 1e7), wait=st.floats(0.9, 1.1))
def test_f3_an_echo_that_stands_still_is_seen_to_stand_still(now: float, wait: float) -> None:
    """To the last bit: an age that is taken at each beat is rounded anew, and at times it seemed to advance."""
    trial, line = Trial(), Line()
    trial.now = now
    trial.attend("host")
    number = line.numbered(trial.now)
    for beat in range(3):
        trial.now += wait
        trial.hearing["host"] = line.echo_sent(number) or 0.0
        trial.beat("host")
        assert trial.state.attendance["host"].deaf is (beat == 2)
