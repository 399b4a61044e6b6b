"""What the plain install leaves out: a server that needs it says in one line what to install.

`pip install hotspare` brings the messages, the stubs and the CLI; the extras of pyproject.toml bring what the servers
need more.
"""

import sys
from collections.abc import Callable

LEFT_OUT = frozenset({"sqlite_utils", "prometheus_client"})
"""Modules that only the extras bring."""


def run_with_extra(program: str, extra: str, command: Callable[[], object]) -> None:
    """Run the command of a console script. Help and what needs nothing more work without its extra."""
    try:
        command()
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in LEFT_OUT:
            raise
        sys.exit(f"{program}: {missing.name} is not installed. It comes with: pip install 'hotspare[{extra}]'")
