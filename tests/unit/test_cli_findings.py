"""What is wrong, in words: every row of the table is shown by a state, and says what to do."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import click
import pytest

from hotspare.v1.group_pb2 import (
    MEMBER_STATUS_OFFLINE,
    MEMBER_STATUS_STANDBY,
    MEMBER_STATUS_WORKING,
    ROLE_HOST,
    ROLE_SPARE_1,
    ROLE_UNSPECIFIED,
    SYNC_STATE_DIVERGED,
    SYNC_STATE_FAILED,
    SYNC_STATE_VERSION_DIFFERS,
    Group,
    HealthProblemKind,
    Member,
    ReceiverInfo,
)
from hotspare.v1.output_pb2 import LINK_STATE_DOWN, LINK_STATE_UP, Output, OutputState
from hotspare.v1.receiver_service_pb2 import CloudConnection, ReceiverStatus
from hotspare_cli.findings import TABLE, Finding, Row, Severity, Topic, findings, healthy
from hotspare_cli.findings_state import CLOCK_TOLERANCE, LATE, Seen
from hotspare_cli.main import hotspare
from hotspare_cli.screen import plain
from hotspare_cli.views.status import advice
from hotspare_model.errors import HotspareError, Reason
from hotspare_receiver.direct.isolated import IsolationSnapshot
from hotspare_receiver.status_direct import direct_advice

NOW = datetime(2026, 11, 22, 16, 4, 26, tzinfo=UTC)
HOST, SPARE = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"

Change = Callable[[ReceiverStatus], object]


def sound() -> ReceiverStatus:
    """A host that works, with a spare that stands by: nothing is wrong."""
    host = Member(
        receiver=ReceiverInfo(
            receiver_id=HOST, name="alpha", machine_id="m1", address="10.0.0.1:7001", software_version="0.1.0"
        ),
        role=ROLE_HOST,
        status=MEMBER_STATUS_WORKING,
        is_self=True,
    )
    spare = Member(
        receiver=ReceiverInfo(
            receiver_id=SPARE, name="beta", machine_id="m2", address="10.0.0.2:7001", software_version="0.1.0"
        ),
        role=ROLE_SPARE_1,
        status=MEMBER_STATUS_STANDBY,
    )
    status = ReceiverStatus(
        receiver=host.receiver,
        arc_id="north",
        role=ROLE_HOST,
        status=MEMBER_STATUS_WORKING,
        cloud=CloudConnection(address="10.0.0.9:7443", connected=True),
        outputs=[
            Output(name="arc", addresses=["10.0.0.7:5000"], state=OutputState(link=LINK_STATE_UP)),
            Output(name="copy", required=False, state=OutputState(link=LINK_STATE_UP)),
        ],
        group=Group(arc_id="north", epoch=7, working_receiver_id=HOST),
        members=[host, spare],
    )
    status.lease.epoch = 7
    status.lease.remaining.FromSeconds(4)
    status.cloud.clock_offset.FromTimedelta(CLOCK_TOLERANCE)
    status.progress.oldest_age.FromTimedelta(LATE)
    return status


def ill(kind: HealthProblemKind.ValueType, subject: str, detail: str) -> Change:
    return lambda status: status.health.problems.add(kind=kind, subject=subject, detail=detail)


def cut_off(reason: str = "", problem: str = "") -> Change:
    def change(status: ReceiverStatus) -> None:
        status.cloud.CopyFrom(CloudConnection(address="10.0.0.9:7443", last_reason=reason, last_problem=problem))

    return change


def both(*changes: Change) -> Change:
    def change(status: ReceiverStatus) -> None:
        for one in changes:
            one(status)

    return change


def setting(path: str, value: object) -> Change:
    """Set a field by its path; a number in it is the place in a list."""

    def change(status: ReceiverStatus) -> None:
        *way, last = path.split(".")
        at: object = status
        for step in way:
            at = at[int(step)] if step.isdigit() else getattr(at, step)  # type: ignore[index]
        setattr(at, last, value)

    return change


def told(line: str) -> Change:
    return lambda status: status.advice.append(line)


def waits(status: ReceiverStatus) -> None:
    status.group.backlog = 2
    status.group.backlog_oldest_time.FromDatetime(NOW - LATE - timedelta(seconds=30))


def late(status: ReceiverStatus) -> None:
    status.progress.waiting = 1
    status.progress.oldest_age.FromTimedelta(LATE + timedelta(seconds=1))


def unpublished(problem: HotspareError | None, here: int = 2, elsewhere: int = 0) -> str:
    """What a receiver tells of direct alarms that the cloud does not have."""
    groups = {"north/other": elsewhere} if elsewhere else {}
    (line,) = direct_advice(IsolationSnapshot(None, 0, 0, here + elsewhere, 0, groups, problem), "")
    return line


def isolated(status: ReceiverStatus) -> None:
    status.isolation.since_time.FromDatetime(NOW)
    status.isolation.taken, status.isolation.unpublished = 5, 2


def ahead(status: ReceiverStatus) -> None:
    status.cloud.clock_offset.FromTimedelta(-CLOCK_TOLERANCE - timedelta(seconds=7))


def copy_is(state: int, detail: str) -> Change:
    def change(status: ReceiverStatus) -> None:
        status.sync_state = state  # type: ignore[assignment]
        status.backup.rows.add(detail=detail)

    return change


WRONG, WATCH = Severity.WRONG, Severity.WATCH
K = HealthProblemKind
CASES: dict[str, tuple[Change, Topic, Severity, str, str]] = {
    "expelled": (
        told("The cloud ended this receiver's role: it was removed. Enable it again if that was not meant."),
        *(Topic.ROLES, WRONG, "it was removed", "hotspare enable --role ROLE"),
    ),
    "no cloud": (
        both(setting("arc_id", ""), lambda status: status.cloud.Clear()),
        *(Topic.CLOUD, WRONG, "This receiver has no cloud.", "hotspare settings set"),
    ),
    "a setting is missing": (
        both(cut_off(), told("Not connected to a cloud: set arc_key.")),
        *(Topic.CLOUD, WRONG, "Not connected to a cloud: set arc_key.", "--arc-key-file FILE"),
    ),
    "wrong key": (
        both(cut_off("INVALID_CREDENTIALS"), told("The cloud refuses this receiver until somebody acts: wrong.")),
        *(Topic.KEY, WRONG, "10.0.0.9:7443 does not take this receiver's ARC id and key", "--arc-key-file FILE"),
    ),
    "refused": (
        cut_off("MACHINE_MISMATCH", "known from another machine"),
        *(Topic.CLOUD, WRONG, "known from another machine (MACHINE_MISMATCH)", "Keep the folder"),
    ),
    "not connected": (
        both(
            cut_off(
                "CLOUD_UNREACHABLE",
                "UNAVAILABLE: last error: UNKNOWN: ipv4:1: Failed to connect to remote host: Connection refused",
            ),
            copy_is(SYNC_STATE_FAILED, "the cloud at x can't be reached"),
            lambda status: status.members[0].warnings.append("runs on the same machine as beta"),
            told("The cloud at x is not connected: y."),
            told(
                "The configuration could not be sent to the cloud, it is tried again: the cloud at x can't be reached."
            ),
            told("runs on the same machine as beta"),
        ),
        *(Topic.CLOUD, WRONG, "has not been connected: Connection refused.", "hotspare doctor"),
    ),
    "nobody works": (
        both(setting("group.working_receiver_id", ""), setting("group.backlog", 3)),
        *(Topic.ROLES, WRONG, "Nobody works; waiting at the cloud: 3 alarms.", "hotspare members"),
    ),
    "nobody works while paused": (
        both(setting("group.working_receiver_id", ""), setting("group.paused", True)),
        *(Topic.ROLES, WRONG, "moves are paused; waiting at the cloud: 0 alarms", "hotspare resume"),
    ),
    "two work": (
        setting("members.1.status", MEMBER_STATUS_WORKING),
        *(Topic.ROLES, WRONG, "at once: host alpha, spare1 beta", "Report"),
    ),
    "lease ran out": (
        lambda status: status.lease.remaining.FromSeconds(0),
        *(Topic.ROLES, WRONG, "epoch 7 has run out", "another receiver takes over"),
    ),
    "isolated": (isolated, Topic.CLOUD, WRONG, "5 alarms so far, 2 of them not", "Mend the way"),
    "unpublished, and dual connection is off": (
        told(unpublished(HotspareError(Reason.DUAL_CONNECTION_OFF, "off"))),
        *(Topic.ALARMS, WRONG, "2 direct alarms, taken while cut off", "settings set --dual-connection on"),
    ),
    "unpublished, and the cloud does not take them": (
        told(unpublished(HotspareError(Reason.DEVICE_UNKNOWN, "the group has no device panel-1"))),
        *(Topic.ALARMS, WRONG, "can't be published: the group has no device panel-1.", "hotspare backup show"),
    ),
    "unpublished, of another group": (
        told(unpublished(None, here=0, elsewhere=1)),
        *(Topic.ALARMS, WATCH, "1 direct alarm, taken while cut off", "the host there again"),
    ),
    "no output": (
        ill(K.HEALTH_PROBLEM_KIND_NO_OUTPUT, "", ""),
        *(Topic.OUTPUTS, WRONG, "No required output", "hotspare output add"),
    ),
    "output down": (
        both(
            ill(K.HEALTH_PROBLEM_KIND_OUTPUT_DOWN, "arc", "Connection refused"),
            setting("outputs.0.state.link", LINK_STATE_DOWN),
            told("Output arc is down: Connection refused."),
        ),
        *(Topic.OUTPUTS, WRONG, "The output arc is down: Connection refused.", "hotspare output test arc"),
    ),
    "output paused": (
        both(setting("outputs.0.paused", True), setting("outputs.1.paused", True)),
        *(Topic.OUTPUTS, WRONG, "The output arc is paused", "hotspare output resume arc"),
    ),
    "disk": (
        ill(K.HEALTH_PROBLEM_KIND_DISK_LOW, "", "12 bytes are free"),
        *(Topic.DISK, WRONG, "nearly full: 12 bytes are free.", "Free space"),
    ),
    "lag": (ill(K.HEALTH_PROBLEM_KIND_LOOP_LAG, "", "2 s late"), Topic.RECEIVER, WRONG, "no time: 2 s late", "busy"),
    "no progress": (
        ill(K.HEALTH_PROBLEM_KIND_NO_PROGRESS, "", "for 30 s"),
        *(Topic.ALARMS, WRONG, "none is forwarded: for 30 s", "hotspare output list"),
    ),
    "pull stuck": (
        ill(K.HEALTH_PROBLEM_KIND_PULL_STUCK, "", "twice"),
        *(Topic.ALARMS, WRONG, "does not agree with the cloud's: twice", "Restart"),
    ),
    "a problem of a newer release": (
        ill(K.ValueType(99), "gps", ""),
        *(Topic.RECEIVER, WRONG, "not healthy: gps", "log"),
    ),
    "alarms wait here": (late, Topic.ALARMS, WRONG, "Waiting at this receiver: 1 alarm,", "hotspare output list"),
    "alarms wait at the cloud": (
        waits,
        *(
            Topic.ALARMS,
            WRONG,
            "at the cloud: 2 alarms, the oldest for 1 min 30 s, although host alpha",
            "hotspare",
        ),
    ),
    "offline": (
        setting("members.1.status", MEMBER_STATUS_OFFLINE),
        *(Topic.ROLES, WRONG, "spare1 beta is offline (never seen)", "hotspare member remove"),
    ),
    "another one is ill": (
        lambda status: status.members[1].health.problems.add(detail="its output is down"),
        *(Topic.ROLES, WRONG, "spare1 beta could not deliver: its output is down"),
        "hotspare --server 10.0.0.2:7001 --token-file FILE status",
    ),
    "diverged": (
        copy_is(SYNC_STATE_DIVERGED, "another lineage"),
        *(Topic.CONFIGURATION, WRONG, "not backed up: another lineage", "hotspare backup restore"),
    ),
    "copy failed": (
        copy_is(SYNC_STATE_FAILED, "a digest differs"),
        *(Topic.CONFIGURATION, WRONG, "does not follow: a digest differs", "disk"),
    ),
    "another one's copy": (
        setting("members.1.sync_state", SYNC_STATE_FAILED),
        *(Topic.CONFIGURATION, WRONG, "The copy of spare1 beta does not follow", "--server 10.0.0.2:7001"),
    ),
    "paused": (
        both(setting("group.paused", True), setting("group.paused_by", "anna"), told("automatic moves are paused: x")),
        *(Topic.ROLES, WATCH, "paused by anna", "hotspare resume"),
    ),
    "pinned": (
        setting("group.pinned_receiver_id", HOST),
        *(Topic.ROLES, WATCH, "host alpha is pinned", "hotspare resume"),
    ),
    "held back": (
        setting("members.1.held_back", True),
        *(Topic.ROLES, WATCH, "spare1 beta was lost too often", "hotspare resume"),
    ),
    "without a role": (
        both(setting("role", ROLE_UNSPECIFIED), told("The group has a host, so this receiver takes no alarms.")),
        *(Topic.ROLES, WATCH, "The group has a host", "hotspare enable"),
    ),
    "no spare": (lambda status: status.members.pop(), Topic.ROLES, WATCH, "host alpha has no spare", "spare1"),
    "one machine": (
        both(
            setting("members.1.receiver.machine_id", "m1"),
            told("runs on the same machine as beta"),
            lambda status: status.members[0].warnings.append("runs on the same machine as beta"),
        ),
        *(Topic.ROLES, WATCH, "host alpha and spare1 beta run on the same machine", "machine of its own"),
    ),
    "an output that is not required has no link": (
        both(
            setting("outputs.1.state.link", LINK_STATE_DOWN),
            setting("outputs.1.state.last_problem", "No route to host"),
            told("Output copy has no link: No route to host."),
        ),
        *(Topic.OUTPUTS, WATCH, "The output copy has no link", "hotspare output list"),
    ),
    "clock": (ahead, Topic.CLOCK, WATCH, "12 s ahead of the cloud's", "NTP"),
    "the ARC's clock": (
        told("Output arc: refused its time (NAK). Set the clock of this machine and that of the ARC's software right."),
        *(Topic.CLOCK, WATCH, "refused its time (NAK)", "timedatectl"),
    ),
    "version": (
        both(
            setting("members.1.receiver.software_version", "0.2.0"),
            told("The configuration does not follow the host: 0.2.0 against 0.1.0."),
        ),
        *(Topic.VERSIONS, WATCH, "spare1 beta has the version 0.2.0, and the host 0.1.0", "hotspare upgrade plan"),
    ),
    "copy stays": (
        copy_is(SYNC_STATE_VERSION_DIFFERS, "the host has 0.2.0"),
        *(Topic.CONFIGURATION, WATCH, "stays as it is: the host has 0.2.0", "hotspare upgrade plan"),
    ),
    "old key": (
        setting("members.1.uses_old_key", True),
        *(Topic.KEY, WATCH, "spare1 beta still uses", "with --server 10.0.0.2:7001 --token-file FILE"),
    ),
    "set aside": (
        both(
            lambda status: status.group.warnings.append("2 alarms are set aside, and not at the ARC: x tells why"),
            told("2 alarms are set aside, and not at the ARC: x tells why"),
        ),
        *(Topic.ALARMS, WATCH, "2 alarms are set aside, and not at the ARC.", "hotspare alarm rejected"),
    ),
    "goodbye": (
        told("The cloud has not heard yet that the hot spare was switched off here; it will be told."),
        *(Topic.ROLES, WATCH, "has not heard yet", "reach its cloud"),
    ),
    "a member's oddity": (
        lambda status: status.members[1].warnings.append("it does not hear the cloud"),
        *(Topic.ROLES, WATCH, "spare1 beta: it does not hear the cloud.", "log"),
    ),
    "a group's oddity": (
        both(lambda status: status.group.warnings.append("the cloud was restored"), told("the cloud was restored")),
        *(Topic.ROLES, WATCH, "The cloud was restored.", "hotspare history"),
    ),
    "what a newer receiver tells": (
        told("The moon is full. Wait."),
        *(Topic.RECEIVER, WATCH, "The moon is full. Wait.", ""),
    ),
}


def found(change: Change) -> tuple[Finding, ...]:
    status = sound()
    change(status)
    return findings(status, NOW)


def test_of_a_sound_group_nothing_is_said() -> None:
    assert findings(sound(), NOW) == ()
    assert healthy(())
    assert plain([advice(())]) == "Advice\nNothing is wrong.\n"


@pytest.mark.parametrize("name", CASES)
def test_each_thing_that_is_wrong_is_said_once_with_what_to_do(name: str) -> None:
    change, topic, severity, what, hint = CASES[name]
    (one,) = found(change)
    assert (one.topic, one.severity) == (topic, severity)
    assert what in one.what
    assert hint in one.advice
    assert bool(hint) == bool(one.advice)
    assert healthy((one,)) == (severity is WATCH)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.what[:40])
def test_every_row_of_the_table_is_shown_by_a_state(row: Row) -> None:
    def holds(change: Change) -> bool:
        status = sound()
        change(status)
        return any(row.when(Seen(status, NOW)))

    assert any(holds(change) for change, *_ in CASES.values())


def test_the_table_has_the_gravest_first() -> None:
    grave = [row.severity is WRONG for row in TABLE]
    assert grave == sorted(grave, reverse=True)


def test_the_gravest_comes_first_and_each_has_what_to_do_in_the_line_below() -> None:
    several = found(both(CASES["pinned"][0], CASES["disk"][0], CASES["clock"][0], CASES["offline"][0]))
    assert [one.severity for one in several] == [WRONG, WRONG, WATCH, WATCH]
    lines = plain([advice(several)]).splitlines()
    assert [line[:2] for line in lines[1:]] == ["! ", "  "] * 2 + ["- ", "  "] * 2


def test_what_the_cloud_told_last_is_no_news_while_it_is_gone() -> None:
    gone = found(both(cut_off("CLOUD_UNREACHABLE", "x"), CASES["offline"][0], CASES["pinned"][0], CASES["paused"][0]))
    assert [one.topic for one in gone] == [Topic.CLOUD]


def test_s4_braces_of_strangers_are_no_template() -> None:
    (odd,) = found(lambda status: status.members[1].warnings.append("{who} {0} {line.__class__}"))
    assert odd.what == "spare1 beta: {who} {0} {line.__class__}."


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.what[:40])
def test_sentences_end_and_the_commands_in_them_exist(row: Row) -> None:
    what, hint = row.what, row.advice
    assert what.endswith(".")
    assert hint.endswith(".") or hint == "{hint}"
    before = r"--(?:server|context|token-file) \S+ "
    for line in re.findall(rf"hotspare ((?:{before})*(?:[a-z-]+ ?)+)", hint):
        command: click.Command = hotspare
        for word in re.sub(before, "", line).split():
            if isinstance(command, click.Group) and word in command.commands:
                command = command.commands[word]
            elif word.startswith("--"):
                assert word in {name for parameter in command.params for name in parameter.opts}, line
        assert command is not hotspare, line


def test_what_waited_at_the_cloud_when_it_was_told_is_judged_by_that_time() -> None:
    status = sound()
    status.group.backlog = 1
    status.group.backlog_oldest_time.FromDatetime(NOW - timedelta(hours=1, seconds=2))
    status.group_time.FromDatetime(NOW - timedelta(hours=1))
    assert findings(status, NOW) == ()
    status.group_time.FromDatetime(NOW)
    assert [one.topic for one in findings(status, NOW)] == [Topic.ALARMS]
