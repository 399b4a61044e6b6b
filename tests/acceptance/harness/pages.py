"""The commands of a page: blocks between two marks, run by bash as they stand but for what a test has to replace."""

import os
import re
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tests.acceptance.harness.process import BIN, environment
from tools.protos import ROOT


def marked_blocks(page: str, mark: str) -> list[str]:
    """The blocks of shell between `<!-- MARK: begin … -->` and `<!-- MARK: end -->`."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.search(rf"<!-- {mark}: begin.*?-->(.*?)<!-- {mark}: end -->", text, re.DOTALL)
    assert found is not None, f"{page} has no {mark}"
    return re.findall(r"^```sh\n(.*?)^```", found[1], re.MULTILINE | re.DOTALL)


def bash(script: str, folder: Path, *, path: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Run a script to its end; returns all that it wrote. AssertionError where one of its commands fails.

    `path`: where its programs are looked for first, before those of this environment.
    """
    places = [*([str(path)] if path is not None else []), str(BIN), os.environ["PATH"]]
    shell = subprocess.Popen(
        ["bash", "-e", "-u", "-o", "pipefail", "-c", script],
        cwd=folder,
        env=environment({"PATH": os.pathsep.join(places), **(env or {})}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = shell.communicate(timeout=120)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)  # its own session: the shell and what it started, nothing else
    assert shell.returncode == 0, f"{script}\n{output}"
    return output
