"""The row about all accounts of a cloud, and about the cloud itself."""

from tools.dashboard.grafana import Kind, Panel, Query, Row
from tools.dashboard.parts import RATE

AT_CLOUD = "and on (instance) hotspare_cloud_info"
"""Keeps, of what every process exports, the cloud's: whatever the job is called in the configuration of Prometheus."""

ATTENDED = (
    "sum by (arc_id, sub_account) (hotspare_cloud_member_status) "
    "+ sum by (arc_id, sub_account) (hotspare_cloud_receivers_without_role) > 0"
)
"""The groups that have anybody who could work."""

ALL_ACCOUNTS = Row(
    "All accounts",
    (
        Panel(
            "Groups where nobody works",
            "Groups with receivers of which none works: their alarms wait at the cloud.",
            (
                Query(
                    "count(sum by (arc_id, sub_account) (hotspare_cloud_working_receivers) == 0 "
                    f"and ({ATTENDED})) or vector(0)"
                ),
            ),
            bad=1,
        ),
        Panel(
            "Alerts firing",
            "Alerts of the rules in deploy/prometheus that fire now.",
            (Query('count(ALERTS{alertname=~"Hotspare.+", alertstate="firing"}) or vector(0)'),),
            warn=1,
        ),
        Panel(
            "Oldest alarm that waits",
            "Age of the oldest alarm that no ARC has confirmed, of all groups.",
            (Query("max(hotspare_cloud_alarms_oldest_age_seconds)"),),
            unit="s",
            warn=10,
            bad=60,
        ),
        Panel(
            "Alarms waiting",
            "Alarms of all groups that no ARC has confirmed.",
            (Query("sum(hotspare_cloud_alarms_waiting)"),),
        ),
        Panel(
            "Alarms set aside",
            "Alarms that no ARC has and that nobody tries again: `hotspare alarm rejected` tells why.",
            (Query("sum(hotspare_cloud_alarms_rejected)"),),
            bad=1,
        ),
        Panel(
            "Processes gone",
            "Clouds and receivers that Prometheus cannot scrape, of the jobs of the example configuration.",
            (Query('count(up{job=~"hotspare-.+"} == 0) or vector(0)'),),
            bad=1,
        ),
        Panel(
            "Members offline",
            "Receivers with a role that the cloud does not hear.",
            (Query('sum(hotspare_cloud_member_status{status="offline"})'),),
            warn=1,
        ),
        Panel(
            "Members that can't deliver",
            "Receivers with a role that attend, and could not deliver to their ARC.",
            (
                Query(
                    'count((sum by (arc_id, sub_account, role) (hotspare_cloud_member_status{status!="offline"}) == 1) '
                    "unless on (arc_id, sub_account, role) (hotspare_cloud_member_healthy == 1)) or vector(0)"
                ),
            ),
            warn=1,
        ),
        Panel(
            "Held back",
            "Receivers that were lost too often within an hour: they do not fail back (F9).",
            (Query("sum(hotspare_cloud_member_held_back)"),),
            warn=1,
        ),
        Panel(
            "Groups paused",
            "Groups in which nobody takes over, because an operator paused the moves.",
            (Query("sum(hotspare_cloud_paused)"),),
            bad=1,
        ),
        Panel(
            "Groups pinned",
            "Groups in which a switchover keeps a receiver at work.",
            (Query("sum(hotspare_cloud_pinned)"),),
            warn=1,
        ),
        Panel(
            "Devices silent",
            "Devices that were heard once and are silent for longer than their interval.",
            (Query("sum(hotspare_cloud_devices_silent)"),),
        ),
        Panel(
            "First certificate that ends",
            "Of all clouds and receivers; -1 second where none has any.",
            (
                Query(
                    'min({__name__=~"hotspare_(cloud|receiver)_certificate_end_time_seconds"} > 0) - time() '
                    "or vector(-1)"
                ),
            ),
            unit="s",
            warn=21 * 86400,
            bad=7 * 86400,
            below=True,
            words=((-1, "no TLS", "text"),),
            width=8,
        ),
        Panel(
            "Confirmed within 10 s",
            "Of the alarms of all groups that were confirmed in the time that is shown.",
            (
                Query(
                    'sum(increase(hotspare_cloud_alarm_confirmation_seconds_bucket{le="10.0"}[$__range])) '
                    "/ sum(increase(hotspare_cloud_alarm_confirmation_seconds_count[$__range]))"
                ),
            ),
            unit="percentunit",
            warn=0.99,
            bad=0.9,
            below=True,
            width=8,
        ),
        Panel(
            "Copies of the configuration that are not up to date",
            "Members whose copy is not the cloud's, for whatever reason.",
            (
                Query(
                    'sum(hotspare_cloud_member_sync_state) - sum(hotspare_cloud_member_sync_state{state="up_to_date"})'
                ),
            ),
            warn=1,
            width=8,
        ),
        Panel(
            "Groups",
            "Each group as it is now.",
            (
                Query("sum by (arc_id, sub_account) (hotspare_cloud_working_receivers)", "working"),
                Query('sum by (arc_id, sub_account) (hotspare_cloud_member_status{status="offline"})', "offline"),
                Query("sum by (arc_id, sub_account) (hotspare_cloud_alarms_waiting)", "alarms waiting"),
                Query("max by (arc_id, sub_account) (hotspare_cloud_alarms_oldest_age_seconds)", "oldest (s)"),
                Query("sum by (arc_id, sub_account) (hotspare_cloud_alarms_rejected)", "set aside"),
                Query("sum by (arc_id, sub_account) (hotspare_cloud_devices_silent)", "devices silent"),
                Query("sum by (arc_id, sub_account) (increase(hotspare_cloud_moves_total[$__range]))", "moves"),
            ),
            kind=Kind.TABLE,
            width=16,
            height=8,
        ),
        Panel(
            "Versions",
            "How many clouds and receivers run which version. During an upgrade there are two (V2).",
            (
                Query("count by (version) (hotspare_cloud_info)", "clouds"),
                Query("count by (version) (hotspare_receiver_info)", "receivers"),
            ),
            kind=Kind.TABLE,
            width=8,
            height=8,
        ),
        Panel(
            "Alarms published",
            "What devices published, by what came of it. `refused`: the disk is nearly full, and the device keeps it.",
            (
                Query(f"sum by (result) (rate(hotspare_cloud_alarms_published_total{RATE}))", "{{result}}"),
                Query(f"sum by (result) (rate(hotspare_cloud_alarms_direct_total{RATE}))", "direct: {{result}}"),
            ),
            kind=Kind.GRAPH,
            unit="ops",
            width=8,
            height=8,
        ),
        Panel(
            "Moves of the working role",
            "Moves of all groups, by reason.",
            (Query(f"sum by (reason) (increase(hotspare_cloud_moves_total{RATE}))", "{{reason}}"),),
            kind=Kind.GRAPH,
            stacked=True,
            width=8,
            height=8,
        ),
        Panel(
            "Supervision events",
            "Devices that fell silent, or came back, as told to their ARCs.",
            (Query(f"sum by (event) (increase(hotspare_cloud_supervision_events_total{RATE}))", "{{event}}"),),
            kind=Kind.GRAPH,
            stacked=True,
            width=8,
            height=8,
        ),
        Panel(
            "Time of a commit",
            "What each commit of the cloud's database took, on average: the cost of a sync of its disk.",
            (
                Query(
                    f"rate(hotspare_cloud_store_commit_seconds_total{RATE}) / "
                    f"(rate(hotspare_cloud_store_commits_total{RATE}) > 0)",
                    "{{instance}}",
                ),
            ),
            kind=Kind.GRAPH,
            unit="s",
            width=8,
            height=8,
            bad=0.1,
        ),
        Panel(
            "Writes a second",
            "Writes to the cloud's database, and the commits that they shared.",
            (
                Query(f"rate(hotspare_cloud_store_writes_total{RATE})", "writes {{instance}}"),
                Query(f"rate(hotspare_cloud_store_commits_total{RATE})", "commits {{instance}}"),
            ),
            kind=Kind.GRAPH,
            unit="ops",
            width=8,
            height=8,
        ),
        Panel(
            "The cloud's event loop",
            "How late it ran its last timer, and how often it stood still for half a second or more.",
            (
                Query("hotspare_cloud_loop_lag_seconds", "late by {{instance}}"),
                Query(f"increase(hotspare_cloud_stalls_total{RATE})", "stalls {{instance}}"),
            ),
            kind=Kind.GRAPH,
            width=8,
            height=8,
            bad=0.5,
        ),
        Panel(
            "The cloud's disk",
            "Free on the disk of the data folder; below 512 MB (`--disk-floor`) new alarms are refused (A7).",
            (
                Query("hotspare_cloud_disk_free_bytes", "free {{instance}}"),
                Query("sum by (instance) (hotspare_cloud_history_bytes)", "history {{instance}}"),
            ),
            kind=Kind.GRAPH,
            unit="bytes",
            width=8,
            height=8,
        ),
        Panel(
            "The cloud's process",
            "Memory in RAM.",
            (Query(f"process_resident_memory_bytes {AT_CLOUD}", "{{instance}}"),),
            kind=Kind.GRAPH,
            unit="bytes",
            width=8,
            height=8,
        ),
        Panel(
            "The cloud's processor",
            "Of one core.",
            (Query(f"rate(process_cpu_seconds_total{RATE}) {AT_CLOUD}", "{{instance}}"),),
            kind=Kind.GRAPH,
            unit="percentunit",
            width=8,
            height=8,
            bad=0.8,
        ),
    ),
)
