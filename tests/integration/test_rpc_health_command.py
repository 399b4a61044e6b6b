"""`health` of both servers: what the health check of a container asks, and its exit status."""

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner

from hotspare_rpc.address import Address
from hotspare_rpc.health_command import health
from tests.integration.test_rpc_support import Authority, Probe, serving
from tests.integration.test_rpc_tls import write_pair


async def ask(*words: str | Path, **environment: str) -> tuple[int, str]:
    clean = {"HOTSPARE_SERVER": None, "HOTSPARE_TLS_CA": None, "HOTSPARE_TLS_CERT": None, "HOTSPARE_TLS_KEY": None}
    done = await asyncio.to_thread(
        CliRunner(env={**clean, **environment}).invoke, health, [str(word) for word in words]
    )
    return done.exit_code, done.output


async def test_a_server_that_serves_is_healthy_and_one_that_stops_is_not() -> None:
    async with serving(Probe()) as served:
        assert await ask("--server", served.address) == (0, f"{served.address} serves\n")
        assert await ask(HOTSPARE_SERVER=served.address) == (0, f"{served.address} serves\n")
        served.server.set_serving(False)
        assert await ask("--server", served.address) == (1, f"{served.address}: it is NOT_SERVING\n")
    status, told = await ask("--server", served.address, "--timeout", "2")
    assert status == 1
    assert told.startswith(f"{served.address}: ")


async def test_s3_it_checks_the_certificate_and_shows_one_where_it_is_demanded(tmp_path: Path) -> None:
    ca = Authority.make()
    tls = write_pair(tmp_path, ca.issue("server"))
    trusted = tmp_path / "ca.pem"
    trusted.write_bytes(ca.pem)
    stranger = tmp_path / "stranger.pem"
    stranger.write_bytes(Authority.make("A stranger").pem)
    async with serving(Probe(), tls=tls) as served:
        assert (await ask("--server", served.address, HOTSPARE_TLS_CA=str(trusted)))[0] == 0
        assert (await ask("--server", served.address, "--tls-ca", stranger))[0] == 1
        assert (await ask("--server", served.address))[0] == 1
    demanding = type(tls)(tls.cert, tls.key, trusted)
    async with serving(Probe(), tls=demanding) as served:
        own = ("--tls-ca", trusted, "--tls-cert", tls.cert, "--tls-key", tls.key)
        assert (await ask("--server", served.address, "--tls-ca", trusted))[0] == 1
        assert (await ask("--server", served.address, *own))[0] == 0


@pytest.mark.parametrize("address", [Address("192.0.2.1", 7440), Address("127.0.0.1", 7440)])
async def test_what_can_not_be_asked_is_told_in_one_line(address: Address, tmp_path: Path) -> None:
    status, told = await ask("--server", str(address), "--tls-ca", tmp_path / "missing.pem")
    assert status == 1
    assert told == f"{address}: cannot read {tmp_path / 'missing.pem'}: No such file or directory\n"
    assert (await ask())[0] == 2
