"""`hotspare-cloud certs` in earnest: a cloud and a receiver served with them, and S3 over processes that run: renewed
certificates go to new connections, old connections live on, broken files change nothing."""

import shutil
import signal
import socket
import ssl
from pathlib import Path

import pytest
from cryptography import x509

from tests.acceptance.harness.pages import bash, marked_blocks
from tests.acceptance.harness.polling import until
from tests.acceptance.harness.process import Server, run
from tests.acceptance.harness.system import ARC_ID, Receiver, System

pytestmark = pytest.mark.full

NO_ANSWER = 3


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, pairs for the cloud and the host (by their address only), and one for a technician."""
    out = tmp_path_factory.mktemp("certificates") / "tls"
    names = ("--name", "cloud.test,127.0.0.1", "--name", "host.test,127.0.0.1", "--client", "technician")
    run(["hotspare-cloud", "certs", "--out", out, *names])
    return out


@pytest.fixture(scope="module")
def host(system: System, tls: Path) -> Receiver:
    """A working host. Cloud and host demand certificates; the host shows the one that it serves with."""
    system.start_cloud(*served_with(tls / "cloud.test"))
    host = system.start_receiver("host", *served_with(tls / "host.test"))
    host.serving()
    system.receivers["host"] = host
    arc = system.arc("host")
    host.cli(
        "settings", "set", "--cloud-address", system.cloud.grpc, "--cloud-ca-file", tls / "ca.pem",
        "--arc-id", ARC_ID, "--arc-key-file", system.arc_key, options=shown_by(tls),
    )  # fmt: skip
    host.cli("output", "add", "arc", "--kind", "sia-dc09", "--address", arc.address, options=shown_by(tls))
    host.cli("enable", "--role", "host", options=shown_by(tls))
    system.await_working("host")
    return host


def served_with(folder: Path) -> tuple[str, ...]:
    return (
        "--tls-cert", str(folder / "cert.pem"), "--tls-key", str(folder / "key.pem"),
        "--tls-client-ca", str(folder / "ca.pem"),
    )  # fmt: skip


def shown_by(tls: Path) -> tuple[str, ...]:
    """Options of the CLI, for the technician."""
    own = tls / "technician"
    cert, key = str(own / "cert.pem"), str(own / "key.pem")
    return ("--tls-ca", str(tls / "ca.pem"), "--tls-cert", cert, "--tls-key", key)


def serial(server: Server, tls: Path) -> int:
    """Of the certificate that a new connection to this server gets."""
    context = ssl.create_default_context(cafile=str(tls / "ca.pem"))
    context.load_cert_chain(tls / "technician" / "cert.pem", tls / "technician" / "key.pem")
    context.set_alpn_protocols(["h2"])
    host, _, port = server.grpc.rpartition(":")
    with (
        socket.create_connection((host, int(port)), 10) as plain,
        context.wrap_socket(plain, server_hostname=host) as wrapped,
    ):
        return x509.load_der_x509_certificate(wrapped.getpeercert(binary_form=True) or b"").serial_number


def on_disk(folder: Path) -> int:
    return x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes()).serial_number


def test_s3_both_are_served_with_certificates_that_one_command_made(system: System, host: Receiver, tls: Path) -> None:
    assert "working" in host.cli("status", options=shown_by(tls)).stdout
    assert host.cli("doctor", options=shown_by(tls), fail=True).stdout.count("fine") >= 5
    for server, name in ((system.cloud, "cloud.test"), (host, "host.test")):
        assert serial(server, tls) == on_disk(tls / name)
        run(["hotspare-cloud", "health", "--server", server.grpc, *shown_by(tls)])


def test_s3_a_name_that_is_not_in_the_certificate_is_refused(host: Receiver, tls: Path) -> None:
    port = host.grpc.rpartition(":")[2]
    words: list[str | Path] = ["--token-file", host.token, *shown_by(tls), "status"]
    refused = run(["hotspare", "--server", f"localhost:{port}", *words], fail=True)
    assert refused.status == NO_ANSWER, refused
    assert run(["hotspare", "--server", f"127.0.0.1:{port}", *words]).status == 0


def test_s3_a_renewed_certificate_goes_to_new_connections_and_nobody_loses_one(
    system: System, host: Receiver, tls: Path
) -> None:
    before = {name: on_disk(tls / name) for name in ("cloud.test", "host.test")}
    epoch, connected = system.epoch(), host.log().count("cloud_connected")
    run(["hotspare-cloud", "certs", "--out", tls, "--renew"])
    for server, name in ((system.cloud, "cloud.test"), (host, "host.test")):
        assert serial(server, tls) == on_disk(tls / name) != before[name]
        assert "tls_reload_failed" not in server.log()
    assert system.working() == "host"
    assert (system.epoch(), host.log().count("cloud_connected")) == (epoch, connected)
    assert "cloud_lost" not in host.log()


def test_s3_a_broken_file_changes_nothing_and_is_told_once(system: System, host: Receiver, tls: Path) -> None:
    cert = tls / "host.test" / "cert.pem"
    whole, served = cert.read_bytes(), on_disk(cert.parent)
    cert.write_bytes(whole[: len(whole) // 2])
    for _ in range(3):
        assert serial(host, tls) == served
    assert host.log().count("tls_reload_failed") == 1
    assert str(cert) in next(line for line in host.log().splitlines() if "tls_reload_failed" in line)
    cert.write_bytes(whole)
    run(["hotspare-cloud", "certs", "--out", tls, "--renew"])
    assert serial(host, tls) == on_disk(cert.parent) != served


def test_s3_another_authority_takes_the_place_of_the_first_and_the_host_works_on(
    system: System, host: Receiver, tls: Path
) -> None:
    """As the page tells: all trust both, pairs are replaced, the old one is forgotten. The host shows its new pair when
    it connects anew: the cloud, started again, trusts no other one."""
    new = tls.parent / "tls-new"
    names = ("--name", "cloud.test,127.0.0.1", "--name", "host.test,127.0.0.1", "--client", "technician")
    run(["hotspare-cloud", "certs", "--out", new, *names])
    both = (tls / "ca.pem").read_bytes() + (new / "ca.pem").read_bytes()
    file = tls.parent / "both.pem"
    file.write_bytes(both)
    epoch = system.epoch()
    host.cli("settings", "set", "--cloud-ca-file", file, options=shown_by(tls))
    for name in ("cloud.test", "host.test"):
        put(tls / name / "ca.pem", both)
        for each in ("key.pem", "cert.pem"):
            put(tls / name / each, (new / name / each).read_bytes())
    for server, name in ((system.cloud, "cloud.test"), (host, "host.test")):
        assert serial(server, new) == on_disk(new / name)
    assert (system.working(), system.epoch()) == ("host", epoch)
    for name in ("cloud.test", "host.test"):
        put(tls / name / "ca.pem", (new / "ca.pem").read_bytes())
    assert host.cli("status", options=(*shown_by(new)[:2], *shown_by(tls)[2:]), fail=True).status == NO_ANSWER
    system.cloud.signal(signal.SIGTERM)
    system.cloud.wait()
    system.cloud.start()
    system.cloud.serving()
    system.await_working("host")
    until(lambda: "cloud_channel_renewed" in host.log(), 10, "the host shows its new certificate")
    assert "working" in host.cli("status", options=shown_by(new)).stdout


def put(path: Path, content: bytes) -> None:
    """Write it beside, and move it into its place."""
    beside = path.with_name("new")
    beside.write_bytes(content)
    beside.chmod(0o600)
    shutil.move(beside, path)


def test_s3_the_commands_of_the_page_make_renew_and_add(tmp_path: Path) -> None:
    told = bash("\n".join(marked_blocks("docs/deploy.md", "certificates")), tmp_path)
    made = sorted(path.parent.name for path in (tmp_path / "tls").glob("*/cert.pem"))
    assert made == [f"{name}.example.org" for name in ("alpha", "bravo", "charlie", "cloud")]
    assert "server alpha.example.org, localhost, 192.0.2.7; ends" in told
