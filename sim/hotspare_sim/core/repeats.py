"""Which messages came before: the same account and sequence within the last ones of that account."""

from collections import deque

MEMORY = 5000
"""Messages remembered an account: well below the 9999 sequences after which the numbers begin anew (A6)."""


class Repeats:
    """Remembers the newest messages of each account."""

    def __init__(self, memory: int = MEMORY) -> None:
        self._memory = memory
        self._order: dict[str, deque[int]] = {}
        self._known: dict[str, set[int]] = {}

    def saw(self, account: str, sequence: int) -> bool:
        """Take one message; tell whether it came before."""
        known = self._known.setdefault(account, set())
        if sequence in known:
            return True
        order = self._order.setdefault(account, deque())
        order.append(sequence)
        known.add(sequence)
        if len(order) > self._memory:
            known.discard(order.popleft())
        return False
