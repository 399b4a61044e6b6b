"""`output`: this receiver's connections to its ARC's automation software."""

from datetime import UTC, datetime
from typing import Any

import click

from hotspare_cli.groups import HelpfulGroup
from hotspare_cli.options import FILE, OutputForm, Target, confirm, output_option, watch_option, yes_option
from hotspare_rpc.address import Address
from hotspare_rpc.cli_args import ADDRESS
from hotspare_rpc.spans import SPAN

KINDS = ("sia-dc09", "surgard", "stream")
TEST_DEADLINE = 30.0
"""Seconds that the contract gives to TestOutput."""


@click.group(cls=HelpfulGroup)
def output() -> None:
    """Outputs: where this receiver sends alarms.

    Each receiver has its own; they are no part of the backup.
    """


@output.command("list")
@watch_option
@output_option
@click.pass_obj
def list_(target: Target, watch: bool, output: OutputForm) -> None:
    """List the outputs, each with the state of its link."""
    from hotspare.v1.receiver_service_pb2 import ListOutputsRequest
    from hotspare_cli.repeated import show
    from hotspare_cli.views.outputs import outputs_view

    show(
        target,
        lambda session: session.all_pages(session.receiver.ListOutputs, ListOutputsRequest()),
        lambda answer: outputs_view(answer, datetime.now(UTC)),
        output,
        watch=watch,
    )


@output.command()
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), required=True, help="What the automation software speaks.")
@click.option(
    "--address",
    "addresses",
    type=ADDRESS,
    multiple=True,
    help="Where it listens. Several are tried in their order. A stream has none.",
)
@click.option(
    "--subscription",
    metavar="NAME",
    help="Stream: the name by which the automation software opens it at this receiver.",
)
@click.option(
    "--receiver-number",
    default="",
    metavar="N",
    help="DC-09: R on the wire, 1 to 6 hexadecimal digits; without it none. Sur-Gard: 0 to 99; without it 1.",
)
@click.option(
    "--line-number",
    default="",
    metavar="N",
    help="DC-09: L on the wire, 1 to 6 hexadecimal digits; without it 0. Sur-Gard: 0 to 9, or 0 to 999 with the width "
    "system; without it 1.",
)
@click.option("--transport", type=click.Choice(("tcp", "udp")), help="DC-09: what carries it. Without it: tcp.")
@click.option(
    "--form", type=click.Choice(("adm-cid", "sia-dcs")), help="DC-09: how events are written. Without it: adm-cid."
)
@click.option(
    "--key-file",
    type=FILE,
    help="DC-09: the file with an AES key in hexadecimal, of mode 0600. Without it alarms are sent in clear.",
)
@click.option(
    "--width", type=click.Choice(("mlr2", "system")), help="Sur-Gard: width of the line number. Without it: mlr2."
)
@click.option(
    "--attempts",
    type=click.IntRange(1, 16),
    metavar="N",
    help="Sur-Gard: attempts in a row without an answer after which the link counts as lost. Without it: 4.",
)
@click.option("--heartbeat", type=SPAN, help="How often an idle link is supervised. Without it: 30s.")
@click.option("--answer-timeout", type=SPAN, help="How long an answer may take. Without it: 4s.")
@click.option("--best-effort", is_flag=True, help="Alarms don't wait for this output to confirm them.")
@output_option
@click.pass_obj
def add(
    target: Target,
    /,
    name: str,
    kind: str,
    addresses: tuple[Address, ...],
    best_effort: bool,
    output: OutputForm,
    **options: Any,
) -> None:
    """Add the output NAME."""
    from hotspare.v1.output_pb2 import Output, OutputKind
    from hotspare.v1.receiver_service_pb2 import CreateOutputRequest
    from hotspare_cli.emit import emit
    from hotspare_cli.output_options import dc09_options, stream_options, surgard_options
    from hotspare_cli.session import ask
    from hotspare_cli.views.outputs import created_view

    wanted = Output(
        name=name,
        kind=OutputKind.Value(f"OUTPUT_KIND_{kind.upper().replace('-', '_')}"),
        addresses=[str(address) for address in addresses],
        required=not best_effort,
    )
    options |= {"addresses": addresses}
    match kind:
        case "surgard":
            wanted.surgard.CopyFrom(surgard_options(options))
        case "stream":
            wanted.stream.CopyFrom(stream_options(options))
        case _:
            wanted.dc09.CopyFrom(dc09_options(options))
    request = CreateOutputRequest(output=wanted)
    response = ask(target, lambda session: session.call(session.receiver.CreateOutput, request))
    emit(response, output, created_view)


@output.command()
@click.argument("name")
@click.option("--account", default="", metavar="NUMBER", help="Account number of the test. Without it: the receiver's.")
@output_option
@click.pass_obj
def test(target: Target, name: str, account: str, output: OutputForm) -> None:
    """Send a test alarm through the output NAME.

    Tells what went out and what came back. It is a test report triggered by hand (Contact ID 601), and goes out
    whether this receiver works or stands by. The exit status is 0 only if the automation software confirmed it.
    """
    from hotspare.v1.receiver_service_pb2 import TestOutputRequest
    from hotspare_cli.emit import emit
    from hotspare_cli.output_options import status_of
    from hotspare_cli.session import ask
    from hotspare_cli.views.outputs import tested_view

    request = TestOutputRequest(name=name, account_number=account)
    response = ask(
        target,
        lambda session: session.call(session.receiver.TestOutput, request, timeout=target.deadline(TEST_DEADLINE)),
    )
    emit(response, output, lambda answer: tested_view(answer, name))
    raise SystemExit(status_of(response))


@output.command()
@click.argument("name")
@yes_option
@output_option
@click.pass_obj
def pause(target: Target, name: str, yes: bool, output: OutputForm) -> None:
    """Pause the output NAME.

    Its link is closed, and nothing is sent through it until hotspare output resume.
    """
    from hotspare.v1.receiver_service_pb2 import PauseOutputRequest
    from hotspare_cli.emit import emit
    from hotspare_cli.session import ask
    from hotspare_cli.views.outputs import paused_view

    confirm(
        f"This pauses the output {name}: alarms that need it wait, and a receiver without it is not healthy, so a "
        "spare may take over.",
        yes=yes,
    )
    request = PauseOutputRequest(name=name)
    response = ask(target, lambda session: session.call(session.receiver.PauseOutput, request))
    emit(response, output, lambda answer: paused_view(answer.output))


@output.command()
@click.argument("name")
@output_option
@click.pass_obj
def resume(target: Target, name: str, output: OutputForm) -> None:
    """Resume the output NAME after a pause."""
    from hotspare.v1.receiver_service_pb2 import ResumeOutputRequest
    from hotspare_cli.emit import emit
    from hotspare_cli.session import ask
    from hotspare_cli.views.outputs import paused_view

    request = ResumeOutputRequest(name=name)
    response = ask(target, lambda session: session.call(session.receiver.ResumeOutput, request))
    emit(response, output, lambda answer: paused_view(answer.output))


@output.command()
@click.argument("name")
@yes_option
@click.pass_obj
def delete(target: Target, name: str, yes: bool) -> None:
    """Delete the output NAME.

    What still waits for it counts as delivered when the other required outputs have it: this ARC never gets it. Look
    first: WAITING of hotspare output list. Without another required output alarms wait.
    """
    from hotspare.v1.receiver_service_pb2 import DeleteOutputRequest
    from hotspare_cli.session import ask

    confirm(
        f"This deletes the output {name}: what still waits for it counts as delivered when the other required outputs "
        "have it, and this ARC never gets it. Without another required output alarms wait. See first WAITING of "
        "hotspare output list.",
        yes=yes,
    )
    ask(target, lambda session: session.call(session.receiver.DeleteOutput, DeleteOutputRequest(name=name)))
    click.echo(f"Deleted the output {name}.")
