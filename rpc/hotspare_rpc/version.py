"""The full release string of this software, which members compare (V1).

The tests of a rolling upgrade run two releases of one tree. For them, and nobody else, `HOTSPARE_TEST_VERSION` names
another release: it counts only beside `HOTSPARE_TESTING=1`, and only where the package is installed editable, from a
tree that somebody works in. What was installed from a wheel never looks at either.
"""

import json
import os
from collections.abc import Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution

UNKNOWN_VERSION = "0.0.0+unknown"
"""What a tree says of itself that was never installed, not even editable."""

TESTING = "HOTSPARE_TESTING"
TEST_VERSION = "HOTSPARE_TEST_VERSION"


def release(installed: Distribution | None, environment: Mapping[str, str]) -> str:
    """The release string of what is installed; None: nothing is."""
    if installed is None:
        return UNKNOWN_VERSION
    wanted = environment.get(TEST_VERSION)
    if wanted and environment.get(TESTING) == "1" and _is_editable(installed):
        return wanted
    return installed.version


def _is_editable(installed: Distribution) -> bool:
    """By direct_url.json (https://packaging.python.org/en/latest/specifications/direct-url/)."""
    try:
        told = json.loads(installed.read_text("direct_url.json") or "{}")
        return told["dir_info"]["editable"] is True
    except (ValueError, KeyError, TypeError):
        return False


def _installed() -> Distribution | None:
    try:
        return distribution("hotspare")
    except PackageNotFoundError:
        return None


SOFTWARE_VERSION = release(_installed(), os.environ)
