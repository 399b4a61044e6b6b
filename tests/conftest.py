"""What every test process needs before anything else is imported."""

import logging
import os
import signal
from collections.abc import Iterator

import hypothesis
import pytest

# No example has a time limit: on a machine that is busy one would fail now and then, and say nothing.
hypothesis.settings.register_profile("hotspare", deadline=None)
hypothesis.settings.load_profile("hotspare")

# gRPC's core takes part in every fork, and now and then aborts the child before it has become the command that a test
# wanted to start. No test forks and goes on in Python, so the core need not care.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what runs in its background deaf to SIGINT, and children inherit that; some tests interrupt them.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _as_loud_as_before() -> Iterator[None]:
    """A command that a test runs in its own process sets how loud its logs are, for all tests after it."""
    root = logging.getLogger()
    level = root.level
    yield
    root.setLevel(level)
