"""One list of event codes for another: Contact ID to SIA and back, as far as both have a word for it (A10).

The definitions of the group say which codes belong together; what they leave open the catalogue says. What the other
list has no code for goes out as a general event of its kind, or of none, with the original as text.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from hotspare_model.alarm import Alarm, CodeFormat
from hotspare_model.contact_id import Qualifier, is_event_code
from hotspare_model.event_codes import GENERIC_CODE, Forwarded, find, to_forward
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

_SIA_CODE = re.compile(r"[A-Z]{2}")


@dataclass(frozen=True, slots=True)
class SiaForwarded:
    """The SIA code that goes to the ARC for an alarm."""

    code: str
    original: str | None = None
    """The code as the device sent it, when the one above does not say the same: raw text, to be sanitised."""

    @property
    def replaced(self) -> bool:
        """Whether the ARC gets something else than the device sent."""
        return self.original is not None


@dataclass(frozen=True, slots=True)
class Definition:
    """What an event record of the group says of its codes; empty where it has none."""

    contact_id_code: str = ""
    sia_code: str = ""
    sia_restore_code: str = ""
    forwarded: bool = True

    @property
    def event_id(self) -> str:
        """The id of its record."""
        return self.contact_id_code or f"SIA-{self.sia_code}"


class CodeBook:
    """The definitions of a group, looked up by the codes of alarms.

    A SIA code may stand in several definitions. Its own is the record without a Contact ID code, else the first, by
    Contact ID code, that begins with it, else that of the code which it ends.
    """

    def __init__(self, definitions: Iterable[Definition] = ()) -> None:
        """Codes that no wire can carry are left out: a copy may come from a version that drew them otherwise."""
        known = sorted(map(_checked, definitions), key=lambda definition: definition.event_id)
        self._by_contact_id = {one.contact_id_code: one for one in known if one.contact_id_code}
        begins = {one.sia_code: one for one in reversed(known) if one.sia_code}
        alone = {one.sia_code: one for one in known if one.sia_code and not one.contact_id_code}
        # An end goes as its beginning does.
        ends = {one.sia_restore_code: alone.get(one.sia_code, one) for one in reversed(known) if one.sia_restore_code}
        self._by_sia: Mapping[str, Definition] = {**ends, **begins, **alone}
        paired = [one for one in (*reversed(known), *alone.values()) if one.sia_code and one.sia_restore_code]
        self._end_of: Mapping[str, str] = {**_END_OF, **{one.sia_code: one.sia_restore_code for one in paired}}
        both = [one for one in reversed(known) if one.contact_id_code]
        self._contact_id_of: Mapping[str, tuple[str, bool]] = {
            **_CONTACT_ID_OF,
            **{one.sia_restore_code: (one.contact_id_code, True) for one in both if one.sia_restore_code},
            **{one.sia_code: (one.contact_id_code, False) for one in both if one.sia_code},
        }

    def definition_of(self, alarm: Alarm) -> Definition | None:
        """The group's definition of an alarm's code, whether it begins or ends. None: the group has none."""
        by = self._by_contact_id if alarm.code_format is CodeFormat.CONTACT_ID else self._by_sia
        return by.get(alarm.code)

    def to_contact_id(self, alarm: Alarm) -> Forwarded:
        """Decide which Contact ID event is forwarded for an alarm; it never fails."""
        if alarm.code_format is CodeFormat.CONTACT_ID:
            return to_forward(alarm.qualifier, alarm.code, self._by_contact_id)
        known = self._contact_id_of.get(alarm.code)
        if known is None:
            return Forwarded(alarm.qualifier, GENERIC_CODE, alarm.code)
        code, ends = known
        return Forwarded(Qualifier.RESTORE if ends else alarm.qualifier, code)

    def to_sia(self, alarm: Alarm) -> SiaForwarded:
        """Decide which SIA event is forwarded for an alarm; it never fails."""
        ends = alarm.qualifier is Qualifier.RESTORE
        if alarm.code_format is CodeFormat.CONTACT_ID:
            return self._of_contact_id(alarm.qualifier, alarm.code)
        if alarm.code not in _SIA_CODES and alarm.code not in self._by_sia:
            return SiaForwarded(GENERIC_SIA[ends], alarm.code)
        return SiaForwarded(self._end_of.get(alarm.code, alarm.code) if ends else alarm.code)

    def _of_contact_id(self, qualifier: Qualifier, code: str) -> SiaForwarded:
        ends = qualifier is Qualifier.RESTORE
        begins, _, end = OF_CONTACT_ID.get(code, "").partition(" ")
        own = self._by_contact_id.get(code)
        if own is not None and own.sia_code:
            # Without a code for its end one that begins would be sent as new: SIA has no qualifier.
            begins, end = own.sia_code, own.sia_restore_code or self._end_of.get(own.sia_code, "")
        exact = end if ends else begins
        if exact:
            return SiaForwarded(exact)
        known = not to_forward(qualifier, code, self._by_contact_id).replaced
        general = _GENERAL.get(code[:2], GENERIC_SIA) if known else GENERIC_SIA
        return SiaForwarded(general[ends], f"{qualifier:d}{code}")


def is_listed(code_format: int, code: str) -> bool:
    """Whether a code is in the table of its format, a number of `CodeFormat`: what is not goes out as a generic event,
    unless the group has a definition of its own for it."""
    return find(code) is not None if code_format == CodeFormat.CONTACT_ID else code in _SIA_CODES


def _checked(definition: Definition) -> Definition:
    """A definition with those of its codes that a wire can carry."""
    begins, ends = (
        code if _SIA_CODE.fullmatch(code) else "" for code in (definition.sia_code, definition.sia_restore_code)
    )
    contact_id = definition.contact_id_code if is_event_code(definition.contact_id_code) else ""
    return Definition(contact_id, begins, ends, definition.forwarded)


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

CATALOGUE_ALONE = CodeBook()
"""What is known without any definition of a group."""
