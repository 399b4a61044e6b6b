"""How commands fail: two lines, what and what to do, and an exit status that scripts can go by."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from hotspare.v1.configuration_service_pb2 import CreateDeviceResponse
from hotspare_model.errors import CODES, HotspareError, Reason
from hotspare_rpc.tls import ServerTls
from tests.integration.test_cli_support import (
    SPARE_ID,
    TOKEN,
    Script,
    finish,
    host_status,
    run_cli,
    scripted_server,
    secret_file,
    start_cli,
)
from tests.integration.test_rpc_support import Authority, wait_until


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Script]:
    async with scripted_server(tmp_path) as script:
        yield script


@pytest.fixture
def mute() -> Iterator[str]:
    """A server that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


async def test_g1_a_taken_role_names_holder_and_free_roles(server: Script) -> None:
    server.answers["EnableHotSpare"] = HotspareError(
        Reason.ROLE_TAKEN,
        "the role spare 1 is held by beta",
        role="SPARE_1",
        holder=SPARE_ID,
        holder_name="beta",
        free_roles="SPARE_2,SPARE_3",
    )
    refused = await server.run("enable", "--role", "spare1")
    assert refused.code == 1
    assert refused.out == ""
    what, hint = refused.error_lines()
    assert what == "The role spare 1 is held by beta (ROLE_TAKEN)."
    assert "(spare2, spare3)" in hint


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (Reason.CALLER_NOT_ALLOWED, 1),
        (Reason.ETAG_MISMATCH, 1),
        (Reason.RESOURCE_NOT_FOUND, 5),
        (Reason.CLOUD_UNREACHABLE, 3),
        (Reason.SHUTTING_DOWN, 3),
        (Reason.ROLE_HELD, 1),
    ],
)
async def test_the_exit_status_follows_the_code_of_the_refusal(server: Script, reason: Reason, code: int) -> None:
    server.answers["GetStatus"] = HotspareError(reason, "told in words")
    refused = await server.run("status")
    assert refused.code == code, CODES[reason]
    assert refused.error_lines()[0] == f"Told in words ({reason})."


async def test_nobody_there_is_3(server: Script) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nowhere = f"127.0.0.1:{closed.getsockname()[1]}"
        failed = await server.run("--server", nowhere, "status")
    assert failed.code == 3
    what, hint = failed.error_lines()
    assert what == f"{nowhere} can't be reached: Connection refused."
    assert "--server" in hint


async def test_an_unknown_host_is_3(server: Script, tmp_path: Path) -> None:
    # The name is one that no resolver knows (RFC 6761, 6.4).
    failed = await server.run("--timeout", "5", "--server", "receiver.invalid:7001", "status")
    assert failed.code == 3
    assert "receiver.invalid:7001" in failed.error_lines()[0]


async def test_no_answer_in_time_is_3(server: Script, mute: str) -> None:
    async def never(_request: Any) -> Any:
        await asyncio.sleep(60)

    server.answers["GetStatus"] = never
    late = await server.run("--timeout", "0.5", "status")
    assert late.code == 3
    assert "did not answer in time" in late.error_lines()[0]
    silent = await server.run("--timeout", "0.5", "--server", mute, "status")
    assert silent.code == 3
    silent.error_lines()


async def test_a_creation_without_an_answer_tells_that_it_may_have_happened(server: Script, tmp_path: Path) -> None:
    async def slow(_request: Any) -> Any:
        await asyncio.sleep(60)
        return CreateDeviceResponse()

    server.answers["CreateDevice"] = slow
    create = ("device", "create", "panel-1", "--account", "1234", "--key-out", str(tmp_path / "k"))
    late = await server.run("--timeout", "0.5", *create)
    assert late.code == 3
    assert "It may have been created: hotspare device show panel-1." in late.error_lines()[1]
    assert not (tmp_path / "k").exists()


async def test_a_call_that_is_not_served_is_told_apart(server: Script) -> None:
    plain = await server.run("token", "list")
    assert plain.code == 1
    assert plain.error_lines()[0] == f"{server.address} does not serve this call."
    server.answers["ListTokens"] = HotspareError(Reason.NOT_SERVED, "not in this release", method="ListTokens")
    told = await server.run("token", "list")
    assert told.code == 1
    assert "NOT_SERVED" in told.error_lines()[0]


async def test_a_defect_of_the_server_is_no_defect_of_the_command(server: Script) -> None:
    server.answers["GetStatus"] = RuntimeError("boom")
    failed = await server.run("status")
    assert failed.code == 1
    what, hint = failed.error_lines()
    assert what.endswith("(INTERNAL).")
    assert "of the incident " in hint


async def test_s4_an_error_of_a_stranger_does_not_steer_the_terminal(server: Script) -> None:
    server.answers["GetStatus"] = HotspareError(Reason.FIELD_INVALID, "a\x1b[2Jb\nc", field="\x1b[31m", problem="p")
    failed = await server.run("status")
    assert "\x1b" not in failed.err
    failed.error_lines()


@pytest.mark.parametrize("mode", [0o640, 0o644])
async def test_s1_a_token_file_open_to_others_is_not_used(server: Script, tmp_path: Path, mode: int) -> None:
    path = secret_file(tmp_path / "open.token", TOKEN, mode)
    refused = await server.run("--token-file", str(path), "status")
    assert refused.code == 2
    assert f"chmod 600 {path}" in refused.error_lines()[1]
    assert server.calls == []


async def test_a_missing_token_file_is_told(server: Script, tmp_path: Path) -> None:
    missing = await server.run("--token-file", str(tmp_path / "none"), "status")
    assert missing.code == 2
    assert str(tmp_path / "none") in missing.error_lines()[0]


async def test_flags_come_before_the_environment(server: Script) -> None:
    server.answers["GetStatus"] = host_status()
    elsewhere = server.environment() | {"HOTSPARE_SERVER": "127.0.0.1:1"}
    assert (await server.run("--server", server.address, "status", environment=elsewhere)).code == 0


async def test_interrupted_is_130(server: Script) -> None:
    async def never(_request: Any) -> Any:
        await asyncio.sleep(60)

    server.answers["GetStatus"] = never
    process = await start_cli("status", environment=server.environment())
    await wait_until(lambda: bool(server.calls))
    process.send_signal(signal.SIGINT)
    interrupted = await finish(process)
    assert interrupted.code == 130
    assert "Traceback" not in interrupted.err


# --- TLS ---------------------------------------------------------------------------------------------------


def pem_pair(folder: Path, name: str, pair: tuple[bytes, bytes]) -> tuple[Path, Path]:
    """Files with a certificate and its key."""
    cert, key = folder / f"{name}.crt", folder / f"{name}.key"
    cert.write_bytes(pair[0])
    key.write_bytes(pair[1])
    return cert, key


async def test_s3_with_tls_the_authority_is_checked(tmp_path: Path) -> None:
    ours, theirs = Authority.make("Ours"), Authority.make("Theirs")
    trusted, stranger = tmp_path / "ours.pem", tmp_path / "theirs.pem"
    trusted.write_bytes(ours.pem)
    stranger.write_bytes(theirs.pem)
    async with scripted_server(tmp_path, ServerTls(*pem_pair(tmp_path, "server", ours.issue("s")))) as server:
        server.answers["GetStatus"] = host_status()
        assert (await server.run("--tls-ca", str(trusted), "status")).code == 0
        by_environment = server.environment() | {"HOTSPARE_TLS_CA": str(trusted)}
        assert (await server.run("status", environment=by_environment)).code == 0
        wrong = await server.run("--timeout", "5", "--tls-ca", str(stranger), "status")
        clear = await server.run("--timeout", "5", "status")
        for failed in (wrong, clear):
            assert failed.code == 3
            assert "--tls-ca" in failed.error_lines()[1]
        assert len(server.requests("GetStatus")) == 2


async def test_s3_a_server_may_demand_a_certificate_of_the_command_too(tmp_path: Path) -> None:
    ours = Authority.make()
    ca = tmp_path / "ca.pem"
    ca.write_bytes(ours.pem)
    tls = ServerTls(*pem_pair(tmp_path, "server", ours.issue("s")), client_ca=ca)
    cert, key = pem_pair(tmp_path, "mine", ours.issue("technician"))
    async with scripted_server(tmp_path, tls) as server:
        server.answers["GetStatus"] = host_status()
        mine = ("--tls-cert", str(cert), "--tls-key", str(key))
        assert (await server.run("--tls-ca", str(ca), *mine, "status")).code == 0
        assert (await server.run("--timeout", "5", "--tls-ca", str(ca), "status")).code == 3
        assert (await server.run("--tls-ca", str(ca), *mine[:2], "status")).code == 2


async def test_s3_a_token_never_goes_to_another_machine_in_clear(server: Script, tmp_path: Path) -> None:
    # 192.0.2.0/24 is for documentation (RFC 5737): nobody is there, and nothing would be sent anyway without TLS.
    failed = await server.run("--timeout", "0.5", "--server", "192.0.2.1:7001", "status")
    assert failed.code == 3


async def test_a_ca_file_that_is_none_is_wrong_usage(server: Script, tmp_path: Path) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("nothing")
    assert (await server.run("--tls-ca", str(broken), "status")).code == 2
    assert (await server.run("--tls-ca", str(tmp_path / "none"), "status")).code == 2


async def test_without_anything_set_the_way_is_told() -> None:
    bare = await run_cli("status")
    assert bare.code == 2
    assert "HOTSPARE_SERVER" in bare.error_lines()[1]
