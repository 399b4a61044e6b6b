"""DC-09 over UDP, and as SIA-DCS: one output alone, against pysiaalarm and against software that loses datagrams."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from pysiaalarm.account import SIAAccount
from pysiaalarm.event import SIAEvent
from pysiaalarm.sync.client import SIAClient
from pysiaalarm.utils.enums import CommunicationsProtocol, MessageTypes

from hotspare_model.alarm import CodeFormat, StoredAlarm
from hotspare_model.contact_id import Qualifier
from hotspare_model.dc09 import Frame, decode
from hotspare_model.dc09_reply import encode_ack, encode_duh
from hotspare_model.dc09_sia_dcs import read_sia_dcs
from hotspare_receiver.clock import SystemClock
from hotspare_receiver.core.forwarder import Outcome
from hotspare_receiver.core.link_health import LinkHealth
from hotspare_receiver.outputs import link
from hotspare_receiver.outputs.dc09 import encode_alarm
from hotspare_receiver.outputs.sender import Output
from hotspare_receiver.snapshot import Dc09Config, Dc09Form, OutputConfig, Transport
from hotspare_rpc.address import Address
from tests.integration.path_fakes import MORNING, stored_alarm, until
from tests.integration.test_receiver_surgard import Queue

UDP = Dc09Config(
    receiver_number="1",
    answer_timeout=timedelta(seconds=0.15),
    heartbeat=timedelta(hours=1),
    transport=Transport.UDP,
)
KEY = b"0123456789ABCDEF"
SIA_ALARM = stored_alarm(7, code="BA", code_format=CodeFormat.SIA, zone=15)


class UdpArc(asyncio.DatagramProtocol):
    """Takes datagrams; `answer` says what each gets."""

    def __init__(self) -> None:
        self.answer: Callable[[Frame], bytes | None] = encode_ack
        self.frames: list[Frame] = []
        self.transport: asyncio.DatagramTransport | None = None
        self.peer: tuple[str, int] | None = None

    @property
    def address(self) -> Address:
        assert self.transport is not None
        return Address(*self.transport.get_extra_info("sockname"))

    @property
    def sequences(self) -> list[int]:
        return [frame.sequence for frame in self.frames if frame.id_token != "NULL"]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.peer = addr
        self.frames.append(decode(data, lambda account: None))
        answer = self.answer(self.frames[-1])
        if answer is not None:
            self.say(answer)

    def say(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.sendto(data, self.peer)


async def udp_arc(port: int = 0) -> UdpArc:
    _, protocol = await asyncio.get_running_loop().create_datagram_endpoint(UdpArc, local_addr=("127.0.0.1", port))
    return protocol


@pytest.fixture
async def arc() -> AsyncIterator[UdpArc]:
    arc = await udp_arc()
    yield arc
    assert arc.transport is not None
    arc.transport.close()


Opened = Callable[..., Output]


@pytest.fixture
async def opened() -> AsyncIterator[Opened]:
    """Opens outputs, and closes them in the end."""
    outputs: list[Output] = []

    def opens(queue: Queue, *addresses: Address, config: Dc09Config = UDP) -> Output:
        output = Output(OutputConfig("arc", addresses, True, config), queue, SystemClock())
        outputs.append(output)
        output.open()
        return output

    yield opens
    for output in outputs:
        output.close()


# --- pysiaalarm ---


@pytest.fixture
def heard() -> list[SIAEvent]:
    return []


@pytest.fixture(params=[None, KEY], ids=["clear", "aes-128"])
def peer(request: pytest.FixtureRequest, heard: list[SIAEvent]) -> Iterator[tuple[Address, bytes | None]]:
    key: bytes | None = request.param
    accounts = [SIAAccount("1234", None if key is None else key.decode())]
    client = SIAClient("127.0.0.1", 0, accounts, heard.append, protocol=CommunicationsProtocol.UDP)
    client.start(poll_interval=0.05)
    yield Address("127.0.0.1", int(client.sia_server.server_address[1])), key
    client.stop()


@pytest.mark.parametrize("form", Dc09Form)
async def test_o1_pysiaalarm_takes_our_datagrams_in_both_forms(
    peer: tuple[Address, bytes | None], heard: list[SIAEvent], opened: Opened, form: Dc09Form
) -> None:
    address, key = peer
    queue = Queue()
    queue.waiting = [SIA_ALARM, stored_alarm(8, code="401", zone=3, qualifier=Qualifier.RESTORE)]
    config = replace(UDP, form=form, key=key, answer_timeout=timedelta(seconds=5), heartbeat=timedelta(0))
    opened(queue, address, config=config)
    await until(lambda: queue.confirmed == [7, 8] and len(heard) == 2)
    # It acknowledges a datagram before its callback, in a thread of its own: callbacks come in any order.
    burglary, closing = sorted(heard, key=lambda event: event.sequence or "")
    assert (burglary.account, burglary.sequence, closing.sequence) == ("1234", "0007", "0008")
    assert (burglary.encrypted or False) == (key is not None)
    if form is Dc09Form.SIA_DCS:
        assert burglary.message_type is MessageTypes.SIADCS
        assert (burglary.code, burglary.ri, burglary.message) == ("BA", "1", "015")
        assert (closing.code, closing.message) == ("CL", "003")
    else:
        assert (burglary.event_qualifier, burglary.event_type, burglary.ri) == ("1", "130", "015")
        assert (closing.event_qualifier, closing.event_type) == ("3", "401")


# --- datagrams that get lost ---


async def test_o1_a_lost_datagram_goes_again_under_its_own_sequence(arc: UdpArc, opened: Opened) -> None:
    arc.answer = lambda frame: None if len(arc.frames) < 3 else encode_ack(frame)
    queue = Queue(1, 2)
    output = opened(queue, arc.address)
    await until(lambda: queue.confirmed == [1, 2])
    assert arc.sequences[:3] == [1, 1, 1]
    assert arc.sequences[-1] == 2
    assert queue.outcomes[:2] == [(1, Outcome.UNKNOWN), (1, Outcome.UNKNOWN)]
    assert output.facts(1.0).bad_since is None


async def test_a4_a_late_answer_is_for_its_own_sequence_alone(arc: UdpArc, opened: Opened) -> None:
    arc.answer = lambda frame: None
    queue = Queue(1, 2)
    opened(queue, arc.address)
    await until(lambda: len(arc.frames) == 2)
    first = encode_ack(arc.frames[0])
    arc.say(first)
    arc.say(first)
    await until(lambda: 2 in arc.sequences)
    arc.say(first)
    await until(lambda: arc.sequences.count(2) == 2)
    assert queue.confirmed == [1]
    arc.answer = encode_ack
    await until(lambda: queue.confirmed == [1, 2])


async def test_o3_an_address_that_stays_silent_is_given_up_for_the_next(arc: UdpArc, opened: Opened) -> None:
    silent = await udp_arc()
    silent.answer = lambda frame: None
    queue = Queue(1)
    output = opened(queue, silent.address, arc.address)
    await until(lambda: queue.confirmed == [1])
    assert silent.sequences == [1, 1, 1, 1]
    assert output.snapshot().address == str(arc.address)
    assert silent.transport is not None
    silent.transport.close()


async def test_o2_a_port_where_nobody_listens_is_noticed_at_once_and_tried_again(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "CONNECT_TIMEOUT", 1.0)
    gone = await udp_arc()
    port = gone.address.port
    assert gone.transport is not None
    gone.transport.close()
    queue = Queue(1)
    output = opened(queue, Address("127.0.0.1", port), config=replace(UDP, answer_timeout=timedelta(seconds=30)))
    await until(lambda: "refused" in output.snapshot().problem)
    assert output.facts(1.0).bad_since is not None
    back = await udp_arc(port)
    await until(lambda: queue.confirmed == [1])
    assert back.transport is not None
    back.transport.close()


@pytest.mark.parametrize("rubbish", [b"", b"\n", b"ok", b'\nFFFF0010"ACK"0001L0#1234[]\r', b"x" * 9000])
async def test_s4_rubbish_changes_nothing_over_udp(arc: UdpArc, opened: Opened, rubbish: bytes) -> None:
    """Whoever can write the address of the ARC on a datagram could otherwise end the link with one."""

    def answer(frame: Frame) -> bytes:
        arc.say(rubbish)
        return encode_ack(frame)

    arc.answer = answer
    queue = Queue(1, 2)
    output = opened(queue, arc.address, config=replace(UDP, answer_timeout=timedelta(seconds=5)))
    since = output.snapshot().since
    await until(lambda: queue.confirmed == [1, 2])
    assert arc.sequences == [1, 2]
    assert output.snapshot().since >= since
    assert output.snapshot().problem == ""


async def test_a5_a_duh_refuses_over_udp_too(arc: UdpArc, opened: Opened) -> None:
    arc.answer = lambda frame: encode_duh(frame) if frame.sequence == 1 else encode_ack(frame)
    queue = Queue(1, 2)
    opened(queue, arc.address)
    await until(lambda: queue.confirmed == [2])
    assert queue.outcomes[0] == (1, Outcome.REFUSED)


def test_o2_a_link_that_is_kept_without_an_answer_is_judged_by_the_first_of_them() -> None:
    supervised = LinkHealth(True, 0.0).wanted(0.0).made(1.0).answered()
    silent = supervised.wrote(10.0).unanswered(14.0).wrote(14.0).unanswered(18.0)
    assert silent.settled(100.0, 10.0).bad_since == 10.0
    assert silent.wrote(18.0).failed(22.0).bad_since == 10.0
    assert silent.answered().bad_since is None


def test_o2_an_unsupervised_link_that_is_kept_is_believed_again_when_nothing_is_sent() -> None:
    """Else a receiver that lost its lease meanwhile would never be healthy again, for it has nothing to send."""
    silent = LinkHealth(False, 0.0).wanted(0.0).made(1.0).wrote(10.0).unanswered(14.0)
    assert silent.settled(23.9, 10.0).bad_since == 10.0
    assert silent.settled(24.0, 10.0).bad_since is None
    assert silent.wrote(14.0).settled(24.0, 10.0).bad_since == 10.0


# --- SIA-DCS to the letter ---


def sia_dcs(stored: StoredAlarm) -> Frame:
    config = Dc09Config(form=Dc09Form.SIA_DCS, receiver_number="1", line_number="2")
    encoded = encode_alarm(stored, config, datetime(2026, 5, 4, 7, 0, tzinfo=UTC))
    return decode(encoded.raw, lambda account: None)


def test_o1_an_sia_dcs_message_has_the_identity_of_a6() -> None:
    frame = sia_dcs(SIA_ALARM)
    assert frame.data == "#1234|Nri1/BA015"
    assert (frame.id_token, frame.sequence, frame.receiver, frame.line) == ("SIA-DCS", 7, "1", "2")
    assert (frame.timestamp, read_sia_dcs(frame).occurred) == (datetime(2026, 5, 4, 7, 0, tzinfo=UTC), MORNING)


@pytest.mark.parametrize(
    ("change", "data", "text"),
    [
        ({"partition": 0, "zone": 0, "code": "602"}, "#1234|NRP", None),
        ({"code": "131"}, "#1234|Nri1/BA007", "code 1131"),
        ({"code": "BA", "code_format": CodeFormat.SIA, "zone": 4711}, "#1234|Nri1/BA4711", None),
        ({"zone": 10_000, "text": "gate"}, "#1234|Nri1/BA", "zone 10000; gate"),
        ({"code": "\x00][", "code_format": CodeFormat.SIA}, "#1234|Nri1/UA007", "code  )("),
    ],
)
def test_a10_what_sia_has_no_word_for_is_told_in_the_text(change: dict[str, Any], data: str, text: str | None) -> None:
    frame = sia_dcs(stored_alarm(7, **change))
    assert (frame.data, frame.first_extended("I")) == (data, text)
