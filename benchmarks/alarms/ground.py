"""What is measured: a cloud in a process of its own, with ARC accounts, devices, and a backlog of any length."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import grpc

from benchmarks.alarms import alarms
from benchmarks.failover.arrivals import wait_for
from hotspare.v1 import configuration_service_pb2, record_pb2
from hotspare.v1.configuration_service_pb2_grpc import ConfigurationServiceStub
from hotspare_cloud.store.base import NewAlarm
from hotspare_cloud.store.sqlite import SqliteStore
from hotspare_model.group import GroupSettings
from hotspare_rpc.channel import open_channel
from hotspare_rpc.credentials import DeviceCredentials, new_secret
from hotspare_store.folder import DataFolder
from tests.acceptance.harness.process import Server
from tests.acceptance.harness.scraping import scrape
from tests.acceptance.harness.system import Receiver
from tests.integration.cloud.helpers import Account, furnish
from tests.integration.cloud.receivers import HOST
from tests.integration.cloud.receivers import Receiver as Host
from tests.integration.cloud.scene import Configuration, Device, send_push

LOCAL = "127.0.0.1:0"
ECHO = Path(__file__).with_name("echo.py")
PROFILED = Path(__file__).with_name("profiled.py")
PATIENCE = 60.0
FILL_STEP = 5000
"""Alarms that are put into a backlog in one commit."""
TICK = os.sysconf("SC_CLK_TCK")

T = TypeVar("T")


@dataclass(frozen=True)
class Identity:
    """By what a puller of the benchmark is known to the cloud."""

    account: Account
    receiver_id: str
    machine_id: str
    folder_id: str


@dataclass(frozen=True)
class Panel:
    """A device that the cloud knows."""

    device_id: str
    account_number: str
    metadata: Any


class _Quiet(Device):
    """A device that is not supervised: that it is silent after its turn is no event (A9)."""

    def record(self) -> bytes:
        made = record_pb2.Record.FromString(super().record())
        made.device.device.supervision_interval.SetInParent()
        return made.SerializeToString(deterministic=True)


class Ground:
    """A cloud and what stands around it. All of it ends with the `with` block."""

    profiles: Path | None = None
    """Where the profiles of all clouds and receivers go. None: they are not profiled, as for every figure."""

    def __init__(self, folder: Path, *accounts: Account, window: int = GroupSettings().window) -> None:
        """`window`: the group's setting."""
        self.folder = folder
        self.accounts = accounts
        self.data = folder / "cloud"
        self.cloud = Server("cloud", ["hotspare-cloud"], folder)
        self.echo = ""
        """Where the bare echo listens, when it was asked for."""
        self.host: Receiver | None = None
        """The real receiver, once there is one."""
        self._window = window
        self._stack = ExitStack()

    def __enter__(self) -> "Ground":
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # The cloud.

    def furnish(self) -> None:
        """Make the accounts, in the folder of a cloud that does not run."""
        _apart(furnish(self.data, self.accounts, GroupSettings(window=self._window)))

    def fill(self, arc_id: str, count: int, *, first: int = 0, devices: int = alarms.DEVICES) -> None:
        """Put alarms into a backlog, in the folder of a cloud that does not run. `first`: how many there are."""
        _apart(_fill(self.data, arc_id, first, count, devices))

    def start(self, *, with_echo: bool = False) -> float:
        """Start the cloud. Returns the seconds until it served."""
        words = ["serve", "--data", str(self.data), "--listen", LOCAL, "--metrics", LOCAL, "--disk-floor", "0"]
        command = ["hotspare-cloud", *words]
        if with_echo:
            self.echo = f"127.0.0.1:{free_port()}"
            command = [sys.executable, "-P", str(ECHO), self.echo, *words]
        command = self._profiled("cloud", command)
        if not self.cloud.addresses:
            self.cloud = Server("cloud", command, self.folder)
            self._stack.callback(lambda: self._end(self.cloud))
        self.cloud.start()
        while "serving grpc=" not in self.cloud.log():
            if not self.cloud.is_running:
                raise RuntimeError(f"the cloud ended instead of serving:\n{self.cloud.log()}")
            time.sleep(0.002)
        seconds = time.monotonic() - self.cloud.started
        self.cloud.serving()
        return seconds

    def stop(self) -> None:
        """Stop the cloud in order."""
        self.cloud.signal(signal.SIGTERM)
        self.cloud.wait()

    def cpu(self) -> float:
        """Seconds of processor that the cloud had since it started."""
        return cpu_of(self.cloud.pid)

    def memory(self) -> float:
        """The most that the cloud ever had resident, in MB."""
        for line in Path(f"/proc/{self.cloud.pid}/status").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name == "VmHWM":
                return int(value.split()[0]) * 1024 / 1e6
        raise ValueError("the system tells no VmHWM")

    def waiting(self) -> int:
        """Alarms that the cloud has no confirmation of."""
        return int(scrape(self.cloud).value("hotspare_cloud_alarms_waiting"))

    # Who is there.

    def enrol(self, arc_id: str, devices: int = alarms.DEVICES) -> tuple[Identity, list[Panel]]:
        """Take the role of the host by the contract, and make devices known; nobody attends yet."""
        account = self._account(arc_id)

        async def work() -> tuple[Identity, list[Panel]]:
            async with open_channel(self.cloud.grpc, None) as channel:
                host = Host(channel, account)
                await host.join(HOST)
                made = [
                    _Quiet(channel, account, f"panel-{index}", alarms.account_number(index)) for index in range(devices)
                ]
                await send_push(host, Configuration().changed(*made))
                identity = Identity(account, host.receiver_id, host.machine_id, host.folder_id)
                return identity, [Panel(each.device_id, each.account_number, each.metadata) for each in made]

        return _apart(work())

    def receiver(self, arc_id: str, devices: int) -> list[Panel]:
        """Start a real receiver as host, and make devices on it. It pulls nothing before it has an output (A4)."""
        account = self._account(arc_id)
        key = self.folder / f"{arc_id}.key"
        key.write_text(f"{account.key}\n")
        key.chmod(0o600)
        host = self.host = Receiver("host", self.folder)
        if self.profiles is not None:
            host.command = self._profiled("receiver", ["hotspare-receiver", *host.command[1:]])
        self._stack.callback(self._end, host)
        host.start()
        host.serving()
        cloud = ("--cloud-address", self.cloud.grpc, "--arc-id", arc_id, "--arc-key-file", key, "--name", "host")
        panels = self._devices(host, account, devices) if devices else []
        host.cli("settings", "set", *cloud)
        host.cli("enable", "--role", "host", "--yes")
        if panels:
            wait_for(lambda: self._knows(panels[-1]), PATIENCE, "the cloud knows the devices")
        return panels

    def send_to(self, arc_address: str) -> None:
        """Have the real receiver send to an ARC, by DC-09 over TCP."""
        assert self.host is not None
        self.host.cli("output", "add", "arc", "--kind", "sia-dc09", "--address", arc_address)

    def _devices(self, host: Receiver, account: Account, count: int) -> list[Panel]:
        metadata = (("authorization", f"Bearer {host.token.read_text().strip()}"),)
        made = []
        with grpc.insecure_channel(host.grpc) as channel:
            stub = ConfigurationServiceStub(channel)
            for index in range(count):
                device = record_pb2.Device(device_id=f"panel-{index}", account_number=alarms.account_number(index))
                device.supervision_interval.SetInParent()
                request = configuration_service_pb2.CreateDeviceRequest(device=device)
                key = stub.CreateDevice(request, metadata=metadata, timeout=10).device_key
                credentials = DeviceCredentials(account.arc_id, device.device_id, key)
                made.append(Panel(device.device_id, device.account_number, credentials.metadata()))
        return made

    def _knows(self, panel: Panel) -> bool | None:
        """An alarm without an id asks, and stores nothing."""
        with grpc.insecure_channel(self.cloud.grpc) as channel:
            call: Any = channel.unary_unary(alarms.PUBLISH)
            try:
                call(b"", metadata=panel.metadata, timeout=5)
            except grpc.RpcError as error:
                known = isinstance(error, grpc.Call) and error.code() is grpc.StatusCode.INVALID_ARGUMENT
                return True if known else None
        return None

    def _profiled(self, name: str, command: list[str]) -> list[str]:
        if self.profiles is None:
            return command
        to = self.profiles / self.folder.name / name
        to.mkdir(parents=True, exist_ok=True)
        script = command[2:] if command[0] == sys.executable else command
        return [sys.executable, "-P", str(PROFILED), str(to), *script]

    def _end(self, server: Server) -> None:
        if self.profiles is not None and server.is_running:
            # In order, for a profile is written in the end.
            server.signal(signal.SIGTERM)
            server.wait()
        server.destroy()

    def _account(self, arc_id: str) -> Account:
        return next(account for account in self.accounts if account.arc_id == arc_id)


def cpu_of(pid: int) -> float:
    """Seconds of processor that a process had, of all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def free_port() -> int:
    """A port of the loopback that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _apart(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, in a loop that leaves nothing behind in this thread."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


async def _fill(data: Path, arc_id: str, first: int, count: int, devices: int) -> None:
    folder = DataFolder.open(data)
    store = SqliteStore.open(folder.path, lambda error: None)
    try:
        group_id = next(group.group_id for group in await store.groups() if group.arc_id == arc_id)
        for start in range(first, first + count, FILL_STEP):
            numbers = range(start, min(start + FILL_STEP, first + count))
            await store.store_alarms(group_id, _backlog(numbers, devices))
    finally:
        store.close()
        folder.close()


def _backlog(numbers: Sequence[int], devices: int) -> list[NewAlarm]:
    """Alarms as the cloud keeps them, of one device after the other."""
    made, at = [], time.time()
    for number in numbers:
        alarm_id, index = alarms.new_id(), number % devices
        device_id, account_number = f"panel-{index}", alarms.account_number(index)
        payload = alarms.stored(alarm_id, device_id, account_number)
        made.append(NewAlarm(alarm_id, device_id, account_number, at, payload))
    return made


def new_account(arc_id: str) -> Account:
    """An account with a key."""
    return Account(arc_id, new_secret())
