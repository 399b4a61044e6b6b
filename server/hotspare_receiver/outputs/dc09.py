"""Alarms as DC-09 messages to the ARC, and what its answers mean.

The identity on the wire is the alarm's own (A6): account, and the sequence that follows from its number n.
The frame's time is that of sending; the time of occurrence has a block of its own. What a panel got wrong is
put right for the wire and told in the text (A10): the ARC gets something a person can act on, always.
"""

import os
from dataclasses import dataclass, replace
from datetime import datetime

from hotspare_model.alarm import TEXT_LIMIT, AlarmMark, CodeFormat, StoredAlarm
from hotspare_model.contact_id import ContactId
from hotspare_model.dc09 import Frame, encode
from hotspare_model.dc09_adm_cid import TEXT, adm_cid_frame
from hotspare_model.dc09_reply import Reply, ReplyKind
from hotspare_model.dc09_text import sanitise
from hotspare_model.event_codes import GENERIC_CODE, Forwarded, to_forward
from hotspare_model.sequence import wire_sequence
from hotspare_receiver.core.forwarder import Outcome
from hotspare_receiver.snapshot import Dc09Config

HIGHEST_PARTITION = 99
HIGHEST_ZONE = 999

SUPERVISION_ACCOUNT = "0000"
"""NULL supervises the link, not a panel."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A message, ready to be written."""

    frame: Frame
    raw: bytes
    forwarded_code: str = ""
    """The code on the wire, where it is not the alarm's own."""


def encode_alarm(stored: StoredAlarm, config: Dc09Config, sent_at: datetime, *, single_block: bool = False) -> Encoded:
    """Make the message of an alarm (ADM-CID).

    With `single_block` it has no more than one block of extended data: the text where that tells what else
    would be lost (A10), else the time of occurrence.

    Raises EncodeError or ValueError when the cloud gave it an identity that does not fit the wire.
    """
    alarm = stored.alarm
    forwarded = _forwarded(stored)
    partition, zone, remarks = _place(stored)
    if forwarded.original is not None:
        remarks = (f"code {forwarded.original}", *remarks)
    believed = alarm.occurred is not None and AlarmMark.CLOCK_IMPLAUSIBLE not in stored.marks
    frame = adm_cid_frame(
        account=stored.account_number.upper(),
        contact_id=ContactId(forwarded.qualifier, forwarded.code, partition, zone),
        sequence=wire_sequence(stored.account_sequence),
        sent_at=sent_at,
        receiver=config.receiver_number,
        line=config.line_number,
        occurred=alarm.occurred if believed else stored.received,
        encrypted=config.key is not None,
    )
    text = sanitise("; ".join((*remarks, alarm.text) if alarm.text else remarks), TEXT_LIMIT).text
    if text:
        blocks = (*frame.extended, (TEXT, text))
        if single_block:
            blocks = blocks[1:] if remarks else blocks[:1]
        frame = replace(frame, extended=blocks)
    code = forwarded.code if forwarded.replaced else ""
    return Encoded(frame, _raw(frame, config), code)


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
    return Encoded(frame, _raw(frame, config))


def outcome_of(reply: Reply) -> tuple[Outcome, str]:
    """What an answer to the message in flight means, and its problem in words."""
    match reply.kind:
        case ReplyKind.ACK | ReplyKind.RSP:
            return Outcome.CONFIRMED, ""
        case ReplyKind.DUH:
            return Outcome.REFUSED, "the ARC's software can't process it (DUH)"
        case ReplyKind.NAK:
            theirs = f"; its clock says {reply.timestamp.isoformat()}" if reply.timestamp is not None else ""
            return Outcome.CLOCK_REFUSED, f"the ARC's software refused its time (NAK){theirs}"


def _forwarded(stored: StoredAlarm) -> Forwarded:
    alarm = stored.alarm
    if alarm.code_format is CodeFormat.CONTACT_ID:
        return to_forward(alarm.qualifier, alarm.code)
    # ADM-CID has no room for another list's code.
    return Forwarded(alarm.qualifier, GENERIC_CODE, alarm.code)


def _place(stored: StoredAlarm) -> tuple[int, int, tuple[str, ...]]:
    """Partition and zone as they fit the wire, and what did not."""
    partition, zone = stored.alarm.partition, stored.alarm.zone
    remarks = []
    if not 0 <= partition <= HIGHEST_PARTITION:
        remarks.append(f"partition {partition}")
        partition = 0
    if not 0 <= zone <= HIGHEST_ZONE:
        remarks.append(f"zone {zone}")
        zone = 0
    return partition, zone, tuple(remarks)


def _raw(frame: Frame, config: Dc09Config) -> bytes:
    return encode(frame, config.key, os.urandom if config.key is not None else None)
