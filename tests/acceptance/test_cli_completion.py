"""Tab in bash, zsh and fish: the shells themselves complete what `hotspare completion` told them."""

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.harness.process import BIN, environment, run

pytestmark = [pytest.mark.full, pytest.mark.deb]

PATIENCE = 20.0
PROMPT = "ready> "


class Shell:
    """An interactive shell at a terminal of its own."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        # Wide, so that no shell breaks the line that is typed.
        subprocess.run(["stty", "cols", "200", "rows", "50"], stdin=theirs, check=True)
        self._process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True
        )
        os.close(theirs)
        self.said = ""

    def type(self, text: str) -> None:
        """As somebody at the keyboard."""
        self.said = ""
        os.write(self._ours, text.encode())

    def until(self, pattern: str) -> str:
        """Read until it is on the screen. AssertionError when that takes too long."""
        end = time.monotonic() + PATIENCE
        while not re.search(pattern, _without_escapes(self.said)):
            left = end - time.monotonic()
            ready, _, _ = select.select([self._ours], [], [], max(left, 0))
            assert ready, f"no {pattern!r} on the screen: {self.said!r}"
            self.said += os.read(self._ours, 65536).decode("utf-8", "replace")
        return _without_escapes(self.said)

    def end(self) -> None:
        """Leave nothing of it."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._ours)


def _without_escapes(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>()][0-9A-B]?|\x07", "", text)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with one context."""
    env = environment({"XDG_CONFIG_HOME": str(tmp_path / ".config")})
    run(["hotspare", "context", "add", "alpha-of-the-north", "--server", "127.0.0.1:7001"], env=env)
    return tmp_path


@pytest.fixture
def env(home: Path) -> dict[str, str]:
    own = {"HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config"), "PS1": PROMPT, "TERM": "xterm"}
    own["PATH"] = f"{BIN}:{os.environ['PATH']}"
    return environment(own)


def written(home: Path, shell: str, path: str) -> Path:
    """The script of a shell, where its page tells to put it."""
    script = home / path
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(run(["hotspare", "completion", shell]).stdout)
    return script


@pytest.fixture
def bash(home: Path, env: dict[str, str]) -> Iterator[Shell]:
    script = written(home, "bash", ".local/share/bash-completion/completions/hotspare")
    shell = Shell([_found("bash"), "--norc", "--noprofile", "-i"], env)
    try:
        shell.until(PROMPT)
        shell.type(f"source {script}; echo sour''ced\n")
        shell.until("sourced")
        yield shell
    finally:
        shell.end()


@pytest.fixture
def zsh(home: Path, env: dict[str, str]) -> Iterator[Shell]:
    written(home, "zsh", ".zfunc/_hotspare")
    shell = Shell([_found("zsh"), "-f", "-i"], env)
    try:
        shell.until(PROMPT)
        shell.type("fpath=(~/.zfunc $fpath); autoload -Uz compinit; compinit -D -u; echo load''ed\n")
        shell.until("loaded")
        yield shell
    finally:
        shell.end()


def _found(shell: str) -> str:
    path = shutil.which(shell)
    assert path is not None, f"{shell} is one of the Debian packages of make system-deps"
    return path


CASES = [
    ("hotspare swi", "hotspare switchover "),
    ("hotspare enable --role ho", "hotspare enable --role host "),
    ("hotspare device rot", "hotspare device rotate-key "),
    ("hotspare --context alp", "hotspare --context alpha-of-the-north "),
    ("hotspare output add x --kind sur", "hotspare output add x --kind surgard "),
]


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_tab_completes_words_values_and_contexts(shell: str, request: pytest.FixtureRequest) -> None:
    typing: Shell = request.getfixturevalue(shell)
    for typed, completed in CASES:
        typing.type(f"{typed}\t")
        typing.until(re.escape(completed))
        # Ctrl-U in bash, and the same with Ctrl-E before it in zsh, takes the line away.
        typing.type("\x05\x15")


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_tab_twice_lists_what_there_is(shell: str, request: pytest.FixtureRequest) -> None:
    typing: Shell = request.getfixturevalue(shell)
    typing.type("hotspare output \t\t")
    for word in ("add", "delete", "list", "pause", "resume", "test", "update"):
        typing.until(rf"\b{word}\b")


def test_fish_completes_with_the_help_of_each(home: Path, env: dict[str, str]) -> None:
    script = written(home, "fish", ".config/fish/completions/hotspare.fish")
    assert script.exists()

    def completions(line: str) -> dict[str, str]:
        done = subprocess.run(
            [_found("fish"), "-c", f"complete -C '{line}'"],
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        rows = (row.partition("\t") for row in done.stdout.splitlines())
        return {word: told for word, _, told in rows}

    commands = completions("hotspare s")
    assert {"status", "switchover", "settings"} <= set(commands)
    assert commands["switchover"].startswith("Hand the work over")
    assert set(completions("hotspare enable --role spare")) == {"spare1", "spare2", "spare3"}
    assert "alpha-of-the-north" in completions("hotspare --context alp")
    assert "rotate-key" in completions("hotspare device rot")
