"""Automation software that answers late, twice, out of order, in pieces, or closes after each message (A3, A4, O2)."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from hotspare_model.dc09 import Frame
from hotspare_receiver.core.forwarder import Outcome
from tests.integration.path_fakes import FakeArc, FakeCloud, Receiver, stored_alarm, until

COUNT = 4


def frame_of(number: int) -> Frame:
    """What an acknowledgement of an alarm repeats."""
    return Frame("ADM-CID", number, "1", "2", "1234")


async def delivered(receiver: Receiver, cloud: FakeCloud, count: int = COUNT) -> Any:
    """Publish so many alarms of one device, and wait until all are confirmed; returns the attempts by outcome."""
    receiver.start()
    cloud.publish(*(stored_alarm(number) for number in range(1, count + 1)))
    await until(lambda: len(cloud.confirmed) >= count, 20)
    assert cloud.confirmed == list(range(1, count + 1))
    return receiver.path.snapshot().outputs[0].attempts


async def test_a4_an_acknowledgement_that_comes_twice_confirms_one_alarm(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    silent = iter([True])

    def answer(frame: Frame) -> bytes | None:
        # The second one of the first alarm is read when the second alarm is under way, which gets none of its own yet.
        if frame.sequence == 2 and next(silent, False):
            return None
        return arc.ack(frame) * 2

    arc.answer = answer
    attempts = await delivered(receiver, cloud)
    assert arc.sequences == [1, 2, 2, 3, 4]
    assert attempts == {Outcome.CONFIRMED: COUNT, Outcome.UNKNOWN: 1}


async def test_a4_acknowledgements_out_of_order_confirm_nothing_that_was_not_sent(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    times: Counter[int] = Counter()

    def answer(frame: Frame) -> bytes:
        times[frame.sequence] += 1
        # First that of the next one, which was not even sent.
        return arc.ack(frame if times[frame.sequence] > 1 else frame_of(frame.sequence + 1))

    arc.answer = answer
    attempts = await delivered(receiver, cloud)
    assert arc.sequences == [1, 1, 2, 2, 3, 3, 4, 4]
    assert attempts == {Outcome.UNKNOWN: COUNT, Outcome.CONFIRMED: COUNT}


async def test_a4_an_acknowledgement_after_the_time_for_it_confirms_its_own_alarm_alone(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    late: list[bytes] = []

    def answer(frame: Frame) -> bytes | None:
        if frame.sequence == 1 and not late:
            late.append(arc.ack(frame))
            return None
        # It comes on the new connection, before the answers to what was sent there, and again and again.
        return late[0] + arc.ack(frame)

    arc.answer = answer
    attempts = await delivered(receiver, cloud)
    assert arc.sequences == [1, 1, 2, 3, 4]
    assert attempts == {Outcome.UNKNOWN: 1, Outcome.CONFIRMED: COUNT}


async def test_o2_software_that_closes_after_each_message_gets_all_of_them_in_order(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    def answer(frame: Frame) -> bytes:
        asyncio.get_running_loop().call_soon(arc.writers[-1].close)
        return arc.ack(frame)

    arc.answer = answer
    await delivered(receiver, cloud)
    assert arc.sequences == sorted(arc.sequences)
    assert set(arc.sequences) == set(range(1, COUNT + 1))
    assert arc.connections >= COUNT


PIECES: list[Callable[[bytes], tuple[bytes, bytes]]] = [
    lambda raw: (raw[:1], raw[1:]),
    lambda raw: (raw[:-1], raw[-1:]),
]


@pytest.mark.parametrize("cut", PIECES, ids=["first byte alone", "last byte alone"])
async def test_a4_an_acknowledgement_in_two_pieces_is_one(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc, cut: Callable[[bytes], tuple[bytes, bytes]]
) -> None:
    def answer(frame: Frame) -> bytes:
        head, tail = cut(arc.ack(frame))
        asyncio.get_running_loop().call_later(0.02, arc.say, tail)
        return head

    arc.answer = answer
    attempts = await delivered(receiver, cloud)
    assert arc.sequences == [1, 2, 3, 4]
    assert attempts == {Outcome.CONFIRMED: COUNT}
