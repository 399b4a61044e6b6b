"""Help by examples, and completion: both of every command, and neither loads what a call needs."""

import os
import re
import shlex
import shutil
import subprocess
import sys

import click
import pytest

from hotspare_cli.commands.completion import SHELLS, VARIABLE
from hotspare_cli.examples import all_examples, attach
from hotspare_cli.main import hotspare, run
from tests.unit.test_cli_main import HEAVY, commands, leaves

_SHELL = re.compile(r" (?:>|\||\|\||2>) .*")


def command_of(path: tuple[str, ...]) -> click.Command:
    command: click.Command = hotspare
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    return command


def examples_in_help(path: tuple[str, ...]) -> list[str]:
    return re.findall(r"^ *(hotspare .*)$", command_of(path).epilog or "", re.MULTILINE)


@pytest.mark.parametrize("path", leaves(), ids=" ".join)
def test_the_help_of_each_command_ends_with_examples_that_are_understood(path: tuple[str, ...]) -> None:
    lines = examples_in_help(path)
    assert lines, f"cli/hotspare_cli/examples.py has none for {' '.join(path)}"
    for line in lines:
        words = shlex.split(_SHELL.sub("", line))[1:]
        assert tuple(words[: len(path)]) == path
        with hotspare.make_context("hotspare", words) as context:
            command: click.Command = hotspare
            while isinstance(command, click.Group):
                _, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])
                assert found is not None
                command = found
                context = command.make_context(command.name, rest, parent=context)  # raises where it is wrong


def test_there_are_no_examples_of_what_does_not_exist() -> None:
    assert {tuple(words.split()) for words in all_examples()} <= set(leaves())


def test_a_command_keeps_the_examples_that_it_brings() -> None:
    @click.group()
    def root() -> None: ...

    @root.command("status", epilog="its own")
    def _status() -> None: ...

    attach(root)
    assert root.commands["status"].epilog == "its own"


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_is_printed_for_each_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert f"{VARIABLE}={shell}_complete" in script
    if found := shutil.which(shell):
        # Zsh and fish have -n, too: read it, and run nothing.
        subprocess.run([found, "-n"], input=script, text=True, check=True, timeout=20)


def completed(line: str, *, environment: dict[str, str] | None = None) -> list[str]:
    """What bash would be offered behind that line."""
    words = line.split(" ")
    ask = {VARIABLE: "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    code = (
        "import sys; from hotspare_cli.main import main\n"
        "try:\n    main()\n"
        f"finally:\n    print(*[name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **ask, **(environment or {})},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.split() == [], "a Tab must not wait for what only calls need"
    return [row.partition(",")[2] for row in done.stdout.split()]


def test_tab_completes_commands_and_choices() -> None:
    assert completed("hotspare sta") == ["status"]
    assert completed("hotspare enable --role spare") == ["spare1", "spare2", "spare3"]


def test_what_needs_no_server_loads_nothing_heavy() -> None:
    paths = [[*path, "--help"] for path in commands()]
    code = (
        "import sys, io, contextlib; from hotspare_cli.main import run\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        f"    for words in {[*paths, ['completion', 'bash'], ['context', 'list', '-o', 'json'], ['--version']]!r}:\n"
        "        if words == ['--version']:\n"
        f"            print(*[name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
        "        assert run(words) == 0\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.split() == []
