"""Prometheus' rules, their tests, the runbook and docs/metrics.md agree with each other, and with what is exported.

What the rules do is tested by tests/acceptance/test_prometheus_rules.py, with Prometheus' own tool.
"""

import re
import shlex
from collections.abc import Iterator
from functools import cache
from typing import Any

import click
import pytest
import yaml

from hotspare_cli.main import hotspare
from tests.acceptance.harness.prometheus_rules import (
    FOLDER,
    RULE_FILES,
    TEST_FILES,
    Selector,
    flat,
    listed_labels,
    rules,
    seconds,
    selectors,
    shortened,
)
from tools.protos import ROOT

ALERTS = {rule["alert"]: rule for rule in rules("alerts.yml")}
RECORDED = {rule["record"]: rule for rule in rules("recording.yml")}
EVERY = {**ALERTS, **RECORDED}
METRICS_PAGE = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", RUNBOOK, re.MULTILINE | re.DOTALL))

OF_ANY_TARGET = {"job", "instance"}
GROUP = {"arc_id", "sub_account"}
URGENCY = {"critical": "at once", "warning": "today"}
PARTS = {"_bucket": {"le"}, "_count": set(), "_sum": set()}
"""Of a histogram, and the label that each has besides."""


def told_metrics() -> dict[str, tuple[str, set[str], str]]:
    """Type, labels and meaning of each metric of the page, which is itself held to the servers."""
    pattern = r"^\| `(\w+)` \| (\w+) \| ([^|]*) \| [^|]* \| ((?:\\\||[^|])*) \|$"
    found = re.findall(pattern, METRICS_PAGE, re.MULTILINE)
    return {name: (kind, set(re.findall(r"`(\w+)`", labels)), meaning) for name, kind, labels, meaning in found}


TOLD = told_metrics()


def told(metric: str) -> tuple[set[str], str]:
    """Labels and meaning of a series by its name; KeyError when there is none."""
    if metric == "up":
        return OF_ANY_TARGET, "`hotspare-cloud`, `hotspare-receiver`"
    if metric in RECORDED:
        return GROUP, ""
    for part, more in PARTS.items():
        base = metric.removesuffix(part)
        if metric.endswith(part) and TOLD.get(base, ("",))[0] == "histogram":
            return TOLD[base][1] | more | OF_ANY_TARGET, TOLD[base][2]
    _, labels, meaning = TOLD[metric]
    return labels | OF_ANY_TARGET, meaning


def check_selector(selector: Selector) -> None:
    labels, meaning = told(selector.metric)
    assert set(selector.labels) <= labels, f"{selector.metric} has no label {set(selector.labels) - labels}"
    # The values of labels that tell a kind stand in the meaning; roles and bounds of buckets don't.
    for label in set(selector.labels) - {"role", "le"}:
        known = set(re.findall(r"`([\w-]+)`", meaning))
        assert set(selector.labels[label]) <= known, f"{selector.metric}: {label} of {selector.labels[label]}"


@pytest.mark.parametrize("name", EVERY)
def test_every_metric_label_and_value_of_a_rule_is_exported(name: str) -> None:
    found = list(selectors(EVERY[name]["expr"]))
    assert found
    for selector in found:
        check_selector(selector)
    known = set().union(*(told(selector.metric)[0] for selector in found))
    assert listed_labels(EVERY[name]["expr"]) <= known


@pytest.mark.parametrize(
    "wrong",
    [
        "hotspare_cloud_no_such_metric == 0",
        'hotspare_cloud_paused{role="host"} == 0',
        'hotspare_receiver_output_link{state="open"} == 0',
        "hotspare_cloud_epoch_count > 1",
    ],
)
def test_a_rule_about_what_is_not_exported_is_found(wrong: str) -> None:
    (selector,) = selectors(wrong)
    with pytest.raises((KeyError, AssertionError)):
        check_selector(selector)


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_tells_how_urgent_it_is_and_leads_to_its_section_of_the_runbook(name: str) -> None:
    rule = ALERTS[name]
    assert set(rule["labels"]) == {"severity"}
    assert rule["labels"]["severity"] in URGENCY
    assert rule["annotations"]["runbook"] == f"docs/runbook.md#{name.lower()}"
    assert rule["annotations"]["summary"].strip().endswith((".", "}}"))
    section = SECTIONS[name].lower()
    for part in ("**what it means.**", "**look at**", "**do**", "**don't**"):
        assert part in section, f"{name}: {part}"


def test_the_runbook_has_a_section_for_each_alert_and_no_other() -> None:
    assert list(SECTIONS) == list(ALERTS)


def test_metrics_md_has_the_table_of_the_alerts() -> None:
    row = r"^\| \[(\w+)\]\(runbook\.md#(\w+)\) \| `((?:\\\||[^|`])+)` \| (\S+) \| ([^|]+) \| [^|]+ \|$"
    found = re.findall(row, METRICS_PAGE, re.MULTILINE)
    assert [(name, expr.replace("\\|", "|"), wait, urgent) for name, _, expr, wait, urgent in found] == [
        (name, flat(rule["expr"]), rule.get("for", "-"), URGENCY[rule["labels"]["severity"]])
        for name, rule in ALERTS.items()
    ]
    assert [anchor for _, anchor, *_ in found] == [name.lower() for name in ALERTS]


def test_metrics_md_names_what_is_recorded() -> None:
    assert set(re.findall(r"`(hotspare_group:[\w:]+)`", METRICS_PAGE)) == set(RECORDED)


# The commands and metrics that the runbook names.


def commands_of(text: str) -> Iterator[list[str]]:
    """What the runbook types, in code and in blocks."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`(hotspare [^`]+)`", text)
    for line in [line for block in blocks for line in block.splitlines()] + spans:
        yield shlex.split(line)


def test_every_command_of_the_runbook_exists() -> None:
    commands = [words for words in commands_of(RUNBOOK) if words[0] == "hotspare"]
    assert len(commands) > 30
    for words in commands:
        command: click.Command = hotspare
        rest = words[1:]
        while isinstance(command, click.Group):
            assert rest[:1], f"{' '.join(words)} is no whole command"
            assert rest[0] in command.commands, f"there is no {' '.join(words)}"
            command, rest = command.commands[rest[0]], rest[1:]
        options = {option for param in command.params for option in param.opts}
        assert {word for word in rest if word.startswith("--")} <= options, words


def test_every_metric_of_the_runbook_is_exported() -> None:
    named = set(re.findall(r"\bhotspare_(?:cloud|receiver)_\w+", RUNBOOK))
    assert len(named) > 10
    assert named <= set(TOLD)


# Their tests.


@cache
def told_tests() -> list[dict[str, Any]]:
    return [each for file in TEST_FILES for each in yaml.safe_load(file.read_text(encoding="utf-8"))["tests"]]


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_has_a_test_that_it_waits_fires_and_resolves(name: str) -> None:
    looks = [
        [bool(check["exp_alerts"]) for check in test["alert_rule_test"] if check["alertname"] == name]
        for test in told_tests()
        if test["name"].startswith(f"{name}: ")
    ]
    assert any(look and not look[0] and True in look and not look[-1] for look in looks), looks
    if "for" in ALERTS[name]:
        # Pending for all of its time but one look, then fired.
        assert any(look[:3] == [False, False, True] for look in looks), looks


def test_every_recorded_series_is_tested() -> None:
    tested = {check["expr"] for test in told_tests() for check in test.get("promql_expr_test", ())}
    assert {name for expr in tested for name in re.findall(r"hotspare_group:[\w:]+", expr)} == set(RECORDED)


def test_a_test_file_loads_both_rule_files() -> None:
    for file in TEST_FILES:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        assert {(file.parent / name).resolve() for name in content["rule_files"]} == {
            FOLDER / name for name in RULE_FILES
        }, file


# With shorter times.


@pytest.mark.parametrize("file", RULE_FILES)
def test_all_times_of_the_rules_can_be_shortened_by_one_factor(file: str) -> None:
    text = (FOLDER / file).read_text(encoding="utf-8")
    pairs = list(
        zip(rules(file), (r for g in yaml.safe_load(shortened(text, 60))["groups"] for r in g["rules"]), strict=True)
    )
    times = r"\[(\w+)\]|([\d.e]+)[ \t]+# seconds"
    for before, after in pairs:
        if "for" in before:
            assert seconds(after["for"]) == pytest.approx(seconds(before["for"]) / 60)
        pattern = re.compile(times)
        for (span, number), (short, less) in zip(
            pattern.findall(before["expr"]), pattern.findall(after["expr"]), strict=True
        ):
            if span:
                assert seconds(short) == pytest.approx(seconds(span) / 60)
            else:
                assert float(less) == pytest.approx(float(number) / 60)
        assert pattern.sub("", before["expr"]) == pattern.sub("", after["expr"])
        assert before.get("annotations") == after.get("annotations")


def test_what_is_shortened_and_what_is_not() -> None:
    text = "\n".join(
        (
            "# every 30",
            "# seconds",
            "    interval: 1m",
            "      - record: a:b_30s:rate5m",
            '        expr: rate(a{le="30"}[1h30m:1m] offset 5m) > 2 and b > 120 # seconds',
            "        for: 1d",
            "          summary: it lasts for 30s",
        )
    )
    assert shortened(text, 60).splitlines() == [
        "# every 30",
        "# seconds",
        "    interval: 1000ms",
        "      - record: a:b_30s:rate5m",
        '        expr: rate(a{le="30"}[90000ms:1000ms] offset 5000ms) > 2 and b > 2 # seconds',
        "        for: 1440000ms",
        "          summary: it lasts for 30s",
    ]
    with pytest.raises(ValueError, match="can't be divided"):
        shortened(text, 0)
    assert "1ms" in shortened("for: 1s", 1e6)
