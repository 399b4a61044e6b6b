"""Acceptance: real processes by the console scripts; the ARC is pysiaalarm. See harness/ for its limits."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.harness.installing import Environment, build_wheel
from tests.acceptance.harness.system import System


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[System]:
    """An empty system for one module, judged at its end; whatever it starts is gone afterwards."""
    folder: Path = tmp_path_factory.mktemp(str(request.module.__name__).rpartition("_")[2])
    with System(folder) as system:
        yield system
        system.judge()


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree."""
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Environment:
    """What `pip install hotspare` brings, in an environment that was empty."""
    return Environment(tmp_path_factory.mktemp("plain") / "venv", str(wheel))


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> "Teller":
    """Print a figure although output is captured."""
    return Teller(capsys)


class Teller:
    """Prints measured figures."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, text: str) -> None:
        """One line."""
        with self._capsys.disabled():
            print(f"\n    {text}", flush=True)
