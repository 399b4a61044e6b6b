"""Watches moves of the working role from outside, and brings a group back to rest between two tests."""

import time
from collections.abc import Iterable

from tests.acceptance.harness.book import Received
from tests.acceptance.harness.panels import Panel
from tests.acceptance.harness.polling import until
from tests.acceptance.harness.scraping import scrape
from tests.acceptance.harness.system import METRIC_ROLES, System

TAKE_OVER = 6.0
"""Seconds, generous for a slow and busy machine; the figure itself is printed. By the timing rules 1.2 or 3.3."""
RESTART_GRACE = 3.0
"""Seconds, by default, for which a cloud that stood still for half a second suspects nobody (timing rules 3)."""
FAILBACK = 45.0
"""Seconds until a receiver that was started again works: its start, `failback_delay` (10 s), and slack."""
SILENCE = 1.5
"""Seconds without a beat after which the cloud delivers nothing new to a receiver."""
HOLDER_LEASE, WRITE_DELAY = 4.98, 1.0
"""Seconds, by default: T_holder and X of the lease's arithmetic."""
BEAT = 1.0
"""Seconds, by default, between two beats."""
SLACK = 0.5
"""Seconds that a busy machine may be late."""


def in_time(group: System, took: float) -> bool:
    """Whether a take-over was quick enough; each stall of the cloud since the group was at rest may cost its grace."""
    stalls = group.stalls() - group.stalls_at_rest
    return took < TAKE_OVER + RESTART_GRACE * stalls


def attends(group: System, role: str) -> bool:
    """Whether a receiver that was started is connected to its cloud, as it says itself."""
    receiver = group.receivers[role].serving()
    return scrape(receiver).value("hotspare_receiver_cloud_connected") == 1


def status(group: System, role: str) -> str:
    """How a member is, as the cloud tells: `working`, `standby` or `offline`."""
    for labels, value in group.page().samples("hotspare_cloud_member_status", role=METRIC_ROLES[role]):
        if value:
            return labels["status"]
    raise AssertionError(f"the cloud knows no {role}")


def flows(group: System, role: str, count: int = 10) -> None:
    """Wait until so many more alarms came through a receiver."""
    before = len(group.arcs[role].received)
    until(lambda: len(group.arcs[role].received) >= before + count, 20, f"alarms flow through {role}")


def quiet_since(at: float, *, is_deaf: bool = False) -> None:
    """Wait until a receiver that was cut off at a moment is given nothing new.

    `is_deaf`: its beats still arrive; the one after the cut echoes what it heard just before, and renews. A device that
    reports before that has an alarm in flight at it, and has to wait for the end of its lease.
    """
    since = at + BEAT if is_deaf else at
    until(lambda: time.monotonic() > since + SILENCE + SLACK, 10, "nothing new is delivered to it")


def first_new(group: System, role: str, after: float, seconds: float = TAKE_OVER + 10) -> Received:
    """The first alarm at the ARC of `role` that was published after a moment, thus delivered to nobody before it."""

    def first() -> Received | None:
        begun = {
            (alarm.account, alarm.sequence): alarm.begun for panel in group.panels for alarm in list(panel.published)
        }
        came = (each for each in group.arcs[role].received if each.at > after)
        return next((each for each in came if begun.get(each.identity, 0.0) > after), None)

    found = until(first, seconds, lambda: f"{role} takes over; {group.working()} works: {group.moves()}")
    assert found is not None
    return found


def first_of(group: System, role: str, panels: Iterable[Panel], after: float) -> Received | None:
    """The first alarm of these devices at the ARC of `role` since a moment."""
    accounts = {panel.account for panel in panels}
    received = group.arcs[role].received
    return next((each for each in received if each.at > after and each.account in accounts), None)


def silent_after_lease(group: System, role: str, lost: float, until_: float) -> None:
    """F7: one that was cut off wrote nothing once its lease had run out, up to a moment."""
    end = lost + HOLDER_LEASE + WRITE_DELAY + SLACK
    late = [each for each in group.arcs[role].received if end < each.at < until_]
    assert not late, f"{role} wrote {late[0].at - lost:.2f} s after it was cut off: {late[:3]}"


def at_rest(group: System, first: str = "host") -> None:
    """Heal and start everything, and wait until `first` works and nothing waits."""
    for way in group.ways.values():
        way.heal()
    for arc in group.arcs.values():
        arc.delay = 0.0
    if not group.cloud.is_running:
        group.cloud.start()
        group.cloud.serving()
    for receiver in group.receivers.values():
        if not receiver.is_running:
            receiver.start()
    until(lambda: all(status(group, role) != "offline" for role in group.receivers), 30, "all attend")
    group.await_working(first, FAILBACK)
    group.settle()
    group.stalls_at_rest = group.stalls()
