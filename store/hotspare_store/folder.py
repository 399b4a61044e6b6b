"""The data folder of one process: made with mode 0700, locked for as long as the process lives."""

import fcntl
import hashlib
import os
from pathlib import Path

LOCK_NAME = "lock"


class DataFolderError(Exception):
    """The data folder can't be used. The message says why, and what to do."""


class DataFolderInUseError(DataFolderError):
    """Another process holds the folder's lock."""


class DataFolder:
    """A folder that this process alone uses. The lock ends with the process, however it ends."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def open(cls, path: Path) -> "DataFolder":
        """Make the folder where it is missing, and take its lock.

        Raises:
            DataFolderInUseError: another process has it; the message names its pid.
            DataFolderError: it can't be made, or not be written to.
        """
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DataFolderError(
                f"the data folder {path} can't be used: {error.strerror}; this user must be able to write to it"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(lock, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(lock)
            raise DataFolderInUseError(
                f"the data folder {path} is in use by a running process (pid {holder})"
            ) from error
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        return cls(path, lock)

    @property
    def folder_id(self) -> str:
        """Identity of what is locked: 32 hex digits, another one for every copy of the folder on this machine.

        It may change when the disk is mounted anew, so that it differing proves nothing.
        """
        status = os.fstat(self._lock)
        return hashlib.sha256(f"{status.st_dev}:{status.st_ino}".encode()).hexdigest()[:32]

    def free_bytes(self) -> int:
        """Bytes that an unprivileged process may still write to the folder's disk."""
        status = os.statvfs(self.path)
        return status.f_bavail * status.f_frsize

    def close(self) -> None:
        """Give the lock up. Harmless when it was given up before."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def write_secret(path: Path, text: str) -> None:
    """Write a secret to a file that only this user can read (mode 0600), replacing it whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


class NewSecretFile:
    """A new file for a secret (mode 0600), made before the secret is: what could not be written would be lost.

    It is gone again when the block inside fails. With no path nothing is made or written.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._descriptor = -1

    def __enter__(self) -> "NewSecretFile":
        """Make the file. Raises DataFolderError when it exists or can't be made."""
        if self._path is not None:
            try:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                self._descriptor = os.open(self._path, flags, 0o600)
            except FileExistsError as error:
                raise DataFolderError(f"{self._path} exists already; a key is never overwritten") from error
            except OSError as error:
                raise DataFolderError(f"{self._path} can't be written: {error.strerror}") from error
        return self

    def write(self, text: str) -> None:
        """Write the secret, durably."""
        if self._path is not None:
            os.write(self._descriptor, f"{text}\n".encode())
            os.fsync(self._descriptor)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Close it; remove it after a failure."""
        if self._path is not None:
            os.close(self._descriptor)
            if kind is not None:
                self._path.unlink(missing_ok=True)
