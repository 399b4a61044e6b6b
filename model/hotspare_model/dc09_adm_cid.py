"""Alarms as ADM-CID messages of DC-09: Contact ID events with the time of occurrence and a text."""

import re
from dataclasses import dataclass
from datetime import datetime

from hotspare_model.contact_id import ContactId
from hotspare_model.dc09 import Frame, format_time, parse_time
from hotspare_model.dc09_errors import MalformedError
from hotspare_model.dc09_text import Charset, sanitise

ADM_CID = "ADM-CID"
OCCURRED = "H"
"""Letter of the extended data with the time of occurrence."""
TEXT = "I"
"""Letter of the extended data with a text."""

_DATA = re.compile(r"(?:#([^|]*))?\|?([^|]*)")


@dataclass(frozen=True)
class AdmCid:
    """What an ADM-CID message tells."""

    account: str | None
    """As in its data, or else as in its header."""
    contact_id: ContactId
    occurred: datetime | None
    """None when the message has no time of occurrence, or one that is none (A10)."""
    text: str | None


def adm_cid_frame(
    *,
    account: str,
    contact_id: ContactId,
    sequence: int,
    sent_at: datetime,
    receiver: str | None = None,
    line: str | None = None,
    occurred: datetime | None = None,
    text: str | None = None,
    charset: Charset = Charset.WINDOWS_1252,
    encrypted: bool = False,
) -> Frame:
    """Make the message of one alarm (A6): its time is that of sending, that of occurrence has its own block.

    `text` is sanitised; who wants to know whether that altered it calls `sanitise` before. Some receivers
    refuse a message with two blocks, as one with both `occurred` and `text` has.

    Raises EncodeError when `occurred` has no zone or no UTC time.
    """
    extended = []
    if occurred is not None:
        extended.append((OCCURRED, format_time(occurred)))
    if text:
        extended.append((TEXT, sanitise(text, charset=charset).text))
    return Frame(
        id_token=ADM_CID,
        sequence=sequence,
        receiver=receiver,
        line=line,
        account=account,
        encrypted=encrypted,
        data=f"#{account}|{contact_id}",
        extended=tuple(extended),
        timestamp=sent_at,
    )


def read_adm_cid(frame: Frame) -> AdmCid:
    """Read an ADM-CID message. Raises MalformedError for another message, ContactIdError for a bad event."""
    match = _DATA.fullmatch(frame.data) if frame.id_token == ADM_CID else None
    if match is None:
        raise MalformedError("the data is not that of an ADM-CID message", header=frame)
    occurred = frame.first_extended(OCCURRED)
    return AdmCid(
        account=match[1] or frame.account,
        contact_id=ContactId.parse(match[2]),
        occurred=None if occurred is None else parse_time(occurred),
        text=frame.first_extended(TEXT),
    )
