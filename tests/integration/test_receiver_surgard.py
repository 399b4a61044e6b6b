"""One Sur-Gard output alone, against software that answers well, late, wrongly or not at all."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from hotspare_model.alarm import CodeFormat
from hotspare_model.contact_id import Qualifier
from hotspare_model.surgard import CidMessage, Heartbeat, Message, SiaMessage, Width
from hotspare_receiver.clock import SystemClock
from hotspare_receiver.core.forwarder import Delivered, Outcome, Sending
from hotspare_receiver.core.group_view import NOTHING_KNOWN, GroupView
from hotspare_receiver.history import AttemptRecord
from hotspare_receiver.outputs.sender import Output
from hotspare_receiver.outputs.trial import TrialResult, make_test_alarm
from hotspare_receiver.snapshot import LinkState, OutputConfig, SurgardConfig
from hotspare_rpc.address import Address
from tests.integration.path_fakes import MORNING, stored_alarm, until
from tests.integration.surgard_arc import ACK, CLOSE, NAK, SurgardArc

QUICK = SurgardConfig(answer_timeout=timedelta(seconds=0.15), heartbeat=timedelta(hours=1))
PATIENT = replace(QUICK, answer_timeout=timedelta(seconds=5))


class Queue:
    """Alarms that wait; one that was not answered is the next again, one that was refused is left out."""

    group: GroupView = NOTHING_KNOWN

    def __init__(self, *numbers: int, allowed: int = 10_000, rotating: bool = False) -> None:
        """`rotating`: one that was not answered is the last again instead."""
        self.rotating = rotating
        self.waiting = [stored_alarm(number) for number in numbers]
        self.allowed = allowed
        self.attempts: list[AttemptRecord] = []
        self.outcomes: list[tuple[int, Outcome]] = []

    def take(self, output: str) -> Sending | None:
        if not self.waiting or not self.allowed:
            return None
        return Sending(Delivered(self.waiting.pop(0), 1, 1, False, b""), len(self.attempts) + 1)

    def due(self, output: str) -> float | None:
        return None

    def may_write(self, epoch: int) -> bool:
        self.allowed = max(0, self.allowed - 1)
        return self.allowed > 0

    def attempted(self, sending: Sending, attempt: AttemptRecord, forwarded_code: str) -> None:
        stored = sending.delivered.stored
        self.attempts.append(attempt)
        self.outcomes.append((stored.number, attempt.outcome))
        if attempt.outcome in (Outcome.UNKNOWN, Outcome.NOT_SENT):
            again_last = self.rotating and attempt.outcome is Outcome.UNKNOWN
            self.waiting.insert(len(self.waiting) if again_last else 0, stored)

    def waiting_for(self, output: str) -> int:
        return len(self.waiting)

    @property
    def confirmed(self) -> list[int]:
        return [number for number, outcome in self.outcomes if outcome is Outcome.CONFIRMED]


@pytest.fixture
async def arc() -> AsyncIterator[SurgardArc]:
    arc = SurgardArc()
    await arc.start()
    yield arc
    await arc.stop()


Opened = Callable[..., Output]


@pytest.fixture
async def opened(arc: SurgardArc) -> AsyncIterator[Opened]:
    """Opens outputs to the ARC, and closes them in the end."""
    outputs: list[Output] = []

    def opens(queue: Queue, config: SurgardConfig = PATIENT, addresses: tuple[Address, ...] = ()) -> Output:
        output = Output(OutputConfig("arc", addresses or (arc.address,), surgard=config), queue, SystemClock())
        outputs.append(output)
        output.open()
        return output

    yield opens
    for output in outputs:
        output.close()


async def trial(output: Output, trial_id: str) -> TrialResult:
    return await output.try_out(make_test_alarm(trial_id, "1234", "arc", MORNING)).within(timedelta(seconds=8))


@pytest.mark.parametrize(("width", "head"), [(Width.MLR2, b"5073 18"), (Width.SYSTEM, b"507003 18")])
async def test_o1_alarms_go_out_one_by_one_in_both_widths(
    arc: SurgardArc, opened: Opened, width: Width, head: bytes
) -> None:
    queue = Queue(1, 2)
    output = opened(queue, replace(PATIENT, width=width, receiver_number=7, line_number=3))
    await until(lambda: queue.confirmed == [1, 2])
    assert arc.raw[-1] == head + b"1234E13001002\x14"
    assert queue.attempts[-1].answer == ACK
    assert output.snapshot().link is LinkState.UP


async def test_a6_every_receiver_writes_the_same_bytes_for_an_alarm(arc: SurgardArc, opened: Opened) -> None:
    first, second = Queue(5), Queue(5)
    opened(first)
    await until(lambda: first.confirmed)
    opened(second)
    await until(lambda: second.confirmed)
    assert arc.raw[0] == arc.raw[1]


async def test_a10_codes_of_the_sia_list_are_translated_or_go_out_as_sia(arc: SurgardArc, opened: Opened) -> None:
    queue = Queue()
    queue.waiting = [
        stored_alarm(1, code="CL", code_format=CodeFormat.SIA),
        stored_alarm(2, code="MI", code_format=CodeFormat.SIA),
        stored_alarm(3, code="ZZZ"),
    ]
    opened(queue)
    await until(lambda: queue.confirmed == [1, 2, 3])
    closing, message, generic = arc.alarms
    assert isinstance(closing, CidMessage)
    assert (closing.event.qualifier, closing.event.code) == (Qualifier.RESTORE, "401")
    assert isinstance(message, SiaMessage)
    assert (message.account, message.code, message.zone) == ("1234", "MI", 2)
    assert isinstance(generic, CidMessage)
    assert generic.event.code == "140"


async def test_o1_an_account_that_fits_no_header_is_refused_and_holds_up_nobody(
    arc: SurgardArc, opened: Opened
) -> None:
    queue = Queue(1, 2)
    queue.waiting[0] = replace(queue.waiting[0], account_number="12345")
    opened(queue)
    await until(lambda: queue.confirmed == [2])
    assert queue.outcomes[0] == (1, Outcome.REFUSED)
    assert "width SYSTEM" in queue.attempts[0].detail


async def test_o2_a_heartbeat_proves_an_idle_link_and_traffic_puts_it_off(arc: SurgardArc, opened: Opened) -> None:
    idle = opened(Queue(), replace(PATIENT, heartbeat=timedelta(seconds=0.1)))
    assert idle.facts(1.0).bad_since is not None
    await until(lambda: arc.heartbeats >= 3)
    assert idle.facts(1.0).bad_since is None
    assert arc.raw[0] == b"1011           @    \x14"
    idle.close()
    before = arc.heartbeats
    queue = Queue(1)
    opened(queue)
    await until(lambda: queue.confirmed)
    assert arc.heartbeats == before


async def test_o1_four_attempts_then_heartbeats_alone_then_the_oldest_first(arc: SurgardArc, opened: Opened) -> None:
    answers: dict[type[Message], bytes | None] = {CidMessage: None, Heartbeat: None}
    arc.answer = lambda message: answers[type(message)]
    queue = Queue(1, 2)
    output = opened(queue, QUICK)
    await until(lambda: arc.heartbeats >= 3)
    assert arc.zones == [1, 1, 1, 1]
    assert "4 times in a row" in output.snapshot().problem
    assert output.facts(1.0).bad_since is not None
    answers[CidMessage] = ACK
    beats = arc.heartbeats
    await until(lambda: arc.heartbeats >= beats + 5)
    assert arc.zones == [1, 1, 1, 1]
    answers[Heartbeat] = ACK
    await until(lambda: queue.confirmed == [1, 2])
    assert arc.zones[:5] == [1, 1, 1, 1, 1]
    assert arc.zones[-1] == 2
    assert output.facts(1.0).bad_since is None
    assert output.snapshot().problem == ""


async def test_f3_silence_counts_from_the_first_message_without_an_answer(arc: SurgardArc, opened: Opened) -> None:
    output = opened(Queue(), replace(QUICK, heartbeat=timedelta(seconds=0.1), attempts=16))
    await until(lambda: output.facts(1.0).bad_since is None)
    arc.answer = lambda message: None
    await until(lambda: output.facts(1.0).bad_since is not None)
    since = output.facts(1.0).bad_since
    beats = arc.heartbeats
    await until(lambda: arc.heartbeats >= beats + 3)
    assert output.facts(1.0).bad_since == since
    assert arc.connections == 1, "it counts while the link is still tried"
    arc.answer = lambda message: ACK
    await until(lambda: output.facts(1.0).bad_since is None)


async def test_a4_a_late_answer_confirms_its_own_alarm_and_no_other(arc: SurgardArc, opened: Opened) -> None:
    """The second answer to an alarm that was written twice would confirm the next one, which nobody had read."""
    arc.answer = lambda message: None
    queue = Queue(1, 2)
    opened(queue, replace(QUICK, attempts=16))
    await until(lambda: arc.zones == [1, 1])
    first = arc.writers[-1]
    arc.answer = lambda message: ACK if isinstance(message, CidMessage) and message.event.zone == 1 else None
    first.write(ACK)
    await until(lambda: queue.confirmed == [1])
    await until(lambda: arc.connections == 2 and arc.zones[-1] == 2)
    first.write(ACK)
    await until(lambda: arc.zones.count(2) >= 3)
    assert queue.confirmed == [1]
    arc.answer = lambda message: ACK
    await until(lambda: queue.confirmed == [1, 2])
    assert (2, Outcome.NOT_SENT) not in queue.outcomes, "the connection was another one before the next was taken"


async def test_a4_another_alarm_never_goes_where_an_answer_may_still_come(arc: SurgardArc, opened: Opened) -> None:
    arc.answer = lambda message: None
    queue = Queue(1, 2, rotating=True)
    opened(queue, replace(QUICK, attempts=16))
    await until(lambda: arc.zones == [1])
    first = arc.writers[-1]
    await until(lambda: 2 in arc.zones)
    assert arc.connections == 2
    first.write(ACK)
    await until(lambda: len(arc.zones) >= 4)
    assert queue.confirmed == []
    arc.answer = lambda message: ACK
    await until(lambda: sorted(queue.confirmed) == [1, 2])


async def test_a4_an_answer_that_comes_twice_confirms_one_alarm(arc: SurgardArc, opened: Opened) -> None:
    arc.answer = lambda message: ACK + ACK
    queue = Queue(1, 2, 3)
    opened(queue)
    await until(lambda: queue.confirmed == [1, 2, 3])
    assert arc.zones == [1, 2, 3]
    assert arc.connections >= 3


async def test_s4_an_answer_that_nobody_asked_for_ends_the_connection(arc: SurgardArc, opened: Opened) -> None:
    queue = Queue()
    output = opened(queue)
    await until(lambda: output.facts(1.0).bad_since is None)
    arc.say(ACK)
    await until(lambda: arc.connections == 2)
    queue.waiting.append(stored_alarm(1))
    output.kick()
    await until(lambda: queue.confirmed == [1])


async def test_a5_a_nak_refuses_the_alarm_and_the_link_stands(arc: SurgardArc, opened: Opened) -> None:
    arc.answer = lambda message: NAK if isinstance(message, CidMessage) and message.event.zone == 1 else ACK
    queue = Queue(1, 2)
    output = opened(queue)
    await until(lambda: queue.confirmed == [2])
    assert queue.outcomes[0] == (1, Outcome.REFUSED)
    assert (arc.connections, output.facts(1.0).bad_since) == (1, None)


@pytest.mark.parametrize("rubbish", [b"\x15\x03\x01\x00\x02\x02\x28", b"\x06ok", b"HTTP/1.1 400 Bad Request\r\n"])
async def test_s4_rubbish_refuses_and_confirms_nothing(arc: SurgardArc, opened: Opened, rubbish: bytes) -> None:
    arc.answer = lambda message: rubbish if isinstance(message, CidMessage) else ACK
    queue = Queue(1)
    opened(queue)
    await until(lambda: len(queue.outcomes) >= 2)
    assert {outcome for _, outcome in queue.outcomes} == {Outcome.UNKNOWN}
    assert queue.attempts[0].answer == rubbish
    arc.answer = lambda message: ACK
    await until(lambda: queue.confirmed == [1])


async def test_o2_software_that_closes_after_each_message_gets_all_of_them(arc: SurgardArc, opened: Opened) -> None:
    def answer(message: Message) -> bytes:
        writer = arc.writers[-1]
        writer.write(ACK)
        writer.close()
        return b""

    arc.answer = answer
    queue = Queue(1, 2, 3)
    opened(queue)
    await until(lambda: queue.confirmed == [1, 2, 3])


async def test_f7_the_lease_is_asked_again_before_an_attempt_is_repeated(arc: SurgardArc, opened: Opened) -> None:
    arc.answer = lambda message: None
    queue = Queue(1, allowed=3)
    opened(queue, QUICK)
    await until(lambda: (1, Outcome.NOT_SENT) in queue.outcomes)
    assert arc.zones == [1, 1]
    # What may still be answered on that connection is no answer to a heartbeat.
    await until(lambda: arc.heartbeats)
    assert arc.connections == 2
    assert arc.zones == [1, 1]


async def test_o3_the_next_address_has_its_turn_after_four_attempts(arc: SurgardArc, opened: Opened) -> None:
    silent = SurgardArc()
    await silent.start()
    silent.answer = lambda message: None
    queue = Queue(1)
    output = opened(queue, QUICK, addresses=(silent.address, arc.address))
    await until(lambda: queue.confirmed == [1])
    assert silent.zones == [1, 1, 1, 1]
    assert output.snapshot().address == str(arc.address)
    await silent.stop()


async def test_o2_paused_means_no_link_and_not_healthy_and_resumed_goes_on(arc: SurgardArc, opened: Opened) -> None:
    queue = Queue()
    output = opened(queue)
    await until(lambda: output.facts(1.0).bad_since is None)
    assert output.changed(replace(output.config, paused=True))
    assert output.snapshot().link is LinkState.IDLE
    facts = output.facts(1.0)
    assert facts.bad_since is not None
    assert "paused" in facts.detail
    queue.waiting.append(stored_alarm(1))
    output.kick()
    assert arc.zones == []
    assert output.changed(replace(output.config, paused=False))
    await until(lambda: queue.confirmed == [1])
    assert output.facts(1.0).bad_since is None
    assert not output.changed(replace(output.config, surgard=QUICK))


async def test_a_test_alarm_needs_no_lease_and_tells_what_came_back(arc: SurgardArc, opened: Opened) -> None:
    output = opened(Queue(allowed=0), replace(QUICK, answer_timeout=timedelta(seconds=1)))
    await until(lambda: output.snapshot().link is LinkState.UP and arc.heartbeats)
    result = await trial(output, "t1")
    assert (result.outcome, result.answer, result.frame) == (Outcome.CONFIRMED, ACK, b"5011 181234E60100000\x14")
    assert result.round_trip is not None
    assert result.address == str(arc.address)
    arc.answer = lambda message: NAK if isinstance(message, CidMessage) else ACK
    assert (await trial(output, "t2")).outcome is Outcome.REFUSED
    arc.answer = lambda message: None if isinstance(message, CidMessage) else ACK
    result = await trial(output, "t3")
    assert (result.outcome, result.answer) == (Outcome.UNKNOWN, b"")
    with pytest.raises(ValueError, match="width SYSTEM"):
        output.try_out(make_test_alarm("t4", "12345", "arc", MORNING))
    output.close()
    with pytest.raises(ConnectionError):
        output.try_out(make_test_alarm("t5", "1234", "arc", MORNING))


async def test_a_test_alarm_never_goes_where_an_answer_to_another_may_still_come(
    arc: SurgardArc, opened: Opened
) -> None:
    arc.answer = lambda message: None if isinstance(message, CidMessage) else ACK
    output = opened(Queue(), replace(QUICK, attempts=16))
    await until(lambda: arc.heartbeats)
    tests = [output.try_out(make_test_alarm(name, "1234", "arc", MORNING)) for name in ("t1", "t2")]
    assert (await tests[0].within(timedelta(seconds=8))).outcome is Outcome.UNKNOWN
    await until(lambda: len(arc.alarms) == 2)
    assert arc.connections == 2
    assert (await tests[1].within(timedelta(seconds=8))).outcome is Outcome.UNKNOWN


async def test_a_test_alarm_holds_nothing_up_and_is_not_taken_for_an_alarm(arc: SurgardArc, opened: Opened) -> None:
    queue = Queue(1, 2)
    arc.answer = lambda message: CLOSE if isinstance(message, CidMessage) and message.event.code == "601" else ACK
    output = opened(queue)
    await until(lambda: queue.confirmed == [1, 2])
    result = await trial(output, "t1")
    assert result.outcome is Outcome.UNKNOWN
    queue.waiting.append(stored_alarm(3))
    output.kick()
    await until(lambda: queue.confirmed == [1, 2, 3])
    assert len(queue.attempts) == 3
