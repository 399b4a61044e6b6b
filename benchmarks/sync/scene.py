"""A host with a configuration of some size, a cloud, and spares that join one after the other."""

import asyncio
import hashlib
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc

from benchmarks.failover.arrivals import wait_for
from hotspare.v1 import configuration_service_pb2 as messages
from hotspare.v1 import group_pb2, receiver_service_pb2, record_pb2
from hotspare.v1.configuration_service_pb2_grpc import ConfigurationServiceStub
from hotspare.v1.receiver_service_pb2_grpc import ReceiverServiceStub
from hotspare_model.digest import RecordKind
from hotspare_model.kinds import Kind, kind_of
from hotspare_receiver import journal
from hotspare_receiver.store.configuration import ConfigurationStore
from hotspare_receiver.store.draft import Draft
from hotspare_receiver.store.schema import migrations
from hotspare_rpc.records import packed, set_id
from hotspare_store.database import Database
from tests.acceptance.harness.process import Server
from tests.acceptance.harness.system import Receiver, System

PATIENCE = 300.0
"""Seconds for anything; what takes longer has failed."""
assert journal, "it adds its migrations to those of the receiver's database"
ZONES = 4
RECORDS_A_DEVICE = 1 + 1 + ZONES + 1
"""The device, a partition, its zones, a channel."""


class Follower:
    """Watches the status of a receiver, and knows when it was in order at which revision."""

    def __init__(self, receiver: Receiver) -> None:
        self._channel = grpc.insecure_channel(receiver.grpc)
        self._metadata = bearer(receiver)
        self._changed = threading.Condition()
        self._reached: dict[int, float] = {}
        self.revision = 0
        threading.Thread(target=self._watch, daemon=True).start()

    def close(self) -> None:
        """Watch no more."""
        self._channel.close()

    def reached(self, revision: int) -> float:
        """The clock when it was in order at a revision, or a later one. Waits for it."""
        deadline = time.monotonic() + PATIENCE
        with self._changed:
            while self.revision < revision:
                if not self._changed.wait(deadline - time.monotonic()):
                    raise TimeoutError(f"revision {revision} did not come; {self.revision} did")
            return min(at for known, at in self._reached.items() if known >= revision)

    def _watch(self) -> None:
        request = receiver_service_pb2.WatchStatusRequest()
        try:
            for answer in ReceiverServiceStub(self._channel).WatchStatus(request, metadata=self._metadata):
                self._note(time.monotonic(), answer.status)
        except (grpc.RpcError, ValueError):
            # The channel was closed, or its receiver ended: whoever waits finds that nothing comes.
            return

    def _note(self, now: float, status: receiver_service_pb2.ReceiverStatus) -> None:
        if status.sync_state != group_pb2.SYNC_STATE_UP_TO_DATE:
            return
        with self._changed:
            self._reached.setdefault(status.backup.revision, now)
            self.revision = status.backup.revision
            self._changed.notify_all()


class Scene(System):
    """See the module. The host is not told its cloud before `join_host`, so that its first push is one."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.followers: dict[str, Follower] = {}

    def __enter__(self) -> "Scene":
        return self

    def begin(self, devices: int) -> None:
        """A cloud, and a host that has its configuration and no cloud yet."""
        self.start_cloud()
        host = self.receivers["host"] = self.start_receiver("host")
        host.serving()
        self.arcs["host"] = self.sink("host")
        host.signal(signal.SIGTERM)
        host.wait()
        asyncio.run(fill(host.data / "receiver.db", devices))
        host.start()
        host.serving()

    def join(self, role: str) -> float:
        """Have a receiver take its role. Returns the clock right before it did."""
        if role != "host":
            receiver = self.receivers[role] = self.start_receiver(role)
            receiver.serving()
            self.arcs[role] = self.sink(role)
        self.way(role)
        receiver = self.receivers[role]
        receiver.cli("output", "add", "arc", "--kind", "sia-dc09", "--address", self.arcs[role].address)
        self.followers[role] = follower = Follower(receiver)
        self._stack.callback(follower.close)
        begun = time.monotonic()
        self.tell_cloud(receiver)
        if role != "host":
            # The host sends as soon as it knows its cloud, for it works alone until it has its role (G7).
            begun = time.monotonic()
        receiver.cli("enable", "--role", role, "--yes")
        return begun

    def rename_by(self, stub: ConfigurationServiceStub, number: int, name: str) -> None:
        """One change at the host, by a channel that stands."""
        request = messages.UpdateDeviceRequest(device=record_pb2.Device(device_id=f"panel-{number:05d}", name=name))
        request.update_mask.paths.append("name")
        stub.UpdateDevice(request, metadata=bearer(self.receivers["host"]), timeout=PATIENCE)

    def head(self) -> tuple[int, int]:
        """Revision and number of records at the host."""
        with self.host() as stub:
            answer = stub.GetDigest(messages.GetDigestRequest(), metadata=bearer(self.receivers["host"]))
        return answer.revision, sum(digest.count for digest in answer.digests)

    def await_equal(self) -> None:
        """Wait until all have the same digests; the proof that what was measured is what was meant."""

        def equal() -> bool | None:
            found = {self._digests(receiver) for receiver in self.receivers.values()}
            return True if len(found) == 1 else None

        wait_for(equal, PATIENCE, "all digests are equal")

    @contextmanager
    def host(self) -> Iterator[ConfigurationServiceStub]:
        """The configuration service of the host."""
        with grpc.insecure_channel(self.receivers["host"].grpc) as channel:
            yield ConfigurationServiceStub(channel)

    def _digests(self, receiver: Receiver) -> tuple[object, ...]:
        with grpc.insecure_channel(receiver.grpc) as channel:
            answer = ConfigurationServiceStub(channel).GetDigest(
                messages.GetDigestRequest(), metadata=bearer(receiver), timeout=PATIENCE
            )
        return (answer.lineage, answer.revision, *((each.kind, each.count, each.sha256) for each in answer.digests))


async def fill(path: Path, devices: int) -> None:
    """Make the configuration in the database of a host that does not run: 70,000 calls would take longer than all that
    is measured. Each hundred devices are one edit."""
    database = Database.open(path, migrations)
    try:
        store = ConfigurationStore(database)
        for start in range(0, devices, 100):
            numbers = range(start, min(start + 100, devices))
            await store.edit("benchmark", datetime.now(UTC), lambda draft, numbers=numbers: _put(draft, numbers))  # type: ignore[misc]
    finally:
        database.close()


def _put(draft: Draft, numbers: range) -> None:
    for number in numbers:
        for kind, message in _records(number):
            draft.put(kind.number, set_id(kind, message), packed(kind, message))


def _records(number: int) -> Iterator[tuple[Kind, Any]]:
    device = f"panel-{number:05d}"
    made = record_pb2.Device(device_id=device, name=f"Site {number}", account_number=f"{number + 4096:X}")
    key = hashlib.sha256(device.encode()).digest()
    yield kind_of(RecordKind.DEVICE), record_pb2.DeviceRecord(device=made, device_key_sha256=key)
    yield kind_of(RecordKind.PARTITION), record_pb2.Partition(device_id=device, number=1, name="House")
    for zone in range(1, ZONES + 1):
        name = f"Detector {zone}"
        yield kind_of(RecordKind.ZONE), record_pb2.Zone(device_id=device, number=zone, partition_number=1, name=name)
    yield kind_of(RecordKind.CHANNEL), record_pb2.Channel(device_id=device, number=1, name="Gate", zone_numbers=[1])


def bearer(receiver: Receiver) -> tuple[tuple[str, str], ...]:
    """How an operator of a receiver calls it."""
    return (("authorization", f"Bearer {receiver.token.read_text().strip()}"),)


def peak_memory(server: Server) -> float:
    """The most that a process ever had resident, in MiB."""
    for line in Path(f"/proc/{server.pid}/status").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name == "VmHWM":
            return int(value.split()[0]) / 1024
    raise ValueError("the system tells no VmHWM")
