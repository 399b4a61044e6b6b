"""The folder of `hotspare-cloud certs`: an authority, and for each host or client a folder that is all it needs.

    OUT/ca.pem  OUT/ca.key                       the authority; ca.key never leaves this folder
    OUT/NAME/cert.pem  key.pem  ca.pem           what goes to NAME

Everything is of mode 0600, folders of 0700.
"""

import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from hotspare_cloud.issuing import Pair, issue_client, issue_server, make_authority, renewed

CA_CERT, CA_KEY = "ca.pem", "ca.key"
CERT, KEY = "cert.pem", "key.pem"

AUTHORITY_LASTS = timedelta(days=3650)
SHORTEST = timedelta(days=1)
"""What an authority must have left to sign anything: a certificate ends with it at the latest."""


class CertificateFolderError(Exception):
    """The certificates can't be made; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Made:
    """A certificate that was made or renewed."""

    path: Path
    names: tuple[str, ...]
    """By which its server is reached; of a client its name."""
    is_server: bool
    end: datetime


@dataclass(frozen=True, slots=True)
class Wanted:
    """A certificate that is to be made."""

    names: tuple[str, ...]
    """As they stand in the certificate (`checked_host`)."""
    is_server: bool

    @property
    def folder(self) -> str:
        """The name of its folder. A colon, which IPv6 addresses have, separates paths elsewhere."""
        return self.names[0].replace(":", "-")


def make(out: Path, wanted: Sequence[Wanted], now: datetime, lasts: timedelta) -> tuple[list[Made], datetime]:
    """Make certificates, and the authority where there is none yet. Returns them and the end of the authority.

    Nothing that is there is overwritten; when one can't be made, none is.

    Raises:
        CertificateFolderError: one exists already, two are for the same folder, the authority can't sign, or a file
            can't be written.
    """
    with _told(out):
        _check_free(out, wanted)
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_new = not (out / CA_CERT).exists() and not (out / CA_KEY).exists()
        authority = make_authority(now, AUTHORITY_LASTS) if is_new else _authority(out, now)
        pairs = [(issue_server if one.is_server else _issue_client)(authority, one.names, now, lasts) for one in wanted]
        with _undone_unless_whole() as made:
            if is_new:
                made.file(out / CA_KEY, authority.key_pem)
                made.file(out / CA_CERT, authority.cert_pem)
            for one, pair in zip(wanted, pairs, strict=True):
                made.folder(out / one.folder)
                made.file(out / one.folder / KEY, pair.key_pem)
                made.file(out / one.folder / CA_CERT, authority.cert_pem)
                made.file(out / one.folder / CERT, pair.cert_pem)
        told = [
            Made(out / one.folder / CERT, one.names, one.is_server, pair.end)
            for one, pair in zip(wanted, pairs, strict=True)
        ]
        return told, authority.end


def renew(out: Path, now: datetime, lasts: timedelta) -> tuple[list[Made], datetime]:
    """Give every certificate of the folder a new end; the authority and all keys stay. Returns them and its end.

    Each file is replaced in one step, and keeps its owner and its mode. Doing it again does no harm.

    Raises:
        CertificateFolderError: there is no authority, or a file can't be read or written.
    """
    with _told(out):
        authority = _authority(out, now)
        found = {path: _pair(path, path.with_name(KEY)) for path in sorted(out.glob(f"*/{CERT}"))}
        for path, pair in found.items():
            try:
                pair.certificate.verify_directly_issued_by(authority.certificate)
            except (ValueError, TypeError, InvalidSignature):
                raise CertificateFolderError(f"{path} is not of the authority in {out}: move it away") from None
        told = []
        for path, before in found.items():
            pair = renewed(authority, before, now, lasts)
            _replace(path, pair.cert_pem)
            names, is_server = _described(pair.certificate)
            told.append(Made(path, names, is_server, pair.end))
        return told, authority.end


# Reading.


def _authority(out: Path, now: datetime) -> Pair:
    cert, key = out / CA_CERT, out / CA_KEY
    for one, other in ((cert, key), (key, cert)):
        if not one.exists():
            raise CertificateFolderError(
                f"{one} is missing beside {other}: bring it back, or begin in another folder"
                if other.exists()
                else f"{out} holds no authority: make one first, without --renew"
            )
    mode = stat.S_IMODE(key.stat().st_mode)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise CertificateFolderError(f"{key} is open to others (mode {mode:04o}): chmod 600 {key}")
    authority = _pair(cert, key)
    if authority.end - now < SHORTEST:
        raise CertificateFolderError(
            f"the authority in {out} ends at {authority.end:%Y-%m-%d %H:%M} UTC: begin in another folder, and let all "
            "trust both until the last has the new one"
        )
    return authority


def _pair(cert: Path, key: Path) -> Pair:
    try:
        certificate = x509.load_pem_x509_certificate(cert.read_bytes())
    except ValueError:
        raise CertificateFolderError(f"{cert} holds no certificate in PEM form") from None
    try:
        private = serialization.load_pem_private_key(key.read_bytes(), password=None)
    except (ValueError, TypeError):
        raise CertificateFolderError(f"{key} holds no private key that can be read") from None
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.public_key() != certificate.public_key():
        raise CertificateFolderError(f"the private key in {key} does not belong to the certificate in {cert}")
    return Pair(certificate, private)


def _described(certificate: x509.Certificate) -> tuple[tuple[str, ...], bool]:
    """The names of a certificate of ours, and whether it is a server's."""
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    return tuple(str(one.value) for one in found), ExtendedKeyUsageOID.SERVER_AUTH in uses


# Writing.


def _check_free(out: Path, wanted: Sequence[Wanted]) -> None:
    seen: set[str] = set()
    for one in wanted:
        folder = out / one.folder
        if one.folder in seen:
            raise CertificateFolderError(f"two certificates are named {one.folder}")
        if one.folder in (CA_CERT, CA_KEY):
            raise CertificateFolderError(f"{one.folder} is a file of the authority: take another name first")
        if os.path.lexists(folder):
            raise CertificateFolderError(
                f"{folder} exists already; nothing is overwritten. Renew with --renew, or remove it for a new key"
            )
        seen.add(one.folder)


class _Undo:
    """What was made so far."""

    def __init__(self) -> None:
        self.made: list[Path] = []

    def folder(self, path: Path) -> None:
        """A new folder for this user alone."""
        path.mkdir(mode=0o700)
        self.made.append(path)

    def file(self, path: Path, content: bytes) -> None:
        """A new file for this user alone, on the disk."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self.made.append(path)
        _write(descriptor, content)


@contextmanager
def _undone_unless_whole() -> Iterator[_Undo]:
    """Takes away what was made inside when something fails there."""
    undo = _Undo()
    try:
        yield undo
    except BaseException:
        for path in reversed(undo.made):
            path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
        raise


def _replace(path: Path, content: bytes) -> None:
    """Replace a file in one step. Owner and mode stay: its server, of another user, has to read it as before."""
    before = path.stat()
    # A name that is new each time: in a container every process has the number of the one that was killed last time.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
            os.fchown(descriptor, before.st_uid, before.st_gid)
        os.fchmod(descriptor, stat.S_IMODE(before.st_mode))
        _write(descriptor, content)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _write(descriptor: int, content: bytes) -> None:
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _issue_client(authority: Pair, names: tuple[str, ...], now: datetime, lasts: timedelta) -> Pair:
    return issue_client(authority, names[0], now, lasts)


@contextmanager
def _told(out: Path) -> Iterator[None]:
    """Errors of the file system with the file that they are about."""
    try:
        yield
    except OSError as problem:
        raise CertificateFolderError(f"{problem.filename or out}: {problem.strerror or problem}") from problem
