"""The example client in Node against a live system, installed as its page tells, in a folder of its own."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.harness import clients
from tests.acceptance.harness.clients import LiveSystem
from tools.protos import ROOT

EXAMPLE = ROOT / "docs" / "clients" / "node"
INSTALL = 300
"""Seconds for the packages, over a slow network."""

pytestmark = [pytest.mark.full, pytest.mark.deb]


def program(name: str) -> str:
    """Where a program is."""
    found = shutil.which(name)
    assert found is not None, f"{name} is missing; Debian's packages `nodejs` and `npm` bring it (make system-deps)"
    return found


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example with the protos and its packages."""
    folder = tmp_path_factory.mktemp("node") / "my-client"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("node_modules"))
    for protos in (ROOT / "protos", EXAMPLE.parent / "protos"):
        shutil.copytree(protos, folder / "protos", dirs_exist_ok=True)
    quiet = ("--no-audit", "--no-fund", "--no-package-lock", "--no-update-notifier", "--loglevel=error")
    done = subprocess.run(
        [program("npm"), "install", *quiet], cwd=folder, capture_output=True, text=True, timeout=INSTALL, check=False
    )
    # Where the packages come from is nobody's business here.
    assert done.returncode == 0, re.sub(r"https?://\S+", "…", done.stderr)
    return folder / "client.js"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, client: Path) -> Iterator[LiveSystem]:
    with LiveSystem(tmp_path_factory.mktemp("clients-node"), [program("node"), client]) as live:
        yield live


def test_f3_it_publishes_follows_and_watches_through_a_failover(live: LiveSystem) -> None:
    clients.goes_through_a_failover(live)


def test_a2_it_tries_again_while_the_cloud_is_away(live: LiveSystem) -> None:
    clients.tries_again(live)


def test_s1_it_decides_by_the_reason_of_an_error(live: LiveSystem) -> None:
    clients.reads_reasons(live)


def test_v3_values_and_fields_that_a_later_release_adds_are_taken(client: Path) -> None:
    """An unknown enum value comes as a number, an unknown field is skipped: neither ends the program."""
    script = """
        import { AlarmService, readStatus } from './connection.js';
        const { requestSerialize, requestDeserialize } = AlarmService.service.PublishAlarm;
        const bytes = requestSerialize({ submission: { alarm: { qualifier: 99, code: '130' } } });
        const later = Buffer.concat([bytes, Buffer.from([0xa2, 0x06, 0x01, 0x41])]); // field 100
        const { alarm } = requestDeserialize(later).submission;
        const status = readStatus(Buffer.from([0x08, 0x0e, 0xa2, 0x06, 0x01, 0x41]));
        console.log(alarm.qualifier, alarm.code, status.code);
    """
    done = subprocess.run(
        [program("node"), "--input-type=module", "--eval", script],
        cwd=client.parent, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "99 130 14\n"), done.stderr
