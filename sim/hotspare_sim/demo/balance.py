"""The last word of the demo: what was published, confirmed, lost, and how long the moves took."""

from collections.abc import Mapping

from hotspare_sim.core.ledger import Ledger
from hotspare_sim.demo.cast import ROLES
from hotspare_sim.demo.screen import Tone
from hotspare_sim.demo.story import Outcome
from hotspare_sim.publish import Way

Line = tuple[str, Tone]


def balance(ledger: Ledger, outcome: Outcome, by_way: Mapping[str, int] | None = None) -> list[Line]:
    """The lines to print at the end. `by_way`: published alarms by the way they went, where there is more than one."""
    lines = [
        ("", Tone.PLAIN),
        ("Balance", Tone.MOVE),
        _count("published", ledger.published, f"alarms that {_answered_by(by_way or {})} answered"),
        *_ways(by_way or {}),
        _count("confirmed", ledger.confirmed, "of these, acknowledged by the ARC"),
        _count("lost", ledger.waiting, "published and not acknowledged", good=ledger.waiting == 0),
        _count("duplicates", ledger.duplicates, "acknowledged twice, with the same identity"),
        _count("out of order", ledger.out_of_order, "within a device", good=ledger.out_of_order == 0),
    ]
    if ledger.own_events:
        lines.append(_count("own events", ledger.own_events, "told to the ARC by the system itself"))
    if ledger.unanswered:
        lines.append(_count("unanswered", ledger.unanswered, "acknowledged, and the device got no answer"))
    return [*lines, *_moves(ledger, outcome)]


def _answered_by(by_way: Mapping[str, int]) -> str:
    return "the host or the cloud" if by_way.get(Way.DIRECT) else "the cloud"


def _ways(by_way: Mapping[str, int]) -> list[Line]:
    if not by_way.get(Way.DIRECT):
        return []
    return [
        _count("direct", by_way[Way.DIRECT], "of these, by DC-09 to the host"),
        _count("by the cloud", by_way.get(Way.CLOUD, 0), "of these, by gRPC to the cloud"),
    ]


def _count(name: str, number: int, meaning: str, *, good: bool | None = None) -> Line:
    tone = {None: Tone.PLAIN, True: Tone.GOOD, False: Tone.BAD}[good]
    return f"  {name:12} {number:8}  {meaning}", tone


def _time(name: str, seconds: float | None, meaning: str) -> Line:
    shown = "-" if seconds is None else f"{seconds:.2f} s"
    return f"  {name:12} {shown:>8}  {meaning}", Tone.PLAIN


def _again(outcome: Outcome) -> list[Line]:
    if outcome.reconnected is None:
        return []
    return [_time("direct again", outcome.reconnected, "from the host's new start to the first alarm by DC-09 to it")]


def _moves(ledger: Ledger, outcome: Outcome) -> list[Line]:
    lines = [
        _time("take-over", outcome.takeover, "from kill -9 of the host to the first alarm published later"),
        _time("in hand", outcome.held, "from the kill until no alarm of the dead host was held any more"),
        _time("return", outcome.returned, "from the host's new start to its first alarm"),
        *_again(outcome),
        _time("switchover", outcome.switched, "from the operator's command to the first alarm through spare 2"),
        _time("resume", outcome.resumed, "from the command that ends it to the first alarm through the host"),
        _time("sync", outcome.synced, "from the command that changed a device on the host until all spares had it"),
    ]
    for move in ledger.moves:
        path = f"{ROLES[move.old]} -> {ROLES[move.new]}"
        lines.append(_time("move", move.gap, f"{path}, from the last alarm to the first"))
    return lines
