"""`hotspare-cloud certs`: an authority and certificates in one call, none overwritten, renewed in one step (S3)."""

import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from hotspare_cloud import certificate_folder
from hotspare_cloud.certificate_folder import CertificateFolderError, Wanted, make, renew
from hotspare_cloud.issuing import NameProblem, checked_host, make_authority
from hotspare_cloud.main import main
from hotspare_rpc.tls import ServerTls

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
YEAR = timedelta(days=365)
CLOUD = Wanted(("cloud.example.org", "localhost", "127.0.0.1"), True)
OPERATOR = Wanted(("operator",), False)


def certs(*words: str | Path) -> Result:
    return CliRunner().invoke(main, ["certs", *map(str, words)])


def loaded(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def content(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def test_s3_one_call_makes_all_that_servers_and_clients_need(tmp_path: Path) -> None:
    out = tmp_path / "tls"
    before = os.umask(0)
    try:
        done = certs("--out", out, "--name", "Cloud.example.org,127.0.0.1", "--name", "::1", "--client", "operator")
    finally:
        os.umask(before)
    assert done.exit_code == 0, done.output
    assert set(content(out)) == {
        "ca.pem", "ca.key", *(f"{name}/{file}" for name in ("cloud.example.org", "--1", "operator")
                              for file in ("ca.pem", "cert.pem", "key.pem")),
    }  # fmt: skip
    assert {oct(stat.S_IMODE(path.stat().st_mode)) for path in out.rglob("*") if path.is_file()} == {"0o600"}
    assert {oct(stat.S_IMODE(path.stat().st_mode)) for path in (out, *out.glob("*/"))} == {"0o700"}
    for host in ("cloud.example.org", "--1"):
        ServerTls(out / host / "cert.pem", out / host / "key.pem", out / host / "ca.pem").check()
    end = loaded(out / "cloud.example.org" / "cert.pem").not_valid_after_utc
    assert f"server cloud.example.org, 127.0.0.1; ends {end:%Y-%m-%d %H:%M} UTC" in done.output
    assert "client operator; ends" in done.output


def test_s3_the_certificates_are_what_verifiers_demand(tmp_path: Path) -> None:
    made, end = make(tmp_path / "tls", [CLOUD, OPERATOR], NOW, YEAR)
    authority = loaded(tmp_path / "tls" / "ca.pem")
    constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (True, True, 0)
    assert end == authority.not_valid_after_utc
    uses = {}
    for one in made:
        leaf = loaded(one.path)
        leaf.verify_directly_issued_by(authority)
        key = leaf.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        assert key.curve.name == "secp256r1"
        assert leaf.not_valid_before_utc < NOW < leaf.not_valid_after_utc == NOW + YEAR == one.end
        uses[one.names[0]] = set(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    # A receiver shows the certificate that it serves with to a cloud that demands one.
    both = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert uses == {"cloud.example.org": both, "operator": {ExtendedKeyUsageOID.CLIENT_AUTH}}
    names = loaded(made[0].path).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["cloud.example.org", "localhost"]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


def test_s3_nothing_is_overwritten_and_another_host_is_added_under_the_same_authority(tmp_path: Path) -> None:
    out = tmp_path / "tls"
    assert certs("--out", out, "--name", "cloud").exit_code == 0
    before = content(out)
    again = certs("--out", out, "--name", "alpha", "--name", "cloud")
    assert again.exit_code == 1
    assert "exists already" in again.output
    assert content(out) == before, "alpha was not made either"
    assert certs("--out", out, "--name", "alpha").exit_code == 0
    after = content(out)
    assert {name: after[name] for name in before} == before
    loaded(out / "alpha" / "cert.pem").verify_directly_issued_by(loaded(out / "ca.pem"))


def test_s3_what_was_made_is_taken_away_when_the_rest_can_not_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    write = certificate_folder._write

    def failing(descriptor: int, pem: bytes) -> None:
        written.append(descriptor)
        if len(written) == 4:
            os.close(descriptor)
            raise OSError(28, "No space left on device")
        write(descriptor, pem)

    monkeypatch.setattr(certificate_folder, "_write", failing)
    with pytest.raises(CertificateFolderError, match="No space left"):
        make(tmp_path / "tls", [CLOUD, OPERATOR], NOW, YEAR)
    assert list((tmp_path / "tls").iterdir()) == []


def test_s3_renewing_keeps_authority_keys_names_and_modes_and_may_be_repeated(tmp_path: Path) -> None:
    out = tmp_path / "tls"
    make(out, [CLOUD, OPERATOR], NOW, YEAR)
    old = content(out)
    cert = out / "cloud.example.org" / "cert.pem"
    before = loaded(cert)
    cert.chmod(0o640)
    later = NOW + timedelta(days=200)
    for _ in range(2):
        made, _ = renew(out, later, YEAR)
        assert {one.names: (one.is_server, one.end) for one in made} == {
            CLOUD.names: (True, later + YEAR), ("operator",): (False, later + YEAR),
        }  # fmt: skip
        new = content(out)
        assert {name for name in old if new[name] != old[name]} == {"cloud.example.org/cert.pem", "operator/cert.pem"}
        assert set(new) == set(old)
    after = loaded(cert)
    assert stat.S_IMODE(cert.stat().st_mode) == 0o640
    assert after.serial_number != before.serial_number
    assert [(each.oid, each.value) for each in sorted(after.extensions, key=lambda one: one.oid.dotted_string)] == [
        (each.oid, each.value) for each in sorted(before.extensions, key=lambda one: one.oid.dotted_string)
    ]
    ServerTls(cert, cert.with_name("key.pem")).check()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_s3_what_a_killed_renewal_left_is_in_nobodys_way(tmp_path: Path) -> None:
    """In a container the next process has its number."""
    out = tmp_path / "tls"
    make(out, [CLOUD], NOW, YEAR)
    cert = out / "cloud.example.org" / "cert.pem"
    cert.with_name(f".cert.pem.{os.getpid()}").write_bytes(b"half")
    before = loaded(cert).serial_number
    renew(out, NOW + timedelta(days=200), YEAR)
    assert loaded(cert).serial_number != before


def test_s3_a_renewed_certificate_belongs_to_its_server_as_before(tmp_path: Path) -> None:
    make(tmp_path / "tls", [CLOUD], NOW, YEAR)
    cert = tmp_path / "tls" / "cloud.example.org" / "cert.pem"
    os.chown(cert, 12345, 12346)
    renew(tmp_path / "tls", NOW, YEAR)
    status = cert.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (12345, 12346, 0o600)


def test_s3_no_certificate_outlives_its_authority_and_one_that_ends_signs_no_more(tmp_path: Path) -> None:
    out = tmp_path / "tls"
    _, end = make(out, [CLOUD], NOW, YEAR)
    made, _ = renew(out, end - timedelta(days=30), YEAR)
    assert [one.end for one in made] == [end]
    with pytest.raises(CertificateFolderError, match="begin in another folder"):
        renew(out, end - timedelta(hours=1), YEAR)


def test_s3_a_folder_that_is_not_whole_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    out = tmp_path / "tls"
    with pytest.raises(CertificateFolderError, match="holds no authority"):
        renew(out, NOW, YEAR)
    assert not out.exists()
    make(out, [CLOUD], NOW, YEAR)
    before = content(out)
    (out / "ca.key").chmod(0o644)
    with pytest.raises(CertificateFolderError, match="chmod 600"):
        make(out, [OPERATOR], NOW, YEAR)
    (out / "ca.key").chmod(0o600)
    (out / "stranger").mkdir()
    stranger = make_authority(NOW, YEAR)
    (out / "stranger" / "cert.pem").write_bytes(stranger.cert_pem)
    (out / "stranger" / "key.pem").write_bytes(stranger.key_pem)
    with pytest.raises(CertificateFolderError, match="not of the authority"):
        renew(out, NOW, YEAR)
    for name in ("ca.key", "ca.pem"):
        whole = (out / name).read_bytes()
        (out / name).unlink()
        with pytest.raises(CertificateFolderError, match=f"{name} is missing"):
            make(out, [OPERATOR], NOW, YEAR)
        (out / name).touch(mode=0o600)
        with pytest.raises(CertificateFolderError, match="holds no"):
            make(out, [OPERATOR], NOW, YEAR)
        (out / name).write_bytes(whole)
    assert {name: text for name, text in content(out).items() if not name.startswith("stranger")} == before


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Alpha.Example.ORG.", "alpha.example.org"),
        ("192.0.2.7", "192.0.2.7"),
        ("[2001:DB8::7]", "2001:db8::7"),
        ("a_b", "a_b"),
        ("", None), ("*.example.org", None), ("../x", None), ("a b", None), ("192.0.2.700", None), ("-a", None),
        ("a" * 64, None), (".".join(["abcdefgh"] * 30), None), ("alpha:7440", None), ("münchen", None),
    ],
)  # fmt: skip
def test_only_names_of_hosts_and_addresses_are_taken(name: str, told: str | None) -> None:
    if told is not None:
        assert checked_host(name) == told
        return
    with pytest.raises(NameProblem):
        checked_host(name)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "--name"),
        (("--renew", "--name", "x"), "leave --name and --client out"),
        (("--name", "a,,b"), "neither the name of a host"),
        (("--name", "x", "--client", "x"), "two certificates are named x"),
        (("--name", "x", "--days", "0"), "--days"),
    ],
)
def test_a_command_line_that_makes_no_sense_makes_nothing(words: tuple[str, ...], message: str, tmp_path: Path) -> None:
    done = certs("--out", tmp_path / "tls", *words)
    assert done.exit_code in (1, 2)
    assert message in done.output
    assert not (tmp_path / "tls").exists()
