"""One channel to one server, for the time of one command."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

import grpc
from google.protobuf.message import Message

from hotspare.v1.account_service_pb2_grpc import AccountServiceStub
from hotspare.v1.alarm_feed_service_pb2_grpc import AlarmFeedServiceStub
from hotspare.v1.alarm_pull_service_pb2_grpc import AlarmPullServiceStub
from hotspare.v1.alarm_service_pb2_grpc import AlarmServiceStub
from hotspare.v1.backup_service_pb2_grpc import BackupServiceStub
from hotspare.v1.configuration_service_pb2_grpc import ConfigurationServiceStub
from hotspare.v1.receiver_service_pb2_grpc import ReceiverServiceStub
from hotspare.v1.role_service_pb2_grpc import RoleServiceStub
from hotspare.v1.version_service_pb2_grpc import VersionServiceStub
from hotspare_cli.errors import CliError, usage_error
from hotspare_cli.failures import Hints, failure
from hotspare_cli.options import Target
from hotspare_cli.progress import telling
from hotspare_rpc.address import Address
from hotspare_rpc.channel import open_channel
from hotspare_rpc.credentials import BearerToken, MetadataPairs
from hotspare_rpc.tls import ChannelTls, TlsError

if TYPE_CHECKING:  # they exist for checkers of types alone
    from hotspare.v1.account_service_pb2_grpc import AccountServiceAsyncStub
    from hotspare.v1.alarm_feed_service_pb2_grpc import AlarmFeedServiceAsyncStub
    from hotspare.v1.alarm_pull_service_pb2_grpc import AlarmPullServiceAsyncStub
    from hotspare.v1.alarm_service_pb2_grpc import AlarmServiceAsyncStub
    from hotspare.v1.backup_service_pb2_grpc import BackupServiceAsyncStub
    from hotspare.v1.configuration_service_pb2_grpc import ConfigurationServiceAsyncStub
    from hotspare.v1.receiver_service_pb2_grpc import ReceiverServiceAsyncStub
    from hotspare.v1.role_service_pb2_grpc import RoleServiceAsyncStub
    from hotspare.v1.version_service_pb2_grpc import VersionServiceAsyncStub

Request = TypeVar("Request")
Response = TypeVar("Response")
Result = TypeVar("Result")


class _PageRequest(Protocol):
    page_token: str


class _PageResponse(Protocol):
    next_page_token: str


PageRequest = TypeVar("PageRequest", bound=_PageRequest)
PageResponse = TypeVar("PageResponse", bound=_PageResponse)


class Session:
    """Makes calls on a channel with the caller's credentials and the deadline of the command line."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        server: Address,
        metadata: MetadataPairs,
        timeout: float,
        hints: Hints,
        words: tuple[str, ...] = (),
    ) -> None:
        self._channel = channel
        self._server = server
        self._metadata = metadata
        self._timeout = timeout
        self._hints = hints
        self._words = words
        self.tells_waiting = True
        """Whether a call that lasts is told of on the terminal; not where something else is drawn there."""

    @property
    def channel(self) -> grpc.aio.Channel:
        """For methods that are known by name alone."""
        return self._channel

    @property
    def metadata(self) -> MetadataPairs:
        """Who calls."""
        return self._metadata

    @property
    def timeout(self) -> float:
        """Seconds for each call."""
        return self._timeout

    @cached_property
    def receiver(self) -> "ReceiverServiceAsyncStub":
        """The receiver itself."""
        return ReceiverServiceStub(self._channel)

    @cached_property
    def roles(self) -> "RoleServiceAsyncStub":
        """The group."""
        return RoleServiceStub(self._channel)

    @cached_property
    def configuration(self) -> "ConfigurationServiceAsyncStub":
        """The configuration."""
        return ConfigurationServiceStub(self._channel)

    @cached_property
    def backup(self) -> "BackupServiceAsyncStub":
        """The copies of the configuration: the receiver's own, and the cloud's with its revisions."""
        return BackupServiceStub(self._channel)

    @cached_property
    def feed(self) -> "AlarmFeedServiceAsyncStub":
        """Alarms that the receiver had."""
        return AlarmFeedServiceStub(self._channel)

    @cached_property
    def queue(self) -> "AlarmPullServiceAsyncStub":
        """Alarms that wait at the cloud or were set aside."""
        return AlarmPullServiceStub(self._channel)

    @cached_property
    def alarms(self) -> "AlarmServiceAsyncStub":
        """Where devices publish, at the cloud."""
        return AlarmServiceStub(self._channel)

    @cached_property
    def accounts(self) -> "AccountServiceAsyncStub":
        """The accounts and the operators of a cloud."""
        return AccountServiceStub(self._channel)

    @cached_property
    def versions(self) -> "VersionServiceAsyncStub":
        """What every server tells of itself."""
        return VersionServiceStub(self._channel)

    async def call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        *,
        timeout: float | None = None,
    ) -> Response:
        """Make one call; `timeout` in seconds stands in for the one of the command line.

        Raises:
            CliError: it failed.
        """
        timeout = self._timeout if timeout is None else timeout
        call = self.attempt(method, request, timeout=timeout)
        try:
            if self.tells_waiting:
                return await telling(f"Waiting for {self._server}", call, longest=timeout)
            return await call
        except grpc.aio.AioRpcError as error:
            raise self.explain(error) from None

    async def attempt(
        self, method: grpc.aio.UnaryUnaryMultiCallable[Request, Response], request: Request, *, timeout: float
    ) -> Response:
        """Make one call, for who decides by gRPC's error itself what to do next. Raises AioRpcError."""
        return await method(request, timeout=timeout, metadata=self._metadata)

    async def watch(
        self, method: grpc.aio.UnaryStreamMultiCallable[Request, Response], request: Request, *, timeout: float | None
    ) -> AsyncGenerator[Response, None]:
        """The messages of a stream, for who decides by gRPC's error itself what to do next. Raises AioRpcError.

        Close it (`aclosing`) when there were enough: that ends the call.
        """
        call = method(request, timeout=timeout, metadata=self._metadata)
        try:
            async for response in call:
                yield response
        finally:
            call.cancel()

    async def exchange(
        self,
        method: grpc.aio.StreamStreamMultiCallable[Request, Response],
        requests: Iterator[Request] | AsyncIterator[Request],
        *,
        timeout: float | None,
    ) -> AsyncGenerator[Response, None]:
        """Send the requests, and yield what comes back meanwhile. Close it when there was enough: that ends the call.

        Raises:
            AioRpcError: the call failed.
            asyncio.CancelledError: making a request failed; nothing more was sent, and the call was given up.
        """
        call = method(requests, timeout=timeout, metadata=self._metadata)
        ended = _noted(call)
        try:
            async for response in call:
                yield response
        except grpc.aio.AioRpcError as error:
            raise (ended[0] if ended else error) from None
        finally:
            call.cancel()

    def explain(self, error: grpc.aio.AioRpcError) -> CliError:
        """The error for people, for a call that failed."""
        return failure(error, self._server, self._hints, self._words)

    async def all_pages(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[PageRequest, PageResponse],
        request: PageRequest,
        enough: Callable[[PageResponse], bool] = lambda _merged: False,
    ) -> PageResponse:
        """Follow the pages of a list, until there is no more or `enough` of them; return all as one response.

        Raises:
            CliError: a call failed, or the pages go in a circle.
        """
        merged = await self.call(method, request)
        seen = {""}
        while merged.next_page_token and not enough(merged):
            if merged.next_page_token in seen:
                raise CliError(f"{self._server} sends the same page of a list again and again.", "Report this defect.")
            seen.add(merged.next_page_token)
            request.page_token = merged.next_page_token
            page = await self.call(method, request)
            _append(merged, page)
        merged.next_page_token = ""
        return merged


def ask(
    target: Target,
    work: Callable[[Session], Awaitable[Result]],
    *,
    metadata: MetadataPairs | None = None,
    hints: Hints | None = None,
) -> Result:
    """Open a channel to the target, do the work, close it. Without `metadata` the caller is the operator of
    the token.

    Raises:
        CliError: the work failed, or the command line or a file it names is wrong.
    """
    target = target.resolved()
    address = target.address()
    pairs = BearerToken(target.token()).metadata() if metadata is None else metadata
    tls = channel_tls(target, address)

    async def in_loop() -> Result:
        async with open_channel(str(address), tls) as channel:
            return await work(Session(channel, address, pairs, target.timeout, hints or {}, target.words))

    return asyncio.run(in_loop())


def _noted(call: "grpc.aio.StreamStreamCall[Request, Response]") -> list[grpc.aio.AioRpcError]:
    """A list that gets how the call ended, as the server told it.

    A server that refuses early resets the stream under the client's writes. gRPC's asyncio client then puts its own
    failed write in the place of the refusal that it already has (grpc/grpc#36066); at its first end the call still
    tells the refusal.
    """
    ended: list[grpc.aio.AioRpcError] = []

    async def status() -> grpc.aio.AioRpcError:
        code, details, trailing = await call.code(), await call.details(), await call.trailing_metadata()
        return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, details)

    def note(_call: object) -> None:
        asking = status()
        try:
            # All of it is there by now, so that nothing is waited for.
            asking.send(None)
        except StopIteration as told:
            ended.append(told.value)
        finally:
            asking.close()

    call.add_done_callback(note)
    return ended


def channel_tls(target: Target, address: Address) -> ChannelTls | None:
    """TLS everywhere but on loopback, where it must be asked for: no token leaves a machine in clear (S3).

    Raises:
        CliError: a file can't be used.
    """
    if address.is_loopback and target.tls_ca is None and target.tls_cert is None:
        return None
    try:
        return ChannelTls.from_files(target.tls_ca, target.tls_cert, target.tls_key)
    except TlsError as problem:
        text = str(problem)
        raise usage_error(f"{text[:1].upper()}{text[1:]}.", "Check --tls-ca, --tls-cert and --tls-key.") from None


def _append(merged: _PageResponse, page: _PageResponse) -> None:
    """Add a page to the lists of those before; what is told once is taken from the newest."""
    whole, more = cast(Message, merged), cast(Message, page)
    for field in whole.DESCRIPTOR.fields:
        if not field.is_repeated:
            whole.ClearField(field.name)
    whole.MergeFrom(more)
