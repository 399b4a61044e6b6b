"""`output`: this receiver's connections to its ARC's automation software."""

from datetime import UTC, datetime
from pathlib import Path

import click

from hotspare_cli.files import read_aes_key
from hotspare_cli.options import FILE, OutputForm, Target, confirm, output_option, yes_option
from hotspare_rpc.address import Address
from hotspare_rpc.cli_args import ADDRESS

KINDS = ("sia-dc09",)


@click.group()
def output() -> None:
    """Outputs: where this receiver sends alarms.

    Each receiver has its own; they are no part of the backup.
    """


@output.command("list")
@output_option
@click.pass_obj
def list_(target: Target, output: OutputForm) -> None:
    """List the outputs, each with the state of its link."""
    from hotspare.v1.receiver_service_pb2 import ListOutputsRequest
    from hotspare_cli.emit import emit
    from hotspare_cli.session import ask
    from hotspare_cli.views.outputs import outputs_view

    response = ask(target, lambda session: session.all_pages(session.receiver.ListOutputs, ListOutputsRequest()))
    emit(response, output, lambda answer: outputs_view(answer, datetime.now(UTC)))


@output.command()
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), required=True, help="What the automation software speaks.")
@click.option(
    "--address",
    "addresses",
    type=ADDRESS,
    multiple=True,
    required=True,
    help="Where it listens. Several are tried in their order.",
)
@click.option("--receiver-number", default="", help="R on the wire, 1 to 6 hexadecimal digits. Without it: none.")
@click.option("--line-number", default="", help="L on the wire, 1 to 6 hexadecimal digits. Without it: 0.")
@click.option(
    "--key-file",
    type=FILE,
    help="The file with an AES key in hexadecimal, of mode 0600. Without it alarms are sent in clear.",
)
@click.option("--best-effort", is_flag=True, help="Alarms don't wait for this output to confirm them.")
@output_option
@click.pass_obj
def add(
    target: Target,
    name: str,
    kind: str,
    addresses: tuple[Address, ...],
    receiver_number: str,
    line_number: str,
    key_file: Path | None,
    best_effort: bool,
    output: OutputForm,
) -> None:
    """Add the output NAME."""
    from hotspare.v1.output_pb2 import Dc09Options, Output, OutputKind
    from hotspare.v1.receiver_service_pb2 import CreateOutputRequest
    from hotspare_cli.emit import emit
    from hotspare_cli.session import ask
    from hotspare_cli.views.outputs import created_view

    wanted = Output(
        name=name,
        kind=OutputKind.Value(f"OUTPUT_KIND_{kind.upper().replace('-', '_')}"),
        addresses=[str(address) for address in addresses],
        required=not best_effort,
        dc09=Dc09Options(
            receiver_number=receiver_number,
            line_number=line_number,
            key=read_aes_key(key_file) if key_file is not None else b"",
        ),
    )
    request = CreateOutputRequest(output=wanted)
    response = ask(target, lambda session: session.call(session.receiver.CreateOutput, request))
    emit(response, output, created_view)


@output.command()
@click.argument("name")
@yes_option
@click.pass_obj
def delete(target: Target, name: str, yes: bool) -> None:
    """Delete the output NAME."""
    from hotspare.v1.receiver_service_pb2 import DeleteOutputRequest
    from hotspare_cli.session import ask

    confirm(
        f"This deletes the output {name}: alarms go through the others; without a required one they wait.",
        yes=yes,
    )
    ask(target, lambda session: session.call(session.receiver.DeleteOutput, DeleteOutputRequest(name=name)))
    click.echo(f"Deleted the output {name}.")
