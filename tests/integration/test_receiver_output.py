"""One DC-09 output alone, against a scripted ARC."""

import socket
import struct
import threading
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from hotspare_receiver.clock import SystemClock
from hotspare_receiver.core.backoff import Backoff
from hotspare_receiver.core.forwarder import Delivered, Outcome, Sending
from hotspare_receiver.core.group_view import NOTHING_KNOWN, GroupView
from hotspare_receiver.history import AttemptRecord
from hotspare_receiver.outputs import link
from hotspare_receiver.outputs.sender import Output
from hotspare_receiver.snapshot import Dc09Config, LinkState, OutputConfig
from hotspare_rpc.address import Address
from tests.integration.path_fakes import FakeArc, stored_alarm, until


@dataclass
class ScriptedSource:
    """Gives these alarms, one after the other, and allows to write so many."""

    numbers: list[int]
    allowed: int = 1000
    attempts: list[AttemptRecord] = field(default_factory=list)
    group: GroupView = NOTHING_KNOWN

    def take(self, output: str) -> Sending | None:
        if not self.numbers:
            return None
        return Sending(Delivered(stored_alarm(self.numbers.pop(0)), 1, 1, False, b""), 1)

    def due(self, output: str) -> float | None:
        return None

    def may_write(self, epoch: int) -> bool:
        self.allowed -= 1
        return self.allowed >= 0

    def attempted(self, sending: Sending, attempt: AttemptRecord, forwarded_code: str) -> None:
        self.attempts.append(attempt)

    def waiting_for(self, output: str) -> int:
        return len(self.numbers)


def output(arc: FakeArc, source: ScriptedSource) -> Output:
    dc09 = Dc09Config(answer_timeout=timedelta(seconds=5), heartbeat=timedelta(0))
    output = Output(OutputConfig("arc", (arc.address,), True, dc09), source, SystemClock())
    output.open()
    return output


async def test_timing_1_the_lease_is_asked_right_before_each_write(arc: FakeArc) -> None:
    source = ScriptedSource([1, 2, 3], allowed=2)
    sending = output(arc, source)
    await until(lambda: len(source.attempts) == 3)
    assert arc.sequences == [1, 2]
    assert [attempt.outcome for attempt in source.attempts] == [
        Outcome.CONFIRMED,
        Outcome.CONFIRMED,
        Outcome.NOT_SENT,
    ]
    assert source.attempts[2].frame == b""
    sending.close()


async def test_f7_the_end_of_the_lease_waits_for_the_answer_to_what_is_sent(arc: FakeArc) -> None:
    arc.answer = lambda frame: None
    source = ScriptedSource([1])
    sending = output(arc, source)
    await until(lambda: arc.frames)
    sending.lease_ended()
    arc.say(arc.ack(arc.frames[0]))
    await until(lambda: source.attempts)
    assert source.attempts[0].outcome is Outcome.CONFIRMED
    assert (sending.snapshot().link, arc.connections) == (LinkState.UP, 1)
    sending.close()


async def test_timing_1_a_reset_throws_away_what_is_in_flight_and_opens_the_link_anew(arc: FakeArc) -> None:
    arc.answer = lambda frame: None
    source = ScriptedSource([1])
    sending = output(arc, source)
    await until(lambda: arc.frames)
    sending.reset()
    assert [attempt.outcome for attempt in source.attempts] == [Outcome.UNKNOWN]
    await until(lambda: arc.connections == 2 and sending.snapshot().link is LinkState.UP)
    sending.reset()
    assert sending.snapshot().link is LinkState.UP
    sending.close()


async def test_x1_closing_an_output_cuts_the_link_at_once_and_the_outcome_is_unknown(arc: FakeArc) -> None:
    arc.answer = lambda frame: None
    source = ScriptedSource([1])
    sending = output(arc, source)
    await until(lambda: arc.frames)
    sending.close()
    assert [attempt.outcome for attempt in source.attempts] == [Outcome.UNKNOWN]
    assert sending.snapshot().link is LinkState.IDLE


async def test_s4_an_alarm_that_fits_no_frame_is_refused_and_holds_up_nobody(arc: FakeArc) -> None:
    source = ScriptedSource([0, 1])
    sending = output(arc, source)
    await until(lambda: len(source.attempts) == 2)
    assert [attempt.outcome for attempt in source.attempts] == [Outcome.REFUSED, Outcome.CONFIRMED]
    assert "does not fit" in source.attempts[0].detail
    sending.close()


async def test_o2_an_arc_that_resets_at_every_accept_is_tried_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found from outside: made and lost within one turn of the loop, the link was never opened again."""
    monkeypatch.setattr(link, "BACKOFF", Backoff(first=0.001, longest=0.002))
    accepted = 0
    listener = socket.create_server(("127.0.0.1", 0))

    def reset_all() -> None:
        # In a thread, as another process would: the reset then comes before the loop has finished its own part.
        nonlocal accepted
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            accepted += 1
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()

    thread = threading.Thread(target=reset_all, daemon=True)
    thread.start()
    address = Address(*listener.getsockname())
    dc09 = Dc09Config(answer_timeout=timedelta(seconds=5), heartbeat=timedelta(0))
    out = Output(OutputConfig("arc", (address,), True, dc09), ScriptedSource(list(range(1, 5000))), SystemClock())
    out.open()
    try:
        await until(lambda: accepted >= 300, 20)
    finally:
        out.close()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


async def test_o2_a_link_is_proved_as_soon_as_it_stands(arc: FakeArc) -> None:
    """That somebody takes the connection proves nothing: the kernel does so for a program that hangs."""
    dc09 = Dc09Config(answer_timeout=timedelta(seconds=5), heartbeat=timedelta(hours=1))
    out = Output(OutputConfig("arc", (arc.address,), True, dc09), ScriptedSource([]), SystemClock())
    assert out.facts(1.0).bad_since is not None
    out.open()
    await until(lambda: out.facts(1.0).bad_since is None)
    assert [frame.id_token for frame in arc.frames] == ["NULL"]
    out.close()


async def test_o2_an_alarm_that_waits_is_proof_enough_and_goes_first(arc: FakeArc) -> None:
    dc09 = Dc09Config(answer_timeout=timedelta(seconds=5), heartbeat=timedelta(hours=1))
    source = ScriptedSource([1])
    out = Output(OutputConfig("arc", (arc.address,), True, dc09), source, SystemClock())
    out.open()
    await until(lambda: source.attempts)
    assert (arc.sequences, len(arc.frames), out.facts(1.0).bad_since) == ([1], 1, None)
    out.close()
