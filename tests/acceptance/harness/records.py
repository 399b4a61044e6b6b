"""What a run leaves for the checker of tests/proof, which judges simulated and real runs alike.

Devices and ARCs write down what they see, the tests what they did. The moves are those of the cloud's log, which
outlives its kills and is written when an epoch is stored; `test_operators.py` compares it with the served history.
"""

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from hotspare_model.group import GroupSettings
from tests.acceptance.harness.book import Received
from tests.proof import facts
from tests.proof.checker import check
from tests.proof.history import History
from tests.proof.limits import Limits

SLACK = 0.5
"""Seconds by which the times of actors may be off: an ARC by pysiaalarm tells after its ACK, on a busy machine late."""
ORDER = ("host", "spare1", "spare2", "spare3")
GROUP = ("north", "default")
"""The one group that is judged: account and sub account."""
SHOWN = 20
"""Violations that are told."""

_MOVE = re.compile(r"^(\S+) WARNING working_changed (.*)$", re.MULTILINE)
_FIELD = re.compile(r"(\w+)=(\S+)")
_IDENTITY = re.compile(r" identity=([0-9A-F]+)/(\d+)")


class Records:
    """The history of one group."""

    def __init__(self) -> None:
        self.history = History()
        self._settings = GroupSettings()
        self._unseen: set[str] = set()
        self._began = time.monotonic()

    def governed_by(self, settings: GroupSettings) -> None:
        """Judge by these settings of the group; those of the defaults until this is called."""
        self._settings = settings

    def published(self, identity: facts.Identity, begun: float, answered: float) -> None:
        """A device was answered."""
        self.history.add(facts.Published(answered, identity, begun))

    def unseen(self, account: str) -> None:
        """Alarms of this account are published by others, whom nobody here sees: it is left out."""
        self._unseen.add(account)

    def received(self, receipt: Received) -> None:
        """An ARC acknowledged an alarm."""
        self.history.add(facts.Received(receipt.at, receipt.arc, receipt.identity, content=str(receipt.event)))

    def set_aside(self, account: str, sequence: int) -> None:
        """An alarm was seen to be set aside (A5): later ones of its device pass it from now on."""
        self.history.add(facts.SetAside(time.monotonic(), (account, sequence)))

    def disturbed(self, role: str, what: str, begin: float, end: float | None = None) -> None:
        """Something was done to a receiver, its ARC or its lines; `end` is now unless it is told."""
        until = time.monotonic() if end is None else end
        self.history.add(facts.Disturbed(begin, role, until, what))

    def operated(self, verb: facts.Verb, to: str = "") -> None:
        """An operator's wish was accepted."""
        self.history.add(facts.Operated(time.monotonic(), verb, to))

    def judge(self, cloud_log: Path, *, at_rest: bool) -> None:
        """Check everything. AssertionError, with the history, when a promise was broken."""
        known = History()
        for fact in (*self.history.facts(), *moves(cloud_log)):
            if not isinstance(fact, facts.Published | facts.Received) or fact.identity[0] not in self._unseen:
                known.add(fact)
        limits = replace(Limits.of(self._settings, slack=SLACK), order=ORDER)
        violations = check(known.facts(), limits, at_rest=at_rest)
        if violations:
            told = [f"{each.rule} at {each.at - self._began:.3f} s: {each.problem}" for each in violations]
            # All of it would be thousands of lines: what happened, and the alarms that the violations name.
            lines = [line for line in known.lines(self._began) if _is_told(line, "\n".join(told))]
            raise AssertionError("\n".join(("promises were broken:", *told[:SHOWN], "the history:", *lines)))


def moves(cloud_log: Path) -> Iterator[facts.EpochBegan]:
    """The epochs that a cloud told in its log."""
    if not cloud_log.exists():
        return
    offset = time.monotonic() - time.time()
    found: list[tuple[str, dict[str, str]]] = [
        (match[1], dict(_FIELD.findall(match[2]))) for match in _MOVE.finditer(cloud_log.read_text("utf-8"))
    ]
    # Other sub accounts are groups of their own.
    found = [(at, line) for at, line in found if (line["arc_id"], line["sub_account"]) == GROUP]
    # One that worked alone before it had a role (G7) is told with its role later.
    roles = {line["to"]: line["role"].lower().replace("_", "") for _, line in found if line["role"] != "-"}
    for at, fields in found:
        yield facts.EpochBegan(
            at=datetime.fromisoformat(at).timestamp() + offset,
            epoch=int(fields["epoch"]),
            receiver=roles.get(fields["to"], fields["to"]),
            why=facts.Why[fields["reason"]],
            gap=float(fields["gap_seconds"]),
        )


def _is_told(line: str, violations: str) -> bool:
    identity = _IDENTITY.search(line)
    return identity is None or f"('{identity[1]}', {identity[2]})" in violations
