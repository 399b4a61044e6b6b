"""What is wrong with a receiver and its group, and what to do: one table, for `status` and `doctor`.

Pure: a status and the time go in, findings come out, gravest first. Each row of the table tells when it holds, how
grave that is, and its two sentences; nowhere else are sentences made about what is wrong.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum

from hotspare.v1.group_pb2 import HealthProblemKind
from hotspare.v1.receiver_service_pb2 import ReceiverStatus
from hotspare_cli import findings_state as when
from hotspare_cli.findings_state import Found, Seen


class Severity(Enum):
    """How grave a finding is."""

    WRONG = "wrong"
    """Somebody has to act: alarms don't flow, or the next loss would stop them."""
    WATCH = "watch"
    """Good to know; alarms flow, and a loss is survived."""


class Topic(StrEnum):
    """What a finding is about, in the words of `doctor`."""

    CLOUD = "cloud"
    KEY = "ARC key"
    CLOCK = "clock"
    ROLES = "roles"
    OUTPUTS = "outputs"
    DISK = "disk"
    CONFIGURATION = "configuration"
    VERSIONS = "versions"
    ALARMS = "alarms"
    RECEIVER = "receiver"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: what, and what to do."""

    topic: Topic
    severity: Severity
    what: str
    advice: str


@dataclass(frozen=True)
class Row:
    """One row of the table: for each set of words that `when` yields there is a finding."""

    topic: Topic
    severity: Severity
    when: Callable[[Seen], Found]
    what: str
    advice: str
    same: str = ""
    """A pattern of what a server tells in other words where this row has told it."""


_ECHOED = ("line", "detail", "problem")
"""Words of the state that a receiver repeats in its own sentences, so that these tell nothing more."""
_WRONG, _WATCH = Severity.WRONG, Severity.WATCH
_PROBLEM = HealthProblemKind

# The gravest first: findings come in this order.
TABLE: tuple[Row, ...] = (
    Row(
        Topic.ROLES,
        _WRONG,
        when.expelled,
        "{line}.",
        "To take part again: hotspare enable --role ROLE. hotspare history tells who ended it.",
    ),
    Row(
        Topic.CLOUD,
        _WRONG,
        when.not_configured,
        "{line}.",
        "hotspare settings set --cloud-address HOST:PORT --arc-id ID --arc-key-file FILE.",
    ),
    Row(
        Topic.KEY,
        _WRONG,
        when.wrong_key,
        "The cloud {address} does not take this receiver's ARC id and key.",
        "Set the right ones: hotspare settings set --arc-id ID --arc-key-file FILE.",
        same=r"^(The cloud (at .* is not connected|refuses this receiver)|The configuration could not be)",
    ),
    Row(
        Topic.CLOUD,
        _WRONG,
        when.refused,
        "The cloud {address} refuses this receiver: {problem} ({reason}).",
        "{hint}",
        same=r"^(The cloud (at .* is not connected|refuses this receiver)|The configuration could not be)",
    ),
    Row(
        Topic.CLOUD,
        _WRONG,
        when.not_connected,
        "The cloud {address} has not been connected{since}: {problem}.",
        "It is tried again by itself. Check network, firewall and cloud: hotspare doctor, on this receiver's machine.",
        same=r"^(The cloud at .* is not connected|The configuration could not be)",
    ),
    Row(
        Topic.ROLES,
        _WRONG,
        when.nobody_works,
        "Nobody works; waiting at the cloud: {waiting}.",
        "Start a receiver of the group, or mend what keeps it from working: hotspare members.",
    ),
    Row(
        Topic.ROLES,
        _WRONG,
        when.nobody_works_while_paused,
        "Nobody works, and automatic moves are paused; waiting at the cloud: {waiting}.",
        "Let one take over: hotspare resume; or name one: hotspare switchover --to ROLE.",
        same=r"^automatic moves are paused",
    ),
    Row(
        Topic.ROLES,
        _WRONG,
        when.several_work,
        "Several receivers work at once: {who}.",
        "Report this defect with the output of hotspare history; until then stop all of them but the first.",
    ),
    Row(
        Topic.ROLES,
        _WRONG,
        when.lease_ran_out,
        "The lease of epoch {epoch} has run out: this receiver forwards nothing.",
        "It gets a new one when it reaches the cloud in time, or another receiver takes over: hotspare members.",
    ),
    Row(
        Topic.CLOUD,
        _WRONG,
        when.isolated,
        "This host is cut off from the cloud and takes direct alarms by itself: {taken} so far, {unpublished} of them "
        "not at the cloud.",
        "Mend the way to the cloud; what is missing there is then published by itself.",
    ),
    Row(
        Topic.ALARMS,
        _WRONG,
        when.unpublished_dual_off,
        "{line}.",
        "hotspare settings set --dual-connection on; off again once hotspare status tells nothing more of them.",
    ),
    Row(
        Topic.ALARMS,
        _WRONG,
        when.unpublished,
        "{line}.",
        "It is tried again by itself. See whether this receiver is the host (hotspare members), and whether the cloud "
        "has its devices (hotspare backup show).",
    ),
    Row(
        Topic.OUTPUTS,
        _WRONG,
        when.problem(_PROBLEM.HEALTH_PROBLEM_KIND_NO_OUTPUT),
        "No required output: alarms could not be delivered, so none are taken.",
        "Add one: hotspare output add NAME --kind KIND --address HOST:PORT.",
        same=r"^No required output",
    ),
    Row(
        Topic.OUTPUTS,
        _WRONG,
        when.problem(_PROBLEM.HEALTH_PROBLEM_KIND_OUTPUT_DOWN),
        "The output {subject} is down: {detail}.",
        "Check the ARC's software and its address (hotspare output list), then hotspare output test {subject}.",
    ),
    Row(
        Topic.OUTPUTS,
        _WRONG,
        when.output_paused,
        "The output {name} is paused, and alarms wait for it.",
        "hotspare output resume {name}.",
    ),
    Row(
        Topic.DISK,
        _WRONG,
        when.problem(_PROBLEM.HEALTH_PROBLEM_KIND_DISK_LOW),
        "The disk of this receiver is nearly full: {detail}.",
        "Free space on the disk of its data folder; it works again by itself then.",
    ),
    Row(
        Topic.RECEIVER,
        _WRONG,
        when.problem(_PROBLEM.HEALTH_PROBLEM_KIND_LOOP_LAG),
        "This receiver's process gets no time: {detail}.",
        "Look for what keeps the machine busy (top), or give it another machine.",
    ),
    Row(
        Topic.ALARMS,
        _WRONG,
        when.problem(_PROBLEM.HEALTH_PROBLEM_KIND_NO_PROGRESS),
        "Alarms wait here and none is forwarded: {detail}.",
        "See which output holds them up: hotspare output list. Its log tells more.",
    ),
    Row(
        Topic.ALARMS,
        _WRONG,
        when.problem(_PROBLEM.HEALTH_PROBLEM_KIND_PULL_STUCK),
        "The stream of alarms does not agree with the cloud's: {detail}.",
        "Restart this receiver; if it comes again, report it with the logs of both.",
    ),
    Row(
        Topic.RECEIVER,
        _WRONG,
        when.problem(_PROBLEM.HEALTH_PROBLEM_KIND_UNSPECIFIED),
        "This receiver is not healthy: {detail}.",
        "Look at its log; a newer release of this command may know more of it.",
    ),
    Row(
        Topic.ALARMS,
        _WRONG,
        when.alarms_wait_here,
        "Waiting at this receiver: {waiting}, the oldest for {age}.",
        "See which output holds them up: hotspare output list, hotspare alarm list.",
    ),
    Row(
        Topic.ALARMS,
        _WRONG,
        when.alarms_wait_at_cloud,
        "Waiting at the cloud: {waiting}, the oldest for {age}, although {who} works.",
        "See there what holds them up: hotspare status, and hotspare output list.",
    ),
    Row(
        Topic.ROLES,
        _WRONG,
        when.offline,
        "{who} is offline ({seen}), so it could not take over.",
        "Start it, or mend its network. If its machine is gone for good: hotspare member remove.",
    ),
    Row(
        Topic.ROLES,
        _WRONG,
        when.unhealthy,
        "{who} could not deliver: {problem}.",
        "See there what to do: hotspare --context NAME status, or "
        "hotspare --server {address} --token-file FILE status.",
    ),
    Row(
        Topic.CONFIGURATION,
        _WRONG,
        when.diverged,
        "The configuration is not backed up: {problem}.",
        "Take the cloud's over (hotspare backup restore), or replace it by this host's, knowingly "
        "(hotspare backup start-lineage).",
    ),
    Row(
        Topic.CONFIGURATION,
        _WRONG,
        when.sync_failed,
        "This receiver's copy of the configuration does not follow: {problem}.",
        "It is tried again by itself. If it stays so, look at the disk, and at the logs of receiver and cloud.",
        same=r"^The configuration could not be",
    ),
    Row(
        Topic.CONFIGURATION,
        _WRONG,
        when.copy_behind,
        "The copy of {who} does not follow: {problem}.",
        "See there what to do: hotspare --context NAME status, or "
        "hotspare --server {address} --token-file FILE status.",
    ),
    Row(
        Topic.ROLES,
        _WATCH,
        when.paused,
        "Automatic moves are paused{by}: nobody takes over, not even at a loss.",
        "When that is not meant any more: hotspare resume.",
        same=r"^automatic moves are paused",
    ),
    Row(
        Topic.ROLES,
        _WATCH,
        when.pinned,
        "{who} is pinned{by}: nobody of higher order works again before that ends.",
        "When that is not meant any more: hotspare resume.",
    ),
    Row(
        Topic.ROLES,
        _WATCH,
        when.held_back,
        "{who} was lost too often (losses: {losses}), and does not fail back.",
        "Find out why (hotspare history), then hotspare resume; or wait for an hour without a loss of it.",
    ),
    Row(
        Topic.ROLES,
        _WATCH,
        when.without_role,
        "{line}.",
        "hotspare enable --role ROLE.",
    ),
    Row(
        Topic.ROLES,
        _WATCH,
        when.no_spare,
        "{who} has no spare: when it is lost nobody takes over, and the alarms wait at the cloud.",
        "Set up a receiver on another machine, and there: hotspare enable --role spare1.",
    ),
    Row(
        Topic.ROLES,
        _WATCH,
        when.one_machine,
        "{who} run on the same machine: when it fails all of them are gone.",
        "Move one of them to a machine of its own.",
        same=r"runs on the same machine",
    ),
    Row(
        Topic.OUTPUTS,
        _WATCH,
        when.output_down,
        "The output {name} has no link to {address}: {problem}.",
        "It is tried again by itself. Check the ARC's software and that address: hotspare output list.",
    ),
    Row(
        Topic.CLOCK,
        _WATCH,
        when.clock_differs,
        "This receiver's clock is {offset} {side} the cloud's.",
        "Let both machines set their clocks by the network (NTP): timedatectl.",
    ),
    Row(
        Topic.CLOCK,
        _WATCH,
        when.arcs_clock,
        "{line}.",
        "timedatectl tells whether a machine sets its clock by the network.",
    ),
    Row(
        Topic.VERSIONS,
        _WATCH,
        when.version_differs,
        "{who} has the version {version}, and the host {host}: its copy of the configuration stays as it is.",
        "See what is next: hotspare upgrade plan.",
        same=r"^The configuration does not follow the host",
    ),
    Row(
        Topic.CONFIGURATION,
        _WATCH,
        when.sync_behind,
        "This receiver's copy of the configuration stays as it is: {problem}.",
        "See what is next: hotspare upgrade plan, hotspare backup show.",
        same=r"^The configuration does not follow the host",
    ),
    Row(
        Topic.KEY,
        _WATCH,
        when.old_key,
        "{who} still uses the ARC key that is being replaced.",
        "Give it the new one: hotspare --context NAME settings set --arc-key-file FILE, or with --server {address} "
        "--token-file FILE in place of the context.",
    ),
    Row(
        Topic.ALARMS,
        _WATCH,
        when.set_aside,
        "{line}.",
        "See why: hotspare alarm rejected. To send one again: hotspare alarm replay NUMBER.",
    ),
    Row(
        Topic.ALARMS,
        _WATCH,
        when.unpublished_elsewhere,
        "{line}.",
        "They are published when it is the host there again. What its ARC had of them: hotspare alarm list.",
    ),
    Row(
        Topic.ROLES,
        _WATCH,
        when.goodbye,
        "{line}.",
        "Nothing, but let this receiver reach its cloud once more.",
    ),
    Row(Topic.ROLES, _WATCH, when.members_oddity, "{who}: {line}.", "Look at that machine, and at its log."),
    Row(Topic.ROLES, _WATCH, when.groups_oddity, "{line}.", "hotspare history tells more."),
)


def findings(status: ReceiverStatus, now: datetime) -> tuple[Finding, ...]:
    """What is wrong, gravest first: in the order of the table."""
    seen = Seen(status, now)
    found: list[Finding] = []
    # These are the cloud's words: there are rows for them, as long as they are news.
    told = [re.escape(text) for text in seen.oddities]
    for row in TABLE:
        for values in row.when(seen):
            what = row.what.format_map(values)
            what = f"{what[:1].upper()}{what[1:]}" if row.what.startswith("{line}") else what
            found.append(Finding(row.topic, row.severity, what, row.advice.format_map(values)))
            told += [re.escape(values[name]) for name in _ECHOED if values.get(name)]
            told += [row.same] if row.same else []
    found += (
        Finding(Topic.RECEIVER, Severity.WATCH, line, "")
        for line in status.advice
        # A newer receiver may tell what no row here knows of (V3).
        if not any(re.search(pattern, line) for pattern in told)
    )
    return tuple(found)


def healthy(found: tuple[Finding, ...]) -> bool:
    """Whether nobody has to act."""
    return all(one.severity is not Severity.WRONG for one in found)
