"""A folder of backup copies: each one named by its moment, and only so many kept. What the timer of systemd calls."""

import contextlib
import re
import time
from dataclasses import dataclass
from pathlib import Path

from hotspare_cloud.copies import back_up
from hotspare_store.folder import DataFolderError

_FORM = "cloud-%Y%m%dT%H%M%SZ.db"
_COPY = re.compile(r"cloud-\d{8}T\d{6}Z\.db")
_PARTIAL = re.compile(r"\.cloud-\d{8}T\d{6}Z\.db\.\d+")
_ABANDONED_AFTER = 86400.0
"""Seconds since the last write to a copy that was never finished: whoever made it was killed."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What came of one more copy."""

    copy: Path
    size: int
    """Bytes."""
    removed: tuple[Path, ...]
    """Older copies, oldest first."""


def back_up_into(data: Path, folder: Path, keep: int | None, now: float) -> Kept:
    """Copy the database of a data folder, whose cloud may run, to a new file of a folder, named by the time (UTC).

    Of the copies there, made by this, the `keep` newest stay; None: all. None is removed before the new one is whole on
    the disk, and no other file ever, but for what a copy that was killed a day ago has left.

    Raises:
        DataFolderError: the copy can't be made, or an old one not be removed.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise DataFolderError(f"the folder {folder} can't be used: {error.strerror}") from error
    _remove_abandoned(folder, now)
    copy = folder / time.strftime(_FORM, time.gmtime(now))
    size = back_up(data, copy)
    # The new one is none of the old ones, whatever a clock that went back may have called them.
    older = sorted(path for path in folder.iterdir() if path != copy and _COPY.fullmatch(path.name) and path.is_file())
    surplus = older[: max(0, len(older) - (keep - 1))] if keep is not None else []
    for path in surplus:
        try:
            path.unlink()
        except OSError as error:
            raise DataFolderError(f"the old copy {path} can't be removed: {error.strerror}") from error
    return Kept(copy, size, tuple(surplus))


def _remove_abandoned(folder: Path, now: float) -> None:
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            if _PARTIAL.fullmatch(path.name) and path.stat().st_mtime < now - _ABANDONED_AFTER:
                path.unlink()
