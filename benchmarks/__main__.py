"""`python -m benchmarks run` measures; `python -m benchmarks docs FILE` takes what was measured into the docs."""

import argparse
import logging
import shutil
import sys
import tempfile
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import pages, tables
from benchmarks.failover.run import NAMES, Options, Run
from benchmarks.results import Part, load, merged, to_json
from tools.protos import ROOT

BUILD = ROOT / "build" / "bench"

_HELP = {
    "rounds": "turns of the run",
    "kills": "P1: kill -9 of the working receiver",
    "stops": "P2: SIGSTOP of the working receiver",
    "cuts": "P2: cuts of its network, for each direction and both",
    "handovers": "P3: hand-overs, a third each of switchovers, SIGTERMs and failbacks",
    "in_flight": "P4: losses with alarms in flight",
    "locks": "beside P1 and P2: losses of a holder of etcd's lock, for each lease",
    "devices": "devices that publish",
    "seed": "of the moments at which faults are made",
}


def main(words: list[str] | None = None) -> int:
    """Return the exit status."""
    # The ARCs are pysiaalarm; that a receiver which is killed resets its connection is no news.
    logging.getLogger("pysiaalarm").setLevel(logging.CRITICAL + 1)
    arguments = _parser().parse_args(words)
    return int(arguments.do(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="measure, print tables, write a JSON file")
    run.set_defaults(do=_run)
    run.add_argument("--parts", nargs="+", choices=NAMES, default=list(NAMES), help="which (default: all)")
    for option in fields(Options):
        flag = f"--{option.name.replace('_', '-')}"
        text = f"{_HELP[option.name]} (default: {option.default})"
        run.add_argument(flag, type=_count, default=option.default, help=text, metavar="N")
    run.add_argument("--data", type=Path, help="folder for the servers' data; its disk is measured too")
    run.add_argument("--out", type=Path, help="the JSON file (default: a new one in build/bench)")
    run.add_argument("--docs", action="store_true", help="take the figures into the docs in the end")
    docs = commands.add_parser("docs", help="take the figures of a JSON file into the docs")
    docs.set_defaults(do=_docs)
    docs.add_argument("file", nargs="*", type=Path, help="without one: write tables and pictures anew")
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("is below 0")
    return number


def _run(arguments: argparse.Namespace) -> int:
    options = Options(**{option.name: getattr(arguments, option.name) for option in fields(Options)})
    if options.rounds < 1 or options.devices < 1:
        print("needs a round and a device at least", file=sys.stderr)
        return 2
    out = arguments.out or BUILD / f"failover-{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    base = arguments.data or BUILD
    base.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="data-", dir=base))

    def write(parts: list[Part]) -> None:
        out.write_text(to_json(parts), encoding="utf-8")

    run = Run(arguments.parts, options, folder, write)
    try:
        run.all()
    except BaseException:
        print(f"\nStopped. What was measured: {out}; logs and data: {folder}", file=sys.stderr)
        raise
    shutil.rmtree(folder)
    print()
    for part in run.parts.values():
        print(tables.console(part), end="\n\n")
    print(f"Every sample: {out}")
    if arguments.docs:
        pages.take(list(run.parts.values()))
    return 0


def _docs(arguments: argparse.Namespace) -> int:
    parts: list[Part] = []
    for file in arguments.file:
        parts = merged(parts, load(file))
    pages.take(parts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
