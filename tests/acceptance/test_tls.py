"""TLS from device to cloud, from receiver to cloud, and from the CLI to a receiver that demands certificates."""

import os
import shutil
from pathlib import Path

import pytest

from tests.acceptance.harness.certificates import Authority
from tests.acceptance.harness.polling import until
from tests.acceptance.harness.process import run
from tests.acceptance.harness.system import ARC_ID, Receiver, System

NO_ANSWER = 3


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def host(system: System, authority: Authority) -> Receiver:
    """A receiver that demands certificates of its clients, and a cloud with a certificate."""
    cert, key = map(str, authority.issue("cloud"))
    system.start_cloud("--tls-cert", cert, "--tls-key", key)
    cert, key = map(str, authority.issue("receiver"))
    host = system.start_receiver("host", "--tls-cert", cert, "--tls-key", key, "--tls-client-ca", str(authority.file))
    host.serving()
    system.receivers["host"] = host
    return host


@pytest.fixture(scope="module")
def options(authority: Authority) -> tuple[str, ...]:
    """Of the CLI, for the receiver."""
    cert, key = authority.issue("operator")
    return ("--tls-ca", str(authority.file), "--tls-cert", str(cert), "--tls-key", str(key))


def settings(system: System, authority: Authority) -> tuple[str | Path, ...]:
    cloud = ("--cloud-address", system.cloud.grpc, "--cloud-ca-file", authority.file)
    return ("settings", "set", *cloud, "--arc-id", ARC_ID, "--arc-key-file", system.arc_key)


def test_s3_an_alarm_goes_all_the_way_with_tls(
    system: System, host: Receiver, authority: Authority, options: tuple[str, ...]
) -> None:
    arc = system.arc("tls")
    host.cli(*settings(system, authority), options=options)
    host.cli("output", "add", "arc", "--kind", "sia-dc09", "--address", arc.address, options=options)
    host.cli("enable", "--role", "host", options=options)
    key = system.folder / "panel.key"
    host.cli("device", "create", "panel-1", "--account", "5ec1", "--key-out", key, options=options)
    device = ("alarm", "send", "--arc-id", ARC_ID, "--device", "panel-1", "--key-file", key, "--code", "1120")

    def sent() -> bool:
        # The cloud knows the device once the host has pushed it (B3).
        result = run(["hotspare", "--server", system.cloud.grpc, "--tls-ca", authority.file, *device], fail=True)
        return "stored 1" in result.stdout

    until(sent, 15, "the cloud takes an alarm over TLS")
    until(lambda: arc.received, 15, "the ARC has it")
    assert [(each.account, each.event.code) for each in arc.received] == [("5EC1", "120")]


def test_s3_the_cli_refuses_a_server_of_another_authority(
    host: Receiver, options: tuple[str, ...], tmp_path: Path
) -> None:
    stranger = Authority(tmp_path, "a stranger")
    result = host.cli("status", options=("--tls-ca", str(stranger.file), *options[2:]), fail=True)
    assert result.status == NO_ANSWER
    assert "--tls-ca" in result.stderr


def test_s3_a_client_without_a_certificate_is_refused_where_one_is_demanded(
    host: Receiver, options: tuple[str, ...]
) -> None:
    assert host.cli("status", options=options[:2], fail=True).status == NO_ANSWER


def test_s3_clear_text_to_a_server_with_tls_is_refused(host: Receiver) -> None:
    result = host.cli("status", fail=True)
    assert result.status == NO_ANSWER
    assert "--tls-ca" in result.stderr


def test_s3_a_receiver_does_not_trust_a_cloud_of_another_authority(
    system: System, host: Receiver, authority: Authority, tmp_path: Path
) -> None:
    receiver = system.start_receiver("wary")
    receiver.serving()
    receiver.cli(*settings(system, Authority(tmp_path, "a stranger")))
    refused = receiver.cli("enable", "--role", "spare1", fail=True)
    assert refused.status == NO_ANSWER, refused
    receiver.cli(*settings(system, authority))
    receiver.cli("enable", "--role", "spare1")


def test_s3_a_certificate_is_read_again_without_a_restart(
    system: System, host: Receiver, authority: Authority, options: tuple[str, ...]
) -> None:
    """A renewed one of another authority: only who trusts that one can connect from then on."""
    other = Authority(system.folder, "the next authority")
    cert, key = other.issue("renewed")
    folder = authority.file.parent
    for new, name in ((key, "receiver.key"), (cert, "receiver.pem")):
        shutil.copy(new, folder / "fresh")
        os.replace(folder / "fresh", folder / name)
    trusting = ("--tls-ca", str(other.file), *options[2:])
    until(lambda: host.cli("status", options=trusting, fail=True).status == 0, 20, "the new certificate is served")
    assert host.cli("status", options=options, fail=True).status == NO_ANSWER
