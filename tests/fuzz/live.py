"""A cloud and a receiver in this process, with a group that anybody may harm and one that nobody may.

The second one is the witness: what was answered to its device, and what the receiver had in its journal at the
beginning, is there in the end. It stands for everybody else.
"""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import grpc

from hotspare.v1 import (
    account_service_pb2,
    account_service_pb2_grpc,
    alarm_pull_service_pb2,
    alarm_pull_service_pb2_grpc,
    configuration_service_pb2,
    configuration_service_pb2_grpc,
    group_pb2,
    output_pb2,
    receiver_service_pb2,
    receiver_service_pb2_grpc,
    record_pb2,
    token_pb2,
)
from hotspare_cloud.app import TOKEN_FILE, CloudOptions, serve
from hotspare_receiver.app import DATABASE_FILE, Options, ReceiverApp
from hotspare_receiver.core.forwarder import Delivered
from hotspare_receiver.journal import Journal
from hotspare_receiver.store.schema import migrations
from hotspare_rpc.address import Address
from hotspare_rpc.channel import open_channel
from hotspare_rpc.credentials import BearerToken, DeviceCredentials
from hotspare_store.database import Database
from tests.fuzz.calls import CLOUD, KEEPER, RECEIVER, WITNESS
from tests.integration.cloud.helpers import Account
from tests.integration.cloud.receivers import HOST, SPARE_1, Receiver
from tests.integration.cloud.scene import Configuration, Device, send_push
from tests.integration.path_fakes import stored_alarm

LOOPBACK = Address("127.0.0.1", 0)
DEADLINE = 15.0
JOURNALLED = range(1, 11)
"""Numbers of the alarms that the receiver's journal has at the beginning."""
SCOPE = "elsewhere/default"

# The same in every run, so that a find names what a later run has as well.
RECEIVER_IDS = ("00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b")
ALARM_IDS = tuple(f"0190c7a2-7d1f-7000-8000-00000000000{number}" for number in range(4))
SUBSCRIPTION = "automation"
KNOWN = (
    *RECEIVER_IDS, *ALARM_IDS, "panel-1", "panel-2", "4001", "4002", "default", "harmed-1", SUBSCRIPTION, "console",
    "admin", "viewer", "operator", "feed", "130", "1130", "BA", "127.0.0.1:1", "name", "code", "settings", "device",
    "paused", "account_number", "00000000-0000-7000-8000-000000000001",
)  # fmt: skip


class Alarmed(logging.Handler):
    """Collects what is logged as an error while nobody does anything but call."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record."""
        self.lines.append(self.format(record))


@dataclass
class Group:
    """What anybody may harm, and who calls in its name."""

    metadata: dict[str, dict[str, Any]]
    """By server and caller."""
    host: Receiver
    app: ReceiverApp
    folder: Path
    channel: grpc.aio.Channel
    """To the receiver."""


@dataclass
class Live:
    """The servers."""

    folder: Path
    cloud: grpc.aio.Channel
    cloud_address: str
    operator: Any
    alarmed: Alarmed
    loop_problems: list[str]
    witness: Device
    watcher: Receiver
    answered: list[int] = field(default_factory=list)
    groups: int = 0

    @contextlib.asynccontextmanager
    async def group(self) -> AsyncIterator[Group]:
        """A new group at the cloud, and a new receiver, with a group of its own."""
        self.groups += 1
        account = await self._account(f"harmed-{self.groups}")
        host, device = await furnish(self.cloud, account)
        await host.attend()
        folder = self.folder / f"receiver-{self.groups}"
        folder.mkdir(mode=0o700)
        await _journal(folder)
        app = ReceiverApp(Options(folder, LOOPBACK, machine_id=f"machine-{self.groups}"))
        await app.start()
        try:
            async with open_channel(app.address, None) as channel:
                own = await self._account(f"receiver-{self.groups}")
                metadata = {
                    CLOUD: {
                        "host": host.metadata,
                        "spare": Receiver(self.cloud, account, receiver_id=RECEIVER_IDS[1]).metadata,
                        "device": device.metadata,
                        "operator": self.operator,
                    },
                    RECEIVER: await self._set_up(folder, channel, own),
                }
                yield Group(metadata, host, app, folder, channel)
        finally:
            await app.stop()
            await host.vanish()

    async def _account(self, arc_id: str) -> Account:
        request = account_service_pb2.CreateArcAccountRequest(arc_id=arc_id)
        stub = account_service_pb2_grpc.AccountServiceStub(self.cloud)
        answer = await stub.CreateArcAccount(request, metadata=self.operator, timeout=DEADLINE)
        return Account(arc_id, answer.arc_key)

    async def _set_up(self, folder: Path, channel: grpc.aio.Channel, account: Account) -> dict[str, Any]:
        """Make the receiver the host of its group, with a device, an output and tokens; returns who may call it."""
        admin = BearerToken((folder / "admin.token").read_text().strip()).metadata()
        desk = receiver_service_pb2_grpc.ReceiverServiceStub(channel)
        settings = receiver_service_pb2.UpdateSettingsRequest(
            settings=receiver_service_pb2.ReceiverSettings(
                cloud_address=self.cloud_address, arc_id=account.arc_id, arc_key=account.key, dual_connection=True
            )
        )
        settings.update_mask.paths.extend(("cloud_address", "arc_id", "arc_key", "dual_connection"))
        await desk.UpdateSettings(settings, metadata=admin, timeout=DEADLINE)
        stream = output_pb2.StreamOptions(subscription=SUBSCRIPTION)
        output = output_pb2.Output(name="console", kind=output_pb2.OUTPUT_KIND_STREAM, stream=stream)
        await desk.CreateOutput(
            receiver_service_pb2.CreateOutputRequest(output=output), metadata=admin, timeout=DEADLINE
        )
        enable = receiver_service_pb2.EnableHotSpareRequest(role=group_pb2.ROLE_HOST)
        await desk.EnableHotSpare(enable, metadata=admin, timeout=DEADLINE)
        configuration = configuration_service_pb2_grpc.ConfigurationServiceStub(channel)
        device = configuration_service_pb2.CreateDeviceRequest(
            device=record_pb2.Device(device_id="panel-1", account_number="4001")
        )
        made = await configuration.CreateDevice(device, metadata=admin, timeout=DEADLINE)
        callers = {
            "admin": admin,
            "device": DeviceCredentials(account.arc_id, "panel-1", made.device_key).metadata(),
        }
        for name in ("operator", "viewer", "feed"):
            role = token_pb2.TokenRole.Value(f"TOKEN_ROLE_{name.upper()}")
            subscriptions = [SUBSCRIPTION] if name == "feed" else []
            token = receiver_service_pb2.CreateTokenRequest(name=name, role=role, subscriptions=subscriptions)
            answer = await desk.CreateToken(token, metadata=admin, timeout=DEADLINE)
            callers[name] = BearerToken(answer.secret).metadata()
        return callers

    async def prove(self, group: Group) -> list[str]:
        """What is wrong with the servers now: they answer the witness, and have all that they had."""
        problems = [*self.alarmed.lines, *self.loop_problems]
        self.alarmed.lines.clear()
        self.loop_problems.clear()
        try:
            self.answered.append((await self.witness.publish(zone=1 + len(self.answered) % 900)).account_sequence)
            waiting = await self._waiting()
        except grpc.aio.AioRpcError as error:
            return [*problems, f"the cloud does not answer another group: {error.code().name} {error.details()}"]
        lost = set(self.answered) - waiting
        problems += [f"the cloud lost the alarms {sorted(lost)} of another group"] if lost else []
        if group.app.failed.is_set():
            problems.append("the receiver failed")
        return problems

    async def _waiting(self) -> set[int]:
        stub = alarm_pull_service_pb2_grpc.AlarmPullServiceStub(self.cloud)
        found: set[int] = set()
        request = alarm_pull_service_pb2.ListQueueRequest(page_size=1000)
        while True:
            page = await stub.ListQueue(request, metadata=self.watcher.metadata, timeout=DEADLINE)
            found |= {entry.stored.account_sequence for entry in page.alarms}
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token


def journal_is_whole(group: Group) -> list[str]:
    """After the receiver has stopped: what its journal lost."""
    with contextlib.closing(sqlite3.connect(group.folder / DATABASE_FILE)) as connection:
        rows = connection.execute("SELECT number FROM alarm WHERE scope = ? AND confirmed IS NOT NULL", (SCOPE,))
        lost = set(JOURNALLED) - {number for (number,) in rows}
    return [f"the journal of the receiver lost {sorted(lost)}"] if lost else []


@contextlib.asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Live]:
    """Run a cloud, with the witness."""
    stop, address = asyncio.Event(), asyncio.get_running_loop().create_future()
    loop = asyncio.get_running_loop()
    problems: list[str] = []
    loop.set_exception_handler(lambda _, context: _note(context, problems))
    alarmed = Alarmed()
    logging.getLogger().addHandler(alarmed)
    with (
        mock.patch("hotspare_cloud.app.announce", lambda *, grpc, metrics: address.set_result(grpc)),
        mock.patch("hotspare_cloud.app.install_stop_signals", return_value=stop),
    ):
        cloud = asyncio.create_task(serve(CloudOptions(folder / "cloud", LOOPBACK, None, None, 0)))
        try:
            await asyncio.wait((cloud, address), return_when=asyncio.FIRST_COMPLETED)
            if cloud.done():
                cloud.result()
            async with open_channel(await address, None) as channel:
                yield await _live(folder, channel, await address, alarmed, problems)
        finally:
            stop.set()
            await asyncio.gather(cloud, return_exceptions=True)
            logging.getLogger().removeHandler(alarmed)
            loop.set_exception_handler(None)


def _note(context: dict[str, Any], problems: list[str]) -> None:
    # A task that was cancelled and is not awaited any more may be collected before it has run to its end.
    if "exception" in context:
        problems.append(f"in the loop: {context}")


async def _live(folder: Path, channel: grpc.aio.Channel, address: str, alarmed: Alarmed, problems: list[str]) -> Live:
    token = (folder / "cloud" / TOKEN_FILE).read_text().strip()
    first = BearerToken(token).metadata()
    stub = account_service_pb2_grpc.AccountServiceStub(channel)
    # Calls may rightly revoke the first one.
    role = token_pb2.TOKEN_ROLE_ADMIN
    keeper = account_service_pb2.CreateOperatorTokenRequest(name=KEEPER, role=role)
    made = await stub.CreateOperatorToken(keeper, metadata=first, timeout=DEADLINE)
    operator = BearerToken(made.secret).metadata()
    request = account_service_pb2.CreateArcAccountRequest(arc_id=WITNESS)
    answer = await stub.CreateArcAccount(request, metadata=operator, timeout=DEADLINE)
    watcher, device = await furnish(channel, Account(WITNESS, answer.arc_key))
    return Live(folder, channel, address, operator, alarmed, problems, device, watcher)


async def furnish(channel: grpc.aio.Channel, account: Account) -> tuple[Receiver, Device]:
    """A host, a spare and two devices in a group; returns the host and the first device."""
    host, spare = (Receiver(channel, account, receiver_id=receiver_id) for receiver_id in RECEIVER_IDS)
    await host.join(HOST)
    await spare.join(SPARE_1)
    devices = [Device(channel, account, f"panel-{number}", f"400{number}") for number in (1, 2)]
    await send_push(host, Configuration().changed(*devices))
    return host, devices[0]


async def _journal(folder: Path) -> None:
    """A journal in which alarms of another cloud are confirmed and done with."""
    database = Database.open(folder / DATABASE_FILE, migrations)
    journal = Journal(database)
    alarms = [Delivered(stored_alarm(number), 1, 1, False, b"") for number in JOURNALLED]
    journal.note_epoch(SCOPE, 1)
    journal.note_delivered(SCOPE, alarms)
    journal.confirm(SCOPE, alarms)
    await journal.flush()
    journal.stored(SCOPE, 1, [(JOURNALLED[0], JOURNALLED[-1])])
    await journal.close()
    database.close()
