"""DC-09 panels at running processes: a host takes them as a gateway to the cloud, and nobody else does (D1, D2, S4)."""

import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from my_dc09_spt.dc09_spt import dc09_spt

from hotspare_model.dc09 import Frame, encode
from tests.acceptance.harness.polling import until
from tests.acceptance.harness.scraping import scrape
from tests.acceptance.harness.surgard import SurgardSink, Told
from tests.acceptance.harness.system import Receiver, System

pytestmark = pytest.mark.full

KEY = bytes(range(32))
ROLES = ("host", "spare1")


class Group:
    """A host with dual connection, a spare, and their ARC."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.told: list[Told] = []
        self.sink = SurgardSink(self.told)
        self.port = free_port()
        system.start_cloud()
        for role in ROLES:
            receiver = system.receivers[role] = system.start_receiver(role)
            receiver.serving()
            system.tell_cloud(receiver)
            receiver.cli(
                "output", "add", "arc", "--kind", "surgard", "--address", self.sink.address, "--heartbeat", "1s"
            )
            receiver.cli("enable", "--role", role)
        address = f"127.0.0.1:{self.port}"
        self.host.cli(
            "settings", "set", "--dual-connection", "on", "--dc09-listen", address, "--own-account", "0F0F", "--yes"
        )

    @property
    def host(self) -> Receiver:
        return self.system.receivers["host"]

    def panel(self, device_id: str, account: str, key: bytes | None = None, transport: str = "TCP") -> Any:
        """Create a device that speaks DC-09, and be it."""
        self.system.device(device_id, account)
        words: tuple[Any, ...] = ()
        if key is not None:
            file = self.system.folder / f"{device_id}.aes"
            file.touch(mode=0o600)
            file.write_text(key.hex())
            words = ("--key-file", file)
        self.host.cli("device", "dc09", device_id, "--on", *words)
        spt = dc09_spt(account)
        spt.set_path("main", "primary", "127.0.0.1", self.port, account=account, key=key, type=transport)
        until(lambda: poll(spt), 10, f"the host answers {device_id}")
        return spt

    def frames(self, answer: str, reason: str) -> int:
        """Frames over TCP that were counted so."""
        samples = scrape(self.host).samples(
            "hotspare_receiver_direct_frames_total", transport="tcp", answer=answer, reason=reason
        )
        return int(sum(value for _, value in samples))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def poll(spt: Any) -> bool:
    path = spt.tpaths["main"]["primary"]["path"]
    return bool(spt.transfer_msg(0, "NULL", "]", path))


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Group]:
    with System(tmp_path_factory.mktemp("direct")) as system:
        group = Group(system)
        yield group
        group.sink.stop()


def test_d1_a_panel_that_others_wrote_reaches_the_arc_through_the_host(group: Group) -> None:
    group.system.await_working("host")
    clear, keyed = group.panel("panel-1", "0A01"), group.panel("panel-2", "0A02", KEY)
    udp = group.panel("panel-3", "0A03", transport="UDP")
    for spt in (clear, keyed, udp):
        for code in (130, 131, 132):
            # It raises when it gets no ACK.
            spt.send_msg("ADM-CID", {"code": code, "q": 1, "area": 1, "zone": 5})
    expected = {Told(account, 1, code, 1, 5) for account in ("0A01", "0A02", "0A03") for code in ("130", "131", "132")}
    # Its own events go to the same ARC.
    until(lambda: expected <= set(group.told), 15, lambda: f"the ARC has all: {group.told}")
    assert {told for told in group.told if told.account.startswith("0A")} == expected
    shown = group.host.cli("alarm", "list", "--device", "panel-2").stdout
    assert shown.count("panel-2") == 3


def test_s4_what_the_host_refuses_is_told_to_the_arc_once(group: Group) -> None:
    before = group.frames("none", "clear_text_refused")
    thief = dc09_spt("0A02")
    thief.set_path("main", "primary", "127.0.0.1", group.port, account="0A02")
    threads = [threading.Thread(target=poll, args=(thief,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    until(lambda: group.frames("none", "clear_text_refused") == before + 3, 10, "they were refused")
    until(lambda: any(told.account == "0F0F" for told in group.told), 10, "the ARC is told")
    for thread in threads:
        thread.join(20)
    assert len({told for told in group.told if told.account == "0F0F"}) == 1


def test_s4_a_thousand_connections_that_say_nothing_keep_no_panel_out(group: Group) -> None:
    spt = group.panel("panel-4", "0A04")
    silent = []
    try:
        for _ in range(1000):
            connection = socket.create_connection(("127.0.0.1", group.port), timeout=10)
            connection.sendall(b"\n0")
            silent.append(connection)
        spt.send_msg("ADM-CID", {"code": 130, "q": 1})
        until(lambda: any(told.account == "0A04" for told in group.told), 10, "the ARC has it")
        # The receiver itself is as well as before.
        assert group.system.working() == "host"
        assert scrape(group.host).value("hotspare_receiver_direct_connections") <= 1000
    finally:
        for connection in silent:
            connection.close()


def test_d1_a_spare_takes_no_direct_panels_and_a_host_that_switches_it_off_closes_the_port(group: Group) -> None:
    refused = group.system.receivers["spare1"].cli("settings", "set", "--dual-connection", "on", "--yes", fail=True)
    assert "DUAL_CONNECTION_NOT_ALLOWED" in refused.stderr
    raw = encode(Frame("NULL", 0, account="0A01", timestamp=datetime.now(UTC)))
    with socket.create_connection(("127.0.0.1", group.port), timeout=10) as panel:
        panel.sendall(raw)
        assert panel.recv(100)
        group.host.cli("settings", "set", "--dual-connection", "off", "--yes")
        assert panel.recv(100) == b"", "its connection ends"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", group.port), timeout=10)
