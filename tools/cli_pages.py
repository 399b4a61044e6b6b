"""The pages docs/commands/*.md, made from the commands themselves: usage, options, calls, statuses, hints, outputs.

    python -m tools.cli_pages [--check]     from the commands as they are, with the outputs that the pages have
    make cli-pages                          the same, with outputs that are produced anew by real servers

All of a page above its outputs is a function of the code. The outputs are recorded by tests/acceptance/cli_story.py;
one that has its shape still is left as it is, so that a page changes only where something did.
"""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

import click

from hotspare_cli.errors import ExitCode
from hotspare_cli.hints import AT_CLOUD, HINTS
from hotspare_cli.main import hotspare
from hotspare_model.errors import CODES, Reason
from tools.cli_calls import (
    BY_REFLECTION,
    WITHOUT_A_COMMAND,
    WITHOUT_A_SERVER,
    commands,
    contract,
    needed_role,
    reasons_of,
)
from tools.protos import ROOT

FOLDER = ROOT / "docs" / "commands"
INDEX = "README.md"
OUTPUTS = "## Outputs"
"""Where on a page the part begins that is not made from the code."""

_HOLDS_OF_ALL = (
    "See [all commands](README.md) for the options before the command, and for what holds of all; "
    "[cli.md](../cli.md) and [cli-configuration.md](../cli-configuration.md) tell more in words."
)
_EXITS: Mapping[ExitCode, str] = {
    ExitCode.FINE: "fine",
    ExitCode.REFUSED: "refused by the server",
    ExitCode.USAGE: "wrong usage: an argument, or a file that it names",
    ExitCode.NO_ANSWER: "no connection, or no answer in time",
    ExitCode.NOT_HEALTHY: "not healthy: somebody has to act",
    ExitCode.NOT_FOUND: "what was named is not there",
    ExitCode.INTERRUPTED: "interrupted",
}
_TELLS_HEALTH = ("status", "doctor")
_FAILS_ON_ITS_OWN: Mapping[str, str] = {
    "alarm send": "an alarm was not stored",
    "event import": "lines of the file are wrong",
    "output test": "the software refused the test",
    "switchover": "something else happened on the way",
    "version check": "the two don't go together",
}
_OF_EVERY_CALL = (
    *(Reason.INVALID_CREDENTIALS, Reason.TOKEN_EXPIRED, Reason.CALLER_NOT_ALLOWED),
    *(Reason.NOT_SERVED, Reason.SHUTTING_DOWN, Reason.STORE_FAILED, Reason.INTERNAL),
)
_KEY = re.compile(r"\{(\w+)\}")


def leaves(command: click.Command = hotspare, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command with its words, in the order of the help."""
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            yield from leaves(command.commands[name], (*path, name))
    else:
        yield " ".join(path), command


@cache
def every() -> dict[str, click.Command]:
    """The same, by their words."""
    return dict(leaves())


def file_name(words: str) -> str:
    """The page of a command."""
    return f"{words.replace(' ', '-')}.md"


def page(words: str, outputs: str) -> str:
    """The page of the command with these words; `outputs` is its last part, as it was recorded."""
    command = every()[words]
    context = _context(words)
    parts = [f"# hotspare {words}", _help(command), f"```text\n{_usage(command, context)}\n```", _HOLDS_OF_ALL]
    parts += ["## Options", _options(command, context), *_examples(command), *_calls(words)]
    parts += ["## Exit status", _table(("status", "when"), _exits(words)), *_refusals(words), OUTPUTS, outputs.strip()]
    return "\n\n".join(part for part in parts if part) + "\n"


def index() -> str:
    """The page that lists them all, with what holds of all."""
    context = _before()
    listed = [(f"[{words}]({file_name(words)})", _short(command)) for words, command in every().items()]
    served = [f"`{name}`" for name in contract() if name not in WITHOUT_A_COMMAND]
    without = [(f"`{name}`", f"{why}.") for name, why in WITHOUT_A_COMMAND.items()]
    parts = [
        "# Commands",
        "Made by `make cli-pages` from the command `hotspare` itself; the outputs were produced by real servers. In "
        "words, by subject: [cli.md](../cli.md), [cli-configuration.md](../cli-configuration.md).",
        _table(("command", "what"), listed),
        "## Before the command",
        _options(hotspare, context),
        "## When a call is refused",
        "Each error is two lines: what happened, with its [reason](../errors.md), and what to do. The page of a "
        "command lists the reasons that are its own; these any command may meet with:",
        _table(("reason", "what to do"), ((f"`{reason}`", _hint(reason)) for reason in _OF_EVERY_CALL)),
        "## Calls without a command",
        f"Of the {len(contract())} calls of the [contract](../contract.md) {len(served)} have a command, whose page "
        "names them. The others need none; [call](call.md) reaches each that is served.",
        _table(("call", "why"), without),
        "## How the outputs came about",
        "A cloud and three receivers on one machine, set up and asked by the commands of these pages in one go, "
        "without a terminal. Then all is made to look alike each time: ports, the folder of the day, ids, digests and "
        "etags are replaced by others of the same length, and times are moved together. A command whose output "
        "has the shape that its page shows keeps what stands there; ages and counts may differ with you.",
    ]
    return "\n\n".join(parts) + "\n"


def outputs_of(text: str) -> str:
    """The recorded part of a page."""
    return text.partition(f"\n{OUTPUTS}\n")[2]


def pages(recorded: Mapping[str, str]) -> dict[str, str]:
    """All pages by the names of their files; `recorded` has the outputs by the words of the commands."""
    made = {file_name(words): page(words, recorded.get(words, "")) for words in every()}
    return {INDEX: index(), **made}


def as_they_stand(folder: Path = FOLDER) -> dict[str, str]:
    """The recorded part of each page that is there, by the words of its command."""
    files = ((words, folder / file_name(words)) for words in every())
    return {words: outputs_of(file.read_text(encoding="utf-8")) for words, file in files if file.exists()}


def differences(folder: Path = FOLDER) -> list[str]:
    """The names of files that are not as the code makes them, or not there, or not wanted any more."""
    wanted = pages(as_they_stand(folder))
    there = {file.name: file.read_text(encoding="utf-8") for file in folder.glob("*.md")}
    return sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))


def write(recorded: Mapping[str, str], folder: Path = FOLDER) -> None:
    """Write all pages, and remove those of commands that are gone."""
    folder.mkdir(exist_ok=True)
    made = pages(recorded)
    for old in {file.name for file in folder.glob("*.md")} - made.keys():
        (folder / old).unlink()
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8")


# --- The parts of a page -----------------------------------------------------------------------------------


def _before() -> click.Context:
    # With its settings: the names of the help option are kept with a command from its first use on.
    return click.Context(hotspare, info_name="hotspare", **hotspare.context_settings)


def _context(words: str) -> click.Context:
    context, command = _before(), hotspare
    found: click.Command = command
    for word in words.split():
        assert isinstance(found, click.Group)
        found = found.commands[word]
        context = click.Context(found, parent=context, info_name=word)
    return context


def _help(command: click.Command) -> str:
    """The paragraphs of its help, each in one line."""
    paragraphs = (command.help or "").replace("\b\n", "").strip().split("\n\n")
    return "\n\n".join(_escaped(" ".join(paragraph.split())) for paragraph in paragraphs)


def _short(command: click.Command) -> str:
    return _escaped(command.get_short_help_str(100))


def _usage(command: click.Command, context: click.Context) -> str:
    return f"{context.command_path} {' '.join(command.collect_usage_pieces(context))}"


def _options(command: click.Command, context: click.Context) -> str:
    options = (one for one in command.get_params(context) if isinstance(one, click.Option))
    records = (option.get_help_record(context) for option in options)
    rows = ((f"`{_cell(names)}`", _cell(_escaped(what))) for names, what in filter(None, records))
    return _table(("option", "what"), rows)


def _examples(command: click.Command) -> Iterator[str]:
    lines = re.findall(r"^ *(hotspare .*)$", command.epilog or "", re.MULTILINE)
    if lines:
        yield "## Examples" if len(lines) > 1 else "## Example"
        yield "```sh\n" + "\n".join(lines) + "\n```"


def _calls(words: str) -> Iterator[str]:
    if words in WITHOUT_A_SERVER:
        yield "No server is asked."
        return
    yield "## Who may, and what is called"
    if words in BY_REFLECTION:
        yield "What a method needs is told in the [contract](../contract.md); reflection is open to all."
        return
    calls = commands()[words]
    named = ", ".join(f"`{name}`" for name in calls)
    yield f"It needs {needed_role(calls)}. It calls {named} ([api.md](../api.md))."
    if _asks(words):
        yield "Before it takes something away or replaces it, it tells what, and asks."


def _exits(words: str) -> Iterator[tuple[str, str]]:
    more = _more_exits(words)
    for code, what in _EXITS.items():
        match code:
            case ExitCode.NOT_HEALTHY if words not in _TELLS_HEALTH:
                continue
            case ExitCode.NOT_FOUND if not _may_miss(words):
                continue
            case ExitCode.REFUSED | ExitCode.NO_ANSWER if words in WITHOUT_A_SERVER:
                continue
        yield str(int(code)), "; ".join((what, *more.get(code, ())))


def _more_exits(words: str) -> dict[ExitCode, list[str]]:
    """What else a status tells of this command."""
    refused = ["you answered no"] if _asks(words) else []
    refused += [_FAILS_ON_ITS_OWN[words]] if words in _FAILS_ON_ITS_OWN else []
    usage = ["without a terminal: `--yes` is missing"] if _asks(words) else []
    return {ExitCode.REFUSED: refused, ExitCode.USAGE: usage}


def _asks(words: str) -> bool:
    return any(option.name == "yes" for option in every()[words].params)


def _may_miss(words: str) -> bool:
    if words in BY_REFLECTION or words == "output update":
        return True
    if words in WITHOUT_A_SERVER:
        return words.startswith("context") and words not in ("context add", "context list")
    return any(CODES[reason] == "NOT_FOUND" for reason in _reasons(words))


def _reasons(words: str) -> tuple[Reason, ...]:
    """Its own, in the order of its calls."""
    told = (reason for name in commands().get(words, ()) for reason in reasons_of(name))
    return tuple(dict.fromkeys(reason for reason in told if reason not in _OF_EVERY_CALL))


def _refusals(words: str) -> Iterator[str]:
    reasons = _reasons(words)
    if reasons:
        yield "## When it is refused"
        yield _table(("reason", "what to do"), ((f"`{reason}`", _hint(reason)) for reason in reasons))


def _hint(reason: Reason) -> str:
    """The hint; of the two forms the one that says more, with the names of what is filled in."""
    hint = HINTS[reason]
    text = _cell(_escaped(_KEY.sub(lambda match: match[1].upper(), hint.with_metadata or hint.text)))
    at_cloud = AT_CLOUD.get(reason)
    return f"{text} At a cloud: {_cell(_escaped(at_cloud))}" if at_cloud else text


def _table(columns: tuple[str, str], rows: Iterable[tuple[str, str]]) -> str:
    lines = [f"| {' | '.join(columns)} |", "| --- | --- |", *(f"| {left} | {right} |" for left, right in rows)]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _escaped(text: str) -> str:
    """What Markdown would take for something else: names in capitals and braces stay as they are."""
    return re.sub(r"(?<![`\\])([<>*])", r"\\\1", re.sub(r"  +", " ", text))


def main(arguments: list[str]) -> int:
    """Write the pages with the outputs that they have; with `--check` only tell which would change."""
    if arguments == ["--check"]:
        wrong = differences()
        for name in wrong:
            print(f"docs/commands/{name} is not as the command makes it: make cli-pages", file=sys.stderr)
        return 1 if wrong else 0
    write(as_they_stand())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
