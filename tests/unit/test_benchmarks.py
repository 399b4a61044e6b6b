"""The pure parts of the benchmarks: figures, tables, picture, and that the docs show what was measured."""

import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks import pages, tables
from benchmarks.failover import planned
from benchmarks.failover.arrivals import Arrivals
from benchmarks.failover.balance import duplicates_of
from benchmarks.failover.faults import LEASE, Fault, Loss
from benchmarks.failover.run import Options, share
from benchmarks.failover.unplanned import RATE
from benchmarks.figures import FAILED, Summary, longest_gap, percentile, ratio
from benchmarks.machine import PROBE_SYNCS
from benchmarks.picture import Strip, draw
from benchmarks.results import Part, Round, Sample, from_json, load, merged, to_json
from tests.acceptance.harness.book import Event, Received

SVG = "{http://www.w3.org/2000/svg}"


def part(name: str = "P1", *values: float, peer: float = 5.0) -> Part:
    samples = [Sample("kill -9", value, {"victim": "host", "duplicates": index}) for index, value in enumerate(values)]
    turn = Round(1, [*samples, Sample("etcd lock, lease 6 s, kill -9", peer)], [0.001, 0.002], 0.5)
    turn.add({"published": 100, "lost": 0, "duplicates": 3, "problems": 0})
    return Part(name, "2030-01-01 00:00 UTC", {"cores": 2, "etcd": "3.4"}, [turn])


# Figures.


@pytest.mark.parametrize(
    ("percent", "expected"), [(0, 1), (1, 1), (50, 50), (50.5, 51), (99, 99), (99.5, 100), (100, 100)]
)
def test_a_percentile_is_a_value_that_was_measured(percent: float, expected: float) -> None:
    assert percentile([float(value) for value in range(100, 0, -1)], percent) == expected


def test_the_99th_percentile_of_few_values_is_their_maximum() -> None:
    assert percentile([3.0, 1.0, 2.0], 99) == 3.0
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


def test_a_failed_sample_counts_as_the_longest_and_is_not_left_out() -> None:
    assert Summary.of([1.0, FAILED, 2.0]) == Summary(3, 1, 1.0, 2.0, FAILED, FAILED)


def test_a_ratio_needs_two_that_came_to_their_end() -> None:
    assert ratio(5.0, 2.0) == 2.5
    assert ratio(FAILED, 2.0) is None
    assert ratio(5.0, FAILED) is None
    assert ratio(5.0, 0.0) is None


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([1.0, 2.0, 2.5, 4.0], 1.5),
        ([0.0, 2.0, 2.5, 3.0, 3.2], 2.0),  # it began before the span
        ([0.9, 1.5, 2.5, 6.0], 3.5),  # it ends after the span
        ([0.0, 9.0], 9.0),  # it goes over the whole span
        ([1.5, 2.0], 1.0),  # nothing came any more
        ([2.9, 3.0], 1.9),  # nothing had come before
        ([], 2.0),
        ([-9.0, 0.5, 1.0, 2.0, 3.1, 3.2, 9.0], 1.1),  # what lies outside does not count
    ],
)
def test_the_longest_gap_of_a_span_reaches_over_its_ends(times: list[float], expected: float) -> None:
    assert longest_gap(reversed(times), 1.0, 3.0) == pytest.approx(expected)


@pytest.mark.parametrize(("count", "rounds"), [(100, 3), (30, 3), (2, 3), (0, 1), (7, 7)])
def test_the_rounds_share_the_count_evenly_and_wholly(count: int, rounds: int) -> None:
    shares = [share(count, rounds, number) for number in range(1, rounds + 1)]
    assert sum(shares) == count
    assert max(shares) - min(shares) <= 1


# Results.


def test_results_come_back_as_they_were_written() -> None:
    known = [part("P1", 1.0, FAILED), part("P2", 2.5)]
    assert from_json(to_json(known)) == known
    with pytest.raises(ValueError, match="format"):
        from_json('{"format": 0, "parts": []}')


def test_a_newer_part_replaces_the_older_one_whole() -> None:
    found = merged([part("P1", 1.0), part("P3", 3.0)], [part("P1", 9.0)])
    assert [(each.name, each.values("kill -9")) for each in found] == [("P1", [9.0]), ("P3", [3.0])]


# Whose loss made an alarm come again.


def receipt(arc: str, at: float, sequence: int) -> Received:
    event = Event(1, "130", 1, 1, datetime(2030, 1, 1, tzinfo=UTC))
    return Received(arc, at, "A000", sequence, event, None, "")


@pytest.mark.parametrize(
    ("fault", "first_at", "expected"),
    [
        (Fault.KILL, 9.0, [1, 0]),
        (Fault.KILL, 10.1, [1, 0]),
        (Fault.STOP, 12.0, [0, 1]),
        (Fault.CUT_UP, 10.0 + LEASE, [1, 0]),
        (Fault.CUT_UP, 10.1 + LEASE, [0, 1]),
        (Fault.KILL, 99.0, [0, 1]),
    ],
)
def test_what_came_again_is_counted_for_the_loss_that_did_it(
    fault: Fault, first_at: float, expected: list[int]
) -> None:
    losses = [Loss(fault, "host", 10.0), Loss(fault, "host", 20.0), Loss(fault, "spare1", 5.0)]
    arrivals = Arrivals()
    arrivals.add(receipt("host", first_at, 1))
    arrivals.add(receipt("host", first_at, 2))
    arrivals.add(receipt("spare1", 100.0, 1))
    assert duplicates_of(losses, arrivals, 0) == [*expected, 0]


# Tables.


def test_a_table_tells_figures_goal_and_ratio() -> None:
    text = tables.markdown(part("P1", 1.0, 1.1, 1.25))
    assert "| kill -9 | 3 | 1.00 s | 1.10 s | 1.25 s | 1.25 s | median 1.20 s, p99 1.50 s: met |" in text
    assert "| etcd lock, lease 6 s, kill -9 | 1 | 5.00 s |" in text
    assert "| etcd lock, lease 6 s, kill -9 | 4.5 (4.0) |" in text
    assert "| 1 | 0.50 | 1.0 ms, 2.0 ms | 1.10 s | 5.00 s |" in text
    assert "lost: 0;" in text
    assert (
        "received again: 3, at most 2 for one move (goal: no loss, at most a window of 256 twice for one move: met)"
        in text
    )


@pytest.mark.parametrize(("name", "fact", "verdict"), [("P1", "lost", "NOT met"), ("P3", "duplicates", "NOT met")])
def test_a_loss_and_a_planned_duplicate_miss_the_goal(name: str, fact: str, verdict: str) -> None:
    found = part(name, 0.01)
    found.rounds[0].facts |= {"lost": 0, "duplicates": 0}
    assert tables.markdown(found).count("move: met") + tables.markdown(found).count("twice: met") == 1
    found.rounds[0].add({fact: 1})
    assert f": {verdict})." in tables.markdown(found)


def test_a_goal_that_is_missed_and_a_sample_that_failed_are_told() -> None:
    text = tables.markdown(part("P1", 1.3, FAILED))
    assert "| kill -9 | 2, 1 failed | 1.30 s | 1.30 s | never | never | median 1.20 s, p99 1.50 s: NOT met |" in text


def test_a_missing_peer_is_told() -> None:
    alone = part("P1", 1.0)
    alone.rounds[0].samples = alone.rounds[0].samples[:1]
    alone.facts["etcd"] = "not installed (make bench-deps)"
    assert "etcd: not installed (make bench-deps), not measured in this run." in tables.markdown(alone)
    assert "times as long" not in tables.markdown(alone)


def test_a_part_without_a_sample_has_no_table_and_no_error() -> None:
    empty = Part("P3", "2030-01-01 00:00 UTC", {}, [Round(1)])
    assert "|" not in tables.markdown(empty)
    assert tables.console(empty).startswith("P3:")


def test_the_terminal_shows_the_same_rows() -> None:
    text = tables.console(part("P1", 1.0, 1.1, 1.25))
    assert "kill -9                        3      1.00 s" in text


# The picture.


def test_the_picture_has_a_dot_for_each_sample_and_a_cross_for_each_that_failed() -> None:
    strips = [Strip("a <b> & c", [1.0, 2.0, FAILED], "#2563eb"), Strip("nothing", [], "#6b7280")]
    root = ET.fromstring(draw("Title & more", "what it shows", strips))
    assert len(root.findall(f".//{SVG}circle")) == 2
    assert sum("l8 8m0 -8" in str(path.get("d")) for path in root.iter(f"{SVG}path")) == 1
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert "a <b> & c" in texts
    assert "2.00 s, never" in texts
    assert "not measured" in texts


def test_dots_lie_where_the_axis_says() -> None:
    root = ET.fromstring(draw("t", "d", [Strip("a", [0.0, 2.0, 4.0], "#000000")]))
    first, middle, last = (float(str(dot.get("cx"))) for dot in root.iter(f"{SVG}circle"))
    assert middle - first == pytest.approx(last - middle, abs=0.1)
    ticks = {text.text: float(str(text.get("x"))) for text in root.iter(f"{SVG}text")}
    assert ticks["2"] == pytest.approx(middle, abs=0.1)


# The docs.


def test_the_page_is_filled_between_its_markers_alone() -> None:
    page = pages.PAGE.read_text(encoding="utf-8")
    filled = pages.filled(page, [part("P1", 1.0)])
    assert "| kill -9 | 1 |" in filled
    assert filled.count(pages.NONE) == len(tables.TITLES) - 1
    assert pages.filled(filled, [part("P1", 1.0)]) == filled
    with pytest.raises(ValueError, match="0 blocks of P1"):
        pages.filled(page.replace("end of P1", ""), [])


def test_tables_and_picture_in_the_docs_come_from_the_samples_in_the_repository() -> None:
    parts = load(pages.RESULTS)
    page = pages.PAGE.read_text(encoding="utf-8")
    assert page == pages.filled(page, parts), "run: python -m benchmarks docs"
    assert pages.PICTURE.read_text(encoding="utf-8") == pages.picture(parts), "run: python -m benchmarks docs"


def test_no_file_of_results_means_no_parts(tmp_path: Path) -> None:
    assert load(tmp_path / "none.json") == []


def test_the_page_tells_what_the_code_does() -> None:
    text = pages.PAGE.read_text(encoding="utf-8")
    assert f"| devices | {Options().devices}, each" in text
    assert f"Under {planned.RATE:.0f} alarms a second." in text
    assert f"written and synced {PROBE_SYNCS} times" in text
    assert f"{RATE:.0f} alarms a second" in text
