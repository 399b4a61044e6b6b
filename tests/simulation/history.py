"""What happened, in the order in which it did, for people who look for the cause of a violation."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Note:
    """One thing that happened."""

    time: float
    actor: str
    kind: str
    details: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken."""

    time: float
    rule: str
    problem: str

    def __str__(self) -> str:
        return f"{self.rule} at {self.time:.3f} s: {self.problem}"


class History:
    """All notes, and the first violation."""

    def __init__(self) -> None:
        self.notes: list[Note] = []
        self.violation: Violation | None = None
        self.error: BaseException | None = None
        """For a defect: what was raised."""

    def note(self, time: float, actor: str, kind: str, details: Mapping[str, object]) -> None:
        """Write something down."""
        self.notes.append(Note(time, actor, kind, details))

    def violated(self, time: float, rule: str, problem: str) -> None:
        """Write down that a promise was broken; the first one counts."""
        if self.violation is None:
            self.violation = Violation(time, rule, problem)
            self.note(time, "checker", "VIOLATION", {"rule": rule, "problem": problem})

    def lines(self) -> Iterator[str]:
        """The history as text: true time, who, what."""
        for note in self.notes:
            details = " ".join(f"{key}={_text(value)}" for key, value in note.details.items())
            yield f"{note.time:9.4f}  {note.actor:<12} {note.kind:<22} {details}"


def _text(value: object) -> str:
    match value:
        case float():
            return f"{value:.3f}"
        case tuple() | list():
            return "[" + ",".join(_text(each) for each in value) + "]"
        case _:
            return str(value)
