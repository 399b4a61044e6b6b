"""Alarms as ADM-CID messages (A6)."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotspare_model.contact_id import ContactId, ContactIdError, Qualifier
from hotspare_model.dc09 import Frame, decode, encode
from hotspare_model.dc09_adm_cid import AdmCid, adm_cid_frame, read_adm_cid
from hotspare_model.dc09_errors import EncodeError, FrameError, MalformedError
from hotspare_model.dc09_text import Charset, sanitise

SENT_AT = datetime(2026, 8, 27, 20, 38, 7, tzinfo=UTC)
OCCURRED = datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
BURGLARY = ContactId(Qualifier.NEW, "130", 1, 15)
TIMES = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=st.timezones())  # noqa: DTZ001


def no_key(_account: str) -> None:
    return None


def alarm(data: str, *extended: tuple[str, str], account: str | None = "AAA") -> Frame:
    return Frame("ADM-CID", 1, None, "0", account, data=data, extended=extended)


def test_a6_the_frame_has_the_time_of_sending_and_the_occurrence_its_own_block() -> None:
    frame = adm_cid_frame(
        account="1409",
        contact_id=BURGLARY,
        sequence=7,
        receiver="1",
        line="2",
        occurred=OCCURRED,
        text="Front [door]",
        sent_at=SENT_AT,
    )
    assert encode(frame)[9:-1] == (
        b'"ADM-CID"0007R1L2#1409[#1409|1130 01 015][H00:00:01,01-01-1970][IFront (door)]_20:38:07,08-27-2026'
    )


def test_without_occurrence_and_text_there_are_no_blocks() -> None:
    frame = adm_cid_frame(account="1409", contact_id=BURGLARY, sequence=7, sent_at=SENT_AT, text="")
    assert encode(frame)[9:-1] == b'"ADM-CID"0007L0#1409[#1409|1130 01 015]_20:38:07,08-27-2026'


def test_a_text_can_be_held_to_ascii() -> None:
    frame = adm_cid_frame(
        account="1409", contact_id=BURGLARY, sequence=7, sent_at=SENT_AT, text="Küche", charset=Charset.ASCII
    )
    assert frame.extended == (("I", "Kuche"),)


def test_an_occurrence_without_a_zone_is_refused() -> None:
    with pytest.raises(EncodeError):
        adm_cid_frame(
            account="1409",
            contact_id=BURGLARY,
            sequence=7,
            sent_at=SENT_AT,
            occurred=OCCURRED.replace(tzinfo=None),
        )


def test_an_occurrence_elsewhere_is_sent_in_utc() -> None:
    there = OCCURRED.astimezone(timezone(timedelta(hours=-9)))
    frame = adm_cid_frame(account="1409", contact_id=BURGLARY, sequence=7, sent_at=SENT_AT, occurred=there)
    assert frame.first_extended("H") == "00:00:01,01-01-1970"


@pytest.mark.parametrize(
    ("frame", "read"),
    [
        (alarm("#B12345|1130 01 015"), AdmCid("B12345", BURGLARY, None, None)),
        (alarm("|1130 01 015"), AdmCid("AAA", BURGLARY, None, None)),
        (alarm("1130 01 015"), AdmCid("AAA", BURGLARY, None, None)),
        (alarm("1130 01 015", account=None), AdmCid(None, BURGLARY, None, None)),
        (
            alarm("#AAA|1130 01 015", ("I", "Door"), ("H", "00:00:01,01-01-1970")),
            AdmCid("AAA", BURGLARY, OCCURRED, "Door"),
        ),
        (alarm("#AAA|1130 01 015", ("H", "yesterday")), AdmCid("AAA", BURGLARY, None, None)),
    ],
)
def test_messages_of_all_panels_are_read(frame: Frame, read: AdmCid) -> None:
    assert read_adm_cid(frame) == read


@pytest.mark.parametrize("data", ["", "#AAA", "#AAA|", "#AAA|130 01 015", "#AAA|Nri1/BA1"])
def test_an_event_that_is_none_is_refused(data: str) -> None:
    with pytest.raises(ContactIdError):
        read_adm_cid(alarm(data))


def test_another_message_is_refused_with_its_header() -> None:
    frame = Frame("SIA-DCS", 4, None, "0", "AAA", data="#AAA|Nri0/RP0000")
    with pytest.raises(MalformedError) as caught:
        read_adm_cid(frame)
    assert caught.value.header == frame
    with pytest.raises(MalformedError):
        read_adm_cid(alarm("#AAA|1130 01 015|1131 01 015"))


@given(
    account=st.from_regex(r"[0-9A-F]{3,16}", fullmatch=True),
    contact_id=st.builds(
        ContactId,
        st.sampled_from(Qualifier),
        st.text("0123456789BCDEF", min_size=3, max_size=3),
        st.integers(0, 99),
        st.integers(0, 999),
    ),
    sequence=st.integers(1, 9999),
    receiver=st.none() | st.from_regex(r"[0-9A-F]{1,6}", fullmatch=True),
    line=st.from_regex(r"[0-9A-F]{1,6}", fullmatch=True),
    occurred=st.none() | TIMES,
    text=st.none() | st.text(st.characters(codec=None), min_size=1),
    sent_at=TIMES,
    key=st.none() | st.binary(min_size=16, max_size=16) | st.binary(min_size=32, max_size=32),
    noise=st.binary(min_size=16, max_size=16),
)
def test_a10_any_alarm_comes_back_from_the_wire_as_it_was(
    account: str,
    contact_id: ContactId,
    sequence: int,
    receiver: str | None,
    line: str,
    occurred: datetime | None,
    text: str | None,
    sent_at: datetime,
    key: bytes | None,
    noise: bytes,
) -> None:
    frame = adm_cid_frame(
        account=account,
        contact_id=contact_id,
        sequence=sequence,
        receiver=receiver,
        line=line,
        occurred=occurred,
        text=text,
        sent_at=sent_at,
        encrypted=key is not None,
    )
    back = decode(encode(frame, key, lambda n: noise[:n]), lambda _: key)
    assert back.timestamp == sent_at.astimezone(UTC).replace(microsecond=0)
    assert (back.sequence, back.receiver, back.line, back.account) == (sequence, receiver, line, account)
    assert read_adm_cid(back) == AdmCid(
        account,
        contact_id,
        None if occurred is None else occurred.astimezone(UTC).replace(microsecond=0),
        None if text is None else sanitise(text).text,
    )


@given(st.text())
def test_s4_no_data_raises_anything_else(data: str) -> None:
    with suppress(FrameError, ContactIdError):
        read_adm_cid(alarm(data))
