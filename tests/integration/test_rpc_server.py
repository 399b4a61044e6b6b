"""The server: where it listens, health, reflection, and the orderly stop."""

import asyncio
import os
import socket
import stat
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client import CollectorRegistry, Counter

from hotspare.v1 import role_service_pb2_grpc
from hotspare_model.errors import HotspareError, Reason
from hotspare_rpc.address import Address, AddressError, ListenError
from hotspare_rpc.channel import PlaintextError, open_channel
from hotspare_rpc.errors import from_rpc_error
from hotspare_rpc.metrics import SCRAPE_TIMEOUT, serve_metrics
from hotspare_rpc.server import QUIET, RpcServer
from tests.integration.test_rpc_support import (
    DEADLINE,
    LOOPBACK,
    PROBE,
    Probe,
    ProbeClient,
    add_probe,
    serving,
)

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


async def echo(request: Any, context: Any) -> Any:
    return request


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


# --- S3 and the port ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "cloud.example.org"])
async def test_s3_a_public_address_without_tls_is_refused(host: str) -> None:
    server = RpcServer(Address(host, 0), None, CollectorRegistry())
    with pytest.raises(ListenError, match="without TLS: only loopback"):
        await server.start()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.8.7", "localhost"])
async def test_s3_loopback_is_served_in_clear(host: str) -> None:
    async with serving(Probe(echo), listen=Address(host, 0)) as served:
        assert served.address.startswith("127.")
        assert port_of(served.address) > 0
        assert await served.client.one("x") == ["x"]


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="this machine has no IPv6")
async def test_s3_ipv6_loopback_is_served_in_clear() -> None:
    async with serving(Probe(echo), listen=Address("::1", 0)) as served:
        assert served.address.startswith("[::1]:")
        assert await served.client.one("x") == ["x"]


async def test_a_second_server_on_the_same_port_is_refused_and_the_first_goes_on() -> None:
    async with serving(Probe(echo)) as served:
        second = RpcServer(Address("127.0.0.1", port_of(served.address)), None, CollectorRegistry())
        with pytest.raises(ListenError, match=f"{served.address}: Address already in use"):
            await second.start()
        await second.stop(0)
        assert await served.client.one("x") == ["x"]


async def test_the_server_does_not_share_its_port_with_one_that_would() -> None:
    """SO_REUSEPORT is the default of gRPC: a second such server would start silently and take half of all."""
    async with serving() as served:
        stranger = grpc.aio.server(options=(("grpc.so_reuseport", 1),))
        with pytest.raises(RuntimeError):
            stranger.add_insecure_port(served.address)


async def test_a_port_is_free_again_at_once() -> None:
    async with serving(Probe(echo)) as served:
        await served.client.one()
        port = port_of(served.address)
    async with serving(Probe(echo), listen=Address("127.0.0.1", port)) as served:
        assert await served.client.one("x") == ["x"]


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
async def test_an_address_of_another_machine_is_refused_with_the_cause(host: str, tmp_path: Path) -> None:
    with pytest.raises(ListenError, match=f"cannot serve metrics on {host}:0: "):
        serve_metrics(Address(host, 0), CollectorRegistry())


async def test_s3_a_channel_in_clear_to_another_machine_is_refused() -> None:
    for address in ("192.0.2.1:443", "cloud.example.org:443", "[2001:db8::1]:443"):
        with pytest.raises(PlaintextError, match="without TLS"):
            open_channel(address, None)
    with pytest.raises(AddressError):
        open_channel("cloud.example.org", None)


async def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", "http://192.0.2.1:3128")
    monkeypatch.setenv("grpc_proxy", "http://192.0.2.1:3128")
    async with serving(Probe(echo)) as served:
        assert await served.client.one("x") == ["x"]


# --- The socket in the file system --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["admin.socket", "a name with %20 and #.socket"])
async def test_the_extra_socket_serves_its_owner_only(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    before = os.umask(0)
    try:
        async with serving(Probe(echo), extra_unix=path) as served:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            async with open_channel(f"unix:{path}", None) as channel:
                assert await ProbeClient(channel).one("x") == ["x"]
            assert await served.client.one("x") == ["x"]
        assert not path.exists()
    finally:
        assert os.umask(before) == 0


async def test_a_socket_that_a_killed_process_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with serving(Probe(echo), extra_unix=path), open_channel(f"unix:{path}", None) as channel:
        assert await ProbeClient(channel).one("x") == ["x"]


@pytest.mark.parametrize("path", ["missing/s", "x" * 200])
async def test_a_socket_that_cannot_be_made_is_an_error_that_names_it(path: str, tmp_path: Path) -> None:
    server = RpcServer(LOOPBACK, None, CollectorRegistry(), extra_unix=tmp_path / path)
    with pytest.raises(ListenError, match=f"cannot listen on {tmp_path / path}"):
        await server.start()
    await server.stop(0)


# --- Health -------------------------------------------------------------------------------------------------


async def health(channel: grpc.aio.Channel, service: str = "") -> int:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=DEADLINE)
    status: int = answer.status
    return status


async def test_health_is_serving_as_soon_as_started_overall_and_for_each_service() -> None:
    async with serving() as served:
        assert await health(served.channel) == SERVING
        assert await health(served.channel, PROBE) == SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health(served.channel, "nobody.Service")
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        served.server.set_serving(False)
        assert await health(served.channel) == NOT_SERVING
        assert await health(served.channel, PROBE) == NOT_SERVING
        served.server.set_serving(True)
        assert await health(served.channel, PROBE) == SERVING


async def test_health_lists_all_services() -> None:
    async with serving() as served:
        stub: Any = health_pb2_grpc.HealthStub(served.channel)
        answer = await stub.List(health_pb2.HealthListRequest(), timeout=DEADLINE)  # type: ignore[attr-defined]
    assert {name: each.status for name, each in answer.statuses.items()} == {"": SERVING, PROBE: SERVING}


async def test_health_watch_tells_changes_and_ends_with_the_server() -> None:
    seen: list[int] = []
    async with serving() as served:
        stub: Any = health_pb2_grpc.HealthStub(served.channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest(service=PROBE), timeout=DEADLINE)
        seen.append((await watch.read()).status)
        served.server.set_serving(False)
        seen.append((await watch.read()).status)
        served.server.set_serving(True)
        seen.append((await watch.read()).status)
        began = time.monotonic()
        await served.server.stop(DEADLINE)
        assert time.monotonic() - began < DEADLINE / 2
        seen.append((await watch.read()).status)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await watch.read()
    assert seen == [SERVING, NOT_SERVING, SERVING, NOT_SERVING]
    error = from_rpc_error(caught.value)
    assert error is not None
    assert error.reason is Reason.SHUTTING_DOWN


async def test_health_watch_of_an_unknown_service_says_so() -> None:
    async with serving() as served:
        stub: Any = health_pb2_grpc.HealthStub(served.channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest(service="nobody.Service"), timeout=DEADLINE)
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        watch.cancel()


# --- Reflection ---------------------------------------------------------------------------------------------


async def test_reflection_tells_the_services_and_their_messages() -> None:
    async with serving() as served:
        server = RpcServer(LOOPBACK, None, CollectorRegistry())
        servicer = role_service_pb2_grpc.RoleServiceServicer()
        server.add(role_service_pb2_grpc.add_RoleServiceServicer_to_server, servicer)
        assert server.services == ("hotspare.v1.RoleService",)
        channel = open_channel(await server.start(), None)
        try:
            stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)  # type: ignore[arg-type]  # typed for sync alone
            requests = [
                reflection_pb2.ServerReflectionRequest(list_services=""),
                reflection_pb2.ServerReflectionRequest(file_containing_symbol="hotspare.v1.RoleService"),
            ]
            answers = [answer async for answer in stub.ServerReflectionInfo(iter(requests), timeout=DEADLINE)]
        finally:
            await channel.close()
            await server.stop(0)
        assert served.address
    names = {service.name for service in answers[0].list_services_response.service}
    assert names == {
        "hotspare.v1.RoleService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    assert b"JoinGroup" in answers[1].file_descriptor_response.file_descriptor_proto[0]


# --- The orderly stop ---------------------------------------------------------------------------------------


async def test_stop_tells_health_first_and_lets_running_calls_finish() -> None:
    begun, finish = asyncio.Event(), asyncio.Event()

    async def slow(request: Any, context: Any) -> Any:
        begun.set()
        await finish.wait()
        return request

    async with serving(Probe(slow)) as served:
        stub: Any = health_pb2_grpc.HealthStub(served.channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=DEADLINE)
        assert (await watch.read()).status == SERVING
        call = asyncio.create_task(served.client.one("kept"))
        await begun.wait()
        stopping = asyncio.create_task(served.server.stop(DEADLINE))
        assert (await watch.read()).status == NOT_SERVING
        assert served.server.stopping.is_set()
        assert not stopping.done()
        finish.set()
        assert await call == ["kept"]
        await stopping


async def test_a_stream_that_watches_stopping_ends_at_once() -> None:
    async with serving() as first:
        assert first.address
    registry = CollectorRegistry()
    server = RpcServer(LOOPBACK, None, registry)

    async def stream(request: Any, context: Any) -> AsyncIterator[StringValue]:
        yield StringValue(value="x")
        await server.stopping.wait()
        raise HotspareError(Reason.SHUTTING_DOWN, "the server is stopping")

    server.add(add_probe, Probe(down=stream))
    channel = open_channel(await server.start(), None)
    call = ProbeClient(channel).down_call("a", timeout=DEADLINE)
    assert await call.read() == "x"
    began = time.monotonic()
    await server.stop(DEADLINE)
    assert time.monotonic() - began < DEADLINE / 2
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    await channel.close()


async def test_what_does_not_end_is_cut_after_the_grace() -> None:
    begun = asyncio.Event()

    async def stuck(request: Any, context: Any) -> Any:
        begun.set()
        await asyncio.sleep(60)

    async with serving(Probe(stuck)) as served:
        call = asyncio.create_task(served.client.one())
        await begun.wait()
        began = time.monotonic()
        grace = QUIET + 0.3  # longer than where nothing runs
        await served.server.stop(grace)
        assert grace - 0.05 < time.monotonic() - began < DEADLINE / 2
        with pytest.raises(grpc.aio.AioRpcError):
            await call


async def test_a_silent_peer_does_not_hold_the_stop_up() -> None:
    """As one behind a cut: gRPC waits for its answer to the ping before it closes the connection."""
    begin = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000 04 00 00000000")  # RFC 9113, 3.4 and 6.5
    async with serving() as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(served.address))
        try:
            writer.write(begin)
            assert await reader.readexactly(9)
            began = time.monotonic()
            await served.server.stop(DEADLINE)
            assert time.monotonic() - began < QUIET + 1.2
        finally:
            writer.close()


async def test_a_server_that_never_started_stops() -> None:
    server = RpcServer(LOOPBACK, None, CollectorRegistry())
    server.set_serving(True)
    await server.stop(1)
    await server.stop(1)


# --- The page of metrics ------------------------------------------------------------------------------------


def fetch(url: str) -> tuple[int, str]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=DEADLINE) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as problem:
        return problem.code, problem.read().decode()


async def test_metrics_are_served_at_their_address_until_stopped() -> None:
    registry = CollectorRegistry()
    Counter("hotspare_things", "Things.", registry=registry).inc(3)
    metrics = serve_metrics(LOOPBACK, registry)
    status, page = await asyncio.to_thread(fetch, f"http://{metrics.address}/metrics")
    assert status == 200
    assert "hotspare_things_total 3.0" in page
    assert "_created" not in page
    assert (await asyncio.to_thread(fetch, f"http://{metrics.address}/"))[0] == 404
    metrics.stop()
    metrics.stop()
    with pytest.raises(urllib.error.URLError):
        await asyncio.to_thread(fetch, f"http://{metrics.address}/metrics")


async def test_a_metrics_port_in_use_is_an_error_that_names_it() -> None:
    first = serve_metrics(LOOPBACK, CollectorRegistry())
    try:
        with pytest.raises(ListenError, match=f"cannot serve metrics on {first.address}: Address already in use"):
            serve_metrics(Address("127.0.0.1", port_of(first.address)), CollectorRegistry())
    finally:
        first.stop()


async def test_s4_connections_that_say_nothing_do_not_pile_up_threads(
    capfd: pytest.CaptureFixture[str],
) -> None:
    metrics = serve_metrics(LOOPBACK, CollectorRegistry())
    silent = [socket.create_connection(("127.0.0.1", port_of(metrics.address)), timeout=DEADLINE) for _ in range(30)]
    try:
        closed = 0
        began = time.monotonic()
        for connection in silent[8:]:
            closed += (await asyncio.to_thread(connection.recv, 1)) == b""
        assert closed == 22
        assert time.monotonic() - began < SCRAPE_TIMEOUT / 2, "at once, not by the time-out"
    finally:
        for connection in silent:
            connection.close()
    metrics.stop()
    assert capfd.readouterr().err == ""
