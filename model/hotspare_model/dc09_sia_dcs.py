"""Alarms as SIA-DCS messages of DC-09: events in the code list and block form of SIA DC-03."""

import re
from dataclasses import dataclass
from datetime import datetime

from hotspare_model.dc09 import Frame, format_time, parse_time
from hotspare_model.dc09_adm_cid import OCCURRED, TEXT
from hotspare_model.dc09_errors import EncodeError, MalformedError

SIA_DCS = "SIA-DCS"
HIGHEST_ZONE = 9999
"""Also of users: which of both the number is, follows from the code."""

_CODE = re.compile(r"[A-Z]{2}")
_EVENT = re.compile(r"N(?:ri([0-9]{1,2}))?/?([A-Z]{2})([0-9]{1,4})?")


@dataclass(frozen=True, slots=True)
class SiaEvent:
    """One event. 0 for a partition or zone that it does not have."""

    code: str
    partition: int = 0
    zone: int = 0

    def __str__(self) -> str:
        area = f"ri{self.partition}/" if self.partition else ""
        return f"N{area}{self.code}" + (f"{self.zone:03d}" if self.zone else "")


@dataclass(frozen=True, slots=True)
class SiaDcs:
    """What an SIA-DCS message tells; times and text as in `dc09_adm_cid.AdmCid`."""

    account: str | None
    event: SiaEvent
    occurred: datetime | None
    text: str | None


def sia_dcs_frame(
    *,
    account: str,
    event: SiaEvent,
    sequence: int,
    sent_at: datetime,
    receiver: str | None = None,
    line: str | None = None,
    occurred: datetime | None = None,
    encrypted: bool = False,
) -> Frame:
    """Make the message of one alarm (A6), as `dc09_adm_cid.adm_cid_frame` does.

    Raises EncodeError for a code that is not two letters, and for a time without zone.
    """
    if _CODE.fullmatch(event.code) is None:
        raise EncodeError(f"an SIA code is two letters, got {event.code[:16]!a}")
    return Frame(
        id_token=SIA_DCS,
        sequence=sequence,
        receiver=receiver,
        line=line,
        account=account,
        encrypted=encrypted,
        data=f"#{account}|{event}",
        extended=() if occurred is None else ((OCCURRED, format_time(occurred)),),
        timestamp=sent_at,
    )


def read_sia_dcs(frame: Frame) -> SiaDcs:
    """Read an SIA-DCS message with one event, in the form that we send. Raises MalformedError for any other."""
    if frame.id_token != SIA_DCS:
        raise MalformedError("the message is not SIA-DCS", header=frame)
    account, _, block = frame.data.removeprefix("#").partition("|")
    match = _EVENT.fullmatch(block)
    if match is None:
        raise MalformedError("the data is not that of an SIA-DCS message with one event", header=frame)
    occurred = frame.first_extended(OCCURRED)
    return SiaDcs(
        account=account or frame.account,
        event=SiaEvent(match[2], int(match[1] or 0), int(match[3] or 0)),
        occurred=None if occurred is None else parse_time(occurred),
        text=frame.first_extended(TEXT),
    )
