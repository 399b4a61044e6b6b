"""`output update`: another address, key or number of an output, without taking it away in between."""

from typing import TYPE_CHECKING, Any

import click

from hotspare_cli.errors import usage_error
from hotspare_cli.options import FILE, OutputForm, Target, output_option
from hotspare_rpc.cli_args import ADDRESS
from hotspare_rpc.spans import SPAN

if TYPE_CHECKING:
    from hotspare.v1.receiver_service_pb2 import UpdateOutputResponse
    from hotspare_cli.session import Session


@click.command("update")
@click.argument("name")
@click.option(
    "--address",
    "addresses",
    type=ADDRESS,
    multiple=True,
    help="Where it listens, in place of all addresses. Several are tried in their order.",
)
@click.option("--subscription", metavar="NAME", help="Stream: the name by which it is opened.")
@click.option(
    "--receiver-number", metavar="N", help="DC-09: R on the wire, hexadecimal; empty for none. Sur-Gard: 0 to 99."
)
@click.option("--line-number", metavar="N", help="DC-09: L on the wire, hexadecimal. Sur-Gard: 0 to 9, or 0 to 999.")
@click.option("--transport", type=click.Choice(("tcp", "udp")), help="DC-09: what carries it.")
@click.option("--form", type=click.Choice(("adm-cid", "sia-dcs")), help="DC-09: how events are written.")
@click.option("--key-file", type=FILE, help="DC-09: the file with an AES key in hexadecimal, of mode 0600.")
@click.option("--no-key", is_flag=True, help="DC-09: take its key away; alarms are sent in clear then.")
@click.option("--width", type=click.Choice(("mlr2", "system")), help="Sur-Gard: width of the line number.")
@click.option(
    "--attempts", type=click.IntRange(1, 16), metavar="N", help="Sur-Gard: attempts until the link counts as lost."
)
@click.option("--heartbeat", type=SPAN, help="How often an idle link is supervised.")
@click.option("--answer-timeout", type=SPAN, help="How long an answer may take.")
@click.option("--required", is_flag=True, help="Alarms wait for this output to confirm them.")
@click.option("--best-effort", is_flag=True, help="Alarms don't wait for this output to confirm them.")
@output_option
@click.pass_obj
def update(target: Target, /, name: str, required: bool, best_effort: bool, output: OutputForm, **options: Any) -> None:
    """Change the output NAME; what is not named stays.

    Its link is opened anew where that is needed. Alarms that wait for it go on waiting, and none is lost.

    With --best-effort nothing waits for it any more: what it has not confirmed counts as delivered when the required
    outputs have it. Look first: WAITING of hotspare output list. Without another required output alarms wait.
    """
    from hotspare.v1.receiver_service_pb2 import ListOutputsRequest
    from hotspare_cli.emit import emit
    from hotspare_cli.output_changes import named_output, output_change
    from hotspare_cli.session import ask
    from hotspare_cli.views.outputs import created_view

    if required and best_effort:
        raise usage_error("--required and --best-effort exclude each other.", "Leave one of the two out.")
    options["required"] = required if required or best_effort else None

    async def work(session: "Session") -> "UpdateOutputResponse":
        known = await session.all_pages(session.receiver.ListOutputs, ListOutputsRequest())
        request = output_change(named_output(known.outputs, name), options)
        return await session.call(session.receiver.UpdateOutput, request)

    emit(ask(target, work), output, created_view)
