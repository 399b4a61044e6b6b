"""Alarms as Sur-Gard messages to the ARC, and what its answers mean.

The identity on the wire (A6) is what the format can carry: account, event, partition and zone. It has no place for a
sequence number, for the time of occurrence or for a text; so an alarm that is sent twice can't be told from one that
happened twice, and what had to be replaced (A10) is told by this receiver's history alone.

Events of the Contact ID list go out as Contact ID. Events of the SIA list do too where Contact ID has a code that says
the same, else as SIA messages; those have no place for a partition.
"""

from dataclasses import replace
from datetime import datetime

from hotspare_model.alarm import CodeFormat, StoredAlarm
from hotspare_model.contact_id import ContactId
from hotspare_model.surgard import (
    HIGHEST_SIA_ZONE,
    SIA_ACCOUNT,
    Answer,
    Header,
    SurgardError,
    encode_contact_id,
    encode_heartbeat,
    encode_sia,
    read_answers,
)
from hotspare_receiver.core.forwarder import Outcome
from hotspare_receiver.core.group_view import GroupView
from hotspare_receiver.outputs.dialect import Encoded, NotOursError, Verdict, place_of
from hotspare_receiver.snapshot import SurgardConfig

HIGHEST_ZONE = 999


class Surgard:
    """Sur-Gard with the settings of one output."""

    numbered = False
    heartbeat_first = True
    strict = True

    def __init__(self, config: SurgardConfig) -> None:
        self.answer_timeout = config.answer_timeout
        self.heartbeat = config.heartbeat
        self.attempts = config.attempts
        self._header = Header(config.width, config.receiver_number, config.line_number)

    def alarm(self, stored: StoredAlarm, sent_at: datetime, refusals: int, group: GroupView) -> Encoded:
        """Make the message of an alarm; it is the same at every attempt, at every receiver with the same settings and
        configuration."""
        alarm, account = stored.alarm, stored.account_number
        header, remark = self._header_of(alarm.device_id, group)
        forwarded = group.codes.to_contact_id(alarm)
        if alarm.code_format is CodeFormat.SIA and forwarded.replaced and len(account) <= SIA_ACCOUNT:
            sia = group.codes.to_sia(alarm)
            _, zone, _ = place_of(stored, HIGHEST_SIA_ZONE)
            another_code = sia.code if sia.code != alarm.code else ""
            raw = encode_sia(header, account, sia.code, zone)
            return Encoded(raw, another_code, original=sia.original, remark=remark)
        partition, zone, _ = place_of(stored, HIGHEST_ZONE)
        event = ContactId(forwarded.qualifier, forwarded.code, partition, zone)
        another = forwarded.replaced or alarm.code_format is CodeFormat.SIA
        return Encoded(
            encode_contact_id(header, account, event),
            forwarded.code if another else "",
            original=forwarded.original,
            remark=remark,
        )

    def _header_of(self, device_id: str, group: GroupView) -> tuple[Header, str]:
        """The header with the line number of the device, where it has one that fits; else what has to be said."""
        line = group.line_of(device_id)
        if not line:
            return self._header, ""
        if line.isdecimal() and int(line) <= self._header.highest_line:
            return replace(self._header, line=int(line)), ""
        highest = self._header.highest_line
        return self._header, f"the device's line {line} is no number of 0 to {highest}: it went out on the output's own"

    def supervision(self, sent_at: datetime) -> Encoded:
        """Make a heartbeat."""
        return Encoded(encode_heartbeat(self._header))

    def begin(self) -> None:
        """A new connection; an answer is one byte, so nothing can be half read."""

    def feed(self, data: bytes) -> list[bytes]:
        """Cut what came into its bytes."""
        try:
            return [answer.value for answer in read_answers(data)]
        except SurgardError as error:
            raise NotOursError(f"what comes back is not Sur-Gard: {error}") from error

    def read(self, answer: bytes, sent: Encoded) -> Verdict | None:
        """Say what a byte means for the message in flight."""
        if Answer(answer) is Answer.ACK:
            return Verdict(Outcome.CONFIRMED)
        return Verdict(Outcome.REFUSED, "the ARC's software refused it (NAK)")
