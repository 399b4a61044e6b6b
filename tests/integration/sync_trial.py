"""A host and spares with their real stores and clients, and a cloud that is a dictionary: backup and sync without a
network, step by step, with whatever goes wrong on the way."""

import contextlib
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from hotspare.v1 import backup_pb2, backup_service_pb2, record_pb2, sync_service_pb2
from hotspare_model.digest import KindDigest, RecordKind, digest_of
from hotspare_model.errors import HotspareError, Reason
from hotspare_model.transfer import Change, TransferHeader, TransferReader, differing
from hotspare_receiver.clients.fetch import Fetch
from hotspare_receiver.clients.push import Pusher
from hotspare_receiver.clients.sync import Syncer
from hotspare_receiver.clock import SystemClock
from hotspare_receiver.core.sync import Pull, next_step
from hotspare_receiver.store.configuration import ConfigurationStore
from hotspare_receiver.store.copy import CopyStore
from hotspare_receiver.store.draft import Draft
from hotspare_receiver.store.incoming import Incoming
from hotspare_receiver.store.outgoing import Outgoing
from hotspare_receiver.store.schema import migrations
from hotspare_rpc.transfer import digests_to_proto, frames, header_from_proto, kind_to_proto, pieces
from hotspare_rpc.version import SOFTWARE_VERSION
from hotspare_store.database import Database

Records = dict[tuple[RecordKind, str], tuple[bytes, int]]
"""Contents and revision of each record."""

Meddling = Callable[[list[Any]], list[Any]]


class Cut(Exception):
    """Stands among frames for the end of the connection."""


def user(user_id: str, name: str) -> bytes:
    """A record that needs no other."""
    return record_pb2.Record(user=record_pb2.User(user_id=user_id, name=name)).SerializeToString(deterministic=True)


def digests(records: Records) -> tuple[KindDigest, ...]:
    """The digests of a configuration."""
    return tuple(
        digest_of(kind, [(name, record) for (of, name), (record, _) in records.items() if of is kind])
        for kind in RecordKind
    )


@dataclass
class Revision:
    """One revision that the cloud keeps."""

    lineage: str
    number: int
    records: Records
    restored_from: int = 0
    base_revision: int = 0
    base_lineage: str = ""


@dataclass
class TrialCloud:
    """The cloud, as the clients of a receiver see it. What it answers next may be meddled with."""

    revisions: list[Revision] = field(default_factory=list)
    meddling: Meddling | None = None
    lose_answer: bool = False
    address: str = "trial"

    @property
    def newest(self) -> Revision | None:
        """The copy."""
        return self.revisions[-1] if self.revisions else None

    def channel(self) -> object:
        """It is always configured."""
        return self

    def backups(self) -> Any:
        """The calls of BackupService."""
        return self

    syncs = backups

    async def call(self, method: Any, request: Any, *, operator: str | None = None, timeout: float = 0) -> Any:
        """One call."""
        return await method(request)

    async def stream(self, method: Any, request: Any, operator: str | None = None, timeout: float = 0) -> Any:
        """The frames of one call, meddled with."""
        meant = [frame async for frame in method(request)]
        meddling, self.meddling = self.meddling, None
        for frame in meddling(meant) if meddling is not None else meant:
            if frame is Cut:
                raise HotspareError(Reason.CLOUD_UNREACHABLE, "cut")
            yield frame

    async def GetBackup(self, request: Any) -> Any:
        """The table."""
        return backup_service_pb2.GetBackupResponse(backup=self.table())

    async def PushChanges(self, requests: AsyncIterator[Any]) -> Any:
        """Take a push, or refuse it as B5 and B7 have it."""
        sent = [request async for request in requests]
        meddling, self.meddling = self.meddling, None
        sent = meddling(sent) if meddling is not None else sent
        if Cut in sent or not sent:
            raise HotspareError(Reason.CLOUD_UNREACHABLE, "cut")
        header, newest = header_from_proto(sent[0].header), self.newest
        reader = TransferReader(header)

        async def coming() -> AsyncIterator[Any]:
            for frame in sent[1:]:
                yield frame

        changes = [change async for piece in pieces(coming(), reader) for change in piece]
        assert reader.ended is not None
        if newest is None or sent[0].new_lineage:
            assert header.base_revision == 0
            records: Records = {}
        else:
            if (header.lineage, header.base_revision) != (newest.lineage, newest.number):
                raise HotspareError(Reason.REVISION_FORKED, "another base", lineage=newest.lineage, revision=0)
            assert not differing(header.base_digests, digests(newest.records)), "B7: the base is the one that is here"
            records = dict(newest.records)
        assert newest is None or header.revision > newest.number, "revisions never go back"
        for change in changes:
            if change.record:
                records[change.kind, change.record_id] = (change.record, change.revision)
            else:
                records.pop((change.kind, change.record_id), None)
        if differing(reader.ended.digests, digests(records)):
            raise HotspareError(Reason.DIGEST_MISMATCH, "wrong digests", kind="")
        self.revisions.append(Revision(header.lineage, header.revision, records))
        if self.lose_answer:
            self.lose_answer = False
            raise HotspareError(Reason.CLOUD_UNREACHABLE, "the answer was lost")
        return backup_service_pb2.PushChangesResponse(backup=self.table())

    async def PullChanges(self, request: Any) -> AsyncIterator[Any]:
        """Changes since a revision, or everything."""
        newest = self.newest
        wrap = sync_service_pb2.PullChangesResponse
        if newest is None:
            async for frame in frames(TransferHeader("", 0, (), 0, ""), (), (), wrap):
                yield frame
            return
        place = (request.lineage, request.since_revision)
        base = next((each for each in self.revisions if (each.lineage, each.number) == place), None)
        if base is None or base.lineage != newest.lineage:
            base = None
        whole = [RecordKind(kind) for kind in request.whole_kinds]
        changes = []
        for key in sorted({*newest.records, *(base.records if base is not None else {})}):
            now, before = newest.records.get(key), base.records.get(key) if base is not None else None
            if now is not None and (key[0] in whole or now != before):
                changes.append(Change(*key, *now))
            elif now is None and key[0] not in whole:
                changes.append(Change(*key, b"", newest.number))
        header = TransferHeader(
            newest.lineage,
            base.number if base is not None else 0,
            digests(base.records) if base is not None else (),
            newest.number,
            SOFTWARE_VERSION,
            tuple(whole),
        )
        async for frame in frames(header, changes, digests(newest.records), wrap):
            yield frame

    def restore(self, number: int) -> None:
        """An operator brings a revision back (B8)."""
        newest = self.newest
        old = next((each for each in self.revisions if each.number == number), None)
        if newest is None or old is None or old is newest:
            return
        then = newest.number + 1
        records = {
            key: value if newest.records.get(key) == value else (value[0], then) for key, value in old.records.items()
        }
        self.revisions.append(Revision(newest.lineage, then, records, number, newest.number, newest.lineage))

    def news(self) -> Any:
        """What WatchBackup tells."""
        newest = self.newest
        if newest is None:
            return sync_service_pb2.WatchBackupResponse()
        return sync_service_pb2.WatchBackupResponse(
            revision=newest.number,
            lineage=newest.lineage,
            digests=digests_to_proto(digests(newest.records)),
            software_version=SOFTWARE_VERSION,
            restored_from=newest.restored_from,
            base_revision=newest.base_revision,
            base_lineage=newest.base_lineage,
        )

    def table(self) -> backup_pb2.BackupTable:
        """The backup table."""
        newest = self.newest
        if newest is None:
            return backup_pb2.BackupTable()
        rows = [
            backup_pb2.BackupRow(kind=kind_to_proto(each.kind), count=each.count, sha256=each.sha256)
            for each in digests(newest.records)
        ]
        return backup_pb2.BackupTable(
            lineage=newest.lineage, revision=newest.number, rows=rows, software_version=SOFTWARE_VERSION
        )


class TrialClock(SystemClock):
    """A clock that is turned by hand."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        """The time that it was turned to."""
        return self.time


class TrialReceiver:
    """The stores and clients of one receiver, driven by hand. A restart keeps nothing but its folder."""

    def __init__(self, cloud: TrialCloud, folder: Path, role: int) -> None:
        self.cloud: Any = cloud
        self.folder = folder
        self.role = role
        self.generation = 1
        self.clock = TrialClock()
        folder.mkdir()
        self._open()

    def _open(self) -> None:
        self.database = Database.open(self.folder / "receiver.db", migrations)
        self.configuration = ConfigurationStore(self.database)
        self.copies = CopyStore(self.database, self.configuration)
        self.outgoing = Outgoing(self.database, self.configuration)
        clock = self.clock
        fetch = Fetch(self.cloud, self.copies, Incoming(self.database, self.configuration), clock)
        self.pusher = Pusher(
            self.cloud, self.configuration, self.outgoing, self.copies, fetch, lambda: True, lambda: None
        )
        self.syncer = Syncer(
            self.cloud, self.copies, fetch, lambda: True, lambda: timedelta(seconds=60), lambda: None, clock
        )
        self._look = True

    async def prepare(self) -> None:
        """Take the role; again after a restart, for it is in the folder."""
        values = (self.role, self.generation)
        await self.database.write(
            lambda connection: (
                connection.execute(
                    "INSERT INTO identity (one, receiver_id, role, generation) VALUES (1, 'trial', ?, ?)"
                    " ON CONFLICT (one) DO UPDATE SET role = excluded.role, generation = excluded.generation",
                    values,
                )
                and None
            )
        )

    def restart(self) -> None:
        """Stop, whatever is under way, and start again."""
        self.database.close()
        self._open()

    def image(self, to: Path) -> None:
        """Copy the folder, as a backup of the machine does."""
        self.database.close()
        shutil.copytree(self.folder, to)
        self._open()

    async def edit(self, name: str, text: str | None) -> None:
        """Edit a user; None deletes it."""

        def change(draft: Draft) -> None:
            record = None if text is None else user(name, text)
            if draft.get(RecordKind.USER, name) != record:
                draft.put(RecordKind.USER, name, record)

        await self.configuration.edit("anna", self.clock.wall(), change)

    async def push_step(self) -> None:
        """What the host does next."""
        if self.cloud.newest is not None:
            self.pusher.told(self.cloud.news())
        await self.pusher._try_step()

    async def sync_step(self) -> None:
        """What the spare does next, with enough time since the last."""
        self.clock.time += 100.0
        if self._look:
            await self.syncer._look()
            self._look = False
        self.syncer.told(self.cloud.news())
        step = next_step(self.syncer._spare, self.clock.time)
        if isinstance(step, Pull):
            await self.syncer._pull(step)
            self._look = not self.syncer._known

    async def leave(self) -> int:
        """Give the role up, and clear what was synced (X1); then take it anew."""
        cleared = await self.copies.clear()
        self.generation += 1
        await self.prepare()
        self._look = True
        return cleared

    async def place(self) -> tuple[str, int, tuple[KindDigest, ...]]:
        """Lineage, revision and digests of the copy, read from the records themselves."""

        def work(connection: Any) -> tuple[str, int, tuple[KindDigest, ...]]:
            row = connection.execute("SELECT lineage, revision FROM copy").fetchone()
            rows = connection.execute("SELECT kind, id, record FROM record WHERE record IS NOT NULL").fetchall()
            found: Records = {(RecordKind(each["kind"]), each["id"]): (each["record"], 0) for each in rows}
            return (row["lineage"], row["revision"], digests(found)) if row else ("", 0, digests(found))

        found: tuple[str, int, tuple[KindDigest, ...]] = await self.database.read(work)
        return found

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(Exception):
            self.database.close()
