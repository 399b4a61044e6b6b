"""Contact ID events (SIA DC-05): qualifier, event code, partition, zone or user."""

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Self


class ContactIdError(ValueError):
    """This is no Contact ID event."""


class Qualifier(IntEnum):
    """What happened to the condition that the event code names (the Q of DC-05)."""

    NEW = 1
    """It began; for open/close codes: an opening (disarmed)."""
    RESTORE = 3
    """It ended; for open/close codes: a closing (armed)."""
    STATUS = 6
    """It was reported before and is still there."""


# DC-05 has no A: on the telephone line that tone means 0.
_EVENT_CODE = re.compile(r"[0-9B-F]{3}")
_CODE = re.compile(r"([0-9])([0-9A-Z]{3})")
_EVENT = re.compile(r"(\S+) +([0-9]{2}) +([0-9]{3})")


def is_event_code(text: str) -> bool:
    """Tell whether `text` can stand as EEE on the wire: three characters of 0-9 and B-F, upper case."""
    return _EVENT_CODE.fullmatch(text) is not None


def parse_code(text: str) -> tuple[Qualifier, str]:
    """Read `QEEE`, for example `1130`, in either case. Raises ContactIdError."""
    match = _CODE.fullmatch(text.strip().upper())
    if match is None:
        raise ContactIdError(f"expected QEEE, a qualifier and three characters of code, got {_shown(text)}")
    try:
        qualifier = Qualifier(int(match[1]))
    except ValueError:
        raise ContactIdError(f"qualifier {match[1]} is none of 1 (new), 3 (restore) and 6 (status)") from None
    if not is_event_code(match[2]):
        raise ContactIdError(f"event code {match[2]} has characters other than 0-9 and B-F")
    return qualifier, match[2]


@dataclass(frozen=True)
class ContactId:
    """One event. Raises ContactIdError when a field does not fit the wire."""

    qualifier: Qualifier
    code: str
    """EEE: three characters of 0-9 and B-F."""
    partition: int = 0
    """GG: 0 to 99; 0 when the event belongs to no partition."""
    zone: int = 0
    """CCC: 0 to 999, the zone or (open/close and the like) the user; 0 for none."""

    def __post_init__(self) -> None:
        if not is_event_code(self.code):
            raise ContactIdError(f"an event code is three characters of 0-9 and B-F, got {_shown(self.code)}")
        if not 0 <= self.partition <= 99:
            raise ContactIdError(f"partition {self.partition} is outside 0 to 99")
        if not 0 <= self.zone <= 999:
            raise ContactIdError(f"zone {self.zone} is outside 0 to 999")

    @classmethod
    def from_code(cls, text: str, partition: int = 0, zone: int = 0) -> Self:
        """Make an event of `QEEE` and its place. Raises ContactIdError."""
        qualifier, code = parse_code(text)
        return cls(qualifier, code, partition, zone)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `QEEE GG CCC`, the form inside DC-09's ADM-CID data. Raises ContactIdError."""
        match = _EVENT.fullmatch(text.strip(" "))
        if match is None:
            raise ContactIdError(f"expected QEEE GG CCC, as in 1130 01 015, got {_shown(text)}")
        return cls.from_code(match[1], int(match[2]), int(match[3]))

    @property
    def qualified_code(self) -> str:
        """`QEEE`."""
        return f"{self.qualifier:d}{self.code}"

    def __str__(self) -> str:
        """`QEEE GG CCC`, what `parse` reads."""
        return f"{self.qualified_code} {self.partition:02d} {self.zone:03d}"


def _shown(text: str) -> str:
    """Show foreign text in a message: escaped and short, since anybody may have sent it (S4)."""
    return ascii(text if len(text) <= 40 else text[:40] + "...")
