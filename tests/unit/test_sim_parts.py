"""The small parts of the simulators: ids, panels, logs, what came before."""

import os
from pathlib import Path
from random import Random

import pytest

from hotspare_model.contact_id import ContactId, Qualifier
from hotspare_model.event_codes import CATALOGUE
from hotspare_sim.core.repeats import Repeats
from hotspare_sim.line_log import LineLog, LineTail
from hotspare_sim.panel import Panel


def test_a_panel_reports_known_codes_that_fit_the_wire() -> None:
    panel = Panel(Random(1))
    for _ in range(2000):
        event = panel.next()
        assert event.code in CATALOGUE
        ContactId(event.qualifier, event.code, event.partition, event.zone)


def test_a_panel_restores_only_what_it_reported_before() -> None:
    panel = Panel(Random(2))
    present: set[tuple[str, int]] = set()
    restored = 0
    for _ in range(2000):
        event = panel.next()
        place = (event.code, event.zone)
        if event.code in ("401", "602"):
            continue
        match event.qualifier:
            case Qualifier.NEW:
                assert place not in present
                present.add(place)
            case Qualifier.RESTORE:
                present.remove(place)
                restored += 1
            case Qualifier.STATUS:
                assert place in present
    assert restored > 100


def test_the_same_seed_makes_the_same_events() -> None:
    one, other, third = Panel(Random(3)), Panel(Random(3)), Panel(Random(4))
    events = [one.next() for _ in range(50)]
    assert events == [other.next() for _ in range(50)]
    assert events != [third.next() for _ in range(50)]


def test_a6_a_message_came_before_only_within_the_sequences_remembered() -> None:
    repeats = Repeats(memory=3)
    assert [repeats.saw("1A2B", sequence) for sequence in (1, 2, 1, 3, 4, 1)] == [
        False, False, True, False, False, False,
    ]  # fmt: skip
    assert not repeats.saw("0001", 4)


def test_a_log_is_readable_line_by_line_while_it_grows(tmp_path: Path) -> None:
    file = tmp_path / "log"
    tail = LineTail(file)
    assert tail.read() == []
    log = LineLog(file)
    log.write({"a": "\n\x00ä"})
    assert tail.read() == [{"a": "\n\x00ä"}]
    with file.open("ab") as raw:
        raw.write(b'{"b":')
        raw.flush()
        assert tail.read() == []
        raw.write(b"2}\n")
    assert tail.read() == [{"b": 2}]
    assert file.stat().st_mode & 0o777 == 0o600
    log.close()
    log.close()


def test_a_torn_line_costs_no_other(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b'{"a":1}\n{"torn\n[]\n{"b":2}\n')
    assert LineTail(file).read() == [{"a": 1}, {"b": 2}]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_an_error() -> None:
    with pytest.raises(OSError, match="No space"):
        LineLog(Path("/dev/full")).write({"a": 1})
