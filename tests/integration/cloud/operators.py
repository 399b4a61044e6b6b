"""What operators ask of a group, through one of its receivers, and the history that they read."""

from typing import Any
from uuid import uuid4

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from hotspare.v1 import group_pb2, role_service_pb2
from hotspare_rpc.credentials import operator_metadata
from tests.integration.cloud.helpers import DEADLINE, until_asked
from tests.integration.cloud.receivers import Receiver

Line = group_pb2.Transition

MOVE = group_pb2.TRANSITION_KIND_MOVE
NOBODY_LEFT = group_pb2.TRANSITION_KIND_NOBODY_LEFT
PAUSED = group_pb2.TRANSITION_KIND_PAUSED
RESUMED = group_pb2.TRANSITION_KIND_RESUMED
SETTINGS_CHANGED = group_pb2.TRANSITION_KIND_SETTINGS_CHANGED
DUPLICATE_REFUSED = group_pb2.TRANSITION_KIND_DUPLICATE_REFUSED
HELD_BACK = group_pb2.TRANSITION_KIND_HELD_BACK
REFUSED = group_pb2.TRANSITION_KIND_REFUSED
SWITCHOVER_ASKED = group_pb2.TRANSITION_KIND_SWITCHOVER_ASKED
PIN_ENDED = group_pb2.TRANSITION_KIND_PIN_ENDED
WORKS_AGAIN = group_pb2.TRANSITION_KIND_WORKS_AGAIN


class Operator:
    """An operator at a receiver of the group."""

    def __init__(self, receiver: Receiver, name: str = "olga") -> None:
        self.receiver = receiver
        self.name = name

    async def call(self, method: str, **fields: Any) -> Any:
        """Call a method of RoleService."""
        request = getattr(role_service_pb2, f"{method}Request")(**fields)
        metadata = (*self.receiver.metadata, *operator_metadata(self.name))
        return await getattr(self.receiver.roles, method)(request, metadata=metadata, timeout=DEADLINE)

    async def switch(self, to: Receiver | None = None, *, request_id: str = "", **fields: Any) -> Any:
        """Ask for a switchover, and return the group as the move begins."""
        target = {"receiver_id": to.receiver_id} if to is not None else {}
        answer = await self.call("Switchover", request_id=request_id or str(uuid4()), **target, **fields)
        return answer.group

    async def pause(self, detail: str = "") -> Any:
        """Pause automatic moves."""
        return (await self.call("PauseFailover", detail=detail)).group

    async def resume(self, detail: str = "") -> Any:
        """Resume them."""
        return (await self.call("ResumeFailover", detail=detail)).group

    async def group(self) -> Any:
        """The group as it is."""
        return (await self.call("ListMembers")).group

    async def member(self, receiver: Receiver) -> Any:
        """A member as it is."""
        members = (await self.call("ListMembers")).members
        return next(each for each in members if each.receiver.receiver_id == receiver.receiver_id)

    async def history(self, **fields: Any) -> list[Line]:
        """A page of the history, newest first."""
        return list((await self.call("ListTransitions", **fields)).transitions)

    async def lines(self, *kinds: int) -> list[Line]:
        """The lines of these kinds, oldest first."""
        return [line for line in reversed(await self.history(page_size=1000)) if line.kind in kinds]

    async def moves(self) -> list[tuple[str, str, str]]:
        """Why, from whom and to whom the work moved, oldest first; receivers by their ids."""
        return [(why(line), line.from_receiver_id, line.to_receiver_id) for line in await self.lines(MOVE)]

    async def until_line(self, kind: int, count: int = 1) -> Line:
        """Wait until the history has so many lines of a kind, and return the newest of them."""

        async def ask() -> list[Line]:
            return await self.lines(kind)

        found: list[Line] = await until_asked(ask, lambda lines: len(lines) >= count, "the history has the line")
        return found[-1]

    async def settings(self) -> Any:
        """The settings of the group."""
        return (await self.call("GetGroupSettings")).settings

    async def set(self, etag: str = "", **values: Any) -> Any:
        """Change settings; numbers of spans are seconds."""
        told: dict[str, Any] = {
            name: _duration(value) if isinstance(value, float) else value for name, value in values.items()
        }
        answer = await self.call(
            "UpdateGroupSettings",
            settings=group_pb2.GroupSettings(etag=etag, **told),
            update_mask=FieldMask(paths=list(values)),
        )
        return answer.settings


def why(line: Line) -> str:
    """The reason of a move."""
    return group_pb2.TransitionReason.Name(line.reason).removeprefix("TRANSITION_REASON_")


def _duration(seconds: float) -> Duration:
    message = Duration()
    message.FromMicroseconds(round(seconds * 1e6))
    return message
