"""The data folder: for one process, and for its user alone."""

import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hotspare_store.folder import LOCK_NAME, DataFolder, DataFolderError, DataFolderInUseError, write_secret


def mode(path: Path) -> int:
    """The permission bits of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def opens(path: Path) -> bool:
    """Whether the folder is free now."""
    try:
        DataFolder.open(path).close()
    except DataFolderInUseError:
        return False
    return True


@pytest.fixture(autouse=True)
def open_umask() -> object:
    """What is private is so by itself, not by the umask of who starts it."""
    before = os.umask(0)
    yield
    os.umask(before)


def test_f7_a_copy_of_the_folder_is_another_one(tmp_path: Path) -> None:
    """A lock is proof for the folder that it locks, not for a copy of it."""
    first = DataFolder.open(tmp_path / "data")
    known = first.folder_id
    copied = DataFolder.open(Path(shutil.copytree(first.path, tmp_path / "copy")))
    assert copied.folder_id != known
    first.close()
    (tmp_path / "data").rename(tmp_path / "moved")
    assert DataFolder.open(tmp_path / "moved").folder_id == known


def test_s1_it_is_made_for_its_user_alone(tmp_path: Path) -> None:
    folder = DataFolder.open(tmp_path / "deep" / "data")
    assert mode(folder.path) == 0o700
    assert mode(folder.path / LOCK_NAME) == 0o600
    assert folder.free_bytes() > 0
    folder.close()
    folder.close()


def test_s4_a_second_user_is_refused_and_told_the_first_ones_pid(tmp_path: Path) -> None:
    first = DataFolder.open(tmp_path)
    with pytest.raises(DataFolderInUseError, match=rf"in use by a running process \(pid {os.getpid()}\)"):
        DataFolder.open(tmp_path)
    first.close()
    DataFolder.open(tmp_path).close()


def test_the_lock_ends_with_its_process_however_it_ends(tmp_path: Path) -> None:
    code = "import sys, time; from pathlib import Path; from hotspare_store.folder import DataFolder\n"
    code += "folder = DataFolder.open(Path(sys.argv[1])); print('locked', flush=True); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "locked\n"
    with pytest.raises(DataFolderInUseError, match=f"pid {child.pid}"):
        DataFolder.open(tmp_path)
    child.kill()
    child.communicate()
    DataFolder.open(tmp_path).close()


def test_a_child_does_not_inherit_the_lock(tmp_path: Path) -> None:
    folder = DataFolder.open(tmp_path)
    child = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE, close_fds=False
    )
    folder.close()
    try:
        # The kernel lets us go on a moment before it has closed what the child is not to have.
        deadline = time.monotonic() + 5
        while not opens(tmp_path):
            assert time.monotonic() < deadline, "the child has the lock"
    finally:
        child.kill()
        child.communicate()


@pytest.mark.parametrize("where", ["file", "file/below"])
def test_s4_a_file_in_place_of_the_folder_is_told_so(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataFolderError, match="can't be used"):
        DataFolder.open(tmp_path / where)


def test_s1_a_secret_is_written_whole_and_for_its_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("an older one that is longer\n")
    path.chmod(0o644)
    write_secret(path, "s3cret")
    assert (path.read_text(), mode(path)) == ("s3cret\n", 0o600)
    assert [each.name for each in tmp_path.iterdir()] == ["secret"]


def test_s1_a_secret_that_can_not_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        write_secret(tmp_path / "taken", "s3cret")
    assert [each.name for each in tmp_path.iterdir()] == ["taken"]
