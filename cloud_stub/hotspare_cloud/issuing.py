"""Certificates for a trial, or for an authority of one's own: ECDSA on P-256, X.509 by RFC 5280. Touches no file."""

import ipaddress
import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

BACKDATED = timedelta(hours=1)
"""Certificates begin so long before they are made: the clock of another machine may be behind."""

CA_NAME = "hotspare CA of {:%Y-%m-%d}"
"""With its date, for people who have two of them in one file."""

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_LONGEST_NAME = 253
_LONGEST_COMMON_NAME = 64


class NameProblem(ValueError):
    """A name can't stand in a certificate; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def cert_pem(self) -> bytes:
        """The certificate in PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The key in PEM (PKCS #8), not encrypted: a server reads it with nobody there to type a password."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def end(self) -> datetime:
        """When the certificate ends."""
        return self.certificate.not_valid_after_utc


def checked_host(name: str) -> str:
    """A host's name or IP address, in the one form in which it stands in certificates.

    Raises:
        NameProblem: it is neither.
    """
    text = name.strip().rstrip(".").lower()
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        pass
    # What looks like an IPv4 address and is none would never match anything.
    is_name = all(_LABEL.fullmatch(label) for label in text.split(".")) and not re.fullmatch(r"[0-9.]+", text)
    if not is_name or len(text) > _LONGEST_NAME:
        raise NameProblem(f"{name!r} is neither the name of a host nor an IP address")
    return text


def make_authority(now: datetime, lasts: timedelta) -> Pair:
    """A new authority, which signs certificates of servers and clients and no other authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(CA_NAME.format(now))
    certificate = (
        _begun(name, name, key.public_key(), now, now + lasts)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Pair(certificate, key)


def issue_server(authority: Pair, hosts: tuple[str, ...], now: datetime, lasts: timedelta) -> Pair:
    """A certificate for a server that is reached by these names (of `checked_host`).

    It is one of a client too: a receiver shows it to a cloud that demands certificates.
    """
    alternatives: list[x509.GeneralName] = [_alternative(host) for host in hosts]
    uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    return _issue(authority, hosts[0], alternatives, uses, now, lasts)


def issue_client(authority: Pair, name: str, now: datetime, lasts: timedelta) -> Pair:
    """A certificate for somebody who calls servers that demand one (`--tls-client-ca`)."""
    return _issue(authority, name, [x509.DNSName(name)], [ExtendedKeyUsageOID.CLIENT_AUTH], now, lasts)


def renewed(authority: Pair, before: Pair, now: datetime, lasts: timedelta) -> Pair:
    """The same certificate with a later end: of the same key, so that certificate and key always belong together,
    whatever happens between writing one file and another."""
    builder = _begun(
        before.certificate.subject,
        authority.certificate.subject,
        before.key.public_key(),
        now,
        min(now + lasts, authority.end),
    )
    for extension in before.certificate.extensions:
        if not isinstance(extension.value, x509.SubjectKeyIdentifier | x509.AuthorityKeyIdentifier):
            builder = builder.add_extension(extension.value, extension.critical)
    builder = builder.add_extension(_issuer_id(authority), critical=False)
    return Pair(builder.sign(authority.key, hashes.SHA256()), before.key)


def _issue(
    authority: Pair,
    name: str,
    alternatives: list[x509.GeneralName],
    uses: list[x509.ObjectIdentifier],
    now: datetime,
    lasts: timedelta,
) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    end = min(now + lasts, authority.end)
    certificate = (
        _begun(_name(name[:_LONGEST_COMMON_NAME]), authority.certificate.subject, key.public_key(), now, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(_issuer_id(authority), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return Pair(certificate, key)


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _issuer_id(authority: Pair) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
