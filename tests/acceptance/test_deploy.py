"""docs/deploy.md as an operator follows it: the compose file's services with TLS as processes, and backups."""

import re
import shutil
import signal
import socket
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.acceptance.harness.containers import COMPOSE, Containers
from tests.acceptance.harness.pages import bash, marked_blocks
from tests.acceptance.harness.process import Server, run
from tests.acceptance.harness.system import System

pytestmark = pytest.mark.full

PAGE = "docs/deploy.md"
PORTS = ("7440", "7441", "7442", "7443", "7444", "9440", "9441", "9442", "9443", "9444")


def free_ports() -> dict[str, str]:
    with ExitStack() as cleaning:
        sockets = [cleaning.enter_context(socket.socket()) for _ in PORTS]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return {port: str(each.getsockname()[1]) for port, each in zip(PORTS, sockets, strict=True)}


@pytest.fixture
def containers(tmp_path: Path) -> Containers:
    """A copy of the compose file's folder, and its services."""
    folder = tmp_path / "deploy" / "container"
    folder.mkdir(parents=True)
    shutil.copy(COMPOSE, folder)
    return Containers(folder, free_ports())


def started(cleaning: ExitStack, server: Server) -> Server:
    cleaning.callback(server.destroy)
    server.start()
    return server


LEFT_OUT = ("receiver3", "receiver4")
"""They are as the second one is (tests/contract/test_deploy.py), and each of them costs some seconds."""


def without_some(block: str) -> str:
    """A block of the page without the receivers that are left out."""
    lines = [re.sub(rf" ({'|'.join(LEFT_OUT)})(?=[ ;])", "", line) if line.startswith("for ") else line
             for line in block.splitlines()]  # fmt: skip
    return "\n".join(line for line in lines if not any(f" {name} " in line for name in LEFT_OUT))


def test_s3_the_group_of_the_compose_file_is_set_up_as_the_page_tells(containers: Containers, system: System) -> None:
    """Certificates, servers, health, account, settings, roles, a backup, a renewal, with TLS."""
    folder = containers.folder
    docker = containers.docker()
    make, up, tell, enable, later = marked_blocks(PAGE, "containers")
    told = bash(make, folder.parent.parent, path=docker)
    assert "tls/receiver4/cert.pem: server receiver4, localhost; ends" in told
    assert (folder / ".env").read_text().startswith("HOTSPARE_UID=")
    assert up == "docker compose up --detach --wait\n"
    with ExitStack() as cleaning:
        names = [name for name in containers.services if name not in LEFT_OUT]
        servers = {name: started(cleaning, containers.server(name)) for name in names}
        for server in servers.values():
            server.serving()
        # `--wait` is for the health of each: what the image asks for it, in the environment of its service.
        for name in names:
            service = containers.services[name]
            program = "hotspare-cloud" if name == "cloud" else "hotspare-receiver"
            healthy = run([program, "health"], env=service.environment)
            assert healthy.stdout == f"{service.environment['HOTSPARE_SERVER']} serves\n"
        bash(without_some(tell), folder, path=docker)
        assert "ARC=arc.example.org:9000\n" in enable
        enable = without_some(enable).replace("arc.example.org:9000", system.arc("containers").address)
        told = bash(enable, folder, path=docker)
        assert "receiver1 has the role host now." in told
        assert "receiver2 has the role spare1 now." in told
        assert "working" in told
        told = bash(later, folder, path=docker)
        (copy,) = (folder / "volumes" / "backups").glob("cloud-*.db")
        with sqlite3.connect(copy) as database:
            assert database.execute("SELECT count(*) FROM grp").fetchone() == (1,)
        # Each receiver stops as `docker compose stop` asks it to, and hands over.
        receivers = [server for name, server in servers.items() if name != "cloud"]
        for server in receivers:
            server.signal(signal.SIGTERM)
        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(lambda server: server.wait(), receivers)) == [0, 0]
        servers["cloud"].signal(signal.SIGTERM)
        assert servers["cloud"].wait() == 0


def test_f11_backups_are_made_and_tried_as_the_page_tells(system: System) -> None:
    system.start_cloud()
    data, copies = system.folder / "cloud", system.folder / "copies"
    make, trial = marked_blocks(PAGE, "backups")
    script = (
        (make + trial).replace("/var/lib/hotspare-cloud", str(data)).replace("/var/backups/hotspare-cloud", str(copies))
    )
    told = bash(script, system.folder, env={"TMPDIR": str(system.folder)})
    (copy,) = copies.iterdir()
    assert str(copy) in told
    assert "Restored" in told
