"""`status`, `members`: how this receiver and its group are."""

from datetime import UTC, datetime

import click

from hotspare_cli.errors import ExitCode, usage_error
from hotspare_cli.hints import THROUGH_RECEIVER
from hotspare_cli.options import OutputForm, Target, output_option, watch_option


@click.command()
@click.option("--watch", is_flag=True, help="Draw it again at every change, until Ctrl-C; with json: a line a change.")
@click.option("--exit-code", is_flag=True, help="End with 4 when somebody has to act, for scripts.")
@output_option
@click.pass_obj
def status(target: Target, watch: bool, exit_code: bool, output: OutputForm) -> None:
    """Tell how this receiver and its group are.

    One screen: who works, this receiver, its outputs, the members, the last moves, and in words what is wrong and
    what to do. It answers also when the cloud can't be reached; the group then is as the cloud told it last.
    """
    from hotspare_cli.emit import emit
    from hotspare_cli.findings import findings, healthy
    from hotspare_cli.session import ask
    from hotspare_cli.views.status import status_view
    from hotspare_cli.watching import look

    if watch and exit_code:
        raise usage_error("--watch ends only by Ctrl-C, so it has no --exit-code.", "Leave one of the two out.")
    if watch:
        _watch(target, output)
        return
    moment = ask(target, lambda session: look(session, with_moves=output is OutputForm.TABLE))
    now = datetime.now(UTC)
    emit(moment.response, output, lambda answer: status_view(answer, now, moment.moves))
    if exit_code and not healthy(findings(moment.status, now)):
        raise SystemExit(ExitCode.NOT_HEALTHY)


def _watch(target: Target, output: OutputForm) -> None:
    from hotspare_cli.emit import as_json_line, as_yaml
    from hotspare_cli.layout import Cell, Lines, Part, Tone
    from hotspare_cli.redraw import Redrawn
    from hotspare_cli.session import ask
    from hotspare_cli.views.status import status_view
    from hotspare_cli.watching import Moment, follow

    def write(moment: Moment) -> None:
        if moment.problem:
            click.echo(moment.problem, err=True)
        elif output is OutputForm.JSON:
            click.echo(as_json_line(moment.response), nl=False)
        else:
            click.echo(f"---\n{as_yaml(moment.response)}", nl=False)

    if output is not OutputForm.TABLE:
        ask(target, lambda session: follow(session, write, with_moves=False, steady=False))
        return

    with Redrawn() as screen:

        def draw(moment: Moment) -> None:
            problem: tuple[Part, ...] = (
                (Lines((Cell(f"This is the state from before: {moment.problem}", Tone.BAD),)),)
                if moment.problem
                else ()
            )
            parts = status_view(moment.response, datetime.now(UTC), moment.moves, advice_first=screen.in_place)
            screen.draw((*problem, *parts))

        ask(target, lambda session: follow(session, draw, with_moves=True, steady=screen.in_place))


@click.command()
@watch_option
@output_option
@click.pass_obj
def members(target: Target, watch: bool, output: OutputForm) -> None:
    """List the members of the group.

    A mark stands at the receiver that was asked. It asks the cloud; when that can't be reached, `hotspare
    status` tells what it knew last.
    """
    from hotspare.v1.role_service_pb2 import ListMembersRequest
    from hotspare_cli.repeated import show
    from hotspare_cli.views.members import members_view

    show(
        target,
        lambda session: session.all_pages(session.roles.ListMembers, ListMembersRequest()),
        lambda answer: members_view(answer, datetime.now(UTC)),
        output,
        watch=watch,
        hints=THROUGH_RECEIVER,
    )
