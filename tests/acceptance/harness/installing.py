"""The wheel, and empty environments that it is installed in."""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.acceptance.harness.process import environment
from tools.protos import ROOT

INSTALL = 300.0
"""Seconds for packages, over a slow network."""


def build_wheel(folder: Path) -> Path:
    """Build the wheel of this tree, by what builds it in this environment; needs no network."""
    _run([sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", folder, ROOT])
    (wheel,) = folder.glob("hotspare-*.whl")
    return wheel


class Environment:
    """A virtual environment of its own, with what is named and what that depends on."""

    def __init__(self, folder: Path, *wanted: str) -> None:
        self.bin = folder / "bin"
        # The pip of our own environment installs into it: one of its own would take longer to come than the rest.
        _run([sys.executable, "-m", "venv", "--without-pip", folder])
        _run([sys.executable, "-m", "pip", "--python", self.python, "install", "--no-compile", *wanted])

    @property
    def python(self) -> str:
        """Its interpreter."""
        return str(self.bin / "python")

    def script(self, name: str) -> str:
        """One of its console scripts."""
        return str(self.bin / name)


def _run(command: Sequence[str | Path]) -> None:
    env = environment({"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_QUIET": "1"})
    done = subprocess.run(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, env=env, timeout=INSTALL, check=False,
    )  # fmt: skip
    # Where the packages come from is nobody's business here.
    told = re.sub(r"https?://\S+", "…", done.stdout + done.stderr)
    assert done.returncode == 0, f"{command}: status {done.returncode}\n{told}"
