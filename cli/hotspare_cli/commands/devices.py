"""`device`: the alarm panels of the group, and their keys."""

from pathlib import Path

import click

from hotspare_cli.files import NewSecretFile
from hotspare_cli.new_keys import deliver, unanswered
from hotspare_cli.options import FILE, OutputForm, Target, confirm, output_option, yes_option

_key_out = click.option(
    "--key-out", type=FILE, help="Write the key to this new file (mode 0600), instead of showing it."
)


@click.group()
def device() -> None:
    """Devices: the alarm panels of the group.

    They are edited on the host only, or on a receiver that works alone.
    """


@device.command("list")
@click.option("--text", default="", help="Only those whose name or id contains this.")
@click.option("--account", default="", metavar="NUMBER", help="Only those with this account number.")
@output_option
@click.pass_obj
def list_(target: Target, text: str, account: str, output: OutputForm) -> None:
    """List the devices by id."""
    from hotspare.v1.configuration_service_pb2 import ListDevicesRequest
    from hotspare_cli.emit import emit
    from hotspare_cli.session import ask
    from hotspare_cli.views.devices import devices_view

    request = ListDevicesRequest(text=text, account_number=account, page_size=1000)
    response = ask(target, lambda session: session.all_pages(session.configuration.ListDevices, request))
    emit(response, output, devices_view)


@device.command("show")
@click.argument("device_id", metavar="ID")
@output_option
@click.pass_obj
def show(target: Target, device_id: str, output: OutputForm) -> None:
    """Show the device ID."""
    from hotspare.v1.configuration_service_pb2 import GetDeviceRequest
    from hotspare_cli.emit import emit
    from hotspare_cli.session import ask
    from hotspare_cli.views.devices import device_view

    request = GetDeviceRequest(device_id=device_id)
    response = ask(target, lambda session: session.call(session.configuration.GetDevice, request))
    emit(response, output, device_view)


@device.command()
@click.argument("device_id", metavar="ID")
@click.option(
    "--account",
    required=True,
    metavar="NUMBER",
    help="The account number at the ARC: 3 to 16 hexadecimal digits.",
)
@click.option("--name", default="", help="What people call it.")
@_key_out
@output_option
@click.pass_obj
def create(target: Target, device_id: str, account: str, name: str, key_out: Path | None, output: OutputForm) -> None:
    """Create the device ID, with its key.

    The key is made now, and never shown again.
    """
    from hotspare.v1.configuration_service_pb2 import CreateDeviceRequest
    from hotspare.v1.record_pb2 import Device
    from hotspare_cli.session import ask

    request = CreateDeviceRequest(device=Device(device_id=device_id, account_number=account, name=name))
    with NewSecretFile(key_out) as file:
        response = ask(
            target,
            lambda session: session.call(session.configuration.CreateDevice, request),
            hints=unanswered(
                f"It may have been created: hotspare device show {device_id}. "
                f"Then hotspare device rotate-key {device_id} makes it another key."
            ),
        )
        done = f"Created the device {response.device.device_id}, account {response.device.account_number}."
        deliver(response, "device_key", file, key_out, output, done=done, again=_rotate(device_id))


@device.command("rotate-key")
@click.argument("device_id", metavar="ID")
@_key_out
@output_option
@click.pass_obj
def rotate_key(target: Target, device_id: str, key_out: Path | None, output: OutputForm) -> None:
    """Make a new key for the device ID.

    The old one ends as soon as the cloud has the new one.
    """
    from hotspare.v1.configuration_service_pb2 import RotateDeviceKeyRequest
    from hotspare_cli.session import ask

    request = RotateDeviceKeyRequest(device_id=device_id)
    with NewSecretFile(key_out) as file:
        response = ask(
            target,
            lambda session: session.call(session.configuration.RotateDeviceKey, request),
            hints=unanswered("Repeat it: the device may have a new key already, and the last one counts."),
        )
        done = f"Made a new key for the device {device_id}."
        deliver(response, "device_key", file, key_out, output, done=done, again=_rotate(device_id))


@device.command()
@click.argument("device_id", metavar="ID")
@click.option("--cascade", is_flag=True, help="Delete its partitions, zones and channels too.")
@yes_option
@click.pass_obj
def delete(target: Target, device_id: str, cascade: bool, yes: bool) -> None:
    """Delete the device ID."""
    from hotspare.v1.configuration_service_pb2 import DeleteDeviceRequest
    from hotspare_cli.session import ask

    more = ", with its partitions, zones and channels" if cascade else ""
    confirm(f"This deletes the device {device_id}{more}, on all receivers: its alarms will be refused.", yes=yes)
    request = DeleteDeviceRequest(device_id=device_id, cascade=cascade)
    response = ask(target, lambda session: session.call(session.configuration.DeleteDevice, request))
    others = f", and {response.cascaded} other records with it" if response.cascaded else ""
    click.echo(f"Deleted the device {device_id}{others}.")


def _rotate(device_id: str) -> str:
    return f"Make another one: hotspare device rotate-key {device_id} --key-out FILE"
