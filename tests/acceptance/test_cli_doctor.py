"""`doctor` about the certificate of a real cloud: trusted, about to end, ended, of a wrong name, of a stranger."""

import ipaddress
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.acceptance.harness.polling import until
from tests.acceptance.harness.process import Result
from tests.acceptance.harness.system import ARC_ID, Receiver, System

pytestmark = pytest.mark.full

NOT_HEALTHY = 4
LOOPBACK = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))


class Ca:
    """An authority whose certificates are valid as long as a test wants."""

    def __init__(self, name: str) -> None:
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._serial = 0

    @property
    def pem(self) -> bytes:
        """Its own certificate."""
        return _pem(self._signed(self._name, self._key, timedelta(days=-1), timedelta(days=3650), ()))

    def issue(self, *, ends: timedelta, name: x509.GeneralName = LOOPBACK) -> tuple[bytes, bytes]:
        """A certificate for that name, which ends so far from now, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cloud")])
        certificate = self._signed(subject, key, timedelta(days=-400), ends, (name,))
        return _pem(certificate), key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def _signed(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        begins: timedelta,
        ends: timedelta,
        names: tuple[x509.GeneralName, ...],
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begins)
            .not_valid_after(now + ends)
            .add_extension(x509.BasicConstraints(ca=not names, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


@dataclass
class Cloud:
    """A cloud whose certificate a test exchanges, and a receiver of it."""

    ca: Ca
    folder: Path
    receiver: Receiver

    def shows(self, certificate: tuple[bytes, bytes]) -> None:
        """Put another certificate in the place of the one there is, as a technician does."""
        for name, pem in zip(("cloud.pem", "cloud.key"), certificate, strict=True):
            fresh = self.folder / "fresh"
            fresh.touch(mode=0o600)
            fresh.write_bytes(pem)
            os.replace(fresh, self.folder / name)

    def examined(self) -> tuple[Result, dict[str, str]]:
        """What doctor tells of the cloud's certificate."""
        result = self.receiver.cli("doctor", "-o", "json", fail=True)
        checks = json.loads(result.stdout)["checks"]
        return result, next(check for check in checks if check["name"] == "cloud certificate")


@pytest.fixture(scope="module")
def cloud(system: System, tmp_path_factory: pytest.TempPathFactory) -> Cloud:
    ca, folder = Ca("an authority"), tmp_path_factory.mktemp("tls")
    receiver = system.start_receiver("alpha")
    found = Cloud(ca, folder, receiver)
    found.shows(ca.issue(ends=timedelta(days=90)))
    system.start_cloud("--tls-cert", str(folder / "cloud.pem"), "--tls-key", str(folder / "cloud.key"))
    receiver.serving()
    ca_file = folder / "ca.pem"
    ca_file.write_bytes(ca.pem)
    words = ("--cloud-address", system.cloud.grpc, "--cloud-ca-file", ca_file)
    receiver.cli("settings", "set", *words, "--arc-id", ARC_ID, "--arc-key-file", system.arc_key)
    return found


def test_s3_a_certificate_that_is_trusted_and_lasts_is_fine(cloud: Cloud) -> None:
    _, check = cloud.examined()
    assert check["verdict"] == "fine", check
    assert "127.0.0.1" in check["told"]
    assert "(in 89 d" in check["told"] or "(in 90 d" in check["told"]


@pytest.mark.parametrize(
    ("make", "verdict", "told", "advice"),
    [
        (lambda ca: ca.issue(ends=timedelta(days=20)), "watch", "(in 19 d 23 h)", "Renew it"),
        (lambda ca: ca.issue(ends=timedelta(days=3)), "wrong", "(in 2 d 23 h)", "Renew it"),
        (lambda ca: ca.issue(ends=timedelta(days=-1)), "wrong", "it ended at", "Put a new one in its place"),
        (
            lambda ca: ca.issue(ends=timedelta(days=90), name=x509.DNSName("cloud.example.org")),
            "wrong",
            "names cloud.example.org",
            "by a name that it holds",
        ),
        (lambda _: Ca("a stranger").issue(ends=timedelta(days=90)), "wrong", "not trusted", "--cloud-ca-file"),
    ],
    ids=["ends in 20 days", "ends in 3 days", "ended", "another name", "another authority"],
)
def test_s3_what_is_wrong_with_it_is_told_with_what_to_do(
    cloud: Cloud, make: Callable[[Ca], tuple[bytes, bytes]], verdict: str, told: str, advice: str
) -> None:
    cloud.shows(make(cloud.ca))
    last: list[dict[str, str]] = []

    def seen() -> bool:
        result, check = cloud.examined()
        last[:] = [check]
        # Servers take a new certificate without a restart, a moment later.
        return check["verdict"] == verdict and told in check["told"] and result.status in (0, NOT_HEALTHY)

    until(seen, 30, lambda: f"{verdict}, {told}: {last}")
    assert advice in last[0]["advice"]
    if verdict == "wrong":
        assert cloud.examined()[0].status == NOT_HEALTHY
