"""One cloud for all tests here that need none of their own; each test has an ARC account of its own."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from hotspare_model.group import GroupSettings
from hotspare_rpc.channel import open_channel
from tests.integration.cloud.helpers import QUICK, SEDATE, Account, CloudProcess, furnish, new_accounts
from tests.integration.cloud.together import Outcomes, Together

SETTINGS = {"quick": QUICK, "sedate": SEDATE, "default": GroupSettings()}

POOL = {"quick": 40, "sedate": 500, "default": 20}
"""Accounts of each kind: more than there are tests."""


@pytest.fixture(scope="session")
def pools() -> dict[str, list[Account]]:
    """Accounts that no test has had yet."""
    return {name: new_accounts(name, count) for name, count in POOL.items()}


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory, pools: dict[str, list[Account]]) -> Iterator[CloudProcess]:
    """A running cloud that nobody may stop."""
    data = tmp_path_factory.mktemp("cloud") / "data"

    async def prepare() -> None:
        for name, settings in SETTINGS.items():
            await furnish(data, pools[name], settings)

    # In a thread: the loops of the tests are none of a session's business.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(prepare())).result()
    process = CloudProcess(data, "--disk-floor", "0").start()
    time.sleep(process.until_judging(SEDATE))
    yield process
    assert process.stop() == 0, process.log()


@pytest.fixture
def account(pools: dict[str, list[Account]]) -> Account:
    """An account without failback, with short times."""
    return pools["sedate"].pop()


@pytest.fixture
def other_account(pools: dict[str, list[Account]]) -> Account:
    """One more."""
    return pools["sedate"].pop()


@pytest.fixture
def quick_account(pools: dict[str, list[Account]]) -> Account:
    """An account with short times, failback too."""
    return pools["quick"].pop()


@pytest.fixture
def default_accounts(pools: dict[str, list[Account]]) -> list[Account]:
    """Three accounts with the default settings."""
    return [pools["default"].pop() for _ in range(3)]


@pytest.fixture
async def channel(cloud: CloudProcess) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to the cloud."""
    async with open_channel(cloud.address, None) as opened:
        yield opened


@pytest.fixture
def own_cloud(tmp_path: Path) -> Iterator[CloudProcess]:
    """A cloud of the test's own, not started; it is killed in the end if it still runs."""
    process = CloudProcess(tmp_path / "data", "--disk-floor", "0")
    yield process
    process.kill()


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, pools: dict[str, list[Account]], tmp_path_factory: pytest.TempPathFactory
) -> Outcomes:
    """What came of the stories of a module that are told together."""
    together: Together = request.module.together
    wanted = {item.name for item in request.session.items if item.path == request.path}
    cloud = request.getfixturevalue("cloud") if together.need_the_cloud() else None
    return together.tell(wanted, cloud, pools, tmp_path_factory.mktemp("together"))
