"""`device rotate-key`, and how the key of a new device gets to its owner (S1)."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hotspare_cli.files import NewSecretFile
from hotspare_cli.new_keys import deliver, unanswered
from hotspare_cli.options import FILE, OutputForm, Target, confirm, output_option, yes_option

if TYPE_CHECKING:
    from hotspare_cli.session import Session

key_out_option = click.option(
    "--key-out", type=FILE, help="Write the key to this new file (mode 0600), instead of showing it."
)


def secret_of(
    target: Target,
    make: Callable[["Session"], Awaitable[Any]],
    *,
    path: Path | None,
    form: OutputForm,
    done: str,
    unsure: str,
    again: str,
) -> None:
    """Make a call that answers with a new device key, and give the key to its file, or show it once.

    `unsure` tells what to do when no answer came; `again` when the file could not be written.
    """
    from hotspare_cli.session import ask

    with NewSecretFile(path) as file:
        response = ask(target, make, hints=unanswered(unsure))
        deliver(response, "device_key", file, path, form, done=done, again=again)


def rotate_hint(device_id: str) -> str:
    """How to get another key."""
    return f"Make another one: hotspare device rotate-key {device_id} --key-out FILE"


@click.command("rotate-key")
@click.argument("device_id", metavar="ID")
@key_out_option
@yes_option
@output_option
@click.pass_obj
def rotate_key(target: Target, device_id: str, key_out: Path | None, yes: bool, output: OutputForm) -> None:
    """Make a new key for the device ID.

    The old one ends as soon as the cloud has the new one: from then on the device is refused until it has it, too.
    """
    from hotspare.v1.configuration_service_pb2 import RotateDeviceKeyRequest

    confirm(f"This ends the key of the device {device_id}: its alarms are refused until it has the new one.", yes=yes)
    request = RotateDeviceKeyRequest(device_id=device_id)
    secret_of(
        target,
        lambda session: session.call(session.configuration.RotateDeviceKey, request),
        path=key_out,
        form=output,
        done=f"Made a new key for the device {device_id}.",
        unsure="Repeat it: the device may have a new key already, and the last one counts.",
        again=rotate_hint(device_id),
    )
