"""`device dc09`: how a panel speaks DC-09 with the host (D1)."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hotspare_cli.errors import usage_error
from hotspare_cli.files import read_aes_key
from hotspare_cli.options import FILE, OutputForm, Target, confirm, output_option, yes_option
from hotspare_cli.time_window import TIME_WINDOW, TimeWindow
from hotspare_rpc.spans import exact

if TYPE_CHECKING:
    from hotspare.v1.record_pb2 import Dc09Access, Device
    from hotspare_cli.layout import CellLike


@click.command("dc09")
@click.argument("device_id", metavar="ID")
@click.option("--on", "switch", flag_value="on", help="It speaks DC-09, with its account number unless told otherwise.")
@click.option("--off", "switch", flag_value="off", help="It does not; its key goes too.")
@click.option("--account", metavar="TEXT", help='The account in its frames; "": its account number.')
@click.option("--key-file", type=FILE, help="The file with its AES key in hexadecimal, of mode 0600.")
@click.option("--no-key", is_flag=True, help="It has no key: its frames are in clear.")
@click.option("--clear", type=click.Choice(["yes", "no"]), help="Take frames in clear although it has a key.")
@click.option("--time-window", type=TIME_WINDOW, help="How old its frames may be, and how far ahead; or `off`.")
@click.option("--nak", type=click.Choice(["new", "old"]), help="How a NAK to it is written.")
@yes_option
@output_option
@click.pass_obj
def device_dc09(
    target: Target,
    device_id: str,
    switch: str | None,
    account: str | None,
    key_file: Path | None,
    no_key: bool,
    clear: str | None,
    time_window: TimeWindow | None,
    nak: str | None,
    yes: bool,
    output: OutputForm,
) -> None:
    """Show or change how the device ID speaks DC-09 with the host.

    Without options it is shown. A key is never shown, and never given on the command line.
    """
    from hotspare.v1.configuration_service_pb2 import GetDeviceRequest, UpdateDeviceRequest
    from hotspare_cli.emit import emit
    from hotspare_cli.layout import Facts
    from hotspare_cli.session import ask

    if key_file is not None and no_key:
        raise usage_error("--key-file and --no-key contradict each other.", "Give one of them.")
    told = (account, key_file, clear, time_window, nak)
    if switch == "off" and (no_key or any(option is not None for option in told)):
        raise usage_error("--off takes all of it away.", "Give it alone.")
    key = None if key_file is None else read_aes_key(key_file)
    if switch == "off":
        confirm(f"This ends DC-09 of the device {device_id}: its frames are refused, and its key is gone.", yes=yes)
    elif no_key:
        confirm(f"This takes the key of the device {device_id} away: its frames are taken in clear.", yes=yes)
    get = GetDeviceRequest(device_id=device_id)
    answer: Any = ask(target, lambda session: session.call(session.configuration.GetDevice, get))
    if switch is not None or no_key or any(option is not None for option in told):
        device = answer.device
        if switch == "off":
            device.ClearField("dc09")
            key = b""
        else:
            device.dc09.SetInParent()
            _fill(device.dc09, account, clear, time_window, nak)
            key = b"" if no_key else key
        # With its etag: what somebody else changed since must not be undone.
        update = UpdateDeviceRequest(device=device, dc09_key=key)
        update.update_mask.paths.append("dc09")
        answer = ask(target, lambda session: session.call(session.configuration.UpdateDevice, update))
    emit(answer, output, lambda shown: (Facts(tuple(_pairs(shown.device))),))


def _fill(
    access: "Dc09Access", account: str | None, clear: str | None, time_window: TimeWindow | None, nak: str | None
) -> None:
    from hotspare.v1.record_pb2 import DC09_NAK_FORM_NEW, DC09_NAK_FORM_OLD

    if account is not None:
        access.account = account
    if clear is not None:
        access.clear_allowed = clear == "yes"
    if time_window is not None:
        access.time_window.CopyFrom(time_window.message())
    if nak is not None:
        access.nak_form = DC09_NAK_FORM_OLD if nak == "old" else DC09_NAK_FORM_NEW


def _pairs(device: "Device") -> "Iterator[tuple[str, CellLike]]":
    from hotspare.v1.record_pb2 import DC09_NAK_FORM_OLD
    from hotspare_cli.words import NONE, yes_no

    yield "Device", device.device_id
    yield "DC-09", yes_no(device.HasField("dc09"))
    if not device.HasField("dc09"):
        return
    access = device.dc09
    yield "Account", access.account or device.account_number
    yield "Clear although keyed", yes_no(access.clear_allowed)
    yield "Time window", _window(access) if access.HasField("time_window") else "the receiver's"
    yield "NAK", "old" if access.nak_form == DC09_NAK_FORM_OLD else "new"
    yield "Etag", device.etag or NONE


def _window(access: "Dc09Access") -> str:
    window = access.time_window
    if window.off:
        return "off"
    past, future = (
        exact(getattr(window, name).ToTimedelta()) if window.HasField(name) else default  # type: ignore[arg-type]
        for name, default in (("past", "40s"), ("future", "20s"))
    )
    return f"{past},{future}"
