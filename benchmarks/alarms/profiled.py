"""Runs a server of the product under Python's profiler, each of its threads by itself.

`python -P profiled.py FOLDER hotspare-cloud serve ...` writes a file into FOLDER for the loop, for the thread that
writes the store, and for each thread that reads it; `report` tells what the most time went into. A profiler makes every
call of Python dearer, and what runs in C cheaper beside it: it shows where to look, and its times are no figures.
"""

import atexit
import cProfile
import pstats
import runpy
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import thread as pools
from itertools import count
from pathlib import Path
from typing import Any

from hotspare_rpc.server import RpcServer
from hotspare_store.database import Database

WAITING = ("poll", "acquire", "select", "get' of '_queue", "_wait_for_tstate_lock")
"""Built-in functions that wait: their time is nobody's cost."""
SHOWN = 18


def install(folder: Path) -> None:
    """Have the threads of the store profiled too."""
    numbers = count(1)
    write, read = Database._run, pools._worker

    def profiled_write(self: Database) -> None:
        _profiled(lambda: write(self), folder / "writer.prof")

    def profiled_read(*arguments: Any) -> None:
        _profiled(lambda: read(*arguments), folder / f"reader-{next(numbers)}.prof")

    start, loop = RpcServer.start, cProfile.Profile()

    async def profiled_start(self: RpcServer) -> str:
        bound = await start(self)
        # From here on: what it costs to start is another question.
        loop.enable()
        return bound

    kind: Any = Database
    kind._run = profiled_write
    kind = RpcServer
    kind.start = profiled_start
    where: Any = pools
    where._worker = profiled_read
    atexit.register(loop.dump_stats, folder / "loop.prof")
    atexit.register(loop.disable)


def _profiled(work: Callable[[], Any], file: Path) -> None:
    profile = cProfile.Profile()
    try:
        profile.enable()
    except ValueError:
        # From Python 3.12 on one profiler runs at a time.
        work()
        return
    try:
        work()
    finally:
        profile.disable()
        profile.dump_stats(file)


def report(folder: Path) -> Iterator[str]:
    """Lines of what each thread spent the most of its own time in."""
    for file in sorted(folder.glob("*.prof")):
        stats: Any = pstats.Stats(str(file)).stats  # type: ignore[attr-defined]
        busy = {key: value for key, value in stats.items() if not any(word in key[2] for word in WAITING)}
        total = sum(own for _, _, own, _, _ in busy.values())
        if total < 0.01:
            continue
        yield f"{file.stem}: {total:.2f} s of work"
        costly = sorted(busy.items(), key=lambda item: -item[1][2])[:SHOWN]
        for (path, line, name), (_, calls, own, whole, _) in costly:
            place = f"{Path(path).name}:{line} {name}" if line else name
            yield f"  {own / total:5.1%}  {own:7.3f} s  with what it calls {whole:7.3f} s  {calls:8d} calls  {place}"


def main() -> None:
    """Run a server."""
    _, folder, script, *arguments = sys.argv
    install(Path(folder))
    sys.argv = [script, *arguments]
    match script:
        case "hotspare-receiver":
            from hotspare_receiver.main import main as run
        case "hotspare-cloud":
            from hotspare_cloud.main import main as run
        case _ if script.endswith(".py"):
            runpy.run_path(script, run_name="__main__")
            return
        case _:
            raise SystemExit(f"no such server: {script}")
    run()


if __name__ == "__main__":
    main()
