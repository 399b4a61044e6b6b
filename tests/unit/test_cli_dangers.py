"""X4: which commands take something away, replace it or change who works: they tell so and ask. No other ones do."""

import click
import pytest

from hotspare_cli.errors import ExitCode
from hotspare_cli.main import run
from hotspare_model.kinds import KINDS
from tools.cli_calls import commands
from tools.cli_pages import leaves

ASKS: dict[str, tuple[str, ...]] = {
    "disable": ("",),
    "switchover": ("--to spare1",),
    "pause": ("",),
    "member remove": ("spare1",),
    **{f"{kind.name} delete": ("panel-1",) for kind in KINDS},
    "device rotate-key": ("panel-1",),
    "device dc09": ("panel-1 --off", "panel-1 --no-key"),
    "event import": ("events.csv --replace-all",),
    "backup restore": ("", "4", "--new-lineage"),
    "backup start-lineage": ("",),
    "output delete": ("main",),
    "output pause": ("main",),
    "alarm replay": ("--all", "--all --device panel-1"),
    "token revoke": ("old",),
    "account rotate-key": ("north --restart",),
    "account end-rotation": ("north",),
    "operator revoke": ("old",),
    "enable": ("--role host --promote",),
}
"""With what stands behind the words where they ask."""

ASKED_BY_THE_SERVER = {"settings set", "enable"}
"""The server tells whether something would be cleared; only then they ask: tests/integration/test_cli_editing.py."""

CHANGES_WITHOUT_A_QUESTION: dict[str, str] = {
    "resume": "it ends what somebody had stopped",
    "group set": "the server refuses what would be unsafe, and every value can be set back",
    "output add": "it adds",
    "output update": "every value can be set back",
    "output test": "a test",
    "output resume": "it ends a pause",
    "alarm send": "it does what a device does",
    "alarm test": "a test",
    "token create": "it adds",
    "account create": "it adds",
    "account add-sub-account": "it adds",
    "operator create": "it adds",
    **{f"{kind.name} {verb}": "it adds, or can be set back" for kind in KINDS for verb in ("create", "update")},
}

READS = ("Get", "List", "Watch", "Check", "Diff", "Export", "Stream")

LINES = [f"{words} {rest}".strip() for words, arguments in ASKS.items() for rest in arguments]


def asking() -> set[str]:
    """The commands that have `--yes`."""
    return {
        words
        for words, command in leaves()
        if any(isinstance(option, click.Option) and option.name == "yes" for option in command.params)
    }


def test_x4_the_list_of_those_that_ask_is_that_of_the_code() -> None:
    assert asking() == set(ASKS) | ASKED_BY_THE_SERVER


def test_x4_whatever_changes_something_asks_or_need_not() -> None:
    changing = {words for words, calls in commands().items() if not calls[0].partition("/")[2].startswith(READS)} | {
        "device dc09"
    }
    assert changing == set(ASKS) | ASKED_BY_THE_SERVER | set(CHANGES_WITHOUT_A_QUESTION)
    assert not asking() & set(CHANGES_WITHOUT_A_QUESTION)


@pytest.mark.parametrize("line", LINES)
def test_x4_dangerous_verbs_tell_their_effect_and_need_yes_without_a_terminal(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "/nonexistent")
    monkeypatch.delenv("HOTSPARE_TOKEN_FILE", raising=False)
    monkeypatch.setenv("HOTSPARE_SERVER", "127.0.0.1:1")
    assert run(line.split()) == ExitCode.USAGE
    said = capsys.readouterr()
    assert said.out == ""
    what, hint = said.err.splitlines()
    assert what.startswith("Error: This ")
    assert "--yes" in hint
