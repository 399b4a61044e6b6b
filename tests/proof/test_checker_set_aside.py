"""The checker's rule of what is set aside (A5): never lost, but confirmed, or set aside for a cause and listed."""

from tests.proof.checker import check
from tests.proof.facts import (
    Confirmed,
    Delivered,
    EpochBegan,
    EpochOver,
    Fact,
    Published,
    PutBack,
    Received,
    SetAside,
    Stored,
    Why,
)
from tests.proof.limits import Limits

ONE, TWO = ("1001", 1), ("1001", 2)
INSIDE = Limits(window=9, inside=True, set_aside_after=2)
KNOWN: list[Fact] = [
    EpochBegan(0.0, 1, "r1", Why.FIRST, "r1.1"),
    Stored(1.0, ONE),
    Published(1.1, ONE),
    Delivered(1.2, 1, (ONE,)),
]


def refusal(at: float, receiver: str = "r1") -> Received:
    return Received(at, receiver, ONE, acknowledged=False, refused=True)


def broken(*facts: Fact) -> list[str]:
    return [violation.rule for violation in check([*KNOWN, *facts], INSIDE)]


def test_a5_what_is_set_aside_after_enough_refusals_is_not_lost() -> None:
    assert broken(refusal(2.0), refusal(3.0), SetAside(3.1, ONE, "refused", "r1")) == []


def test_a5_refusals_of_another_arc_do_not_count_nor_does_silence() -> None:
    aside = SetAside(4.0, ONE, "refused", "r1")
    assert broken(refusal(2.0), refusal(3.0, "r2"), aside) == ["A5"]
    assert broken(refusal(2.0), Received(3.0, "r1", ONE, acknowledged=False), aside) == ["A5"]


def test_a5_what_was_put_back_must_come_and_is_refused_anew() -> None:
    aside: list[Fact] = [refusal(2.0), refusal(3.0), SetAside(3.1, ONE, "refused", "r1"), PutBack(4.0, ONE)]
    assert broken(*aside) == ["A1"]
    came = Received(5.0, "r1", ONE)
    assert broken(*aside, came, Confirmed(5.1, ONE, "r1", 1)) == []
    assert broken(*aside, refusal(5.0), SetAside(6.0, ONE, "refused", "r1")) == ["A5"]


def test_a5_only_what_is_set_aside_can_be_put_back() -> None:
    assert "A5" in broken(PutBack(2.0, ONE))


def test_timing_4_an_alarm_is_set_aside_as_lost_after_three_losses_with_it() -> None:
    def lives(*reasons: Why) -> list[Fact]:
        told: list[Fact] = []
        for number, why in enumerate(reasons, 2):
            told += [EpochOver(10.0 * number - 1, number - 1)]
            told += [EpochBegan(10.0 * number, number, "r1", why, f"r1.{number}")]
            told += [Delivered(10.0 * number + 1, number, (ONE,))]
        return told[:-1]

    died = Why.CONNECTION_LOST
    assert broken(*lives(died, died, died), SetAside(60.0, ONE, "lost")) == []
    for reasons in ((died, died), (died, Why.SWITCHOVER, died)):
        assert "A5" in broken(*lives(*reasons), SetAside(60.0, ONE, "lost"))
