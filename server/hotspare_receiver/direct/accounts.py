"""The DC-09 accounts of the configuration, kept in memory so that no frame waits for the database (D1)."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from hotspare.v1 import record_pb2
from hotspare_model.dc09_crypto import KEY_LENGTHS
from hotspare_model.dc09_reply import NakForm
from hotspare_model.digest import RecordKind
from hotspare_model.errors import HotspareError
from hotspare_model.kinds import kind_of
from hotspare_receiver.core.dc09_accounts import AccountTable, PanelAccount
from hotspare_receiver.core.dc09_window import FUTURE, PAST, TimeWindow
from hotspare_receiver.store.configuration import ConfigurationStore
from hotspare_receiver.store.draft import Head
from hotspare_receiver.store.lists import ListFilter
from hotspare_rpc.logs import log_event
from hotspare_rpc.records import unpack
from hotspare_rpc.wire import duration_from_proto

LOOK_EVERY = 0.5
"""Seconds between looks at whether the configuration has changed; that costs nothing while it has not."""

PAUSE = 10.0
"""Seconds after a look that failed."""

_PAGE = 500
_DEVICE = kind_of(RecordKind.DEVICE)
_FORMS = {record_pb2.DC09_NAK_FORM_OLD: NakForm.OLD}

_log = logging.getLogger(__name__)


def time_window(message: record_pb2.Dc09TimeWindow) -> TimeWindow:
    """The window of a message; what is unset, or can't be read, has its default."""
    return TimeWindow(_span(message, "past", PAST), _span(message, "future", FUTURE), message.off)


def panel_account(record: bytes) -> PanelAccount | None:
    """The account of a device's record; None for a device that does not speak DC-09.

    Raises:
        HotspareError: FIELD_INVALID: it is no device's record.
    """
    payload = unpack(_DEVICE, record)
    device = payload.device
    account = device.dc09.account or device.account_number
    if not device.HasField("dc09") or not account:
        return None
    # A key that can't be used must not open the account to frames in clear.
    if payload.dc09_key and len(payload.dc09_key) not in KEY_LENGTHS:
        return None
    access = device.dc09
    return PanelAccount(
        account=account.upper(),
        device_id=device.device_id,
        key=payload.dc09_key or None,
        clear_allowed=access.clear_allowed,
        window=time_window(access.time_window) if access.HasField("time_window") else None,
        nak_form=_FORMS.get(access.nak_form, NakForm.NEW),
    )


class Accounts:
    """Follows the devices of a configuration. `table` is what frames are looked up in."""

    def __init__(self, store: ConfigurationStore, on_change: Callable[[], None] = lambda: None) -> None:
        """`on_change`: called after the table changed."""
        self.table = AccountTable(complete=False)
        self._store = store
        self._on_change = on_change
        self._head: Head | None = None
        self._devices: Mapping[str, PanelAccount] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Follow the configuration from now on."""
        self._task = asyncio.create_task(self._follow(), name="dc09-accounts")

    async def stop(self) -> None:
        """Follow it no longer."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def refresh(self) -> None:
        """Have the table be that of the configuration as it is now.

        Raises:
            HotspareError: STORE_FAILED.
        """
        head, devices = await self._read()
        if devices == self._devices and self._head is not None:
            self._head = head
            return
        # Ten thousand accounts take a while to sort in, and the frames of others must not wait for that.
        table = await asyncio.to_thread(AccountTable, devices.values())
        if table.ambiguous != self.table.ambiguous and table.ambiguous:
            log_event(_log, logging.WARNING, "direct_accounts_ambiguous", accounts=", ".join(table.ambiguous[:20]))
        self._head, self._devices, self.table = head, devices, table
        self._on_change()

    async def _follow(self) -> None:
        while True:
            try:
                if self._head != self._store.head:
                    await self.refresh()
            except Exception as error:
                # What was read before still holds; a panel must not be lost for a read that failed.
                log_event(_log, logging.ERROR, "direct_accounts_unread", error=error)
                await asyncio.sleep(PAUSE)
            await asyncio.sleep(LOOK_EVERY)

    async def _read(self) -> tuple[Head, dict[str, PanelAccount]]:
        known = self._head
        if known is not None and known.revision:
            async with self._store.view(known.revision) as view:
                if view.head.lineage == known.lineage and view.head.revision >= known.revision:
                    devices = dict(self._devices)
                    async for change in view.changes():
                        if change.kind is RecordKind.DEVICE:
                            _put(devices, change.record_id, change.record)
                    return view.head, devices
        return await self._read_all()

    async def _read_all(self) -> tuple[Head, dict[str, PanelAccount]]:
        # What is edited meanwhile is in a revision above this one, and is read by the next look.
        head, devices, after = self._store.head, dict[str, PanelAccount](), ""
        while True:
            page = await self._store.page(RecordKind.DEVICE, after, _PAGE, ListFilter())
            for after, record in page.records:
                _put(devices, after, record)
            if not page.more:
                return head, devices
            await asyncio.sleep(0)


def _put(devices: dict[str, PanelAccount], device_id: str, record: bytes) -> None:
    try:
        account = panel_account(record) if record else None
    except HotspareError as error:
        # One broken record must not keep all other panels out.
        log_event(_log, logging.ERROR, "direct_account_unread", device_id=device_id, error=error)
        account = None
    if account is None:
        devices.pop(device_id, None)
    else:
        devices[device_id] = account


def _span(message: Any, name: str, default: timedelta) -> timedelta:
    span = duration_from_proto(getattr(message, name)) if message.HasField(name) else None
    return default if span is None or span < timedelta(0) else span
