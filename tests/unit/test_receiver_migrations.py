"""Whoever opens a receiver's database knows all that the server made of it (X3)."""

import subprocess
import sys

import pytest

ASK = """
import importlib
importlib.import_module("{module}")
from hotspare_receiver.store.schema import migrations
print(*[one.name for one in migrations._migrations])
"""


def known_to(module: str) -> list[str]:
    """The migrations that a process has which imports this module alone."""
    asked = [sys.executable, "-c", ASK.format(module=module)]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize("module", ["hotspare_receiver.uninstall"])
def test_x3_a_tool_knows_the_migrations_of_the_server(module: str) -> None:
    known = known_to(module)
    assert "desk_1" in known
    assert known == known_to("hotspare_receiver.app")
