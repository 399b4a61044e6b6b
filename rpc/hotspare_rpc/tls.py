"""TLS of servers and channels (S3): files that are read again when they change, errors that name the file."""

import logging
import os
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import grpc
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization

from hotspare_rpc.logs import log_event

_log = logging.getLogger(__name__)

_State: TypeAlias = tuple[tuple[int, int, int] | None, ...]


class TlsError(Exception):
    """A certificate, key or CA file can't be used; the message names the file and says why."""


@dataclass(frozen=True, slots=True)
class ServerTls:
    """The files of a server's TLS, in PEM."""

    cert: Path
    """The certificate, followed by the rest of its chain."""
    key: Path
    """Its private key, not encrypted."""
    client_ca: Path | None = None
    """If set, clients must show a certificate that one of these signed."""

    def credentials(self) -> grpc.ServerCredentials:
        """Credentials that follow the files: each new connection gets what they hold then.

        Raises:
            TlsError: a file is missing, unreadable or malformed, or key and certificate don't belong
            together. Later,
                in a running server, this is logged and the last good pair stays.
        """
        reloader = _Reloader(self)
        return grpc.dynamic_ssl_server_credentials(
            reloader.first,
            reloader.changed,  # type: ignore[arg-type]  # None means unchanged
            require_client_authentication=self.client_ca is not None,
        )

    def check(self) -> None:
        """Read all files once. Raises TlsError."""
        _load(self)


@dataclass(frozen=True, slots=True)
class ChannelTls:
    """What a client needs to speak TLS."""

    ca_pem: bytes | None = None
    """The CA certificates to trust, in PEM. None: those of the system."""
    cert_pem: bytes | None = None
    """The client's own certificate chain, for servers that demand one."""
    key_pem: bytes | None = field(default=None, repr=False)
    """Its private key."""

    @classmethod
    def from_files(cls, ca: Path | None, cert: Path | None = None, key: Path | None = None) -> "ChannelTls":
        """Read the files. Raises TlsError, as for servers."""
        if (cert is None) != (key is None):
            raise TlsError("a client's certificate and its key go together")
        ca_pem = None
        if ca is not None:
            ca_pem = _read(ca)
            _certificates(ca, ca_pem)
        if cert is None or key is None:
            return cls(ca_pem)
        cert_pem, key_pem = _read(cert), _read(key)
        _check_pair(cert, cert_pem, key, key_pem)
        return cls(ca_pem, cert_pem, key_pem)

    def credentials(self) -> grpc.ChannelCredentials:
        """The credentials of a channel."""
        return grpc.ssl_channel_credentials(self.ca_pem, self.key_pem, self.cert_pem)


class _Reloader:
    """Tells gRPC, which asks at each handshake from its own threads, whether the files hold something new."""

    def __init__(self, files: ServerTls) -> None:
        self._files = files
        self._lock = threading.Lock()
        # Before reading: a file that is replaced meanwhile then looks changed, and is read again.
        self._seen = _state(files)
        self.first = _load(files)

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        """The new configuration; None when nothing changed, or when what is there now can't be used."""
        with self._lock:
            state = _state(self._files)
            if state == self._seen:
                return None
            # Also if it fails: a broken pair is reported once, not at every handshake of a stranger.
            self._seen = state
            try:
                return _load(self._files)
            except TlsError as problem:
                log_event(_log, logging.ERROR, "tls_reload_failed", problem=problem, action="old certificate kept")
                return None


def _state(files: ServerTls) -> _State:
    """What changes when a file is written or replaced."""
    paths = [files.cert, files.key] + ([files.client_ca] if files.client_ca else [])
    states: list[tuple[int, int, int] | None] = []
    for path in paths:
        try:
            status = os.stat(path)
        except OSError:
            states.append(None)
        else:
            states.append((status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(states)


def _load(files: ServerTls) -> grpc.ServerCertificateConfiguration:
    cert_pem, key_pem = _read(files.cert), _read(files.key)
    leaf = _check_pair(files.cert, cert_pem, files.key, key_pem)
    client_ca_pem = None
    if files.client_ca is not None:
        client_ca_pem = _read(files.client_ca)
        _certificates(files.client_ca, client_ca_pem)
    _tell(files.cert, leaf)
    return grpc.ssl_server_certificate_configuration([(key_pem, cert_pem)], client_ca_pem)


def _tell(path: Path, leaf: x509.Certificate) -> None:
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


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as problem:
        raise TlsError(f"cannot read {path}: {problem.strerror or problem}") from problem


def _certificates(path: Path, pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as problem:
        raise TlsError(f"{path} holds no certificate in PEM form") from problem


def _check_pair(cert: Path, cert_pem: bytes, key: Path, key_pem: bytes) -> x509.Certificate:
    leaf = _certificates(cert, cert_pem)[0]
    try:
        private = serialization.load_pem_private_key(key_pem, password=None)
    except TypeError as problem:
        raise TlsError(f"the private key in {key} is encrypted; a server needs it without a password") from problem
    except (ValueError, UnsupportedAlgorithm) as problem:
        raise TlsError(f"{key} holds no private key in PEM form") from problem
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if private.public_key().public_bytes(*form) != leaf.public_key().public_bytes(*form):
        raise TlsError(f"the private key in {key} does not belong to the certificate in {cert}")
    return leaf
