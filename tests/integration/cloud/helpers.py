"""What the tests of the cloud share: the cloud as a process, its accounts, waiting, and reading errors."""

import asyncio
import os
import re
import select
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from hotspare.v1 import account_service_pb2, account_service_pb2_grpc
from hotspare_cloud.store.base import AccountRow
from hotspare_cloud.store.sqlite import DATABASE_NAME, SqliteStore
from hotspare_cloud.store.sqlite_steps import settings_to_json
from hotspare_model.errors import HotspareError
from hotspare_model.group import GroupSettings
from hotspare_rpc.credentials import BearerToken, new_secret, sha256
from hotspare_rpc.errors import canonical_code, from_rpc_error
from hotspare_store.folder import DataFolder

COMMAND = str(Path(sys.executable).with_name("hotspare-cloud"))
LOOPBACK = "127.0.0.1:0"
DEADLINE = 15.0
READY = re.compile(r"serving grpc=(\S+?)(?: metrics=(\S+))?\n")

SUB_ACCOUNTS = ("default", "second")

QUICK = GroupSettings(
    lease=timedelta(seconds=2),
    beat=timedelta(seconds=0.2),
    reconnect_grace=timedelta(seconds=0.3),
    suspect_after=timedelta(seconds=1.2),
    restart_grace=timedelta(seconds=1),
    failback_delay=timedelta(seconds=0.8),
    drain_timeout=timedelta(seconds=1),
).checked()
"""Legal settings with which a story of several moves takes seconds."""

SEDATE = replace(QUICK, failback_delay=timedelta(hours=1)).checked()
"""The same, without failback: for stories that are about something else."""


async def until(condition: Callable[[], object], what: str = "it came true", deadline: float = DEADLINE) -> None:
    """Wait for a condition of this process; fail when it doesn't come true."""
    ends = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < ends, f"waited {deadline:g} s in vain until {what}"
        await asyncio.sleep(0.005)


async def until_asked(
    ask: Callable[[], Awaitable[Any]],
    fits: Callable[[Any], object],
    what: str = "the answer fits",
    deadline: float = DEADLINE,
) -> Any:
    """Ask again and again until the answer fits, and return it."""
    ends = time.monotonic() + deadline
    while not fits(answer := await ask()):
        assert time.monotonic() < ends, f"waited {deadline:g} s in vain until {what}; last: {answer}"
        await asyncio.sleep(0.02)
    return answer


async def to_its_end(stream: Any) -> None:
    """Read a stream until it ends."""
    while await stream.read() is not grpc.aio.EOF:
        pass


async def refused(call: Awaitable[Any]) -> HotspareError:
    """The error that a call is refused with; its canonical code must be that of its reason."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    ours = from_rpc_error(raised.value)
    assert ours is not None, f"an error without a reason: {raised.value}"
    assert raised.value.code() is canonical_code(ours.reason)
    return ours


@dataclass(frozen=True)
class Account:
    """An ARC account with its key."""

    arc_id: str
    key: str = field(repr=False)


def new_accounts(prefix: str, count: int) -> list[Account]:
    """Accounts that do not exist yet."""
    return [Account(f"{prefix}-{number}", new_secret()) for number in range(1, count + 1)]


async def furnish(data: Path, accounts: Sequence[Account], settings: GroupSettings) -> None:
    """Make accounts in the folder of a cloud that does not run, with these settings in all their groups."""
    folder = DataFolder.open(data)
    store = SqliteStore.open(folder.path, lambda error: None)
    try:
        await asyncio.gather(
            *(
                store.create_account(AccountRow(account.arc_id, sha256(account.key), time.time()), SUB_ACCOUNTS)
                for account in accounts
            )
        )
        text = settings_to_json(settings)
        change = "UPDATE grp SET settings = ? WHERE arc_id = ?"
        values = [(text, account.arc_id) for account in accounts]
        await store.database.write(lambda db: db.executemany(change, values).rowcount)
    finally:
        store.close()
        folder.close()


class CloudProcess:
    """`hotspare-cloud serve` on one data folder, as often as it is started."""

    def __init__(
        self,
        data: Path,
        *options: str,
        listen: str = LOOPBACK,
        log: Path | None = None,
        before: Sequence[str] = (),
    ) -> None:
        """`before` is what goes in front of the command, for one that is to run elsewhere."""
        self.data = data
        self.address = ""
        self.metrics = ""
        self._options = options
        self._listen = listen
        self._errors = log or data.with_name(f"{data.name}.log")
        self._before = before
        self._child: subprocess.Popen[str] | None = None
        self._serves_since = 0.0

    def start(self) -> "CloudProcess":
        """Start it, and wait until it serves. Started again, it listens where it did."""
        listen = self.address or self._listen
        command = [*self._before, COMMAND, "serve", "--data", str(self.data), "--listen", listen, *self._options]
        with self._errors.open("a") as errors:
            self._child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert self._child.stdout is not None
        readable, _, _ = select.select([self._child.stdout], [], [], DEADLINE)
        line = self._child.stdout.readline() if readable else ""
        ready = READY.fullmatch(line)
        if ready is None:
            self.kill()
            raise AssertionError(f"the cloud did not start: {line!r} {self.log()}")
        self.address, self.metrics = ready[1], ready[2] or ""
        self._serves_since = time.monotonic()
        return self

    def until_judging(self, settings: GroupSettings) -> float:
        """Seconds until it suspects the receivers of groups with these settings: `restart_grace` after its start."""
        return max(0.0, self._serves_since + settings.restart_grace.total_seconds() + 0.1 - time.monotonic())

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self._child is not None
        return self._child.pid

    @property
    def token(self) -> str:
        """The token that the first start made for the cloud's operator."""
        return (self.data / "operator.token").read_text().strip()

    def log(self) -> str:
        """What it wrote to its standard error until now, over all starts."""
        return self._errors.read_text()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """End it with -9."""
        if self._child is not None:
            self._child.kill()
            self._ended(self._child)

    def stop(self) -> int:
        """End it in order, and return its exit status."""
        assert self._child is not None
        self._child.terminate()
        return self._ended(self._child)

    def wait(self) -> int:
        """Wait until it ends by itself, and return its exit status."""
        assert self._child is not None
        return self._ended(self._child)

    def _ended(self, child: subprocess.Popen[str]) -> int:
        status = child.wait(DEADLINE)
        assert child.stdout is not None
        child.stdout.close()
        self._child = None
        return status


def run_cloud(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of `hotspare-cloud` to its end."""
    return subprocess.run([COMMAND, *arguments], capture_output=True, text=True, timeout=DEADLINE, check=False)


def query(data: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """Look into the database of a cloud, running or not."""
    database = sqlite3.connect(f"file:{data / DATABASE_NAME}?mode=ro", uri=True)
    try:
        return database.execute(sql, values).fetchall()
    finally:
        database.close()


async def open_account(channel: grpc.aio.Channel, token: str, arc_id: str, *sub_accounts: str) -> Account:
    """Create an account at a running cloud; its groups have the default settings."""
    answer = await account_service_pb2_grpc.AccountServiceStub(channel).CreateArcAccount(
        account_service_pb2.CreateArcAccountRequest(arc_id=arc_id, sub_accounts=sub_accounts),
        metadata=BearerToken(token).metadata(),
        timeout=DEADLINE,
    )
    return Account(arc_id, answer.arc_key)


def numbers_in(ranges: Sequence[Any]) -> list[int]:
    """The numbers in ranges of the contract."""
    return [number for each in ranges for number in range(each.first, each.last + 1)]
