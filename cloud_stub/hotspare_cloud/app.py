"""The cloud, put together. Read from top to bottom it is the list of its parts."""

import asyncio
import logging
import os
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from hotspare.v1 import (
    account_service_pb2_grpc,
    alarm_pull_service_pb2_grpc,
    alarm_service_pb2_grpc,
    backup_service_pb2_grpc,
    role_service_pb2_grpc,
    sync_service_pb2_grpc,
    version_service_pb2_grpc,
)
from hotspare_cloud.backups import Backups
from hotspare_cloud.clock import StallWatch
from hotspare_cloud.copies import copied_at
from hotspare_cloud.directory import Directory, shutting_down
from hotspare_cloud.disk import DiskWatch
from hotspare_cloud.expiry import Expiry
from hotspare_cloud.finish import settled
from hotspare_cloud.intake import Intake
from hotspare_cloud.metrics import CloudCollector
from hotspare_cloud.metrics_backup import BackupCollector
from hotspare_cloud.metrics_expiry import ExpiryCollector
from hotspare_cloud.metrics_members import MemberCollector
from hotspare_cloud.metrics_supervision import SupervisionCollector
from hotspare_cloud.services import alarm, alarm_pull, backup, role, sync
from hotspare_cloud.services.account import AccountService
from hotspare_cloud.services.backup_convert import row_of
from hotspare_cloud.services.callers import ADMIN, Callers
from hotspare_cloud.services.version import VersionService
from hotspare_cloud.store.base import TokenRow
from hotspare_cloud.store.sqlite import SqliteStore
from hotspare_cloud.supervision import Supervision
from hotspare_model.retention import HistoryLimits
from hotspare_rpc.address import Address
from hotspare_rpc.certificates import CertificateCollector, client_ca_end
from hotspare_rpc.cli_args import announce
from hotspare_rpc.credentials import new_secret, sha256
from hotspare_rpc.logs import log_event
from hotspare_rpc.metrics import serve_metrics
from hotspare_rpc.server import LONGEST_UNIX_PATH, RpcServer
from hotspare_rpc.stop import install_stop_signals
from hotspare_rpc.systemd import told_systemd
from hotspare_rpc.tls import ServerTls
from hotspare_store.folder import DataFolder, write_secret

TOKEN_FILE = "operator.token"
FIRST_TOKEN = "admin"
SOCKET_FILE = "admin.socket"
SOCKET_NOTE = "admin.address"
"""Where a command on the same folder finds the socket of the running cloud."""

STOP_GRACE = 5.0
SETTLE_GRACE = 2.0
"""Seconds for what goes on although its caller has gone, before the store is closed."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CloudOptions:
    """What `hotspare-cloud serve` was told."""

    data: Path
    listen: Address
    metrics: Address | None
    tls: ServerTls | None
    disk_floor: int
    """Bytes."""
    history: HistoryLimits = field(default_factory=HistoryLimits)
    """How long alarms are kept that need nothing more."""


async def serve(options: CloudOptions) -> int:
    """Run the cloud until a signal stops it. Returns the exit status.

    Raises:
        DataFolderError, ListenError, TlsError: it can't start; the message says why.
    """
    folder = DataFolder.open(options.data)
    try:
        return await _serve(options, folder)
    finally:
        folder.close()


async def _serve(options: CloudOptions, folder: DataFolder) -> int:
    stop = install_stop_signals()
    failed = asyncio.Event()
    loop = asyncio.get_running_loop()

    def store_failed(error: BaseException) -> None:
        log_event(_log, logging.CRITICAL, "store_failed", problem=error)
        loop.call_soon_threadsafe(failed.set)

    store = SqliteStore.open(folder.path, store_failed)
    watch = StallWatch()
    disk = DiskWatch(folder, store.database)
    directory = Directory(store, watch)
    intake = Intake(store, directory, alarm.marks_in, lambda: disk.free, options.disk_floor)
    backups = Backups(store, directory, row_of, lambda: disk.free, options.disk_floor)
    expiry = Expiry(store, directory, options.history)
    supervision = Supervision(store, directory, lambda: disk.free, options.disk_floor)
    callers = Callers(directory)

    alarms = alarm.AlarmService(callers, intake, supervision)
    pulls = alarm_pull.AlarmPullService(callers, directory)

    registry = CollectorRegistry()
    collector = CloudCollector(
        registry,
        directory,
        intake,
        store.database.counters,
        watch,
        free_bytes=lambda: disk.free,
        copied_at=lambda: copied_at(folder.path),
    )
    MemberCollector(registry, directory)
    BackupCollector(registry, directory, backups)
    ExpiryCollector(registry, directory, expiry)
    SupervisionCollector(registry, directory, supervision)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)

    socket = _socket_path(folder.path)
    server = RpcServer(options.listen, options.tls, registry, extra_unix=socket)
    client_ca = options.tls.client_ca if options.tls is not None else None
    ends = {"server": server.certificate_end, "client_ca": client_ca_end(client_ca)}
    registry.register(CertificateCollector("hotspare_cloud", ends))
    server.add(role_service_pb2_grpc.add_RoleServiceServicer_to_server, role.RoleService(callers, directory, store))
    server.add(
        backup_service_pb2_grpc.add_BackupServiceServicer_to_server,
        backup.BackupService(callers, directory, backups, store),
    )
    server.add(
        sync_service_pb2_grpc.add_SyncServiceServicer_to_server,
        sync.SyncService(callers, directory, backups, store),
    )
    server.add(alarm_service_pb2_grpc.add_AlarmServiceServicer_to_server, alarms)
    server.add(alarm_pull_service_pb2_grpc.add_AlarmPullServiceServicer_to_server, pulls)
    server.add(account_service_pb2_grpc.add_AccountServiceServicer_to_server, AccountService(callers, directory))
    server.add(version_service_pb2_grpc.add_VersionServiceServicer_to_server, VersionService(callers))

    metrics = None
    housekeeping = None
    try:
        metrics = serve_metrics(options.metrics, registry) if options.metrics else None
        watch.start()
        await directory.load()
        await intake.load()
        await backups.start()
        expiry.start()
        await supervision.start()
        await _first_token(folder, directory)
        address = await server.start()
        write_secret(folder.path / SOCKET_NOTE, str(socket))
        housekeeping = asyncio.create_task(_keep_house(directory, store, disk, collector), name="housekeeping")
        announce(grpc=address, metrics=metrics.address if metrics else None)
        async with told_systemd():
            await _either(stop, failed)
    finally:
        if housekeeping is not None:
            housekeeping.cancel()
        server.set_serving(False)
        alarms.end_streams(shutting_down())
        pulls.end_streams(shutting_down())
        await backups.stop()
        await expiry.stop()
        await supervision.stop()
        await directory.stop(shutting_down())
        await server.stop(STOP_GRACE)
        watch.stop()
        await settled(SETTLE_GRACE)
        store.close()
        if metrics is not None:
            metrics.stop()
    return 1 if failed.is_set() else 0


async def _first_token(folder: DataFolder, directory: Directory) -> None:
    """A token for the cloud's operator, which only this folder's owner can read (S1): at the first start, and again
    when its file is gone, for then it is lost; the one before is revoked. So it is where a copy was restored that does
    not know the file's token: it knows one of before, which may have been replaced because it was lost."""
    file = folder.path / TOKEN_FILE
    known = {token.sha256 for token in directory.tokens.all()}
    try:
        if sha256(file.read_text(encoding="utf-8").strip()) in known:
            return
    except FileNotFoundError:
        pass
    except (OSError, UnicodeDecodeError) as problem:
        # It is there, and somebody else's: no reason not to serve.
        log_event(_log, logging.WARNING, "operator_token_unreadable", file=file, problem=problem)
        return
    if any(token.name == FIRST_TOKEN for token in directory.tokens.all()):
        await directory.tokens.revoke(FIRST_TOKEN)
    secret = new_secret()
    await directory.tokens.create(TokenRow(FIRST_TOKEN, ADMIN, sha256(secret), time.time(), None, None))
    write_secret(file, secret)


def _socket_path(folder: Path) -> Path:
    """The socket for commands on this machine: in the folder, or where its path is too long, in one of its own."""
    path = folder.absolute() / SOCKET_FILE
    if len(os.fsencode(path)) <= LONGEST_UNIX_PATH:
        path.unlink(missing_ok=True)
        return path
    return Path(tempfile.mkdtemp(prefix="hotspare-")) / SOCKET_FILE


async def _keep_house(directory: Directory, store: SqliteStore, disk: DiskWatch, collector: CloudCollector) -> None:
    """Once a second: what metrics show of the disk and of the oldest alarms."""
    while True:
        try:
            disk.look()
            collector.observe_gaps()
            for group in directory.groups():
                waits = group.backlog > 0
                collector.oldest[group.row.group_id] = await store.oldest_waiting(group.row.group_id) if waits else None
        except Exception as error:
            # Whatever it is, on a full disk say: without these looks new alarms might be refused for ever (A7).
            log_event(_log, logging.ERROR, "housekeeping_failed", error=error)
        await asyncio.sleep(1.0)


async def _either(*events: asyncio.Event) -> None:
    waiters = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiters, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for waiter in waiters:
            waiter.cancel()
