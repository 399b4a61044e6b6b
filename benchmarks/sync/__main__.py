"""`python -m benchmarks.sync` measures P10; with --docs the figures go into docs/sync.md."""

import argparse
import re
import shutil
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.results import Part, load, to_json
from benchmarks.sync.run import Options, Run
from benchmarks.sync.table import about, tables
from benchmarks.tables import aligned, marked
from tools.protos import ROOT

BUILD = ROOT / "build" / "bench"
RESULTS = ROOT / "benchmarks" / "results" / "sync.json"
PAGE = ROOT / "docs" / "sync.md"
BEGIN, END = "<!-- P10: made by python -m benchmarks.sync -->", "<!-- end of P10 -->"


def main(words: list[str] | None = None) -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sync", description=__doc__)
    default = Options()
    parser.add_argument("--devices", nargs="+", type=int, default=list(default.devices), metavar="N", help="sizes")
    parser.add_argument("--changes", type=int, default=default.changes, metavar="N", help="single changes")
    parser.add_argument("--bursts", nargs="*", type=int, default=list(default.bursts), metavar="N", help="at once")
    parser.add_argument("--docs", action="store_true", help="take the figures into the docs in the end")
    arguments = parser.parse_args(words)
    options = Options(arguments.devices, arguments.changes, arguments.bursts)
    BUILD.mkdir(parents=True, exist_ok=True)
    out = BUILD / f"sync-{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
    folder = Path(tempfile.mkdtemp(prefix="data-", dir=BUILD))
    run = Run(options, folder, lambda parts: _write(out, parts))
    try:
        run.all()
    except BaseException:
        print(f"\nStopped. What was measured: {out}; logs and data: {folder}", file=sys.stderr)
        raise
    shutil.rmtree(folder)
    print("", about(run.part), *(aligned(table) for table in tables(run.part)), f"Every sample: {out}", sep="\n\n")
    if arguments.docs:
        shutil.copyfile(out, RESULTS)
        PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), load(RESULTS)), encoding="utf-8")
    return 0


def filled(page: str, parts: list[Part]) -> str:
    """The page with the tables between its markers as the part tells. Raises ValueError without the markers."""
    text = "\n\n".join([about(parts[0]), *(marked(table) for table in tables(parts[0]))])
    new, count = re.subn(
        f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: f"{BEGIN}\n\n{text}\n\n{END}", page, flags=re.DOTALL
    )
    if count != 1:
        raise ValueError(f"{PAGE.name} has {count} places for the figures")
    return new


def _write(out: Path, parts: list[Part]) -> None:
    out.write_text(to_json(parts), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
