"""TLS of servers and channels (S3): files that are read again when they change, errors that name the file."""

import logging
import os
import ssl
import threading
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

import grpc

from hotspare_rpc.logs import log_event

_log = logging.getLogger(__name__)

FileState: TypeAlias = tuple[tuple[int, int, int, int] | None, ...]
"""What differs once one of some files was written, replaced, or opened to another user."""

ROOTS_OF_GRPC = "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"
"""gRPC's own variable, which names the authorities to trust."""

_SYSTEM_ROOTS = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",
)


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

    def followed(self) -> "FollowedTls":
        """The files, read now and again whenever they change.

        Raises:
            TlsError: a file is missing, unreadable or malformed, or key and certificate don't belong together.
        """
        return FollowedTls(self)

    def check(self) -> None:
        """Read all files once. Raises TlsError."""
        _load(self)


@dataclass(frozen=True, slots=True)
class ChannelTls:
    """What a client needs to speak TLS."""

    ca_pem: bytes | None = None
    """The CA certificates to trust, in PEM. None: those of the system, as they are when a channel is opened."""
    cert_pem: bytes | None = None
    """The client's own certificate chain, for servers that demand one."""
    key_pem: bytes | None = field(default=None, repr=False)
    """Its private key."""

    @classmethod
    def from_files(cls, ca: Path | None, cert: Path | None = None, key: Path | None = None) -> "ChannelTls":
        """Read the files. Raises TlsError, as for servers."""
        if (cert is None) != (key is None):
            raise TlsError("a client's certificate and its key go together")
        from hotspare_rpc import pem  # it takes long to import, and most servers on one machine speak in clear

        ca_pem = None
        if ca is not None:
            ca_pem = _read(ca)
            pem.certificates(ca, ca_pem)
        if cert is None or key is None:
            return cls(ca_pem)
        cert_pem, key_pem = _read(cert), _read(key)
        pem.checked_pair(cert, cert_pem, key, key_pem)
        return cls(ca_pem, cert_pem, key_pem)

    def credentials(self) -> grpc.ChannelCredentials:
        """The credentials of a channel."""
        return grpc.ssl_channel_credentials(self.ca_pem or _system_roots(), self.key_pem, self.cert_pem)


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What the files held when they were read last and could be used."""

    configuration: grpc.ServerCertificateConfiguration
    not_after: datetime


class FollowedTls:
    """A server's TLS as its files have it at each moment. What can't be used is logged, and the last good files
    stay in use. Of any thread."""

    def __init__(self, files: ServerTls) -> None:
        self._files = files
        self._lock = threading.Lock()
        # Before reading: a file that is replaced meanwhile then looks changed, and is read again.
        self._seen = self._state()
        self._current = self._given = _load(files)

    def credentials(self) -> grpc.ServerCredentials:
        """Credentials of one server: each new connection gets what the files hold then; others stay as they are."""
        return grpc.dynamic_ssl_server_credentials(
            self._given.configuration,
            self._changed,  # type: ignore[arg-type]  # None means unchanged
            require_client_authentication=self._files.client_ca is not None,
        )

    def certificate_end(self) -> float:
        """When the certificate ends that a new connection would get now, in seconds since 1970."""
        with self._lock:
            self._look()
            return self._current.not_after.timestamp()

    def _changed(self) -> grpc.ServerCertificateConfiguration | None:
        """What gRPC, which asks at each handshake from its own threads, does not have yet; None: it has it."""
        with self._lock:
            self._look()
            if self._given is self._current:
                return None
            self._given = self._current
            return self._given.configuration

    def _look(self) -> None:
        """Read the files if they have changed."""
        state = self._state()
        if state == self._seen:
            return
        # Also if it fails: a broken pair is reported once, not at every handshake of a stranger.
        self._seen = state
        try:
            self._current = _load(self._files)
        except TlsError as problem:
            log_event(_log, logging.ERROR, "tls_reload_failed", problem=problem, action="old certificate kept")

    def _state(self) -> FileState:
        files = self._files
        return file_state(files.cert, files.key, *([files.client_ca] if files.client_ca else []))


def file_state(*paths: Path) -> FileState:
    """What differs once one of these files was written, replaced, or opened to another user."""
    states: list[tuple[int, int, int, int] | None] = []
    for path in paths:
        try:
            status = os.stat(path)
        except OSError:
            states.append(None)
        else:
            # The time of the change of owner and mode too: a key that could not be read is tried again after chown.
            states.append((status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino))
    return tuple(states)


def _system_roots() -> bytes | None:
    """The authorities that this machine trusts. None, where they are not found or gRPC was told others: gRPC's own.

    By itself gRPC for Python trusts a list that came with it, and nobody whom the administrator of the machine added.
    """
    if os.environ.get(ROOTS_OF_GRPC):
        return None
    for name in (ssl.get_default_verify_paths().cafile, *_SYSTEM_ROOTS):
        try:
            if name and (pem := Path(name).read_bytes()):
                return pem
        except OSError:
            continue
    return None


def _load(files: ServerTls) -> _Loaded:
    from hotspare_rpc import pem  # as above

    cert_pem, key_pem = _read(files.cert), _read(files.key)
    leaf = pem.checked_pair(files.cert, cert_pem, files.key, key_pem)
    client_ca_pem = None
    if files.client_ca is not None:
        client_ca_pem = _read(files.client_ca)
        pem.certificates(files.client_ca, client_ca_pem)
    pem.tell(files.cert, leaf)
    configuration = grpc.ssl_server_certificate_configuration([(key_pem, cert_pem)], client_ca_pem)
    return _Loaded(configuration, leaf.not_valid_after_utc)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as problem:
        raise TlsError(f"cannot read {path}: {problem.strerror or problem}") from problem
