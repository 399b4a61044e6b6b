"""Calls that a receiver passes on to its cloud, under its ARC key and with its operator's name (S5)."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from hotspare_receiver.clients.cloud import CALL_TIMEOUT, CloudClient
from hotspare_receiver.store.settings import SettingsStore
from hotspare_receiver.tokens import Operator

Answer = TypeVar("Answer")

SHARE = 0.9
"""Of the time that the caller waits: the rest is for telling that the cloud did not answer, and why."""


class Passing:
    """Asks the cloud about this receiver's own group, whichever group the caller named."""

    def __init__(self, cloud: CloudClient, settings: SettingsStore) -> None:
        self._cloud = cloud
        self._settings = settings

    def sub_account(self) -> str:
        """The sub account to ask for. One with a role is asked for none: its group is that of the role."""
        return "" if self._settings.role is not None else self._settings.settings.sub_account

    async def on(
        self,
        method: Callable[..., Awaitable[Answer]],
        request: Any,
        context: Any,
        operator: Operator,
        timeout: float = CALL_TIMEOUT,
    ) -> Answer:
        """Ask the cloud the same, for no longer than the caller waits. `timeout`: seconds.

        Raises:
            HotspareError: the cloud's own, CLOUD_UNREACHABLE.
        """
        asked = type(request)()
        asked.CopyFrom(request)
        asked.arc_id, asked.sub_account = "", self.sub_account()
        left = context.time_remaining()
        timeout = timeout if left is None else min(timeout, max(0.0, left * SHARE))
        return await self._cloud.call(method, asked, operator=operator.name, timeout=timeout)
