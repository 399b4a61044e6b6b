"""Release strings: their order, clients that go with a server, and the release that only tests can name."""

import os
import subprocess
import sys
from importlib.metadata import Distribution, distribution
from os import PathLike
from pathlib import Path

import pytest

from hotspare_model.release import Order, compare, incompatibility
from hotspare_rpc.version import SOFTWARE_VERSION, TEST_VERSION, TESTING, UNKNOWN_VERSION, release

WANTED = "9.9.9"
BOTH = {TESTING: "1", TEST_VERSION: WANTED}


@pytest.mark.parametrize(
    ("one", "other", "order"),
    [
        ("0.1.0", "0.1.0", Order.SAME),
        ("weird build", "weird build", Order.SAME),
        ("", "", Order.SAME),
        ("1.0", "1.0.0", Order.EQUAL),
        ("v1.2.3", "1.2.3", Order.EQUAL),
        ("0.9.0", "0.10.0", Order.OLDER),
        ("1.0rc1", "1.0", Order.OLDER),
        ("1.0.dev7", "1.0a1", Order.OLDER),
        ("1.0", "1.0+site.2", Order.OLDER),
        ("1.0.post1", "1.0", Order.NEWER),
        ("2.0", "1.99.99", Order.NEWER),
        ("1!0.1", "9.0", Order.NEWER),
        ("", "1.0", Order.UNKNOWN),
        ("1.0", "nightly", Order.UNKNOWN),
        ("1.0-\N{RIGHT-TO-LEFT OVERRIDE}2", "1.0", Order.UNKNOWN),
        ("1." + "9" * 100_000, "1.0", Order.UNKNOWN),
    ],
)
def test_v2_releases_are_ordered_and_what_is_none_is_neither_older_nor_newer(
    one: str, other: str, order: Order
) -> None:
    assert compare(one, other) is order
    turned = {Order.OLDER: Order.NEWER, Order.NEWER: Order.OLDER}
    assert compare(other, one) is turned.get(order, order)


@pytest.mark.parametrize("client", ["1." + "0" * 1_000_000, "\0", "1.0\n2", "1.0;drop", "🚨"])
def test_v3_a_client_of_no_release_is_told_so(client: str) -> None:
    assert incompatibility(client, "1.0.0") == "the version that was named is no release"


class Installed(Distribution):
    """A distribution with a direct_url.json of these contents. None: there is none, as for a wheel of an index."""

    def __init__(self, direct_url: str | None) -> None:
        self._direct_url = direct_url

    def read_text(self, filename: str) -> str | None:
        return self._direct_url if filename == "direct_url.json" else "Version: 1.2.3\n"

    def locate_file(self, path: str | PathLike[str]) -> Path:
        raise NotImplementedError


EDITABLE = Installed('{"url": "file:///tree", "dir_info": {"editable": true}}')


def test_v1_a_test_may_name_another_release_in_an_editable_tree() -> None:
    assert release(EDITABLE, BOTH) == WANTED
    assert release(EDITABLE, {}) == "1.2.3"


@pytest.mark.parametrize(
    "environment",
    [{TEST_VERSION: WANTED}, {TESTING: "1"}, BOTH | {TESTING: "true"}, BOTH | {TESTING: ""}, BOTH | {TEST_VERSION: ""}],
)
def test_v1_one_of_the_two_variables_alone_changes_nothing(environment: dict[str, str]) -> None:
    assert release(EDITABLE, environment) == "1.2.3"


@pytest.mark.parametrize(
    "direct_url",
    [
        None,
        "",
        "no json",
        "[]",
        '{"url": "file:///tree", "dir_info": {}}',
        '{"url": "file:///tree", "dir_info": {"editable": false}}',
        '{"url": "https://example.org/hotspare.whl", "archive_info": {}}',
    ],
)
def test_v1_what_was_installed_from_a_wheel_honours_neither(direct_url: str | None) -> None:
    assert release(Installed(direct_url), BOTH) == "1.2.3"


def test_v1_a_tree_that_is_not_installed_honours_neither() -> None:
    assert release(None, BOTH) == UNKNOWN_VERSION


@pytest.mark.parametrize(("more", "told"), [(BOTH, WANTED), ({TEST_VERSION: WANTED}, distribution("hotspare").version)])
def test_v1_a_process_tells_the_release_that_a_test_named(more: dict[str, str], told: str) -> None:
    program = "from hotspare_rpc.version import SOFTWARE_VERSION; print(SOFTWARE_VERSION)"
    ended = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | more, capture_output=True, text=True, check=True
    )
    assert ended.stdout.strip() == told
    assert distribution("hotspare").version == SOFTWARE_VERSION
