"""kill -9 of spare, cloud and host at any moment of backup and sync: a copy is the one before or the one after (B5).

Each edit here makes one device, and every edit is one revision: so the number of devices in a copy follows from its
revision, in every database that a kill left.
"""

import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from hotspare.v1 import configuration_service_pb2, configuration_service_pb2_grpc, group_pb2, record_pb2
from hotspare_model.digest import RecordKind, digest_of
from hotspare_receiver.store.digests import digests
from hotspare_rpc.credentials import BearerToken
from tests.acceptance.harness.polling import until
from tests.acceptance.harness.process import Server
from tests.acceptance.harness.system import Receiver, System
from tests.acceptance.harness.upgrades import status_of

pytestmark = pytest.mark.full

KILLS = 6
HEALED = 30.0
SEED = 4
DEVICE = int(RecordKind.DEVICE)


class Editor:
    """Makes devices on the host as fast as it takes them, until the end of the `with` block; a host that is down is
    asked again."""

    def __init__(self, host: Receiver, made: list[str]) -> None:
        self._host = host
        self._made = made
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._edit, daemon=True)

    def __enter__(self) -> "Editor":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(20)
        assert not self._thread.is_alive()

    def _edit(self) -> None:
        metadata = BearerToken(self._host.token.read_text().strip()).metadata()
        with grpc.insecure_channel(self._host.grpc, options=[("grpc.max_reconnect_backoff_ms", 100)]) as channel:
            service = configuration_service_pb2_grpc.ConfigurationServiceStub(channel)
            while not self._over.is_set():
                device_id = f"d{len(self._made):05}"
                request = configuration_service_pb2.CreateDeviceRequest(
                    device=record_pb2.Device(device_id=device_id, account_number="1234", name="x" * 60)
                )
                try:
                    service.CreateDevice(request, metadata=metadata, timeout=5)
                except grpc.RpcError as error:
                    # Made, and the answer lost with the process: then it is there.
                    if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
                        time.sleep(0.05)
                        continue
                self._made.append(device_id)


@pytest.fixture(scope="module")
def group(system: System) -> System:
    """A host with a first device, and a spare that has it."""
    system.start_group(("host", "spare1"))
    system.set_group(losses_per_hour=100, failback_delay="1s", sync_interval="5s")
    system.device("first", "F000")
    await_equal(system)
    return system


@pytest.fixture
def made(group: System) -> Iterator[list[str]]:
    """The devices that were made; all of them are everywhere in the end."""
    made: list[str] = [f"d{number:05}" for number in range(count_at(group, "host") - 1)]
    yield made
    await_equal(group)
    # The answer to the very last one may have been lost with the process, with nobody left who asked again.
    assert count_at(group, "spare1") - (len(made) + 1) in (0, 1)


def count_at(group: System, role: str) -> int:
    """How many devices a receiver has."""
    return int(status_of(group.receivers[role]).backup.rows[0].count)


def await_equal(group: System) -> None:
    """Wait until the copies are equal, and both say so."""

    def equal() -> bool:
        host, spare = (status_of(group.receivers[role]) for role in ("host", "spare1"))
        tables = [[(row.count, row.sha256) for row in each.backup.rows] for each in (host, spare)]
        revisions = {each.backup.revision for each in (host, spare)}
        states = {host.sync_state, spare.sync_state}
        return tables[0] == tables[1] and len(revisions) == 1 and states == {group_pb2.SYNC_STATE_UP_TO_DATE}

    until(equal, HEALED, lambda: f"equal copies: {[status_of(each).backup for each in group.receivers.values()]}")


def left_at(receiver: Receiver, folder: Path) -> tuple[int, int]:
    """Revision and number of devices in the database of a receiver that was killed; its digests must be those of its
    records."""
    # A copy: opening the original would recover it, which is the receiver's own business.
    for name in ("receiver.db", "receiver.db-wal"):
        if (receiver.data / name).exists():
            (folder / name).write_bytes((receiver.data / name).read_bytes())
    database = sqlite3.connect(folder / "receiver.db")
    database.row_factory = sqlite3.Row
    try:
        told = {each.kind: each for each in digests(database)}
        for kind in RecordKind:
            rows = database.execute("SELECT id, record FROM record WHERE kind = ? AND record IS NOT NULL", (int(kind),))
            assert told[kind] == digest_of(kind, [tuple(row) for row in rows]), kind
        (revision,) = database.execute("SELECT revision FROM copy").fetchone()
        return int(revision), told[RecordKind.DEVICE].count
    finally:
        database.close()


def start_again(server: Server) -> None:
    """Start what was killed."""
    server.start()
    server.serving()


def test_b5_a_spare_killed_at_any_moment_has_the_old_copy_or_the_new_one(
    group: System, made: list[str], tmp_path: Path
) -> None:
    chance, spare = random.Random(SEED), group.receivers["spare1"]
    revision, devices = left_at(group.receivers["host"], tmp_path)
    offset, before = revision - devices, 0
    for _ in range(KILLS):
        with Editor(group.receivers["host"], made):
            time.sleep(chance.uniform(0.0, 0.6))
            spare.kill()
            left, count = left_at(spare, tmp_path)
            assert left - count == offset, "whole revisions only"
            assert left >= before, "a spare's revision never goes back"
            before = left
            start_again(spare)


def test_b5_b7_a_cloud_killed_at_any_moment_has_whole_revisions_and_nobody_diverges(
    group: System, made: list[str]
) -> None:
    chance = random.Random(SEED + 1)
    table = status_of(group.receivers["host"]).backup
    offset = table.revision - table.rows[0].count
    for _ in range(KILLS):
        with Editor(group.receivers["host"], made):
            time.sleep(chance.uniform(0.0, 0.6))
            group.cloud.kill()
            database = sqlite3.connect(group.folder / "cloud" / "cloud.db")
            (revision,) = database.execute("SELECT max(revision) FROM revision").fetchone()
            (count,) = database.execute(
                "SELECT count(*) FROM record WHERE kind = ? AND payload != x''", (DEVICE,)
            ).fetchone()
            database.close()
            assert revision - count == offset, "whole revisions only"
            start_again(group.cloud)


def test_b3_b7_a_host_killed_at_any_moment_pushes_on_from_where_it_was(
    group: System, made: list[str], tmp_path: Path
) -> None:
    chance, host = random.Random(SEED + 2), group.receivers["host"]
    table = status_of(host).backup
    offset = table.revision - table.rows[0].count
    for _ in range(KILLS // 2):
        with Editor(host, made):
            time.sleep(chance.uniform(0.0, 0.6))
            host.kill()
            left, count = left_at(host, tmp_path)
            assert left - count == offset
            start_again(host)
        await_equal(group)
