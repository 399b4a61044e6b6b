"""Alarms as DC-09 messages to the ARC, and what its answers mean.

The identity on the wire is the alarm's own (A6): account, and the sequence that follows from its number n.
The frame's time is that of sending; the time of occurrence has a block of its own. What a panel got wrong is
put right for the wire and told in the text (A10): the ARC gets something a person can act on, always.

Over UDP a message that gets no answer is sent again under its own sequence, with the time of that sending.
"""

import os
from dataclasses import replace
from datetime import datetime
from typing import TypeAlias, TypedDict

from hotspare_model.alarm import TEXT_LIMIT, CodeFormat, StoredAlarm
from hotspare_model.contact_id import ContactId
from hotspare_model.dc09 import Frame, encode
from hotspare_model.dc09_adm_cid import TEXT, adm_cid_frame
from hotspare_model.dc09_errors import FrameError, TooLongError
from hotspare_model.dc09_reply import Reply, ReplyKind, parse_reply
from hotspare_model.dc09_sia_dcs import HIGHEST_ZONE as HIGHEST_SIA_ZONE
from hotspare_model.dc09_sia_dcs import SiaEvent, sia_dcs_frame
from hotspare_model.dc09_stream import FrameSplitter
from hotspare_model.dc09_text import sanitise
from hotspare_model.sequence import wire_sequence
from hotspare_receiver.core.forwarder import Outcome
from hotspare_receiver.core.group_view import NOTHING_KNOWN, GroupView
from hotspare_receiver.outputs.dialect import Encoded, NotOursError, Verdict, believed_time, place_of
from hotspare_receiver.snapshot import Dc09Config, Dc09Form, Transport

HIGHEST_ZONE = 999

SUPERVISION_ACCOUNT = "0000"
"""NULL supervises the link, not a panel."""

RUBBISH_LIMIT = 4096
"""Bytes that belong to no frame, before the link counts as one that speaks something else."""

UDP_ATTEMPTS = 4
"""Datagrams in a row without an answer after which the address is given up."""


class Dc09:
    """DC-09 with the settings of one output."""

    numbered = True
    heartbeat_first = False

    def __init__(self, config: Dc09Config) -> None:
        self._config = config
        self.answer_timeout = config.answer_timeout
        self.heartbeat = config.heartbeat
        # TCP repeats what is lost by itself; over UDP that is for us to do.
        self.strict = config.transport is Transport.TCP
        self.attempts = 1 if self.strict else UDP_ATTEMPTS
        self._splitter = FrameSplitter()

    def alarm(self, stored: StoredAlarm, sent_at: datetime, refusals: int, group: GroupView) -> Encoded:
        """Make the message of an alarm.

        Software that takes one block of extended data at most refuses a message with two: every other time it
        gets one.
        """
        return encode_alarm(stored, self._config, sent_at, group, single_block=refusals % 2 == 1)

    def supervision(self, sent_at: datetime) -> Encoded:
        """Make a NULL."""
        return encode_supervision(self._config, sent_at)

    def begin(self) -> None:
        """A new connection."""
        self._splitter = FrameSplitter()

    def feed(self, data: bytes) -> list[bytes]:
        """Cut frames out of what came."""
        if not self.strict:
            # A datagram is whole or nothing: half of one must not eat the next.
            self._splitter = FrameSplitter()
        try:
            frames = self._splitter.feed(data)
        except TooLongError as error:
            raise NotOursError(f"the answer is no reply: {error}") from error
        if not frames and self._splitter.skipped > RUBBISH_LIMIT:
            raise NotOursError("what comes back is not DC-09")
        return frames

    def read(self, answer: bytes, sent: Encoded) -> Verdict | None:
        """Say what a frame means for the message in flight."""
        assert sent.header is not None
        try:
            reply = parse_reply(answer, self._config.key)
        except FrameError as error:
            raise NotOursError(f"the answer is no reply: {error}") from error
        return verdict_of(reply) if reply.answers(sent.header) else None


def encode_alarm(
    stored: StoredAlarm,
    config: Dc09Config,
    sent_at: datetime,
    group: GroupView = NOTHING_KNOWN,
    *,
    single_block: bool = False,
) -> Encoded:
    """Make the message of an alarm, in the form of the output.

    The line number is that of the device, where it has one. (It has one to six hexadecimal digits, as L does.)

    With `single_block` it has no more than one block of extended data: the text where that tells what else
    would be lost (A10), else the time of occurrence.

    Raises EncodeError or ValueError when the cloud gave it an identity that does not fit the wire.
    """
    line = group.line_of(stored.alarm.device_id)
    if line:
        config = replace(config, line_number=line)
    if config.form is Dc09Form.SIA_DCS:
        frame, code, original, remarks = _sia_dcs(stored, group, _head(stored, config, sent_at))
    else:
        frame, code, original, remarks = _adm_cid(stored, group, _head(stored, config, sent_at))
    if original is not None:
        remarks = (f"code {original}", *remarks)
    told = stored.alarm.text
    text = sanitise("; ".join((*remarks, told) if told else remarks), TEXT_LIMIT).text
    if text:
        blocks = (*frame.extended, (TEXT, text))
        if single_block:
            blocks = blocks[1:] if remarks else blocks[:1]
        frame = replace(frame, extended=blocks)
    return Encoded(_raw(frame, config), code, frame, original)


def encode_supervision(config: Dc09Config, sent_at: datetime) -> Encoded:
    """Make the NULL that asks whether the other side is there (O2)."""
    frame = Frame(
        id_token="NULL",
        sequence=0,
        receiver=config.receiver_number,
        line=config.line_number,
        account=SUPERVISION_ACCOUNT,
        encrypted=config.key is not None,
        timestamp=sent_at if config.key is not None else None,
    )
    return Encoded(_raw(frame, config), header=frame)


def verdict_of(reply: Reply) -> Verdict:
    """What an answer to the message in flight means."""
    match reply.kind:
        case ReplyKind.ACK | ReplyKind.RSP:
            return Verdict(Outcome.CONFIRMED)
        case ReplyKind.DUH:
            return Verdict(Outcome.REFUSED, "the ARC's software can't process it (DUH)")
        case ReplyKind.NAK:
            theirs = f"; its clock says {reply.timestamp.isoformat()}" if reply.timestamp is not None else ""
            return Verdict(Outcome.CLOCK_REFUSED, f"the ARC's software refused its time (NAK){theirs}")


_Written: TypeAlias = tuple[Frame, str, str | None, tuple[str, ...]]
"""The frame without a text, the code on the wire where it is another, the one that a generic event stands for, and
what else the text has to tell."""


class _Head(TypedDict):
    """What a frame has in either form."""

    account: str
    sequence: int
    sent_at: datetime
    receiver: str | None
    line: str
    occurred: datetime
    encrypted: bool


def _head(stored: StoredAlarm, config: Dc09Config, sent_at: datetime) -> _Head:
    return _Head(
        account=stored.account_number.upper(),
        sequence=wire_sequence(stored.account_sequence),
        sent_at=sent_at,
        receiver=config.receiver_number,
        line=config.line_number,
        occurred=believed_time(stored),
        encrypted=config.key is not None,
    )


def _adm_cid(stored: StoredAlarm, group: GroupView, head: _Head) -> _Written:
    alarm = stored.alarm
    forwarded = group.codes.to_contact_id(alarm)
    partition, zone, remarks = place_of(stored, HIGHEST_ZONE)
    frame = adm_cid_frame(contact_id=ContactId(forwarded.qualifier, forwarded.code, partition, zone), **head)
    another = forwarded.replaced or alarm.code_format is CodeFormat.SIA
    return frame, forwarded.code if another else "", forwarded.original, remarks


def _sia_dcs(stored: StoredAlarm, group: GroupView, head: _Head) -> _Written:
    alarm = stored.alarm
    forwarded = group.codes.to_sia(alarm)
    partition, zone, remarks = place_of(stored, HIGHEST_SIA_ZONE)
    frame = sia_dcs_frame(event=SiaEvent(forwarded.code, partition, zone), **head)
    return frame, forwarded.code if forwarded.code != alarm.code else "", forwarded.original, remarks


def _raw(frame: Frame, config: Dc09Config) -> bytes:
    return encode(frame, config.key, os.urandom if config.key is not None else None)
