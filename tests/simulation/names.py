"""What the parties of the simulation are called: in the code under test, and in the history."""

from hotspare_model.group import Role

ARC_ID = "north"
ARC_KEY = "k" * 43
SUB_ACCOUNT = "default"
GROUP_ID = 1
OUTPUT = "arc"
PLENTY = 10**12
"""Bytes that are free on every disk."""


def receiver_id(role: Role) -> str:
    """The id of the receiver in a role."""
    return f"00000000-0000-4000-8000-00000000000{int(role)}"


def name_of(receiver_id: str) -> str:
    """A receiver's name in the history."""
    return f"r{receiver_id[-1]}"


def incarnation(role: Role, start: int) -> str:
    """The incarnation of a start, which can be read."""
    return f"00000000-{start:04x}-4000-8000-00000000000{int(role)}"


def run_name(incarnation: str) -> str:
    """What a process is called in the history."""
    return f"r{incarnation[-1]}.{int(incarnation[9:13], 16)}"
