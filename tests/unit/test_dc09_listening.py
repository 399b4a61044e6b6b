"""What a listener makes of frames and of streams of bytes, without any socket (D1, S4, A10)."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hotspare_model.alarm import CodeFormat
from hotspare_model.contact_id import Qualifier
from hotspare_model.dc09 import Frame, encode, seal
from hotspare_model.dc09_crypto import encrypt
from hotspare_model.dc09_reply import NakForm, ReplyKind, encode_ack, encode_nak, parse_reply
from hotspare_receiver.core import dc09_stream
from hotspare_receiver.core.dc09_accounts import AccountTable, PanelAccount
from hotspare_receiver.core.dc09_session import Judge, Reason, Verdict, reply_bytes
from hotspare_receiver.core.dc09_stream import Stream, datagram_frames
from hotspare_receiver.core.dc09_window import TimeWindow

DATA = Path(__file__).parent.parent / "data"
WALL = datetime(2026, 8, 27, 20, 38, 7, tzinfo=UTC)
KEY, OTHER_KEY = bytes(range(16)), bytes(range(32))

CLEAR = PanelAccount("AAA", "d-clear")
KEYED = PanelAccount("B12345", "d-keyed", KEY)
MIXED = PanelAccount("C0DE", "d-mixed", OTHER_KEY, clear_allowed=True)
OLD = PanelAccount("01FF", "d-old", nak_form=NakForm.OLD, window=TimeWindow(timedelta(hours=1), timedelta(0)))
TABLE = AccountTable([CLEAR, KEYED, MIXED, OLD])


def lines(name: str) -> list[bytes]:
    found = (DATA / name).read_bytes().splitlines()
    return [b"\n" + line + b"\r" for line in found if line and not line.startswith(b"# ")]


def pad(length: int) -> bytes:
    return b"p" * length


@pytest.fixture
def judge() -> Judge:
    return Judge(lambda: TABLE)


def frame(account: str = "AAA", data: str = "#AAA|1130 01 015", **fields: Any) -> Frame:
    values: dict[str, Any] = {"id_token": "ADM-CID", "sequence": 7, "line": "0", "account": account, "data": data}
    return Frame(**values | fields)


def encrypted(key: bytes, at: datetime | None = WALL, account: str = "B12345", **fields: Any) -> bytes:
    return encode(frame(account, encrypted=True, timestamp=at, **fields), key, pad)


def judged(judge: Judge, raw: bytes, now: float = 0.0) -> Verdict:
    return judge.judge(raw, WALL, now)


# --- What is taken ---


@pytest.mark.parametrize("raw", lines("dc09-accept.txt"))
def test_d1_frames_of_real_panels_are_taken_once_their_account_is_known(raw: bytes) -> None:
    accounts = [PanelAccount(name, name, window=TimeWindow(off=True)) for name in ("AAA", "1409", "B12345", "1997")]
    verdict = Judge(lambda: AccountTable(accounts)).judge(raw, WALL, 0.0)
    assert verdict.good, verdict
    assert verdict.account is not None
    assert verdict.account.device_id == verdict.shown_account
    reply = reply_bytes(verdict, WALL, pad)
    assert reply is not None
    assert verdict.header is not None
    assert parse_reply(reply).answers(verdict.header)
    assert b"R" not in reply


def test_d1_the_answer_to_a_poll_of_pyronix_is_to_the_byte_what_it_expects() -> None:
    table = AccountTable([PanelAccount("1409", "p")])
    verdict = Judge(lambda: table).judge(b'\nEA740027"NULL"0000L0#1409[]_20:38:07,08-27-2026\r', WALL, 0.0)
    assert verdict.reason is Reason.ALIVE
    assert reply_bytes(verdict, WALL, pad) == b'\n59890012"ACK"0000L0#1409[]\r'


def test_d1_an_alarm_carries_what_the_frame_says(judge: Judge) -> None:
    verdict = judged(judge, encode(frame(extended=(("H", "20:30:01,08-27-2026"), ("I", "Door 5")), timestamp=WALL)))
    assert (verdict.reason, verdict.reply, verdict.stamped) == (Reason.TAKEN, ReplyKind.ACK, WALL)
    (alarm,) = verdict.alarms
    assert (alarm.device_id, alarm.alarm_id, alarm.code_format) == ("d-clear", "", CodeFormat.CONTACT_ID)
    assert (alarm.qualifier, alarm.code, alarm.partition, alarm.zone) == (Qualifier.NEW, "130", 1, 15)
    assert alarm.occurred == datetime(2026, 8, 27, 20, 30, 1, tzinfo=UTC)
    assert alarm.text == "Door 5"


def test_d1_each_code_of_a_block_is_an_alarm(judge: Judge) -> None:
    verdict = judged(judge, encode(frame(id_token="SIA-DCS", data="#AAA|Nri1/BA1/FA2")))
    assert [(alarm.code, alarm.zone) for alarm in verdict.alarms] == [("BA", 1), ("FA", 2)]


@pytest.mark.parametrize("account", ["1FF", "01ff", "0001FF"])
def test_d1_an_account_is_found_as_panels_write_it(judge: Judge, account: str) -> None:
    verdict = judged(judge, encode(frame(account)))
    assert verdict.account is OLD
    reply = reply_bytes(verdict, WALL, pad)
    assert reply is not None
    # The reply repeats it as the panel wrote it.
    assert b"#" + account.encode() + b"[" in reply


def test_d1_of_two_devices_with_one_account_neither_is_found() -> None:
    table = AccountTable([PanelAccount("AAA", "one"), PanelAccount("aaa", "two"), PanelAccount("BBB", "three")])
    assert table.ambiguous == ("AAA",)
    assert table.find("AAA") is None
    assert table.find("BBB") is not None
    plain = AccountTable([PanelAccount("0123", "one"), PanelAccount("123", "two")])
    assert [getattr(plain.find(name), "device_id", None) for name in ("0123", "123", "00123")] == ["one", "two", None]


def test_d1_another_account_inside_the_data_is_told_and_changes_nothing_else(judge: Judge) -> None:
    (alarm,) = judged(judge, encode(frame(data="#4711|1130 01 015"))).alarms
    assert (alarm.device_id, alarm.text) == ("d-clear", "account 4711")


def test_d1_a_binary_crc_is_answered_in_kind(judge: Judge) -> None:
    verdict = judged(judge, encode(frame(binary_crc=True)))
    reply = reply_bytes(verdict, WALL, pad)
    assert reply == encode_ack(frame(binary_crc=True))
    assert reply is not None
    assert reply[3:7] == b"%04X" % len(reply[7:-1])


def test_d1_a_sequence_in_hex_is_repeated_as_it_came(judge: Judge) -> None:
    for key, head in ((None, b'"ADM-CID"00aFL0#AAA['), (KEY, b'"*ADM-CID"00aFL0#B12345[')):
        content = b"#AAA|1130 01 015]_20:38:07,08-27-2026"
        if key is not None:
            content = encrypt(key, (b"|" + content).rjust(48, b"p")).hex().encode()
        verdict = judged(judge, seal(head + content))
        assert verdict.reason is Reason.TAKEN
        reply = reply_bytes(verdict, WALL, pad)
        assert reply is not None
        assert b'ACK"00aFL0#' in reply


def test_d1_an_encrypted_message_gets_an_encrypted_ack_with_our_time(judge: Judge) -> None:
    verdict = judged(judge, encrypted(KEY, data="#B12345|1130 01 015"))
    assert verdict.reason is Reason.TAKEN
    reply = reply_bytes(verdict, WALL, pad)
    assert reply is not None
    read = parse_reply(reply, KEY)
    assert (read.kind, read.encrypted, read.timestamp) == (ReplyKind.ACK, True, WALL)


def test_d1_clear_text_is_taken_of_an_account_with_a_key_that_allows_it(judge: Judge) -> None:
    assert judged(judge, encode(frame("C0DE"))).reason is Reason.TAKEN
    assert judged(judge, encrypted(OTHER_KEY, account="C0DE")).reason is Reason.TAKEN


# --- What is refused ---


@pytest.mark.parametrize("raw", lines("dc09-refuse.txt"))
def test_s4_frames_that_no_one_can_trust_get_no_answer(raw: bytes) -> None:
    table = AccountTable([PanelAccount("4F39", "eldes", window=TimeWindow(off=True))])
    judge = Judge(lambda: table)
    fed = datagram_frames(raw)
    verdicts = [judge.judge(found, WALL, 0.0) for found in fed.frames]
    assert verdicts or fed.rubbish
    for verdict in verdicts:
        assert verdict.reason in (Reason.CRC, Reason.LENGTH, Reason.MALFORMED)
        assert reply_bytes(verdict, WALL, pad) is None


def test_s4_the_right_crc_with_a_wrong_length_is_refused(judge: Judge) -> None:
    good = encode(frame())
    wrong = good[:5] + b"00FF" + good[9:]
    assert judged(judge, wrong).reason is Reason.LENGTH


def test_s4_an_unknown_account_gets_no_answer_by_which_it_could_be_told_from_a_known_one(judge: Judge) -> None:
    for raw in (encode(frame("DEAD")), encrypted(KEY, account="DEAD")):
        verdict = judged(judge, raw)
        assert (verdict.reason, reply_bytes(verdict, WALL, pad)) == (Reason.UNKNOWN_ACCOUNT, None)


def test_s4_no_account_is_called_unknown_before_the_accounts_were_read() -> None:
    verdict = Judge(lambda: AccountTable(complete=False)).judge(encode(frame()), WALL, 0.0)
    assert (verdict.reason, verdict.reply) == (Reason.UNAVAILABLE, None)


def test_s4_clear_text_of_an_account_with_a_key_is_refused(judge: Judge) -> None:
    verdict = judged(judge, encode(frame("B12345")))
    assert (verdict.reason, verdict.reply, verdict.account) == (Reason.CLEAR_TEXT_REFUSED, None, None)
    assert verdict.shown_account == "B12345"


def test_s4_a_wrong_key_is_refused(judge: Judge) -> None:
    for key in (bytes(16), OTHER_KEY):
        verdict = judged(judge, encrypted(key))
        assert (verdict.reason, verdict.reply) == (Reason.WRONG_KEY, None)


def test_s4_an_encrypted_frame_of_an_account_without_a_key_is_refused(judge: Judge) -> None:
    assert judged(judge, encrypted(KEY, account="AAA")).reason is Reason.ENCRYPTED_WITHOUT_KEY


@pytest.mark.parametrize("id_token", ["ACK", "NAK", "DUH", "RSP"])
def test_s4_an_answer_is_never_answered(judge: Judge, id_token: str) -> None:
    verdict = judged(judge, encode(frame(id_token=id_token, data="")))
    assert (verdict.reason, verdict.reply) == (Reason.REPLY, None)


@pytest.mark.parametrize(("id_token", "data"), [("SCN-S8", "1234"), ("ADM-CID", ""), ("SIA-DCS", "#AAA|")])
def test_d1_what_is_not_taken_of_a_known_account_gets_duh(judge: Judge, id_token: str, data: str) -> None:
    verdict = judged(judge, encode(frame(id_token=id_token, data=data)))
    assert (verdict.reason, verdict.reply) == (Reason.UNSUPPORTED, ReplyKind.DUH)
    reply = reply_bytes(verdict, WALL, pad)
    assert reply is not None
    assert parse_reply(reply).kind is ReplyKind.DUH


# --- Time ---


@pytest.mark.parametrize("seconds", [-41, 21, 86400])
def test_d1_a_time_outside_of_the_window_gets_a_nak_with_our_time(judge: Judge, seconds: int) -> None:
    for attempt in range(5):
        verdict = judged(judge, encrypted(KEY, WALL + timedelta(seconds=seconds)), float(attempt))
        assert (verdict.reason, verdict.reply) == (Reason.TIMESTAMP, ReplyKind.NAK)
        assert reply_bytes(verdict, WALL, pad) == encode_nak(WALL, NakForm.NEW)


def test_d1_window_and_form_of_the_nak_are_those_of_the_account(judge: Judge) -> None:
    assert judged(judge, encode(frame("01FF", timestamp=WALL - timedelta(hours=1)))).good
    verdict = judged(judge, encode(frame("01FF", timestamp=WALL + timedelta(seconds=1))))
    assert reply_bytes(verdict, WALL, pad) == encode_nak(WALL, NakForm.OLD)


def test_d1_the_window_of_the_receiver_counts_for_accounts_without_their_own() -> None:
    late = encode(frame(timestamp=WALL - timedelta(minutes=5)))
    assert not Judge(lambda: TABLE).judge(late, WALL, 0.0).good
    assert Judge(lambda: TABLE, TimeWindow(timedelta(minutes=5))).judge(late, WALL, 0.0).good
    assert Judge(lambda: TABLE, TimeWindow(off=True)).judge(late, WALL, 0.0).good


def test_a10_a_panel_in_clear_whose_clock_can_not_be_set_is_heard_all_the_same(judge: Judge) -> None:
    raw = encode(frame(timestamp=datetime(1970, 1, 1, tzinfo=UTC)))
    assert [judged(judge, raw, float(at)).reason for at in range(3)] == [
        Reason.TIMESTAMP, Reason.TIMESTAMP, Reason.TAKEN,
    ]  # fmt: skip
    (alarm,) = judged(judge, raw, 4.0).alarms
    # By this the cloud marks it.
    assert alarm.occurred == datetime(1970, 1, 1, tzinfo=UTC)


def test_a10_a_time_that_is_none_is_taken_in_clear_and_its_alarm_has_no_time(judge: Judge) -> None:
    raw = seal(b'"ADM-CID"0007L0#AAA[#AAA|1130 01 015]_99:99:99,13-32-2026')
    (alarm,) = judged(judge, raw).alarms
    assert alarm.occurred is None


def test_s4_an_encrypted_frame_without_a_time_could_be_a_replay_and_gets_a_nak(judge: Judge) -> None:
    raw = seal(b'"*ADM-CID"0007L0#B12345[' + encrypt(KEY, b"|#B12345|1130 01 015]".rjust(32, b"p")).hex().encode())
    assert judged(judge, raw).reason is Reason.TIMESTAMP


# --- Replays ---


def test_s4_a_replay_is_refused_and_a_repetition_answered_without_being_taken_again(judge: Judge) -> None:
    raw = encrypted(KEY)
    first = judge.seen(judged(judge, raw), "10.0.0.1", 0.0)
    assert first.reason is Reason.TAKEN
    judge.taken(first, "10.0.0.1", WALL, 0.0)
    again = judge.seen(judged(judge, raw), "10.0.0.1", 1.0)
    assert (again.reason, again.reply, again.alarms) == (Reason.AGAIN, ReplyKind.ACK, ())
    replay = judge.seen(judged(judge, raw), "10.0.0.2", 2.0)
    assert (replay.reason, replay.reply) == (Reason.REPLAY, None)


def test_s4_a_frame_that_was_not_made_durable_is_no_replay_when_it_is_sent_again(judge: Judge) -> None:
    raw = encrypted(KEY)
    judge.seen(judged(judge, raw), "10.0.0.1", 0.0)
    assert judge.seen(judged(judge, raw), "10.0.0.2", 1.0).reason is Reason.TAKEN


def test_s4_a_recorded_frame_never_passes_however_late_it_is_replayed(judge: Judge) -> None:
    for ahead in (-40, 0, 20):
        raw = encrypted(KEY, WALL + timedelta(seconds=ahead), sequence=100 + ahead)
        verdict = judge.seen(judge.judge(raw, WALL, 0.0), "10.0.0.1", 0.0)
        judge.taken(verdict, "10.0.0.1", WALL, 0.0)
        for later in range(120):
            replayed = judge.judge(raw, WALL + timedelta(seconds=later, milliseconds=999), later + 0.999)
            assert judge.seen(replayed, "10.0.0.2", later + 0.999).reason in (Reason.REPLAY, Reason.TIMESTAMP)


def test_d1_clear_supervision_without_a_time_is_taken_each_time(judge: Judge) -> None:
    poll = encode(frame(id_token="NULL", sequence=0, data=""))
    for at in range(3):
        verdict = judge.seen(judged(judge, poll), "10.0.0.1", float(at))
        assert verdict.reason is Reason.ALIVE
        judge.taken(verdict, "10.0.0.1", WALL, float(at))


# --- Streams ---


POLL = encode(Frame("NULL", 0, account="AAA"))


def test_d1_several_frames_in_a_piece_and_one_in_several_come_out_in_order() -> None:
    stream = Stream(0.0)
    assert stream.feed(POLL + POLL[:5], 0.0).frames == (POLL,)
    assert stream.feed(POLL[5:] + POLL, 1.0).frames == (POLL, POLL)


def test_s4_a_connection_that_says_nothing_has_half_a_minute() -> None:
    assert Stream(100.0).deadline == 100.0 + dc09_stream.PROOF_TIME


def test_s4_one_byte_a_second_does_not_keep_a_connection_open() -> None:
    stream = Stream(0.0)
    stream.judged(True)
    for at in range(30):
        stream.feed(POLL[at : at + 1], float(at))
        if at > stream.deadline:
            break
    assert stream.deadline == pytest.approx(1.0 + dc09_stream.FRAME_TIME)


def test_d1_a_panel_that_ends_its_lines_with_cr_and_lf_keeps_its_connection() -> None:
    stream = Stream(0.0)
    for at in (0.0, 100.0, 200.0):
        fed = stream.feed(POLL + b"\n", at)
        assert (fed.frames, fed.rubbish) == ((POLL,), False)
        stream.judged(True)
        assert stream.deadline == at + dc09_stream.IDLE_TIME


def test_s4_a_frame_of_a_megabyte_without_an_end_is_dropped_with_the_connection() -> None:
    stream = Stream(0.0)
    data = POLL + b'\n00000FFF"' + b"x" * 1_000_000
    assert stream.feed(data[:4096], 0.0).frames == (POLL,)
    assert stream.feed(data[4096:8192], 0.0).too_long


def test_s4_rubbish_and_refusals_in_a_row_spoil_a_connection() -> None:
    stream = Stream(0.0)
    for _ in range(dc09_stream.STRIKES - 1):
        stream.judged(False)
    assert not stream.spoiled
    stream.judged(True)
    stream.judged(False)
    assert not stream.spoiled
    assert stream.feed(b"x" * dc09_stream.RUBBISH_LIMIT, 0.0).rubbish
    assert not stream.spoiled
    stream.feed(b"x", 0.0)
    assert stream.spoiled


def test_d1_a_datagram_without_cr_is_read_as_one_with_it() -> None:
    assert datagram_frames(POLL[:-1]).frames == (POLL,)
    assert datagram_frames(POLL + POLL + b"\n").frames == (POLL, POLL)


def test_s4_a_datagram_has_so_many_frames_and_no_more() -> None:
    assert len(datagram_frames(POLL * 1000).frames) == dc09_stream.DATAGRAM_FRAMES
    assert datagram_frames(b"\n" + b"x" * 60_000).too_long
