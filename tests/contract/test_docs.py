"""The pages tell what is so: metrics, rules and their tests, settings, links, examples, the first set-up."""

import importlib
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from hotspare_cloud.core.state import PLANNED, Reason
from hotspare_model.errors import HotspareError
from hotspare_model.group import GroupSettings
from tests.acceptance.harness.guides import blocks_of, run_blocks
from tests.contract.pages import DOCS, PAGES, ROOT, blocks, broken, page, rows, section

BIN = Path(sys.executable).parent
DEADLINE = 150
"""Seconds for whatever a test waits for, on a slow machine."""

RULES = {"G": 8, "F": 11, "B": 8, "A": 10, "O": 3, "D": 4, "X": 4, "V": 3, "S": 5}


# Links.


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    assert broken(path) == []


def test_every_page_is_named_in_the_readme() -> None:
    readme = page("README.md")
    assert [path.name for path in DOCS.glob("*.md") if f"(docs/{path.name})" not in readme] == []


def test_files_that_the_pages_name_exist() -> None:
    files = (*ROOT.glob("[!.]*"), *ROOT.glob("[!.]*/**/*"))
    tree = {f"/{path.relative_to(ROOT).as_posix()}" for path in files if "__pycache__" not in path.parts}
    named = {
        name.strip("/")
        for path in (ROOT / "README.md", *DOCS.glob("*.md"))
        # A table may leave out the beginning of a path: `…/core/window.py`.
        for name in re.findall(r"`(?:…/)?([\w/-]+/|[\w/.-]+\.(?:py|proto|binpb|md))`", path.read_text(encoding="utf-8"))
    }
    missing = [name for name in named if not any(path.endswith(f"/{name}") for path in tree)]
    # Made by `make descriptor` and by the demo, not kept.
    assert sorted(set(missing) - {"build/hotspare.v1.binpb", "logs"}) == []


# Rules and settings.


@dataclass(frozen=True)
class Rule:
    id: str
    state: str
    tests: tuple[str, ...]


def told_rules() -> list[Rule]:
    text = page("docs/rules.md")
    found = re.findall(
        r"^### ([A-Z]\d+): [^\n]+\n\nState: \*\*([a-z ]+)\*\*\.(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL
    )
    return [Rule(id, state, tuple(re.findall(r"^- `([^`]+)`$", body, re.MULTILINE))) for id, state, body in found]


def test_each_rule_stands_once_in_rules_md() -> None:
    expected = [f"{letter}{number}" for letter, count in RULES.items() for number in range(1, count + 1)]
    assert [rule.id for rule in told_rules()] == expected
    headings = re.findall(r"^#+ ([GFBAODXVS]\d+)\b", page("docs/rules.md"), re.MULTILINE)
    assert headings == expected


def test_a_rule_that_is_kept_names_tests_that_exist() -> None:
    for rule in told_rules():
        assert rule.state in ("works", "partly", "not yet"), rule
        assert bool(rule.tests) == (rule.state != "not yet"), rule
        for test in rule.tests:
            file, _, name = test.partition("::")
            path = ROOT / "tests" / file
            assert path.is_file(), f"{rule.id}: there is no {path}"
            assert re.search(rf"^\s*(async )?def {name}\(", path.read_text(), re.MULTILINE), f"{rule.id}: {test}"


def told_settings() -> dict[str, list[str]]:
    table = section(page("docs/rules.md"), "Settings").partition("Settings elsewhere")[0]
    return {row[0].strip("`"): row for row in rows(table)}


def shown(value: object) -> str:
    """A default as the table has it."""
    if not isinstance(value, timedelta):
        return str(value)
    days = value / timedelta(days=1)
    return f"{days:g} days" if days >= 1 else f"{value.total_seconds():g} s"


def test_every_setting_of_a_group_is_told_with_its_default() -> None:
    assert {name: row[1] for name, row in told_settings().items()} == {
        field.name: shown(field.default) for field in fields(GroupSettings)
    }


def test_the_ranges_are_those_that_are_checked() -> None:
    units: dict[str, Callable[[int], object]] = {
        "": lambda number: number,
        " s": lambda number: timedelta(seconds=number),
        " days": lambda number: timedelta(days=number),
    }
    checked = 0
    for name, row in told_settings().items():
        found = re.fullmatch(r"([\d,]+) to ([\d,]+)( s| days|)", row[2])
        if found is None or name == "lease":  # others depend on the lease, so it can't be changed alone
            continue
        least, most = (int(text.replace(",", "")) for text in found.group(1, 2))
        for number in (least, most):
            replace(GroupSettings(), **{name: units[found[3]](number)}).checked()  # type: ignore[arg-type]
        for number in (least - 1, most + 1):
            with pytest.raises(HotspareError):
                replace(GroupSettings(), **{name: units[found[3]](number)}).checked()  # type: ignore[arg-type]
        checked += 1
    assert checked >= 9


# What is served.

SERVICERS = {
    ("cloud", "AccountService"): "hotspare_cloud.services.account.AccountService",
    ("cloud", "AlarmPullService"): "hotspare_cloud.services.alarm_pull.AlarmPullService",
    ("cloud", "AlarmService"): "hotspare_cloud.services.alarm.AlarmService",
    ("cloud", "BackupService"): "hotspare_cloud.services.backup.BackupService",
    ("cloud", "SyncService"): "hotspare_cloud.services.sync.SyncService",
    ("cloud", "RoleService"): "hotspare_cloud.services.role.RoleService",
    ("cloud", "VersionService"): "hotspare_cloud.services.version.VersionService",
    ("receiver", "AlarmFeedService"): "hotspare_receiver.services.feed.FeedServicer",
    ("receiver", "AlarmPullService"): "hotspare_receiver.services.queue.QueueServicer",
    ("receiver", "AlarmService"): "hotspare_receiver.services.alarm.AlarmServicer",
    ("receiver", "BackupService"): "hotspare_receiver.services.backup.BackupServicer",
    ("receiver", "ConfigurationService"): "hotspare_receiver.services.configuration.ConfigurationServicer",
    ("receiver", "ReceiverService"): "hotspare_receiver.services.receiver.ReceiverServicer",
    ("receiver", "RoleService"): "hotspare_receiver.services.role.RoleServicer",
    ("receiver", "VersionService"): "hotspare_receiver.services.version.VersionServicer",
}


def overridden(name: str) -> set[str]:
    """The RPCs that a servicer has of its own; what it inherits from generated code is not served."""
    module, _, cls = name.rpartition(".")
    servicer: type = getattr(importlib.import_module(module), cls)
    generated = next(base for base in servicer.__mro__ if base.__module__.startswith("hotspare.v1."))
    rpcs = {rpc for rpc in vars(generated) if rpc[0].isupper()}
    return {rpc for rpc in rpcs if getattr(servicer, rpc) is not getattr(generated, rpc)}


def test_the_table_of_served_rpcs_is_true() -> None:
    told = {
        (server, service.strip("`")): set(re.findall(r"`(\w+)`", rpcs))
        for server, service, rpcs in rows(section(page("docs/contract.md"), "What is served"))
    }
    assert told == {key: overridden(name) for key, name in SERVICERS.items()}


# A system that runs, for what the pages say of it.


def eventually(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < limit, "it did not come about in time"
        time.sleep(0.05)


@dataclass(frozen=True)
class Server:
    grpc: str
    metrics: str

    def families(self) -> dict[str, tuple[str, set[str]]]:
        """Type and labels of each metric on its page, by the name that Prometheus stores."""
        with urllib.request.urlopen(f"http://{self.metrics}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        found = {}
        for family in text_string_to_metric_families(text):
            labels = {label for sample in family.samples for label in sample.labels} - {"le"}
            name = family.name + ("_total" if family.type == "counter" else "")
            found[name] = (family.type, labels)
        return found


@dataclass(frozen=True)
class System:
    folder: Path
    cloud: Server
    receiver: Server

    def cli(self, *words: str) -> str:
        done = subprocess.run(
            [BIN / "hotspare", "--server", self.receiver.grpc, "--token-file", "receiver/admin.token", *words],
            cwd=self.folder, capture_output=True, text=True, timeout=DEADLINE, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout


def started(cleaning: ExitStack, folder: Path, command: str, *words: str) -> dict[str, str]:
    """Start a server; returns the addresses of its line."""
    with (folder / f"{command}.log").open("w") as log:
        process = subprocess.Popen([BIN / command, *words], cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True)
    cleaning.callback(process.wait, DEADLINE)
    cleaning.callback(process.terminate)
    assert process.stdout is not None
    cleaning.callback(process.stdout.close)
    line = process.stdout.readline()
    assert line.startswith("serving "), (folder / f"{command}.log").read_text()
    return dict(word.split("=", 1) for word in line.split()[1:])


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A cloud and a host with an output and the device panel-1, configured as the README tells."""
    folder = tmp_path_factory.mktemp("docs")
    listen = ("--listen", "127.0.0.1:0")
    metrics = ("--metrics", "127.0.0.1:0")
    with ExitStack() as cleaning:
        cloud = started(cleaning, folder, "hotspare-cloud", "serve", "--data", "cloud", *listen, *metrics)
        arc = started(cleaning, folder, "hotspare-sim", "arc", *listen)
        receiver = started(cleaning, folder, "hotspare-receiver", "serve", "--data", "receiver", *listen, *metrics)
        system = System(folder, Server(**cloud), Server(**receiver))
        subprocess.run(
            [BIN / "hotspare-cloud", "account", "create", "north", "--data", "cloud", "--key-out", "north.key"],
            cwd=folder, check=True, timeout=DEADLINE,
        )  # fmt: skip
        system.cli(
            "settings", "set", "--cloud-address", cloud["grpc"], "--arc-id", "north", "--arc-key-file", "north.key"
        )
        system.cli("output", "add", "arc", "--kind", "sia-dc09", "--address", arc["dc09"])
        system.cli("output", "add", "feed", "--kind", "stream", "--subscription", "automation", "--best-effort")
        system.cli("token", "create", "feed", "--role", "feed", "--subscription", "automation", "--out", "feed.token")
        system.cli("enable", "--role", "host")
        system.cli("device", "create", "panel-1", "--account", "1234", "--key-out", "panel-1.key")
        eventually(lambda: re.search(r"Configuration +up-to-date", system.cli("status")) is not None)
        yield system


def told_metrics(*titles: str) -> dict[str, tuple[str, set[str]]]:
    text = page("docs/metrics.md")
    found = [row for title in titles for row in rows(section(text, title))]
    names = [row[0].strip("`") for row in found]
    assert len(names) == len(set(names)), "a metric stands twice"
    return {row[0].strip("`"): (row[1], set(re.findall(r"`(\w+)`", row[2]))) for row in found}


def test_metrics_md_tells_what_the_cloud_exports(system: System) -> None:
    assert system.cloud.families() == told_metrics("The cloud", "gRPC, on both", "Of the process, at the cloud")


def test_metrics_md_tells_what_a_receiver_exports(system: System) -> None:
    told = told_metrics("A receiver", "gRPC, on both")
    # The round trip is there once a beat was answered.
    eventually(lambda: "hotspare_receiver_cloud_round_trip_seconds" in system.receiver.families())
    assert system.receiver.families() == told


def test_metrics_md_tells_the_reasons_of_moves() -> None:
    row = next(row for row in rows(page("docs/metrics.md")) if row[0] == "`hotspare_cloud_moves_total`")
    planned, _, unplanned = row[4].partition("Unplanned:")
    assert set(re.findall(r"`(\w+)`", planned)) == {reason.value.lower() for reason in PLANNED}
    assert set(re.findall(r"`(\w+)`", unplanned)) == {reason.value.lower() for reason in set(Reason) - PLANNED}


EXAMPLES = blocks(page("docs/contract.md"), "python")


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_the_examples_of_contract_md_run(system: System, number: int) -> None:
    example = EXAMPLES[number]
    if "StreamAlarms(" in example:
        # There has to be an alarm, also when this example is run alone.
        run_example(system, next(each for each in EXAMPLES if "PublishAlarm(" in each))
    run_example(system, example)


def run_example(system: System, example: str) -> None:
    """Run it word for word, but for the ports, and look for what it says that it prints."""
    config = system.folder / "build" / "service_config.json"
    config.parent.mkdir(exist_ok=True)
    config.write_text(page("generated/hotspare/v1/service_config.json"))
    code = example.replace("127.0.0.1:7440", system.cloud.grpc).replace("127.0.0.1:7441", system.receiver.grpc)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=system.folder, capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert done.returncode == 0, done.stderr
    for output in re.findall(r"print\(.*\)  # (.+)$", example, re.MULTILINE):
        assert output in done.stdout
    if "PublishAlarm(" in example:
        assert "account_sequence" in done.stdout


# The first set-up of the README, as a new user types it.

PORTS = (7440, 7441, 7442, 7451, 7452)


def test_the_first_set_up_of_the_readme_works_word_for_word(tmp_path: Path) -> None:
    told = re.search(r"<!-- set-up: begin.*?-->(.*)<!-- set-up: end -->", page("README.md"), re.DOTALL)
    assert told is not None
    first, *others = blocks_of(told[1])
    # What the first block does is done here: the environment is this one, and the folder a fresh one.
    assert first.text.splitlines() == ["make setup", 'export PATH="$PWD/.venv/bin:$PATH"', 'cd "$(mktemp -d)"']
    script = "".join(block.text for block in others)
    assert [port for port in PORTS if f":{port}" not in script] == []
    folder = tmp_path / "trial"
    folder.mkdir()
    run = run_blocks(others, folder, deadline=DEADLINE)
    output = "".join(run.printed)
    assert run.status == 0, f"block {len(run.printed)}: {output}\n{run.logs()}"
    through_host = (folder / "arc-host.jsonl").read_text()
    assert '\\"ADM-CID\\"0001L0#1234[#1234|1130 01 005]' in through_host
    assert '\\"ADM-CID\\"0004L0#1234[#1234|1130 01 008]' in (folder / "arc-spare.jsonl").read_text()
    assert re.search(r"\n +host +\S+ +host +working +3 ", output), output
