"""The backup of this receiver's configuration, whatever its role: a host sends its own, a spare follows (B3, B4)."""

from collections.abc import Callable
from datetime import timedelta

from hotspare_model.group import Role
from hotspare_model.transfer import Digests
from hotspare_receiver.clients.backup_watch import BackupWatch, Newest
from hotspare_receiver.clients.cloud import CloudClient
from hotspare_receiver.clients.fetch import Fetch
from hotspare_receiver.clients.members import MembersWatch
from hotspare_receiver.clients.push import Pusher
from hotspare_receiver.clients.restore import Restorer
from hotspare_receiver.clients.sync import Syncer
from hotspare_receiver.clock import Clock
from hotspare_receiver.snapshot import SyncReport
from hotspare_receiver.store.configuration import ConfigurationStore
from hotspare_receiver.store.copy import CopyStore
from hotspare_receiver.store.incoming import Incoming
from hotspare_receiver.store.outgoing import Outgoing
from hotspare_receiver.store.settings import SettingsStore
from hotspare_rpc.version import SOFTWARE_VERSION
from hotspare_store.database import Database


class Backup:
    """All that keeps the copy here and the cloud's the same."""

    def __init__(
        self,
        database: Database,
        configuration: ConfigurationStore,
        settings: SettingsStore,
        cloud: CloudClient,
        members: MembersWatch,
        interval: Callable[[], timedelta],
        on_change: Callable[[], None],
        clock: Clock,
    ) -> None:
        """`interval` is the group's `sync_interval`."""
        self._configuration = configuration
        self._settings = settings
        self._members = members
        self.copies = CopyStore(database, configuration)
        outgoing = Outgoing(database, configuration)
        fetch = Fetch(cloud, self.copies, Incoming(database, configuration), clock)
        self.pusher = Pusher(cloud, configuration, outgoing, self.copies, fetch, self._may_push, on_change)
        self.syncer = Syncer(cloud, self.copies, fetch, self._is_spare, interval, on_change, clock)
        self.restorer = Restorer(cloud, configuration, self.copies, outgoing, self.pusher)
        self._watch = BackupWatch(cloud, self._watches, self._told, self._lost)

    def start(self) -> None:
        """Begin. Call it in the loop."""
        self.pusher.start()
        self.syncer.start()
        self._watch.start()

    async def stop(self) -> None:
        """Send and follow nothing any more."""
        await self.restorer.stop()
        await self._watch.stop()
        await self.syncer.stop()
        await self.pusher.stop()

    def restart(self) -> None:
        """The role, or the way to the cloud, changed."""
        self.pusher.restart()
        self.syncer.restart()
        self._watch.restart()

    def group_changed(self) -> None:
        """The cloud told of the group anew: perhaps it has a host now, or has none any more (G7)."""
        if self.pusher.follow():
            self._watch.restart()

    def edited(self) -> None:
        """The configuration was edited here."""
        self.pusher.edited()

    def report(self) -> SyncReport:
        """How the copy stands."""
        return self.syncer.report() if self._is_spare() else self.pusher.report()

    def beat_report(self) -> SyncReport:
        """The same, as the cloud is told with a beat (F4)."""
        return self.syncer.beat_report() if self._is_spare() else self.pusher.report()

    @property
    def cloud_digests(self) -> Digests | None:
        """The digests of the cloud's copy; None where they are not known."""
        return self.syncer.cloud_digests if self._is_spare() else self.pusher.cloud_digests

    @property
    def version(self) -> str:
        """The release that the copy here was stored with; empty without a copy."""
        if not self._configuration.head.revision:
            return ""
        return self.syncer.own_version if self._is_spare() else SOFTWARE_VERSION

    def _watches(self) -> bool:
        return self._settings.role is not None or self._may_push()

    def _is_spare(self) -> bool:
        return self._settings.role is not None and self._settings.role.role is not Role.HOST

    def _may_push(self) -> bool:
        """Whether the configuration here is the group's: on the host, or on the one that works alone (G7)."""
        if self._settings.role is not None:
            return self._settings.role.role is Role.HOST
        view = self._members.view
        if view is None or self._members.host() is not None:
            return False
        return view.group.working_receiver_id in ("", self._settings.receiver_id)

    def _told(self, newest: Newest) -> None:
        if self._is_spare():
            self.syncer.told(newest)
        else:
            self.pusher.told(newest)

    def _lost(self, problem: str) -> None:
        if self._is_spare():
            self.syncer.lost(problem)
        else:
            self.pusher.lost()
