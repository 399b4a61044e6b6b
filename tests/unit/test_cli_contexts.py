"""Contexts: servers by name, in a file that only their owner writes, and never a secret in it."""

import json
import os
import stat
from pathlib import Path

import pytest

from hotspare_cli.contexts import path
from hotspare_cli.errors import CliError, ExitCode
from hotspare_cli.main import hotspare, run
from hotspare_cli.options import Target
from hotspare_rpc.address import Address, parse_address

SECRET = "t0p-secret-token"


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("HOTSPARE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def token(tmp_path: Path) -> Path:
    file = tmp_path / "alpha.token"
    file.write_text(SECRET)
    file.chmod(0o600)
    return file


def add(name: str, server: str = "127.0.0.1:7001", *more: str) -> int:
    return run(["context", "add", name, "--server", server, *more])


def target(
    server: str | None = None, token_file: Path | None = None, context: str | None = None, tls_ca: Path | None = None
) -> Target:
    told: Address | None = parse_address(server) if server is not None else None
    return Target(told, token_file, tls_ca, None, None, 10.0, False, (), context).resolved()


def test_the_file_stands_below_xdg_is_ours_alone_and_holds_no_secret(
    tmp_path: Path, token: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = os.umask(0)
    try:
        assert add("alpha", "127.0.0.1:7001", "--token-file", str(token)) == 0
    finally:
        os.umask(old)
    file = tmp_path / "config" / "hotspare" / "contexts.json"
    assert path() == file
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [one.name for one in file.parent.iterdir()] == [file.name], "nothing is left beside it"
    for words in (["list"], ["list", "-o", "json"], ["list", "-o", "yaml"], ["show"], ["show", "alpha", "-o", "json"]):
        assert run(["context", *words]) == 0
    shown = capsys.readouterr().out + file.read_text()
    assert SECRET not in shown
    assert str(token) in shown


def test_a_relative_xdg_folder_is_ignored_as_its_specification_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "config")
    monkeypatch.setenv("HOME", "/home/anna")
    assert path() == Path("/home/anna/.config/hotspare/contexts.json")


def test_the_first_one_is_used_until_another_one_is_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    assert add("alpha") == add("beta", "127.0.0.1:7002") == 0
    assert target().server == parse_address("127.0.0.1:7001")
    assert run(["context", "use", "beta"]) == 0
    assert target().server == parse_address("127.0.0.1:7002")
    assert add("gamma", "127.0.0.1:7003", "--use") == 0
    capsys.readouterr()
    assert run(["context", "list", "-o", "json"]) == 0
    listed = json.loads(capsys.readouterr().out)["contexts"]
    assert [(one["name"], one["current"]) for one in listed] == [("alpha", False), ("beta", False), ("gamma", True)]
    assert run(["context", "remove", "gamma"]) == 0
    assert target().server is None
    assert "No context is in use now." in capsys.readouterr().out


def test_options_and_variables_come_before_the_context(token: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.token"
    assert add("alpha", "127.0.0.1:7001", "--token-file", str(token), "--tls-ca", str(tmp_path / "ca.pem")) == 0
    assert target() == target("127.0.0.1:7001")
    assert target().token_file == token
    assert target(token_file=mine).token_file == mine
    assert target(tls_ca=mine).tls_ca == mine
    assert target(tls_ca=mine).token_file == token


def test_s1_a_token_goes_to_no_other_server_than_the_one_of_its_context(token: Path) -> None:
    assert add("alpha", "127.0.0.1:7001", "--token-file", str(token)) == 0
    assert target("127.0.0.1:7002").token_file is None
    assert target("127.0.0.1:7002", context="alpha").token_file is None


def asked(*words: str) -> Target:
    """The server that a command line means."""
    with hotspare.make_context("hotspare", [*words, "status"]) as context:
        assert hotspare.callback is not None
        context.invoke(hotspare.callback, **context.params)
        found: Target = context.obj
        return found.resolved()


def test_a_context_that_is_typed_comes_before_variables_of_another_server(
    token: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else `hotspare --context beta disable` would end the hot spare at the host that was exported an hour ago."""
    exported = tmp_path / "exported"
    assert add("alpha", "127.0.0.1:7001") == add("beta", "127.0.0.1:7002", "--token-file", str(token)) == 0
    for variable, value in (("SERVER", "127.0.0.1:7001"), ("TOKEN_FILE", exported), ("TLS_CA", exported)):
        monkeypatch.setenv(f"HOTSPARE_{variable}", str(value))
    beta, alpha = asked("--context", "beta"), asked("--context", "alpha")
    assert (str(beta.server), beta.token_file, beta.tls_ca) == ("127.0.0.1:7002", token, None)
    # Of the same server, what was exported completes the context; without one typed, variables come first.
    assert (str(alpha.server), alpha.token_file, alpha.tls_ca) == ("127.0.0.1:7001", exported, exported)
    assert (asked().server, asked().token_file) == (alpha.server, exported)
    typed = asked("--server", "127.0.0.1:7003", "--context", "beta")
    assert (str(typed.server), typed.token_file) == ("127.0.0.1:7003", exported)
    monkeypatch.setenv("HOTSPARE_CONTEXT", "beta")
    assert str(asked().server) == "127.0.0.1:7001"


def test_a_named_context_comes_before_the_one_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    assert add("alpha") == add("beta", "127.0.0.1:7002") == 0
    assert target(context="beta").server == parse_address("127.0.0.1:7002")
    with pytest.raises(CliError) as refused:
        target(context="gamma")
    assert refused.value.exit_code is ExitCode.NOT_FOUND
    assert "alpha, beta" in refused.value.hint
    monkeypatch.setenv("HOTSPARE_CONTEXT", "beta")
    assert run(["context", "show"]) == 0


def test_who_tells_server_and_token_is_held_up_by_no_damaged_file(tmp_path: Path) -> None:
    path().parent.mkdir(parents=True)
    path().write_text("{")
    mine = tmp_path / "mine.token"
    assert target("127.0.0.1:7002", mine).token_file == mine
    with pytest.raises(CliError, match="damaged"):
        target("127.0.0.1:7002")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"current": null, "contexts": {"a": {}}}',
        '{"current": null, "contexts": {"../a": {"server": "h:1"}}}',
        '{"current": null, "contexts": {"a": {"server": "nowhere"}}}',
        '{"current": 1, "contexts": []}',
    ],
)
def test_a_damaged_file_is_told_and_left_as_it_is(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    path().parent.mkdir(parents=True)
    path().write_text(text)
    assert run(["context", "list"]) == ExitCode.USAGE
    assert add("beta") == ExitCode.USAGE
    assert "Hint: Mend it" in capsys.readouterr().err
    assert path().read_text() == text


def test_s1_a_file_that_others_may_write_is_not_trusted(capsys: pytest.CaptureFixture[str]) -> None:
    assert add("alpha") == 0
    path().chmod(0o620)
    assert run(["context", "list"]) == ExitCode.USAGE
    assert "chmod 600" in capsys.readouterr().err


def test_a_name_is_not_taken_twice_by_chance(capsys: pytest.CaptureFixture[str]) -> None:
    assert add("alpha") == 0
    assert add("alpha", "127.0.0.1:7002") == ExitCode.USAGE
    assert "--replace" in capsys.readouterr().err
    assert add("alpha", "127.0.0.1:7002", "--replace") == 0
    assert target().server == parse_address("127.0.0.1:7002")


@pytest.mark.parametrize("name", ["", "a/b", "..", "-x", "ü", "a" * 65])
def test_s4_names_are_plain(name: str) -> None:
    assert run(["context", "add", "--server", "127.0.0.1:1", "--", name]) == ExitCode.USAGE


def test_a_wrong_token_file_is_told_at_once(token: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    token.chmod(0o644)
    assert add("alpha", "127.0.0.1:7001", "--token-file", str(token)) == ExitCode.USAGE
    assert add("alpha", "127.0.0.1:7001", "--token-file", str(tmp_path / "none")) == ExitCode.USAGE
    assert not path().exists()
    assert SECRET not in capsys.readouterr().err


def test_files_are_named_from_the_root_so_that_the_folder_of_the_day_does_not_matter(
    token: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(token.parent)
    assert add("alpha", "127.0.0.1:7001", "--token-file", token.name) == 0
    assert target().token_file == token


@pytest.mark.parametrize("verb", ["use", "show", "remove"])
def test_what_is_not_there_is_5(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["context", verb, "nobody"]) == ExitCode.NOT_FOUND
    assert "hotspare context add" in capsys.readouterr().err
