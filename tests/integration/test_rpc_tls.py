"""TLS: certificates that are checked at the start, reloaded while serving, and demanded of clients (S3)."""

import logging
from pathlib import Path
from typing import Any

import grpc
import pytest

from hotspare_rpc.address import Address
from hotspare_rpc.channel import open_channel
from hotspare_rpc.tls import ChannelTls, ServerTls, TlsError
from tests.integration.test_rpc_support import LOOPBACK, Authority, Probe, ProbeClient, private_pem, serving


async def peer(request: Any, context: Any) -> Any:
    """Answer with the common name that the client showed."""
    names = context.auth_context().get("x509_common_name", [b""])
    request.value = names[0].decode()
    return request


def write_pair(folder: Path, pair: tuple[bytes, bytes]) -> ServerTls:
    """Write as renewal tools do: a new file each, moved into place, key first."""
    for name, pem in (("server.key", pair[1]), ("server.crt", pair[0])):
        (folder / "new").write_bytes(pem)
        (folder / "new").replace(folder / name)
    return ServerTls(folder / "server.crt", folder / "server.key")


async def ask(address: str, tls: ChannelTls) -> list[str]:
    """Call once on a connection of its own."""
    channel = open_channel(address, tls)
    try:
        return await ProbeClient(channel).one()
    finally:
        await channel.close()


async def fails(address: str, tls: ChannelTls) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ask(address, tls)
    return caught.value.code()


async def test_s3_a_client_that_trusts_the_ca_is_served_and_others_are_not(tmp_path: Path) -> None:
    ca = Authority.make()
    tls = write_pair(tmp_path, ca.issue("server"))
    async with serving(Probe(peer), tls=tls, channel_tls=ChannelTls(ca.pem)) as served:
        assert await served.client.one() == [""]
        assert await fails(served.address, ChannelTls(Authority.make().pem)) is grpc.StatusCode.UNAVAILABLE
        assert await fails(served.address, ChannelTls()) is grpc.StatusCode.UNAVAILABLE
        async with open_channel(served.address, None) as plain:
            with pytest.raises(grpc.aio.AioRpcError):
                await ProbeClient(plain).one()
        assert await served.client.one() == [""]


async def test_s3_with_tls_any_address_is_served(tmp_path: Path) -> None:
    ca = Authority.make()
    tls = write_pair(tmp_path, ca.issue("server"))
    async with serving(Probe(peer), tls=tls, channel_tls=ChannelTls(ca.pem), listen=Address("0.0.0.0", 0)) as served:
        assert served.address.startswith("0.0.0.0:")
        port = served.address.rpartition(":")[2]
        assert await ask(f"127.0.0.1:{port}", ChannelTls(ca.pem)) == [""]


async def test_s3_a_new_certificate_is_served_without_a_restart(tmp_path: Path) -> None:
    old, new = Authority.make("Old CA"), Authority.make("New CA")
    tls = write_pair(tmp_path, old.issue("server"))
    async with serving(Probe(peer), tls=tls, channel_tls=ChannelTls(old.pem)) as served:
        assert await served.client.one() == [""]
        write_pair(tmp_path, new.issue("server"))
        assert await ask(served.address, ChannelTls(new.pem)) == [""]
        assert await fails(served.address, ChannelTls(old.pem)) is grpc.StatusCode.UNAVAILABLE
        assert await served.client.one() == [""], "the connection that stood goes on"


@pytest.mark.parametrize("broken", ["half written", "missing", "of another key", "empty"])
async def test_s3_a_broken_new_pair_keeps_the_old_one_and_is_logged_once(
    broken: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ca = Authority.make()
    good = ca.issue("server")
    tls = write_pair(tmp_path, good)
    async with serving(Probe(peer), tls=tls) as served:
        match broken:
            case "half written":
                tls.cert.write_bytes(good[0][: len(good[0]) // 2])
            case "missing":
                tls.key.unlink()
            case "of another key":
                tls.key.write_bytes(ca.issue("server")[1])
            case _:
                tls.cert.write_bytes(b"")
        for _ in range(3):
            assert await ask(served.address, ChannelTls(ca.pem)) == [""]
        failures = [record for record in caplog.records if record.msg == "tls_reload_failed"]
        assert [record.levelno for record in failures] == [logging.ERROR]
        newer = Authority.make("Newer CA")
        write_pair(tmp_path, newer.issue("server"))
        assert await ask(served.address, ChannelTls(newer.pem)) == [""]


async def test_s3_with_a_client_ca_only_clients_it_signed_are_served(tmp_path: Path) -> None:
    ca, clients = Authority.make(), Authority.make("Clients")
    pair = write_pair(tmp_path, ca.issue("server"))
    (tmp_path / "clients.crt").write_bytes(clients.pem)
    tls = ServerTls(pair.cert, pair.key, tmp_path / "clients.crt")
    async with serving(Probe(peer), tls=tls) as served:
        assert await ask(served.address, ChannelTls(ca.pem, *clients.issue("receiver 1"))) == ["receiver 1"]
        for stranger in (ChannelTls(ca.pem), ChannelTls(ca.pem, *ca.issue("receiver 1"))):
            assert await fails(served.address, stranger) is grpc.StatusCode.UNAVAILABLE
        others = Authority.make("Other clients")
        (tmp_path / "clients.crt").write_bytes(others.pem)
        assert await ask(served.address, ChannelTls(ca.pem, *others.issue("receiver 2"))) == ["receiver 2"]
        assert await fails(served.address, ChannelTls(ca.pem, *clients.issue("x"))) is grpc.StatusCode.UNAVAILABLE


def test_s3_a_file_that_cannot_be_used_is_named_with_the_reason(tmp_path: Path) -> None:
    ca = Authority.make()
    tls = write_pair(tmp_path, ca.issue("server"))
    other_key = tmp_path / "other.key"
    other_key.write_bytes(ca.issue("other")[1])
    locked = tmp_path / "locked.key"
    locked.write_bytes(private_pem(ca.key, b"password"))
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"\x00\xff" * 100)
    missing = tmp_path / "missing"
    cases = [
        (ServerTls(missing, tls.key), f"cannot read {missing}: No such file or directory"),
        (ServerTls(tls.cert, missing), f"cannot read {missing}: No such file or directory"),
        (ServerTls(tmp_path, tls.key), f"cannot read {tmp_path}: Is a directory"),
        (ServerTls(garbage, tls.key), f"{garbage} holds no certificate"),
        (ServerTls(tls.key, tls.cert), f"{tls.key} holds no certificate"),
        (ServerTls(tls.cert, garbage), f"{garbage} holds no private key"),
        (
            ServerTls(tls.cert, other_key),
            f"the private key in {other_key} does not belong to the certificate in",
        ),
        (ServerTls(tls.cert, locked), f"the private key in {locked} is encrypted"),
        (ServerTls(tls.cert, tls.key, garbage), f"{garbage} holds no certificate"),
    ]
    for files, message in cases:
        with pytest.raises(TlsError) as caught:
            files.check()
        assert message in str(caught.value)
    tls.check()


async def test_s3_a_server_with_a_broken_pair_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(TlsError, match="cannot read"):
        async with serving(tls=ServerTls(tmp_path / "a", tmp_path / "b"), listen=LOOPBACK):
            pass


def test_the_tls_of_a_channel_is_read_with_the_same_errors(tmp_path: Path) -> None:
    ca = Authority.make()
    (tmp_path / "ca.crt").write_bytes(ca.pem)
    pair = write_pair(tmp_path, ca.issue("client"))
    assert ChannelTls.from_files(tmp_path / "ca.crt") == ChannelTls(ca.pem)
    assert ChannelTls.from_files(None) == ChannelTls()
    full = ChannelTls.from_files(tmp_path / "ca.crt", pair.cert, pair.key)
    assert full.key_pem == pair.key.read_bytes()
    assert "PRIVATE KEY" not in repr(full)
    with pytest.raises(TlsError, match="no certificate"):
        ChannelTls.from_files(pair.key)
    with pytest.raises(TlsError, match="go together"):
        ChannelTls.from_files(None, pair.cert)


def test_a_certificate_out_of_its_time_is_served_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = write_pair(tmp_path, Authority.make().issue("server"))
    monkeypatch.setattr("hotspare_rpc.pem.datetime", _Tomorrow)
    tls.check()
    assert [record.msg for record in caplog.records] == ["tls_certificate_not_valid_now"]


class _Tomorrow:
    @staticmethod
    def now(zone: Any) -> Any:
        from datetime import datetime, timedelta

        return datetime.now(zone) + timedelta(days=1)
