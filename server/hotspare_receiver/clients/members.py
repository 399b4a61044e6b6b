"""The group as the cloud tells it, followed for as long as this receiver attends (G6)."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hotspare.v1 import group_pb2, role_service_pb2
from hotspare_receiver.clients.cloud import CloudClient
from hotspare_receiver.clients.follow import Follower
from hotspare_receiver.clock import Clock


@dataclass(frozen=True, slots=True)
class GroupView:
    """What the cloud told last, and when (aware UTC, by this machine's wall clock)."""

    group: group_pb2.Group
    members: tuple[group_pb2.Member, ...]
    told: datetime


class MembersWatch(Follower):
    """Keeps `view` up to date while `wanted()`; a view that is old stays, with the time at which it was told."""

    def __init__(
        self,
        cloud: CloudClient,
        wanted: Callable[[], bool],
        sub_account: Callable[[], str],
        on_change: Callable[[], None],
        clock: Clock,
    ) -> None:
        """`sub_account` names the group to ask for; empty: that of the role."""
        super().__init__("members", cloud, wanted)
        self._sub_account = sub_account
        self._on_change = on_change
        self._clock = clock
        self.view: GroupView | None = None

    def restart(self) -> None:
        """The role, the group, or the way to the cloud, changed: what is known counts no more."""
        self.view = None
        super().restart()

    def host(self) -> group_pb2.Member | None:
        """The host of the group, as told last."""
        members = () if self.view is None else self.view.members
        return next((member for member in members if member.role == group_pb2.ROLE_HOST), None)

    def _open(self) -> AsyncGenerator[Any, None]:
        asked = role_service_pb2.WatchMembersRequest(sub_account=self._sub_account())
        return self._cloud.stream(self._cloud.roles().WatchMembers, asked)

    def _take(self, answer: role_service_pb2.WatchMembersResponse) -> None:
        self.view = GroupView(answer.group, tuple(answer.members), self._clock.wall())
        self._on_change()
