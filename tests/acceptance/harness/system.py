"""A cloud and receivers as an operator sets them up: by the console scripts, and the CLI `hotspare`."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest

from hotspare.v1.alarm_pb2 import Alarm
from hotspare.v1.role_service_pb2 import UpdateGroupSettingsResponse
from hotspare_rpc.wire import group_settings_from_proto
from tests.acceptance.harness.arcs import HOST, Arc, Sink
from tests.acceptance.harness.book import Balance, Book, balance, waiting_ages
from tests.acceptance.harness.certificates import Authority
from tests.acceptance.harness.cli import parsed
from tests.acceptance.harness.panels import Panel
from tests.acceptance.harness.polling import until
from tests.acceptance.harness.process import Result, Server, console, run
from tests.acceptance.harness.proxy import Proxy
from tests.acceptance.harness.records import Records
from tests.acceptance.harness.scraping import Page, scrape

ARC_ID = "north"
ROLES = ("host", "spare1", "spare2", "spare3")
METRIC_ROLES = {"host": "host", "spare1": "spare_1", "spare2": "spare_2", "spare3": "spare_3"}
LOCAL = "127.0.0.1:0"
FLOW = 30.0
"""Seconds for alarms to get through when nothing is wrong any more."""


class Receiver(Server):
    """A receiver: its process, its data folder, its ARC."""

    def __init__(
        self,
        name: str,
        folder: Path,
        *more: str,
        data: Path | None = None,
        machine: str | None = None,
        inside: Sequence[str] = (),
        faulty: bool = False,
    ) -> None:
        """`machine`: its machine id. See Server for the rest."""
        self.data = data or folder / name
        command = ["hotspare-receiver", "serve", "--data", str(self.data), "--listen", LOCAL]
        # All run on one machine here; the group would warn about that.
        more = ("--metrics", LOCAL, "--machine-id", machine or f"machine-{name}", *more)
        super().__init__(name, [*command, *more], folder, inside=inside, faulty=faulty)
        self._inside = tuple(inside)

    @property
    def token(self) -> Path:
        """The file with the token that it made at its first start."""
        return self.data / "admin.token"

    def cli(self, *words: str | Path, fail: bool = False, options: Sequence[str] = ()) -> Result:
        """`hotspare` as an operator of this receiver."""
        command = ["hotspare", "--server", self.grpc, "--token-file", self.token, *options, *words]
        return run([*self._inside, console("hotspare"), *command[1:]], fail=fail)


class System:
    """What one test module needs. Everything that it starts ends with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.records = Records()
        """What the checker judges."""
        self.book = Book(self.records.received)
        self.stalls_at_rest = 0
        """Stalls of the cloud before the test that runs."""
        self.receivers: dict[str, Receiver] = {}
        """By the role that they were given."""
        self.arcs: dict[str, Arc | Sink] = {}
        """By the same."""
        self.ways: dict[str, Proxy] = {}
        """By the same: the proxies through which they reach the cloud, where they do."""
        self.authority: Authority | None = None
        """Whose certificate the cloud has. None: it serves without TLS."""
        self.panels: list[Panel] = []
        self.arc_key = folder / "arc.key"
        self._accounts: dict[str, str] = {}
        self._stack = ExitStack()
        self._channel: grpc.Channel | None = None
        self.cloud = Server("cloud", ["hotspare-cloud"], folder)

    def __enter__(self) -> "System":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def server(self, server: Server) -> Server:
        """Have a server end with the rest."""
        self._stack.callback(server.destroy)
        return server

    def start_cloud(self, *more: str, data: Path | None = None, listen: str = LOCAL, faulty: bool = False) -> Server:
        """Start the cloud, with one ARC account."""
        data = data or self.folder / "cloud"
        command = ["hotspare-cloud", "serve", "--data", str(data), "--listen", listen, "--metrics", LOCAL, *more]
        self.cloud = self.server(Server("cloud", command, self.folder, faulty=faulty))
        self.cloud.start()
        self.cloud.serving()
        run(["hotspare-cloud", "account", "create", ARC_ID, "--data", data, "--key-out", self.arc_key])
        return self.cloud

    def start_receiver(
        self,
        name: str,
        *more: str,
        data: Path | None = None,
        machine: str | None = None,
        inside: Sequence[str] = (),
        faulty: bool = False,
    ) -> Receiver:
        """Start a receiver; it serves a moment later."""
        receiver = Receiver(name, self.folder, *more, data=data, machine=machine, inside=inside, faulty=faulty)
        self.server(receiver)
        receiver.start()
        return receiver

    def arc(self, name: str, *, host: str = HOST, port: int = 0, key: str | None = None) -> Arc:
        """Start automation software, of this name in the book."""
        arc = Arc(name, self.book, host=host, port=port, key=key)
        self._stack.callback(arc.stop)
        return arc

    def sink(self, name: str) -> Sink:
        """Start an ARC of our own."""
        sink = Sink(name, self.book)
        self._stack.callback(sink.stop)
        return sink

    def way(self, name: str) -> Proxy:
        """Start a proxy to the cloud, for a receiver of this name."""
        proxy = self.ways[name] = Proxy(self.cloud.grpc)
        self._stack.callback(proxy.stop)
        return proxy

    def start_group(
        self, roles: Sequence[str] = ROLES, *, proxied: bool = False, faulty: bool = False, sinks: bool = False
    ) -> None:
        """Start a cloud, and receivers each with an ARC of its own, and switch the hot spare on.

        `proxied`: each reaches the cloud through a proxy. `faulty`: all servers obey `fault`. `sinks`: the ARCs are
        of our own, and look at no clock.
        """
        receivers = {role: self.start_receiver(role, faulty=faulty) for role in roles}
        self.start_cloud(faulty=faulty)
        for role, receiver in receivers.items():
            self.receivers[role] = receiver
            self.arcs[role] = self.sink(role) if sinks else self.arc(role)
            if proxied:
                self.way(role)
        self.enable()

    def enable(self) -> None:
        """Configure the receivers and switch the hot spare on, the host first: a receiver that knows its cloud works
        alone while there is none (G7)."""
        for receiver in self.receivers.values():
            receiver.serving()
        host, *spares = self.receivers
        self.configure(host)
        self.receivers[host].cli("enable", "--role", host)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(self.configure, spares))
        for role in spares:
            self.receivers[role].cli("enable", "--role", role)

    def set_group(self, **settings: str | int) -> None:
        """Change settings of the group, by the CLI at the host: names of fields, values as it takes them."""
        words = [word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", str(value))]
        answer = self.receivers["host"].cli("group", "set", *words, "-o", "json")
        response = parsed(answer, UpdateGroupSettingsResponse)
        self.records.governed_by(group_settings_from_proto(response.settings))

    def configure(self, role: str) -> None:
        """Tell a receiver its cloud and its ARC."""
        self.tell_cloud(self.receivers[role])
        self.receivers[role].cli("output", "add", "arc", "--kind", "sia-dc09", "--address", self.arcs[role].address)

    def tell_cloud(self, receiver: Receiver, *more: str | Path) -> None:
        """Tell a receiver its cloud."""
        way = self.ways.get(receiver.name)
        words = ("--cloud-address", way.address if way else self.cloud.grpc, "--arc-id", ARC_ID)
        if self.authority is not None:
            more = ("--cloud-ca-file", self.authority.file, *more)
        receiver.cli("settings", "set", *words, "--arc-key-file", self.arc_key, "--name", receiver.name, *more)

    def device(self, device_id: str, account: str, *, host: Receiver | None = None, supervision: str = "0s") -> Path:
        """Create a device on the host; returns the file with its key, once the cloud knows the device.

        `supervision`: unless told otherwise nobody misses it (A9), however long a test leaves it alone.
        """
        key = self.folder / f"{device_id}.key"
        self._accounts[device_id] = account
        words = ("device", "create", device_id, "--account", account, "--supervision", supervision, "--key-out", key)
        (host or self.receivers["host"]).cli(*words)
        return key

    def panel(self, device_id: str, account: str, *, host: Receiver | None = None) -> Panel:
        """Create a device on the host, and be it."""
        key = self.device(device_id, account, host=host).read_text().strip()
        return self.be_panel(device_id, account, key)

    def be_panel(self, device_id: str, account: str, key: str) -> Panel:
        """Be a device of this key, once the cloud knows it (B3)."""
        if self._channel is None:
            # Devices of the field come back quickly; gRPC's own backoff grows to two minutes.
            options = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200)]
            if self.authority is not None:
                trusted = grpc.ssl_channel_credentials(self.authority.file.read_bytes())
                self._channel = grpc.secure_channel(self.cloud.grpc, trusted, options=options)
            else:
                self._channel = grpc.insecure_channel(self.cloud.grpc, options=options)
            self._stack.callback(self._channel.close)
        panel = Panel(self._channel, ARC_ID, device_id, account, key, self.records.published)
        until(lambda: knows(panel), 10, f"the cloud knows {device_id}")
        self.panels.append(panel)
        return panel

    def send(self, device_id: str, key: Path, *words: str, fail: bool = False, patience: float = 10) -> Result:
        """`hotspare alarm send` to the cloud. It does not tell the numbers of its alarms."""
        self.records.unseen(self._accounts.get(device_id, "").upper())
        head = ["hotspare", "--server", self.cloud.grpc, "--timeout", str(patience), "alarm", "send"]
        return run([*head, "--arc-id", ARC_ID, "--device", device_id, "--key-file", key, *words], fail=fail)

    # What can be seen from outside.

    def page(self) -> Page:
        """The metrics of the cloud."""
        return scrape(self.cloud)

    def working(self) -> str | None:
        """The role that works, as the cloud tells; None: nobody does."""
        page = self.page()
        for role, label in METRIC_ROLES.items():
            for _, value in page.samples("hotspare_cloud_member_status", role=label, status="working"):
                if value:
                    return role
        return None

    def stalls(self) -> int:
        """How often the cloud stood still for half a second or more since it started."""
        return int(self.page().value("hotspare_cloud_stalls_total"))

    def epoch(self) -> int:
        """The group's epoch."""
        return int(self.page().value("hotspare_cloud_epoch"))

    def moves(self) -> dict[str, int]:
        """Moves of the working role since the cloud started, by reason; only those that happened."""
        samples = self.page().samples("hotspare_cloud_moves_total")
        return {labels["reason"]: int(value) for labels, value in samples if value}

    def await_working(self, role: str, seconds: float = FLOW) -> None:
        """Wait until this role works."""
        until(lambda: self.working() == role, seconds, lambda: f"{role} works; {self.working()} does")

    def balance(self) -> Balance:
        """All that the panels published against all that the ARCs received."""
        return balance([alarm for panel in self.panels for alarm in panel.published], self.book.all())

    def settle(self, seconds: float = FLOW) -> Balance:
        """Wait until every published alarm was received, and the cloud knows so; check all that holds always.

        Nothing lost, first receipts in order (A3), the same identity and data each time (A6), and no alarm
        refused by an ARC.
        """
        until(lambda: not self.balance().lost, seconds, lambda: f"all received: {waiting_ages(self.balance().lost)}")
        until(lambda: self.page().value("hotspare_cloud_alarms_waiting") == 0, 10, "the cloud has all confirmations")
        result = self.balance()
        assert not result.problems, result.problems[:5]
        assert {name: arc.problems() for name, arc in self.arcs.items() if arc.problems()} == {}
        return result

    def judge(self) -> None:
        """Have the checker judge all that happened. What still waits is not lost."""
        if self.panels:
            at_rest = self.cloud.is_running and self.page().value("hotspare_cloud_alarms_waiting") == 0
            self.records.judge(self.cloud.log_file, at_rest=at_rest)


def knows(panel: Panel) -> bool:
    """Whether the cloud takes this device's credentials. A malformed alarm asks without storing anything."""
    with pytest.raises(grpc.RpcError) as refused:
        panel.once(Alarm(alarm_id="no id"))
    return bool(refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT)
