"""docs/cli.md and docs/cli-configuration.md tell every command with its options, and none that does not exist."""

import re
import shlex
from collections.abc import Iterator

import click
import pytest

from hotspare_cli.errors import ExitCode
from hotspare_cli.main import EPILOG, hotspare
from hotspare_model.kinds import KINDS
from tools.protos import ROOT

PAGE = "".join((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("cli.md", "cli-configuration.md"))
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^##? |\Z)", PAGE, re.MULTILINE | re.DOTALL))
GENERAL = {"Before the command", "Keys and tokens", "What is printed", "Records"}
VERBS = ("list", "show", "create", "update", "delete")
"""All kinds have them; a kind has one section, and what is common to the kinds is told once, in "Records"."""


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from leaves(child, (*path, name))
    else:
        yield " ".join(path), command


EVERY = dict(leaves(hotspare))
OF_KINDS = {kind.name: [EVERY[f"{kind.name} {verb}"] for verb in VERBS] for kind in KINDS}
COMMANDS = {name: command for name, command in EVERY.items() if not any(command in one for one in OF_KINDS.values())}


def options_of(command: click.Command) -> set[str]:
    """Each option by its first name."""
    return {option.opts[0] for option in command.params if isinstance(option, click.Option)}


def options_told(section: str) -> set[str]:
    """The first column of the table."""
    return set(re.findall(r"^\| `(--?[a-z0-9-]+)", section, re.MULTILINE))


def test_every_command_has_its_section_and_every_section_its_command() -> None:
    assert set(SECTIONS) == set(COMMANDS) | set(OF_KINDS) | GENERAL


@pytest.mark.parametrize("name", COMMANDS)
def test_all_options_of_a_command_are_told(name: str) -> None:
    assert options_told(SECTIONS[name]) == options_of(COMMANDS[name])


@pytest.mark.parametrize("kind", OF_KINDS)
def test_b1_all_options_of_a_kind_are_told_with_the_verbs_that_take_them(kind: str) -> None:
    told = {
        option: set(re.findall(r"`([a-z]+)`", verbs))
        for option, verbs in re.findall(
            r"^\| `(--?[a-z0-9-]+)[^|]*(?:\\\|[^|]*)*\| ([^|]+) \|", SECTIONS[kind], re.MULTILINE
        )
    }
    common = options_told(SECTIONS["Records"])
    real: dict[str, set[str]] = {}
    for verb, command in zip(VERBS, OF_KINDS[kind], strict=True):
        for option in options_of(command) - common:
            real.setdefault(option, set()).add(verb)
    assert told == real


def test_b1_what_is_told_of_all_kinds_is_so() -> None:
    common = options_told(SECTIONS["Records"])
    for commands in OF_KINDS.values():
        whole = set().union(*(options_of(command) for command in commands))
        assert common - whole <= {"--cascade"}, "that is only offered where something may refer to it"


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
    words = shlex.split(re.split(r" [|>] ", line)[0])[1:]
    with hotspare.make_context("hotspare", words) as context:
        command: click.Command = hotspare
        while isinstance(command, click.Group):
            _, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])
            assert found is not None
            command = found
            context = command.make_context(command.name, rest, parent=context)  # raises where it is wrong


def test_each_command_has_an_example() -> None:
    for name in (*COMMANDS, *OF_KINDS):
        assert re.search(rf"^(?:\$ )?hotspare (?:--(?:server|context) \S+ )?{name}\b", SECTIONS[name], re.MULTILINE), (
            name
        )


def test_exit_statuses_are_told() -> None:
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", SECTIONS["What is printed"], re.MULTILINE)}
    assert told == {int(code) for code in ExitCode}
    in_help = re.search(r"Exit status: (.*)", EPILOG, re.DOTALL)
    assert in_help is not None
    assert {int(code) for code in re.findall(r"\d+", in_help[1])} == told
