"""A cloud and receivers as an operator sets them up: by the console scripts, and the CLI `hotspare`."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest

from hotspare.v1.alarm_pb2 import Alarm
from tests.acceptance.harness.arcs import Arc
from tests.acceptance.harness.book import Balance, Book, balance, waiting_ages
from tests.acceptance.harness.panels import Panel
from tests.acceptance.harness.polling import until
from tests.acceptance.harness.process import Result, Server, run
from tests.acceptance.harness.scraping import Page, scrape

ARC_ID = "north"
ROLES = ("host", "spare1", "spare2", "spare3")
METRIC_ROLES = {"host": "host", "spare1": "spare_1", "spare2": "spare_2", "spare3": "spare_3"}
LOCAL = "127.0.0.1:0"
FLOW = 30.0
"""Seconds for alarms to get through when nothing is wrong any more."""


class Receiver(Server):
    """A receiver: its process, its data folder, its ARC."""

    def __init__(self, name: str, folder: Path, *more: str, data: Path | None = None) -> None:
        self.data = data or folder / name
        command = ["hotspare-receiver", "serve", "--data", str(self.data), "--listen", LOCAL]
        # All run on one machine here; the group would warn about that.
        more = ("--metrics", LOCAL, "--machine-id", f"machine-{name}", *more)
        super().__init__(name, [*command, *more], folder)

    @property
    def token(self) -> Path:
        """The file with the token that it made at its first start."""
        return self.data / "admin.token"

    def cli(self, *words: str | Path, fail: bool = False, options: Sequence[str] = ()) -> Result:
        """`hotspare` as an operator of this receiver."""
        return run(["hotspare", "--server", self.grpc, "--token-file", self.token, *options, *words], fail=fail)


class System:
    """What one test module needs. Everything that it starts ends with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.book = Book()
        self.receivers: dict[str, Receiver] = {}
        """By the role that they were given."""
        self.arcs: dict[str, Arc] = {}
        """By the same."""
        self.panels: list[Panel] = []
        self.arc_key = folder / "arc.key"
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

    def start_cloud(self, *more: str, data: Path | None = None) -> Server:
        """Start the cloud, with one ARC account."""
        data = data or self.folder / "cloud"
        command = ["hotspare-cloud", "serve", "--data", str(data), "--listen", LOCAL, "--metrics", LOCAL, *more]
        self.cloud = self.server(Server("cloud", command, self.folder))
        self.cloud.start()
        self.cloud.serving()
        run(["hotspare-cloud", "account", "create", ARC_ID, "--data", data, "--key-out", self.arc_key])
        return self.cloud

    def start_receiver(self, name: str, *more: str) -> Receiver:
        """Start a receiver; it serves a moment later."""
        receiver = Receiver(name, self.folder, *more)
        self.server(receiver)
        receiver.start()
        return receiver

    def arc(self, name: str, *, port: int = 0, key: str | None = None) -> Arc:
        """Start automation software, of this name in the book."""
        arc = Arc(name, self.book, port=port, key=key)
        self._stack.callback(arc.stop)
        return arc

    def start_group(self, roles: Sequence[str] = ROLES) -> None:
        """Start a cloud, and receivers each with an ARC of its own, and switch the hot spare on."""
        receivers = {role: self.start_receiver(role) for role in roles}
        self.start_cloud()
        for role, receiver in receivers.items():
            receiver.serving()
            self.receivers[role] = receiver
            self.arcs[role] = self.arc(role)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(self.configure, roles))
        for role, receiver in self.receivers.items():
            receiver.cli("enable", "--role", role)

    def configure(self, role: str) -> None:
        """Tell a receiver its cloud and its ARC."""
        self.tell_cloud(self.receivers[role])
        self.receivers[role].cli("output", "add", "arc", "--kind", "sia-dc09", "--address", self.arcs[role].address)

    def tell_cloud(self, receiver: Receiver, *more: str | Path) -> None:
        """Tell a receiver its cloud."""
        words = ("--cloud-address", self.cloud.grpc, "--arc-id", ARC_ID, "--arc-key-file", self.arc_key)
        receiver.cli("settings", "set", *words, "--name", receiver.name, *more)

    def device(self, device_id: str, account: str, *, host: Receiver | None = None) -> Path:
        """Create a device on the host; returns the file with its key, once the cloud knows the device."""
        key = self.folder / f"{device_id}.key"
        (host or self.receivers["host"]).cli("device", "create", device_id, "--account", account, "--key-out", key)
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
            self._channel = grpc.insecure_channel(self.cloud.grpc, options=options)
            self._stack.callback(self._channel.close)
        panel = Panel(self._channel, ARC_ID, device_id, account, key)
        until(lambda: knows(panel), 10, f"the cloud knows {device_id}")
        self.panels.append(panel)
        return panel

    def send(self, device_id: str, key: Path, *words: str, fail: bool = False, patience: float = 10) -> Result:
        """`hotspare alarm send` to the cloud."""
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


def knows(panel: Panel) -> bool:
    """Whether the cloud takes this device's credentials. A malformed alarm asks without storing anything."""
    with pytest.raises(grpc.RpcError) as refused:
        panel.once(Alarm(alarm_id="no id"))
    return bool(refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT)
