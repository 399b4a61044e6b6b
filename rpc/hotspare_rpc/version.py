"""The full release string of this software, which members compare (V1)."""

from importlib.metadata import PackageNotFoundError, version

UNKNOWN_VERSION = "0.0.0+unknown"
"""What a tree says of itself that was never installed, not even editable."""


def _installed() -> str:
    try:
        return version("hotspare")
    except PackageNotFoundError:
        return UNKNOWN_VERSION


SOFTWARE_VERSION = _installed()
