"""The receiver's alarm path against a scripted cloud and a scripted ARC: alarms, answers, confirmations."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from hotspare_model.alarm import AlarmMark, CodeFormat
from hotspare_model.dc09 import Frame, seal
from hotspare_model.dc09_reply import encode_duh, encode_nak
from hotspare_receiver.history import AlarmQuery, RecordState
from hotspare_receiver.snapshot import LinkState, Outcome
from tests.integration.path_fakes import (
    CLOSE,
    MORNING,
    FakeArc,
    FakeCloud,
    Receiver,
    stored_alarm,
    until,
)

# --- The way of an alarm ---


async def test_a4_an_alarm_is_confirmed_to_the_cloud_when_the_arc_has_confirmed_it(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    held: list[Frame] = []
    arc.answer = lambda frame: held.append(frame)
    receiver.start()
    cloud.publish(stored_alarm(1))
    await until(lambda: held)
    assert cloud.confirms == []
    arc.say(arc.ack(held[0]))
    await until(lambda: cloud.confirmed == [1])
    assert cloud.confirms[0].epoch == 1
    await until(lambda: receiver.path.snapshot().pull.unstored == 0)


async def test_a6_the_identity_on_the_wire_is_the_alarms_own(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    receiver.start()
    cloud.publish(stored_alarm(12, text='gate [1] "north"'))
    await until(lambda: cloud.confirmed)
    frame = arc.frames[0]
    assert (frame.id_token, frame.account, frame.sequence) == ("ADM-CID", "1234", 12)
    assert (frame.receiver, frame.line, frame.data) == ("1", "2", "#1234|1130 01 012")
    assert frame.extended == (("H", "06:00:00,05-04-2026"), ("I", "gate (1) 'north'"))
    assert frame.timestamp is not None
    assert frame.timestamp > MORNING


@pytest.mark.parametrize("arc", [bytes(range(16)), bytes(range(32))], indirect=True, ids=["aes128", "aes256"])
async def test_o1_an_alarm_goes_encrypted_where_the_output_has_a_key(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    receiver.start()
    cloud.publish(*(stored_alarm(number) for number in range(1, 6)))
    await until(lambda: cloud.confirmed == [1, 2, 3, 4, 5])
    # With its separators: four digits alone may stand in the hexadecimal digits of any cipher text.
    assert all(raw[9:19] == b'"*ADM-CID"' and b"|1130 " not in raw for raw in arc.raw)


async def test_o1_a_clear_ack_to_an_encrypted_alarm_confirms_nothing(tmp_path: Path, cloud: FakeCloud) -> None:
    arc = FakeArc(bytes(16))
    await arc.start()
    receiver = Receiver(tmp_path, cloud, arc)
    arc.answer = lambda frame: seal(b'"ACK"0001R1L2#1234[]')
    receiver.start()
    cloud.publish(stored_alarm(1))
    await until(lambda: len(arc.frames) >= 2)
    assert cloud.confirms == []
    await receiver.crash()
    await arc.stop()


async def test_a10_an_alarm_of_1970_goes_with_its_time_of_receipt(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    receiver.start()
    long_ago = MORNING.replace(year=1970)
    cloud.publish(stored_alarm(1, occurred=long_ago, marks=(AlarmMark.CLOCK_IMPLAUSIBLE,)))
    await until(lambda: cloud.confirmed)
    assert arc.frames[0].first_extended("H") == "06:00:05,05-04-2026"


@pytest.mark.parametrize(
    ("change", "data", "text"),
    [
        ({"code": "ZZZ"}, "#1234|1140 01 001", "code 1ZZZ"),
        ({"code": "MI", "code_format": CodeFormat.SIA}, "#1234|1140 01 001", "code MI"),
        ({"code": "\x00]["}, "#1234|1140 01 001", "code 1 )("),
        ({"zone": 4711, "text": "gate"}, "#1234|1130 01 000", "zone 4711; gate"),
        ({"partition": 100}, "#1234|1130 00 001", "partition 100"),
        ({"text": "x" * 10_000}, "#1234|1130 01 001", "x" * 1024),
    ],
)
async def test_a10_what_a_panel_gets_wrong_is_forwarded_with_the_original_as_text(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc, change: dict[str, Any], data: str, text: str
) -> None:
    receiver.start()
    cloud.publish(stored_alarm(1, **change))
    await until(lambda: cloud.confirmed)
    assert (arc.frames[0].data, arc.frames[0].first_extended("I")) == (data, text)


async def test_a3_many_alarms_of_many_devices_arrive_in_order(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    receiver.start()
    cloud.publish(*(stored_alarm(number, f"panel-{number % 7}") for number in range(1, 301)))
    await until(lambda: len(cloud.confirmed) >= 300)
    assert arc.sequences == list(range(1, 301))
    assert sorted(cloud.confirmed) == list(range(1, 301))
    # Confirmations of one commit travel together.
    assert len(cloud.confirms) < 300


# --- Answers that are none ---


def _once(answers: Iterator[bytes | None], arc: FakeArc) -> None:
    """Answer the first messages so, and all later ones properly."""

    def answer(frame: Frame) -> bytes | None:
        try:
            return next(answers)
        except StopIteration:
            return arc.ack(frame)

    arc.answer = answer


@pytest.mark.parametrize(
    ("bad", "outcome"),
    [
        pytest.param(None, Outcome.UNKNOWN, id="mute"),
        pytest.param(CLOSE, Outcome.UNKNOWN, id="closes at once"),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", Outcome.UNKNOWN, id="rubbish"),
        pytest.param(b"x" * 5000, Outcome.UNKNOWN, id="much rubbish"),
        pytest.param(b"\n00000015" + b'"ACK"0001R1L2#1234[]\r', Outcome.UNKNOWN, id="wrong crc"),
        pytest.param(seal(b'"ACK"0001R1L2#1234[]')[:12], Outcome.UNKNOWN, id="half an answer"),
        pytest.param(seal(b'"ACK"0777R1L2#1234[]'), Outcome.UNKNOWN, id="another sequence"),
        pytest.param(seal(b'"ACK"0001R1L2#9999[]'), Outcome.UNKNOWN, id="another account"),
        pytest.param(encode_nak(MORNING), Outcome.CLOCK_REFUSED, id="nak"),
        pytest.param(encode_duh(Frame("ADM-CID", 1, "1", "2", "1234")), Outcome.REFUSED, id="duh"),
    ],
)
async def test_a4_an_answer_that_is_no_ack_confirms_nothing_and_the_alarm_is_tried_again(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc, bad: bytes | None, outcome: Outcome
) -> None:
    _once(iter([bad]), arc)
    receiver.start()
    cloud.publish(stored_alarm(1), stored_alarm(2))
    await until(lambda: len(cloud.confirmed) == 2)
    assert arc.sequences == [1, 1, 2]
    attempts = receiver.path.snapshot().outputs[0].attempts
    assert attempts == {outcome: 1, Outcome.CONFIRMED: 2}
    await receiver.journal.flush()
    record = await receiver.journal.get_alarm(number=1)
    assert record is not None
    assert [attempt.outcome for attempt in record.attempts] == [outcome, Outcome.CONFIRMED]
    assert [attempt.attempt for attempt in record.attempts] == [1, 2]
    assert record.attempts[0].frame == arc.raw[0]
    assert record.attempts[0].detail


async def test_a4_a_late_answer_to_an_earlier_message_is_not_taken_for_this_one(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    def answer(frame: Frame) -> bytes:
        late = seal(b'"ACK"0001R1L2#1234[]')
        return arc.ack(frame) if frame.sequence == 1 else late + arc.ack(frame)

    arc.answer = answer
    receiver.start()
    cloud.publish(*(stored_alarm(number) for number in (1, 2, 3)))
    await until(lambda: len(cloud.confirmed) == 3)
    assert arc.sequences == [1, 2, 3]


async def test_a3_a_refused_alarm_lets_other_devices_pass(receiver: Receiver, cloud: FakeCloud, arc: FakeArc) -> None:
    def answer(frame: Frame) -> bytes:
        refused = frame.sequence == 1 and arc.sequences.count(1) <= 2
        return encode_duh(frame) if refused else arc.ack(frame)

    arc.answer = answer
    receiver.start()
    cloud.publish(stored_alarm(1, "x"), stored_alarm(2, "x"), stored_alarm(3, "y"))
    await until(lambda: len(cloud.confirmed) == 3)
    assert arc.sequences == [1, 3, 1, 1, 2]


@pytest.mark.parametrize(
    ("change", "second"),
    [
        ({"text": "gate"}, [("H", "06:00:00,05-04-2026")]),
        ({"text": "gate", "code": "ZZZ"}, [("I", "code 1ZZZ; gate")]),
        ({"text": ""}, [("H", "06:00:00,05-04-2026")]),
    ],
)
async def test_a10_software_that_takes_one_block_alone_gets_the_alarm_all_the_same(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc, change: dict[str, Any], second: list[tuple[str, str]]
) -> None:
    arc.answer = lambda frame: arc.ack(frame) if len(frame.extended) <= 1 else encode_duh(frame)
    receiver.start()
    cloud.publish(stored_alarm(1, **change))
    await until(lambda: cloud.confirmed == [1])
    assert list(arc.frames[-1].extended) == second
    assert len(arc.frames) == (2 if change["text"] else 1)


# --- The link ---


async def test_o2_a_lost_link_comes_back_and_shows_meanwhile(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    receiver.start()
    cloud.publish(stored_alarm(1))
    await until(lambda: cloud.confirmed == [1])
    port = arc.address.port
    await arc.stop()
    await until(lambda: receiver.path.snapshot().outputs[0].link is LinkState.DOWN)
    cloud.publish(stored_alarm(2))
    await until(lambda: "refused" in receiver.path.snapshot().outputs[0].problem)
    assert receiver.path.snapshot().outputs[0].waiting == 1
    await arc.start(port)
    await until(lambda: cloud.confirmed == [1, 2])
    output = receiver.path.snapshot().outputs[0]
    assert (output.link, output.problem, output.waiting) == (LinkState.UP, "", 0)


async def test_o2_an_idle_link_is_supervised(receiver: Receiver, cloud: FakeCloud, arc: FakeArc) -> None:
    output = receiver.output()
    dc09 = type(output.dc09)(answer_timeout=timedelta(seconds=0.3), heartbeat=timedelta(seconds=0.1))
    receiver.start(receiver.output(dc09=dc09))
    await until(lambda: len(arc.frames) >= 3)
    assert {frame.id_token for frame in arc.frames} == {"NULL"}
    assert arc.connections == 1
    arc.answer = lambda frame: None
    await until(lambda: arc.connections >= 2)
    arc.answer = arc.ack
    cloud.publish(stored_alarm(1))
    await until(lambda: cloud.confirmed == [1])


async def test_o3_addresses_are_tried_in_order(receiver: Receiver, cloud: FakeCloud, arc: FakeArc) -> None:
    gone = FakeArc()
    await gone.start()
    await gone.stop()
    receiver.start(receiver.output(addresses=(gone.address, arc.address)))
    cloud.publish(stored_alarm(1))
    await until(lambda: cloud.confirmed == [1])
    assert receiver.path.snapshot().outputs[0].address == str(arc.address)


async def test_o3_an_address_that_accepts_and_closes_does_not_hide_the_next(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    closing = FakeArc()
    closing.answer = lambda frame: CLOSE
    await closing.start()
    receiver.start(receiver.output(addresses=(closing.address, arc.address)))
    cloud.publish(stored_alarm(1))
    await until(lambda: cloud.confirmed == [1])
    await closing.stop()


# --- Outputs that come and go ---


async def test_a4_without_a_required_output_nothing_is_pulled_and_the_health_says_so(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    receiver.start(receiver.output(required=False))
    cloud.publish(stored_alarm(1))
    await until(lambda: len(cloud.beats) > 3)
    assert cloud.opens == []
    assert [problem.kind for problem in cloud.beats[-1].health.problems] == [1]
    receiver.path.set_outputs([receiver.output()])
    await until(lambda: cloud.confirmed == [1])
    await until(lambda: not cloud.beats[-1].health.problems)


async def test_o1_an_output_that_did_not_change_keeps_its_link(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    second = FakeArc()
    await second.start()
    receiver.start()
    cloud.publish(stored_alarm(1))
    await until(lambda: cloud.confirmed == [1])
    receiver.path.set_outputs([receiver.output(), receiver.output(name="second", addresses=(second.address,))])
    cloud.publish(stored_alarm(2))
    await until(lambda: cloud.confirmed == [1, 2])
    assert (arc.connections, arc.sequences, second.sequences) == (1, [1, 2], [2])
    await second.stop()


# --- The history ---


async def test_a8_the_history_tells_the_life_of_each_alarm(receiver: Receiver, cloud: FakeCloud, arc: FakeArc) -> None:
    receiver.start()
    cloud.publish(*(stored_alarm(number, f"panel-{number % 2}") for number in range(1, 8)))
    await until(lambda: receiver.path.snapshot().pull.unstored == 0 and len(cloud.confirmed) == 7)
    await receiver.journal.flush()
    first = await receiver.journal.list_alarms(AlarmQuery(page_size=4))
    assert [record.number for record in first.records] == [7, 6, 5, 4]
    rest = await receiver.journal.list_alarms(AlarmQuery(page_size=4, before=first.next))
    assert ([record.number for record in rest.records], rest.next) == ([3, 2, 1], None)
    assert all(record.acknowledged and record.attempt_count == 1 for record in first.records)
    ones = await receiver.journal.list_alarms(AlarmQuery(device_id="panel-1"))
    assert [record.number for record in ones.records] == [7, 5, 3, 1]
    assert (await receiver.journal.list_alarms(AlarmQuery(state=RecordState.DELIVERED))).records == ()
    late = await receiver.journal.list_alarms(AlarmQuery(start=MORNING + timedelta(minutes=1)))
    assert late.records == ()
    record = await receiver.journal.get_alarm(alarm_id=stored_alarm(3).alarm.alarm_id)
    assert record is not None
    assert (record.number, record.epoch, record.state) == (3, 1, RecordState.CONFIRMED)
    assert record.attempts[0].frame == arc.raw[2]
    assert record.attempts[0].answer == arc.ack(arc.frames[2])
