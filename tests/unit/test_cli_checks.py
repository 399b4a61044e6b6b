"""What `doctor` judges: each check is fine, or tells what to do."""

import ast
import re
from datetime import UTC, datetime, timedelta

import click
import pytest

from hotspare.v1.receiver_service_pb2 import ReceiverSettings, ReceiverStatus
from hotspare.v1.version_service_pb2 import (
    UPGRADE_STEP_UPGRADE_NOW,
    UPGRADE_STEP_WAIT,
    CheckVersionResponse,
    MemberVersion,
)
from hotspare_cli.checks import (
    Certificate,
    Check,
    Verdict,
    certificate_check,
    disk_check,
    fine,
    is_sound,
    lease_check,
    skipped,
    status_checks,
    version_check,
    watch,
    wrong,
)
from hotspare_cli.findings import Topic
from hotspare_cli.main import hotspare
from hotspare_cli.screen import plain
from hotspare_cli.views.doctor import doctor_view
from hotspare_model.group import GroupSettings
from hotspare_rpc.wire import group_settings_to_proto
from tests.unit.test_cli_findings import CASES, sound
from tools.protos import ROOT

NOW = datetime(2026, 11, 22, 16, 4, 26, tzinfo=UTC)
YEAR = timedelta(days=365)


def certificate(*, left: timedelta, begun: timedelta = YEAR, problem: str = "") -> Check:
    shown = Certificate(NOW - begun, NOW + left, ("cloud.example.org", "10.0.0.9"), problem)
    return certificate_check("server certificate", shown, "--tls-ca", NOW)


@pytest.mark.parametrize(
    ("left", "verdict"),
    [
        (YEAR, Verdict.FINE),
        (timedelta(days=31), Verdict.FINE),
        (timedelta(days=29), Verdict.WATCH),
        (timedelta(days=6), Verdict.WRONG),
        (timedelta(seconds=-1), Verdict.WRONG),
    ],
    ids=lambda value: str(value),
)
def test_the_end_of_a_certificate_is_told_before_it_comes(left: timedelta, verdict: Verdict) -> None:
    check = certificate(left=left)
    assert check.verdict is verdict
    assert bool(check.advice) == (verdict is not Verdict.FINE)
    assert ("it ended at" in check.told) == (left < timedelta(0))


def test_a_certificate_that_is_not_trusted_is_told_with_its_names() -> None:
    check = certificate(left=YEAR, problem="self-signed certificate")
    assert check.verdict is Verdict.WRONG
    assert check.told == "it is not trusted: self-signed certificate; it names cloud.example.org, 10.0.0.9"
    assert "--tls-ca" in check.advice
    early = certificate(left=YEAR, begun=-YEAR, problem="certificate is not yet valid")
    assert "valid only from" in early.told
    assert "clock" in early.advice


def test_the_inequality_of_the_leases_is_checked_with_its_numbers() -> None:
    check = lease_check(group_settings_to_proto(GroupSettings()))
    assert check.verdict is Verdict.FINE
    assert "a lease of 6.0 s at the cloud is one of 5.0 s for its holder" in check.told
    short = lease_check(group_settings_to_proto(GroupSettings(lease=timedelta(seconds=1))))
    assert short.verdict is Verdict.WRONG
    assert "T_holder" in short.told
    late = lease_check(group_settings_to_proto(GroupSettings(suspect_after=timedelta(seconds=9))))
    assert "suspect_after" in late.told
    assert "hotspare group set" in late.advice


@pytest.mark.parametrize(
    ("free", "floor", "verdict"),
    [
        (512_000_000, 0, Verdict.WATCH),
        (511_999_999, 0, Verdict.WRONG),
        (1_024_000_000, 0, Verdict.FINE),
        (1_024_000_000, 600_000_000, Verdict.WATCH),
        (10, 10, Verdict.WATCH),
    ],
)
def test_a_disk_is_told_before_it_reaches_the_floor(free: int, floor: int, verdict: Verdict) -> None:
    status = ReceiverStatus()
    status.health.disk_free_bytes = free
    check = disk_check(status, ReceiverSettings(disk_floor_bytes=floor))
    assert check is not None
    assert check.verdict is verdict


def test_v2_versions_that_differ_are_told_with_what_is_next() -> None:
    apart = CheckVersionResponse(software_version="2.0.0", compatible=False)
    assert [check.verdict for check in version_check(apart, "0.1.0")] == [Verdict.WRONG]
    assert list(version_check(CheckVersionResponse(compatible=True), "0.1.0")) == []
    due = CheckVersionResponse(compatible=True, members=[MemberVersion(step=UPGRADE_STEP_UPGRADE_NOW)])
    (check,) = version_check(due, "0.1.0")
    assert check.verdict is Verdict.WATCH
    assert "hotspare upgrade plan" in check.advice
    waiting = CheckVersionResponse(compatible=True, members=[MemberVersion(step=UPGRADE_STEP_WAIT)])
    assert list(version_check(waiting, "0.1.0")) == []


def judged(status: ReceiverStatus) -> dict[str, list[Check]]:
    found: dict[str, list[Check]] = {}
    for check in status_checks(status, ReceiverSettings(), NOW):
        found.setdefault(check.name, []).append(check)
    return found


def healthy_host() -> ReceiverStatus:
    status = sound()
    status.health.disk_free_bytes = 10**12
    return status


def test_of_a_sound_receiver_each_topic_is_fine() -> None:
    checks = judged(healthy_host())
    assert list(checks) == list(Topic)
    assert {check.verdict for each in checks.values() for check in each} == {Verdict.FINE}


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case[1] is not Topic.DISK])
def test_status_and_doctor_never_disagree(name: str) -> None:
    change, topic, severity, what, advice = CASES[name]
    status = healthy_host()
    change(status)
    (check,) = judged(status)[topic]
    assert check.verdict == severity.value
    assert what.rstrip(".") in check.told
    assert advice in check.advice


def test_what_only_a_cloud_can_tell_is_skipped_without_it() -> None:
    status = healthy_host()
    CASES["not connected"][0](status)
    checks = judged(status)
    assert checks[Topic.CLOUD][0].verdict is Verdict.WRONG
    for topic in (Topic.KEY, Topic.CLOCK, Topic.ROLES, Topic.VERSIONS):
        assert [check.verdict for check in checks[topic]] == [Verdict.SKIPPED], topic


def test_the_advice_stands_below_its_check_and_the_last_line_tells_all() -> None:
    checks = [fine("a", "x"), wrong("b", "y", "Do z."), watch("c", "y", "Look."), skipped("d", "why")]
    lines = [line.split() for line in plain(doctor_view(checks)).splitlines()]
    assert lines[2:4] == [["b", "wrong", "y"], ["->", "Do", "z."]]
    assert " ".join(lines[-1]) == "Of 4 checks: 1 wrong, 1 watch, 1 skipped."
    assert "All 1 checks are fine." in plain(doctor_view(checks[:1]))
    assert not is_sound(checks)
    assert is_sound([checks[0], checks[2], checks[3]])


@pytest.mark.parametrize("module", ["checks", "examine", "probe", "contexts", "options", "calling", "reflect"])
def test_commands_that_an_advice_names_exist_with_their_options(module: str) -> None:
    tree = ast.parse((ROOT / "cli" / "hotspare_cli" / f"{module}.py").read_text(encoding="utf-8"))
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    for line in re.findall(r"hotspare (?!command)((?:[a-z-]+ ?)+)", "\n".join(texts)):
        command: click.Command = hotspare
        for word in line.split():
            if isinstance(command, click.Group) and word in command.commands:
                command = command.commands[word]
            elif word.startswith("--"):
                assert word in {name for parameter in command.params for name in parameter.opts}, line
        assert command is not hotspare or line.startswith("--"), line
