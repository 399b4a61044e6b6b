"""The outputs of the pages docs/commands/*.md: every command once or more, in one story against real servers.

    make cli-pages          plays it, and writes the pages anew

Real are the cloud, the receivers and all that the commands print. The commands run in this process, one after the
other, as they would in a pipe. What differs from day to day is replaced by what has the same length (`Steady`), and an
output that has the shape that its page shows already is not written anew (`same_shape`).
"""

import contextlib
import io
import json
import logging
import os
import re
import shlex
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hotspare_cli.main import run as run_command
from tests.acceptance.cli_story_lines import STORY, Wait
from tests.acceptance.harness.arcs import Fault
from tests.acceptance.harness.polling import until
from tests.acceptance.harness.process import environment
from tests.acceptance.harness.scraping import scrape
from tests.acceptance.harness.system import Receiver, System
from tools import cli_pages

NAMES = ("alpha", "beta", "gamma")
BEGIN = datetime(2026, 11, 22, 16, 0, tzinfo=UTC)
"""When the story begins, on the pages."""
HOME = "/home/technician"
"""Where it is told to happen."""
LONGEST = 90.0
"""Seconds for one command."""
PORTS = {"cloud": 17443, "alpha": 17001, "beta": 17002, "gamma": 17003, "arc": 15000, "arc beta": 15001}


@dataclass
class Stage:
    """Where the story happens."""

    system: System
    folder: Path
    """Of the technician; its name is as long as HOME."""
    begin: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        self.receivers: dict[str, Receiver] = {name: self.system.start_receiver(name) for name in NAMES}
        self.arc = self.system.sink("arc")
        self.other = self.system.sink("arc beta")
        self.system.start_cloud()
        for receiver in self.receivers.values():
            receiver.serving()
        for source, name in (
            *((receiver.token, f"{name}.token") for name, receiver in self.receivers.items()),
            (self.system.folder / "cloud" / "operator.token", "cloud.token"),
            (self.system.arc_key, "north.key"),
        ):
            shutil.copy(source, self.folder / name)
        aes = self.folder / "panel-1-aes.key"
        aes.touch(mode=0o600)
        aes.write_text("00112233445566778899AABBCCDDEEFF\n")

    @property
    def ports(self) -> dict[str, str]:
        """The addresses that lines of the story name in braces."""
        servers = {name: receiver.grpc for name, receiver in self.receivers.items()}
        return {**servers, "cloud": self.system.cloud.grpc, "arc": self.arc.address, "arc_beta": self.other.address}

    def filled(self, line: str) -> str:
        """The line with what it names in braces: addresses, and two revisions that the cloud keeps."""
        values = self.ports
        if "{older}" in line:
            kept = json.loads(self.play("hotspare backup revisions -o json")[1])["revisions"]
            values |= {"newer": kept[0]["revision"], "older": kept[1]["revision"]}
        return line.format_map(values)

    def play(self, line: str) -> tuple[int, str]:
        """Run a line as the technician would; its status, and all that it printed."""
        words = shlex.split(line)
        assert words[0] == "hotspare"
        return _printed(words[1:], self.folder)

    def wait(self, wanted: Wait) -> None:
        """Until what comes next can happen."""
        match wanted:
            case Wait.ALPHA_WORKS:
                until(lambda: self.system.working() == "host", 30, "the host works")
            case Wait.IN_SYNC:
                until(lambda: self._revision("--cloud ") == self._revision(), 30, "the cloud has the configuration")
                until(lambda: "behind" not in self._told("members") and "syncing" not in self._told("members"), 30, "")
            case Wait.CONFIRMED:
                until(lambda: all("no alarms" in self._told(words) for words in ("members", "status")), 30, "confirmed")
            case Wait.REFUSE:
                self.arc.fault = Fault.DUH
            case Wait.SET_ASIDE:
                until(lambda: "DUH" in self._told("alarm rejected"), 60, "an alarm is set aside")
                self.arc.fault = Fault.NONE
            case Wait.GAMMA_GONE:
                self.receivers["gamma"].kill()
                until(lambda: "offline" in self._told("members"), 30, "gamma is gone")

    def _revision(self, option: str = "") -> str:
        return str(json.loads(self._told(f"backup show {option}-o json"))["backup"]["revision"])

    def _told(self, words: str) -> str:
        return self.play(f"hotspare {words}")[1]

    def called(self) -> set[str]:
        """Every call that came in at a server from elsewhere than another server, as `SERVICE/METHOD`."""
        found = set()
        for server in (self.system.cloud, *self.receivers.values()):
            if server.is_running:
                for labels, value in scrape(server).samples("grpc_server_started_total"):
                    if value:
                        found.add(f"{labels['grpc_service'].rpartition('.')[2]}/{labels['grpc_method']}")
        return found


def _printed(words: Sequence[str], folder: Path) -> tuple[int, str]:
    out = io.BytesIO()
    text = io.TextIOWrapper(out, "utf-8", write_through=True)
    before, place = dict(os.environ), Path.cwd()
    os.environ.clear()
    os.environ.update(environment({"XDG_CONFIG_HOME": str(folder / ".config"), "TZ": "UTC"}))
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
            # In a thread of its own, so that one that hangs is told.
            ended: list[int] = []
            running = threading.Thread(target=lambda: ended.append(run_command(list(words))), daemon=True)
            running.start()
            running.join(LONGEST)
    finally:
        os.chdir(place)
        os.environ.clear()
        os.environ.update(before)
    printed = out.getvalue().decode()
    assert ended, f"{words} did not end; it printed: {printed}"
    return ended[0], printed


# Of several event loops in one process gRPC tells things that are no matter of a command with a single one.
logging.getLogger("asyncio").setLevel(logging.CRITICAL)


@contextlib.contextmanager
def staged() -> Iterator[Stage]:
    """The servers, and the technician's folder."""
    folder = Path(tempfile.mkdtemp(prefix="t"))
    # As long as its name on the pages, so that tables keep their columns.
    length = len(HOME) - len(str(folder.parent)) - 1
    home = folder.rename(folder.with_name(folder.name.ljust(length, "x")[: max(length, 8)]))
    try:
        with tempfile.TemporaryDirectory(prefix="hotspare-story-") as servers, System(Path(servers)) as system:
            yield Stage(system, home)
    finally:
        shutil.rmtree(home, ignore_errors=True)


# --- What differs from day to day --------------------------------------------------------------------------

_UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
_HEX = re.compile(r"\b(?=[0-9a-f]*[a-f])(?=[0-9a-f]*[0-9])(?:[0-9a-f]{12}|[0-9a-f]{16})\b")
_BASE64 = re.compile(r'(?<=")[A-Za-z0-9+/_-]{42,43}=?(?=")')
_CLOCK = re.compile(r"\d{4}-\d\d-\d\d([ T])\d\d:\d\d:\d\d(\.\d+)?Z")
_WIRE_CLOCK = re.compile(r"\d\d:\d\d:\d\d,\d\d-\d\d-\d{4}")


class Steady:
    """Puts in the place of what is new each time something of the same length, and the same for the same."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._made: dict[str, str] = {}
        self._moved = (BEGIN - stage.begin).total_seconds()

    def __call__(self, text: str) -> str:
        """The text as the pages have it."""
        text = text.replace(str(self._stage.folder), HOME)
        for name, address in self._stage.ports.items():
            port = address.rpartition(":")[2]
            text = re.sub(rf"(?<=:){port}\b", str(PORTS[name.replace("_", " ")]), text)
        text = _UUID.sub(lambda match: self._other(match[0], "8-4-4-4-12"), text)
        text = _BASE64.sub(lambda match: self._letters(match[0]), text)
        text = _HEX.sub(lambda match: self._other(match[0], str(len(match[0]))), text)
        text = _WIRE_CLOCK.sub(lambda match: self._wire(match[0]), text)
        return _CLOCK.sub(self._later, text)

    def _other(self, found: str, form: str) -> str:
        """Hexadecimal digits by a count of their own, so that two different ones stay different."""
        if found not in self._made:
            count, parts = len(self._made) + 1, []
            for place, length in enumerate(int(part) for part in form.split("-")):
                number = (count * 0x9E3779B97F4A7C15 + place * 0xC2B2AE3D27D4EB4F) % 16**length
                parts.append(f"{number:0{length}x}")
            if form.startswith("8-"):
                parts[2], parts[3] = f"4{parts[2][1:]}", f"a{parts[3][1:]}"
            self._made[found] = "-".join(parts)
        return self._made[found]

    def _letters(self, found: str) -> str:
        digits = self._other(found, "64").replace("-", "")
        return digits[: len(found.rstrip("="))] + "=" * found.count("=")

    def _later(self, match: re.Match[str]) -> str:
        fraction = match[2] or ""
        moment = datetime.fromisoformat(match[0].replace("Z", "+00:00")) + timedelta(seconds=round(self._moved))
        return f"{moment:%Y-%m-%d}{match[1]}{moment:%H:%M:%S}{fraction}Z"

    def _wire(self, text: str) -> str:
        moment = datetime.strptime(text, "%H:%M:%S,%m-%d-%Y").replace(tzinfo=UTC)
        return f"{moment + timedelta(seconds=round(self._moved)):%H:%M:%S,%m-%d-%Y}"


_SPAN = re.compile(r"\b(?:now|in a moment|-?[\d.,]+ (?:ms|s|min|h|d)(?: \d+ (?:s|min|h))?(?: ago)?)(?!\w)")
_BYTES = re.compile(r"[\d.,]+ (?:bytes|kB|MB|GB|TB)\b")


def shape(text: str) -> str:
    """What two runs have in common: words and their order; no numbers, ids, ages and widths of columns."""
    text = _BYTES.sub("BYTES", _SPAN.sub("SPAN", _UUID.sub("UUID", text)))
    text = re.sub(r"\b[0-9a-f]{4,}\b|\b[A-Z0-9]{4}(?=[0-9A-F]{4}\")", "0", text)
    text = re.sub(r"(?<==)[0-9A-Za-z+/_-]+|\d+(?:[.,]\d+)*", "0", text)
    return re.sub(r"-{3,}", "-", re.sub(r"[ \t]+", " ", text))


def blocks(outputs: str) -> list[str]:
    """The recorded blocks of a page."""
    return re.findall(r"```text\n(.*?)```\n?", outputs, re.DOTALL)


def together(new: Sequence[str], old: Sequence[str]) -> str:
    """The recorded part of a page: the old block wherever the new one of that line has its shape."""
    by_line = {block.partition("\n")[0]: block for block in old}
    chosen = []
    for fresh in new:
        before = by_line.get(fresh.partition("\n")[0])
        chosen.append(before if before is not None and shape(before) == shape(fresh) else fresh)
    return "\n\n".join(f"```text\n{block}```" for block in chosen)


def play(stage: Stage, tell: Callable[[str], None] = lambda _line: None) -> dict[str, list[str]]:
    """Play the story; the blocks of each command, by its words. AssertionError where a line ends otherwise."""
    steady, found = Steady(stage), dict[str, list[str]]()
    for one in STORY:
        if isinstance(one, Wait):
            stage.wait(one)
            continue
        line = stage.filled(one.line)
        status, text = stage.play(line)
        assert status == one.status, f"{line} ended with {status}:\n{text}"
        tell(line)
        if one.of:
            block = f"$ {steady(line)}\n{_shortened(steady(text), one.lines)}"
            found.setdefault(one.of, []).append(block)
    return found


def _shortened(text: str, lines: int) -> str:
    """The first lines of a long output."""
    whole = text.splitlines(keepends=True)
    return text if len(whole) <= lines else "".join(whole[:lines]) + "…\n"


def main() -> int:
    """Write the pages with new outputs."""
    with staged() as stage:
        recorded = play(stage, lambda line: print(line, flush=True))
    before = cli_pages.as_they_stand()
    cli_pages.write({words: together(new, blocks(before.get(words, ""))) for words, new in recorded.items()})
    return 0


if __name__ == "__main__":
    sys.exit(main())
