"""`hotspare-cloud backup --into`: named by the time, only so many kept, none removed before the new one is whole."""

import os
import shutil
import sqlite3
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from hotspare_cloud.copies import ROOM_LEFT, back_up, copied_at
from hotspare_cloud.kept_copies import back_up_into
from hotspare_cloud.main import main
from hotspare_cloud.store.sqlite import DATABASE_NAME
from hotspare_store.folder import DataFolderError

NOON = 1_772_366_400.0
"""2026-03-01 12:00 UTC."""
HOUR = 3600.0


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "cloud"
    folder.mkdir()
    with sqlite3.connect(folder / DATABASE_NAME) as database:
        database.execute("CREATE TABLE alarm (text)")
        database.execute("INSERT INTO alarm VALUES ('burglary')")
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_f11_a_copy_is_named_by_its_time_and_holds_all(data: Path, tmp_path: Path) -> None:
    kept = back_up_into(data, tmp_path / "deep" / "copies", None, NOON)
    assert kept.copy == tmp_path / "deep" / "copies" / "cloud-20260301T120000Z.db"
    assert kept.size == kept.copy.stat().st_size
    assert oct(kept.copy.stat().st_mode & 0o777) == "0o600"
    assert oct(kept.copy.parent.stat().st_mode & 0o777) == "0o700"
    with sqlite3.connect(kept.copy) as copy:
        assert copy.execute("SELECT text FROM alarm").fetchall() == [("burglary",)]


def test_f11_only_the_newest_copies_stay_and_files_of_others_are_not_touched(data: Path, tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()
    (copies / "before-the-upgrade.db").write_text("by hand")
    for number in range(4):
        back_up_into(data, copies, None, NOON + number * HOUR)
    kept = back_up_into(data, copies, 2, NOON + 4 * HOUR)
    assert [path.name[15:19] for path in kept.removed] == ["1200", "1300", "1400"]
    assert names(copies) == ["before-the-upgrade.db", "cloud-20260301T150000Z.db", "cloud-20260301T160000Z.db"]


def test_f11_a_copy_that_fails_costs_no_older_one(data: Path, tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    back_up_into(data, copies, 1, NOON)
    with pytest.raises(DataFolderError, match="never overwritten"):
        back_up_into(data, copies, 1, NOON)
    (data / DATABASE_NAME).write_bytes(b"no database" * 1000)
    with pytest.raises(DataFolderError, match="can't be written"):
        back_up_into(data, copies, 1, NOON + HOUR)
    assert names(copies) == ["cloud-20260301T120000Z.db"]


def test_f11_after_the_clock_went_back_the_new_copy_still_stays(data: Path, tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    back_up_into(data, copies, 1, NOON)
    kept = back_up_into(data, copies, 1, NOON - HOUR)
    assert names(copies) == [kept.copy.name]


def test_the_command_takes_a_file_or_a_folder_and_tells_what_it_did(data: Path, tmp_path: Path) -> None:
    def backup(*words: str | Path) -> tuple[int, str]:
        done = CliRunner().invoke(main, ["backup", "--data", str(data), *map(str, words)])
        return done.exit_code, done.output

    copies = tmp_path / "copies"
    back_up_into(data, copies, None, NOON)
    status, told = backup("--into", copies, "--keep", "1")
    assert status == 0, told
    assert "cloud-20260301T120000Z.db: removed" in told
    assert backup("--to", tmp_path / "one.db")[0] == 0
    for wrong in ((), ("--to", "x", "--into", "y"), ("--to", "x", "--keep", "3"), ("--into", "y", "--keep", "0")):
        assert backup(*wrong)[0] == 2


def test_f11_a_copy_to_a_folder_that_is_not_there_is_refused_in_words(data: Path, tmp_path: Path) -> None:
    """A mount that is gone, say: the backup's log has a line, and no traceback."""
    with pytest.raises(DataFolderError, match="can't be written"):
        back_up(data, tmp_path / "gone" / "copy.db")


def test_a7_a_copy_never_takes_the_room_that_the_cloud_needs_for_alarms(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = ROOM_LEFT + (data / DATABASE_NAME).stat().st_size
    usage = shutil.disk_usage(tmp_path)
    for free, made in ((needed - 1, False), (needed, True)):
        monkeypatch.setattr(shutil, "disk_usage", lambda folder, free=free: usage._replace(free=free))
        try:
            back_up(data, tmp_path / "copy.db")
        except DataFolderError as refused:
            assert f"of the {free} bytes that are free" in str(refused)  # noqa: PT017 - only one of the two is refused
        assert (tmp_path / "copy.db").exists() is made


def test_f11_what_a_killed_copy_left_goes_after_a_day_and_nothing_else(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copies"
    folder.mkdir()
    old, young, other = (
        folder / name
        for name in (".cloud-20260228T030000Z.db.77", ".cloud-20260301T115900Z.db.78", ".cloud-20260228.db.77")
    )
    for path, age in ((old, 25 * HOUR), (young, 60.0), (other, 99 * HOUR)):
        path.write_text("half a copy")
        os.utime(path, (NOON - age, NOON - age))
    kept = back_up_into(data, folder, None, NOON)
    assert names(folder) == sorted([young.name, other.name, kept.copy.name])


def test_f11_the_time_of_the_last_copy_is_known(data: Path, tmp_path: Path) -> None:
    assert copied_at(data) == 0
    back_up(data, tmp_path / "one.db")
    first = copied_at(data)
    assert abs(first - time.time()) < 60
    os.utime(data / "last-copy", (1.0, 1.0))
    with pytest.raises(DataFolderError, match="never overwritten"):
        back_up(data, tmp_path / "one.db")
    assert copied_at(data) == 1
    back_up(data, tmp_path / "two.db")
    assert copied_at(data) >= first
