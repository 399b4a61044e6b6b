"""What can be wrong with a receiver and its group: the conditions behind the table of `findings`.

Each looks at one moment and yields a set of words for each thing that is so; none of them makes a sentence.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from hotspare.v1.group_pb2 import HealthProblemKind, Member, MemberStatus, Role, SyncState
from hotspare.v1.output_pb2 import LinkState, Output
from hotspare.v1.receiver_service_pb2 import ReceiverStatus
from hotspare_cli.hints import HINTS
from hotspare_cli.naming import Names, called
from hotspare_cli.words import ago, cause, duration, number, plural, span, time
from hotspare_model.errors import Reason

LATE = timedelta(seconds=60)
"""An alarm that waits for so long is no matter of a short stall any more."""
CLOCK_TOLERANCE = timedelta(seconds=5)
"""Automation software takes a DC-09 frame whose time is from 40 s late to 20 s early: told well before that."""

_NOT_TOLD = "why is not told"
_NO_REFUSAL = (Reason.CLOUD_UNREACHABLE, Reason.SHUTTING_DOWN, Reason.STREAM_SUPERSEDED)
"""Reasons of a connection that is simply not there; it is tried again by itself."""

Values: TypeAlias = Mapping[str, str]
Found: TypeAlias = Iterator[Values]


@dataclass(frozen=True)
class Seen:
    """One moment, as a receiver told it."""

    status: ReceiverStatus
    now: datetime

    @property
    def current(self) -> bool:
        """Whether what it knows of the group is so now, and not only as the cloud told it last."""
        return self.status.cloud.connected and self.status.HasField("group")

    @property
    def members(self) -> tuple[Member, ...]:
        """The members with a role, while they are news."""
        if not self.current:
            return ()
        return tuple(member for member in self.status.members if member.role != Role.ROLE_UNSPECIFIED)

    @property
    def others(self) -> tuple[Member, ...]:
        """The members with a role, but this receiver."""
        return tuple(member for member in self.members if not member.is_self)

    @property
    def names(self) -> Names:
        """What the members are called."""
        return Names(self.status.members)

    @property
    def oddities(self) -> tuple[str, ...]:
        """What the cloud told of the group and of this receiver, which repeats it in its advice."""
        own = (text for member in self.status.members if member.is_self for text in member.warnings)
        return (*self.status.group.warnings, *own)

    def told(self, pattern: str) -> Found:
        """What the receiver tells itself in its own words, where these match."""
        return ({"line": line.rstrip(".")} for line in self.status.advice if re.search(pattern, line))


# --- The cloud ---------------------------------------------------------------------------------------------


def expelled(seen: Seen) -> Found:
    """The cloud ended the role."""
    return seen.told(r"^The cloud ended this receiver's role")


def not_configured(seen: Seen) -> Found:
    """No cloud, or not all that it takes to be known there."""
    told = tuple(seen.told(r"^Not connected to a cloud"))
    if told or seen.status.cloud.address:
        yield from told
    else:
        yield {"line": "This receiver has no cloud"}


def wrong_key(seen: Seen) -> Found:
    """The cloud knows no such ARC account, or not with that key."""
    return (values for values in _refused(seen) if values["reason"] == Reason.INVALID_CREDENTIALS)


def refused(seen: Seen) -> Found:
    """The cloud answers, and refuses this receiver for another reason than its key."""
    return (values for values in _refused(seen) if values["reason"] != Reason.INVALID_CREDENTIALS)


def _refused(seen: Seen) -> Found:
    cloud = seen.status.cloud
    if cloud.connected or cloud.last_reason not in Reason.__members__ or cloud.last_reason in _NO_REFUSAL:
        return
    reason = Reason(cloud.last_reason)
    problem = cloud.last_problem.rstrip(".") or "it gives no details"
    yield {"address": cloud.address, "problem": problem, "reason": reason, "hint": HINTS[reason].text}


def not_connected(seen: Seen) -> Found:
    """The cloud can't be reached."""
    cloud = seen.status.cloud
    if cloud.connected or not cloud.address or any(_refused(seen)) or any(not_configured(seen)):
        return
    since = time(cloud.since_time) if cloud.HasField("since_time") else None
    lasting = f" for {span(seen.now - since)}" if since is not None and since < seen.now else ""
    yield {
        "address": cloud.address,
        "since": lasting,
        "problem": cause(cloud.last_problem) or "no answer yet",
    }


def clock_differs(seen: Seen) -> Found:
    """The wall clocks of receiver and cloud are apart."""
    cloud = seen.status.cloud
    if not cloud.HasField("clock_offset"):
        return
    offset = cloud.clock_offset.ToTimedelta()
    if abs(offset) > CLOCK_TOLERANCE:
        yield {"offset": span(abs(offset)), "side": "behind" if offset > timedelta(0) else "ahead of"}


# --- Who works ---------------------------------------------------------------------------------------------


def nobody_works(seen: Seen) -> Found:
    """Nobody works, and automatic moves are not what prevents it."""
    group = seen.status.group
    if seen.current and not group.working_receiver_id and not group.paused:
        yield {"waiting": _alarms(group.backlog)}


def nobody_works_while_paused(seen: Seen) -> Found:
    """Nobody works, and nobody may take over."""
    group = seen.status.group
    if seen.current and not group.working_receiver_id and group.paused:
        yield {"waiting": _alarms(group.backlog)}


def several_work(seen: Seen) -> Found:
    """More than one member is told to work."""
    working = [called(one) for one in seen.members if one.status == MemberStatus.MEMBER_STATUS_WORKING]
    if len(working) > 1:
        yield {"who": ", ".join(working)}


def lease_ran_out(seen: Seen) -> Found:
    """It worked, and has no lease any more (F7)."""
    lease = seen.status.lease
    if lease.epoch and not lease.remaining.ToTimedelta():
        yield {"epoch": number(lease.epoch)}


def isolated(seen: Seen) -> Found:
    """A host that is cut off takes direct alarms by itself (D4)."""
    if seen.status.HasField("isolation") and seen.status.isolation.HasField("since_time"):
        left = seen.status.isolation
        yield {"taken": _alarms(left.taken), "unpublished": number(left.unpublished)}


def unpublished_dual_off(seen: Seen) -> Found:
    """Direct alarms that the cloud takes no more, since dual connection was switched off before it had them (D4)."""
    return seen.told(r"direct alarms?, taken while cut off .* can't be published, for dual connection")


def unpublished(seen: Seen) -> Found:
    """Direct alarms that the cloud does not take, for whatever it has against them (D4)."""
    return seen.told(r"direct alarms?, taken while cut off .* can't be published:")


def unpublished_elsewhere(seen: Seen) -> Found:
    """Direct alarms of a group that this receiver has left (D4)."""
    return seen.told(r"direct alarms?, taken while cut off .* wait for the group ")


def paused(seen: Seen) -> Found:
    """Somebody works, and nobody would take over (F8)."""
    group = seen.status.group
    if seen.current and group.paused and group.working_receiver_id:
        yield {"by": f" by {group.paused_by}" if group.paused_by else ""}


def pinned(seen: Seen) -> Found:
    """An operator pinned the one that works (F8)."""
    group = seen.status.group
    if seen.current and group.pinned_receiver_id:
        by = f" by {group.pinned_by}" if group.pinned_by else ""
        yield {"who": seen.names.of(group.pinned_receiver_id), "by": by}


def held_back(seen: Seen) -> Found:
    """Lost too often (F9)."""
    return ({"who": called(one), "losses": number(one.losses)} for one in seen.members if one.held_back)


def without_role(seen: Seen) -> Found:
    """Without a role, beside others of the group, so that it takes nothing (G7)."""
    if seen.status.role == Role.ROLE_UNSPECIFIED and seen.status.cloud.connected:
        yield from seen.told(r"^(The group has a host|Another receiver without a role)")


def no_spare(seen: Seen) -> Found:
    """A host alone: at its loss nobody takes over."""
    if seen.members and len(seen.members) == 1:
        yield {"who": called(seen.members[0])}


def one_machine(seen: Seen) -> Found:
    """Members that a single broken machine would take along (G6)."""
    on: dict[str, list[str]] = defaultdict(list)
    for member in seen.members:
        if member.receiver.machine_id:
            on[member.receiver.machine_id].append(called(member))
    return ({"who": " and ".join(each)} for each in on.values() if len(each) > 1)


# --- Members beside this one -------------------------------------------------------------------------------


def offline(seen: Seen) -> Found:
    """A member that is not there, so that it could not take over."""
    for member in seen.others:
        if member.status == MemberStatus.MEMBER_STATUS_OFFLINE:
            heard = member.last_seen_time
            seen_last = f"last seen {ago(heard, seen.now)}" if member.HasField("last_seen_time") else "never seen"
            yield {"who": called(member), "seen": seen_last}


def unhealthy(seen: Seen) -> Found:
    """A member that is there and could not deliver."""
    for member in seen.others:
        if member.status != MemberStatus.MEMBER_STATUS_OFFLINE:
            for problem in member.health.problems:
                detail = problem.detail or problem.subject or _NOT_TOLD
                yield {"who": called(member), "problem": detail.rstrip("."), "address": _address(member)}


def copy_behind(seen: Seen) -> Found:
    """A member whose copy of the configuration does not follow."""
    bad = (SyncState.SYNC_STATE_FAILED, SyncState.SYNC_STATE_DIVERGED)
    for member in seen.others:
        if member.sync_state in bad:
            detail = member.sync_detail.rstrip(".") or _NOT_TOLD
            yield {"who": called(member), "problem": detail, "address": _address(member)}


def version_differs(seen: Seen) -> Found:
    """A spare of another release than the host's (V1)."""
    host = next((one for one in seen.members if one.role == Role.ROLE_HOST), None)
    if host is None or not host.receiver.software_version:
        return
    for member in seen.members:
        version = member.receiver.software_version
        if version and version != host.receiver.software_version:
            yield {"who": called(member), "version": version, "host": host.receiver.software_version}


def old_key(seen: Seen) -> Found:
    """A member with the ARC key that is being replaced."""
    return ({"who": called(one), "address": _address(one)} for one in seen.members if one.uses_old_key)


def members_oddity(seen: Seen) -> Found:
    """What the cloud tells of a member in its own words."""
    for member in seen.members:
        for text in member.warnings:
            if "runs on the same machine" not in text:
                yield {"who": called(member), "line": text.rstrip(".")}


def groups_oddity(seen: Seen) -> Found:
    """What the cloud tells of the group in its own words; for a pause and alarms set aside there are rows."""
    for text in seen.status.group.warnings if seen.current else ():
        if not re.search(r"^automatic moves are paused|set aside", text):
            yield {"line": text.rstrip(".")}


# --- This receiver -----------------------------------------------------------------------------------------


def problem(kind: int) -> "_Problem":
    """A condition: a problem of that kind with this receiver."""
    return _Problem(kind)


@dataclass(frozen=True)
class _Problem:
    kind: int

    def __call__(self, seen: Seen) -> Found:
        known = set(HealthProblemKind.values()) - {HealthProblemKind.HEALTH_PROBLEM_KIND_UNSPECIFIED}
        for one in seen.status.health.problems:
            if one.kind == self.kind or (not self.kind and one.kind not in known):
                detail = (one.detail or one.subject or _NOT_TOLD).rstrip(".")
                yield {"subject": one.subject or "-", "detail": detail}


def output_paused(seen: Seen) -> Found:
    """A required output that an operator paused: alarms wait for it."""
    return ({"name": one.name} for one in seen.status.outputs if one.paused and _required(one))


def output_down(seen: Seen) -> Found:
    """An output without a link; where that makes the receiver unhealthy, this is told as such."""
    told = {one.subject for one in seen.status.health.problems}
    for one in seen.status.outputs:
        if one.state.link == LinkState.LINK_STATE_DOWN and not one.paused and one.name not in told:
            cause = one.state.last_problem.rstrip(".") or "it is tried again"
            yield {"name": one.name, "address": one.state.address or ", ".join(one.addresses), "problem": cause}


def arcs_clock(seen: Seen) -> Found:
    """The automation software refused the time of a frame."""
    return seen.told(r"^Output .* Set the clock of this machine")


def goodbye(seen: Seen) -> Found:
    """The cloud does not know yet that the hot spare was switched off."""
    return seen.told(r"^The cloud has not heard yet")


def diverged(seen: Seen) -> Found:
    """The host's copy and the cloud's went different ways (B7)."""
    return _sync(seen, SyncState.SYNC_STATE_DIVERGED)


def sync_failed(seen: Seen) -> Found:
    """The configuration could not be sent to the cloud, or taken from it; without a cloud that goes without saying."""
    return _sync(seen, SyncState.SYNC_STATE_FAILED) if seen.status.cloud.connected else iter(())


def sync_behind(seen: Seen) -> Found:
    """A spare's copy stays as it is, and why."""
    if seen.status.sync_state == SyncState.SYNC_STATE_VERSION_DIFFERS or _sync_detail(seen):
        yield from _sync(seen, SyncState.SYNC_STATE_VERSION_DIFFERS)
        yield from _sync(seen, SyncState.SYNC_STATE_BEHIND)


def _sync(seen: Seen, state: int) -> Found:
    if seen.status.sync_state == state:
        yield {"problem": _sync_detail(seen) or _NOT_TOLD}


def _sync_detail(seen: Seen) -> str:
    details = (row.detail.rstrip(".") for row in seen.status.backup.rows)
    return next((detail for detail in details if detail), "")


# --- Alarms ------------------------------------------------------------------------------------------------


def alarms_wait_here(seen: Seen) -> Found:
    """This receiver has had an alarm for too long."""
    progress = seen.status.progress
    if progress.HasField("oldest_age") and progress.oldest_age.ToTimedelta() > LATE:
        yield {"waiting": _alarms(progress.waiting), "age": duration(progress.oldest_age)}


def alarms_wait_at_cloud(seen: Seen) -> Found:
    """Somebody works, and the cloud has had an alarm for too long; that nobody works is told elsewhere."""
    group = seen.status.group
    if not seen.current or not group.working_receiver_id or any(alarms_wait_here(seen)):
        return
    oldest = time(group.backlog_oldest_time) if group.HasField("backlog_oldest_time") else None
    # By the time when it was told: what waited then may have gone long since.
    told = time(seen.status.group_time) if seen.status.HasField("group_time") else None
    age_then = (told or seen.now) - oldest if oldest is not None else timedelta(0)
    if group.backlog and age_then > LATE:
        age = span(age_then)
        yield {"waiting": _alarms(group.backlog), "age": age, "who": seen.names.of(group.working_receiver_id)}


def set_aside(seen: Seen) -> Found:
    """Alarms that the ARC does not have (A5)."""
    for text in seen.status.group.warnings if seen.current else ():
        if "set aside" in text:
            yield {"line": text.partition(":")[0].rstrip(".")}


def _alarms(count: int) -> str:
    return f"{number(count)} {plural(count, 'alarm')}"


def _address(member: Member) -> str:
    return member.receiver.address or "HOST:PORT"


def _required(output: Output) -> bool:
    return output.required if output.HasField("required") else True
