"""What the tests of hotspare_rpc share: a small service with all four kinds of calls, and certificates."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from google.protobuf.wrappers_pb2 import StringValue
from prometheus_client import CollectorRegistry

from hotspare_rpc.address import Address
from hotspare_rpc.channel import open_channel
from hotspare_rpc.server import RpcServer
from hotspare_rpc.tls import ChannelTls, ServerTls

DEADLINE = 10.0
PROBE = "hotspare.test.Probe"
LOOPBACK = Address("127.0.0.1", 0)

Act = Callable[..., Any]


async def wait_until(condition: Callable[[], bool], deadline: float = DEADLINE) -> None:
    """Wait for a condition of this process; fail when it doesn't come true."""
    async with asyncio.timeout(deadline):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)


# --- A service with all four kinds of calls -----------------------------------------------------------------


@dataclass
class Probe:
    """What each method of the service does; None: what generated code does."""

    one: Act | None = None
    down: Act | None = None
    up: Act | None = None
    both: Act | None = None


def not_implemented(request: Any, context: Any) -> Any:
    """As grpcio-tools generates it."""
    context.set_code(grpc.StatusCode.UNIMPLEMENTED)
    context.set_details("Method not implemented!")
    raise NotImplementedError("Method not implemented!")


def add_probe(probe: Probe, server: Any) -> None:
    """As grpcio-tools generates it."""
    codecs: dict[str, Any] = {
        "request_deserializer": StringValue.FromString,
        "response_serializer": StringValue.SerializeToString,
    }
    handlers = {
        "One": grpc.unary_unary_rpc_method_handler(probe.one or not_implemented, **codecs),
        "Down": grpc.unary_stream_rpc_method_handler(probe.down or not_implemented, **codecs),
        "Up": grpc.stream_unary_rpc_method_handler(probe.up or not_implemented, **codecs),
        "Both": grpc.stream_stream_rpc_method_handler(probe.both or not_implemented, **codecs),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(PROBE, handlers),))
    server.add_registered_method_handlers(PROBE, handlers)


def encode(text: str | bytes) -> bytes:
    """A message; bytes pass as they are, also malformed ones."""
    return text if isinstance(text, bytes) else StringValue(value=text).SerializeToString()


def decode(raw: bytes) -> str:
    """The text of a message."""
    return StringValue.FromString(raw).value


class ProbeClient:
    """Calls the service; each method returns the texts that it got, or raises AioRpcError."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        codecs: Any = {"request_serializer": encode, "response_deserializer": decode}
        self.one_call: Any = channel.unary_unary(f"/{PROBE}/One", **codecs)
        self.down_call: Any = channel.unary_stream(f"/{PROBE}/Down", **codecs)
        self.up_call: Any = channel.stream_unary(f"/{PROBE}/Up", **codecs)
        self.both_call: Any = channel.stream_stream(f"/{PROBE}/Both", **codecs)

    async def one(self, text: str | bytes = "a") -> list[str]:
        """Unary."""
        return [await self.one_call(text, timeout=DEADLINE)]

    async def down(self, text: str | bytes = "a") -> list[str]:
        """Server stream."""
        return [answer async for answer in self.down_call(text, timeout=DEADLINE)]

    async def up(self, *texts: str | bytes) -> list[str]:
        """Client stream."""
        return [await self.up_call(iter(texts or ("a",)), timeout=DEADLINE)]

    async def both(self, *texts: str | bytes) -> list[str]:
        """Bidirectional."""
        return [answer async for answer in self.both_call(iter(texts or ("a",)), timeout=DEADLINE)]

    async def kind(self, name: str, *texts: str | bytes) -> list[str]:
        """The call of that name."""
        call: Callable[..., Awaitable[list[str]]] = getattr(self, name)
        return await call(*texts)


KINDS = ("one", "down", "up", "both")


@dataclass
class Served:
    """A running server of a Probe, and a client of it."""

    server: RpcServer
    address: str
    registry: CollectorRegistry
    channel: grpc.aio.Channel

    @property
    def client(self) -> ProbeClient:
        """A client on the channel."""
        return ProbeClient(self.channel)

    def sample(self, name: str, **labels: str) -> float | None:
        """The value of a metric."""
        return self.registry.get_sample_value(name, labels)


@asynccontextmanager
async def serving(
    probe: Probe | None = None,
    *,
    tls: ServerTls | None = None,
    channel_tls: ChannelTls | None = None,
    extra_unix: Path | None = None,
    listen: Address = LOOPBACK,
) -> AsyncIterator[Served]:
    """Serve on a free port, with a channel to it."""
    registry = CollectorRegistry()
    server = RpcServer(listen, tls, registry, extra_unix=extra_unix)
    server.add(add_probe, probe if probe is not None else Probe())
    address = await server.start()
    try:
        async with open_channel(address, channel_tls) as channel:
            yield Served(server, address, registry, channel)
    finally:
        await server.stop(0.2)


# --- Certificates -------------------------------------------------------------------------------------------


@dataclass
class Authority:
    """A CA made for one test."""

    name: str
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def make(cls, name: str = "Test CA") -> "Authority":
        """A new one."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(name, name, key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(name, certificate, key)

    @property
    def pem(self) -> bytes:
        """Its certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, name: str) -> tuple[bytes, bytes]:
        """A certificate for 127.0.0.1 and localhost with that common name, and its key, in PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        certificate = (
            _builder(name, self.name, key.public_key())
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM), private_pem(key)


def private_pem(key: ec.EllipticCurvePrivateKey, password: bytes | None = None) -> bytes:
    """A key in PEM."""
    how: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password is not None:
        how = serialization.BestAvailableEncryption(password)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)


def _builder(subject: str, issuer: str, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
    )
