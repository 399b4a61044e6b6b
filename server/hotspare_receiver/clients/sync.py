"""Follows the host: while this receiver is a spare, its copy of the configuration becomes the cloud's (B4, B5).

The deciding part is core/sync.py. Here: tell it what happens, do what it says, and count.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta

import grpc

from hotspare.v1 import group_pb2
from hotspare_model.errors import HotspareError, Reason
from hotspare_model.group import SPARE_ROLES
from hotspare_model.transfer import Digests
from hotspare_receiver.clients.backup_watch import Newest
from hotspare_receiver.clients.cloud import CloudClient
from hotspare_receiver.clients.fetch import Fetch, NothingThere, OtherVersion, TransferKeptOut
from hotspare_receiver.clients.waiting import sleep_or
from hotspare_receiver.clock import Clock
from hotspare_receiver.core.sync import (
    Applied,
    Began,
    Copy,
    Due,
    Event,
    KeptOut,
    Lost,
    NotReached,
    Pull,
    Refusal,
    Spare,
    Stand,
    Told,
    VersionDiffers,
    after,
    counts_as_in_sync,
    next_step,
    stands,
)
from hotspare_receiver.snapshot import SyncReport
from hotspare_receiver.store.copy import CopyStore
from hotspare_receiver.store.incoming import Held, Overtaken
from hotspare_rpc.logs import log_event
from hotspare_rpc.transfer import digests_from_proto
from hotspare_rpc.version import SOFTWARE_VERSION

LOOK_AT_INTERVAL = 30.0
"""Seconds after which a `sync_interval` that was made shorter counts at the latest."""

_STATES = {
    Stand.UP_TO_DATE: group_pb2.SYNC_STATE_UP_TO_DATE,
    Stand.SYNCING: group_pb2.SYNC_STATE_SYNCING,
    Stand.BEHIND: group_pb2.SYNC_STATE_BEHIND,
    Stand.VERSION_DIFFERS: group_pb2.SYNC_STATE_VERSION_DIFFERS,
    Stand.FAILED: group_pb2.SYNC_STATE_FAILED,
}

_log = logging.getLogger(__name__)


class Syncer:
    """Runs while this receiver is a spare. `report` tells how the copy stands."""

    def __init__(
        self,
        cloud: CloudClient,
        copies: CopyStore,
        fetch: Fetch,
        is_spare: Callable[[], bool],
        interval: Callable[[], timedelta],
        on_change: Callable[[], None],
        clock: Clock,
    ) -> None:
        """`interval` is the group's `sync_interval`; `on_change` is called when what people see is another."""
        self._cloud = cloud
        self._copies = copies
        self._fetch = fetch
        self._is_spare = is_spare
        self._interval = interval
        self._on_change = on_change
        self._clock = clock
        self._spare = Spare(Copy(), SOFTWARE_VERSION)
        self._held = Held(None, 0)
        self._known = False
        self._due = 0.0
        self._wake = asyncio.Event()
        self._restarted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._shown: tuple[Stand, str] | None = None
        self.applied = 0
        self.refused: Counter[Refusal] = Counter()

    def start(self) -> None:
        """Begin. Call it in the loop."""
        self._task = asyncio.create_task(self._run(), name="sync")

    def told(self, newest: Newest) -> None:
        """The cloud told its newest revision."""
        copy = Copy(newest.lineage, newest.revision, digests_from_proto(newest.digests), newest.software_version)
        self._happened(Told(copy))

    def lost(self, problem: str) -> None:
        """The cloud is not there to tell."""
        self._happened(Lost(problem))

    def restart(self) -> None:
        """The role, or the way to the cloud, changed: what is known counts no more."""
        self._known = False
        self._shown = None
        self._spare = Spare(Copy(), SOFTWARE_VERSION)
        self._restarted.set()
        self._wake.set()

    async def stop(self) -> None:
        """Follow no more; a transfer that is being applied is ended first."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def report(self) -> SyncReport:
        """How the copy stands, for the backup table."""
        stand, detail = stands(self._spare) if self._known else (Stand.SYNCING, "")
        return SyncReport(int(_STATES[stand]), self._spare.own.revision, detail)

    def beat_report(self) -> SyncReport:
        """The same, for a beat: a change that is just on its way does not count (F4)."""
        report = self.report()
        if self._known and counts_as_in_sync(self._spare, self._clock.now()):
            return replace(report, state=int(group_pb2.SYNC_STATE_UP_TO_DATE), detail="")
        return report

    @property
    def own_version(self) -> str:
        """The release that the copy here was stored with."""
        return self._spare.own.version

    @property
    def cloud_digests(self) -> Digests | None:
        """The digests of the cloud's newest; None where they are not known."""
        return None if self._spare.newest is None else self._spare.newest.digests

    @property
    def refusals(self) -> Mapping[str, int]:
        """How many transfers were kept out, by reason."""
        return {refusal.value: self.refused[refusal] for refusal in Refusal}

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            self._restarted.clear()
            try:
                await self._follow()
            except Exception as error:
                # A defect must not end the sync for good.
                log_event(_log, logging.ERROR, "sync_broke", error=error)
                self._happened(NotReached(f"{type(error).__name__}: {error}"))
                await sleep_or(self._restarted, 1.0)

    async def _follow(self) -> None:
        """Be a spare, or wait to become one, until something changes."""
        if not self._is_spare() or self._cloud.channel() is None:
            await self._restarted.wait()
            return
        if not self._known:
            await self._look()
        if self._held.role not in SPARE_ROLES:
            # The role is being given up: what came now would have to be cleared again (X1).
            await self._restarted.wait()
            return
        now = self._clock.now()
        if now >= self._due:
            self._due = now + self._interval().total_seconds()
            self._happened(Due())
        match next_step(self._spare, now):
            case Pull() as pull:
                await self._until_restarted(pull)
            case wait:
                self._due = min(self._due, now + self._interval().total_seconds())
                until = min(self._due, now + LOOK_AT_INTERVAL, *([] if wait.until is None else [wait.until]))
                await sleep_or(self._wake, max(0.0, until - now))

    async def _look(self) -> None:
        """Take up what is here."""
        own, self._held = await self._copies.own()
        # What the cloud told while nobody knew what is here still counts.
        self._spare = Spare(own, SOFTWARE_VERSION, newest=self._spare.newest, told=self._spare.told)
        self._known = True
        self._due = self._clock.now() + self._interval().total_seconds()

    async def _until_restarted(self, pull: Pull) -> None:
        """Pull, unless the role goes meanwhile."""
        pulling = asyncio.create_task(self._pull(pull))
        restarting = asyncio.create_task(self._restarted.wait())
        try:
            await asyncio.wait((pulling, restarting), return_when=asyncio.FIRST_COMPLETED)
        finally:
            pulling.cancel()
            restarting.cancel()
            await asyncio.gather(pulling, restarting, return_exceptions=True)
        if not pulling.cancelled():
            pulling.result()

    async def _pull(self, pull: Pull) -> None:
        self._happened(Began())
        try:
            spare = self._spare
            fetched = await self._fetch.pull(pull, spare.own, self._held, synced=True, told=spare.told)
        except TransferKeptOut as error:
            self._kept_out(error)
        except OtherVersion as error:
            self._happened(VersionDiffers(error.required))
        except NothingThere:
            self._happened(Told(Copy()))
            self._happened(Applied(self._spare.own))
        except Overtaken:
            self._known = False
        except HotspareError as error:
            if error.reason is Reason.VERSION_DIFFERS:
                self._happened(VersionDiffers(error.metadata.get("required", "") or "unknown"))
            else:
                self._happened(NotReached(error.message))
        except grpc.aio.UsageError as error:
            self._happened(NotReached(str(error)))
        else:
            self._took(pull, fetched.copy, fetched.changes)

    def _took(self, pull: Pull, copy: Copy, changes: int) -> None:
        if not copy.same_as(self._spare.own) or changes:
            self.applied += 1
            log_event(
                _log, logging.INFO, "configuration_synced", revision=copy.revision, since=pull.since, changes=changes,
                whole_kinds=",".join(kind.name.lower() for kind in pull.whole_kinds),
            )  # fmt: skip
        self._happened(Applied(copy))

    def _kept_out(self, error: TransferKeptOut) -> None:
        self.refused[error.refusal] += 1
        log_event(_log, logging.WARNING, "configuration_kept_out", reason=error.refusal.value, problem=error)
        self._happened(KeptOut(error.refusal, str(error), error.kinds))

    def _happened(self, event: Event) -> None:
        self._spare = after(self._spare, event, self._clock.now())
        self._wake.set()
        if self._known and (shown := stands(self._spare)) != self._shown:
            if self._shown is not None and shown[0] in (Stand.FAILED, Stand.VERSION_DIFFERS):
                log_event(_log, logging.WARNING, "configuration_not_in_sync", stand=shown[0].value, detail=shown[1])
            self._shown = shown
            self._on_change()
