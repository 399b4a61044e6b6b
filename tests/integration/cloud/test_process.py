"""The process: what it prints, what it refuses to start with, TLS, and accounts from the command line (S1, S3)."""

import asyncio
import os
import re
import shutil
import signal
import stat
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
import sqlite_utils
from click.testing import CliRunner, Result
from grpc_health.v1 import health_pb2, health_pb2_grpc

from hotspare_cloud.main import main
from hotspare_cloud.store.sqlite import DATABASE_NAME
from hotspare_model.group import GroupSettings
from hotspare_rpc.channel import open_channel
from hotspare_rpc.tls import ChannelTls
from tests.integration.cloud.helpers import LOOPBACK, Account, CloudProcess, furnish, query, run_cloud
from tests.integration.cloud.receivers import HOST, Receiver
from tests.integration.cloud.scene import Scene
from tests.integration.test_rpc_support import Authority


def mode(path: Path) -> int:
    """The permission bits of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def refusal(*arguments: str) -> str:
    """What a command says that is refused (1), or not understood (2): no traceback, and nothing on its output."""
    result = run_cloud(*arguments)
    assert result.returncode in (1, 2), result
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return result.stderr


def create_account(arc_id: str, *more: str) -> Result:
    """`account create`, in this process: the start of one costs most of a second."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: CliRunner().invoke(main, ["account", "create", *more, "--", arc_id])).result()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_tells_where_it_serves_and_stops_in_order(tmp_path: Path, number: signal.Signals) -> None:
    cloud = CloudProcess(tmp_path / "data", "--metrics", LOOPBACK).start()
    assert re.fullmatch(r"127\.0\.0\.1:[1-9][0-9]+", cloud.address)
    with urllib.request.urlopen(f"http://{cloud.metrics}/metrics") as page:
        text = page.read().decode()
    assert "hotspare_cloud_info{" in text
    assert "grpc_server_handled_total" in text
    cloud.signal(number)
    assert cloud.wait() == 0


def test_s1_what_it_keeps_is_for_its_user_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        cloud = CloudProcess(tmp_path / "data").start()
    finally:
        os.umask(before)
    try:
        assert mode(cloud.data) == 0o700
        assert {path.name: oct(mode(path)) for path in cloud.data.iterdir() if mode(path) & 0o077} == {}
        assert mode(cloud.data / "operator.token") == 0o600
        assert mode(cloud.data / "admin.socket") == 0o600
        secret = cloud.token
        assert secret not in cloud.log()
        assert not query(cloud.data, "SELECT * FROM token WHERE CAST(sha256 AS TEXT) = ?", secret)
    finally:
        cloud.stop()


def test_s1_the_first_token_is_made_once(tmp_path: Path) -> None:
    cloud = CloudProcess(tmp_path / "data").start()
    first = cloud.token
    cloud.stop()
    cloud.start()
    try:
        assert cloud.token == first
    finally:
        cloud.stop()


def test_s1_a_token_that_a_restored_copy_does_not_know_is_made_anew(tmp_path: Path) -> None:
    """The one of the copy may have been replaced because it was lost: it must not be the only one that is valid."""
    cloud = CloudProcess(tmp_path / "data").start()
    first = cloud.token
    cloud.stop()
    copy = tmp_path / "copy.db"
    shutil.copy(tmp_path / "data" / "cloud.db", copy)
    (tmp_path / "data" / "operator.token").unlink()
    cloud.start()
    second = cloud.token
    cloud.stop()
    shutil.copy(copy, tmp_path / "data" / "cloud.db")
    cloud.start()
    try:
        assert len({first, second, cloud.token}) == 3
        rows = query(cloud.data, "SELECT name, revoked_at IS NULL FROM token ORDER BY created_at")
        assert [tuple(row) for row in rows] == [("admin", 0), ("admin", 1)]
    finally:
        cloud.stop()


def test_s3_a_public_address_without_tls_is_refused(tmp_path: Path) -> None:
    assert "without TLS" in refusal("serve", "--data", str(tmp_path / "data"), "--listen", "0.0.0.0:0")


def test_s4_a_port_in_use_is_refused_and_named(cloud: CloudProcess, tmp_path: Path) -> None:
    said = refusal("serve", "--data", str(tmp_path / "data"), "--listen", cloud.address)
    assert cloud.address in said
    assert "in use" in said
    said = refusal("serve", "--data", str(tmp_path / "data"), "--listen", LOOPBACK, "--metrics", cloud.address)
    assert cloud.address in said


def test_s4_a_data_folder_in_use_is_refused_and_its_process_named(cloud: CloudProcess) -> None:
    said = refusal("serve", "--data", str(cloud.data), "--listen", LOOPBACK)
    assert f"in use by a running process (pid {cloud.pid})" in said


def test_s4_a_data_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for data in (tmp_path / "file", tmp_path / "file" / "below"):
        assert str(data) in refusal("serve", "--data", str(data), "--listen", LOOPBACK)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_s4_a_data_folder_that_is_not_writable_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert "can't be used" in refusal("serve", "--data", str(tmp_path / "data"), "--listen", LOOPBACK)


def test_v3_a_database_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    cloud = CloudProcess(tmp_path / "data").start()
    cloud.stop()
    path = cloud.data / DATABASE_NAME
    database = sqlite_utils.Database(path)
    database.table("_sqlite_migrations").insert(
        {"migration_set": "hotspare-cloud", "name": "m9999_later", "applied_at": "2030-01-01"}
    )
    database.close()
    said = refusal("serve", "--data", str(cloud.data), "--listen", LOOPBACK)
    assert "newer version" in said
    assert "m9999_later" in said


def test_s4_a_database_that_is_none_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / DATABASE_NAME).write_bytes(b"this is no database at all" * 100)
    assert str(data / DATABASE_NAME) in refusal("serve", "--data", str(data), "--listen", LOOPBACK)


def test_s3_tls_files_that_can_not_be_used_are_named(tmp_path: Path) -> None:
    cert, key = _pair(tmp_path, Authority.make())
    missing = str(tmp_path / "missing.pem")
    arguments = ("--tls-cert", str(cert), "--tls-key", missing)
    assert missing in refusal("serve", "--data", str(tmp_path / "data"), "--listen", LOOPBACK, *arguments)
    arguments = ("--tls-cert", str(key), "--tls-key", str(key))
    assert str(key) in refusal("serve", "--data", str(tmp_path / "data"), "--listen", LOOPBACK, *arguments)


async def test_s3_over_tls_from_the_handshake_to_the_alarm(tmp_path: Path) -> None:
    authority = Authority.make()
    cert, key = _pair(tmp_path, authority)
    account = Account("tls", "k" * 43)
    await furnish(tmp_path / "data", [account], GroupSettings())
    cloud = CloudProcess(
        tmp_path / "data", "--tls-cert", str(cert), "--tls-key", str(key), "--disk-floor", "0", listen="0.0.0.0:0"
    )
    await asyncio.to_thread(cloud.start)
    try:
        port = cloud.address.rpartition(":")[2]
        async with open_channel(f"127.0.0.1:{port}", ChannelTls(authority.pem)) as channel:
            scene = await Scene.set(channel, account, spares=0)
            pull = await scene.host.work()
            await scene.devices[0].publish(zone=1)
            await pull.until_zones(1)
            await pull.confirm_all()
        for wrong in (None, ChannelTls(Authority.make("Another").pem)):
            async with open_channel(f"127.0.0.1:{port}", wrong) as channel:
                with pytest.raises(grpc.aio.AioRpcError) as error:
                    await Receiver(channel, account).members()
                assert error.value.code() is grpc.StatusCode.UNAVAILABLE
        # A command beside the running cloud goes through its socket, not through TLS.
        made = run_cloud("account", "create", "beside-tls", "--data", str(cloud.data))
        assert made.returncode == 0, made
    finally:
        cloud.stop()


async def test_health_tells_that_it_serves(channel: grpc.aio.Channel) -> None:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service="hotspare.v1.AlarmService"))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_s1_an_account_made_beside_a_running_cloud_is_there_at_once(
    cloud: CloudProcess, channel: grpc.aio.Channel, tmp_path: Path
) -> None:
    key_file = tmp_path / "key"
    made = run_cloud(
        "account", "create", "beside", "--data", str(cloud.data), "--key-out", str(key_file),
        "--sub-account", "north", "--sub-account", "south",
    )  # fmt: skip
    assert made.returncode == 0, made
    key = key_file.read_text().strip()
    assert mode(key_file) == 0o600
    assert made.stdout == ""
    assert key not in made.stderr + cloud.log()
    host = Receiver(channel, Account("beside", key), sub_account="south")
    assert (await host.join(HOST)).group.sub_account == "south"
    again = refusal("account", "create", "beside", "--data", str(cloud.data))
    assert "exists already" in again


async def test_s1_an_account_made_while_the_cloud_stands_is_there_when_it_runs(own_cloud: CloudProcess) -> None:
    own_cloud.data.mkdir()
    made = run_cloud("account", "create", "before", "--data", str(own_cloud.data))
    assert made.returncode == 0, made
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}\n", made.stdout)
    assert "exists already" in refusal("account", "create", "before", "--data", str(own_cloud.data))
    await asyncio.to_thread(own_cloud.start)
    async with open_channel(own_cloud.address, None) as channel:
        joined = await Receiver(channel, Account("before", made.stdout.strip())).join(HOST)
        assert joined.group.sub_account == "default"


def test_s1_an_account_after_a_kill_goes_to_the_folder_itself(own_cloud: CloudProcess) -> None:
    """The socket's note of a cloud that was killed is still there."""
    own_cloud.start()
    own_cloud.kill()
    made = run_cloud("account", "create", "after", "--data", str(own_cloud.data))
    assert made.returncode == 0, made


def test_s1_a_key_file_that_can_not_be_written_makes_no_account(cloud: CloudProcess, tmp_path: Path) -> None:
    there, stopped = tmp_path / "there", tmp_path / "stopped"
    there.write_text("another key")
    for number, folder in enumerate((cloud.data, stopped)):
        for target in (tmp_path / "missing" / "key", there, there / "key"):
            result = create_account("keyless", "--data", str(folder), "--key-out", str(target))
            assert result.exit_code == 1, result
            assert isinstance(result.exception, SystemExit), result.exception
            assert str(target) in result.output
        key_file = tmp_path / f"key-{number}"
        result = create_account("keyless", "--data", str(folder), "--key-out", str(key_file))
        assert result.exit_code == 0, result.output
        assert len(key_file.read_text().strip()) == 43
    assert there.read_text() == "another key"


def test_s1_an_account_that_can_not_be_made_leaves_no_key_file(tmp_path: Path) -> None:
    data, key_file = tmp_path / "data", tmp_path / "key"
    assert create_account("twice", "--data", str(data)).exit_code == 0
    result = create_account("twice", "--data", str(data), "--key-out", str(key_file))
    assert (result.exit_code, key_file.exists()) == (1, False)


@pytest.mark.parametrize("bad", ["a b", "x" * 65, "a/b", ""])
def test_s4_an_account_of_a_wrong_form_is_refused(cloud: CloudProcess, tmp_path: Path, bad: str) -> None:
    for folder in (cloud.data, tmp_path):
        for result in (
            create_account(bad, "--data", str(folder)),
            create_account("fine", "--data", str(folder), "--sub-account", bad),
        ):
            assert result.exit_code == 1
            assert isinstance(result.exception, SystemExit), result.exception
            assert "must be 1 to 64 characters" in result.output


def test_s1_an_account_may_come_before_the_first_start(tmp_path: Path) -> None:
    data = tmp_path / "new"
    made = run_cloud("account", "create", "first", "--data", str(data))
    assert made.returncode == 0, made
    assert mode(data) == 0o700
    assert query(data, "SELECT arc_id FROM account") == [("first",)]


def test_a_data_folder_with_a_very_long_path_serves_commands_too(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    cloud = CloudProcess(deep / "data", log=tmp_path / "log").start()
    try:
        made = run_cloud("account", "create", "far", "--data", str(cloud.data))
        assert made.returncode == 0, made
        socket = Path((cloud.data / "admin.address").read_text().strip())
        assert mode(socket) == 0o600
    finally:
        cloud.stop()
    assert not socket.exists()
    shutil.rmtree(socket.parent, ignore_errors=True)


def _pair(folder: Path, authority: Authority) -> tuple[Path, Path]:
    cert, key = folder / "cert.pem", folder / "key.pem"
    pems = authority.issue("cloud")
    cert.write_bytes(pems[0])
    key.write_bytes(pems[1])
    return cert, key
