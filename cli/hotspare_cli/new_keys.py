"""A key or token that a server made and tells once: into its file, or onto the screen."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hotspare_cli.files import NewSecretFile
from hotspare_cli.options import OutputForm

if TYPE_CHECKING:
    from google.protobuf.message import Message


def deliver(
    response: "Message",
    field: str,
    file: NewSecretFile,
    path: Path | None,
    form: OutputForm,
    *,
    done: str,
    again: str,
) -> None:
    """Give the secret in `field` of the response to its owner: to the file, if there is a path, and then
    nowhere else.

    `done` tells what was made; `again` how to get another secret, should the file fail.

    Raises:
        CliError: the file can't be written.
    """
    secret: str = getattr(response, field)
    if path is not None:
        file.write(secret, otherwise=again)
        response.ClearField(field)
    if form is not OutputForm.TABLE:
        from hotspare_cli.emit import emit

        emit(response, form, lambda _response: ())
        return
    click.echo(done)
    click.echo(f"The secret is in {path}." if path is not None else f"The secret, shown this once: {secret}")


def unanswered(hint: str) -> Mapping[str, str]:
    """Hints for a call that must not simply be repeated when no answer came: it may have been carried out."""
    return {"DEADLINE_EXCEEDED": hint}
