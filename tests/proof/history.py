"""The history of a run: facts of all actors, in the order of time, as text that a person can read."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, fields

from tests.proof.facts import Fact, Note


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken."""

    at: float
    rule: str
    problem: str

    def __str__(self) -> str:
        return f"{self.rule} at {self.at:.3f} s: {self.problem}"


class History:
    """Facts, in the order in which they were added. Actors may add from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._facts: list[Fact] = []

    def add(self, fact: Fact) -> None:
        """Write a fact down."""
        with self._lock:
            self._facts.append(fact)

    def facts(self) -> list[Fact]:
        """All so far."""
        with self._lock:
            return list(self._facts)

    def lines(self, begin: float = 0.0) -> Iterator[str]:
        """The history as text, in the order of time: seconds since `begin`, who, what."""
        for fact in sorted(self.facts(), key=lambda each: each.at):
            yield line(fact, begin)


def line(fact: Fact, begin: float = 0.0) -> str:
    """A fact as text."""
    if isinstance(fact, Note):
        actor, what, details = fact.actor, fact.what, dict(fact.details)
    else:
        # What is as always says nothing.
        told = [field for field in fields(fact) if field.name != "at" and getattr(fact, field.name) != field.default]
        details = {field.name: getattr(fact, field.name) for field in told}
        what = type(fact).__name__
        actor = str(details.pop("incarnation", "") or details.get("receiver", ""))
    text = " ".join(f"{name}={_text(value)}" for name, value in details.items())
    return f"{fact.at - begin:9.4f}  {actor:<12} {what:<22} {text}".rstrip()


def _text(value: object) -> str:
    match value:
        case float():
            return f"{value:.3f}"
        case (str() as account, int() as sequence):
            return f"{account}/{sequence}"
        case tuple() | list():
            return "[" + ",".join(_text(each) for each in value) + "]"
        case _:
            return str(getattr(value, "name", value))
