"""Who plays in the demo, and how they are set up: by the commands that a user would type."""

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from hotspare.v1 import configuration_service_pb2, configuration_service_pb2_grpc
from hotspare.v1.record_pb2 import Device
from hotspare_rpc.channel import open_channel
from hotspare_rpc.credentials import BearerToken
from hotspare_rpc.errors import describe
from hotspare_sim.demo.children import Child, DemoError, run_command
from hotspare_sim.demo.ways import Ways, free_address, panel_keys, panels_file

ARC_ID = "demo"
ANY_PORT = "127.0.0.1:0"
START_TIMEOUT = 30.0
CALL_TIMEOUT = 10.0
FIRST_ACCOUNT = 0x1001
ARC_DELAY = 0.03
"""Seconds that an ARC's software takes to answer: real ones do, and so alarms are under way when a host dies."""
ARC_LOAD = 0.6
"""How much of its time it is busy at most: else it would never catch up."""
OWN_ACCOUNTS = {"host": "F001", "spare1": "F002", "spare2": "F003", "spare3": "F004"}
"""Under these numbers the receivers tell their ARCs of take-overs and returns."""
ROLES = {"host": "host", "spare1": "spare 1", "spare2": "spare 2", "spare3": "spare 3"}
"""What people call the roles, by the word of the command line."""


@dataclass(frozen=True)
class Scale:
    """How large the demo is."""

    devices: int
    rate: float
    """Alarms a second, of all devices."""


@dataclass(frozen=True)
class Station:
    """A receiver with its own ARC's software."""

    role: str
    """As on the command line: `host`, `spare1`, …"""
    receiver: Child
    arc: Child
    data: Path
    arc_log: Path

    @property
    def title(self) -> str:
        """What people call it."""
        return ROLES[self.role]

    @property
    def token_file(self) -> Path:
        """The admin token that the receiver made at its first start."""
        return self.data / "admin.token"

    def hotspare(self, *words: str) -> list[str]:
        """The command `hotspare` for this receiver."""
        server = self.receiver.addresses["grpc"]
        return ["hotspare", "--server", server, "--token-file", str(self.token_file), *words]


@dataclass
class Cast:
    """All processes. What is in the folder: data of cloud and receivers, logs, keys."""

    folder: Path
    scale: Scale
    ways: Ways = field(default_factory=Ways)
    cloud: Child = field(init=False)
    stations: dict[str, Station] = field(init=False)
    """By role, in the order of taking over."""
    devices: Child = field(init=False)
    accounts: dict[str, str] = field(init=False)
    """Account number by device id."""
    panel_keys: dict[str, bytes] = field(init=False, repr=False)
    """AES keys of the panels that speak DC-09 to the host; empty for one in clear."""
    direct_address: str = field(init=False)
    """Where the host takes panels. It tells nobody, so that it can't be port 0."""

    def __post_init__(self) -> None:
        logs = self.folder / "logs"
        logs.mkdir(mode=0o700)
        servers = ("--listen", ANY_PORT, "--metrics", ANY_PORT)
        cloud = ("hotspare-cloud", "serve", "--data", str(self.folder / "cloud"), *servers)
        self.cloud = Child("the cloud", cloud, logs / "cloud.log")
        self.stations = {role: self._station(role, logs, servers) for role in ROLES}
        self.accounts = {
            f"panel-{number:03d}": f"{FIRST_ACCOUNT + number - 1:04X}" for number in range(1, self.scale.devices + 1)
        }
        self.devices = Child("the devices", (), logs / "devices.log")
        self.panel_keys = panel_keys(self.accounts) if self.ways.direct else {}
        self.direct_address = free_address() if self.ways.direct else ""

    def _station(self, role: str, logs: Path, servers: tuple[str, ...]) -> Station:
        data, arc_log = self.folder / role, logs / f"arc-{role}.jsonl"
        serve = ("hotspare-receiver", "serve", "--data", str(data), *servers, "--machine-id", f"demo-{role}")
        delay = f"{min(ARC_DELAY, ARC_LOAD / self.scale.rate):.6f}"
        listen = (
            "hotspare-sim", "arc", "--kind", self.ways.arc.simulated, "--listen", ANY_PORT,
            "--log", str(arc_log), "--delay", delay,
        )  # fmt: skip
        return Station(
            role,
            Child(f"the receiver of {ROLES[role]}", serve, logs / f"{role}.log"),
            Child(f"the ARC of {ROLES[role]}", listen, logs / f"arc-{role}.log"),
            data,
            arc_log,
        )

    @property
    def servers(self) -> list[Child]:
        """All but the devices."""
        return [self.cloud, *(child for one in self.stations.values() for child in (one.arc, one.receiver))]

    @property
    def devices_log(self) -> Path:
        """What the devices published."""
        return self.folder / "logs" / "devices.jsonl"

    @property
    def arc_key(self) -> Path:
        """File of the key of the ARC account."""
        return self.folder / "arc.key"

    @property
    def device_keys(self) -> Path:
        """File of the keys of all devices."""
        return self.folder / "devices.json"

    @property
    def panels_file(self) -> Path:
        """File of accounts and AES keys of the panels that speak DC-09 to the host."""
        return self.folder / "panels.json"

    @property
    def host(self) -> Station:
        """The first in order."""
        return self.stations["host"]

    @property
    def spares(self) -> list[Station]:
        """All but the host."""
        return [one for one in self.stations.values() if one is not self.host]

    @property
    def spare1(self) -> Station:
        """The second in order."""
        return self.stations["spare1"]

    async def start_servers(self) -> None:
        """Start all but the devices, at once. Raises DemoError."""
        for child in self.servers:
            await child.start()
        for child in self.servers:
            await child.serving(START_TIMEOUT)

    async def create_account(self) -> list[str]:
        """Make the ARC account beside the running cloud; returns the command. Raises DemoError."""
        data = str(self.folder / "cloud")
        command = [
            "hotspare-cloud",
            "account",
            "create",
            ARC_ID,
            "--data",
            data,
            "--key-out",
            str(self.arc_key),
        ]
        await run_command(command)
        return command

    def settings_of(self, station: Station) -> list[list[str]]:
        """The commands that tell a receiver its cloud and its ARC's software."""
        settings = station.hotspare(
            "settings", "set", "--name", station.role, "--cloud-address", self.cloud.addresses["grpc"],
            "--arc-id", ARC_ID, "--arc-key-file", str(self.arc_key), "--own-account", OWN_ACCOUNTS[station.role],
        )  # fmt: skip
        arc = self.ways.arc
        output = station.hotspare(
            "output", "add", "arc", "--kind", arc.output, "--address", station.arc.addresses[arc.simulated],
            "--receiver-number", "1", "--line-number", "1",
        )  # fmt: skip
        # D1: only a host takes panels; a spare may not even have it switched on (G5).
        direct = ("settings", "set", "--dual-connection", "on", "--dc09-listen", self.direct_address)
        return [settings, *([station.hotspare(*direct)] if self.takes_panels(station) else []), output]

    def takes_panels(self, station: Station) -> bool:
        """Whether panels are connected to this receiver."""
        return self.ways.direct and station is self.host

    async def set_up(self, station: Station) -> None:
        """Run the commands of `settings_of`. Raises DemoError."""
        for command in self.settings_of(station):
            await run_command(command)

    async def set_up_spares(self) -> None:
        """Set up the spares, two at a time: each command is a whole process. Raises DemoError."""
        gate = asyncio.Semaphore(2)

        async def one(station: Station) -> None:
            async with gate:
                await self.set_up(station)

        await asyncio.gather(*map(one, self.spares))

    async def enable(self, station: Station) -> list[str]:
        """Give a receiver its role; returns the command. Raises DemoError."""
        command = station.hotspare("enable", "--role", station.role)
        await run_command(command)
        return command

    def device_commands(self, device_id: str) -> list[list[str]]:
        """The commands that make a device."""
        create = self.host.hotspare("device", "create", device_id, "--account", self.accounts[device_id])
        if not self.ways.direct:
            return [create]
        key_file = ("--key-file", f"{device_id}.aes") if self.panel_keys[device_id] else ()
        return [create, self.host.hotspare("device", "dc09", device_id, "--on", *key_file)]

    async def create_devices(self) -> None:
        """Make the devices on the host by gRPC, as `device_commands` would one by one. Raises DemoError."""
        token = BearerToken(self.host.token_file.read_text(encoding="ascii").strip())
        keys: dict[str, str] = {}
        async with open_channel(self.host.receiver.addresses["grpc"], None) as channel:
            stub = configuration_service_pb2_grpc.ConfigurationServiceStub(channel)
            for device_id, account in self.accounts.items():
                request = configuration_service_pb2.CreateDeviceRequest(
                    device=Device(device_id=device_id, account_number=account)
                )
                if self.ways.direct:
                    request.device.dc09.SetInParent()
                    request.dc09_key = self.panel_keys[device_id]
                try:
                    response = await stub.CreateDevice(request, timeout=CALL_TIMEOUT, metadata=token.metadata())
                except grpc.aio.AioRpcError as problem:
                    raise DemoError(f"the device {device_id} was not made: {describe(problem)}") from problem
                keys[device_id] = response.device_key
        _write_private(self.device_keys, keys)
        if self.ways.direct:
            _write_private(self.panels_file, panels_file(self.accounts, self.panel_keys))

    async def start_devices(self) -> None:
        """Let the devices begin. Raises DemoError."""
        self.devices.command = [
            "hotspare-sim", "devices", "--cloud", self.cloud.addresses["grpc"], "--arc-id", ARC_ID,
            "--keys", str(self.device_keys), "--rate", f"{self.scale.rate:g}", "--log", str(self.devices_log),
            *(("--numbered",) if self.ways.numbered else ()),
            *(("--direct", self.direct_address, "--panels", str(self.panels_file)) if self.ways.direct else ()),
        ]  # fmt: skip
        await self.devices.start()

    async def leave_nothing(self) -> None:
        """Kill whatever still runs."""
        for child in (self.devices, *self.servers):
            await child.end()


def _write_private(file: Path, content: object) -> None:
    file.touch(mode=0o600)
    file.write_text(json.dumps(content), encoding="utf-8")
