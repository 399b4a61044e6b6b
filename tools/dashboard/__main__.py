"""Writes the dashboard, or with `--check` tells whether it is up to date."""

import sys

from tools.dashboard import FILE, text
from tools.protos import ROOT


def main() -> int:
    """Returns the exit status."""
    if "--check" not in sys.argv[1:]:
        FILE.write_text(text(), encoding="utf-8")
        return 0
    if FILE.exists() and FILE.read_text(encoding="utf-8") == text():
        return 0
    print(f"{FILE.relative_to(ROOT)} is not what its panels say: python -m tools.dashboard", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
