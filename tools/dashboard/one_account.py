"""The row about one account: its group, its alarms, its configuration."""

from tools.dashboard.grafana import Kind, Panel, Query, Row
from tools.dashboard.parts import GROUP, RATE, STATUS, SYNC, YES_NO, by_state

ONE_ACCOUNT = Row(
    "One account: $arc_id / $sub_account",
    (
        Panel(
            "Who works",
            "The role of the receiver that takes the alarms; `hotspare status` names it.",
            (
                Query(f'hotspare_cloud_member_status{{{GROUP}, status="working"}} == 1', "{{role}}"),
                Query(f"hotspare_cloud_working_receivers{{{GROUP}}} == 0", "nobody"),
            ),
            names=True,
        ),
        Panel(
            "Epoch",
            "It grows by one at each move (F7).",
            (Query(f"hotspare_cloud_epoch{{{GROUP}}}"),),
        ),
        Panel(
            "Lease",
            "How long the cloud takes the lease of the working receiver as possibly alive.",
            (Query(f"hotspare_cloud_lease_remaining_seconds{{{GROUP}}}"),),
            unit="s",
        ),
        Panel(
            "Oldest alarm that waits",
            "Age of the oldest alarm that the ARC has not confirmed.",
            (Query(f"hotspare_cloud_alarms_oldest_age_seconds{{{GROUP}}}"),),
            unit="s",
            warn=10,
            bad=60,
        ),
        Panel(
            "Alarms set aside",
            "Alarms that the ARC does not have and that nobody tries again.",
            (Query(f"hotspare_cloud_alarms_rejected{{{GROUP}}}"),),
            bad=1,
        ),
        Panel(
            "Nobody worked",
            "How long, in the time that is shown.",
            (Query(f"increase(hotspare_cloud_unattended_seconds_total{{{GROUP}}}[$__range])"),),
            unit="s",
            warn=10,
        ),
        Panel(
            "Members",
            "The status of each role, as the cloud sees it.",
            (
                Query(
                    by_state("hotspare_cloud_member_status", "status", STATUS, "role", GROUP),
                    "{{role}}",
                ),
            ),
            kind=Kind.STATES,
            words=STATUS,
            width=16,
            height=6,
        ),
        Panel(
            "Paused",
            "Nobody takes over while it is.",
            (Query(f"hotspare_cloud_paused{{{GROUP}}}"),),
            bad=1,
            words=YES_NO,
            height=6,
        ),
        Panel(
            "Pinned",
            "A switchover keeps a receiver at work.",
            (Query(f"hotspare_cloud_pinned{{{GROUP}}}"),),
            warn=1,
            words=YES_NO,
            height=6,
        ),
        Panel(
            "Members that are well",
            "There, and could deliver to its ARC; held back after too many losses (F9). A free role is not well.",
            (
                Query(
                    f"hotspare_cloud_member_healthy{{{GROUP}}} + 2 * hotspare_cloud_member_held_back{{{GROUP}}}",
                    "{{role}}",
                ),
            ),
            kind=Kind.STATES,
            words=((0, "no", "orange"), (1, "yes", "green"), (2, "no, held back", "red"), (3, "held back", "yellow")),
            width=16,
            height=6,
        ),
        Panel(
            "Copies of the configuration",
            "How each member's copy stood against the cloud's when it was heard last (B6).",
            (
                Query(
                    by_state("hotspare_cloud_member_sync_state", "state", SYNC, "role", GROUP),
                    "{{role}}",
                ),
            ),
            kind=Kind.STATES,
            words=SYNC,
            width=16,
            height=6,
        ),
        Panel(
            "Alarms are pulled",
            "Whether the stream of alarms of the working receiver is open.",
            (Query(f"hotspare_cloud_pull_open{{{GROUP}}}"),),
            words=((0, "no", "red"), (1, "yes", "green")),
            bad=1,
            below=True,
            height=6,
        ),
        Panel(
            "Versions",
            "Which version each member runs.",
            (Query(f"hotspare_cloud_member_info{{{GROUP}}}", "{{role}} {{version}}"),),
            names=True,
            height=6,
        ),
        Panel(
            "Time to confirm",
            "From the receipt of an alarm at the cloud to its confirmation by the ARC.",
            (
                Query(
                    "histogram_quantile(0.5, sum by (le) "
                    f"(rate(hotspare_cloud_alarm_confirmation_seconds_bucket{{{GROUP}}}{RATE})))",
                    "half of them within",
                ),
                Query(
                    "histogram_quantile(0.99, sum by (le) "
                    f"(rate(hotspare_cloud_alarm_confirmation_seconds_bucket{{{GROUP}}}{RATE})))",
                    "99 % within",
                ),
            ),
            kind=Kind.GRAPH,
            unit="s",
            bad=10,
            width=16,
            height=6,
        ),
        Panel(
            "Without a role",
            "Receivers that are known without one; one of them works while the group has no host (G7).",
            (Query(f"hotspare_cloud_receivers_without_role{{{GROUP}}}"),),
            height=6,
        ),
        Panel(
            "Restored",
            "How long ago the cloud was restored from a backup copy.",
            (
                Query(
                    f"(time() - hotspare_cloud_restored_time_seconds{{{GROUP}}}) "
                    f"* (hotspare_cloud_restored_time_seconds{{{GROUP}}} > bool 0)"
                ),
            ),
            unit="s",
            words=((0, "never", "green"),),
            height=6,
        ),
        Panel(
            "Alarms of this account",
            "Given to receivers, of these again, and confirmed by the ARC.",
            (
                Query(f"rate(hotspare_cloud_alarms_delivered_total{{{GROUP}}}{RATE})", "delivered"),
                Query(f"rate(hotspare_cloud_alarms_redelivered_total{{{GROUP}}}{RATE})", "of these again"),
                Query(f"rate(hotspare_cloud_alarms_confirmed_total{{{GROUP}}}{RATE})", "confirmed"),
                Query(f"rate(hotspare_cloud_late_confirmations_total{{{GROUP}}}{RATE})", "of these late"),
            ),
            kind=Kind.GRAPH,
            unit="ops",
            width=8,
            height=8,
        ),
        Panel(
            "Where alarms wait",
            "Not confirmed in all; in hand of the working receiver; held until an earlier one has surely stopped.",
            (
                Query(f"hotspare_cloud_alarms_waiting{{{GROUP}}}", "waiting"),
                Query(f"hotspare_cloud_alarms_out{{{GROUP}}}", "in hand"),
                Query(f"hotspare_cloud_alarms_held{{{GROUP}}}", "held"),
            ),
            kind=Kind.GRAPH,
            width=8,
            height=8,
        ),
        Panel(
            "Refused, set aside, sent again",
            "Alarms that were set aside, by cause, those that an operator sent again, and calls under an old epoch.",
            (
                Query(f"increase(hotspare_cloud_alarms_set_aside_total{{{GROUP}}}{RATE})", "set aside: {{cause}}"),
                Query(f"increase(hotspare_cloud_alarms_replayed_total{{{GROUP}}}{RATE})", "sent again"),
                Query(f"increase(hotspare_cloud_stale_epochs_refused_total{{{GROUP}}}{RATE})", "old epoch"),
            ),
            kind=Kind.GRAPH,
            width=8,
            height=8,
        ),
        Panel(
            "Take-over",
            "How long nobody worked at unplanned moves: the middle and the slowest of the time that is shown.",
            (
                Query(
                    "histogram_quantile(0.5, sum by (le) "
                    f"(increase(hotspare_cloud_takeover_seconds_bucket{{{GROUP}}}[$__range])))",
                    "half of them within",
                ),
                Query(
                    "histogram_quantile(0.99, sum by (le) "
                    f"(increase(hotspare_cloud_takeover_seconds_bucket{{{GROUP}}}[$__range])))",
                    "99 % within",
                ),
            ),
            unit="s",
            bad=6,
            width=8,
            height=6,
        ),
        Panel(
            "Moves of this account",
            "In the time that is shown, by reason.",
            (Query(f"increase(hotspare_cloud_moves_total{{{GROUP}}}[$__range]) > 0", "{{reason}}"),),
            width=16,
            height=6,
        ),
        Panel(
            "Configuration",
            "The cloud's copy: its revision, and kinds of records that are damaged in its store (B5).",
            (
                Query(f"hotspare_cloud_backup_revision{{{GROUP}}}", "revision"),
                Query(f"hotspare_cloud_backup_records{{{GROUP}}}", "records"),
                Query(f"hotspare_cloud_backup_damaged_kinds{{{GROUP}}}", "damaged kinds"),
            ),
            width=8,
            height=6,
        ),
        Panel(
            "Backup and sync of all accounts",
            "What hosts sent and what spares got, by result.",
            (
                Query(f"sum by (result) (rate(hotspare_cloud_backup_pushes_total{RATE}))", "pushed: {{result}}"),
                Query(f"sum by (result) (rate(hotspare_cloud_backup_pulls_total{RATE}))", "pulled: {{result}}"),
            ),
            kind=Kind.GRAPH,
            unit="ops",
            width=8,
            height=6,
        ),
        Panel(
            "Devices",
            "Supervised, silent now, and silent or back without the ARC knowing yet (A9).",
            (
                Query(f"hotspare_cloud_devices_supervised{{{GROUP}}}", "supervised"),
                Query(f"hotspare_cloud_devices_silent{{{GROUP}}}", "silent"),
                Query(f"hotspare_cloud_supervision_events_waiting{{{GROUP}}}", "to be told"),
            ),
            kind=Kind.GRAPH,
            width=8,
            height=6,
        ),
        Panel(
            "History",
            "Alarms that the cloud keeps of this account.",
            (Query(f"hotspare_cloud_history_alarms{{{GROUP}}}", "alarms"),),
            width=8,
        ),
        Panel(
            "Size of the history",
            "About what they take in the database.",
            (Query(f"hotspare_cloud_history_bytes{{{GROUP}}}"),),
            unit="bytes",
            width=8,
        ),
        Panel(
            "Age of the history",
            "How long ago the oldest of them was received.",
            (
                Query(
                    f"(time() - hotspare_cloud_history_oldest_time_seconds{{{GROUP}}}) "
                    f"* (hotspare_cloud_history_oldest_time_seconds{{{GROUP}}} > bool 0)"
                ),
            ),
            unit="s",
            width=8,
        ),
    ),
)
