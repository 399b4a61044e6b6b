"""Prometheus: the metrics of a gRPC server, and the HTTP server that shows a registry.

Names and labels are those of go-grpc-middleware (https://github.com/grpc-ecosystem/go-grpc-middleware,
providers/prometheus), so that the dashboards and alerts that exist for them work here.

The page of metrics carries no secret and no device id, so it may be served on any address, without TLS; it
does tell how busy a centre is, and belongs in the network of the monitoring.
"""

import logging
import socket
import socketserver
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeAlias
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import grpc
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, make_wsgi_app

from hotspare_rpc.address import Address, ListenError
from hotspare_rpc.logs import log_event

HANDLING_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds. From a read out of memory to the longest deadline of a unary call."""

SCRAPES_AT_ONCE = 8
SCRAPE_TIMEOUT = 10.0

if TYPE_CHECKING:  # generic for the checker only
    Handler: TypeAlias = grpc.RpcMethodHandler[Any, Any]
else:
    Handler = grpc.RpcMethodHandler

_log = logging.getLogger(__name__)


def code_name(code: grpc.StatusCode) -> str:
    """The code as Go spells it: `OK`, `NotFound`, `Canceled`."""
    match code:
        case grpc.StatusCode.OK:
            return "OK"
        case grpc.StatusCode.CANCELLED:
            return "Canceled"
        case _:
            return "".join(word.capitalize() for word in code.name.split("_"))


def rpc_type(request_streaming: bool, response_streaming: bool) -> str:
    """The kind of a call as go-grpc-middleware spells it."""
    match request_streaming, response_streaming:
        case False, False:
            return "unary"
        case True, False:
            return "client_stream"
        case False, True:
            return "server_stream"
        case _:
            return "bidi_stream"


@dataclass(frozen=True, slots=True)
class Method:
    """A method of a service, as the labels name it."""

    service: str
    """Full name of the service, such as `hotspare.v1.RoleService`."""
    name: str
    type: str

    @classmethod
    def of(cls, path: str, handler: Handler) -> Self:
        """The method of a handler; `path` is `/service/method`."""
        service, _, name = path.lstrip("/").rpartition("/")
        return cls(service, name, rpc_type(handler.request_streaming, handler.response_streaming))

    @property
    def path(self) -> str:
        """`/service/method`, as on the wire."""
        return f"/{self.service}/{self.name}"

    @property
    def labels(self) -> tuple[str, str, str]:
        """Values of `grpc_type`, `grpc_service`, `grpc_method`."""
        return (self.type, self.service, self.name)


class GrpcServerMetrics:
    """The calls of one gRPC server: started, handled by code, and how long they took."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("grpc_type", "grpc_service", "grpc_method")
        self._started = Counter("grpc_server_started", "RPCs started on the server.", labels, registry=registry)
        self._handled = Counter(
            "grpc_server_handled",
            "RPCs completed on the server, regardless of success or failure.",
            (*labels, "grpc_code"),
            registry=registry,
        )
        self._handling = Histogram(
            "grpc_server_handling_seconds",
            "Time until an RPC was completed on the server; of streams, how long they lived.",
            labels,
            buckets=HANDLING_BUCKETS,
            registry=registry,
        )
        self.running = 0
        """Calls whose handler runs now."""

    def prepare(self, methods: Iterable[Method]) -> None:
        """Make all children of these methods, at zero: alerts on rates must see the first error as a step."""
        for method in methods:
            self._started.labels(*method.labels)
            self._handling.labels(*method.labels)
            for code in grpc.StatusCode:
                self._handled.labels(*method.labels, code_name(code))

    def prepare_service(self, name: str, handlers: Mapping[str, Handler]) -> None:
        """As `prepare`, for a service's handlers by the name of the method."""
        self.prepare(Method.of(f"/{name}/{method}", handler) for method, handler in handlers.items())

    def started(self, method: Method) -> None:
        """Count a call that begins."""
        self.running += 1
        self._started.labels(*method.labels).inc()

    def handled(self, method: Method, code: grpc.StatusCode, seconds: float) -> None:
        """Count a call that is over."""
        self.running -= 1
        self._handled.labels(*method.labels, code_name(code)).inc()
        self._handling.labels(*method.labels).observe(seconds)


class MetricsServer:
    """Serves a registry at `/metrics` from a thread of its own: a busy event loop delays no scrape."""

    def __init__(self, server: WSGIServer) -> None:
        self._server = server
        host, port = server.server_address[:2]
        self.address = str(Address(str(host), int(port)))
        """`HOST:PORT`, as really bound."""
        self._thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close the port and wait for the thread. A second call changes nothing."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


def serve_metrics(address: Address, registry: CollectorRegistry) -> MetricsServer:
    """Serve `registry` over HTTP; port 0 lets the system choose one. Not only loopback: see the module.

    Raises:
        ListenError: the port is in use, or the address is not one of this machine.
    """
    # The creation times of all children would double the page, and no rule or dashboard here reads them.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        server = _server_class(found[0][0])(found[0][4][:2], _RequestHandler)
    except OSError as problem:
        raise ListenError(f"cannot serve metrics on {address}: {problem.strerror or problem}") from problem
    server.set_app(_metrics_only(make_wsgi_app(registry)))
    return MetricsServer(server)


def _server_class(address_family: int) -> Callable[..., WSGIServer]:
    return type("MetricsHttpServer", (_HttpServer,), {"address_family": address_family})


class _HttpServer(socketserver.ThreadingMixIn, WSGIServer):
    """A thread a request, a few requests at once, no talk on stderr: who asks costs nobody else (S4)."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._free = threading.BoundedSemaphore(SCRAPES_AT_ONCE)
        super().__init__(*args, **kwargs)

    def server_bind(self) -> None:
        """Bind without the look-up of the own name that http.server does, which can hang for seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve in a thread, or close when too many are served."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one request."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Note a scrape that failed, instead of printing it."""
        log_event(_log, logging.DEBUG, "scrape_failed", error=sys.exception(), peer=client_address)


class _RequestHandler(WSGIRequestHandler):
    timeout = SCRAPE_TIMEOUT

    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes are not logged."""


def _metrics_only(app: Callable[..., Any]) -> Callable[..., Any]:
    """The page at `/metrics`; elsewhere a line that tells where it is."""

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if environ.get("PATH_INFO") == "/metrics":
            return app(environ, start_response)
        start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
        return [b"The metrics are at /metrics.\n"]

    return serve
