"""A gRPC server as every process here needs it.

Safe settings, TLS, errors as statuses, metrics, health, reflection, and an orderly stop.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeAlias, TypeVar

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc
from prometheus_client import CollectorRegistry

from hotspare_rpc.address import Address, ListenError
from hotspare_rpc.channel import unix_target
from hotspare_rpc.health import OVERALL, HealthServicer
from hotspare_rpc.interceptors import ErrorInterceptor, MetricsInterceptor
from hotspare_rpc.logs import log_event
from hotspare_rpc.metrics import GrpcServerMetrics, Handler
from hotspare_rpc.tls import FollowedTls, ServerTls
from hotspare_rpc.transport import FASTEST_PING_MS, KEEPALIVE_OPTIONS, MESSAGE_OPTIONS, Options

SERVER_OPTIONS: Options = (
    *MESSAGE_OPTIONS,
    *KEEPALIVE_OPTIONS,
    ("grpc.http2.min_ping_interval_without_data_ms", FASTEST_PING_MS),
    # Else a second server on the same port starts silently, and each gets half of the connections.
    ("grpc.so_reuseport", 0),
    # By default gRPC cancels calls, without a word, when more than 1,000 wait for their handler: as when ten thousand
    # devices come back at once. What is too much is refused by the services, with a reason and a time to wait (A7).
    ("grpc.server.max_pending_requests", 20_000),
    ("grpc.server.max_pending_requests_hard_limit", 40_000),
)

QUIET = 0.3
"""Seconds without a handler after which a stopping server ends what is left: time enough to send the last answers."""
LOOK_EVERY = 0.05

LONGEST_UNIX_PATH = 107
"""Bytes of the path of a socket (Linux, sun_path without its end)."""

_log = logging.getLogger(__name__)

Servicer = TypeVar("Servicer")
Handlers: TypeAlias = Mapping[str, Handler]


class RpcServer:
    """One server: `add` its services, `start`, and in the end `stop`."""

    def __init__(
        self,
        listen: Address,
        tls: ServerTls | None,
        registry: CollectorRegistry,
        *,
        extra_unix: Path | None = None,
    ) -> None:
        """Nothing is opened yet.

        Args:
            listen: where; port 0 lets the system choose one.
            tls: needed on any address but loopback (S3).
            registry: gets the metrics of the calls.
            extra_unix: a socket to listen on besides, in clear, that only this user may open (mode 0600). What
                is there already is replaced: hold the lock of the folder that it is in.
        """
        self._listen = listen
        self._tls = tls
        self._followed: FollowedTls | None = None
        self._metrics = GrpcServerMetrics(registry)
        self._extra_unix = extra_unix
        self._services: dict[str, Handlers] = {}
        self._health: HealthServicer | None = None
        self._server: grpc.aio.Server | None = None
        self._bound = ""
        self.stopping = asyncio.Event()
        """Set when the stop begins: streams that have no end of their own end now, with SHUTTING_DOWN."""

    @property
    def services(self) -> tuple[str, ...]:
        """Full names of the services that were added."""
        return tuple(self._services)

    def add(self, adder: Callable[[Servicer, grpc.aio.Server], None], servicer: Servicer) -> None:
        """Register a service: `add(role_service_pb2_grpc.add_RoleServiceServicer_to_server, servicer)`."""
        registrar = _Registrar()
        adder(servicer, registrar)  # type: ignore[arg-type]
        self._services.update(registrar.services)

    async def start(self) -> str:
        """Listen and serve; return the address that was really bound, as `HOST:PORT`.

        Raises:
            ListenError: the address is in use, is not of this machine, or is public and there is no TLS.
            TlsError: a file of the TLS can't be used.
        """
        if self._tls is None and not self._listen.is_loopback:
            raise ListenError(
                f"refusing to listen on {self._listen} without TLS: only loopback addresses are served "
                "in clear; give a certificate (--tls-cert and --tls-key)"
            )
        self._followed = self._tls.followed() if self._tls is not None else None
        credentials = self._followed.credentials() if self._followed is not None else None
        host = _bindable_host(self._listen)
        _check_free(Address(host, self._listen.port), self._listen)
        server = self._make_server()
        port = _bind(server, Address(host, self._listen.port), credentials)
        if self._extra_unix is not None:
            _bind_unix(server, self._extra_unix)
        self.set_serving(True)
        await server.start()
        self._server = server
        self._bound = str(Address(host, port))
        log_event(
            _log,
            logging.INFO,
            "grpc_serving",
            address=self._bound,
            tls=credentials is not None,
            unix=self._extra_unix,
        )
        return self._bound

    def certificate_end(self) -> float | None:
        """When the certificate ends that a new connection would get now, in seconds since 1970, for whoever watches
        that it is renewed (S3). None: without TLS, or before the start. Of any thread."""
        return self._followed.certificate_end() if self._followed is not None else None

    def set_serving(self, serving: bool) -> None:
        """Tell by grpc.health.v1 whether this server, and each of its services, serves."""
        if self._health is not None:
            self._health.set([OVERALL, *self._services], serving)

    async def stop(self, grace: float) -> None:
        """Stop in order: tell it by the health, take no new calls, give those that run `grace` seconds.

        Streams should watch `stopping`, else they last for the whole grace. A second call changes nothing.
        """
        self.stopping.set()
        if self._health is not None:
            self._health.end()
        if self._server is None:
            return
        server, self._server = self._server, None
        stopping = asyncio.ensure_future(server.stop(grace))
        if not await self._all_ended(stopping):
            await server.stop(None)
        await stopping
        if self._extra_unix is not None:
            self._extra_unix.unlink(missing_ok=True)
        log_event(_log, logging.INFO, "grpc_stopped", address=self._bound)

    async def _all_ended(self, stopping: asyncio.Future[None]) -> bool:
        """Wait until the server stopped (True), or until only gRPC itself waits, not a handler of ours (False).

        Then for a peer that is silent, as behind a cut, or for a call that gRPC took in the moment when it stopped
        and gives to no handler (its main loop ends without the calls that came meanwhile).
        """
        quiet = 0.0
        while quiet < QUIET:
            done, _ = await asyncio.wait((stopping,), timeout=LOOK_EVERY)
            if done:
                return True
            quiet = quiet + LOOK_EVERY if self._metrics.running == 0 else 0.0
        return False

    def _make_server(self) -> grpc.aio.Server:
        server = grpc.aio.server(
            interceptors=(MetricsInterceptor(self._metrics), ErrorInterceptor()), options=SERVER_OPTIONS
        )
        self._health = HealthServicer()
        infrastructure = _Registrar()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, infrastructure)  # type: ignore[arg-type]
        shown = (*self._services, *infrastructure.services, reflection.SERVICE_NAME)
        reflecting = reflection.aio.ReflectionServicer(shown)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(  # type: ignore[no-untyped-call]
            reflecting, infrastructure
        )
        for name, handlers in (self._services | infrastructure.services).items():
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, dict(handlers)),))
            server.add_registered_method_handlers(name, dict(handlers))
            self._metrics.prepare_service(name, handlers)
        return server


class _Registrar:
    """Stands in for a server when generated code registers a service, to learn its name and its methods."""

    def __init__(self) -> None:
        self.services: dict[str, Handlers] = {}

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Generated code registers everything twice; the other form names the methods."""

    def add_registered_method_handlers(self, service: str, handlers: Handlers) -> None:
        """Take the methods of a service."""
        self.services[service] = handlers


def _bindable_host(listen: Address) -> str:
    """The host to bind. `localhost` is what it means, whatever a resolver says: clear text depends on it."""
    return "127.0.0.1" if listen.is_loopback and not _is_literal(listen.host) else listen.host


def _is_literal(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


def _check_free(address: Address, named: Address) -> None:
    """Bind once by hand: gRPC says only that it failed, and we say why."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
            # A bind alone succeeds beside another one with SO_REUSEADDR; only one of them may listen.
            probe.listen(1)
    except OSError as problem:
        raise ListenError(f"cannot listen on {named}: {problem.strerror or problem}") from problem


def _bind(server: grpc.aio.Server, address: Address, credentials: grpc.ServerCredentials | None) -> int:
    try:
        if credentials is None:
            return server.add_insecure_port(str(address))
        return server.add_secure_port(str(address), credentials)
    except RuntimeError as problem:
        raise ListenError(f"cannot listen on {address}: the address is in use or not of this machine") from problem


def _bind_unix(server: grpc.aio.Server, path: Path) -> None:
    if len(os.fsencode(path)) > LONGEST_UNIX_PATH:
        raise ListenError(f"cannot listen on {path}: the path of a socket has at most {LONGEST_UNIX_PATH} bytes")
    # Nobody may connect between bind and chmod, so the mode has to be right from the start.
    before = os.umask(0o177)
    try:
        server.add_insecure_port(unix_target(str(path)))
        with contextlib.suppress(FileNotFoundError):
            path.chmod(0o600)
    except RuntimeError as problem:
        raise ListenError(f"cannot listen on {path}: its folder is missing or not writable") from problem
    finally:
        os.umask(before)
