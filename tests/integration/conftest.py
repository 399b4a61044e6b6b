"""A receiver's alarm path with a scripted cloud and an ARC, for the tests of that path."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.path_fakes import FakeArc, FakeCloud, Receiver


@pytest.fixture
async def cloud() -> AsyncIterator[FakeCloud]:
    cloud = FakeCloud()
    await cloud.start()
    yield cloud
    await cloud.server.stop(0)


@pytest.fixture
async def arc(request: pytest.FixtureRequest) -> AsyncIterator[FakeArc]:
    """A parameter is its AES key."""
    arc = FakeArc(getattr(request, "param", None))
    await arc.start()
    yield arc
    await arc.stop()


@pytest.fixture
async def receiver(tmp_path: Path, cloud: FakeCloud, arc: FakeArc) -> AsyncIterator[Receiver]:
    receiver = Receiver(tmp_path, cloud, arc)
    yield receiver
    await receiver.crash()
