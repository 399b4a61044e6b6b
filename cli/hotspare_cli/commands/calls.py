"""`call`, `describe`: every method of any of our servers, as the server itself tells them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hotspare_cli.errors import usage_error
from hotspare_cli.files import read_secret
from hotspare_cli.options import FILE, OutputForm, Target, output_option

if TYPE_CHECKING:
    from hotspare_cli.session import Session
    from hotspare_rpc.credentials import MetadataPairs

_LONGEST_CALL = 75.0
"""Seconds that the contract gives to its slowest calls with a single answer, but for transfers."""


@click.command()
@click.argument("method", metavar="SERVICE/METHOD")
@click.option(
    "-d",
    "--data",
    metavar="JSON|@FILE|-",
    help="The request as JSON; of a stream several, one behind the other. Without it: one without fields.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Of a stream: end after so many responses.")
@click.option("--as-device", metavar="ARC/DEVICE", help="Call as that device, with --key-file, instead of a token.")
@click.option("--as-receiver", metavar="ARC/RECEIVER", help="Call as that receiver, with --key-file.")
@click.option("--key-file", type=FILE, help="The file with the key of the device, or of the ARC account.")
@click.option(
    "-o",
    "--output",
    type=click.Choice([OutputForm.JSON.value, OutputForm.YAML.value]),
    default=OutputForm.JSON.value,
    show_default=True,
    callback=lambda _context, _option, value: OutputForm(value),
    help="The form of the responses.",
)
@click.pass_obj
def call(
    target: Target,
    method: str,
    data: str | None,
    limit: int | None,
    as_device: str | None,
    as_receiver: str | None,
    key_file: Path | None,
    output: OutputForm,
) -> None:
    """Call any method of a server.

    The server tells by reflection what it serves, so this reaches what no other command does. Nothing is asked before
    a call: what a method does, it does. Of a stream each response is a line of JSON. hotspare describe SERVICE/METHOD
    tells what a request holds.
    """
    from hotspare_cli.calling import Caller, Data
    from hotspare_cli.emit import json_text, yaml_text
    from hotspare_cli.reflect import Contract
    from hotspare_cli.session import ask

    target = target.resolved()
    metadata = _credentials(target, as_device, as_receiver, key_file)

    async def work(session: "Session") -> None:
        contract = Contract(session)
        found = await contract.method(method)

        def write(plain: Any) -> None:
            if output is OutputForm.YAML:
                click.echo(f"---\n{yaml_text(plain)}" if found.server_streaming else yaml_text(plain), nl=False)
            else:
                click.echo(json_text(plain, indent=None if found.server_streaming else 2), nl=False)

        if limit is not None and not found.server_streaming:
            raise usage_error(f"{found.name} has one response.", "Leave --limit out.")
        timeout: float | None = target.deadline(_LONGEST_CALL)
        if (found.server_streaming or found.client_streaming) and not target.timeout_told:
            timeout = None
        await Caller(session, found, contract.pool, write).make(Data(data), timeout=timeout, limit=limit)

    ask(target, work, metadata=metadata)


@click.command()
@click.argument("name", required=False)
@output_option
@click.pass_obj
def describe(target: Target, name: str | None, output: OutputForm) -> None:
    """Tell what a server serves, or what NAME is.

    NAME is a service, a method (SERVICE/METHOD), a message or an enum; its package may be left out. The server tells
    it by reflection, to everyone. What the fields mean stands in docs/api.md.
    """
    from google.protobuf import descriptor_pb2
    from google.protobuf.descriptor import Descriptor, EnumDescriptor, MethodDescriptor, ServiceDescriptor

    from hotspare_cli.emit import emit
    from hotspare_cli.reflect import Contract, Described
    from hotspare_cli.session import ask
    from hotspare_cli.views.contract import described_view, services_view

    async def every(session: "Session") -> "list[ServiceDescriptor]":
        contract = Contract(session)
        return [await contract.service(service) for service in await contract.services()]

    async def one(session: "Session") -> "Described":
        return await Contract(session).describe(name or "")

    if name is None:
        services = ask(target, every, metadata=())
        whole = descriptor_pb2.FileDescriptorProto()
        for service in services:
            service.CopyToProto(whole.service.add())
            whole.service[-1].name = service.full_name
        emit(whole, output, lambda _whole: services_view(services))
        return
    found = ask(target, one, metadata=())
    kinds: tuple[tuple[type, Any], ...] = (
        (ServiceDescriptor, descriptor_pb2.ServiceDescriptorProto),
        (MethodDescriptor, descriptor_pb2.MethodDescriptorProto),
        (Descriptor, descriptor_pb2.DescriptorProto),
        (EnumDescriptor, descriptor_pb2.EnumDescriptorProto),
    )
    message = next(make for kind, make in kinds if isinstance(found, kind))()
    found.CopyToProto(message)
    emit(message, output, lambda _message: described_view(found))


def _credentials(
    target: Target, as_device: str | None, as_receiver: str | None, key_file: Path | None
) -> "MetadataPairs":
    """As whom: a device, a receiver, the operator of the token; without any of them as nobody."""
    from hotspare_rpc.credentials import BearerToken, DeviceCredentials, ReceiverCredentials

    if as_device is not None and as_receiver is not None:
        raise usage_error("--as-device and --as-receiver exclude each other.", "Leave one of them out.")
    who = as_device or as_receiver
    if (who is None) != (key_file is None):
        raise usage_error("--key-file goes with --as-device or --as-receiver.", "Name both, or none.")
    if who is None or key_file is None:
        return BearerToken(target.token()).metadata() if target.token_file is not None else ()
    arc_id, mark, own_id = who.partition("/")
    if not (arc_id and mark and own_id and who.isascii() and who.isprintable()):
        raise usage_error(f"{who!r} does not tell who calls.", "Write ARC/DEVICE or ARC/RECEIVER, with their ids.")
    key = read_secret(key_file, "key")
    if as_device is not None:
        return DeviceCredentials(arc_id, own_id, key).metadata()
    return ReceiverCredentials(arc_id, key, own_id).metadata()
