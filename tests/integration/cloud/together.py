"""Stories that mostly wait are told at the same time, each with an account, or a cloud, of its own.

A module says `together = Together()` and puts `@together` on its stories; each is a test of its own still. The names of
the parameters of a story tell what it gets, as with fixtures.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hotspare_rpc.channel import open_channel
from tests.integration.cloud.helpers import Account, CloudProcess

Story = Callable[..., Awaitable[None]]
Outcomes = dict[str, BaseException | None]
Pools = dict[str, list[Account]]


class Together:
    """The stories of one module."""

    def __init__(self, at_once: int = 8) -> None:
        self._at_once = at_once
        self._stories: dict[str, Story] = {}

    def __call__(self, story: Story) -> Callable[[Outcomes], None]:
        """Make a test of a story: it passes or fails as the story did."""
        name = getattr(story, "__name__", "")
        self._stories[name] = story

        def test(outcomes: Outcomes) -> None:
            problem = outcomes[name]
            if problem is not None:
                raise problem

        test.__name__, test.__doc__, test.__module__ = name, story.__doc__, story.__module__
        return test

    def tell(self, wanted: set[str], cloud: CloudProcess | None, pools: Pools, folder: Path) -> Outcomes:
        """Tell the stories of these names, and return what came of each."""

        async def told() -> Outcomes:
            turn = asyncio.Semaphore(self._at_once)
            names = [name for name in self._stories if name in wanted]
            tellings = (_tell(self._stories[name], turn, cloud, pools, folder / name[:60]) for name in names)
            results = await asyncio.gather(*tellings, return_exceptions=True)
            return dict(zip(names, results, strict=True))

        # In a thread: it has a loop of its own, whatever the loops of the other tests.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(lambda: asyncio.run(told())).result()

    def need_the_cloud(self) -> bool:
        """Whether a story is told on the cloud of all."""
        return any("cloud" in names or "channel" in names for names in map(_parameters, self._stories.values()))


def _parameters(story: Story) -> list[str]:
    return list(inspect.signature(story).parameters)


async def _tell(story: Story, turn: asyncio.Semaphore, cloud: CloudProcess | None, pools: Pools, folder: Path) -> None:
    names = _parameters(story)
    given: dict[str, Any] = {
        "cloud": lambda: cloud,
        "account": lambda: pools["sedate"].pop(),
        "other_account": lambda: pools["sedate"].pop(),
        "quick_account": lambda: pools["quick"].pop(),
        "default_accounts": lambda: [pools["default"].pop() for _ in range(3)],
    }
    values = {name: give() for name, give in given.items() if name in names}
    async with turn:
        if "own_cloud" in names:
            await asyncio.to_thread(folder.mkdir)
            own = CloudProcess(folder / "data", "--disk-floor", "0")
            try:
                await story(own_cloud=own, **values)
            finally:
                own.kill()
        else:
            assert cloud is not None
            async with open_channel(cloud.address, None) as channel:
                await story(channel=channel, **values)
