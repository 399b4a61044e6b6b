"""S3: what runs follows its files: a server's certificate and client CA, a receiver's own certificate to its cloud, the
authorities of the system. What is broken is told and not taken."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from hotspare_cloud.issuing import _issue, issue_server, make_authority
from hotspare_receiver.clients.cloud import CloudClient
from hotspare_receiver.store.schema import migrations
from hotspare_receiver.store.settings import Settings, SettingsStore
from hotspare_rpc import tls as rpc_tls
from hotspare_rpc.address import parse_address
from hotspare_rpc.channel import open_channel
from hotspare_rpc.tls import ROOTS_OF_GRPC, ChannelTls, ServerTls, TlsError
from hotspare_store.database import Database
from tests.integration.test_rpc_support import Authority, Probe, ProbeClient, serving, wait_until
from tests.integration.test_rpc_tls import ask, fails, peer, write_pair

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


def told(caplog: pytest.LogCaptureFixture, event: str) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.msg == event]


def end_of(path: Path) -> float:
    return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc.timestamp()


async def test_s3_a_key_that_the_server_may_read_only_later_is_read_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Put into place by root, and given to the server's user a moment later: neither content nor time changes."""
    read = rpc_tls._read

    def as_another_user(path: Path) -> bytes:
        if not path.stat().st_mode & 0o077:
            raise TlsError(f"cannot read {path}: Permission denied")
        return read(path)

    old, new = Authority.make("Old"), Authority.make("New")
    files = write_pair(tmp_path, old.issue("server"))
    async with serving(Probe(peer), tls=files) as served:
        monkeypatch.setattr(rpc_tls, "_read", as_another_user)
        write_pair(tmp_path, new.issue("server"))
        files.key.chmod(0o600)
        assert await ask(served.address, ChannelTls(old.pem)) == [""]
        assert len(told(caplog, "tls_reload_failed")) == 1
        files.key.chmod(0o644)
        assert await ask(served.address, ChannelTls(new.pem)) == [""]


async def test_s3_the_end_of_the_certificate_is_that_of_the_one_which_is_served(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now, day = datetime.now(UTC), timedelta(days=1)
    newer = issue_server(authority := make_authority(now, 9 * day), ("127.0.0.1",), now, 5 * day)
    files = write_pair(tmp_path, Authority.make().issue("server"))
    async with serving(Probe(peer)) as in_clear:
        assert in_clear.server.certificate_end() is None
    async with serving(Probe(peer), tls=files) as served:
        first = end_of(files.cert)
        assert served.server.certificate_end() == first
        files.cert.write_bytes(b"half of it")
        assert served.server.certificate_end() == first
        assert served.server.certificate_end() == first
        assert len(told(caplog, "tls_reload_failed")) == 1
        write_pair(tmp_path, (newer.cert_pem, newer.key_pem))
        assert served.server.certificate_end() == end_of(files.cert) == newer.end.timestamp() != first
        assert await ask(served.address, ChannelTls(authority.cert_pem)) == [""], (
            "who looked first takes it from nobody"
        )


@pytest.mark.parametrize("broken", ["empty", "missing", "half written"])
async def test_s3_a_broken_client_ca_lets_nobody_else_in_and_nobody_out(broken: str, tmp_path: Path) -> None:
    ca, clients, others = Authority.make(), Authority.make("Clients"), Authority.make("Others")
    pair = write_pair(tmp_path, ca.issue("server"))
    trusted = tmp_path / "clients.crt"
    trusted.write_bytes(clients.pem)
    async with serving(Probe(peer), tls=ServerTls(pair.cert, pair.key, trusted)) as served:
        known = ChannelTls(ca.pem, *clients.issue("receiver 1"))
        assert await ask(served.address, known) == ["receiver 1"]
        match broken:
            case "empty":
                trusted.write_bytes(b"")
            case "missing":
                trusted.unlink()
            case _:
                trusted.write_bytes(others.pem[: len(others.pem) // 2])
        assert await ask(served.address, known) == ["receiver 1"]
        for stranger in (ChannelTls(ca.pem), ChannelTls(ca.pem, *others.issue("receiver 2"))):
            assert await fails(served.address, stranger) is UNAVAILABLE


async def test_s3_a_client_whose_authority_is_taken_away_keeps_its_connection_and_gets_no_new_one(
    tmp_path: Path,
) -> None:
    ca, before, after = Authority.make(), Authority.make("Before"), Authority.make("After")
    pair = write_pair(tmp_path, ca.issue("server"))
    trusted = tmp_path / "clients.crt"
    trusted.write_bytes(before.pem)
    known = ChannelTls(ca.pem, *before.issue("receiver 1"))
    async with serving(Probe(peer), tls=ServerTls(pair.cert, pair.key, trusted), channel_tls=known) as served:
        assert await served.client.one() == ["receiver 1"]
        trusted.write_bytes(before.pem + after.pem)
        for each in (before, after):
            assert await ask(served.address, ChannelTls(ca.pem, *each.issue("either"))) == ["either"]
        trusted.write_bytes(after.pem)
        assert await fails(served.address, known) is UNAVAILABLE
        assert await served.client.one() == ["receiver 1"]


async def test_s3_without_a_ca_the_authorities_of_the_system_are_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that the administrator of the machine added too; gRPC by itself knows only a list that came with it."""
    ca = Authority.make("Of the house")
    bundle = tmp_path / "ca-certificates.crt"
    bundle.write_bytes(ca.pem)
    monkeypatch.delenv(ROOTS_OF_GRPC, raising=False)
    async with serving(Probe(peer), tls=write_pair(tmp_path, ca.issue("server"))) as served:
        assert await fails(served.address, ChannelTls()) is UNAVAILABLE
        monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
        assert await ask(served.address, ChannelTls()) == [""]


# A receiver's own certificate, which it shows to a cloud that demands one.


@asynccontextmanager
async def receiver_of(folder: Path, address: str, ca: Authority, own: ServerTls) -> AsyncIterator[CloudClient]:
    database = Database.open(folder / "receiver.db", migrations)
    store = await SettingsStore.open(database, folder)
    await store.update(Settings(cloud_address=address, cloud_ca_pem=ca.pem.decode(), arc_id="north"), "a-key")
    cloud = CloudClient(store, own)
    cloud.follow_settings()
    try:
        yield cloud
    finally:
        await cloud.close()
        database.close()


async def shown(cloud: CloudClient) -> str:
    """The name that the cloud sees of this receiver, by its next call."""
    channel = cloud.channel()
    assert channel is not None
    (name,) = await ProbeClient(channel).one()
    return str(name)


async def lose_connection(channel: grpc.aio.Channel | None) -> None:
    assert channel is not None
    await wait_until(lambda: channel.get_state() is not grpc.ChannelConnectivity.READY)


async def connected(channel: grpc.aio.Channel | None) -> None:
    assert channel is not None
    await wait_until(lambda: channel.get_state(try_to_connect=True) is grpc.ChannelConnectivity.READY)


async def test_s3_who_waits_for_a_channel_hears_of_the_one_that_a_whole_certificate_makes(tmp_path: Path) -> None:
    """The settings changed while the pair was half written, say."""
    ca = Authority.make()
    own = write_pair(tmp_path, ca.issue("receiver"))
    whole = own.cert.read_bytes()
    own.cert.write_bytes(whole[:100])
    async with receiver_of(tmp_path, "127.0.0.1:9", ca, own) as cloud:
        came: list[bool] = []
        cloud.on_channel = lambda: came.append(cloud.channel() is not None)
        assert cloud.channel() is None
        assert came == []
        own.cert.write_bytes(whole)
        assert cloud.channel() is not None
        assert came == [True]
        assert cloud.channel() is not None
        assert came == [True]


async def test_s3_a_receiver_shows_its_renewed_certificate_once_it_connects_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    ca, clients = Authority.make(), Authority.make("Receivers")
    (tmp_path / "cloud").mkdir()
    pair = write_pair(tmp_path / "cloud", ca.issue("cloud"))
    trusted = tmp_path / "clients.crt"
    trusted.write_bytes(clients.pem)
    demanding = ServerTls(pair.cert, pair.key, trusted)
    own = write_pair(tmp_path, clients.issue("before"))
    async with (
        serving(Probe(peer), tls=demanding) as first,
        receiver_of(tmp_path, first.address, ca, own) as cloud,
    ):
        place = parse_address(first.address)
        assert await shown(cloud) == "before"
        channel = cloud.channel()
        write_pair(tmp_path, clients.issue("after"))
        assert await shown(cloud) == "before"
        assert cloud.channel() is channel, "the connection that stands lives on"
        await first.server.stop(0)
        await lose_connection(channel)
        async with serving(Probe(peer), tls=demanding, listen=place) as second:
            assert await shown(cloud) == "after"
            assert cloud.channel() is not channel
            kept = cloud.channel()
            own.cert.write_bytes(own.cert.read_bytes()[:100])
            await second.server.stop(0)
            await lose_connection(kept)
        async with serving(Probe(peer), tls=demanding, listen=place) as third:
            assert cloud.channel() is kept
            await connected(kept)
            assert await shown(cloud) == "after", "a broken file is not shown, the one of before is"
            assert len(told(caplog, "cloud_unusable")) == 1
            write_pair(tmp_path, clients.issue("mended"))
            await third.server.stop(0)
            await lose_connection(kept)
        async with serving(Probe(peer), tls=demanding, listen=place):
            assert await shown(cloud) == "mended"


async def test_s3_a_certificate_that_is_broken_when_the_cloud_is_named_is_taken_once_it_is_whole(
    tmp_path: Path,
) -> None:
    ca, clients = Authority.make(), Authority.make("Receivers")
    own = write_pair(tmp_path, clients.issue("whole"))
    whole = own.cert.read_bytes()
    own.cert.write_bytes(whole[:100])
    (tmp_path / "cloud").mkdir()
    async with (
        serving(Probe(peer), tls=write_pair(tmp_path / "cloud", ca.issue("cloud"))) as served,
        receiver_of(tmp_path, served.address, ca, own) as cloud,
    ):
        assert cloud.channel() is None
        own.cert.write_bytes(whole)
        assert await shown(cloud) == ""


async def test_s3_a_certificate_for_servers_alone_is_none_to_show_to_a_cloud(tmp_path: Path) -> None:
    """Why `hotspare-cloud certs` makes them for both uses."""
    now, day = datetime.now(UTC), timedelta(days=1)
    authority = make_authority(now, day)
    names: list[x509.GeneralName] = [x509.DNSName("localhost")]
    server_only = _issue(authority, "alpha", names, [ExtendedKeyUsageOID.SERVER_AUTH], now, day)
    both = issue_server(authority, ("localhost",), now, day)
    (tmp_path / "ca.pem").write_bytes(authority.cert_pem)
    pair = write_pair(tmp_path, (both.cert_pem, both.key_pem))
    async with serving(Probe(peer), tls=ServerTls(pair.cert, pair.key, tmp_path / "ca.pem")) as served:
        address = f"localhost:{served.address.rpartition(':')[2]}"
        assert await ask(address, ChannelTls(authority.cert_pem, both.cert_pem, both.key_pem)) == ["localhost"]
        refused = ChannelTls(authority.cert_pem, server_only.cert_pem, server_only.key_pem)
        assert await fails(address, refused) is UNAVAILABLE
        async with open_channel(address.replace("localhost", "127.0.0.1"), ChannelTls(authority.cert_pem)) as wrong:
            with pytest.raises(grpc.aio.AioRpcError):
                await ProbeClient(wrong).one()
