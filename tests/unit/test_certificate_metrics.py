"""When certificates end, for Prometheus: of what a new connection would be served with (S3)."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hotspare_rpc.certificates import CertificateCollector, TrustFile, client_ca_end, trust_end
from hotspare_rpc.tls import ServerTls

START = datetime(2031, 1, 1, tzinfo=UTC)
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])


def day(number: int) -> float:
    """The end of a certificate that lasts for so many days."""
    return (START + timedelta(days=number)).timestamp()


def pair(days: int) -> tuple[bytes, bytes]:
    """A certificate that lasts for so many days, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    made = (
        x509.CertificateBuilder()
        .subject_name(NAME)
        .issuer_name(NAME)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(START)
        .not_valid_after(START + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return made.public_bytes(serialization.Encoding.PEM), key.private_bytes(*form)


def put(folder: Path, files: Mapping[str, bytes]) -> None:
    """Each as a new file, moved into place."""
    for name, content in files.items():
        (folder / "new").write_bytes(content)
        (folder / "new").replace(folder / name)


def ends(collector: CertificateCollector) -> dict[str, float]:
    (metric,) = collector.collect()
    return {sample.labels["certificate"]: sample.value for sample in metric.samples}


def test_without_tls_every_child_of_certificate_end_time_seconds_is_there_and_is_0() -> None:
    seen = CertificateCollector("hotspare_cloud", {"server": lambda: None, "client_ca": client_ca_end(None)})
    assert ends(seen) == {"server": 0, "client_ca": 0}


def test_s3_the_end_moves_when_the_files_are_replaced(tmp_path: Path) -> None:
    cert, key = pair(10)
    put(tmp_path, {"server.pem": cert, "server.key": key, "ca.pem": pair(20)[0]})
    ca = tmp_path / "ca.pem"
    followed = ServerTls(tmp_path / "server.pem", tmp_path / "server.key", ca).followed()
    told = {"server": followed.certificate_end, "client_ca": client_ca_end(ca)}
    both = [CertificateCollector(prefix, told) for prefix in ("hotspare_cloud", "hotspare_receiver")]
    assert [metric.name for seen in both for metric in seen.collect()] == [
        "hotspare_cloud_certificate_end_time_seconds", "hotspare_receiver_certificate_end_time_seconds",
    ]  # fmt: skip

    def everywhere(server: float, client_ca: float) -> bool:
        return all(ends(seen) == {"server": server, "client_ca": client_ca} for seen in both)

    assert everywhere(day(10), day(20))
    cert, key = pair(30)
    put(tmp_path, {"server.key": key, "server.pem": cert})
    assert everywhere(day(30), day(20))
    put(tmp_path, {"ca.pem": pair(40)[0]})
    assert everywhere(day(30), day(40))
    put(tmp_path, {"server.pem": pair(50)[0]})
    assert everywhere(day(30), day(40)), "its key is another one's, so it is not served"


def test_s3_authorities_that_can_not_be_read_leave_those_of_before(tmp_path: Path) -> None:
    seen = TrustFile(tmp_path / "ca.pem")
    assert seen.end() == 0
    put(tmp_path, {"ca.pem": pair(10)[0]})
    assert seen.end() == day(10)
    put(tmp_path, {"ca.pem": b"not a certificate"})
    assert seen.end() == day(10)
    (tmp_path / "ca.pem").unlink()
    assert seen.end() == day(10)
    put(tmp_path, {"ca.pem": pair(30)[0]})
    assert seen.end() == day(30)


def test_a_file_that_did_not_change_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, {"ca.pem": pair(10)[0]})
    seen = TrustFile(tmp_path / "ca.pem")
    assert seen.end() == day(10)

    def read(self: Path) -> bytes:
        raise AssertionError("read again")

    monkeypatch.setattr(Path, "read_bytes", read)
    assert seen.end() == day(10)


def test_trust_ends_with_the_last_of_the_authorities() -> None:
    assert trust_end(pair(20)[0] + pair(10)[0]) == day(20)
    assert trust_end(b"") == 0
