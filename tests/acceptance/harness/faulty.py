"""Runs a server of the product with faults that can be switched on from outside; the product has no such switches.

`python -P faulty.py FILE SCRIPT ARGUMENT...` runs SCRIPT (`hotspare-receiver`, `hotspare-cloud`). At SIGUSR1 it reads
FILE, a JSON object:

- `jump`: seconds by which the product's wall clock is off from now on.
- `stuck`: whether the receiver's forwarder gives nothing to its outputs, while all else goes on.
- `stall`: seconds that the thread of the event loop stays in Python. gRPC's own threads and the kernel go on, so the
  sockets look fine.

The name of FILE with `.done` is written when they are set, before a stall begins.
"""

import json
import signal
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

OURS = "hotspare_"
"""What the modules of the product begin with."""


class Faults:
    """What is wrong now."""

    def __init__(self, file: Path) -> None:
        self.jump = 0.0
        self.stuck = False
        self._file = file
        self._done = file.with_name(file.name + ".done")

    def read(self, _number: int, _frame: FrameType | None) -> None:
        """Take what the file says; runs in the main thread, which is that of the event loop."""
        wanted: dict[str, Any] = json.loads(self._file.read_text())
        self.jump = float(wanted.get("jump", self.jump))
        self.stuck = bool(wanted.get("stuck", self.stuck))
        self._done.write_text(self._file.read_text())
        # Sleeping is being stuck: nothing else runs in this thread meanwhile.
        time.sleep(float(wanted.get("stall", 0.0)))


def install(faults: Faults) -> None:
    """Have the product's clock and forwarder follow the faults."""
    real_time = time.time

    def shifted() -> float:
        # gRPC reckons its deadlines from the same call and hands them to its C core, which has the real clock.
        caller = str(sys._getframe(1).f_globals.get("__name__", ""))
        return real_time() + (faults.jump if caller.startswith(OURS) else 0.0)

    time.time = shifted

    from hotspare_receiver.clock import SystemClock
    from hotspare_receiver.core.forwarder import Forwarder

    wall, take, due = SystemClock.wall, Forwarder.take, Forwarder.due

    def shifted_wall(self: SystemClock) -> datetime:
        return wall(self) + timedelta(seconds=faults.jump)

    def stuck_take(self: Forwarder, *args: Any) -> Any:
        return None if faults.stuck else take(self, *args)

    def stuck_due(self: Forwarder, *args: Any) -> Any:
        return None if faults.stuck else due(self, *args)

    vars_of: Any = SystemClock
    vars_of.wall = shifted_wall
    vars_of = Forwarder
    vars_of.take, vars_of.due = stuck_take, stuck_due


def main() -> None:
    """Run a console script."""
    _, file, script, *arguments = sys.argv
    faults = Faults(Path(file))
    signal.signal(signal.SIGUSR1, faults.read)
    install(faults)
    sys.argv = [script, *arguments]
    match Path(script).name:
        case "hotspare-receiver":
            from hotspare_receiver.main import main as run
        case "hotspare-cloud":
            from hotspare_cloud.main import main as run
        case name:
            raise SystemExit(f"no such server: {name}")
    run()


if __name__ == "__main__":
    main()
