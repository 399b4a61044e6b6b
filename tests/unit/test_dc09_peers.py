"""Our frames read by programs of others, and theirs by us."""

from datetime import UTC, datetime

import pytest
from pysiaalarm.account import SIAAccount
from pysiaalarm.event import NAKEvent, SIAEvent
from siadc09.account import Account
from siadc09.admcid import CidEvent, DataCid
from siadc09.message import (
    AckMessage,
    DuhMessage,
    EventMessage,
    Message,
    NakMessage,
    NullMessage,
    parse_frame,
)
from siadc09.xdata import XDataTimestamp

from hotspare_model.contact_id import ContactId, Qualifier
from hotspare_model.dc09 import Frame, decode, encode
from hotspare_model.dc09_adm_cid import AdmCid, adm_cid_frame, read_adm_cid
from hotspare_model.dc09_reply import Reply, ReplyKind, encode_ack, encode_duh, encode_nak, parse_reply

KEYS = [None, b"0123456789ABCDEF", b"0123456789ABCDEF01234567", b"0123456789ABCDEF0123456789ABCDEF"]
IDS = ["clear", "aes-128", "aes-192", "aes-256"]
SENT_AT = datetime(2026, 8, 27, 20, 38, 7, tzinfo=UTC)
OCCURRED = datetime(2026, 8, 27, 20, 30, 1, tzinfo=UTC)
DOOR = ContactId(Qualifier.RESTORE, "1BF", 7, 123)
BURGLARY = ContactId(Qualifier.NEW, "130", 1, 15)

with_each_key = pytest.mark.parametrize("key", KEYS, ids=IDS)


def pad(length: int) -> bytes:
    return bytes(range(200, 200 + length))


def alarm(key: bytes | None, event: ContactId = DOOR, text: str | None = None, receiver: str = "1") -> Frame:
    return adm_cid_frame(
        account="B12345",
        contact_id=event,
        sequence=7,
        receiver=receiver,
        line="2",
        occurred=OCCURRED,
        text=text,
        sent_at=SENT_AT,
        encrypted=key is not None,
    )


# --- siadc09 ---


@with_each_key
def test_siadc09_reads_our_alarm(key: bytes | None) -> None:
    read = parse_frame(encode(alarm(key, text="Door 5"), key, pad), key)
    assert isinstance(read, EventMessage)
    assert (read.idtoken, read.seq, read.encrypted, read.timestamp) == (
        "ADM-CID",
        7,
        key is not None,
        SENT_AT,
    )
    assert (read.account.acct, read.account.rcvr, read.account.pref) == (0xB12345, 1, 2)
    event = read.data.event
    assert (event.qualifier, event.code, f"{event.group:02X}", f"{event.addr:03X}") == (
        "3",
        "1BF",
        "07",
        "123",
    )
    occurrence, text = read.xdata
    assert isinstance(occurrence, XDataTimestamp)
    assert occurrence.value == OCCURRED
    assert (text.prefix, text.value) == ("I", "Door 5")


@with_each_key
def test_siadc09_reads_our_supervision(key: bytes | None) -> None:
    poll = Frame("NULL", 0, None, "0", "AAA", encrypted=key is not None, timestamp=SENT_AT)
    read = parse_frame(encode(poll, key, pad if key else None), key)
    assert isinstance(read, NullMessage)
    assert (read.seq, read.timestamp, read.account.rcvr) == (0, SENT_AT, None)


@with_each_key
def test_siadc09_reads_our_replies(key: bytes | None) -> None:
    sent = alarm(key)
    ack = parse_frame(encode_ack(sent, key=key, pad=pad, sent_at=SENT_AT), key)
    assert isinstance(ack, AckMessage)
    assert (ack.seq, ack.account.acct, ack.encrypted) == (7, 0xB12345, key is not None)
    assert isinstance(parse_frame(encode_duh(sent)), DuhMessage)
    nak = parse_frame(encode_nak(SENT_AT))
    assert isinstance(nak, NakMessage)
    assert nak.timestamp == SENT_AT


@with_each_key
def test_we_read_the_alarm_of_siadc09(key: bytes | None) -> None:
    account = Account(acct=0xB12345, pref=2, rcvr=1, key=key)
    message = EventMessage(account, {"idtoken": "ADM-CID", "seqno": 7, "timestamp": SENT_AT})
    message.data = DataCid(b"#B12345|31BF 07 123", event=CidEvent("3", "1BF", 7, 0x123))
    message.xdata = [XDataTimestamp("H", OCCURRED)]
    frame = decode(message.encode(), lambda account: key if account == "B12345" else None)
    assert frame == alarm(key)
    assert read_adm_cid(frame) == AdmCid("B12345", DOOR, OCCURRED, None)


@with_each_key
def test_we_read_the_supervision_of_siadc09(key: bytes | None) -> None:
    message: Message = NullMessage(Account(acct=0xAAA, key=key), SENT_AT)
    frame = decode(message.encode(), lambda _: key)
    assert frame == Frame("NULL", 0, None, "0", "AAA", encrypted=key is not None, timestamp=SENT_AT)


@with_each_key
def test_we_read_the_replies_of_siadc09(key: bytes | None) -> None:
    account = Account(acct=0xB12345, pref=2, rcvr=1, key=key)
    ack = parse_reply(AckMessage(account, 7, SENT_AT).encode(), key)
    assert ack == Reply(ReplyKind.ACK, 7, "B12345", SENT_AT, encrypted=key is not None)
    assert ack.answers(alarm(key))
    duh = parse_reply(DuhMessage(account, 7).encode(), key)
    assert (duh.kind, duh.answers(alarm(key))) == (ReplyKind.DUH, True)
    nak = parse_reply(NakMessage(account, SENT_AT).encode(), key)
    assert (nak.kind, nak.timestamp, nak.answers(alarm(key))) == (ReplyKind.NAK, SENT_AT, True)


# --- pysiaalarm ---


def pysiaalarm_reads(raw: bytes, key: bytes | None, **account: object) -> SIAEvent:
    known = SIAAccount("B12345", key.decode("ascii") if key else None, allowed_timeband=None, **account)  # type: ignore[arg-type]
    return SIAEvent.from_line(raw.decode("ascii").strip(), {"B12345": known})


@with_each_key
def test_pysiaalarm_takes_our_alarm_with_its_occurrence_and_we_read_its_ack(key: bytes | None) -> None:
    event = pysiaalarm_reads(encode(alarm(key, BURGLARY), key, pad if key else None), key)
    assert event.valid_message
    assert (event.event_qualifier, event.event_type, event.partition, event.ri) == ("1", "130", "01", "015")
    assert (event.code, event.timestamp, event.sequence) == ("BA", SENT_AT, "0007")
    assert event.extended_data is not None
    assert [(block.identifier, block.value) for block in event.extended_data] == [("H", "20:30:01,08-27-2026")]
    ack = parse_reply(event.create_response(), key)
    assert (ack.kind, ack.encrypted, ack.answers(alarm(key))) == (ReplyKind.ACK, key is not None, True)


def test_we_read_the_ack_of_pysiaalarm_to_a_frame_without_r() -> None:
    frame = adm_cid_frame(account="B12345", contact_id=BURGLARY, sequence=7, sent_at=SENT_AT)
    response = pysiaalarm_reads(encode(frame), None).create_response()
    assert b"None" in response
    assert parse_reply(response).answers(frame)


def test_we_read_the_duh_of_pysiaalarm_to_a_code_that_it_does_not_know() -> None:
    frame = Frame("SIA-DCS", 8, "1", "2", "B12345", data="#B12345|Nri1/QQ1", timestamp=SENT_AT)
    response = parse_reply(pysiaalarm_reads(encode(frame), None).create_response())
    assert response.kind is ReplyKind.DUH
    assert response.answers(frame)


def test_we_read_both_forms_of_nak_of_pysiaalarm() -> None:
    late = pysiaalarm_reads(encode(alarm(None, BURGLARY)), None)
    assert late.sia_account is not None
    late.sia_account.allowed_timeband = (40, 20)
    for response in (late.create_response(), NAKEvent().create_response()):
        nak = parse_reply(response, KEYS[1])
        assert nak.kind is ReplyKind.NAK
        assert nak.timestamp is not None
        assert nak.answers(alarm(None))
