"""One list of event codes for another: Contact ID to SIA and back, as far as both have a word for it (A10).

What the other list has no code for goes out as a general event of its kind, or of none, with the original as text.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from hotspare_model.alarm import Alarm, CodeFormat
from hotspare_model.contact_id import Qualifier
from hotspare_model.event_codes import GENERIC_CODE, Forwarded, to_forward
from hotspare_model.sia_catalogue import OF_CONTACT_ID, SIA_ONLY

GENERIC_SIA = ("UA", "UR")
"""Alarm of no told kind, and its end."""

_GENERAL = {
    "10": ("MA", "MR"),
    "11": ("FA", "FR"),
    "12": ("PA", "PR"),
    "13": ("BA", "BR"),
    "20": ("FS", "FV"),
    "30": ("UT", "UJ"),
    "31": ("UT", "UJ"),
    "32": ("UT", "UJ"),
    "33": ("UT", "UJ"),
    "34": ("UT", "UJ"),
    "35": ("UT", "UJ"),
    "36": ("UT", "UJ"),
    "37": ("UT", "UJ"),
    "38": ("UT", "UJ"),
    "39": ("UT", "UJ"),
    "50": ("UB", "UU"),
    "52": ("UB", "UU"),
    "55": ("UB", "UU"),
    "57": ("UB", "UU"),
}
"""By the first two digits of a Contact ID code that SIA has no code for: codes of the same kind."""


@dataclass(frozen=True, slots=True)
class SiaForwarded:
    """The SIA code that goes to the ARC for an alarm."""

    code: str
    original: str | None = None
    """The code as the device sent it, when the one above does not say the same: raw text, to be sanitised."""


def _pairs() -> Iterator[tuple[str, str]]:
    """SIA codes with the one that ends each; empty where there is none."""
    for codes in (*OF_CONTACT_ID.values(), *(code for names in SIA_ONLY.values() for code in names)):
        begins, _, ends = codes.partition(" ")
        yield begins, ends


def _contact_ids() -> Iterator[tuple[str, tuple[str, bool]]]:
    for contact_id, codes in OF_CONTACT_ID.items():
        begins, _, ends = codes.partition(" ")
        yield begins, (contact_id, False)
        if ends:
            yield ends, (contact_id, True)


_END_OF = {begins: ends for begins, ends in _pairs() if ends}
_SIA_CODES = frozenset(code for pair in _pairs() for code in pair if code)
_CONTACT_ID_OF = dict(reversed(tuple(_contact_ids())))
"""SIA code -> Contact ID code, and whether it is the end of that."""


def to_contact_id(alarm: Alarm) -> Forwarded:
    """Decide which Contact ID event is forwarded for an alarm; it never fails."""
    if alarm.code_format is CodeFormat.CONTACT_ID:
        return to_forward(alarm.qualifier, alarm.code)
    known = _CONTACT_ID_OF.get(alarm.code)
    if known is None:
        return Forwarded(alarm.qualifier, GENERIC_CODE, alarm.code)
    code, ends = known
    return Forwarded(Qualifier.RESTORE if ends else alarm.qualifier, code)


def to_sia(alarm: Alarm) -> SiaForwarded:
    """Decide which SIA event is forwarded for an alarm; it never fails."""
    ends = alarm.qualifier is Qualifier.RESTORE
    if alarm.code_format is CodeFormat.CONTACT_ID:
        return _of_contact_id(alarm.qualifier, alarm.code)
    if alarm.code not in _SIA_CODES:
        return SiaForwarded(GENERIC_SIA[ends], alarm.code)
    if ends and alarm.code in _END_OF:
        return SiaForwarded(_END_OF[alarm.code])
    return SiaForwarded(alarm.code)


def _of_contact_id(qualifier: Qualifier, code: str) -> SiaForwarded:
    ends = qualifier is Qualifier.RESTORE
    begins, _, end = OF_CONTACT_ID.get(code, "").partition(" ")
    exact = end if ends else begins
    if exact:
        return SiaForwarded(exact)
    known = not to_forward(qualifier, code).replaced
    general = _GENERAL.get(code[:2], GENERIC_SIA) if known else GENERIC_SIA
    return SiaForwarded(general[ends], f"{qualifier:d}{code}")
