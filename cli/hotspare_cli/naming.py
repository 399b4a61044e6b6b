"""What people call the receivers of a group: `spare1 beta`, in text that can't steer a terminal (S4)."""

from collections.abc import Iterable

from hotspare.v1.group_pb2 import Member, Role
from hotspare_cli.words import role_word
from hotspare_rpc.text import printable

_LONGEST_NAME = 256


def called(member: Member) -> str:
    """Role and name of a member; its id stands in for a name that it does not have."""
    receiver = member.receiver
    name = _shown(receiver.name or receiver.receiver_id)
    return f"{name} (no role)" if member.role == Role.ROLE_UNSPECIFIED else f"{role_word(member.role)} {name}"


class Names:
    """What the receivers of a group are called, by their ids."""

    def __init__(self, members: Iterable[Member]) -> None:
        self._members = {member.receiver.receiver_id: member for member in members}

    def of(self, receiver_id: str) -> str:
        """Role and name; the id itself for one that is no member, or not any more."""
        member = self._members.get(receiver_id)
        return called(member) if member is not None else _shown(receiver_id)

    def alone(self, receiver_id: str) -> str:
        """The name without the role that it has now; else as `of`."""
        member = self._members.get(receiver_id)
        return _shown((member.receiver.name if member is not None else "") or receiver_id)


def _shown(name: str) -> str:
    return printable(name, _LONGEST_NAME)
