"""Resolve pyproject.toml with all extras into requirements.lock, and docs/requirements.in into docs/requirements.lock:
exact versions and hashes for all platforms. `python -m tools.lock docs` resolves the second one alone.

The resolver (uv) is put into a throw-away environment, so that the lock does not have to hold it. No address
of an index is written: pip takes its own, and the hashes tell whether it gave the same files.
"""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from tools.protos import ROOT

LOCKS = {
    "pyproject.toml": ("requirements.lock", ("--all-extras",)),
    "docs/requirements.in": ("docs/requirements.lock", ()),
}
OPTIONS = (
    "--universal",
    "--python-version=3.11",
    "--upgrade",
    "--generate-hashes",
    "--no-config",
    "--no-emit-index-url",
    "--no-annotate",
    "--no-header",
    "--quiet",
)
HEAD = """\
# Made by `make lock` from {source}: for Python >= 3.11, all platforms, hashes of the public files.
# Use: pip install --require-hashes -r {lock}
"""


def main(only: str = "") -> int:
    """Write the locks whose source begins with `only`; return the resolver's exit status."""
    with tempfile.TemporaryDirectory() as directory:
        venv.create(directory, with_pip=True)
        python = Path(directory, "bin", "python")
        subprocess.run([python, "-m", "pip", "install", "--quiet", "uv"], check=True)
        for source, (lock, options) in LOCKS.items():
            if not source.startswith(only):
                continue
            resolved = subprocess.run(
                [python, "-m", "uv", "pip", "compile", source, *options, *OPTIONS],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                text=True,
                check=False,
            )
            if resolved.returncode:
                return resolved.returncode
            (ROOT / lock).write_text(HEAD.format(source=source, lock=lock) + resolved.stdout, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
