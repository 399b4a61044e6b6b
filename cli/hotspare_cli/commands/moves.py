"""`switchover`, `pause`, `resume`, `history`: who works by the wish of an operator, and who worked when (F8)."""

from datetime import UTC, datetime

import click

from hotspare_cli.errors import usage_error
from hotspare_cli.hints import THROUGH_RECEIVER
from hotspare_cli.moments import moment
from hotspare_cli.options import (
    Limit,
    OutputForm,
    Target,
    confirm,
    on_terminal,
    output_option,
    reason_option,
    watch_option,
    yes_option,
)

_MAY_HAVE_BEGUN = "It may have begun all the same: hotspare members tells who works, hotspare history what was asked."
_MAY_BE_DONE = "It may have been done all the same: look at hotspare members."
_PAGE = 1000


@click.command()
@click.option("--to", "wanted", required=True, metavar="ROLE|ID|NAME", help="Who shall work: role, id or name.")
@reason_option
@click.option("--no-wait", is_flag=True, help="End when the hand-over has begun, without waiting for its end.")
@yes_option
@output_option
@click.pass_obj
def switchover(target: Target, wanted: str, reason: str, no_wait: bool, yes: bool, output: OutputForm) -> None:
    """Hand the work over to a named receiver.

    It stays pinned there, whoever comes back, until hotspare resume, another switchover, or until it lays the work
    down itself (lost, stopped, unable to deliver). It works while automatic moves are paused, too.
    """
    import uuid

    from hotspare.v1.role_service_pb2 import ListMembersRequest, SwitchoverRequest
    from hotspare_cli.emit import emit
    from hotspare_cli.session import ask
    from hotspare_cli.switchover import effect, find_target, hand_over, switch_over
    from hotspare_cli.views.moves import begun_text, begun_view, switchover_view

    if not yes and not on_terminal():
        raise usage_error(
            f"This hands the work over to {wanted}, and pins it there until hotspare resume.",
            "Without a terminal nobody can be asked: repeat it with --yes.",
        )
    seen = ask(
        target,
        lambda session: session.all_pages(session.roles.ListMembers, ListMembersRequest()),
        hints=THROUGH_RECEIVER,
    )
    member = find_target(seen.members, wanted)
    receiver_id = member.receiver.receiver_id
    # What nobody has to answer for is not asked: the cloud refuses a switchover to the one that works.
    confirm(effect(seen.group, seen.members, member), yes=yes or receiver_id == seen.group.working_receiver_id)
    request = SwitchoverRequest(
        request_id=str(uuid.uuid4()), receiver_id=receiver_id, detail=reason, expected_epoch=seen.group.epoch
    )

    hints = {**THROUGH_RECEIVER, **dict.fromkeys(("UNAVAILABLE", "DEADLINE_EXCEEDED"), _MAY_HAVE_BEGUN)}
    if no_wait:
        response = ask(target, lambda session: switch_over(session, request, patience=target.timeout), hints=hints)
        emit(response, output, lambda _answer: begun_view(seen, member))
        return

    def begun() -> None:
        click.echo(begun_text(seen, member), err=True)

    response, took = ask(
        target, lambda session: hand_over(session, request, member, timeout=target.timeout, begun=begun), hints=hints
    )
    emit(response, output, lambda answer: switchover_view(answer, member, took))


@click.command()
@reason_option
@yes_option
@output_option
@click.pass_obj
def pause(target: Target, reason: str, yes: bool, output: OutputForm) -> None:
    """Pause automatic moves: nobody takes over by itself.

    While paused nobody is moved, not even when the working receiver is lost: the cloud then keeps the alarms.
    The same receiver goes on after its own restart, and hotspare switchover still works.
    """
    from hotspare.v1.role_service_pb2 import PauseFailoverRequest
    from hotspare_cli.emit import emit
    from hotspare_cli.session import ask
    from hotspare_cli.views.moves import paused_view

    confirm(
        "This pauses automatic moves: until hotspare resume NOBODY TAKES OVER, not even when the working receiver "
        "is lost; the alarms then wait at the cloud.",
        yes=yes,
    )
    response = ask(
        target,
        lambda session: session.call(session.roles.PauseFailover, PauseFailoverRequest(detail=reason)),
        hints={**THROUGH_RECEIVER, "DEADLINE_EXCEEDED": _MAY_BE_DONE},
    )
    emit(response, output, lambda answer: paused_view(answer, datetime.now(UTC)))


@click.command()
@reason_option
@output_option
@click.pass_obj
def resume(target: Target, reason: str, output: OutputForm) -> None:
    """Resume automatic moves, after a pause or a switchover.

    It ends a pause and a pin, and lets receivers fail back again that were held back after too many losses.
    """
    from hotspare.v1.role_service_pb2 import (
        ListMembersRequest,
        ListMembersResponse,
        ResumeFailoverRequest,
        ResumeFailoverResponse,
    )
    from hotspare_cli.emit import emit
    from hotspare_cli.session import Session, ask
    from hotspare_cli.views.moves import resumed_view

    async def work(session: Session) -> tuple[ListMembersResponse, ResumeFailoverResponse]:
        # The answer tells how it is afterwards; what was ended is known only from before.
        before = await session.all_pages(session.roles.ListMembers, ListMembersRequest())
        return before, await session.call(session.roles.ResumeFailover, ResumeFailoverRequest(detail=reason))

    before, response = ask(target, work, hints={**THROUGH_RECEIVER, "DEADLINE_EXCEEDED": _MAY_BE_DONE})
    emit(response, output, lambda answer: resumed_view(answer, before, datetime.now(UTC)))


@click.command()
@click.option("--since", metavar="TIME|SPAN", help="Only from then on: 2026-11-22T16:04:26Z, or so long ago: 2h.")
@click.option("--until", metavar="TIME|SPAN", help="Only before then, given as for --since.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    help="Only the newest ones, so many. Without it: all; on a terminal 100.",
)
@watch_option
@output_option
@click.pass_obj
def history(
    target: Target, since: str | None, until: str | None, limit: int | None, watch: bool, output: OutputForm
) -> None:
    """Tell who worked when and why, newest first.

    Moves, and what operators did: with the reason, the operator, the epoch, and how long nobody worked.
    """
    from hotspare.v1.role_service_pb2 import (
        ListMembersRequest,
        ListMembersResponse,
        ListTransitionsRequest,
        ListTransitionsResponse,
    )
    from hotspare_cli.repeated import show
    from hotspare_cli.session import Session
    from hotspare_cli.views.moves import history_view

    now = datetime.now(UTC)
    start = moment(since, "--since", now) if since is not None else None
    end = moment(until, "--until", now) if until is not None else None
    if start is not None and end is not None and start >= end:
        raise usage_error("--since is not before --until, so nothing can lie between.", "Exchange the two.")
    wanted = Limit.of(limit, output)
    request = ListTransitionsRequest(page_size=min(wanted.asked or _PAGE, _PAGE))
    if start is not None:
        request.start_time.FromDatetime(start)
    if end is not None:
        request.end_time.FromDatetime(end)

    def enough(merged: ListTransitionsResponse) -> bool:
        return wanted.enough(merged.transitions)

    async def work(session: Session) -> tuple[ListTransitionsResponse, ListMembersResponse, bool]:
        request.page_token = ""
        lines = await session.all_pages(session.roles.ListTransitions, request, enough)
        more = wanted.cut(lines.transitions)
        if output is not OutputForm.TABLE:
            return lines, ListMembersResponse(), more
        # The lines name receivers by their ids alone.
        return lines, await session.all_pages(session.roles.ListMembers, ListMembersRequest()), more

    show(target, work, lambda seen: history_view(*seen), output, watch=watch, hints=THROUGH_RECEIVER)
