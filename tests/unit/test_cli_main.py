"""The command line itself: instant, sparing with imports, strict with its arguments, quiet about secrets."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from hotspare_cli.errors import ExitCode
from hotspare_cli.main import hotspare, run
from hotspare_model.kinds import KINDS, Kind

SEND = ("alarm", "send", "--arc-id", "a", "--device", "d", "--key-file", "k")
HEAVY = ("grpc", "google.protobuf", "rich", "yaml", "cryptography", "asyncio", "importlib.metadata")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in list(os.environ):
        if name.startswith("HOTSPARE_"):
            monkeypatch.delenv(name)


def commands(command: click.Command = hotspare, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from commands(child, (*path, name))


def leaves() -> list[tuple[str, ...]]:
    every = list(commands())
    return [path for path in every if not any(other[:-1] == path for other in every if other)]


@pytest.mark.parametrize("path", list(commands()), ids=" ".join)
def test_every_command_has_a_help_with_a_first_line_that_fits(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*path, "--help"]) == 0
    assert "Usage: hotspare" in capsys.readouterr().out
    command: click.Command = hotspare
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    assert not command.get_short_help_str(60).endswith("...")
    assert all(option.help for option in command.params if isinstance(option, click.Option))


@pytest.mark.parametrize("path", leaves(), ids=" ".join)
def test_s1_no_key_or_token_is_an_argument(path: tuple[str, ...]) -> None:
    command: click.Command = hotspare
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    for parameter in command.params:
        secret = any(word in parameter.opts[0] for word in ("key", "token", "secret", "password"))
        if secret and isinstance(parameter, click.Option) and not parameter.is_flag:
            assert isinstance(parameter.type, click.Path), f"{path}: {parameter.opts}"


ANSWERED = [
    ("status",),
    ("doctor",),
    ("members",),
    ("history",),
    ("group", "show"),
    ("settings", "show"),
    ("output", "list"),
    *((kind.name, verb) for kind in KINDS for verb in ("list", "show", "create", "update", "delete")),
    ("event", "import"),
    ("backup", "show"),
    ("backup", "revisions"),
    ("backup", "diff"),
    ("backup", "restore"),
    ("backup", "start-lineage"),
    ("enable",),
    ("disable",),
    ("member", "remove"),
    ("alarm", "list"),
    ("alarm", "show"),
    ("token", "list"),
    ("version",),
    ("version", "check"),
    ("upgrade", "plan"),
    ("describe",),
    ("context", "list"),
    ("context", "show"),
]


@pytest.mark.parametrize("path", ANSWERED, ids=" ".join)
def test_commands_that_are_answered_with_something_take_the_form_of_its_output(path: tuple[str, ...]) -> None:
    command: click.Command = hotspare
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    form = next(parameter for parameter in command.params if "-o" in parameter.opts)
    assert isinstance(form.type, click.Choice)
    assert list(form.type.choices) == ["table", "json", "yaml"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["status", "--nonsense"],
        ["--server", "no-port", "status"],
        ["--timeout", "0", "status"],
        ["status", "-o", "xml"],
        ["call"],
        ["call", "A/B", "-o", "table"],
        ["call", "A/B", "--limit", "0"],
        ["completion", "tcsh"],
        ["context", "add", "alpha"],
        ["enable"],
        ["enable", "--role", "spare4"],
        ["switchover", "--yes"],
        ["switchover", "--to", "spare1", "--reason", "x" * 257],
        ["pause", "--yes", "--reason", "x" * 257],
        ["history", "--limit", "0"],
        ["group", "set", "--lease", "6"],
        ["group", "set", "--lease", "-6s"],
        ["group", "set", "--window", "0"],
        ["group", "set", "--window", "4294967296"],
        ["output", "add", "main", "--kind", "sia-dc09"],
        ["output", "add", "main", "--kind", "telepathy", "--address", "127.0.0.1:5000"],
        ["device", "create", "panel-1"],
        ["device", "create", "panel-1", "--account", "1234", "--supervision", "soon"],
        ["zone", "create", "panel-1/5", "--partition", "100"],
        ["channel", "update", "panel-1/1", "--zone", "1,x"],
        ["user", "update", "anna", "--device", "panel-1:1:2:3"],
        ["user", "update", "anna", "--device", ":1"],
        ["event", "create", "130"],
        ["event", "update", "130", "--severity", "dreadful"],
        ["backup", "diff"],
        ["backup", "diff", "1", "2", "--kind", "cats"],
        ["backup", "restore", "0"],
        ["token", "create", "t", "--role", "king"],
        [
            *SEND,
            "--code",
            "1130",
            "--zone",
            "1000",
        ],
        [
            *SEND,
            "--code",
            "1130",
            "--count",
            "0",
        ],
    ],
    ids=lambda arguments: " ".join(arguments)[:60],
)
def test_wrong_usage_is_2_with_the_usage_on_stderr(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == ExitCode.USAGE
    said = capsys.readouterr()
    assert said.out == ""
    assert "Error: " in said.err


def two_lines(capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    said = capsys.readouterr()
    assert said.out == ""
    what, hint = said.err.splitlines()
    assert what.startswith("Error: ")
    assert hint.startswith("Hint: ")
    return what, hint


def test_without_a_server_both_ways_to_name_one_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status"]) == ExitCode.USAGE
    _, hint = two_lines(capsys)
    assert "--server" in hint
    assert "HOTSPARE_SERVER" in hint


def test_without_a_token_both_ways_to_name_one_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOTSPARE_SERVER", "127.0.0.1:1")
    assert run(["status"]) == ExitCode.USAGE
    _, hint = two_lines(capsys)
    assert "--token-file" in hint
    assert "HOTSPARE_TOKEN_FILE" in hint


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_b1_an_update_without_a_field_changes_nothing(kind: Kind, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([kind.name, "update", "x"]) == ExitCode.USAGE
    what, hint = two_lines(capsys)
    assert "Nothing was named" in what
    assert f"hotspare {kind.name} update --help" in hint


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["zone", "create", "panel-1"], "Such an id is DEVICE/NUMBER."),
        (["zone", "create", "panel-1/x"], "Such an id is DEVICE/NUMBER."),
        (["event", "create", "a/b", "--name", "x"], "Such an id is CODE or SIA-CODE."),
        (["event", "create", "SIA-BA", "--name", "x", "--sia", "CL"], "Leave the option out."),
        (["enable", "--role", "spare1", "--promote"], "--role host"),
        (["backup", "restore", "4", "--new-lineage"], "Leave one of the two out."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_meant_is_told_before_anything_is_asked(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == ExitCode.USAGE
    assert told in two_lines(capsys)[1]


@pytest.mark.parametrize("of", ["settings", "group"])
def test_settings_set_without_a_setting_changes_nothing(of: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([of, "set"]) == ExitCode.USAGE
    assert "No setting was named" in two_lines(capsys)[0]


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "2h ago", "", "0001-01-01T00:00:00+14:00"])
@pytest.mark.parametrize("option", ["--since", "--until"])
def test_history_tells_times_that_are_none(option: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--server", "127.0.0.1:1", "history", option, text]) == ExitCode.USAGE
    what, hint = two_lines(capsys)
    assert option in what
    assert f"{option} 2h" in hint


def test_history_tells_that_nothing_lies_between(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--server", "127.0.0.1:1", "history", "--since", "1h", "--until", "2h"]) == ExitCode.USAGE
    assert "--until" in two_lines(capsys)[0]


@pytest.mark.parametrize("code", ["130", "2130", "11300", "1A30", "1 30", "x130", "113G"])
def test_alarm_send_wants_qeee(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    base = [*SEND]
    assert run([*base, "--code", code]) == ExitCode.USAGE
    assert "--code 1130" in two_lines(capsys)[1]


@pytest.mark.parametrize(("option", "text"), [("--arc-id", "a\nb"), ("--device", ""), ("--device", "ü")])
def test_s4_ids_that_metadata_cannot_carry_are_wrong_usage(
    option: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = {"--arc-id": "a", "--device": "d", option: text}
    arguments = [part for pair in ids.items() for part in pair]
    base = ["--server", "127.0.0.1:1", "alarm", "send", "--key-file", "k", "--code", "1130"]
    assert run([*base, *arguments]) == ExitCode.USAGE
    assert option in two_lines(capsys)[0]


@pytest.mark.parametrize("more", [["--occurred", "yesterday"], ["--alarm-id", "7"]])
def test_alarm_send_tells_times_and_ids_that_are_none(more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    base = [*SEND, "--code", "1130"]
    assert run([*base, *more]) == ExitCode.USAGE
    two_lines(capsys)


def test_one_alarm_id_is_for_one_alarm(capsys: pytest.CaptureFixture[str]) -> None:
    base = [*SEND, "--code", "1130"]
    assert run([*base, "--alarm-id", "017f22e2-79b0-7cc3-98c4-dc0c0c07398f", "--count", "2"]) == ExitCode.USAGE
    two_lines(capsys)


@pytest.mark.parametrize("key", ["abc", "-1", "1.5", "9" * 20])
def test_alarm_show_takes_a_number_or_a_uuid(key: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--server", "127.0.0.1:1", "alarm", "show", "--", key]) == ExitCode.USAGE
    assert "hotspare alarm list" in two_lines(capsys)[1]


def test_a_key_file_that_exists_is_refused_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOTSPARE_SERVER", "127.0.0.1:1")
    taken = tmp_path / "panel.key"
    taken.write_text("older")
    assert run(["device", "create", "panel-1", "--account", "1234", "--key-out", str(taken)]) == ExitCode.USAGE
    assert "not overwritten" in two_lines(capsys)[0]
    assert taken.read_text() == "older"


def test_its_own_version_needs_no_server(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("hotspare ")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("stauts", "status"), ("tail", "alarm tail"), ("rotate-key", "device rotate-key"), ("help", "--help")],
)
def test_a_mistyped_word_is_told_with_what_it_may_have_meant(
    typed: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([typed, "x"]) == ExitCode.USAGE
    assert re.search(rf"Did you mean:? .*{meant}", capsys.readouterr().err)
