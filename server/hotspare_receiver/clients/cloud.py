"""One channel to the cloud, made anew when the settings say so, and calls on it with errors of ours."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

import grpc

from hotspare.v1 import (
    alarm_pull_service_pb2_grpc,
    alarm_service_pb2_grpc,
    backup_service_pb2_grpc,
    role_service_pb2_grpc,
    sync_service_pb2_grpc,
    version_service_pb2_grpc,
)
from hotspare_model.errors import HotspareError, Reason
from hotspare_receiver.store.settings import Settings, SettingsStore
from hotspare_rpc.address import AddressError, parse_address
from hotspare_rpc.channel import PlaintextError, open_channel
from hotspare_rpc.credentials import MetadataPairs, ReceiverCredentials, operator_metadata
from hotspare_rpc.errors import describe, from_rpc_error, of_newer_peer
from hotspare_rpc.logs import log_event
from hotspare_rpc.tls import ChannelTls, FileState, ServerTls, TlsError, file_state

CALL_TIMEOUT = 5.0
"""Seconds for a unary call, as the contract's deadlines of RoleService have it."""

CLOSE_GRACE = 1.0

_log = logging.getLogger(__name__)
Answer = TypeVar("Answer")


def uses_tls(settings: Settings) -> bool:
    """Whether the cloud is called with TLS: as set, else unless its address is loopback and no CA is named (S3)."""
    if settings.cloud_tls is not None:
        return settings.cloud_tls
    if settings.cloud_ca_pem:
        return True
    try:
        return not parse_address(settings.cloud_address).is_loopback
    except AddressError:
        return True


class CloudClient:
    """The way to the cloud. It needs the settings to be whole; until then there is no channel."""

    def __init__(self, store: SettingsStore, own: ServerTls | None = None) -> None:
        """`own`: the receiver's certificate, which it also shows to a cloud that demands one of its clients."""
        self._store = store
        self._own = own
        self._channel: grpc.aio.Channel | None = None
        self._made_of: tuple[str, bool, str] | None = None
        self._shown: FileState = ()
        """Of the own certificate and its key, when a channel was opened last, or could not be."""
        self._closing: set[asyncio.Task[None]] = set()
        self.on_channel: Callable[[], None] = lambda: None
        """Called when there is a channel where the settings gave none before: who waits for one may go on."""

    @property
    def address(self) -> str:
        """Where the cloud is; empty while it is not configured."""
        return "" if self._store.missing else self._store.settings.cloud_address

    def channel(self) -> grpc.aio.Channel | None:
        """The channel; None while the cloud is not configured, or its address can't be used.

        Ask for it before each attempt: one that has lost its connection is replaced when the own certificate was
        renewed (S3).
        """
        self._follow_certificate()
        return self._channel

    def metadata(self) -> MetadataPairs:
        """What this receiver shows to the cloud with every call."""
        store = self._store
        return ReceiverCredentials(store.settings.arc_id, store.arc_key, store.receiver_id).metadata()

    def open(self, address: str, tls: bool, ca_pem: str) -> grpc.aio.Channel:
        """A channel to a cloud. Raises AddressError, PlaintextError, TlsError."""
        if not tls:
            return open_channel(address, None)
        shown = ChannelTls.from_files(None, self._own.cert, self._own.key) if self._own else ChannelTls()
        return open_channel(address, replace(shown, ca_pem=ca_pem.encode() or None))

    def follow_settings(self) -> bool:
        """Open another channel where the settings name another way; returns whether they do. Call it in the loop."""
        settings = self._store.settings
        wanted = None
        if not self._store.missing:
            wanted = (settings.cloud_address, uses_tls(settings), settings.cloud_ca_pem)
        if wanted == self._made_of:
            return False
        before, self._channel, self._made_of = self._channel, None, wanted
        if before is not None:
            self._close_later(before)
        if wanted is not None:
            self._channel = self._opened(wanted)
        return True

    def _opened(self, wanted: tuple[str, bool, str]) -> grpc.aio.Channel | None:
        """A channel by the settings; None where they, or the own certificate, can't be used."""
        # Before reading: a file that is replaced meanwhile then looks changed, and is read again.
        self._shown = self._own_state()
        try:
            return self.open(*wanted)
        except (AddressError, PlaintextError, TlsError) as problem:
            log_event(_log, logging.ERROR, "cloud_unusable", address=wanted[0], problem=problem)
            return None

    def _own_state(self) -> FileState:
        return file_state(self._own.cert, self._own.key) if self._own is not None else ()

    def _follow_certificate(self) -> None:
        """Show a cloud that demands certificates the one that the files hold now, without a restart (S3).

        A connection that stands was admitted, and lives on with all its streams: a channel is replaced when it has
        none.
        """
        if self._made_of is None or not self._made_of[1] or self._own_state() == self._shown:
            return
        if self._channel is not None and self._channel.get_state() is grpc.ChannelConnectivity.READY:
            return
        renewed = self._opened(self._made_of)
        if renewed is None:
            return  # A pair that is half written is tried again once it has changed; until then the old one is shown.
        before, self._channel = self._channel, renewed
        log_event(_log, logging.INFO, "cloud_channel_renewed", address=self._made_of[0])
        if before is not None:
            self._close_later(before)
        else:
            self.on_channel()

    def roles(self) -> "role_service_pb2_grpc.RoleServiceAsyncStub":
        """The cloud's RoleService. Raises HotspareError CLOUD_NOT_CONFIGURED."""
        return role_service_pb2_grpc.RoleServiceStub(self._needed())

    def backups(self) -> "backup_service_pb2_grpc.BackupServiceAsyncStub":
        """The cloud's BackupService. Raises HotspareError CLOUD_NOT_CONFIGURED."""
        return backup_service_pb2_grpc.BackupServiceStub(self._needed())

    def pulls(self) -> "alarm_pull_service_pb2_grpc.AlarmPullServiceAsyncStub":
        """The cloud's AlarmPullService. Raises HotspareError CLOUD_NOT_CONFIGURED."""
        return alarm_pull_service_pb2_grpc.AlarmPullServiceStub(self._needed())

    def alarms(self) -> "alarm_service_pb2_grpc.AlarmServiceAsyncStub":
        """The cloud's AlarmService. Raises HotspareError CLOUD_NOT_CONFIGURED."""
        return alarm_service_pb2_grpc.AlarmServiceStub(self._needed())

    def syncs(self) -> "sync_service_pb2_grpc.SyncServiceAsyncStub":
        """The cloud's SyncService. Raises HotspareError CLOUD_NOT_CONFIGURED."""
        return sync_service_pb2_grpc.SyncServiceStub(self._needed())

    def versions(self) -> "version_service_pb2_grpc.VersionServiceAsyncStub":
        """The cloud's VersionService. Raises HotspareError CLOUD_NOT_CONFIGURED."""
        return version_service_pb2_grpc.VersionServiceStub(self._needed())

    async def call(
        self,
        method: Callable[..., Awaitable[Answer]],
        request: Any,
        *,
        operator: str | None = None,
        timeout: float = CALL_TIMEOUT,
    ) -> Answer:
        """Make one call under the receiver's credentials, on behalf of an operator where one is named (S5).

        Raises:
            HotspareError: the cloud's own, or CLOUD_UNREACHABLE.
        """
        try:
            return await method(request, metadata=self._metadata(operator), timeout=timeout)
        except grpc.aio.AioRpcError as error:
            raise self.mapped(error) from error
        except asyncio.CancelledError as error:
            raise self._cut_off(error) from error

    async def stream(
        self, method: Callable[..., Any], request: Any, operator: str | None = None, timeout: float | None = None
    ) -> AsyncGenerator[Any, None]:
        """The answers of a server stream, for as long as it lasts; it is always cancelled in the end.

        `timeout`: seconds that it may last; None: for ever.

        Raises:
            HotspareError: the cloud's own, or CLOUD_UNREACHABLE.
        """
        call = method(request, metadata=self._metadata(operator), timeout=timeout)
        try:
            async for answer in call:
                yield answer
        except grpc.aio.AioRpcError as error:
            raise self.mapped(error) from error
        except asyncio.CancelledError as error:
            raise self._cut_off(error) from error
        finally:
            call.cancel()

    def mapped(self, error: grpc.aio.AioRpcError) -> HotspareError:
        """What a failed call means to the operator of this receiver."""
        ours = from_rpc_error(error)
        if ours is None:
            # A newer cloud may refuse for what this release has no word: whoever asked is told that, not that the cloud
            # can't be reached. This receiver itself tries again in both cases.
            if (unknown := of_newer_peer(error, Reason.CLOUD_UNREACHABLE)) is not None:
                return unknown
            problem = describe(error)
            return unreachable(self._store.settings.cloud_address, problem)
        if ours.reason is Reason.INVALID_CREDENTIALS:
            # Else the operator would look for the fault in their own token.
            return HotspareError(
                ours.reason, "the cloud does not take this receiver's ARC id and ARC key", of="receiver"
            )
        return ours

    async def close(self) -> None:
        """Close the channel, and those that are being closed."""
        if self._channel is not None:
            await self._channel.close()
            self._channel = None
        await asyncio.gather(*self._closing, return_exceptions=True)

    def _needed(self) -> grpc.aio.Channel:
        if (channel := self.channel()) is not None:
            return channel
        missing = ", ".join(self._store.missing)
        if missing:
            raise not_configured(missing)
        raise unreachable(self._store.settings.cloud_address, "its address can't be used with these settings")

    def _cut_off(self, error: asyncio.CancelledError) -> BaseException:
        """What a cancellation means: the caller's own goes on; one by the channel, closed under the call,
        does not.

        grpc.aio raises the same for both, and the second would silently end the task that called.
        """
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            return error
        return unreachable(self._store.settings.cloud_address, "the connection was closed under the call")

    def _metadata(self, operator: str | None) -> MetadataPairs:
        return self.metadata() + (operator_metadata(operator) if operator else ())

    def _close_later(self, channel: grpc.aio.Channel) -> None:
        task = asyncio.create_task(channel.close(CLOSE_GRACE))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def not_configured(missing: str) -> HotspareError:
    """The error for what needs a cloud while there is none."""
    return HotspareError(
        Reason.CLOUD_NOT_CONFIGURED, f"this receiver has no {missing} yet: set it first", missing=missing
    )


def unreachable(address: str, problem: str) -> HotspareError:
    """The error for a cloud that does not answer, or not as one."""
    return HotspareError(
        Reason.CLOUD_UNREACHABLE,
        f"the cloud at {address} can't be reached: {problem}",
        retry_after=timedelta(seconds=1),
        cloud_address=address,
        problem=problem,
    )
