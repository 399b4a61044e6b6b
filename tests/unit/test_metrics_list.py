"""Every metric of docs/metrics.md has a test in which it moves: a metric that comes without one fails here.

Named is the test that shows it best; that it speaks of the metric is checked, what it asserts is for its reader.
"""

import ast
import re
from functools import cache

import pytest

from tools.protos import ROOT

PATH = "integration/test_metrics_of_path.py"
DESK = "integration/test_metrics_of_desk.py"
DIRECT = "integration/test_metrics_of_direct.py"
SYNC = "integration/test_metrics_of_sync.py::test_b3_b5_edits_and_what_is_kept_out_move_the_metrics_of_host_and_spare"
HISTORY = "integration/test_metrics_of_history.py"
CLOUD = "integration/cloud/test_metrics_move.py"

ALARM = f"{CLOUD}::test_members_and_an_alarm_move_what_waits_what_is_out_and_what_was_confirmed"
TAKE_OVER = f"{CLOUD}::test_f3_f7_a_take_over_moves_who_works_and_what_is_held_and_given_again"
OPERATORS = f"{CLOUD}::test_f8_f9_what_operators_decide_and_what_holds_a_member_back_is_shown"
SET_ASIDE = f"{CLOUD}::test_a5_what_is_set_aside_and_sent_again_is_counted"
BACKUP = f"{CLOUD}::test_b3_b5_a_configuration_moves_the_metrics_of_backup_and_sync"
SILENCE = f"{CLOUD}::test_a9_silence_and_return_and_a_storm_of_them_are_counted"
STANDSTILL = f"{CLOUD}::test_a_cloud_that_stood_still_counts_its_stalls_and_its_outage"
KEPT_AT_CLOUD = f"{HISTORY}::test_a8_what_the_cloud_keeps_and_forgets_is_shown"
KEPT_HERE = f"{HISTORY}::test_a8_what_a_receiver_keeps_and_deletes_is_shown"

CERTIFICATES = "unit/test_certificate_metrics.py::test_s3_the_end_moves_when_the_files_are_replaced"

LEASE = f"{PATH}::test_a_lease_that_is_given_and_taken_moves_the_metrics_of_who_works"
WAY = f"{PATH}::test_a_cloud_that_does_not_answer_moves_the_metrics_of_the_way_to_it"
TAKEN = f"{PATH}::test_alarms_move_what_was_taken_confirmed_and_waits"
REFUSED = f"{PATH}::test_a5_what_an_arc_refuses_moves_the_attempts_by_their_outcome"
TWICE = f"{PATH}::test_f6_f7_what_comes_twice_or_is_taken_back_moves_its_counters"
DEFINED = f"{PATH}::test_a4_a10_what_the_configuration_says_moves_generic_and_not_forwarded"
HAND_OVER = f"{PATH}::test_f5_f8_a_hand_over_and_a_pause_are_shown"
HEALTH = f"{PATH}::test_f3_what_is_wrong_moves_the_metrics_of_health"
SET_UP = f"{DESK}::test_an_operator_who_sets_a_receiver_up_moves_who_it_is"
LISTENER = f"{DIRECT}::test_d1_panels_move_the_metrics_of_the_listener"
GUESSES = f"{DIRECT}::test_s4_who_guesses_moves_the_refusals"
GATEWAY = f"{DIRECT}::test_a3_what_got_no_answer_moves_the_metrics_of_the_gateway"
ISOLATED = f"{DIRECT}::test_d4_a_host_that_is_cut_off_moves_the_metrics_of_its_isolation"
SILENT_HERE = f"{DIRECT}::test_a9_devices_that_fall_silent_move_the_metrics_of_the_direct_path"

MOVES = {
    "hotspare_cloud_working_receivers": TAKE_OVER,
    "hotspare_cloud_member_status": TAKE_OVER,
    "hotspare_cloud_member_healthy": TAKE_OVER,
    "hotspare_cloud_member_held_back": OPERATORS,
    "hotspare_cloud_member_info": ALARM,
    "hotspare_cloud_member_sync_state": ALARM,
    "hotspare_cloud_member_revision": ALARM,
    "hotspare_cloud_pull_open": ALARM,
    "hotspare_cloud_receivers_without_role": f"{CLOUD}::test_g7_a_receiver_without_a_role_is_counted",
    "hotspare_cloud_paused": OPERATORS,
    "hotspare_cloud_pinned": OPERATORS,
    "hotspare_cloud_copied_time_seconds": f"{CLOUD}::test_f11_a_restored_cloud_says_since_when",
    "hotspare_cloud_restored_time_seconds": f"{CLOUD}::test_f11_a_restored_cloud_says_since_when",
    "hotspare_cloud_epoch": TAKE_OVER,
    "hotspare_cloud_lease_remaining_seconds": TAKE_OVER,
    "hotspare_cloud_moves_total": TAKE_OVER,
    "hotspare_cloud_takeover_seconds": TAKE_OVER,
    "hotspare_cloud_unattended_seconds_total": TAKE_OVER,
    "hotspare_cloud_stale_epochs_refused_total": TAKE_OVER,
    "hotspare_cloud_alarms_published_total": ALARM,
    "hotspare_cloud_alarms_direct_total": f"{CLOUD}::test_d3_d4_what_gateways_pass_on_is_counted",
    "hotspare_cloud_alarms_waiting": ALARM,
    "hotspare_cloud_alarms_oldest_age_seconds": ALARM,
    "hotspare_cloud_alarms_out": ALARM,
    "hotspare_cloud_alarms_held": TAKE_OVER,
    "hotspare_cloud_alarms_delivered_total": ALARM,
    "hotspare_cloud_alarms_redelivered_total": TAKE_OVER,
    "hotspare_cloud_alarms_confirmed_total": ALARM,
    "hotspare_cloud_alarm_confirmation_seconds": ALARM,
    "hotspare_cloud_alarms_rejected": SET_ASIDE,
    "hotspare_cloud_alarms_set_aside_total": SET_ASIDE,
    "hotspare_cloud_alarms_replayed_total": SET_ASIDE,
    "hotspare_cloud_late_confirmations_total": TAKE_OVER,
    "hotspare_cloud_backup_revision": BACKUP,
    "hotspare_cloud_backup_records": BACKUP,
    "hotspare_cloud_backup_damaged_kinds": BACKUP,
    "hotspare_cloud_backup_pushes_total": BACKUP,
    "hotspare_cloud_backup_pulls_total": BACKUP,
    "hotspare_cloud_backup_damages_total": BACKUP,
    "hotspare_cloud_devices_supervised": SILENCE,
    "hotspare_cloud_devices_silent": SILENCE,
    "hotspare_cloud_supervision_events_total": SILENCE,
    "hotspare_cloud_supervision_events_waiting": SILENCE,
    "hotspare_cloud_supervision_storms_total": SILENCE,
    "hotspare_cloud_supervision_outages_total": STANDSTILL,
    "hotspare_cloud_history_alarms": KEPT_AT_CLOUD,
    "hotspare_cloud_history_bytes": KEPT_AT_CLOUD,
    "hotspare_cloud_history_oldest_time_seconds": KEPT_AT_CLOUD,
    "hotspare_cloud_history_deleted_total": KEPT_AT_CLOUD,
    "hotspare_cloud_disk_free_bytes": f"{CLOUD}::test_a7_what_has_no_room_is_counted_and_free_space_follows_the_disk",
    "hotspare_cloud_certificate_end_time_seconds": CERTIFICATES,
    "hotspare_cloud_loop_lag_seconds": STANDSTILL,
    "hotspare_cloud_stalls_total": STANDSTILL,
    "hotspare_cloud_store_commits_total": ALARM,
    "hotspare_cloud_store_writes_total": ALARM,
    "hotspare_cloud_store_commit_seconds_total": ALARM,
    "hotspare_receiver_group_info": SET_UP,
    "hotspare_receiver_stale": f"{DESK}::test_a_page_of_a_receiver_whose_loop_does_not_answer_says_that_it_is_old",
    "hotspare_receiver_role": SET_UP,
    "hotspare_receiver_status": SET_UP,
    "hotspare_receiver_healthy": HEALTH,
    "hotspare_receiver_health_problems": HEALTH,
    "hotspare_receiver_cloud_connected": SET_UP,
    "hotspare_receiver_cloud_round_trip_seconds": WAY,
    "hotspare_receiver_epoch": LEASE,
    "hotspare_receiver_lease_remaining_seconds": LEASE,
    "hotspare_receiver_lease_renewal_seconds": LEASE,
    "hotspare_receiver_working": LEASE,
    "hotspare_receiver_draining": HAND_OVER,
    "hotspare_receiver_paused": HAND_OVER,
    "hotspare_receiver_beats_total": LEASE,
    "hotspare_receiver_beats_missed_total": WAY,
    "hotspare_receiver_alarms_delivered_total": TAKEN,
    "hotspare_receiver_alarms_redelivered_total": TAKEN,
    "hotspare_receiver_alarms_confirmed_total": TAKEN,
    "hotspare_receiver_alarms_confirmed_again_total": TWICE,
    "hotspare_receiver_alarms_withdrawn_total": TWICE,
    "hotspare_receiver_alarms_set_aside_total": REFUSED,
    "hotspare_receiver_alarms_not_forwarded_total": DEFINED,
    "hotspare_receiver_alarms_waiting": TAKEN,
    "hotspare_receiver_alarms_oldest_seconds": TAKEN,
    "hotspare_receiver_confirmations_unstored": TAKEN,
    "hotspare_receiver_pulls_reopened_total": TWICE,
    "hotspare_receiver_output_link": HEALTH,
    "hotspare_receiver_output_alarms_waiting": TAKEN,
    "hotspare_receiver_output_alarms_confirmed_total": TAKEN,
    "hotspare_receiver_output_alarms_generic_total": DEFINED,
    "hotspare_receiver_output_attempts_total": REFUSED,
    "hotspare_receiver_records": SET_UP,
    "hotspare_receiver_configuration_revision": SYNC,
    "hotspare_receiver_configuration_state": SYNC,
    "hotspare_receiver_configuration_pushes_total": SYNC,
    "hotspare_receiver_configuration_push_failures_total": SYNC,
    "hotspare_receiver_configuration_syncs_total": SYNC,
    "hotspare_receiver_configuration_sync_refusals_total": SYNC,
    "hotspare_receiver_history_alarms": KEPT_HERE,
    "hotspare_receiver_history_attempts": KEPT_HERE,
    "hotspare_receiver_history_bytes": KEPT_HERE,
    "hotspare_receiver_history_oldest_time_seconds": KEPT_HERE,
    "hotspare_receiver_history_deleted_total": KEPT_HERE,
    "hotspare_receiver_direct_open": SET_UP,
    "hotspare_receiver_direct_alarms_total": f"{DESK}::test_d2_direct_devices_move_what_was_accepted_and_refused",
    "hotspare_receiver_direct_under_way": GATEWAY,
    "hotspare_receiver_direct_given_back_total": GATEWAY,
    "hotspare_receiver_direct_isolated": ISOLATED,
    "hotspare_receiver_direct_unpublished": ISOLATED,
    "hotspare_receiver_direct_isolated_alarms_total": ISOLATED,
    "hotspare_receiver_direct_listening": LISTENER,
    "hotspare_receiver_direct_connections": LISTENER,
    "hotspare_receiver_direct_connections_opened_total": LISTENER,
    "hotspare_receiver_direct_connections_ended_total": LISTENER,
    "hotspare_receiver_direct_frames_total": LISTENER,
    "hotspare_receiver_direct_refusals_untold_total": GUESSES,
    "hotspare_receiver_direct_devices_supervised": SILENT_HERE,
    "hotspare_receiver_direct_devices_silent": SILENT_HERE,
    "hotspare_receiver_direct_supervision_events_total": SILENT_HERE,
    "hotspare_receiver_direct_supervision_events_waiting": SILENT_HERE,
    "hotspare_receiver_direct_supervision_storms_total": SILENT_HERE,
    "hotspare_receiver_disk_free_bytes": HEALTH,
    "hotspare_receiver_certificate_end_time_seconds": CERTIFICATES,
    "hotspare_receiver_loop_lag_seconds": f"{PATH}::test_f3_a_loop_that_stood_still_is_shown",
    "grpc_server_started_total": SET_UP,
    "grpc_server_handled_total": SET_UP,
    "grpc_server_handling_seconds": SET_UP,
}
"""Metric -> the test in which it moves, below tests/."""

NEVER = {"hotspare_cloud_info", "hotspare_receiver_info"}
"""What is always 1; that they are there is shown by tests/contract/test_docs.py."""


def told() -> set[str]:
    """The metrics of our own in docs/metrics.md; those of the process are of Prometheus' client library."""
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    ours, _, _ = text.partition("## Of the process")
    return set(re.findall(r"^\| `(\w+)` \| (?:gauge|counter|histogram) ", ours, re.MULTILINE))


@cache
def functions(file: str) -> dict[str, str]:
    """The tests of a file, with their text."""
    text = (ROOT / "tests" / file).read_text(encoding="utf-8")
    return {
        node.name: ast.get_source_segment(text, node) or ""
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_every_metric_that_is_told_has_a_test_in_which_it_moves() -> None:
    assert sorted(told() - set(MOVES) - NEVER) == [], "new metrics need a test that moves them, and a line here"
    assert sorted(set(MOVES) - told()) == [], "these are no metrics of docs/metrics.md any more"


def test_every_metric_is_told_with_a_unit_that_its_name_bears_out() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (gauge|counter|histogram) \| [^|]+ \| ([^|]+) \| (.+) \|$", text, re.MULTILINE)
    assert {row[0] for row in rows} >= told()
    for name, kind, unit, meaning in rows:
        assert len(meaning) > 5, name
        assert name.endswith("_total") == (kind == "counter"), name
        for word in ("seconds", "bytes"):
            assert (word in unit) == (f"_{word}" in name), f"{name} in {unit}"


@pytest.mark.parametrize("test", sorted(set(MOVES.values())))
def test_the_test_exists_and_speaks_of_the_metric(test: str) -> None:
    file, _, name = test.partition("::")
    body = functions(file)[name]
    for metric, where in MOVES.items():
        if where == test:
            assert re.search(rf"\b{metric}(?:_count|_sum)?\b", body), f"{test} does not speak of {metric}"
