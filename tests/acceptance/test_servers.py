"""Servers as processes: what they refuse to start with, and how they end."""

import os
import signal
import sqlite3
from pathlib import Path

import pytest

from tests.acceptance.harness.certificates import Authority
from tests.acceptance.harness.process import Result, Server, run
from tests.acceptance.harness.system import LOCAL, Receiver, System

KINDS = ("hotspare-cloud", "hotspare-receiver")
DATABASES = {"hotspare-cloud": "cloud.db", "hotspare-receiver": "receiver.db"}


@pytest.fixture(scope="module")
def running(system: System) -> dict[str, Server]:
    """One server of each kind."""
    receiver = system.start_receiver("receiver")
    cloud = system.start_cloud()
    return {"hotspare-cloud": cloud, "hotspare-receiver": receiver.serving()}


def refusal(kind: str, data: Path, *more: str, listen: str = LOCAL) -> Result:
    """A start that must be refused: one line that says why, exit status 1."""
    result = run([kind, "serve", "--data", data, "--listen", listen, *more], fail=True, timeout=30)
    assert (result.status, result.stdout) == (1, ""), result
    assert "Traceback" not in result.stderr, result
    return result


@pytest.mark.parametrize("kind", KINDS)
def test_s4_a_second_server_on_a_port_is_refused_and_the_first_goes_on(
    running: dict[str, Server], tmp_path: Path, kind: str
) -> None:
    address = running[kind].grpc
    assert address in refusal(kind, tmp_path / "other", listen=address).stderr
    metrics = running[kind].addresses["metrics"]
    assert metrics in refusal(kind, tmp_path / "another", "--metrics", metrics).stderr
    assert running[kind].is_running


@pytest.mark.parametrize("kind", KINDS)
def test_s4_a_data_folder_in_use_is_refused_with_the_pid_of_who_has_it(
    running: dict[str, Server], system: System, kind: str
) -> None:
    data = system.folder / {"hotspare-cloud": "cloud", "hotspare-receiver": "receiver"}[kind]
    assert f"pid {running[kind].pid}" in refusal(kind, data).stderr


@pytest.mark.parametrize("kind", KINDS)
def test_s4_a_data_folder_that_cannot_be_written_is_refused(tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").write_text("in the way")
    assert str(tmp_path / "file") in refusal(kind, tmp_path / "file" / "data").stderr
    # Where no write bit stops root, a file system of the kernel does.
    unwritable = Path("/proc/self/fdinfo") if os.geteuid() == 0 else tmp_path / "locked"
    if os.geteuid() != 0:
        unwritable.mkdir(mode=0o500)
    assert str(unwritable) in refusal(kind, unwritable).stderr


@pytest.mark.parametrize("kind", KINDS)
def test_s4_a_data_folder_of_a_newer_version_is_refused_and_stays_as_it_is(
    system: System, tmp_path: Path, kind: str
) -> None:
    data = tmp_path / "data"
    server = system.server(Server("old", [kind, "serve", "--data", str(data), "--listen", LOCAL], tmp_path))
    server.start()
    server.serving()
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    with sqlite3.connect(data / DATABASES[kind]) as database:
        database.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) "
            "SELECT migration_set, 'of_a_later_release', applied_at FROM _sqlite_migrations LIMIT 1"
        )
    database.close()
    before = (data / DATABASES[kind]).read_bytes()
    refused = refusal(kind, data).stderr
    assert "newer version" in refused
    assert "of_a_later_release" in refused
    assert (data / DATABASES[kind]).read_bytes() == before


@pytest.mark.parametrize("kind", KINDS)
def test_s4_a_folder_with_something_else_under_the_databases_name_is_refused(tmp_path: Path, kind: str) -> None:
    (tmp_path / DATABASES[kind]).write_bytes(b"no database at all\n" * 100)
    assert DATABASES[kind] in refusal(kind, tmp_path).stderr


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0"])
def test_s3_a_public_address_without_tls_is_refused(tmp_path: Path, kind: str, listen: str) -> None:
    refused = refusal(kind, tmp_path / "data", listen=listen).stderr
    assert "without TLS" in refused
    assert "--tls-cert" in refused


@pytest.mark.parametrize("kind", KINDS)
def test_s3_certificates_that_are_missing_or_do_not_fit_are_refused(tmp_path: Path, kind: str) -> None:
    authority = Authority(tmp_path)
    certificate, _ = authority.issue("one")
    _, other_key = authority.issue("two")
    refusal(kind, tmp_path / "data", "--tls-cert", str(certificate), "--tls-key", str(tmp_path / "nothing"))
    refusal(kind, tmp_path / "data", "--tls-cert", str(certificate), "--tls-key", str(other_key))
    half = run([kind, "serve", "--data", tmp_path / "d", "--listen", LOCAL, "--tls-cert", certificate], fail=True)
    assert half.status == 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_ends_in_order_and_starts_again_on_its_folder(system: System, tmp_path: Path, kind: str) -> None:
    data = str(tmp_path / "data")
    server = system.server(Server("server", [kind, "serve", "--data", data, "--listen", LOCAL], tmp_path))
    for number in (signal.SIGTERM, signal.SIGINT):
        server.start()
        server.serving()
        server.signal(number)
        assert server.wait() == 0, server.log()
        assert "Traceback" not in server.log()


def test_s1_the_admin_token_is_made_once_and_outlives_kill_9(system: System, tmp_path: Path) -> None:
    receiver = Receiver("again", tmp_path)
    system.server(receiver)
    receiver.start()
    receiver.serving()
    token = receiver.token.read_text()
    receiver.kill()
    receiver.start()
    receiver.serving()
    assert receiver.token.read_text() == token
    receiver.cli("status")
