"""Resolve pyproject.toml with all extras into requirements.lock: exact versions and hashes for all platforms.

The resolver (uv) is put into a throw-away environment, so that the lock does not have to hold it. No address
of an index is written: pip takes its own, and the hashes tell whether it gave the same files.
"""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from tools.protos import ROOT

LOCK = ROOT / "requirements.lock"
OPTIONS = (
    "--universal",
    "--python-version=3.11",
    "--all-extras",
    "--upgrade",
    "--generate-hashes",
    "--no-config",
    "--no-emit-index-url",
    "--no-annotate",
    "--no-header",
    "--quiet",
)
HEAD = """\
# Made by `make lock` from pyproject.toml: for Python >= 3.11, all platforms, hashes of the public files.
# Use: pip install --require-hashes -r requirements.lock
"""


def main() -> int:
    """Write the lock; return the resolver's exit status."""
    with tempfile.TemporaryDirectory() as directory:
        venv.create(directory, with_pip=True)
        python = Path(directory, "bin", "python")
        subprocess.run([python, "-m", "pip", "install", "--quiet", "uv"], check=True)
        resolved = subprocess.run(
            [python, "-m", "uv", "pip", "compile", "pyproject.toml", *OPTIONS],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
    if resolved.returncode == 0:
        LOCK.write_text(HEAD + resolved.stdout, encoding="utf-8")
    return resolved.returncode


if __name__ == "__main__":
    sys.exit(main())
