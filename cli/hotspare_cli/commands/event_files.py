"""`event import`, `event export`: event definitions as a CSV file."""

import sys
from pathlib import Path

import click

from hotspare_cli.consent import NOBODY_TO_ASK
from hotspare_cli.errors import CliError, usage_error
from hotspare_cli.options import FILE, OutputForm, Target, confirm, on_terminal, output_option, yes_option

_LONGEST = 600.0
"""Seconds for a file of the longest length that the contract allows, on a slow machine."""
_MAY_BE_DONE = "It may have been imported all the same: hotspare event list. Repeating it does no harm."


@click.command("import")
@click.argument("file", type=FILE)
@click.option("--dry-run", is_flag=True, help="Check only, and tell what would come of it.")
@click.option("--replace-all", is_flag=True, help="Delete the definitions that the file does not name.")
@yes_option
@output_option
@click.pass_obj
def import_(target: Target, file: Path, dry_run: bool, replace_all: bool, yes: bool, output: OutputForm) -> None:
    """Import event definitions from the CSV FILE.

    All or nothing: with a wrong line nothing is imported, and each wrong line is told. The file is in UTF-8, its
    header is contact_id_code,sia_code,sia_restore_code,name,severity,forwarded, in any order.
    """
    from hotspare.v1.configuration_service_pb2 import ImportEventsResponse
    from hotspare_cli.emit import emit
    from hotspare_cli.event_files import send_file
    from hotspare_cli.progress import Progress
    from hotspare_cli.session import ask
    from hotspare_cli.views.events import import_view

    asks = replace_all and not dry_run and not yes
    if asks and not on_terminal():
        raise usage_error("This deletes the event definitions that the file does not name.", NOBODY_TO_ASK)

    def run(trial: bool) -> ImportEventsResponse:
        with Progress("Checking" if trial else "Importing") as line:
            return ask(
                target,
                lambda session: send_file(
                    session,
                    file,
                    dry_run=trial,
                    replace_all=replace_all,
                    timeout=target.deadline(_LONGEST),
                    progress=lambda lines, total: line.show(lines, total, "lines checked"),
                ),
                hints={} if trial else dict.fromkeys(("DEADLINE_EXCEEDED", "UNAVAILABLE"), _MAY_BE_DONE),
            )

    response = run(trial=dry_run or asks)
    result = response.result
    if asks and not result.wrong_line_count:
        if result.deleted:
            confirm(f"This deletes {result.deleted:,} event definitions that the file does not name.", yes=False)
        response = run(trial=False)
        result = response.result
    emit(response, output, lambda answer: import_view(answer.result, dry_run=dry_run))
    if result.wrong_line_count:
        lines = "1 line is" if result.wrong_line_count == 1 else f"{result.wrong_line_count:,} lines are"
        raise CliError(f"{lines} wrong; nothing was imported.", f"Correct {file}, and repeat it.")


@click.command("export")
@click.argument("file", type=FILE, required=False)
@click.pass_obj
def export(target: Target, file: Path | None) -> None:
    """Export all event definitions as a CSV file.

    It is what `event import` takes. With FILE it goes into that new file, else to standard output.
    """
    from hotspare_cli.event_files import NewFile, fetch
    from hotspare_cli.session import ask

    timeout = target.deadline(_LONGEST)
    if file is None:
        ask(target, lambda session: fetch(session, _print, timeout=timeout))
        sys.stdout.flush()
        return
    with NewFile(file) as place:
        size = ask(target, lambda session: fetch(session, place.write, timeout=timeout))
    click.echo(f"Exported the event definitions to {file} ({size:,} bytes).")


def _print(piece: bytes) -> None:
    sys.stdout.buffer.write(piece)
