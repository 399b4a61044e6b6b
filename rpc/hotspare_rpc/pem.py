"""What certificates and keys in PEM hold, with errors that name the file. Its library takes long to import, so the
others import this where they need it."""

import logging
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization

from hotspare_rpc.logs import log_event
from hotspare_rpc.tls import TlsError

_log = logging.getLogger(__name__)


def tell(path: Path, leaf: x509.Certificate) -> None:
    """Log what is served from now on. A wrong validity is no error here: the clock may be what is wrong."""
    now = datetime.now(UTC)
    is_valid = leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc
    log_event(
        _log,
        logging.INFO if is_valid else logging.WARNING,
        "tls_certificate_loaded" if is_valid else "tls_certificate_not_valid_now",
        file=path,
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
        fingerprint=leaf.fingerprint(hashes.SHA256()).hex(),
    )


def certificates(path: Path, pem: bytes) -> list[x509.Certificate]:
    """The certificates of a file, one at least. Raises TlsError."""
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as problem:
        raise TlsError(f"{path} holds no certificate in PEM form") from problem


def checked_pair(cert: Path, cert_pem: bytes, key: Path, key_pem: bytes) -> x509.Certificate:
    """The first certificate of a chain. Raises TlsError: malformed, or the key is not its own."""
    leaf = certificates(cert, cert_pem)[0]
    try:
        private = serialization.load_pem_private_key(key_pem, password=None)
    except TypeError as problem:
        raise TlsError(f"the private key in {key} is encrypted; a server needs it without a password") from problem
    except (ValueError, UnsupportedAlgorithm) as problem:
        raise TlsError(f"{key} holds no private key in PEM form") from problem
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    try:
        own, shown = private.public_key().public_bytes(*form), leaf.public_key().public_bytes(*form)
    except (ValueError, UnsupportedAlgorithm) as problem:
        raise TlsError(f"the certificate in {cert} is for a kind of key that is not known here") from problem
    if own != shown:
        raise TlsError(f"the private key in {key} does not belong to the certificate in {cert}")
    return leaf
