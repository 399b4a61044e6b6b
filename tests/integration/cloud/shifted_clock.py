"""Runs a command with a wall clock that jumps: `shifted_clock.py FILE COMMAND ...`.

The file holds the seconds by which `time.time` is off; it is read at every call, so that a test can change it.
"""

import runpy
import sys
import time
from pathlib import Path


def main() -> None:
    """Shift the clock, and become the command."""
    shift, command = Path(sys.argv[1]), sys.argv[2]
    sys.argv = sys.argv[2:]
    true_time = time.time

    def shifted() -> float:
        text = shift.read_text() if shift.exists() else ""
        return true_time() + float(text or 0)

    time.time = shifted
    runpy.run_path(command, run_name="__main__")


if __name__ == "__main__":
    main()
