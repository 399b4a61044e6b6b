"""Uninstalling a receiver: it leaves its group, and clears what goes with its role (X3). All else stays (X4).

It works on the data folder of a receiver that does not run: stopping it hands its work over (F5), and whatever starts
it again by itself would undo half of this.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hotspare.v1 import role_service_pb2
from hotspare_model.errors import HotspareError
from hotspare_model.group import Role

# Its tables belong to the schema as well.
from hotspare_receiver import journal as _journal  # noqa: F401
from hotspare_receiver.clients.cloud import CloudClient, uses_tls
from hotspare_receiver.clients.goodbye import HEARD, say
from hotspare_receiver.identity import host_name
from hotspare_receiver.reset import DATABASE_FILE, check_receiver_folder
from hotspare_receiver.store.configuration import ConfigurationStore
from hotspare_receiver.store.copy import CopyStore
from hotspare_receiver.store.schema import migrations
from hotspare_receiver.store.settings import RoleHeld, SettingsStore
from hotspare_rpc.tls import ServerTls
from hotspare_store.database import Database
from hotspare_store.folder import DataFolder, DataFolderError, DataFolderInUseError

DETAIL = "uninstalled"


@dataclass(frozen=True, slots=True)
class Uninstalled:
    """What came of it. `problem`: why the cloud could not be told. Empty: it knows."""

    cleared_records: int
    ended: tuple[str, ...]
    """Names of members whose hot spare ended with it (a host's)."""
    problem: str


@dataclass(frozen=True, slots=True)
class Remains:
    """What stays in the folder."""

    outputs: int
    tokens: int
    alarms: int
    unconfirmed: int
    own_records: int


class Uninstall:
    """A receiver's data folder that this process has to itself."""

    def __init__(self, database: Database, settings: SettingsStore, tls: ServerTls | None) -> None:
        self._database = database
        self._store = settings
        self._configuration = ConfigurationStore(database)
        self._copy = CopyStore(database, self._configuration)
        self._tls = tls

    @property
    def name(self) -> str:
        """The receiver, for people."""
        return f"{self._store.settings.name or host_name()} ({self._store.receiver_id})"

    async def clears(self) -> str:
        """What it would clear, in words. Empty: nothing."""
        role = self._store.role
        if role is None:
            return ""
        if role.role is Role.HOST:
            return (
                "its role as the host: the hot spare of the whole group ends, and the copy of the configuration on each"
                " spare is cleared"
            )
        count = await self._configuration.count()
        return f"its role {role.role.name}, and the configuration that it took over from the host ({count} records)"

    async def carry_out(self, operator: str) -> Uninstalled:
        """Leave the group, and clear; done again it goes on where it broke off.

        Raises:
            HotspareError: DISK_LOW, STORE_FAILED.
        """
        cloud = CloudClient(self._store, self._tls)
        cloud.follow_settings()
        try:
            role = self._store.role
            if role is not None:
                return await self._leave(cloud, role, operator)
            cleared = await self._copy.clear()
            return Uninstalled(cleared, (), await self._say_rest(cloud, operator))
        finally:
            await cloud.close()

    async def _leave(self, cloud: CloudClient, role: RoleHeld, operator: str) -> Uninstalled:
        store, ended, problem = self._store, (), ""
        request = role_service_pb2.LeaveGroupRequest(detail=DETAIL, generation=role.generation)
        try:
            answer: Any = await cloud.call(cloud.roles().LeaveGroup, request, operator=operator)
            ended = tuple(member.receiver.name for member in answer.ended_members)
        except HotspareError as error:
            problem = "" if error.reason in HEARD else error.message
        goodbye = None
        if problem:
            goodbye = store.goodbye_of_today(0, DETAIL, operator, cloud_tls=uses_tls(store.settings))
        await store.give_up_role(goodbye)
        store.role_given_up()
        cleared = await self._copy.clear() if role.role is not Role.HOST else 0
        return Uninstalled(cleared, ended, problem)

    async def _say_rest(self, cloud: CloudClient, operator: str) -> str:
        """Say a goodbye that is left, or that this receiver works alone no more (G7). Returns why that failed."""
        goodbye = self._store.goodbye
        if goodbye is not None:
            if not await say(cloud, self._store, goodbye):
                return f"the cloud at {goodbye.cloud_address} can't be reached, or does not take the key"
            await self._store.forget_goodbye()
            return ""
        if self._store.missing:
            return ""
        request = role_service_pb2.LeaveGroupRequest(detail=DETAIL)
        try:
            await cloud.call(cloud.roles().LeaveGroup, request, operator=operator)
        except HotspareError as error:
            return "" if error.reason in HEARD else error.message
        return ""

    async def remains(self) -> Remains:
        """What stays."""

        def count(connection: Any) -> Remains:
            def one(sql: str) -> int:
                return int(connection.execute(sql).fetchone()[0])

            return Remains(
                outputs=one("SELECT count(*) FROM output"),
                tokens=one("SELECT count(*) FROM token WHERE revoked IS NULL"),
                alarms=one("SELECT count(*) FROM alarm"),
                unconfirmed=one("SELECT count(*) FROM alarm WHERE confirmed IS NULL"),
                own_records=one("SELECT count(*) FROM record WHERE record IS NOT NULL"),
            )

        found: Remains = await self._database.read(count)
        return found


@asynccontextmanager
async def opened(data: Path, tls: ServerTls | None) -> AsyncIterator[Uninstall]:
    """Have a receiver's folder to oneself.

    Raises:
        DataFolderError: it is no receiver's, its receiver runs, or it belongs to another user.
        HotspareError: DISK_LOW, STORE_FAILED.
    """
    check_receiver_folder(data)
    owner = (data / DATABASE_FILE).stat().st_uid
    if owner != os.geteuid():
        # Files of the database that another user made would keep the receiver from starting again.
        raise DataFolderError(f"{data} belongs to the user with the id {owner}: run this as that user")
    try:
        folder = DataFolder.open(data)
    except DataFolderInUseError as in_use:
        raise DataFolderInUseError(f"{in_use}: stop it first, so that it hands its work over") from in_use
    try:
        database = Database.open(folder.path / DATABASE_FILE, migrations)
        try:
            yield Uninstall(database, await SettingsStore.open(database, folder.path), tls)
        finally:
            database.close()
    finally:
        folder.close()
