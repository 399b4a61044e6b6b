"""docs/cli.md tells every command with its options, and none that does not exist."""

import re
import shlex
from collections.abc import Iterator

import click
import pytest

from hotspare_cli.errors import ExitCode
from hotspare_cli.main import hotspare
from tools.protos import ROOT

PAGE = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
GENERAL = {"Before the command", "Keys and tokens", "What is printed"}


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from leaves(child, (*path, name))
    else:
        yield " ".join(path), command


COMMANDS = dict(leaves(hotspare))


def options_of(command: click.Command) -> set[str]:
    """Each option by its first name."""
    return {option.opts[0] for option in command.params if isinstance(option, click.Option)}


def options_told(section: str) -> set[str]:
    """The first column of the table."""
    return set(re.findall(r"^\| `(--?[a-z-]+)", section, re.MULTILINE))


def test_every_command_has_its_section_and_every_section_its_command() -> None:
    assert set(SECTIONS) == set(COMMANDS) | GENERAL


@pytest.mark.parametrize("name", COMMANDS)
def test_all_options_of_a_command_are_told(name: str) -> None:
    assert options_told(SECTIONS[name]) == options_of(COMMANDS[name])


def test_the_options_before_the_command_are_told_with_their_variables() -> None:
    section = SECTIONS["Before the command"]
    assert options_told(section) == options_of(hotspare)
    for option in hotspare.params:
        if isinstance(option, click.Option) and option.envvar:
            assert f"`{option.envvar}`" in section


def examples() -> list[str]:
    blocks = re.findall(r"```(?:sh|text)\n(.*?)```", PAGE, re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.removeprefix("$ ") for line in lines if re.match(r"(\$ )?hotspare ", line)]


@pytest.mark.parametrize("line", examples())
def test_the_examples_are_command_lines_that_are_understood(line: str) -> None:
    words = shlex.split(line.partition(" | ")[0])[1:]
    with hotspare.make_context("hotspare", words) as context:
        command: click.Command = hotspare
        while isinstance(command, click.Group):
            _, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])
            assert found is not None
            command = found
            context = command.make_context(command.name, rest, parent=context)  # raises where it is wrong


def test_each_command_has_an_example() -> None:
    for name in COMMANDS:
        assert re.search(rf"^(?:\$ )?hotspare (?:--server \S+ )?{name}\b", SECTIONS[name], re.MULTILINE), name


def test_exit_statuses_are_told() -> None:
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", SECTIONS["What is printed"], re.MULTILINE)}
    assert told == {int(code) for code in ExitCode}
