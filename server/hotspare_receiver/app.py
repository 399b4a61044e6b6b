"""The wiring of a receiver, top to bottom: read it as the list of its parts."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from prometheus_client import CollectorRegistry

from hotspare.v1 import (
    alarm_feed_service_pb2_grpc,
    alarm_pull_service_pb2_grpc,
    alarm_service_pb2_grpc,
    backup_service_pb2_grpc,
    configuration_service_pb2_grpc,
    receiver_service_pb2_grpc,
    role_service_pb2_grpc,
    version_service_pb2_grpc,
)
from hotspare_receiver.backup import Backup
from hotspare_receiver.clients.cloud import CloudClient
from hotspare_receiver.clients.members import MembersWatch
from hotspare_receiver.clock import Clock, SystemClock
from hotspare_receiver.core.health import DISK_FLOOR
from hotspare_receiver.definitions import Definitions
from hotspare_receiver.direct.accounts import Accounts
from hotspare_receiver.direct.doubts import DurableDoubts
from hotspare_receiver.direct.gate import Gate, takes_direct
from hotspare_receiver.direct.gateway import Gateway
from hotspare_receiver.direct.isolated import Isolated
from hotspare_receiver.direct.listener import Listener
from hotspare_receiver.direct.supervision import DirectSupervision, reaches_anyone
from hotspare_receiver.direct.surroundings import HostSurroundings
from hotspare_receiver.direct.telling import Telling
from hotspare_receiver.expiry import HistoryExpiry
from hotspare_receiver.hot_spare import HotSpare
from hotspare_receiver.identity import Identity, host_name, identify
from hotspare_receiver.journal import Journal
from hotspare_receiver.metrics import ReceiverCollector
from hotspare_receiver.metrics_direct import DirectCollector
from hotspare_receiver.metrics_history import HistoryCollector
from hotspare_receiver.metrics_supervision import SupervisionCollector
from hotspare_receiver.outputs.subscriptions import Subscriptions
from hotspare_receiver.path import AlarmPath
from hotspare_receiver.services import alarm as alarm_service
from hotspare_receiver.services import backup as backup_service
from hotspare_receiver.services import configuration as configuration_service
from hotspare_receiver.services import feed as feed_service
from hotspare_receiver.services import receiver as receiver_service
from hotspare_receiver.services.queue import QueueServicer
from hotspare_receiver.services.role import RoleServicer
from hotspare_receiver.services.streams import Changes, Ends
from hotspare_receiver.services.version import VersionServicer
from hotspare_receiver.snapshot import Expulsion, Introduction
from hotspare_receiver.status import StatusBoard
from hotspare_receiver.store.configuration import ConfigurationStore
from hotspare_receiver.store.direct import DirectStore
from hotspare_receiver.store.direct_lives import DirectLives
from hotspare_receiver.store.feed import FeedStore
from hotspare_receiver.store.outputs import OutputStore
from hotspare_receiver.store.schema import migrations
from hotspare_receiver.store.settings import SettingsStore
from hotspare_receiver.store.tokens import TokenStore
from hotspare_receiver.tokens import Tokens
from hotspare_rpc.address import Address, parse_address
from hotspare_rpc.certificates import CertificateCollector, client_ca_end, trust_end
from hotspare_rpc.logs import log_event
from hotspare_rpc.metrics import MetricsServer, serve_metrics
from hotspare_rpc.server import RpcServer
from hotspare_rpc.tls import ServerTls
from hotspare_store.database import Database
from hotspare_store.folder import DataFolder

DATABASE_FILE = "receiver.db"

STOP_GRACE = 1.0
"""Seconds that calls which run get at the stop, after the hand-over."""

HOUSEKEEPING = timedelta(seconds=30)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    data: Path
    listen: Address
    metrics: Address | None = None
    tls: ServerTls | None = None
    machine_id: str | None = None
    advertise: Address | None = None


class ReceiverApp:
    """One receiver. `start`, then wait for `failed` or a signal, then `stop`, whatever happened."""

    def __init__(self, options: Options, clock: Clock | None = None) -> None:
        self._options = options
        self._clock = clock or SystemClock()
        self._closing = AsyncExitStack()
        self._path: AlarmPath | None = None
        self._server: RpcServer | None = None
        self.failed = asyncio.Event()
        """Set when the outcome of a commit is unknown: the process has to stop and recover at its next start."""
        self.address = ""
        self.metrics_address: str | None = None

    async def start(self) -> None:
        """Open everything and serve.

        Raises:
            DataFolderError: the data folder or the database can't be used.
            ListenError, TlsError: the server can't listen, or must not.
            HotspareError: DISK_LOW, STORE_FAILED.
            OSError: a file of the data folder can't be read or written.
        """
        options, clock = self._options, self._clock
        folder = DataFolder.open(options.data)
        self._closing.callback(folder.close)
        database = Database.open(folder.path / DATABASE_FILE, migrations, self._on_store_failure())
        self._closing.callback(database.close)

        settings = await SettingsStore.open(database, folder.path)
        outputs = OutputStore(database)
        configuration = ConfigurationStore(database)
        tokens = Tokens(TokenStore(database), clock)
        self._closing.push_async_callback(tokens.close)
        await tokens.ensure_admin(folder.path)
        journal = Journal(database, clock)
        self._closing.push_async_callback(journal.close)
        expiry = HistoryExpiry(database, lambda: settings.settings.history, clock)
        identity = identify(settings.receiver_id, options.machine_id)
        subscriptions = Subscriptions(FeedStore(database, clock), journal, lambda: outputs.configs)

        cloud = CloudClient(settings, options.tls)
        self._closing.push_async_callback(cloud.close)
        cloud.follow_settings()
        changes = Changes()

        def introduce() -> Introduction:
            return self._introduce(identity, settings, folder.folder_id)

        def expelled(expulsion: Expulsion) -> None:
            hot_spare.expelled(expulsion)

        def sub_account() -> str:
            return "" if settings.role is not None else settings.settings.sub_account

        def group_changed() -> None:
            backup.group_changed()
            gate.look()
            changes.notify()

        members = MembersWatch(cloud, lambda: hot_spare.attendance() is not None, sub_account, group_changed, clock)
        backup = Backup(
            database=database,
            configuration=configuration,
            settings=settings,
            cloud=cloud,
            members=members,
            interval=lambda: path.settings.sync_interval,
            on_change=changes.notify,
            clock=clock,
        )
        direct = DirectStore(database)
        doubts = DurableDoubts(direct, clock)
        around = HostSurroundings(lambda: path, settings, configuration, lambda: gate.open, folder.free_bytes)
        isolated = Isolated(direct, journal, lambda: gateway, doubts, around, clock, changes.notify)
        path = AlarmPath(
            cloud=cloud,
            journal=journal,
            incarnation=identity.incarnation,
            introduce=introduce,
            sync=backup.beat_report,
            tell_sync=isolated.sync_report,
            disk_free=folder.free_bytes,
            on_expelled=expelled,
            on_behind=settings.count_on,
            on_change=changes.notify,
            clock=clock,
            disk_floor=lambda: settings.settings.disk_floor_bytes or DISK_FLOOR,
            make_output=subscriptions.make_output,
            direct=isolated.line,
        )

        definitions = Definitions(database.path, path.follow_group)
        configuration.listen(definitions.changed)

        gateway = Gateway(cloud, clock.now, doubts, hopeless=lambda: isolated.active)
        gate = Gate(
            settings,
            lambda: takes_direct(settings, members),
            gateway,
            clock,
            lambda device_id, way: supervision.heard(device_id, way),
            isolated,
        )
        supervision = DirectSupervision(
            DirectLives(database), configuration, gate, lambda: reaches_anyone(path.snapshot()), clock
        )
        telling = Telling(gate, lambda: settings.receiver_id, lambda: bool(settings.settings.own_account_number), clock)
        accounts = Accounts(configuration, lambda: listener.accounts_changed())
        listener = Listener(gate, lambda: accounts.table, clock, telling.refused)

        def role_changed() -> None:
            members.restart()
            backup.restart()
            gate.look()
            changes.notify()

        def way_changed() -> None:
            if cloud.follow_settings():
                path.reconnect()
                members.restart()
                backup.restart()
            gate.look()
            changes.notify()

        def channel_came() -> None:
            members.restart()
            backup.restart()

        cloud.on_channel = channel_came

        def edited() -> None:
            backup.edited()
            changes.notify()

        hot_spare = HotSpare(
            settings, cloud, path, introduce, configuration.count, role_changed, way_changed,
            clear_copy=backup.copies.clear,
        )  # fmt: skip
        board = StatusBoard(
            introduce=introduce,
            started=clock.wall(),
            settings=settings,
            hot_spare=hot_spare,
            outputs=outputs,
            configuration=configuration,
            members=members,
            backup=backup,
            path=path.snapshot,
            isolation=isolated.snapshot,
            listener_problem=lambda: listener.snapshot().problem,
        )

        registry = CollectorRegistry()
        registry.register(ReceiverCollector(board.view, asyncio.get_running_loop()))
        registry.register(HistoryCollector(expiry))
        registry.register(DirectCollector(gate, gateway, listener, isolated))
        registry.register(SupervisionCollector(supervision))
        server = RpcServer(options.listen, options.tls, registry)
        certificates = {
            "server": server.certificate_end,
            "client_ca": client_ca_end(options.tls.client_ca if options.tls is not None else None),
            "cloud_ca": lambda: trust_end(settings.settings.cloud_ca_pem.encode()),
        }
        registry.register(CertificateCollector("hotspare_receiver", certificates))
        ends = Ends(tokens, server.stopping)
        server.add(
            receiver_service_pb2_grpc.add_ReceiverServiceServicer_to_server,
            receiver_service.ReceiverServicer(
                receiver_service.Parts(
                    tokens=tokens,
                    ends=ends,
                    changes=changes,
                    board=board,
                    settings=settings,
                    hot_spare=hot_spare,
                    outputs=outputs,
                    path=path,
                    clock=clock,
                )
            ),
        )
        server.add(
            configuration_service_pb2_grpc.add_ConfigurationServiceServicer_to_server,
            configuration_service.ConfigurationServicer(
                configuration_service.Parts(tokens, configuration, settings, members, clock, edited, ends)
            ),
        )
        server.add(
            backup_service_pb2_grpc.add_BackupServiceServicer_to_server,
            backup_service.BackupServicer(
                backup_service.Parts(tokens, board, cloud, settings, members, backup.restorer)
            ),
        )
        server.add(
            role_service_pb2_grpc.add_RoleServiceServicer_to_server,
            RoleServicer(tokens, ends, cloud, settings, hot_spare),
        )
        server.add(
            alarm_pull_service_pb2_grpc.add_AlarmPullServiceServicer_to_server,
            QueueServicer(tokens, cloud, settings),
        )
        server.add(
            alarm_feed_service_pb2_grpc.add_AlarmFeedServiceServicer_to_server,
            feed_service.FeedServicer(
                feed_service.Parts(tokens, ends, changes, journal, subscriptions, cloud, settings)
            ),
        )
        server.add(
            version_service_pb2_grpc.add_VersionServiceServicer_to_server, VersionServicer(tokens, cloud, settings)
        )
        server.add(
            alarm_service_pb2_grpc.add_AlarmServiceServicer_to_server,
            alarm_service.AlarmServicer(alarm_service.Parts(gate, settings, configuration, server.stopping, clock)),
        )

        self._server = server
        self._closing.push_async_callback(telling.stop)
        self._closing.push_async_callback(server.stop, STOP_GRACE)
        self.address = await server.start()
        if options.metrics is not None:
            self._closing.push_async_callback(_stop_metrics, metrics := serve_metrics(options.metrics, registry))
            self.metrics_address = metrics.address

        for begin, end in (
            (hot_spare.start, hot_spare.stop),
            (members.start, members.stop),
            (backup.start, backup.stop),
            (accounts.start, accounts.stop),
            (isolated.start, isolated.stop),
            (lambda: gate.start(listener), gate.stop),
            (supervision.start, supervision.stop),
            (definitions.start, definitions.stop),
            (expiry.start, expiry.stop),
        ):
            self._closing.push_async_callback(end)
            begin()
        self._keep_house(database)
        self._path = path
        definitions.load()
        path.start(outputs.configs, hot_spare.attendance())
        log_event(
            _log, logging.INFO, "receiver_started", receiver_id=identity.receiver_id,
            incarnation=identity.incarnation, role=settings.role.role.name if settings.role else None,
        )  # fmt: skip

    async def stop(self) -> None:
        """Hand over if it works, within the group's `drain_timeout`; then close everything. Harmless when
        half started."""
        try:
            if self._server is not None:
                self._server.set_serving(False)
            if self._path is not None:
                if self.failed.is_set():
                    self._path.fence()
                await self._path.stop(self._path.settings.drain_timeout)
        finally:
            await self._closing.aclose()

    def _introduce(self, identity: Identity, settings: SettingsStore, folder_id: str) -> Introduction:
        known = settings.settings
        return Introduction(
            receiver_id=identity.receiver_id,
            name=known.name or host_name(),
            machine_id=identity.machine_id,
            address=known.advertised_address or str(self._options.advertise or "") or reachable(self.address),
            software_version=identity.software_version,
            dual_connection=known.dual_connection,
            own_account_number=known.own_account_number,
            start=settings.start,
            folder_id=folder_id,
        )

    def _on_store_failure(self) -> Callable[[BaseException], None]:
        loop = asyncio.get_running_loop()

        def failed(error: BaseException) -> None:
            log_event(_log, logging.CRITICAL, "store_failed", error=error)
            loop.call_soon_threadsafe(self.failed.set)

        return failed

    def _keep_house(self, database: Database) -> None:
        async def keep() -> None:
            while True:
                await asyncio.sleep(HOUSEKEEPING.total_seconds())
                # After a full disk: what was given up so that confirmations could be written is laid down
                # again.
                try:
                    await asyncio.to_thread(database.restore_reserve)
                except Exception as error:
                    log_event(_log, logging.ERROR, "housekeeping_failed", error=error)

        task = asyncio.create_task(keep(), name="housekeeping")
        self._closing.push_async_callback(_cancelled, task)


def reachable(bound: str) -> str:
    """An address by which others may reach a server that is bound to `bound`: not `0.0.0.0`, but this host's name."""
    if not bound:
        return ""
    address = parse_address(bound)
    if address.host in ("0.0.0.0", "::"):
        return str(Address(socket.gethostname(), address.port))
    return bound


async def _stop_metrics(metrics: MetricsServer) -> None:
    # Its thread may wait for a scrape that waits for this loop.
    await asyncio.to_thread(metrics.stop)


async def _cancelled(task: Awaitable[None]) -> None:
    future = asyncio.ensure_future(task)
    future.cancel()
    await asyncio.gather(future, return_exceptions=True)
