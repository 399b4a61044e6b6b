"""Makes deploy/grafana/hotspare.json: `python -m tools.dashboard`; `--check` tells whether it is up to date.

tests/acceptance/test_prometheus.py runs every query against a system that runs.
"""

import json

from tools.dashboard.all_accounts import ALL_ACCOUNTS
from tools.dashboard.grafana import Annotation, Variable, dashboard
from tools.dashboard.one_account import ONE_ACCOUNT
from tools.dashboard.one_receiver import ONE_RECEIVER
from tools.dashboard.parts import GROUP, RATE
from tools.protos import ROOT

FILE = ROOT / "deploy" / "grafana" / "hotspare.json"

TITLE = "Hotspare"
ABOUT = "The hot spares of alarm receivers: all accounts, one account, one receiver."

VARIABLES = (
    Variable("arc_id", "ARC account", "label_values(hotspare_cloud_epoch, arc_id)"),
    Variable("sub_account", "Sub account", 'label_values(hotspare_cloud_epoch{arc_id="$arc_id"}, sub_account)'),
    Variable("instance", "Receiver", "label_values(hotspare_receiver_info, instance)"),
)

ANNOTATIONS = (
    Annotation(
        "Moves",
        f"sum by (reason) (increase(hotspare_cloud_moves_total{{{GROUP}}}{RATE})) > 0",
        "The working role moved: {{reason}}",
        "hotspare history tells from whom, to whom, and who asked for it",
        "orange",
        "reason",
    ),
    Annotation(
        "Alerts",
        'max by (alertname) (ALERTS{alertname=~"Hotspare.+", alertstate="firing"})',
        "{{alertname}}",
        "docs/runbook.md tells what to do",
        "red",
        "alertname",
    ),
)

ROWS = (ALL_ACCOUNTS, ONE_ACCOUNT, ONE_RECEIVER)


def text() -> str:
    """The file as it should be."""
    return json.dumps(dashboard(TITLE, ABOUT, VARIABLES, ANNOTATIONS, ROWS), indent=2) + "\n"
