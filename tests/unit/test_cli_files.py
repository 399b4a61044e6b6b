"""Keys and tokens in files: who else may read them, what is in them, and nothing is ever overwritten (S1)."""

import os
import stat
from pathlib import Path

import pytest

from hotspare_cli.errors import CliError, ExitCode
from hotspare_cli.files import NewSecretFile, read_aes_key, read_certificates, read_secret

SECRET = "kept-well_0123456789"


def kept(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_s1_a_private_file_is_read_without_its_line_end(tmp_path: Path) -> None:
    assert read_secret(kept(tmp_path / "t", f"{SECRET}\n"), "token") == SECRET
    assert read_secret(kept(tmp_path / "t", f"\ufeff  {SECRET}\r\n"), "token") == SECRET


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620, 0o644])
def test_s1_a_file_open_to_others_is_refused_and_the_way_out_is_told(tmp_path: Path, mode: int) -> None:
    path = kept(tmp_path / "t", SECRET, mode)
    with pytest.raises(CliError) as refusal:
        read_secret(path, "token")
    assert f"{mode:04o}" in refusal.value.what
    assert refusal.value.hint.endswith(f"chmod 600 {path}")
    assert refusal.value.exit_code is ExitCode.USAGE


@pytest.mark.parametrize("text", ["", "\n", "two words", "two\nlines", "not-ascii-ä", "x" * 257])
def test_s1_what_holds_no_secret_is_refused_without_telling_what_it_holds(tmp_path: Path, text: str) -> None:
    with pytest.raises(CliError) as refusal:
        read_secret(kept(tmp_path / "t", text), "token")
    if text.strip():
        assert text.strip() not in refusal.value.what + refusal.value.hint


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="There is no token file"):
        read_secret(tmp_path / "none", "token")
    with pytest.raises(CliError, match="directory"):
        read_secret(tmp_path, "token")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_of_another_user_is_told(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="may not be read"):
        read_secret(kept(tmp_path / "t", SECRET, 0o000), "token")


@pytest.mark.parametrize("length", [16, 24, 32])
def test_o1_an_aes_key_is_hexadecimal_with_any_white_space(tmp_path: Path, length: int) -> None:
    key = bytes(range(200, 200 + length))
    text = " ".join(f"{byte:02X}" for byte in key) + "\n"
    assert read_aes_key(kept(tmp_path / "k", text)) == key
    assert read_aes_key(kept(tmp_path / "k", key.hex())) == key


@pytest.mark.parametrize("text", ["", "00" * 15, "00" * 33, "zz" * 16, "0" * 33, "\u0663" * 32])
def test_o1_anything_else_is_no_aes_key(tmp_path: Path, text: str) -> None:
    with pytest.raises(CliError, match="no AES key") as refusal:
        read_aes_key(kept(tmp_path / "k", text))
    if text:
        assert text not in refusal.value.what + refusal.value.hint


def test_certificates_may_be_open_to_all_but_must_be_some(tmp_path: Path) -> None:
    pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    assert read_certificates(kept(tmp_path / "c", pem, 0o644)) == pem
    with pytest.raises(CliError, match="no certificate"):
        read_certificates(kept(tmp_path / "c", "PRIVATE", 0o644))


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_s1_a_new_secret_has_mode_0600_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "k"
    before = os.umask(umask)
    try:
        with NewSecretFile(path) as file:
            file.write(SECRET, otherwise="")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == f"{SECRET}\n"


def test_s1_an_existing_file_stays_as_it_is(tmp_path: Path) -> None:
    path = kept(tmp_path / "k", "older")
    with pytest.raises(CliError, match="not overwritten"), NewSecretFile(path):
        pytest.fail("the secret would be made")
    assert path.read_text() == "older"


def test_s1_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CliError, match="not overwritten"), NewSecretFile(tmp_path / "link"):
        pytest.fail("the secret would be made")
    assert not (tmp_path / "elsewhere").exists()


def test_nothing_stays_behind_when_no_secret_was_made(tmp_path: Path) -> None:
    path = tmp_path / "k"
    with NewSecretFile(path):
        assert path.exists()
    assert not path.exists()


def test_a_folder_that_is_missing_is_told_before_a_secret_is_made(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="can't be created"), NewSecretFile(tmp_path / "no" / "k"):
        pytest.fail("the secret would be made")


def test_a_full_disk_is_told_with_the_way_to_another_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "k"
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CliError) as refusal, NewSecretFile(path) as file:
        file.write(SECRET, otherwise="make another one")
    assert "No space left" in refusal.value.what
    assert refusal.value.hint == "make another one"
    assert SECRET not in refusal.value.what
    assert not path.exists()
