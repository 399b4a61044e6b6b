"""The example client in Python against a live system, from the wheel: with what `pip install hotspare` brings."""

import re
from collections.abc import Iterator

import pytest

from tests.acceptance.harness import clients
from tests.acceptance.harness.clients import LiveSystem
from tests.acceptance.harness.installing import Environment
from tools.protos import ROOT

CLIENT = ROOT / "docs" / "clients" / "python" / "client.py"

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, plain: Environment) -> Iterator[LiveSystem]:
    # -B: nothing is written beside the example.
    with LiveSystem(tmp_path_factory.mktemp("clients-python"), [plain.python, "-B", CLIENT]) as live:
        yield live


def test_the_page_names_what_a_client_is_told(live: LiveSystem) -> None:
    page = (ROOT / "docs" / "clients" / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(HOTSPARE_\w+)` \|", page, re.MULTILINE)) == set(live.environment())


def test_f3_it_publishes_follows_and_watches_through_a_failover(live: LiveSystem) -> None:
    clients.goes_through_a_failover(live)


def test_a2_it_tries_again_while_the_cloud_is_away(live: LiveSystem) -> None:
    clients.tries_again(live)


def test_s1_it_decides_by_the_reason_of_an_error(live: LiveSystem) -> None:
    clients.reads_reasons(live)
