"""Runs the `sh` blocks of pages as they stand: one shell, a fresh folder, free ports, and what each block printed.

A block that a reader will see refused has a comment before it, `<!-- ends with 1 -->`. A `text` block that comes
next after a `sh` block shows what that one printed; a line `…` in it stands for lines that are left out.

`python -m tests.acceptance.harness.guides docs/guides/A.md docs/guides/B.md` runs pages one after the other, in one
shell, and writes into their `text` blocks what was really printed.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.acceptance.harness.process import BIN, environment

DEADLINE = 240.0
"""Seconds for all blocks together, on a slow and busy machine."""
LEFT_OUT = "…"

_FENCE = re.compile(
    r"^(?:<!-- ends with (?P<status>\d+) -->\n)?```(?P<language>[\w+-]*)\n(?P<text>.*?)^```$|^#{1,6} [^\n]+$",
    re.MULTILINE | re.DOTALL,
)
_ENDED = re.compile(r"^bash: line \d+: +\d+ (Killed|Terminated) .*\n", re.MULTILINE)
"""What bash itself tells of a job that was killed."""
_ADDRESS = re.compile(r"\b127\.0\.0\.1:(\d{4,5})\b")


@dataclass(frozen=True)
class Block:
    """A `sh` block of a page, and what the page says of it."""

    text: str
    status: int = 0
    """The exit status that it has to have."""
    shown: str | None = None
    """What the page shows as its output."""
    shown_at: tuple[int, int] | None = None
    """Where that stands in the page."""


def blocks_of(page: str) -> list[Block]:
    """The `sh` blocks of a page, each with the output that stands below it before the next heading or block."""
    found: list[Block] = []
    may_show = False
    for match in _FENCE.finditer(page):
        if match["language"] == "sh":
            found.append(Block(match["text"], int(match["status"] or 0)))
            may_show = True
        elif match["language"] == "text" and may_show:
            last = found[-1]
            found[-1] = Block(last.text, last.status, match["text"], match.span("text"))
            may_show = False
        else:
            may_show = False
    return found


@dataclass
class Run:
    """What came of the blocks."""

    folder: Path
    status: int | None = None
    """Of the shell; None: it did not come to its end in time."""
    printed: list[str] = field(default_factory=list)
    """By each block that was begun, with the ports as the page has them."""

    def logs(self) -> str:
        """The ends of all logs that the blocks wrote, for the message of a failure."""
        files = sorted(self.folder.rglob("*.log"))
        return "\n".join(f"--- {path.name}\n{path.read_text(errors='replace')[-2000:]}" for path in files)


def run_blocks(
    blocks: Sequence[Block], folder: Path, *, deadline: float = DEADLINE, more: Mapping[str, str] | None = None
) -> Run:
    """Run them in one bash in `folder`, until one ends otherwise than it should. Nothing that they start outlives it.

    Each address of loopback gets a free port in the place of the one that the page names. `more`: variables.
    """
    outputs = folder.with_name(f"{folder.name}-printed")
    outputs.mkdir()
    ports = _free_for(blocks)
    script = "\n".join(_step(number, block, outputs) for number, block in enumerate(blocks))
    for told, free in ports.items():
        script = script.replace(f"127.0.0.1:{told}", f"127.0.0.1:{free}")
    own = {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "HOME": str(folder)}
    shell = subprocess.Popen(
        ["bash", "-e", "-c", script],
        cwd=folder,
        env=environment({**own, **(more or {})}),
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    run = Run(folder)
    try:
        with suppress(subprocess.TimeoutExpired):
            run.status = shell.wait(timeout=deadline)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)  # its own session: the shell and what it started, nothing else
        shell.wait()
    back = {str(free): told for told, free in ports.items()}
    for path in sorted(outputs.iterdir()):
        text = _ENDED.sub("", path.read_text(errors="replace")).replace(str(folder), "/home/you")
        run.printed.append(_ADDRESS.sub(lambda match: f"127.0.0.1:{back.get(match[1], match[1])}", text))
    return run


def free_ports(count: int) -> list[int]:
    """Ports of loopback on which nobody listened just now."""
    with ExitStack() as cleaning:
        sockets = [cleaning.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _free_for(blocks: Iterable[Block]) -> dict[str, int]:
    told = sorted({port for block in blocks for port in _ADDRESS.findall(block.text)})
    return dict(zip(told, free_ports(len(told)), strict=True))


def _step(number: int, block: Block, outputs: Path) -> str:
    begin = f"exec > '{outputs / f'{number:03}'}' 2>&1"
    if block.status == 0:
        return f"{begin}\n{block.text}"
    return f"{begin}\nended=0\n(\n{block.text}) || ended=$?\n[ $ended = {block.status} ]"


# What is shown, held to what was printed.

_VARYING = (
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<id>"),
    (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?", "<time>"),
    (r"\b\d\d:\d\d:\d\d,\d\d-\d\d-\d{4}", "<time>"),
    (r"\b[0-9a-f]{12,}\b", "<hex>"),
    (r'\b[0-9A-F]{8}(?="(ADM-CID|SIA-DCS|NULL|ACK))', "<crc and length>"),
    (r"-?\b\d+(\.\d+)? (GB|MB|kB|bytes)\b", "<size>"),
    (r'(-?\b\d+(\.\d+)? ?(ms|s|min|h|d|days)\b( ago)?|\bnow\b)', "<span>"),
    (r"[ \t]+", " "),
)  # fmt: skip
_LOOSE = re.compile(r"<time>|<id>|<span>|epoch|revision|losses|EPOCH", re.IGNORECASE)
"""Lines in which numbers may differ too: a machine that is very busy may have lost a receiver once more."""


def stable(text: str) -> list[str]:
    """The lines of an output without what differs from run to run."""
    for pattern, name in _VARYING:
        text = re.sub(pattern, name, text)
    lines = [line.strip() for line in text.strip().splitlines()]
    return [re.sub(r"(?<![\w.:#-])\d+(?![\w:-])", "<n>", line) if _LOOSE.search(line) else line for line in lines]


def differs(shown: str, printed: str) -> str:
    """What of a shown output was not printed so; "" where it all was, in that order, and nothing left out untold."""
    told, real = stable(shown), stable(printed)
    if LEFT_OUT not in told and len(told) != len(real):
        return f"{len(told)} lines are shown, {len(real)} were printed"
    place = 0
    for line in told:
        if line == LEFT_OUT:
            continue
        if line not in real[place:]:
            return f"was not printed: {line}"
        place = real.index(line, place) + 1
    return ""


def written(page: str, printed: Sequence[str]) -> str:
    """The page with what its blocks printed, where it shows something else."""
    for block, output in reversed(list(zip(blocks_of(page), printed, strict=True))):
        if block.shown is not None and block.shown_at is not None and differs(block.shown, output):
            begin, end = block.shown_at
            lines = (line.rstrip() for line in output.strip("\n").splitlines())
            page = page[:begin] + "".join(f"{line}\n" for line in lines) + page[end:]
    return page


def main(paths: Sequence[Path]) -> int:
    """Run pages and write their outputs."""
    pages = [path.read_text(encoding="utf-8") for path in paths]
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent, "guide")
        folder.mkdir()
        run = run_blocks([block for page in pages for block in blocks_of(page)], folder)
        if run.status != 0:
            print(run.printed[-1], run.logs(), f"status {run.status} in block {len(run.printed)}", sep="\n")
            return 1
    rest = run.printed
    for path, page in zip(paths, pages, strict=True):
        count = len(blocks_of(page))
        path.write_text(written(page, rest[:count]), encoding="utf-8")
        rest = rest[count:]
    return 0


if __name__ == "__main__":
    sys.exit(main([Path(name) for name in sys.argv[1:]]))
