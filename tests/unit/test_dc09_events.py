"""Events of DC-09 messages in the forms that panels send (A10, D1)."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotspare_model.alarm import CodeFormat
from hotspare_model.contact_id import Qualifier
from hotspare_model.dc09 import Frame
from hotspare_model.dc09_events import CODE_LIMIT, MOST_EVENTS, PanelEvent, PanelMessage, read_events

CID, SIA = CodeFormat.CONTACT_ID, CodeFormat.SIA
NEW, RESTORE, STATUS = Qualifier.NEW, Qualifier.RESTORE, Qualifier.STATUS


def read(id_token: str, data: str, *extended: tuple[str, str]) -> PanelMessage:
    message = read_events(Frame(id_token, 1, account="AAA", data=data, extended=extended))
    assert message is not None
    return message


@pytest.mark.parametrize(
    ("data", "event"),
    [
        ("#B12345|1602 00 000", PanelEvent(CID, "602")),
        ("#AAA|3401 01 057", PanelEvent(CID, "401", RESTORE, 1, 57)),
        ("#AAA|6130 99 999", PanelEvent(CID, "130", STATUS, 99, 999)),
        ("|1130 01 015", PanelEvent(CID, "130", NEW, 1, 15)),
        ("1130 01 015", PanelEvent(CID, "130", NEW, 1, 15)),
        ("#AAA|113001015", PanelEvent(CID, "130", NEW, 1, 15)),
        ("#AAA|1130 1 5", PanelEvent(CID, "130", NEW, 1, 5)),
        ("#AAA|  11bf  01  015 ", PanelEvent(CID, "1BF", NEW, 1, 15)),
        ("#AAA|1130 01", PanelEvent(CID, "130", NEW, 1)),
        ("#AAA|1130", PanelEvent(CID, "130")),
    ],
)
def test_d1_contact_id_is_read_however_a_panel_spaces_it(data: str, event: PanelEvent) -> None:
    assert read("ADM-CID", data).events == (event,)


@pytest.mark.parametrize(
    ("data", "event"),
    [
        ("#AAA|2130 01 015", PanelEvent(CID, "2130", NEW, 1, 15)),
        ("#AAA|1ZZZ 01 015", PanelEvent(CID, "1ZZZ 01 015", text="1ZZZ 01 015")),
        ("#AAA|1130 01 015 7", PanelEvent(CID, "1130 01 015 7", text="1130 01 015 7")),
        ("what is this", PanelEvent(CID, "what is this", text="what is this")),
        ("#AAA|" + "9" * 100, PanelEvent(CID, "9" * CODE_LIMIT, text="9" * 100)),
    ],
)
def test_a10_what_is_no_contact_id_is_an_event_with_the_original(data: str, event: PanelEvent) -> None:
    assert read("ADM-CID", data).events == (event,)


@pytest.mark.parametrize(
    ("data", "events"),
    [
        ("#AAA|Nri0/RP0000", [PanelEvent(SIA, "RP")]),
        ("#AAA|Nri1/BA005", [PanelEvent(SIA, "BA", NEW, 1, 5)]),
        ("#AAA|Nri1BA005", [PanelEvent(SIA, "BA", NEW, 1, 5)]),
        ("#AAA|Npi0/AT", [PanelEvent(SIA, "AT")]),
        ("NBA12", [PanelEvent(SIA, "BA", NEW, 0, 12)]),
        ("#AAA|Nri2/id14/CL", [PanelEvent(SIA, "CL", NEW, 2, 14)]),
        ("#AAA|Nri2id14OP3", [PanelEvent(SIA, "OP", NEW, 2, 3)]),
        ("#AAA|Nti10:23/ri1/FA7", [PanelEvent(SIA, "FA", NEW, 1, 7)]),
        ("#AAA|Ori1/BA5", [PanelEvent(SIA, "BA", NEW, 1, 5)]),
        ("#AAA|Nri1/BA1/BA2/ri2/FA3", [PanelEvent(SIA, "BA", NEW, 1, 1), PanelEvent(SIA, "BA", NEW, 1, 2),
                                       PanelEvent(SIA, "FA", NEW, 2, 3)]),
        ("#AAA|Nri1^Upper floor^BA3^Door^", [PanelEvent(SIA, "BA", NEW, 1, 3, "Upper floor, Door")]),
        ("#AAA|Nri1/BA3*'Door'NM", [PanelEvent(SIA, "BA", NEW, 1, 3, "Door")]),
        ('#AAA|Nri1/BA3*"Back door"NM', [PanelEvent(SIA, "BA", NEW, 1, 3, "Back door")]),
        ("#AAA|Nri1/BA3|AMagnet at the door", [PanelEvent(SIA, "BA", NEW, 1, 3, "Magnet at the door")]),
    ],
)  # fmt: skip
def test_d1_sia_blocks_are_read_in_all_their_forms(data: str, events: list[PanelEvent]) -> None:
    assert list(read("SIA-DCS", data).events) == events


@pytest.mark.parametrize("data", ["#AAA|hello", "#AAA|ATest call", "#AAA|N", "#AAA|N???", "#AAA|Nri1/B"])
def test_a10_a_sia_block_without_a_code_is_an_event_with_the_original(data: str) -> None:
    block = data.partition("|")[2]
    assert read("SIA-DCS", data).events == (PanelEvent(SIA, block, text=block),)


def test_a10_what_follows_the_events_that_could_be_read_is_not_lost() -> None:
    good, rest = read("SIA-DCS", "#AAA|Nri1/BA5/?!").events
    assert (good.code, good.zone) == ("BA", 5)
    assert rest.text == "?!"


def test_s4_a_block_of_very_many_events_is_bounded_and_its_rest_kept() -> None:
    events = read("SIA-DCS", "#AAA|N" + "/".join(["BA1"] * 500)).events
    assert len(events) == MOST_EVENTS + 1
    assert events[-1].text.count("BA1") == 500 - MOST_EVENTS


@pytest.mark.parametrize("id_token", ["ADM-CID", "SIA-DCS"])
@pytest.mark.parametrize("data", ["", "#AAA|", "#AAA|  ", "|"])
def test_d1_a_message_without_data_has_no_event(id_token: str, data: str) -> None:
    assert read_events(Frame(id_token, 1, account="AAA", data=data)) is None


def test_d1_extended_data_gives_time_text_place_and_link() -> None:
    message = read(
        "ADM-CID", "#4711|1130 01 015", ("H", "20:30:01,08-27-2026"), ("I", "Door 5"), ("X", "093W30.000"),
        ("Y", "44N06"), ("V", "https://example.org/clip"), ("M", "1234567890AB"),
    )  # fmt: skip
    assert message.account == "4711"
    assert message.occurred == datetime(2026, 8, 27, 20, 30, 1, tzinfo=UTC)
    assert message.events[0].text == "Door 5"
    assert (message.longitude, message.latitude) == (-93.5, 44.1)
    assert message.link == "https://example.org/clip"


@pytest.mark.parametrize(
    ("text", "expected"), [("52.21", 52.21), ("-5.5", -5.5), ("91", None), ("nowhere", None), ("100N00", None)]
)
def test_d1_a_latitude_is_read_in_both_forms_or_left_out(text: str, expected: float | None) -> None:
    assert read("ADM-CID", "1130 01 015", ("Y", text)).latitude == expected


@settings(max_examples=40)
@given(st.sampled_from(["ADM-CID", "SIA-DCS"]), st.text(max_size=300) | st.from_regex(r"(#AAA\|)?N[a-zA-Z0-9/^*'|]*"))
def test_s4_whatever_stands_in_the_data_reading_it_never_fails(id_token: str, data: str) -> None:
    message = read_events(
        Frame(id_token, 1, account="AAA", data=data, extended=(("I", data), ("H", data), ("Y", data)))
    )
    if message is not None:
        assert 1 <= len(message.events) <= MOST_EVENTS + 1
        assert all(event.code and event.partition >= 0 and event.zone >= 0 for event in message.events)
