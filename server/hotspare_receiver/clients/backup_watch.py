"""What the cloud tells of its newest revision, followed for as long as this receiver has a role (B4, B8)."""

from collections.abc import AsyncGenerator, Callable
from typing import Any, TypeAlias

from hotspare.v1 import sync_service_pb2
from hotspare_receiver.clients.cloud import CloudClient
from hotspare_receiver.clients.follow import Follower

Newest: TypeAlias = sync_service_pb2.WatchBackupResponse


class BackupWatch(Follower):
    """Follows WatchBackup while `wanted()`. Each word goes to `on_told`, each end of the stream to `on_lost`."""

    def __init__(
        self,
        cloud: CloudClient,
        wanted: Callable[[], bool],
        on_told: Callable[[Newest], None],
        on_lost: Callable[[str], None],
    ) -> None:
        super().__init__("backup-watch", cloud, wanted)
        self._on_told = on_told
        self._on_lost = on_lost

    def _lost(self, problem: str) -> None:
        self._on_lost(problem)

    def _open(self) -> AsyncGenerator[Any, None]:
        return self._cloud.stream(self._cloud.syncs().WatchBackup, sync_service_pb2.WatchBackupRequest())

    def _take(self, answer: Newest) -> None:
        self._on_told(answer)
