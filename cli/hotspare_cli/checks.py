"""What `doctor` looks at, and how it judges: pure, of what was told and measured.

A check is fine, or tells what to do. What a receiver tells of itself is judged by the table of `findings`, so that
`status` and `doctor` never disagree.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from hotspare.v1.group_pb2 import GroupSettings
from hotspare.v1.receiver_service_pb2 import ReceiverSettings, ReceiverStatus
from hotspare.v1.version_service_pb2 import CheckVersionResponse, UpgradeStep
from hotspare_cli.findings import Finding, Severity, Topic, findings
from hotspare_cli.words import NONE, clock, number, plural, role_word, size, span
from hotspare_model.errors import HotspareError
from hotspare_rpc.wire import group_settings_from_proto, timestamp_to_proto

CERTIFICATE_ENDS = timedelta(days=7)
"""A certificate that ends so soon is wrong, not only to be watched: somebody has to act before the weekend."""
CERTIFICATE_WATCH = timedelta(days=30)
DEFAULT_FLOOR = 512_000_000


class Verdict(StrEnum):
    """What came of a check."""

    FINE = "fine"
    WATCH = "watch"
    WRONG = "wrong"
    SKIPPED = "skipped"
    """It could not be looked at; what prevented it is told by another one."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at, and what to do where it is not fine."""

    name: str
    verdict: Verdict
    told: str
    advice: str = ""


@dataclass(frozen=True)
class Certificate:
    """What a server showed. `problem` is why it is not trusted; empty: it is."""

    not_before: datetime
    not_after: datetime
    names: tuple[str, ...]
    problem: str = ""


def fine(name: str, told: str) -> Check:
    """A check with nothing to do."""
    return Check(name, Verdict.FINE, told)


def wrong(name: str, told: str, advice: str) -> Check:
    """A check after which somebody has to act."""
    return Check(name, Verdict.WRONG, told, advice)


def watch(name: str, told: str, advice: str) -> Check:
    """A check that is good to know."""
    return Check(name, Verdict.WATCH, told, advice)


def skipped(name: str, why: str) -> Check:
    """What could not be looked at."""
    return Check(name, Verdict.SKIPPED, why)


def is_sound(checks: Iterable[Check]) -> bool:
    """Whether nobody has to act."""
    return all(check.verdict is not Verdict.WRONG for check in checks)


def certificate_check(name: str, found: Certificate, ca_option: str, now: datetime) -> Check:
    """Whether a certificate is trusted, and for how long yet; `ca_option` names who decides which are."""
    end = clock(timestamp_to_proto(found.not_after))
    told_names = f"names {', '.join(found.names) or 'nobody'}"
    if now < found.not_before:
        begin = clock(timestamp_to_proto(found.not_before))
        return wrong(name, f"it is valid only from {begin} on", "Set the clock of this machine, or use another one.")
    if now > found.not_after:
        return wrong(name, f"it ended at {end}", "Put a new one in its place; servers read it without a restart.")
    if found.problem:
        advice = f"Name the authority that signed it ({ca_option}), and call the server by a name that it holds."
        return wrong(name, f"it is not trusted: {found.problem}; it {told_names}", advice)
    left = found.not_after - now
    told = f"it {told_names}, and ends at {end} (in {span(left)})"
    renew = "Renew it; servers read the new one without a restart."
    if left < CERTIFICATE_ENDS:
        return wrong(name, told, renew)
    return watch(name, told, renew) if left < CERTIFICATE_WATCH else fine(name, told)


def version_check(response: CheckVersionResponse, own: str) -> Iterator[Check]:
    """Whether command, server, cloud and members go together (V2, V3)."""
    if not response.compatible:
        told = f"this command has {own}, the server {response.software_version}: they don't go together"
        yield wrong(Topic.VERSIONS, told, "Use the hotspare command of the server's release.")
        return
    due = UpgradeStep.UPGRADE_STEP_UPGRADE_NOW
    if response.cloud_step == due or any(one.step == due for one in response.members):
        told = f"the cloud has {response.cloud_version or 'an unknown version'}, and an upgrade is under way"
        yield watch(Topic.VERSIONS, told, "See what is next: hotspare upgrade plan.")


def lease_check(settings: GroupSettings) -> Check:
    """Whether the settings of the group keep two receivers from working at once: ranges and the inequality."""
    name = "settings"
    try:
        ours = group_settings_from_proto(settings).checked()
    except HotspareError as problem:
        return wrong(name, problem.message, "Set it right: hotspare group set.")
    told = (
        f"a lease of {span(ours.lease)} at the cloud is one of {span(ours.holder_lease)} for its holder: that is safe"
    )
    return fine(name, told)


def disk_check(status: ReceiverStatus, settings: ReceiverSettings | None) -> Check | None:
    """Whether the disk is near the floor; None where a finding tells that it is below."""
    if not status.HasField("health"):
        return None
    floor = (settings.disk_floor_bytes if settings is not None else 0) or DEFAULT_FLOOR
    free = status.health.disk_free_bytes
    told = f"{size(free)} are free, the floor is {size(floor)}"
    if free < floor:
        return wrong(Topic.DISK, told, "Free space on the disk of its data folder; it works again by itself then.")
    if free < 2 * floor:
        return watch(Topic.DISK, told, "Free space on the disk of its data folder, or find out what fills it.")
    return fine(Topic.DISK, told)


def status_checks(status: ReceiverStatus, settings: ReceiverSettings | None, now: datetime) -> Iterator[Check]:
    """What the receiver tells of itself and its group: for each topic what is wrong, or that it is fine."""
    found = findings(status, now)
    for topic in Topic:
        of_topic = [one for one in found if one.topic is topic]
        if of_topic:
            yield from (_of_finding(one) for one in of_topic)
        elif topic is Topic.DISK:
            check = disk_check(status, settings)
            yield check if check is not None else skipped(topic, "the receiver does not tell")
        elif topic in _NEED_CLOUD and not status.cloud.connected:
            yield skipped(topic, "the cloud is not connected")
        else:
            yield fine(topic, _fine_words(status)[topic])


_NEED_CLOUD = (Topic.KEY, Topic.CLOCK, Topic.ROLES, Topic.VERSIONS)


def _of_finding(one: Finding) -> Check:
    verdict = Verdict.WRONG if one.severity is Severity.WRONG else Verdict.WATCH
    return Check(one.topic, verdict, one.what.rstrip("."), one.advice)


def _fine_words(status: ReceiverStatus) -> Mapping[Topic, str]:
    members, outputs = len(status.members), len(status.outputs)
    offset = abs(status.cloud.clock_offset.ToTimedelta())
    waiting = status.progress.waiting
    rows = sum(row.count for row in status.backup.rows)
    role = "without a role" if role_word(status.role) == NONE else role_word(status.role)
    return {
        Topic.CLOUD: f"{status.cloud.address} is connected",
        Topic.KEY: f"the cloud takes ARC id {status.arc_id} and its key",
        Topic.CLOCK: f"receiver and cloud differ by {span(offset)}",
        Topic.ROLES: f"{number(members)} {plural(members, 'member')}, this one {role}",
        Topic.OUTPUTS: f"{number(outputs)} {plural(outputs, 'output')}, each with its link",
        Topic.CONFIGURATION: f"{number(rows)} {plural(rows, 'record')}, revision {number(status.backup.revision)}",
        Topic.VERSIONS: f"all members have {status.receiver.software_version}",
        Topic.ALARMS: f"{number(waiting)} {plural(waiting, 'alarm')} on the way",
        Topic.RECEIVER: "it tells of nothing else",
    }
