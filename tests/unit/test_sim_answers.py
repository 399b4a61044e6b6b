"""What the simulated ARC answers: DC-09's replies, and the faults that outputs have to bear (S4)."""

from datetime import UTC, datetime

import pytest

from hotspare_model.contact_id import ContactId
from hotspare_model.dc09 import Frame, decode, encode, seal
from hotspare_model.dc09_adm_cid import adm_cid_frame
from hotspare_model.dc09_errors import FrameError
from hotspare_model.dc09_reply import Reply, ReplyKind, parse_reply
from hotspare_model.dc09_stream import FrameSplitter
from hotspare_sim.core.answers import Answer, Answered, Fault, answer_to, log_entry, read_message

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
OCCURRED = datetime(2026, 3, 1, 11, 59, 58, tzinfo=UTC)
KEY = bytes(range(16))


def in_clear(account: str) -> None:
    return None


def with_key(account: str) -> bytes:
    return KEY


def alarm(*, sequence: int = 42, receiver: str | None = "2", line: str = "7F", encrypted: bool = False) -> Frame:
    return adm_cid_frame(
        account="1A2B",
        contact_id=ContactId.from_code("1130", 1, 15),
        sequence=sequence,
        sent_at=NOW,
        receiver=receiver,
        line=line,
        occurred=OCCURRED,
        text="Front door",
        encrypted=encrypted,
    )


def answer(frame: Frame, fault: Fault | None = None) -> Answer:
    return answer_to(read_message(encode(frame), in_clear), fault, NOW, in_clear, bytes)


def reply(answer: Answer) -> Reply:
    return parse_reply(answer.data)


@pytest.mark.parametrize(("receiver", "line"), [("2", "7F"), (None, "0"), ("000001", "ABCDEF")])
def test_o1_an_ack_mirrors_sequence_receiver_line_and_account(receiver: str | None, line: str) -> None:
    given = answer(alarm(receiver=receiver, line=line))
    read = decode(given.data, in_clear)
    assert (read.id_token, read.sequence, read.receiver, read.line, read.account) == (
        "ACK", 42, receiver, line, "1A2B",
    )  # fmt: skip
    assert given.answered == "ack"


def test_o1_an_encrypted_message_gets_an_encrypted_ack() -> None:
    raw = encode(alarm(encrypted=True), KEY, bytes)
    given = answer_to(read_message(raw, with_key), None, NOW, with_key, bytes)
    assert parse_reply(given.data, KEY).encrypted
    assert decode(given.data, with_key).timestamp == NOW


def test_s4_clear_text_of_an_account_with_a_key_gets_a_duh_and_is_logged_with_the_reason() -> None:
    message = read_message(encode(alarm()), with_key)
    given = answer_to(message, None, NOW, with_key, bytes)
    assert reply(given).kind is ReplyKind.DUH
    assert log_entry(message, given.answered)["problem"] == "clear text, though the account has a key"


def test_s4_a_wrong_crc_gets_no_answer() -> None:
    raw = bytearray(encode(alarm()))
    raw[-3] ^= 1
    message = read_message(bytes(raw), in_clear)
    given = answer_to(message, None, NOW, in_clear, bytes)
    assert given == Answer(Answered.NONE)
    assert log_entry(message, given.answered)["raw"] == bytes(raw).decode("latin-1")


def test_s4_an_event_that_is_none_gets_a_duh() -> None:
    raw = seal(b'"ADM-CID"0001L0#1A2B[#1A2B|9999 01 015]')
    assert reply(answer_to(read_message(raw, in_clear), None, NOW, in_clear, bytes)).kind is ReplyKind.DUH


def test_o2_supervision_is_acknowledged_and_is_no_alarm() -> None:
    message = read_message(encode(Frame("NULL", 7, line="0", account="1A2B")), in_clear)
    assert not message.is_alarm
    assert reply(answer_to(message, None, NOW, in_clear, bytes)).sequence == 7


def test_a6_the_log_holds_the_identity_and_the_content_of_an_alarm() -> None:
    entry = log_entry(read_message(encode(alarm()), in_clear), "ack")
    expected = {
        "kind": "ADM-CID", "account": "1A2B", "sequence": 42, "qualifier": 1, "code": "130", "partition": 1,
        "zone": 15, "occurrence": OCCURRED.isoformat(), "text": "Front door", "receiver": "2", "line": "7F",
        "encrypted": False, "answered": "ack", "problem": None, "raw": encode(alarm()).decode("ascii"),
    }  # fmt: skip
    assert entry == expected


def test_faults_nak_and_duh_refuse_in_so_many_words() -> None:
    nak, duh = reply(answer(alarm(), Fault.NAK)), reply(answer(alarm(), Fault.DUH))
    assert (nak.kind, nak.timestamp) == (ReplyKind.NAK, NOW)
    assert (duh.kind, duh.answers(alarm())) == (ReplyKind.DUH, True)


def test_faults_mute_and_close_send_nothing() -> None:
    assert answer(alarm(), Fault.MUTE) == Answer("mute")
    assert answer(alarm(), Fault.CLOSE) == Answer("close", closes=True)


def test_fault_rubbish_is_no_dc09_by_any_reading() -> None:
    for frame in FrameSplitter().feed(answer(alarm(), Fault.RUBBISH).data):
        with pytest.raises(FrameError):
            parse_reply(frame)


def test_fault_half_is_no_whole_frame() -> None:
    assert FrameSplitter().feed(answer(alarm(), Fault.HALF).data) == []


def test_fault_late_is_a_good_ack_that_waits() -> None:
    given = answer(alarm(), Fault.LATE)
    assert given.late
    assert reply(given).answers(alarm())


def test_fault_twice_is_the_same_ack_two_times() -> None:
    first, second = FrameSplitter().feed(answer(alarm(), Fault.TWICE).data)
    assert first == second
    assert parse_reply(first).answers(alarm())


@pytest.mark.parametrize(("sequence", "other"), [(42, 43), (9999, 1)])
def test_fault_wrong_sequence_acknowledges_another_message(sequence: int, other: int) -> None:
    read = reply(answer(alarm(sequence=sequence), Fault.WRONG_SEQUENCE))
    assert read.sequence == other
    assert not read.answers(alarm(sequence=sequence))
