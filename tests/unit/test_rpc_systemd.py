"""What systemd is told: READY, signs of life from the loop that works, STOPPING; nothing without it (sd_notify(3))."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hotspare_rpc import systemd
from hotspare_rpc.systemd import SIGNS_IN_TIME, notify, told_systemd, watchdog_time


class Manager:
    """Stands in for systemd: what it was told."""

    def __init__(self, name: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(name)
        self.socket.setblocking(False)

    def told(self) -> list[str]:
        found = []
        while True:
            try:
                found.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return found


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    path = str(tmp_path / "notify")
    manager = Manager(path)
    monkeypatch.setenv(systemd.SOCKET, path)
    monkeypatch.delenv(systemd.WATCHDOG, raising=False)
    monkeypatch.delenv(systemd.WATCHDOG_OF, raising=False)
    yield manager
    manager.socket.close()


async def test_it_is_told_that_a_process_serves_and_that_it_stops(manager: Manager) -> None:
    async with told_systemd():
        assert manager.told() == ["READY=1"]
    assert manager.told() == ["STOPPING=1"]


async def test_signs_of_life_come_several_times_within_the_watchdogs_time_and_end_with_the_loop(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(systemd.WATCHDOG, "60000")
    loop = asyncio.get_running_loop()
    signs: list[str] = []
    async with told_systemd(), asyncio.timeout(10):
        begin = loop.time()
        while signs.count("WATCHDOG=1") < 5:
            await asyncio.sleep(0.005)
            signs += manager.told()
        # Four intervals at least, however slow the machine is.
        assert loop.time() - begin >= 4 * 0.06 / SIGNS_IN_TIME * 0.9
    manager.told()
    await asyncio.sleep(0)
    assert manager.told() == []


async def test_a_loop_that_hangs_gives_no_sign(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(systemd.WATCHDOG, "3000")
    async with told_systemd():
        await asyncio.sleep(0)
        manager.told()
        hung = asyncio.get_running_loop().time() + 0.02
        while asyncio.get_running_loop().time() < hung:
            pass
        assert manager.told() == []


def test_a_socket_of_the_abstract_name_space_is_known_by_its_at(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"hotspare-test-{os.getpid()}"
    manager = Manager(f"\0{name}")
    monkeypatch.setenv(systemd.SOCKET, f"@{name}")
    assert notify("READY=1", "STATUS=here")
    assert manager.told() == ["READY=1\nSTATUS=here"]
    manager.socket.close()


@pytest.mark.parametrize("name", ["", "relative", "/nonexistent/notify"])
def test_where_nobody_listens_nothing_is_told_and_nothing_fails(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(systemd.SOCKET, name)
    assert not notify("READY=1")


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_that_of_this_process(environment: dict[str, str], seconds: float | None) -> None:
    assert watchdog_time(environment, 7) == seconds


def test_the_command_lines_of_the_servers_stay_instant() -> None:
    modules = "hotspare_rpc.systemd, hotspare_cloud.main, hotspare_receiver.main"
    program = f"import sys, {modules}; sys.exit('grpc' in sys.modules or 'cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
