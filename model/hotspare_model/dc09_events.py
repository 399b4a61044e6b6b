"""Events in DC-09 messages as real panels send them: ADM-CID and SIA-DCS, read with forgiveness (A10).

What is in no list, or in no form at all, still is an event: its code is what stood there, so that the cloud marks it
and the ARC gets it as a general one with the original as text. Only a message without any data has no event.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from hotspare_model.alarm import CodeFormat
from hotspare_model.contact_id import Qualifier
from hotspare_model.dc09 import Frame, parse_time
from hotspare_model.dc09_adm_cid import ADM_CID, OCCURRED, TEXT
from hotspare_model.dc09_sia_dcs import SIA_DCS

EVENT_IDS = frozenset({ADM_CID, SIA_DCS})
"""Messages that carry events."""

MOST_EVENTS = 32
"""Events of one SIA block; panels send one, some a handful. What follows is kept as one event with its text."""

CODE_LIMIT = 64
"""Characters of a code that is none."""

LINK, LONGITUDE, LATITUDE = "V", "X", "Y"
"""Letters of extended data, beside those of `dc09_adm_cid`."""

LINK_LIMIT = 2048


@dataclass(frozen=True, slots=True)
class PanelEvent:
    """One event as the panel told it. 0 for a partition or zone (or user) that it does not have."""

    code_format: CodeFormat
    code: str
    qualifier: Qualifier = Qualifier.NEW
    partition: int = 0
    zone: int = 0
    text: str = ""
    """Not sanitised."""


@dataclass(frozen=True, slots=True)
class PanelMessage:
    """What a message tells."""

    events: tuple[PanelEvent, ...]
    """In the order of the message; never empty."""
    account: str
    """The account inside the data; empty where there is none."""
    occurred: datetime | None
    """The time of occurrence that the message tells, aware UTC. None: none, or none that can be read."""
    link: str
    latitude: float | None
    longitude: float | None


def read_events(frame: Frame) -> PanelMessage | None:
    """Read the events of an ADM-CID or SIA-DCS message; None when its data is empty. It never fails."""
    account, block = _split(frame.data)
    if not block.strip():
        return None
    events = _contact_id(block) if frame.id_token == ADM_CID else _sia(block)
    told = (frame.first_extended(TEXT) or "").strip()
    if told:
        events = tuple(replace(event, text=_joined(event.text, told)) for event in events)
    return PanelMessage(
        events=events,
        account=account,
        occurred=parse_time(frame.first_extended(OCCURRED) or ""),
        link=_link(frame.first_extended(LINK) or ""),
        latitude=_degrees(frame.first_extended(LATITUDE) or "", 90.0),
        longitude=_degrees(frame.first_extended(LONGITUDE) or "", 180.0),
    )


def _split(data: str) -> tuple[str, str]:
    """The account and what follows it. Some panels leave the account out, some the bar."""
    if not data.startswith("#"):
        return "", data.removeprefix("|")
    account, bar, block = data[1:].partition("|")
    return (account, block) if bar else ("", data)


# --- Contact ID -------------------------------------------------------------------------------------------------------

_CONTACT_ID = re.compile(r"\s*([0-9])([0-9A-F]{3})(?:\s+([0-9]{1,2})(?:\s+([0-9]{1,3}))?|([0-9]{2})([0-9]{3}))?\s*")


def _contact_id(block: str) -> tuple[PanelEvent, ...]:
    found = _CONTACT_ID.fullmatch(block.upper())
    if found is None:
        return (_unread(CodeFormat.CONTACT_ID, block),)
    digit, code = found[1], found[2]
    partition, zone = int(found[3] or found[5] or 0), int(found[4] or found[6] or 0)
    try:
        return (PanelEvent(CodeFormat.CONTACT_ID, code, Qualifier(int(digit)), partition, zone),)
    except ValueError:
        # A digit that is no qualifier: whether it began or ended nobody knows, so a person has to look.
        return (PanelEvent(CodeFormat.CONTACT_ID, digit + code, Qualifier.NEW, partition, zone),)


# --- SIA --------------------------------------------------------------------------------------------------------------

_TOKEN = re.compile(
    r"(?P<modifier>[a-z]{2})(?P<value>[0-9:.-]{0,16})"
    r"|(?P<code>[A-Z]{2})(?P<number>[0-9]{0,4})(?![0-9])"
    r"|\^(?P<name>[^^]*)(?:\^|$)"
    r"|\*(?:'(?P<single>[^']*)'|\"(?P<double>[^\"]*)\"|(?P<bare>[^*/]*?))(?:NM|(?=[*/])|$)"
    r"|[/ ]"
)


@dataclass(slots=True)
class _Place:
    """What the modifiers before a code say; it holds for the codes that follow, until it is told anew."""

    partition: int = 0
    user: int = 0


def _sia(block: str) -> tuple[PanelEvent, ...]:
    first, *others = block.split("|")
    if first[:1] not in ("N", "O"):
        # A block of text alone has no event but itself.
        return (_unread(CodeFormat.SIA, block),)
    events = list(_sia_events(first))
    # A block of text belongs to all that stands before it.
    told = _joined(*(other.removeprefix("A").strip() for other in others))
    return tuple(replace(event, text=_joined(event.text, told)) for event in events)


def _sia_events(block: str) -> Iterator[PanelEvent]:
    place, pending, names = _Place(), None, []
    # `O`: an event that is told late. It is one all the same, and its time stands in its own block.
    position, count = 1, 0
    while position < len(block):
        token = _TOKEN.match(block, position)
        if token is None or count == MOST_EVENTS:
            break
        if token["code"] is not None:
            if pending is not None:
                yield replace(pending, text=_joined(*names))
                names = []
            pending, count = _sia_event(token["code"], token["number"], place), count + 1
        elif token["modifier"] is not None:
            _modify(place, token["modifier"], token["value"])
        else:
            names.append((token["name"] or token["single"] or token["double"] or token["bare"] or "").strip())
        position = token.end()
    if pending is not None:
        yield replace(pending, text=_joined(*names))
    if position < len(block) or pending is None:
        yield _unread(CodeFormat.SIA, block[position:] if pending is not None else block)


def _sia_event(code: str, number: str, place: _Place) -> PanelEvent:
    return PanelEvent(CodeFormat.SIA, code, Qualifier.NEW, place.partition, int(number or 0) or place.user)


def _modify(place: _Place, modifier: str, value: str) -> None:
    number = int(value) if value.isdecimal() and len(value) <= 9 else 0
    match modifier:
        case "ri":
            place.partition = number
        case "id":
            place.user = number
        case _:
            pass


def _unread(code_format: CodeFormat, block: str) -> PanelEvent:
    return PanelEvent(code_format, block.strip()[:CODE_LIMIT], text=block.strip())


# --- Extended data ----------------------------------------------------------------------------------------------------

_DECIMAL = re.compile(r"[+-]?[0-9]{1,3}(?:\.[0-9]{1,12})?")
_MINUTES = re.compile(r"([0-9]{2,3})([NSEW])([0-9]{1,2}(?:\.[0-9]{1,12})?)")


def _degrees(text: str, most: float) -> float | None:
    """Read `093W23.456` (degrees, side, minutes) or decimal degrees; None for anything else."""
    text = text.strip().upper()
    found = _MINUTES.fullmatch(text)
    if found is not None:
        value = int(found[1]) + float(found[3]) / 60
        value = -value if found[2] in "SW" else value
    elif _DECIMAL.fullmatch(text) is not None:
        value = float(text)
    else:
        return None
    return value if abs(value) <= most else None


def _link(text: str) -> str:
    # One that is too long leads nowhere once it is cut.
    return text.strip() if len(text) <= LINK_LIMIT else ""


def _joined(*texts: str) -> str:
    return ", ".join(_different(texts))


def _different(texts: Sequence[str]) -> Iterator[str]:
    seen = set()
    for text in texts:
        if text and text not in seen:
            seen.add(text)
            yield text
