"""`python -m benchmarks.alarms` measures P5 to P9; with --docs the figures go into docs/benchmarks.md."""

import argparse
import shutil
import sys
import tempfile
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.alarms import pages, profiled, table
from benchmarks.alarms.bench import Options
from benchmarks.alarms.ground import Ground
from benchmarks.alarms.run import NAMES, Run
from benchmarks.results import Part, load, merged, to_json
from tools.protos import ROOT

BUILD = ROOT / "build" / "bench"

_HELP = {
    "rounds": "turns of the run",
    "seconds": "P5: seconds of each load",
    "callers": "P5: calls under way at once",
    "alarms": "P6: alarms of each stream",
    "rate": "P7: alarms a second",
    "one_way": "P7: seconds of each load",
    "backlog": "P8: alarms that are pulled",
    "line": "P8: alarms through one connection to a peer that answers at once",
    "slow_line": "P8: the same to a peer that takes 1 ms",
    "sizes": "P9: backlogs",
    "turns": "P9: times that is published and pulled at each size",
    "restarts": "P9: restarts at each size",
}


def main(words: list[str] | None = None) -> int:
    """Return the exit status."""
    arguments = _parser().parse_args(words)
    if arguments.take is not None:
        parts: list[Part] = []
        for file in arguments.take:
            parts = merged(parts, load(file))
        pages.take(parts)
        return 0
    options = Options(**{option.name: getattr(arguments, option.name) for option in fields(Options)})
    BUILD.mkdir(parents=True, exist_ok=True)
    out = arguments.out or BUILD / f"alarms-{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
    folder = Path(tempfile.mkdtemp(prefix="data-", dir=arguments.data or BUILD))
    # PostgreSQL is run by a user of its own, who has to get through.
    folder.chmod(0o711)
    if arguments.profile:
        Ground.profiles = folder / "profiles"
    run = Run(arguments.parts, options, folder, lambda parts: _write(out, parts))
    try:
        run.all()
    except BaseException:
        print(f"\nStopped. What was measured: {out}; logs and data: {folder}", file=sys.stderr)
        raise
    if arguments.profile:
        _tell_profiles(folder / "profiles")
        shutil.rmtree(folder)
        return 0
    shutil.rmtree(folder)
    print()
    for part in run.parts.values():
        print(table.console(part), end="\n\n")
    print(f"Every sample: {out}")
    if arguments.docs:
        pages.take(list(run.parts.values()))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.alarms", description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=NAMES, default=list(NAMES), help="which (default: all)")
    default = Options()
    for option in fields(Options):
        value = getattr(default, option.name)
        shown = value if isinstance(value, int | float) else " ".join(map(str, value))
        text = f"{_HELP[option.name]} (default: {shown})"
        parser.add_argument(
            f"--{option.name.replace('_', '-')}",
            type=float if isinstance(value, float) else _count,
            nargs=None if isinstance(value, int | float) else "+",
            default=value,
            help=text,
            metavar="N",
        )
    parser.add_argument("--data", type=Path, help="folder for the servers' data; its disk is measured too")
    parser.add_argument("--out", type=Path, help="the JSON file (default: a new one in build/bench)")
    parser.add_argument("--profile", action="store_true", help="tell what the servers spend their time in; no figures")
    parser.add_argument("--docs", action="store_true", help="take the figures into the docs in the end")
    parser.add_argument("--take", nargs="*", type=Path, metavar="FILE", help="measure nothing: take JSON files there")
    return parser


def _tell_profiles(folder: Path) -> None:
    for server in sorted(folder.glob("*/*")):
        print(f"\n{server.parent.name}, {server.name}", *profiled.report(server), sep="\n")


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 at least")
    return number


def _write(out: Path, parts: list[Part]) -> None:
    out.write_text(to_json(parts), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
