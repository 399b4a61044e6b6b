"""Moves of the work, for `switchover`, `pause`, `resume` and `history`."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from hotspare.v1.group_pb2 import Group, Member, Role, Transition, TransitionKind, TransitionReason
from hotspare.v1.role_service_pb2 import (
    ListMembersResponse,
    ListTransitionsResponse,
    PauseFailoverResponse,
    ResumeFailoverResponse,
    SwitchoverResponse,
)
from hotspare_cli.layout import Cell, CellLike, Grid, Lines, Part, Tone, grid
from hotspare_cli.naming import Names, called
from hotspare_cli.options import ONLY_THE_NEWEST
from hotspare_cli.views.members import paused
from hotspare_cli.words import NONE, clock, duration, number, phrase, role_word, since, span

_COLUMNS = ("TIME", "WHAT", "FROM", "TO", "REASON", "OPERATOR", "EPOCH", "NOBODY WORKED", "DETAIL")
_BELOW = ("DETAIL", "EPOCH", "OPERATOR", "NOBODY WORKED", "REASON")
_NOBODY = Cell("nobody", Tone.BAD)
_TONES = {
    TransitionKind.TRANSITION_KIND_NOBODY_LEFT: Tone.BAD,
    TransitionKind.TRANSITION_KIND_DUPLICATE_REFUSED: Tone.BAD,
    TransitionKind.TRANSITION_KIND_CLOUD_RESTORED: Tone.BAD,
    TransitionKind.TRANSITION_KIND_REFUSED: Tone.WATCH,
    TransitionKind.TRANSITION_KIND_PAUSED: Tone.WATCH,
    TransitionKind.TRANSITION_KIND_HELD_BACK: Tone.WATCH,
}
_WORKS_AGAIN = TransitionKind.TRANSITION_KIND_WORKS_AGAIN
_WORKS_CHANGED = (TransitionKind.TRANSITION_KIND_MOVE, TransitionKind.TRANSITION_KIND_NOBODY_LEFT)


def begun_text(seen: ListMembersResponse, target: Member) -> str:
    """That a switchover was accepted, from whom to whom."""
    working = seen.group.working_receiver_id
    giver = f" from {Names(seen.members).of(working)}" if working else ""
    return f"The hand-over{giver} to {called(target)} has begun."


def begun_view(seen: ListMembersResponse, target: Member) -> Iterator[Part]:
    """The answer of `switchover --no-wait`."""
    yield Lines((begun_text(seen, target), "hotspare members tells when it is done."))


def switchover_view(response: SwitchoverResponse, target: Member, took: timedelta) -> Iterator[Part]:
    """The answer of `switchover`; `took` is how long it was until the target worked."""
    works = f"{called(target)} works now, {span(took)} after it was asked, under epoch {number(response.group.epoch)}."
    if response.group.pinned_receiver_id != target.receiver.receiver_id:
        yield Lines((Cell(works, Tone.GOOD), Cell("It is not pinned any more.", Tone.WATCH)))
        return
    yield Lines((Cell(works, Tone.GOOD), "It is pinned: whoever comes back stands by until hotspare resume."))


def paused_view(response: PauseFailoverResponse, now: datetime) -> Iterator[Part]:
    """The answer of `pause`; a pause from before goes on, and tells since when."""
    what = Cell(f"Automatic moves are {paused(response.group, now)}.", Tone.WATCH)
    yield Lines((what, "Nobody takes over now, not even at a loss, until hotspare resume or hotspare switchover."))


def resumed_view(response: ResumeFailoverResponse, before: ListMembersResponse, now: datetime) -> Iterator[Part]:
    """The answer of `resume`: what it ended, by the group as it was before."""
    ended = tuple(_ended(before, response.group, now))
    yield Lines((*(ended or ("Automatic moves are resumed.",)), _working(response.group, Names(before.members))))


def _ended(before: ListMembersResponse, after: Group, now: datetime) -> Iterator[CellLike]:
    group, names = before.group, Names(before.members)
    if group.paused and not after.paused:
        yield f"Automatic moves are on again. They were {paused(group, now)}."
    if group.pinned_receiver_id and not after.pinned_receiver_id:
        began = f"; it was {since(group.pin_time, now)}" if group.HasField("pin_time") else ""
        by = f" by {group.pinned_by}" if began and group.pinned_by else ""
        yield f"{names.of(group.pinned_receiver_id)} is not pinned any more{began}{by}."
    for member in before.members:
        if member.held_back:
            yield f"{called(member)} may fail back again; it was held back (losses: {number(member.losses)})."


def _working(group: Group, names: Names) -> CellLike:
    if not group.working_receiver_id:
        return Cell("Nobody works now.", Tone.BAD)
    return f"{names.of(group.working_receiver_id)} works now."


def history_view(response: ListTransitionsResponse, members: ListMembersResponse, more: bool = False) -> Iterator[Part]:
    """The whole answer of `history`; `members` tell the names of receivers, `more` that there are older ones."""
    names = Names(members.members)
    yield grid(_COLUMNS, (_row(line, names) for line in response.transitions), empty="no history", below=_BELOW)
    if more:
        yield Lines((Cell(ONLY_THE_NEWEST, Tone.FAINT),))


def last_moves(lines: Iterable[Transition], members: Iterable[Member], most: int) -> Grid:
    """The newest lines that tell of another one at work, as a part of `status`."""
    names = Names(members)
    moves = [line for line in lines if line.kind in _WORKS_CHANGED or line.kind == _WORKS_AGAIN][:most]
    rows = (_row(line, names) for line in moves)
    return grid(_COLUMNS, rows, title="Last moves", empty="none yet", below=_BELOW)


def _row(line: Transition, names: Names) -> tuple[CellLike, ...]:
    what = phrase(TransitionKind.DESCRIPTOR, line.kind)
    giver = _who(line.from_receiver_id, line.from_role, names)
    taker = _who(line.to_receiver_id, line.to_role, names)
    if line.kind not in _WORKS_CHANGED and bool(giver) != bool(taker):
        # The work did not move: the one receiver that is named is the one that the line is about.
        what, giver, taker = f"{what}: {giver or taker}", "", ""
    return (
        clock(line.time) if line.HasField("time") else NONE,
        Cell(what, _TONES.get(line.kind, Tone.PLAIN)),
        _end(line, giver),
        _end(line, taker),
        _reason(line),
        line.operator_name or NONE,
        number(line.epoch) if line.epoch else NONE,
        duration(line.gap) if line.HasField("gap") else NONE,
        line.detail or NONE,
    )


def _who(receiver_id: str, role: Role.ValueType, names: Names) -> str:
    """Who it was, under the role of that time; the name is today's. Empty: nobody."""
    if not receiver_id:
        return ""
    name = names.alone(receiver_id)
    return name if role == Role.ROLE_UNSPECIFIED else f"{role_word(role)} {name}"


def _end(line: Transition, who: str) -> CellLike:
    return who or (_NOBODY if line.kind in _WORKS_CHANGED else NONE)


def _reason(line: Transition) -> Cell:
    """The reason; a loss stands out from a hand-over."""
    lost = line.kind == TransitionKind.TRANSITION_KIND_MOVE and not line.planned
    first = line.reason == TransitionReason.TRANSITION_REASON_FIRST
    return Cell(phrase(TransitionReason.DESCRIPTOR, line.reason), Tone.WATCH if lost and not first else Tone.PLAIN)
