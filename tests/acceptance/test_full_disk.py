"""A full disk (a small tmpfs): intake is refused, acknowledgements pass, and nobody has to restart anything."""

import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from hotspare.v1 import alarm_pb2, receiver_service_pb2, receiver_service_pb2_grpc
from tests.acceptance.harness.panels import Panel, Stream
from tests.acceptance.harness.polling import holds, until
from tests.acceptance.harness.process import Server
from tests.acceptance.harness.scraping import scrape
from tests.acceptance.harness.system import Receiver, System

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mount") is None, reason="only root can mount a small disk"),
]

FLOOR_MB = 16
BACKLOG = 30


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 100 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"mount is not allowed here: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def system(tmp_path: Path, small_disk: Path) -> Iterator[System]:
    """A system of one test; it ends before its disk is taken away."""
    with System(tmp_path) as system:
        yield system
        system.judge()


def free(folder: Path) -> int:
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def fill(folder: Path, leave: int) -> Path:
    """Fill the disk but for `leave` bytes; returns the file to remove."""
    ballast = folder / "ballast"
    with ballast.open("wb") as file:
        while (room := free(folder) - leave) > 0:
            try:
                file.write(bytes(min(room, 1 << 20)))
                file.flush()
            except OSError:
                break
    return ballast


def alarm() -> alarm_pb2.Alarm:
    return alarm_pb2.Alarm(
        alarm_id=str(uuid.uuid4()),
        qualifier=alarm_pb2.QUALIFIER_NEW,
        code_format=alarm_pb2.CODE_FORMAT_CONTACT_ID,
        code="130",
    )


def refusal(panel: Panel) -> tuple[grpc.StatusCode, str] | None:
    """Code and reason by which an alarm is refused; None when it is taken."""
    try:
        panel.once(alarm())
    except grpc.RpcError as error:
        return _reason(error)
    return None


def _reason(error: Any) -> tuple[grpc.StatusCode, str]:
    status = status_pb2.Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    info = error_details_pb2.ErrorInfo()
    for detail in status.details:
        detail.Unpack(info)
    return error.code(), info.reason


def prepare(system: System, host: Receiver, cloud_data: Path) -> Panel:
    """A host without an output, and a device with a backlog."""
    system.receivers["host"] = host
    system.start_cloud("--disk-floor", str(FLOOR_MB), data=cloud_data)
    host.serving()
    system.tell_cloud(host)
    host.cli("enable", "--role", "host")
    panel = system.panel("panel-1", "D15C")
    for _ in range(BACKLOG):
        panel.publish()
    return panel


def start_on(system: System, data: Path) -> Receiver:
    host = Receiver("host", system.folder, data=data)
    system.server(host)
    host.start()
    return host


@pytest.mark.parametrize("leave", [(FLOOR_MB - 4) << 20, 0], ids=["below-the-floor", "not-a-byte-left"])
def test_a7_the_clouds_disk_is_full(system: System, small_disk: Path, leave: int) -> None:
    panel = prepare(system, start_on(system, system.folder / "host"), small_disk / "cloud")
    ballast = fill(small_disk, leave)
    refused = until(lambda: refusal(panel), 10, "new alarms are refused")
    assert refused == (grpc.StatusCode.RESOURCE_EXHAUSTED, "DISK_LOW")
    arc = system.arcs["host"] = system.arc("host")
    system.receivers["host"].cli("output", "add", "arc", "--kind", "sia-dc09", "--address", arc.address)
    until(lambda: len(arc.received) >= BACKLOG, 20, "what it has is delivered")
    until(lambda: waiting(system.cloud) == 0, 10, "confirmations pass")
    assert refusal(panel) == refused
    pid = system.cloud.pid
    ballast.unlink()
    until(lambda: refusal(panel) is None, 15, "alarms are taken again")
    panel.publish()
    until(lambda: waiting(system.cloud) == 0, 10, "and delivered")
    assert system.cloud.is_running
    assert system.cloud.pid == pid
    assert "Traceback" not in system.cloud.log()
    # All that it confirmed while the disk was full is still confirmed after a crash.
    before = len(arc.received)
    system.cloud.kill()
    system.cloud.start()
    system.cloud.serving()
    panel.publish()
    until(lambda: len(arc.received) > before, 20, "alarms flow after a restart")
    assert len(arc.received) == before + 1


def waiting(cloud: Server) -> float:
    return scrape(cloud).value("hotspare_cloud_alarms_waiting")


def test_a7_the_receivers_disk_is_full(system: System, small_disk: Path) -> None:
    """Alarms may wait until there is room; none is lost, and nobody has to restart the receiver."""
    host = start_on(system, small_disk / "host")
    panel = prepare(system, host, system.folder / "cloud")
    arc = system.arcs["host"] = system.arc("host")
    host.cli("output", "add", "arc", "--kind", "sia-dc09", "--address", arc.address)
    system.settle()
    ballast, pid = fill(small_disk, 0), host.pid
    with Stream([panel], rate=50):
        until(lambda: system.page().value("hotspare_cloud_alarms_published_total", result="stored") > 200, 20, "more")
        assert host.cli("status").status == 0, "it still tells how it is"
        ballast.unlink()
    assert system.settle().duplicates == 0
    host.cli("settings", "set", "--name", "host with room")
    assert (host.is_running, host.pid) == (True, pid), host.log()
    assert "Traceback" not in host.log()


def test_f3_a_working_receiver_whose_disk_fills_up_hands_the_work_over(system: System, small_disk: Path) -> None:
    """Under a stream: below its floor it is not healthy; with room again it works again (F4). Nothing comes twice."""
    host = system.receivers["host"] = start_on(system, small_disk / "host")
    system.receivers["spare1"] = system.start_receiver("spare1")
    system.start_cloud()
    for role in system.receivers:
        system.arcs[role] = system.arc(role)
    set_floor(host.serving(), FLOOR_MB * 1_000_000)
    system.enable()
    system.set_group(losses_per_hour=100, failback_delay="3s")
    panels = [system.panel(f"panel-{index}", f"B{index:03d}") for index in range(3)]
    system.await_working("host")
    with Stream(panels, rate=8):
        until(lambda: len(system.arcs["host"].received) > 10, 20, "alarms flow through the host")
        ballast, at = fill(small_disk, 0), time.monotonic()
        system.await_working("spare1", 15)
        until(lambda: len(system.arcs["spare1"].received) > 20, 20, "alarms flow through spare 1")
        system.records.disturbed("host", "full disk", at)
        holds(lambda: system.working() == "spare1", 4, "it gets the work back only with room")
        assert "DISK_LOW" in host.cli("members", "-o", "json").stdout, "an operator is told why"
        pid = host.pid
        ballast.unlink()
        system.await_working("host", 30)
        before = len(system.arcs["host"].received)
        until(lambda: len(system.arcs["host"].received) > before + 10, 20, "alarms flow through the host")
    assert system.settle().duplicates == 0
    assert (host.is_running, host.pid) == (True, pid), host.log()
    assert "Traceback" not in host.log()
    assert system.moves() == {"first": 1, "unhealthy": 1, "failback": 1}


def set_floor(receiver: Server, floor: int) -> None:
    """Set the floor of a receiver's disk, which is too high for a disk as small as this one."""
    assert isinstance(receiver, Receiver)
    request = receiver_service_pb2.UpdateSettingsRequest()
    request.settings.disk_floor_bytes = floor
    request.update_mask.paths.append("disk_floor_bytes")
    token = receiver.token.read_text().strip()
    with grpc.insecure_channel(receiver.grpc) as channel:
        stub = receiver_service_pb2_grpc.ReceiverServiceStub(channel)
        stub.UpdateSettings(request, timeout=10, metadata=(("authorization", f"Bearer {token}"),))
