"""Backup copies of the cloud's data, and what has to be so when one is put back (F11).

A copy is older than what the cloud gave out since. So that nothing is given out twice, a restored database goes on far
above: epochs, numbers of alarms and their sequences jump past all that any receiver can have seen.
"""

import contextlib
import os
import shutil
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from hotspare_cloud.core.state import Kind
from hotspare_cloud.store.base import HistoryLine
from hotspare_cloud.store.schema import MIGRATIONS
from hotspare_cloud.store.sqlite import DATABASE_NAME
from hotspare_cloud.store.sqlite_groups import settings_from_json
from hotspare_cloud.store.sqlite_steps import add_lines, standing_from_json, standing_to_json
from hotspare_store.database import Database
from hotspare_store.folder import DataFolder, DataFolderError

EPOCH_JUMP = 2**20
"""More epochs than a group begins in a hundred years of a move an hour."""

NUMBER_JUMP = 2**32
"""More alarms than a group has in a hundred years of one a second."""

SEQUENCE_JUMP = 9_999 * 2**20 + 5_000
"""The same for the alarms of one account number. Half a turn of the number on the wire (A6) on top: those that follow
shall not look to the ARC like those that were sent last."""

ROOM_LEFT = 512_000_000
"""Bytes that a copy leaves free on the disk of the data folder: the floor below which a cloud refuses alarms (A7)."""

_OLD = ".before-restore"

_NOTE = "last-copy"
"""An empty file of the data folder: its time is that of the last copy."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put back."""

    groups: int
    alarms_waiting: int
    newest_alarm: float | None
    """When the newest alarm of the copy was stored, seconds since 1970. None: it has none."""
    kept: Path | None
    """Where the database of before is kept. None: there was none."""


def back_up(data: Path, target: Path) -> int:
    """Copy the database of a data folder, whose cloud may run, to a new file (mode 0600). Returns its size in bytes.

    Raises:
        DataFolderError: there is no database, the file exists, it can't be written, or the cloud would get no more
            alarms onto its disk.
    """
    source = data / DATABASE_NAME
    if not source.exists():
        raise DataFolderError(f"{data} holds no database of a cloud")
    if target.exists():
        raise DataFolderError(f"{target} exists already; a copy is never overwritten")
    _check_room(source, target)
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        _copy(source, partial)
        os.link(partial, target)
        _sync(target.absolute().parent)
        with contextlib.suppress(OSError):  # the copy is what counts
            # Anew: it may be root's, who made a copy by hand, and its time could not be set then.
            (data / _NOTE).unlink(missing_ok=True)
            (data / _NOTE).touch(mode=0o600)
        return target.stat().st_size
    except FileExistsError as error:
        raise DataFolderError(f"{target} exists already; a copy is never overwritten") from error
    except (sqlite3.Error, OSError) as error:
        raise DataFolderError(f"the copy {target} can't be written: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


def _check_room(source: Path, target: Path) -> None:
    folder = target.absolute().parent
    try:
        beside = folder.stat().st_dev == source.stat().st_dev
        needed, free = source.stat().st_size, shutil.disk_usage(folder).free
    except OSError as error:
        raise DataFolderError(f"the copy {target} can't be written: {error}") from error
    if beside and free < needed + ROOM_LEFT:
        raise DataFolderError(
            f"the copy {target} would take {needed} of the {free} bytes that are free on the disk of the cloud, which"
            f" needs {ROOM_LEFT} of them to take alarms: make room, or copy to another disk"
        )


def copied_at(data: Path) -> float:
    """When the last copy of a data folder was made, in seconds since 1970. 0: never."""
    try:
        return (data / _NOTE).stat().st_mtime
    except OSError:
        return 0.0


def restore(data: Path, source: Path, *, replace_existing: bool) -> Restored:
    """Put a copy in the place of the database of a data folder, whose cloud must not run.

    With `replace_existing` the database of before is kept beside it. Whatever happens meanwhile, the folder has the old
    database or the restored one.

    Raises:
        DataFolderError: the copy is no whole database of a cloud, there is one already, or a cloud runs here.
    """
    if not source.is_file():
        raise DataFolderError(f"there is no copy {source}")
    folder = DataFolder.open(data)
    try:
        database = folder.path / DATABASE_NAME
        if database.exists() and not replace_existing:
            raise DataFolderError(f"{database} exists: say --replace to keep it aside and put the copy in its place")
        prepared = database.with_name(f"{DATABASE_NAME}.restoring")
        _remove(prepared)
        try:
            _copy(source, prepared)
            restored = _marked(prepared, time.time(), _longest_leases(database))
            kept = _put_aside(database) if database.exists() else None
            os.replace(prepared, database)
            _sync(folder.path)
        except (sqlite3.Error, OSError) as error:
            raise DataFolderError(f"{source} can't be restored: {error}") from error
        finally:
            _remove(prepared)
        return replace(restored, kept=kept)
    finally:
        folder.close()


def _copy(source: Path, target: Path) -> None:
    """Copy a database that others may be writing to, as of one moment, and have it on the disk."""
    os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    reading = sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=30.0)
    writing = sqlite3.connect(target)
    try:
        reading.backup(writing)
        # One file is easier to carry away than three.
        writing.execute("PRAGMA journal_mode = DELETE")
    finally:
        writing.close()
        reading.close()
    descriptor = os.open(target, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _marked(prepared: Path, at: float, leases: Mapping[tuple[str, str], float]) -> Restored:
    """Check a copy, bring it up to this version, and let it go on above all that was given out since.

    `leases` are the longest ones, in seconds, that the database of before may have given, by account and sub account.
    """
    problem = _problem(prepared)
    if problem:
        raise DataFolderError(f"the copy is damaged, or no database of a cloud: {problem}")
    Database.open(prepared, MIGRATIONS).close()
    db = sqlite3.connect(prepared, isolation_level=None)
    db.row_factory = sqlite3.Row
    try:
        db.execute("PRAGMA synchronous = FULL")
        db.execute("BEGIN IMMEDIATE")
        groups = db.execute("SELECT group_id, arc_id, sub_account, standing FROM grp").fetchall()
        for group in groups:
            lease = leases.get((group["arc_id"], group["sub_account"]), 0.0)
            _mark_group(db, group["group_id"], group["standing"], at, lease)
        jump = SEQUENCE_JUMP + int(at) % 9_999
        db.execute("UPDATE account_line SET last_sequence = last_sequence + ?", (jump,))
        db.execute("UPDATE grp SET sequence_base = sequence_base + ?", (jump,))
        waiting, newest = db.execute("SELECT sum(state = 0), max(received_at) FROM alarm").fetchone()
        db.execute("COMMIT")
        db.execute("PRAGMA journal_mode = DELETE")
        return Restored(len(groups), waiting or 0, newest, kept=None)
    finally:
        db.close()


def _longest_leases(database: Path) -> dict[tuple[str, str], float]:
    """The longest lease that each group of a database may have given. Of a damaged one, or none, nothing is known."""
    if not database.exists():
        return {}
    try:
        with contextlib.closing(sqlite3.connect(database)) as db:
            rows = db.execute("SELECT arc_id, sub_account, settings, standing FROM grp").fetchall()
    except sqlite3.Error:
        return {}
    longest = {}
    for arc_id, sub_account, settings, standing in rows:
        lease = settings_from_json(settings).lease.total_seconds()
        longest[(arc_id, sub_account)] = max(lease, standing_from_json(standing).old_lease)
    return longest


def _mark_group(db: sqlite3.Connection, group_id: int, standing_text: str, at: float, lease: float) -> None:
    (epoch,) = db.execute("SELECT ifnull(max(epoch), 0) FROM epoch WHERE group_id = ?", (group_id,)).fetchone()
    known = standing_from_json(standing_text)
    # By the clock as well: the same copy may be restored twice, and what was given out between is not known here.
    seconds = int(at)
    floor = max(epoch + EPOCH_JUMP, known.floor + EPOCH_JUMP, seconds)
    # Leases that the lost database gave may be alive, and longer than those of the copy.
    standing = replace(known, floor=floor, restored_at=at, old_lease=max(known.old_lease, lease))
    db.execute(
        "UPDATE grp SET standing = ?, last_number = max(last_number + ?, ?), generation = max(generation + ?, ?)"
        " WHERE group_id = ?",
        (standing_to_json(standing), NUMBER_JUMP, seconds * 2**20, EPOCH_JUMP, seconds, group_id),
    )
    detail = "restored from a backup copy: what was stored after the copy was made is gone"
    add_lines(db, group_id, [HistoryLine(kind=Kind.CLOUD_RESTORED, at=at, detail=detail)])


def _problem(path: Path) -> str:
    """What is wrong with a copy. Empty: nothing."""
    db = sqlite3.connect(path)
    try:
        verdict = db.execute("PRAGMA integrity_check").fetchone()[0]
        if verdict != "ok":
            return str(verdict)
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        missing = {"grp", "epoch", "alarm", "account"} - tables
        return f"it has no table {', '.join(sorted(missing))}" if missing else ""
    except sqlite3.DatabaseError as error:
        return str(error)
    finally:
        db.close()


def _put_aside(database: Path) -> Path:
    """Keep the database of before under another name as well; its own name is then taken by the copy in one step."""
    kept = database.with_name(f"{database.name}{_OLD}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
    # Its log goes into it. A log that is left, because the database is damaged, must not meet the copy.
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(database)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for suffix in ("-wal", "-shm"):
        beside = database.with_name(database.name + suffix)
        if beside.exists():
            os.replace(beside, kept.with_name(kept.name + suffix))
    os.link(database, kept)
    return kept


def _remove(database: Path) -> None:
    for name in (database.name, f"{database.name}-wal", f"{database.name}-shm", f"{database.stem}.reserve"):
        database.with_name(name).unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
