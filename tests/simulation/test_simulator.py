"""The simulator itself: one seed is one history, and the judge sees what it has to."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.judge import Judge
from tests.simulation.run import main, replay_command
from tests.simulation.simulate import simulate

ROOT = Path(__file__).parents[2]
DIGEST = "from tests.simulation.test_simulator import digest; print(digest(7))"
ALARM, NEXT = ("1001", 1), ("1001", 2)


def digest(seed: int) -> str:
    """A digest of the history of a seed."""
    return hashlib.sha256("\n".join(simulate(seed, logs=True).history.lines()).encode()).hexdigest()


def test_a_seed_is_one_history_whatever_ran_before() -> None:
    before = digest(7)
    simulate(8)
    assert digest(7) == before


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_a_seed_is_the_same_history_in_another_process(hash_seed: str) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", DIGEST]
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.strip() == digest(7)


def test_a_failing_seed_is_printed_with_what_replays_it(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--mutant", "confirm-before-the-arc"]
    assert main(["--seeds", "1..2", "--workers", "1", *options]) == 1
    assert f"    {replay_command(1, options[1])}\n" in capsys.readouterr().out
    assert main(["--trace", "1", *options]) == 1
    trace = capsys.readouterr().out
    assert "VIOLATION" in trace
    assert "seed 1: A4 at " in trace


class Court:
    """A judge, and a history in which epoch 1 is r1's and has an alarm."""

    def __init__(self) -> None:
        self.broken: list[str] = []
        self.judge = Judge(window=1, violated=lambda rule, problem: self.broken.append(rule))
        for number, alarm in ((1, ALARM), (2, NEXT)):
            self.judge.stored(number, alarm)
        self.epoch(1, "r1")
        self.judge.noted(1, [1, 2])

    def epoch(self, epoch: int, receiver: str) -> None:
        """It begins, with a lease up to second 10 times its number."""
        self.judge.epoch_stored(epoch, receiver, f"{receiver}.1")
        self.judge.lease(epoch, 10.0 * epoch)

    def sent(self, epoch: int, receiver: str, at: float, alarm: tuple[str, int] = ALARM) -> None:
        """A message is written, and comes to the ARC."""
        attempt = self.judge.wrote(at, receiver, f"{receiver}.1", epoch, alarm)
        self.judge.arrived(at, attempt, alarm, alive=True)


def test_a_plain_course_breaks_nothing() -> None:
    court = Court()
    court.sent(1, "r1", 1.0)
    court.judge.arc_acknowledges("r1", ALARM)
    court.judge.journalled("r1", ALARM)
    court.judge.confirmation(1.2, 1, "r1", [1])
    court.judge.released(1, "r1.1")
    court.judge.epoch_over(2.0, 1)
    court.epoch(2, "r2")
    court.judge.noted(2, [2])
    court.judge.took_over(2, "r2.1")
    court.sent(2, "r2", 3.0, NEXT)
    assert court.broken == []


def test_a3_a_later_alarm_of_a_device_does_not_come_first() -> None:
    court = Court()
    court.sent(1, "r1", 1.0, NEXT)
    assert court.broken == ["A3"]


def test_a4_nothing_is_confirmed_that_no_arc_acknowledged() -> None:
    court = Court()
    court.sent(1, "r1", 1.0)
    court.judge.confirmation(1.2, 1, "r1", [1])
    assert court.broken == ["A4"]


def test_f7_nothing_is_written_after_the_lease_that_the_cloud_counts() -> None:
    court = Court()
    court.sent(1, "r1", 10.1)
    assert court.broken == ["lease"]


def test_f7_nothing_is_written_once_the_cloud_takes_its_holder_as_stopped() -> None:
    court = Court()
    court.judge.epoch_over(5.0, 1)
    court.sent(1, "r1", 5.1)
    assert court.broken == ["lease"]


def test_f7_an_alarm_is_not_delivered_under_two_epochs_at_a_time() -> None:
    court = Court()
    court.epoch(2, "r2")
    court.judge.noted(2, [1])
    assert court.broken == ["one epoch at a time"]


def test_f7_epochs_grow_and_have_one_holder() -> None:
    court = Court()
    court.judge.took_over(1, "r1.2")
    court.judge.epoch_stored(1, "r2", "r2.1")
    court.judge.took_over(7, "r3.1")
    assert court.broken == ["one holder", "epochs only grow", "stored before it is granted"]


def test_f6_no_more_than_a_window_comes_twice() -> None:
    court = Court()
    court.sent(1, "r1", 1.0)
    court.sent(1, "r1", 1.5, NEXT)
    court.judge.epoch_over(2.0, 1)
    court.epoch(2, "r2")
    court.judge.noted(2, [1, 2])
    court.sent(2, "r2", 3.0)
    assert court.broken == []
    court.sent(2, "r2", 3.5, NEXT)
    assert court.broken == ["F6"]


def test_f5_a_release_comes_after_what_was_acknowledged_is_stored() -> None:
    court = Court()
    attempt = court.judge.wrote(1.0, "r1", "r1.1", 1, ALARM)
    court.judge.acknowledged(attempt)
    court.judge.released(1, "r1.1")
    assert court.broken == ["F5"]


def test_a1_what_was_answered_and_not_confirmed_is_missing() -> None:
    court = Court()
    court.judge.answered(0.5, ALARM)
    assert court.judge.missing() == [ALARM]
