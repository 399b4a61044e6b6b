"""A receiver's alarm path with a scripted cloud, an ARC and subscribers, for the tests of that path."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.feed_trial import FeedReceiver, Subscribe, Subscriber, trial
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


@pytest.fixture
async def feed(tmp_path: Path, cloud: FakeCloud, arc: FakeArc) -> AsyncIterator[FeedReceiver]:
    """A receiver with one stream output, served."""
    receiver = trial(tmp_path, cloud, arc)
    await receiver.serve()
    yield receiver
    await receiver.crash()


@pytest.fixture
async def subscribe(feed: FeedReceiver) -> AsyncIterator[Subscribe]:
    """Opens a subscription, and closes all at the end."""
    opened: list[Subscriber] = []
    secret = await feed.token()

    async def subscribe(**options: Any) -> Subscriber:
        subscriber = Subscriber(feed.served_at, options.pop("secret", secret), **options)
        opened.append(subscriber)
        return await (subscriber.ready() if subscriber.reading else subscriber.open())

    yield subscribe
    for subscriber in opened:
        with contextlib.suppress(Exception):
            await subscriber.close()
