"""What an alarm panel in a small shop or a house reports, made up but as it would be."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from hotspare_model.contact_id import Qualifier

PARTITION = 1
USERS = 5


@dataclass(frozen=True)
class Occurrence:
    """One event of a panel."""

    qualifier: Qualifier
    code: str
    """EEE of Contact ID."""
    zone: int
    """Zone or, for openings and closings, user."""
    text: str
    partition: int = PARTITION


@dataclass(frozen=True)
class Trouble:
    """A condition that begins and, some time later, ends."""

    code: str
    zone: int
    text: str


BURGLARY = (
    Trouble("134", 1, "Front door"),
    Trouble("131", 2, "Window, ground floor"),
    Trouble("132", 3, "Motion detector, hall"),
    Trouble("132", 4, "Motion detector, office"),
    Trouble("131", 5, "Back door"),
    Trouble("133", 6, "Safe"),
)
DANGER = (
    Trouble("110", 11, "Manual call point, corridor"),
    Trouble("111", 12, "Smoke detector, kitchen"),
    Trouble("120", 13, "Panic button, counter"),
    Trouble("151", 14, "Gas detector, boiler room"),
    Trouble("154", 15, "Water sensor, cellar"),
)
TECHNICAL = (
    Trouble("137", 0, "Lid of the control unit"),
    Trouble("144", 3, "Lid of the motion detector, hall"),
    Trouble("301", 0, "Mains power"),
    Trouble("302", 0, "Battery"),
    Trouble("384", 4, "Battery of the motion detector, office"),
    Trouble("321", 0, "Sounder"),
)

OFTEN = (("access", 30), ("burglary", 25), ("danger", 8), ("technical", 17), ("test", 20))
"""What happens, and how often of a hundred."""


class Panel:
    """Remembers whether it is armed and what is wrong, so that restores follow what they restore."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._armed = random.random() < 0.5
        self._present: list[Trouble] = []

    def next(self) -> Occurrence:
        """What happens next."""
        if self._present and self._random.random() < 0.3 + 0.1 * len(self._present):
            return self._ends()
        match self._random.choices(("access", "burglary", "danger", "technical", "test"), (30, 25, 8, 17, 20))[0]:
            case "access":
                return self._access()
            case "burglary":
                return self._begins(BURGLARY)
            case "danger":
                return self._begins(DANGER)
            case "technical":
                return self._begins(TECHNICAL)
            case _:
                return Occurrence(Qualifier.NEW, "602", 0, "Periodic test", partition=0)

    def _access(self) -> Occurrence:
        user = self._random.randint(1, USERS)
        self._armed = not self._armed
        # DC-05: an opening (disarming) is the new event, a closing (arming) its restore.
        qualifier = Qualifier.RESTORE if self._armed else Qualifier.NEW
        return Occurrence(qualifier, "401", user, f"{'Armed' if self._armed else 'Disarmed'} by user {user}")

    def _begins(self, kinds: Sequence[Trouble]) -> Occurrence:
        trouble = self._random.choice(kinds)
        if trouble in self._present:
            return Occurrence(Qualifier.STATUS, trouble.code, trouble.zone, f"{trouble.text}: still")
        self._present.append(trouble)
        return Occurrence(Qualifier.NEW, trouble.code, trouble.zone, trouble.text)

    def _ends(self) -> Occurrence:
        trouble = self._present.pop(self._random.randrange(len(self._present)))
        return Occurrence(Qualifier.RESTORE, trouble.code, trouble.zone, f"{trouble.text}: restored")
