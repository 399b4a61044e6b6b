"""Tells the ARC what the listener refused: an event of the receiver's own, under its own account number (S4).

Each kind of refusal of an account is told once a day: the id follows from both and from the day, so that a restart
tells nothing twice. Without an account number of its own the receiver tells nothing; the log and the metrics do.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid5

from hotspare_model.alarm import Alarm, AlarmPath, CodeFormat
from hotspare_model.contact_id import Qualifier
from hotspare_model.errors import HotspareError
from hotspare_receiver.clock import Clock
from hotspare_receiver.direct.intake import DirectAlarm, DirectIntake
from hotspare_rpc.logs import log_event
from hotspare_rpc.text import printable

ACCESS_DENIED = "421"
"""Contact ID."""

_REFUSALS = UUID("5b1c1c52-0a4e-4d0c-9d0c-0f6a1f7c2a11")

_log = logging.getLogger(__name__)


class Telling:
    """Makes events of refusals."""

    def __init__(
        self, intake: DirectIntake, receiver_id: Callable[[], str], has_account: Callable[[], bool], clock: Clock
    ) -> None:
        """`has_account`: whether the receiver has an account number of its own."""
        self._intake = intake
        self._receiver_id = receiver_id
        self._has_account = has_account
        self._clock = clock
        self._tasks: set[asyncio.Task[Any]] = set()

    def refused(self, reason: str, account: str) -> None:
        """The listener refused frames of an account. Call it in the loop."""
        if self._has_account():
            task = asyncio.create_task(self._tell(reason, printable(account, 16)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Tell nothing more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _tell(self, reason: str, account: str) -> None:
        now = self._clock.wall()
        words = reason.replace("_", " ")
        alarm = Alarm(
            alarm_id=str(uuid5(_REFUSALS, f"{self._receiver_id()}/{reason}/{account}/{now.date().isoformat()}")),
            device_id="",
            qualifier=Qualifier.NEW,
            code_format=CodeFormat.CONTACT_ID,
            code=ACCESS_DENIED,
            partition=0,
            zone=0,
            occurred=now,
            text=f"direct connection refused: {words}{f', account {account}' if account else ''}",
        )
        try:
            await self._intake.accept(DirectAlarm(alarm, AlarmPath.SYSTEM, now, b""))
        except HotspareError as error:
            log_event(_log, logging.WARNING, "refusal_not_told", reason=reason, account=account, problem=error.message)
