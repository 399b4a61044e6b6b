"""The dashboard is what its panels say, whole, and names only metrics that there are. What its queries bring is shown
in test_prometheus.py, on a running group."""

import json
import re
from itertools import combinations
from typing import Any

import pytest
import yaml

from tools.dashboard import FILE, text
from tools.protos import ROOT

FOLDER = FILE.parent
HISTOGRAM_PARTS = ("_bucket", "_sum", "_count")
OF_PROMETHEUS = {"up", "ALERTS"}
_NAME = re.compile(r"\b((?:hotspare|grpc_server|process|python)_\w+|up|ALERTS)\b(?=[\s{\[)]|$)")
_VARIABLE = re.compile(r"\$(\w+)")


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return loaded


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def expressions(dashboard: dict[str, Any]) -> list[str]:
    found = [target["expr"] for panel in panels(dashboard) for target in panel["targets"]]
    found += [each["expr"] for each in dashboard["annotations"]["list"]]
    return found + [each["definition"] for each in dashboard["templating"]["list"] if each["type"] == "query"]


def test_the_file_is_what_its_panels_say() -> None:
    assert FILE.read_text(encoding="utf-8") == text(), "python -m tools.dashboard"


def test_it_names_only_metrics_of_the_page_of_metrics(dashboard: dict[str, Any]) -> None:
    told = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8"), re.MULTILINE))
    told |= {name + part for name in told for part in HISTOGRAM_PARTS} | OF_PROMETHEUS
    named = {name for expression in expressions(dashboard) for name in _NAME.findall(expression)}
    assert len(named) > 100
    assert sorted(named - told) == []


def test_each_panel_has_a_place_of_its_own_and_tells_what_it_shows(dashboard: dict[str, Any]) -> None:
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    for panel in panels(dashboard):
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["targets"]
    for first, second in combinations(dashboard["panels"], 2):
        assert not overlap(first["gridPos"], second["gridPos"]), (first["title"], second["title"])
    titles = [panel["title"] for panel in dashboard["panels"] if panel["type"] == "row"]
    assert titles == ["All accounts", "One account: $arc_id / $sub_account", "One receiver: $instance"]


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    """Whether two places have a cell in common."""
    return (
        one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    )


def test_each_variable_of_a_query_is_one_of_the_dashboard(dashboard: dict[str, Any]) -> None:
    known = {variable["name"] for variable in dashboard["templating"]["list"]}
    used = {name for expression in expressions(dashboard) for name in _VARIABLE.findall(expression)}
    assert {name for name in used if not name.startswith("__")} == known - {"datasource"}
    assert {name for name in used if name.startswith("__")} <= {"__rate_interval", "__range"}


def test_the_examples_of_provisioning_fit_the_file() -> None:
    (source,) = yaml.safe_load((FOLDER / "provisioning/datasources/hotspare.yaml").read_text())["datasources"]
    assert source["type"] == "prometheus"
    (provider,) = yaml.safe_load((FOLDER / "provisioning/dashboards/hotspare.yaml").read_text())["providers"]
    target = f"{provider['options']['path']}/{FILE.name}"
    assert f" {target}\n" in (FOLDER / "README.md").read_text(encoding="utf-8")
