"""What keeps a receiver from delivering (core/health.py), and what a link has shown (core/link_health.py)."""

from dataclasses import replace

import pytest

from hotspare_receiver.core.health import (
    CALM,
    CALM_FOR,
    DISK_FLOOR,
    FIRST_LINK_GRACE,
    LATE,
    LATE_IN_A_ROW,
    Facts,
    Finding,
    Health,
    OutputFacts,
    ProblemKind,
)
from hotspare_receiver.core.link_health import LinkHealth

AFTER = 10.0
GOOD = OutputFacts("arc", None, proven=True)
FACTS = Facts(
    outputs=(GOOD,),
    disk_free=10**12,
    disk_floor=DISK_FLOOR,
    working=True,
    pressing=False,
    answered=0,
    pull_broken_since=None,
    unhealthy_after=AFTER,
)


def kinds(health: Health) -> list[ProblemKind]:
    return [finding.kind for finding in health.findings]


def at(now: float, health: Health | None = None, **changes: object) -> Health:
    """The next health, by facts that differ so from those of a receiver that is well."""
    return (health or Health()).judged(replace(FACTS, **changes), now)  # type: ignore[arg-type]


def test_f3_a_receiver_that_is_well_has_no_problem() -> None:
    assert at(0.0).findings == ()


# --- Outputs ---


def test_a4_without_a_required_output_it_is_not_healthy_at_once() -> None:
    health = at(7.0, outputs=())
    assert [(finding.kind, finding.since) for finding in health.findings] == [(ProblemKind.NO_OUTPUT, 7.0)]
    assert at(99.0, health, outputs=()).findings == health.findings
    assert at(100.0, health).findings == ()


def test_f3_an_output_is_down_when_it_was_bad_for_longer_than_unhealthy_after() -> None:
    bad = (OutputFacts("arc", 100.0, proven=True, detail="refused"),)
    assert at(100.0 + AFTER - 0.1, outputs=bad).findings == ()
    assert at(100.0 + AFTER, outputs=bad).findings == (Finding(ProblemKind.OUTPUT_DOWN, "arc", "refused", 100.0),)


@pytest.mark.parametrize("working", [True, False])
def test_f3_a_spare_is_judged_by_its_outputs_as_well(working: bool) -> None:
    bad = (OutputFacts("arc", 0.0, proven=True),)
    assert kinds(at(AFTER, outputs=bad, working=working)) == [ProblemKind.OUTPUT_DOWN]


def test_f3_one_proof_ends_it() -> None:
    health = at(AFTER, outputs=(OutputFacts("arc", 0.0, proven=True),))
    assert at(AFTER + 0.1, health).findings == ()


@pytest.mark.parametrize("unhealthy_after", [1.0, 10.0, 300.0])
def test_f3_a_process_that_never_reached_its_arc_is_given_no_work_for_it(unhealthy_after: float) -> None:
    never = (OutputFacts("arc", 0.0, proven=False),)
    grace = min(FIRST_LINK_GRACE, unhealthy_after)
    assert at(grace - 0.1, outputs=never, unhealthy_after=unhealthy_after).findings == ()
    assert kinds(at(grace, outputs=never, unhealthy_after=unhealthy_after)) == [ProblemKind.OUTPUT_DOWN]


def test_f3_each_output_has_its_own_problem() -> None:
    bad = tuple(OutputFacts(name, 0.0, proven=True) for name in ("one", "two"))
    assert [finding.subject for finding in at(AFTER, outputs=(*bad, GOOD)).findings] == ["one", "two"]


# --- Disk ---


def test_f3_the_disk_is_low_below_the_floor_until_there_is_clearly_more() -> None:
    assert at(0.0, disk_free=DISK_FLOOR).findings == ()
    health = at(1.0, disk_free=DISK_FLOOR - 1)
    assert kinds(health) == [ProblemKind.DISK_LOW]
    health = at(2.0, health, disk_free=DISK_FLOOR + 1)
    assert [(finding.kind, finding.since) for finding in health.findings] == [(ProblemKind.DISK_LOW, 1.0)]
    assert at(3.0, health, disk_free=int(DISK_FLOOR * 1.2)).findings == ()


# --- The event loop ---


def lagging(*lags: float, health: Health | None = None) -> Health:
    """The loop ran so late, one look after the other, each a second after the one before."""
    health, now = health or Health(), 0.0
    for lag in lags:
        now += 1.0
        health = at(now, health.measured(lag, now))
    return health


def test_f3_a_hiccup_of_the_loop_moves_nobody() -> None:
    assert lagging(20.0, 0.0, 20.0, 0.0, LATE, LATE, 0.9).findings == ()


def test_f3_a_loop_that_runs_late_again_and_again_is_not_healthy() -> None:
    health = lagging(*[LATE] * LATE_IN_A_ROW)
    assert [(finding.kind, finding.since) for finding in health.findings] == [(ProblemKind.LOOP_LAG, 0.0)]


def test_f3_a_loop_is_well_again_when_it_was_calm_for_a_while() -> None:
    health = lagging(*[LATE] * LATE_IN_A_ROW)
    calm = int(CALM_FOR)
    assert kinds(lagging(*[CALM] * calm, health=health)) == [ProblemKind.LOOP_LAG]
    assert kinds(lagging(*[CALM] * calm, 0.9, *[CALM] * calm, health=health)) == [ProblemKind.LOOP_LAG]
    assert lagging(*[CALM] * (calm + 1), health=health).findings == ()


# --- Progress ---


def waiting(now: float, health: Health | None = None, **changes: object) -> Health:
    return at(now, health, pressing=True, **changes)


def test_f3_alarms_that_wait_and_get_no_answer_are_no_progress() -> None:
    health = waiting(AFTER - 0.1, waiting(0.0))
    assert health.findings == ()
    health = waiting(AFTER, health)
    assert [(finding.kind, finding.since) for finding in health.findings] == [(ProblemKind.NO_PROGRESS, 0.0)]


def test_f3_alarms_that_are_answered_are_progress_however_many_wait() -> None:
    health = waiting(0.0)
    for second in range(1, 60, 5):
        health = waiting(float(second), health, answered=second)
        assert health.findings == ()


def test_f3_it_is_never_for_want_of_a_lease() -> None:
    health = waiting(0.0, working=False)
    assert waiting(1000.0, health, working=False).findings == ()
    # What waited without a lease is not counted as soon as there is one.
    assert waiting(1001.0, waiting(1000.0, health, working=False)).findings == ()


def test_f3_an_answer_ends_it() -> None:
    health = waiting(AFTER, waiting(0.0))
    assert waiting(AFTER + 1, health, answered=1).findings == ()


def test_f3_a_receiver_that_gave_its_work_up_is_not_well_for_that_alone() -> None:
    health = waiting(AFTER, waiting(0.0))
    health = at(AFTER + 1, health, working=False)
    assert kinds(at(2 * AFTER + 0.9, health, working=False)) == [ProblemKind.NO_PROGRESS]
    assert at(2 * AFTER + 1, health, working=False).findings == ()


# --- The pull ---


def test_f3_a_pull_that_is_broken_is_told() -> None:
    health = at(9.0, pull_broken_since=4.0)
    assert [(finding.kind, finding.since) for finding in health.findings] == [(ProblemKind.PULL_STUCK, 4.0)]
    assert at(10.0, health).findings == ()


# --- What a link has shown ---


def link(*, supervised: bool = True) -> LinkHealth:
    return LinkHealth(supervised, 0.0).wanted(1.0)


def test_o2_a_link_is_bad_until_somebody_answers_on_it() -> None:
    made = link().made(2.0)
    assert (made.bad_since, made.proven) == (1.0, False)
    good = made.wrote(2.0).answered()
    assert (good.bad_since, good.proven) == (None, True)


def test_o2_a_lost_link_is_bad_from_its_loss_on_whatever_comes_then() -> None:
    lost = link().made(2.0).wrote(2.0).answered().failed(50.0)
    assert lost.failed(60.0).made(70.0).failed(80.0).bad_since == 50.0
    assert lost.made(70.0).wrote(70.0).answered().bad_since is None


@pytest.mark.parametrize("supervised", [True, False])
def test_o2_silence_counts_from_the_message_that_got_no_answer(supervised: bool) -> None:
    mute = link(supervised=supervised).made(2.0).wrote(2.0).answered().wrote(100.0).failed(104.0)
    assert mute.bad_since == 100.0
    # That a new connection is taken proves nothing to the contrary.
    assert mute.made(105.0).bad_since == 100.0


def test_o2_a_link_without_supervision_is_believed_when_it_stands() -> None:
    made = link(supervised=False).made(2.0)
    assert (made.bad_since, made.proven) == (None, True)
    assert made.failed(9.0).made(9.5).bad_since is None


def test_o2_a_link_without_supervision_that_was_mute_is_believed_when_it_stood_in_quiet() -> None:
    mute = link(supervised=False).made(2.0).wrote(100.0).failed(104.0).made(105.0)
    assert mute.settled(105.0 + AFTER - 0.1, AFTER).bad_since == 100.0
    assert mute.settled(105.0 + AFTER, AFTER).bad_since is None
    assert mute.wrote(106.0).settled(105.0 + AFTER, AFTER).bad_since == 100.0
    assert mute.failed(106.0).settled(105.0 + AFTER, AFTER).bad_since == 100.0


def test_o2_a_supervised_link_is_never_believed_for_standing_alone() -> None:
    assert link().made(2.0).settled(1000.0, AFTER).bad_since == 1.0
