"""What the group's configuration does to alarms: which are withheld, on which line and with which code others go."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotspare_model.alarm import Alarm, AlarmPath, CodeFormat, StoredAlarm
from hotspare_model.code_translation import CodeBook, Definition
from hotspare_model.contact_id import Qualifier
from hotspare_model.dc09 import decode
from hotspare_model.surgard import CidMessage, SiaMessage, Width, parse_message
from hotspare_receiver.core.backoff import Backoff
from hotspare_receiver.core.forwarder import Delivered, Forwarder, Outcome
from hotspare_receiver.core.group_view import NOTHING_KNOWN, GroupView
from hotspare_receiver.outputs.dc09 import Dc09, encode_alarm
from hotspare_receiver.outputs.dialect import Encoded
from hotspare_receiver.outputs.surgard import Surgard
from hotspare_receiver.snapshot import Dc09Config, Dc09Form, SurgardConfig

MORNING = datetime(2026, 5, 4, 6, 0, tzinfo=UTC)
EPOCH = 3
GROUP = GroupView(
    CodeBook([Definition("130", "BA", "BR", forwarded=False), Definition("131", "BX", "BY"), Definition("9B1")]),
    lines={"panel": "7", "long": "1A2B3C", "wide": "42", "high": "600", "hex": "1A"},
    disabled=frozenset({"off"}),
)


def delivered(number: int = 1, device: str = "panel", *, replay: bool = False, **changes: Any) -> Delivered:
    what = Alarm(f"id-{number}", device, Qualifier.NEW, CodeFormat.CONTACT_ID, "131", 1, 1, MORNING, "")
    stored = StoredAlarm(number, replace(what, **changes), "1234", number, MORNING, (), AlarmPath.CLOUD)
    return Delivered(stored, EPOCH, attempt=1, replay=replay, raw=b"")


# What is withheld.


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, ""),
        ({"code": "130"}, "the event 130"),
        ({"code": "130", "qualifier": Qualifier.RESTORE}, "the event 130"),
        ({"code": "130", "qualifier": Qualifier.STATUS}, "the event 130"),
        ({"code": "BA", "code_format": CodeFormat.SIA}, "the event 130"),
        ({"code": "BR", "code_format": CodeFormat.SIA}, "the event 130"),
        ({"code": "BA"}, ""),
        ({"code": "999"}, ""),
        ({"device": "off"}, "the device off is disabled"),
        ({"device": "never-seen"}, ""),
        ({"device": "off", "replay": True}, ""),
        ({"code": "130", "replay": True}, ""),
    ],
)
def test_a4_withheld_is_what_the_group_says_and_nothing_else(changes: dict[str, Any], why: str) -> None:
    found = GROUP.withheld(delivered(**changes))
    assert why in found
    assert bool(found) == bool(why)


def test_a4_without_a_configuration_all_goes_out() -> None:
    assert NOTHING_KNOWN.withheld(delivered(code="130", device="off")) == ""


def working(**outputs: bool) -> Forwarder:
    forwarder = Forwarder(Backoff(first=1.0, longest=4.0))
    forwarder.set_outputs(outputs or {"arc": True})
    forwarder.begin(EPOCH)
    return forwarder


def numbers(alarms: Iterable[Delivered]) -> list[int]:
    return [alarm.number for alarm in alarms]


def sent(forwarder: Forwarder, output: str = "arc", outcome: Outcome = Outcome.CONFIRMED) -> int | None:
    sending = forwarder.take(output, 0.0)
    if sending is None:
        return None
    forwarder.finished(output, sending.delivered, outcome, 0.0)
    return sending.delivered.number


def test_a4_what_is_withheld_at_its_delivery_is_through_and_never_sent() -> None:
    forwarder = working()
    taken = forwarder.deliver([delivered(1), delivered(2), delivered(3)], set(), 0.0, {2})
    assert (numbers(taken.new), numbers(taken.withheld)) == ([1, 3], [2])
    assert [sent(forwarder), sent(forwarder), sent(forwarder)] == [1, 3, None]
    assert forwarder.drained
    # Nobody at the ARC confirmed it: the health of the outputs must not be judged by it.
    assert forwarder.confirmed == 2


def test_f6_what_is_known_as_confirmed_is_confirmed_again_and_not_withheld() -> None:
    taken = working().deliver([delivered(1)], {1}, 0.0, {1})
    assert (numbers(taken.again), numbers(taken.withheld)) == ([1], [])


def test_a3_of_what_waits_the_rest_keeps_its_order_when_some_is_withheld() -> None:
    forwarder = working(arc=True, second=True)
    forwarder.deliver([delivered(number) for number in (1, 2, 3, 4)], set(), 0.0)
    assert numbers(forwarder.withhold([1, 3])) == [1, 3]
    for output in ("arc", "second"):
        assert [sent(forwarder, output) for _ in range(3)] == [2, 4, None]
    assert forwarder.drained


@pytest.mark.parametrize("outcome", [Outcome.UNKNOWN, Outcome.CONFIRMED])
def test_a4_what_the_arc_may_have_seen_is_finished_and_not_withheld(outcome: Outcome) -> None:
    forwarder = working(arc=True, second=True)
    forwarder.deliver([delivered(1)], set(), 0.0)
    sent(forwarder, "arc", outcome)
    assert numbers(forwarder.waiting()) == []
    assert forwarder.withhold([1]) == ()
    assert sent(forwarder, "second") == 1


def test_a4_what_is_in_flight_is_not_withheld_before_it_has_landed() -> None:
    forwarder = working()
    forwarder.deliver([delivered(1), delivered(2)], set(), 0.0)
    sending = forwarder.take("arc", 0.0)
    assert sending is not None
    assert forwarder.withhold([1]) == ()
    forwarder.finished("arc", sending.delivered, Outcome.REFUSED, 0.0)
    assert numbers(forwarder.withhold([1])) == [1]
    # Its device was held up by the refusal, and goes on at once.
    assert sent(forwarder) == 2


def test_a5_what_is_rejected_waits_for_the_cloud_and_is_not_withheld() -> None:
    forwarder = working()
    forwarder.set_aside_after = 1
    forwarder.deliver([delivered(1)], set(), 0.0)
    sent(forwarder, outcome=Outcome.REFUSED)
    assert forwarder.rejection(1) is not None
    assert forwarder.withhold([1]) == ()
    assert forwarder.set_aside(1)


def test_a4_an_output_that_is_not_required_still_gets_what_was_confirmed_before() -> None:
    forwarder = working(arc=True, copy=False)
    forwarder.deliver([delivered(1), delivered(2)], set(), 0.0)
    sent(forwarder)
    assert numbers(forwarder.withhold([1, 2])) == [2]
    assert [sent(forwarder, "copy"), sent(forwarder, "copy")] == [1, None]


@given(st.lists(st.sampled_from(["take", "ok", "lost", "refused", "withhold"]), max_size=40), st.integers(0, 2**8 - 1))
def test_a4_every_alarm_is_confirmed_once_or_withheld_once_and_none_both(steps: list[str], chosen: int) -> None:
    forwarder = working()
    count = 8
    wanted = {number for number in range(count) if chosen >> number & 1}
    through: list[int] = []
    forwarder.deliver([delivered(number, f"panel-{number % 3}") for number in range(count)], set(), 0.0)
    flying: Delivered | None = None
    for now, step in enumerate([*steps, *["take", "ok", "withhold"] * 3 * count]):
        if step == "take" and flying is None:
            sending = forwarder.take("arc", now * 10.0)
            flying = sending.delivered if sending is not None else None
        elif step == "withhold":
            through += numbers(forwarder.withhold(wanted))
        elif flying is not None and step != "take":
            outcome = {"ok": Outcome.CONFIRMED, "lost": Outcome.UNKNOWN, "refused": Outcome.CLOCK_REFUSED}[step]
            confirmed = forwarder.finished("arc", flying, outcome, now * 10.0)
            through += [] if confirmed is None else [confirmed.number]
            flying = None
    assert sorted(through) == list(range(count))
    assert forwarder.drained


# On the wire.


def dc09(alarm: Delivered, form: Dc09Form = Dc09Form.ADM_CID, group: GroupView = GROUP) -> Encoded:
    return Dc09(Dc09Config(form=form, line_number="5")).alarm(alarm.stored, MORNING, 0, group)


@pytest.mark.parametrize("form", Dc09Form)
@pytest.mark.parametrize(("device", "line"), [("panel", "7"), ("long", "1A2B3C"), ("other", "5"), ("", "5")])
def test_o1_the_line_number_of_the_device_goes_on_the_wire_of_dc09(form: Dc09Form, device: str, line: str) -> None:
    encoded = dc09(delivered(device=device), form)
    assert decode(encoded.raw, lambda account: None).line == line
    assert encoded.told == ""


def surgard(alarm: Delivered, width: Width = Width.MLR2) -> Encoded:
    return Surgard(SurgardConfig(width=width, line_number=5)).alarm(alarm.stored, MORNING, 0, GROUP)


@pytest.mark.parametrize(
    ("device", "width", "line", "marked"),
    [
        ("panel", Width.MLR2, 7, False),
        ("panel", Width.SYSTEM, 7, False),
        ("wide", Width.SYSTEM, 42, False),
        ("high", Width.SYSTEM, 600, False),
        ("hex", Width.SYSTEM, 5, True),
        ("wide", Width.MLR2, 5, True),
        ("long", Width.SYSTEM, 5, True),
        ("other", Width.MLR2, 5, False),
    ],
)
def test_o1_the_line_number_of_the_device_goes_on_the_wire_of_sur_gard_where_it_fits(
    device: str, width: Width, line: int, marked: bool
) -> None:
    for alarm in (delivered(device=device), delivered(device=device, code="MI", code_format=CodeFormat.SIA)):
        encoded = surgard(alarm, width)
        message = parse_message(encoded.raw)
        assert isinstance(message, CidMessage | SiaMessage)
        assert message.header.line == line
        assert ("line" in encoded.told) == marked


def test_o1_heartbeats_keep_the_line_of_the_output() -> None:
    assert decode(Dc09(Dc09Config(line_number="5")).supervision(MORNING).raw, lambda account: None).line == "5"


def test_o1_outputs_translate_as_the_group_defines() -> None:
    assert dc09(delivered(), Dc09Form.SIA_DCS).forwarded_code == "BX"
    restored = dc09(delivered(code="BY", code_format=CodeFormat.SIA))
    assert (restored.forwarded_code, restored.original) == ("131", None)
    assert "|3131 " in decode(restored.raw, lambda account: None).data
    assert surgard(delivered(code="BX", code_format=CodeFormat.SIA)).forwarded_code == "131"


@pytest.mark.parametrize("form", Dc09Form)
def test_a10_a_generic_event_carries_the_original_as_text_and_is_told(form: Dc09Form) -> None:
    encoded = dc09(delivered(code="9X9"), form)
    assert encoded.original == "19X9"
    assert encoded.told == "a generic event in place of the code 19X9"
    frame = decode(encoded.raw, lambda account: None)
    assert "code 19X9" in (frame.first_extended("I") or "")


def test_a10_what_is_told_of_a_strange_code_does_nothing_to_a_terminal() -> None:
    encoded = dc09(delivered(code="\x1b[2J" + "x" * 500))
    assert encoded.told.isprintable()
    assert len(encoded.told) < 100


def test_a10_a_code_that_the_group_defined_is_none_of_the_generic_ones() -> None:
    assert dc09(delivered(code="9B1")).original is None
    assert dc09(delivered(code="9B1"), group=NOTHING_KNOWN).original == "19B1"
    # Defined, but without a SIA code.
    assert dc09(delivered(code="9B1"), Dc09Form.SIA_DCS).original == "19B1"


def test_a6_the_configuration_changes_nothing_of_the_identity() -> None:
    for group in (GROUP, NOTHING_KNOWN):
        encoded = encode_alarm(delivered(7).stored, Dc09Config(), MORNING + timedelta(seconds=1), group)
        frame = decode(encoded.raw, lambda account: None)
        assert (frame.account, frame.sequence) == ("1234", 7)
