"""`settings`: what one receiver is told about itself and its cloud."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hotspare_cli.consent import with_consent
from hotspare_cli.errors import usage_error
from hotspare_cli.files import read_certificates, read_secret
from hotspare_cli.groups import HelpfulGroup
from hotspare_cli.options import FILE, OutputForm, Target, output_option, yes_option
from hotspare_cli.time_window import ADDRESS_OR_NONE, TIME_WINDOW, TimeWindow, listen_text
from hotspare_rpc.address import Address
from hotspare_rpc.cli_args import ADDRESS
from hotspare_rpc.spans import SPAN

if TYPE_CHECKING:
    from hotspare_cli.session import Session

_LONGEST = 75.0
"""Seconds that the contract gives a change that switches the hot spare off first (X3)."""
_MAY_BE_DONE = "It may have been done all the same: look at hotspare settings show, and hotspare members."


@click.group(cls=HelpfulGroup)
def settings() -> None:
    """Settings of this receiver: its cloud, its name."""


@settings.command("show")
@output_option
@click.pass_obj
def show(target: Target, output: OutputForm) -> None:
    """Show the settings. The ARC key is never among them."""
    from hotspare.v1.receiver_service_pb2 import GetSettingsRequest
    from hotspare_cli.emit import emit
    from hotspare_cli.session import ask
    from hotspare_cli.views.settings import settings_view

    response = ask(target, lambda session: session.call(session.receiver.GetSettings, GetSettingsRequest()))
    emit(response, output, settings_view)


@settings.command("set")
@click.option("--cloud-address", type=ADDRESS, help="Where the cloud is.")
@click.option("--arc-id", help="The ARC account at the cloud.")
@click.option("--arc-key-file", type=FILE, help="The file with the key of the ARC account, of mode 0600.")
@click.option("--sub-account", help="The sub account; the cloud's default one is `default`.")
@click.option("--name", help="What people call this receiver.")
@click.option("--cloud-ca-file", type=FILE, help="Certificates (PEM) that the cloud's one is checked against.")
@click.option("--cloud-tls", type=click.Choice(["on", "off", "auto"]), help="TLS to the cloud. [auto: not on loopback]")
@click.option("--advertised-address", type=ADDRESS_OR_NONE, help="Where others reach it; `none`: where it listens.")
@click.option(
    "--own-account", metavar="NUMBER", help="Account number of its own events, such as a take-over; or `none`."
)
@click.option(
    "--disk-floor", type=click.IntRange(0, 10_000_000), metavar="MB", help="Below it it is not healthy. [0: 512]"
)
@click.option("--dual-connection", type=click.Choice(["on", "off"]), help="Whether devices may connect directly.")
@click.option("--dc09-listen", type=ADDRESS_OR_NONE, help="Where DC-09 panels connect directly; or `none`.")
@click.option("--dc09-time-window", type=TIME_WINDOW, help="How old a DC-09 frame may be, and how far ahead; or `off`.")
@click.option(
    "--isolated-forwarding", type=click.Choice(["on", "off"]), help="Whether a host that is cut off forwards itself."
)
@click.option("--history-age", type=SPAN, help="How long the history is kept. [0s: 90d]")
@click.option(
    "--history-size", type=click.IntRange(0, 10_000_000), metavar="MB", help="Of more the oldest goes. [0: 10000]"
)
@yes_option
@output_option
@click.pass_obj
def set_(
    target: Target,
    cloud_address: Address | None,
    arc_id: str | None,
    arc_key_file: Path | None,
    sub_account: str | None,
    name: str | None,
    cloud_ca_file: Path | None,
    cloud_tls: str | None,
    advertised_address: Address | None,
    own_account: str | None,
    disk_floor: int | None,
    dual_connection: str | None,
    dc09_listen: Address | None,
    dc09_time_window: TimeWindow | None,
    isolated_forwarding: str | None,
    history_age: timedelta | None,
    history_size: int | None,
    yes: bool,
    output: OutputForm,
) -> None:
    """Change settings; those that are not named stay as they are.

    Another cloud address, ARC id or ARC key switches the hot spare off first, and clears what came with it: the
    receiver tells what that is, and you are asked. A second valid key of the same account is taken over without.
    """
    from hotspare.v1.receiver_service_pb2 import (
        ReceiverSettings,
        UpdateSettingsRequest,
        UpdateSettingsResponse,
    )
    from hotspare_cli.emit import emit
    from hotspare_cli.views.settings import settings_view

    changes: dict[str, str | int | bool | None] = {
        "cloud_address": str(cloud_address) if cloud_address is not None else None,
        "arc_id": arc_id,
        "arc_key": read_secret(arc_key_file, "ARC key") if arc_key_file is not None else None,
        "sub_account": sub_account,
        "name": name,
        "cloud_ca_pem": read_certificates(cloud_ca_file) if cloud_ca_file is not None else None,
        "own_account_number": "" if own_account == "none" else own_account,
        "disk_floor_bytes": disk_floor * 1_000_000 if disk_floor is not None else None,
        "dual_connection": dual_connection == "on" if dual_connection is not None else None,
        "advertised_address": listen_text(advertised_address),
        "dc09_listen": listen_text(dc09_listen),
        "isolated_forwarding": isolated_forwarding == "on" if isolated_forwarding is not None else None,
        "history_max_bytes": history_size * 1_000_000 if history_size is not None else None,
    }
    request = UpdateSettingsRequest(settings=ReceiverSettings())
    for field, value in changes.items():
        if value is not None:
            setattr(request.settings, field, value)
            request.update_mask.paths.append(field)
    if dc09_time_window is not None:
        request.settings.dc09_time_window.CopyFrom(dc09_time_window.message())
        request.update_mask.paths.append("dc09_time_window")
    if cloud_tls is not None:
        if cloud_tls != "auto":
            request.settings.cloud_tls = cloud_tls == "on"
        request.update_mask.paths.append("cloud_tls")
    if history_age is not None:
        request.settings.history_max_age.FromTimedelta(history_age)
        request.update_mask.paths.append("history_max_age")
    if not request.update_mask.paths:
        raise usage_error("No setting was named.", "Name what is to change; see hotspare settings set --help.")

    async def make(session: "Session", confirmed: bool) -> UpdateSettingsResponse:
        request.confirmed = confirmed
        return await session.call(session.receiver.UpdateSettings, request, timeout=target.deadline(_LONGEST))

    response = with_consent(
        target,
        make,
        yes=yes,
        effect=lambda clears: f"This switches the hot spare off here and clears: {clears}.",
        hints={"DEADLINE_EXCEEDED": _MAY_BE_DONE},
    )
    emit(response, output, settings_view)
