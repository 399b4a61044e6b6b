"""Secrets in files: read where they are well kept, written with mode 0600 and never over anything (S1).

No message here holds any part of a file's contents.
"""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from hotspare_cli.errors import CliError, usage_error

_LONGEST_FILE = 64 * 1024
_SECRET = re.compile(r"[\x21-\x7e]{1,256}")
_AES_HEX_DIGITS = (32, 48, 64)


def read_secret(path: Path, what: str) -> str:
    """Return the one line of a key or token file; `what` names it in errors, such as `token`.

    Raises:
        CliError: it is missing, unreadable, open to others, or holds something else.
    """
    secret = _read_private(path, what).strip()
    if not secret:
        raise usage_error(f"The {what} file {path} is empty.", "Name the file that the key or token was written to.")
    if _SECRET.fullmatch(secret) is None:
        raise usage_error(
            f"The {what} file {path} holds no {what}: expected is one line of up to 256 visible characters.",
            "Name the file that the key or token was written to.",
        )
    return secret


def read_aes_key(path: Path) -> bytes:
    """Return an AES key of 16, 24 or 32 bytes from a file with its hexadecimal digits; white space is
    skipped.

    Raises:
        CliError: as read_secret.
    """
    digits = "".join(_read_private(path, "key").split())
    try:
        key = bytes.fromhex(digits)
    except ValueError:
        key = b""
    if len(digits) not in _AES_HEX_DIGITS or not key:
        raise usage_error(
            f"The key file {path} holds no AES key in hexadecimal.",
            "It must hold 32, 48 or 64 hexadecimal digits (AES-128, -192 or -256) and nothing else.",
        )
    return key


def read_certificates(path: Path) -> str:
    """Return the PEM text of a file with certificates. They are no secret, so any mode is fine."""
    with _explained(path, "certificate"):
        text = path.read_bytes()[:_LONGEST_FILE].decode("ascii", errors="replace")
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise usage_error(
            f"{path} holds no certificate in PEM form.", "Name the PEM file of the certificate authority."
        )
    return text


class NewSecretFile:
    """A file for a secret that a server is about to make: `with NewSecretFile(path) as file: …
    file.write(secret)`.

    It is created, empty, before the server is asked: a secret that is shown once must not find its place
    taken. If nothing was written in the end, it is removed again. Without a path nothing happens, and `write`
    must not be called.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._descriptor = -1
        self._written = False

    def __enter__(self) -> Self:
        """Create the file.

        Raises:
            CliError: it exists, or can't be created.
        """
        if self._path is None:
            return self
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with creating(self._path, "no key was made"):
            self._descriptor = os.open(self._path, flags, 0o600)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the file; remove it if it is still empty."""
        if self._path is None:
            return
        os.close(self._descriptor)
        if not self._written:
            self._path.unlink(missing_ok=True)

    def write(self, secret: str, *, otherwise: str) -> None:
        """Write the secret as one line, through to the disk. `otherwise` tells how to get another one if that
        fails.

        Raises:
            CliError: the disk is full, or the like.
        """
        try:
            # The mode given to open() is subject to the umask, which may take from it what it needs.
            os.fchmod(self._descriptor, 0o600)
            with os.fdopen(os.dup(self._descriptor), "w", encoding="ascii") as file:
                file.write(f"{secret}\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as problem:
            raise CliError(
                f"The key was made, but {self._path} can't be written: {problem.strerror}.", otherwise
            ) from None
        self._written = True


@contextmanager
def creating(path: Path, otherwise: str = "") -> Iterator[None]:
    """Around the creation of a file that must not be there yet; `otherwise` is what was left undone, too.

    Raises:
        CliError: it exists, or can't be created.
    """
    try:
        yield
    except FileExistsError:
        undone = f", and {otherwise}" if otherwise else ""
        raise usage_error(
            f"{path} exists; it was not overwritten{undone}.", "Name another file, or move that one away."
        ) from None
    except OSError as problem:
        raise usage_error(
            f"{path} can't be created: {problem.strerror}.", "Name a file in a folder that you may write to."
        ) from None


def _read_private(path: Path, what: str) -> str:
    with _explained(path, what), path.open("rb") as file:
        # Of the open file, not of the path: what is checked is what is read.
        status = os.fstat(file.fileno())
        if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise usage_error(
                f"The {what} file {path} is open to others (mode {stat.S_IMODE(status.st_mode):04o}).",
                f"Keep it to yourself: chmod 600 {path}",
            )
        return file.read(_LONGEST_FILE).decode("utf-8", errors="replace").removeprefix("\ufeff")


@contextmanager
def _explained(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise usage_error(f"There is no {what} file {path}.", f"Check the name of the {what} file.") from None
    except PermissionError:
        raise usage_error(
            f"The {what} file {path} may not be read by this user.",
            "Call hotspare as the user that owns the file.",
        ) from None
    except OSError as problem:
        raise usage_error(
            f"The {what} file {path} can't be read: {problem.strerror}.",
            f"Check the name of the {what} file.",
        ) from None
