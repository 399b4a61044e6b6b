"""The metrics of a receiver: named by Prometheus' conventions, and of what the status says."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from hotspare_model.group import GroupSettings, MemberStatus, Role
from hotspare_receiver.core.forwarder import Outcome
from hotspare_receiver.metrics import ReceiverCollector, metrics_of
from hotspare_receiver.snapshot import (
    Attendance,
    CloudSnapshot,
    LeaseSnapshot,
    LinkState,
    OutputSnapshot,
    PathCounters,
    PathSnapshot,
    Problem,
    ProblemKind,
    PullSnapshot,
    SyncReport,
)
from hotspare_receiver.status import StatusView, generic_advice, member_status
from hotspare_receiver.timings import Timings

NOW = datetime(2031, 1, 1, tzinfo=UTC)


def view(working: bool = True) -> StatusView:
    path = PathSnapshot(
        attendance=Attendance(Role.HOST, "north", "default", 1),
        cloud=CloudSnapshot(connected=True, since=NOW, round_trip=timedelta(milliseconds=2)),
        lease=LeaseSnapshot(
            epoch=7,
            remaining=timedelta(seconds=4.5),
            working=working,
            draining=False,
            released_through=0,
            highest_epoch=7,
            beats_sent=20,
            beats_missed=1,
        ),
        pull=PullSnapshot(open=True, pull_id=1, last_delivery=3, reopened=2, unstored=4),
        counters=PathCounters(delivered=10, redelivered=2, confirmed=8, not_forwarded=3),
        waiting=2,
        oldest_age=timedelta(seconds=1.5),
        problems=(),
        disk_free=10**9,
        loop_lag=timedelta(milliseconds=1),
        outputs=(
            OutputSnapshot(
                name="arc",
                required=True,
                link=LinkState.UP,
                address="127.0.0.1:7100",
                since=NOW,
                problem="",
                waiting=2,
                confirmed=8,
                last_confirmed=NOW,
                attempts={Outcome.CONFIRMED: 8, Outcome.UNKNOWN: 1},
                generic=5,
                last_generic="19B1",
            ),
        ),
        settings=GroupSettings(),
        role=Role.HOST,
        working_receiver_id="a",
        paused=False,
    )
    return StatusView(
        Role.HOST,
        member_status(path),
        path,
        SyncReport(1, 3),
        pushes=2,
        push_failures=0,
        syncs=6,
        sync_refusals=(("digest_mismatch", 1), ("chunk_invalid", 0)),
        records=(("devices", 5),),
    )


def values(metrics: list[Metric]) -> dict[str, float]:
    return {
        sample.name + "".join(f",{value}" for value in sample.labels.values()): sample.value
        for metric in metrics
        for sample in metric.samples
    }


def test_metrics_tell_what_the_status_says() -> None:
    found = values(list(metrics_of(view())))
    expected = {
        "hotspare_receiver_role,host": 1,
        "hotspare_receiver_role,none": 0,
        "hotspare_receiver_status,working": 1,
        "hotspare_receiver_status,standby": 0,
        "hotspare_receiver_group_info,north,default": 1,
        "hotspare_receiver_epoch": 7,
        "hotspare_receiver_working": 1,
        "hotspare_receiver_draining": 0,
        "hotspare_receiver_paused": 0,
        "hotspare_receiver_lease_remaining_seconds": 4.5,
        "hotspare_receiver_beats_total": 20,
        "hotspare_receiver_alarms_delivered_total": 10,
        "hotspare_receiver_alarms_redelivered_total": 2,
        "hotspare_receiver_alarms_confirmed_total": 8,
        "hotspare_receiver_alarms_not_forwarded_total": 3,
        "hotspare_receiver_output_alarms_generic_total,arc": 5,
        "hotspare_receiver_alarms_waiting": 2,
        "hotspare_receiver_alarms_oldest_seconds": 1.5,
        "hotspare_receiver_confirmations_unstored": 4,
        "hotspare_receiver_output_link,arc,up": 1,
        "hotspare_receiver_output_link,arc,down": 0,
        "hotspare_receiver_output_attempts_total,arc,confirmed": 8,
        "hotspare_receiver_output_attempts_total,arc,unknown": 1,
        "hotspare_receiver_output_attempts_total,arc,refused": 0,
        "hotspare_receiver_records,devices": 5,
        "hotspare_receiver_configuration_revision": 3,
        "hotspare_receiver_configuration_state,up_to_date": 1,
        "hotspare_receiver_configuration_state,behind": 0,
        "hotspare_receiver_configuration_pushes_total": 2,
        "hotspare_receiver_configuration_syncs_total": 6,
        "hotspare_receiver_configuration_sync_refusals_total,digest_mismatch": 1,
        "hotspare_receiver_configuration_sync_refusals_total,chunk_invalid": 0,
    }
    assert {name: found.get(name) for name in expected} == expected


def test_g3_one_that_attends_nowhere_names_no_group() -> None:
    nowhere = replace(view(), path=replace(view().path, attendance=None))
    assert not [name for name in values(list(metrics_of(nowhere))) if name.startswith("hotspare_receiver_group_info")]


def test_b6_the_state_of_the_configuration_follows_what_was_reported() -> None:
    for number, name in ((4, "behind"), (7, "diverged"), (0, "unknown"), (99, "unknown")):
        found = values(list(metrics_of(replace(view(), sync=SyncReport(number, 3)))))
        states = {key.partition(",")[2] for key, told in found.items() if told and "configuration_state" in key}
        assert states == {name}


def test_a10_the_status_tells_that_generic_events_went_out_and_for_which_code() -> None:
    path = view().path
    (advice,) = generic_advice(path)
    assert "Output arc sent 5 alarms as generic events" in advice
    assert "19B1" in advice
    quiet = replace(path, outputs=tuple(replace(output, generic=0) for output in path.outputs))
    assert list(generic_advice(quiet)) == []


def test_the_status_is_one_of_a_kind() -> None:
    assert view(working=True).status is MemberStatus.WORKING
    assert view(working=False).status is MemberStatus.STANDBY


def test_names_keep_the_conventions_and_no_label_names_a_device() -> None:
    labels = {
        "version",
        "arc_id",
        "sub_account",
        "role",
        "status",
        "output",
        "state",
        "outcome",
        "kind",
        "reason",
        "le",
    }
    for metric in metrics_of(view()):
        assert metric.name.startswith("hotspare_receiver_")
        assert metric.documentation.endswith(".")
        for sample in metric.samples:
            assert set(sample.labels) <= labels
            assert sample.name.endswith("_total") == (metric.type == "counter")


def test_f3_every_kind_of_problem_is_there_from_the_start_and_counts_what_is_wrong() -> None:
    found = values(list(metrics_of(view())))
    kinds = {name.partition(",")[2] for name in found if name.startswith("hotspare_receiver_health_problems,")}
    assert kinds == {"no_output", "output_down", "disk_low", "loop_lag", "no_progress", "pull_stuck"}
    assert found["hotspare_receiver_healthy"] == 1
    down = tuple(Problem(ProblemKind.OUTPUT_DOWN, name, "it is down", NOW) for name in ("one", "two"))
    ill = replace(view(), path=replace(view().path, problems=down))
    found = values(list(metrics_of(ill)))
    assert found["hotspare_receiver_healthy"] == 0
    assert found["hotspare_receiver_health_problems,output_down"] == 2
    assert found["hotspare_receiver_health_problems,disk_low"] == 0


def test_the_time_of_renewals_is_a_histogram_of_cumulative_buckets() -> None:
    timings = Timings().with_one(0.001).with_one(0.004).with_one(7.0)
    path = view().path
    timed = replace(view(), path=replace(path, lease=replace(path.lease, renewals=timings)))
    found = values(list(metrics_of(timed)))
    name = "hotspare_receiver_lease_renewal_seconds"
    told = [found[f"{name}_bucket,{bound}"] for bound in ("0.001", "0.0025", "0.005", "5.0", "+Inf")]
    assert told == [1, 1, 2, 2, 3]
    assert found[f"{name}_count"] == 3
    assert found[f"{name}_sum"] == pytest.approx(7.005)


async def test_a_scrape_comes_from_another_thread_and_can_be_parsed() -> None:
    registry = CollectorRegistry()
    registry.register(ReceiverCollector(view, asyncio.get_running_loop()))
    text = (await asyncio.to_thread(generate_latest, registry)).decode()
    names = {family.name for family in text_string_to_metric_families(text)}
    assert "hotspare_receiver_lease_remaining_seconds" in names
    assert "hotspare_receiver_stale 0.0" in text


def test_a_scrape_after_the_end_of_the_loop_says_that_it_is_stale() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    collector = ReceiverCollector(view, loop)
    assert values(list(collector.collect())) == {"hotspare_receiver_stale": 1.0}
