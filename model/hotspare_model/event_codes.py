"""Which Contact ID event codes we know, and what is forwarded for those that we don't (A10)."""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from hotspare_model.contact_id import Qualifier, is_event_code
from hotspare_model.event_catalogue import NAMES


class Severity(Enum):
    """How an operator of an ARC sorts events."""

    ALARM = "alarm"
    """People or property may be in danger."""
    SUPERVISORY = "supervisory"
    """A part of the fire protection is not in its normal state."""
    TROUBLE = "trouble"
    """The system itself has a fault."""
    OPEN_CLOSE = "open_close"
    """Armed or disarmed, also by exception."""
    BYPASS = "bypass"
    """Something is left out on purpose."""
    TEST = "test"
    """A test, also the periodic one."""
    INFO = "info"
    """For the record."""


@dataclass(frozen=True)
class EventCode:
    """One code of the catalogue."""

    code: str
    """EEE."""
    name: str
    """Short, in English, of the condition; the qualifier tells whether it began or ended."""
    severity: Severity


GENERIC_CODE = "140"
"""General alarm: what an unknown code is forwarded as (A10)."""

CATALOGUE: Mapping[str, EventCode] = MappingProxyType(
    {
        code: EventCode(code, name, Severity(severity))
        for severity, names in NAMES.items()
        for code, name in names.items()
    }
)
"""All known codes by EEE. Source: the code lists of SIA DC-05, with 399 (a take-over) and some of makers."""


def find(code: str) -> EventCode | None:
    """Return the catalogue's entry of EEE, or None."""
    return CATALOGUE.get(code)


@dataclass(frozen=True)
class Forwarded:
    """The qualifier and code that go to the ARC for an alarm."""

    qualifier: Qualifier
    code: str
    original: str | None = None
    """`QEEE` as the device sent it, when it had to be replaced: raw text, to be sanitised like any other."""

    @property
    def replaced(self) -> bool:
        """Whether the ARC gets something else than the device sent."""
        return self.original is not None


def to_forward(qualifier: int, code: str, also_known: Container[str] = ()) -> Forwarded:
    """Decide what is forwarded for an alarm's qualifier and code (A10); it never fails.

    A code is known when the catalogue or `also_known` (the group's own events) has it and the wire can carry
    it; any other becomes GENERIC_CODE. A qualifier that DC-05 does not have becomes NEW, so that a person
    looks at it.
    """
    known = is_event_code(code) and (code in CATALOGUE or code in also_known)
    try:
        valid = Qualifier(qualifier)
    except ValueError:
        return Forwarded(Qualifier.NEW, code if known else GENERIC_CODE, f"{qualifier:d}{code}")
    if known:
        return Forwarded(valid, code)
    return Forwarded(valid, GENERIC_CODE, f"{qualifier:d}{code}")
