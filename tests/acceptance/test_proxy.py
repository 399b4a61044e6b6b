"""The proxy of the fault tests does what it says: a fault that does not happen would prove nothing."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest

from tests.acceptance.harness.polling import until
from tests.acceptance.harness.proxy import Proxy

PATIENCE = 5.0
QUIET = 0.3
"""Seconds in which nothing may come, where nothing may."""


class Peer:
    """The target: keeps the connections that were made to it."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                connection.settimeout(PATIENCE)
                self.connections.append(connection)

    def stop(self) -> None:
        """Close everything."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for connection in self.connections:
            connection.close()


@pytest.fixture
def peer() -> Iterator[Peer]:
    peer = Peer()
    yield peer
    peer.stop()


@pytest.fixture
def proxy(peer: Peer) -> Iterator[Proxy]:
    proxy = Proxy(peer.address)
    yield proxy
    proxy.stop()


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection((proxy.host, proxy.port), PATIENCE)


@pytest.fixture
def ends(proxy: Proxy, peer: Peer) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connection through the proxy: the client's end and the target's."""
    client = connect(proxy)
    until(lambda: peer.connections, PATIENCE, "it is passed on")
    yield client, peer.connections[0]
    client.close()


def nothing_comes(end: socket.socket) -> bool:
    end.settimeout(QUIET)
    try:
        end.recv(1)
    except TimeoutError:
        return True
    finally:
        end.settimeout(PATIENCE)
    return False


def receive(end: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := end.recv(size - len(data))):
        data += more
    return data


def test_it_passes_both_ways_and_ends_each_way_by_itself(
    proxy: Proxy, ends: tuple[socket.socket, socket.socket]
) -> None:
    client, target = ends
    big = bytes(range(256)) * 4000
    writing = threading.Thread(target=client.sendall, args=(big,))
    writing.start()
    assert receive(target, len(big)) == big
    writing.join()
    client.shutdown(socket.SHUT_WR)
    assert target.recv(1) == b"", "the end comes through"
    target.sendall(b"still this way")
    assert receive(client, 14) == b"still this way"
    assert (proxy.up.passed, proxy.down.passed) == (len(big), 14)
    target.close()
    assert client.recv(1) == b""
    until(lambda: proxy.connections == 0, PATIENCE, "it is over")


@pytest.mark.parametrize("way", ["up", "down"])
def test_a_cut_holds_one_way_without_a_sign_and_heals(
    proxy: Proxy, ends: tuple[socket.socket, socket.socket], way: str
) -> None:
    client, target = ends
    sender, receiver = (client, target) if way == "up" else (target, client)
    proxy.cut(getattr(proxy, way))
    sender.sendall(b"held")
    receiver.sendall(b"passes")
    assert receive(sender, 6) == b"passes"
    assert nothing_comes(receiver)
    sender.shutdown(socket.SHUT_WR)
    assert nothing_comes(receiver), "not even the end"
    proxy.heal()
    assert receive(receiver, 5) == b"held", "then the end"


def test_a_cut_of_both_ways_holds_new_connections_as_well(
    proxy: Proxy, peer: Peer, ends: tuple[socket.socket, socket.socket]
) -> None:
    proxy.cut()
    later = connect(proxy)
    later.sendall(b"later")
    assert nothing_comes(ends[0])
    assert len(peer.connections) == 1, "no new one arrives"
    proxy.heal()
    until(lambda: len(peer.connections) == 2, PATIENCE, "it arrives")
    assert receive(peer.connections[1], 5) == b"later"
    later.close()


def test_what_was_read_before_a_cut_is_held_too(proxy: Proxy, ends: tuple[socket.socket, socket.socket]) -> None:
    client, target = ends
    proxy.slow(QUIET)
    client.sendall(b"on its way")
    proxy.cut()
    assert nothing_comes(target)
    assert nothing_comes(target)
    proxy.heal()
    assert receive(target, 10) == b"on its way"


def test_a_delay_is_that_of_each_piece_and_does_not_add_up(
    proxy: Proxy, ends: tuple[socket.socket, socket.socket]
) -> None:
    client, target = ends
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    proxy.slow(0.3)
    began = time.monotonic()
    for _ in range(10):
        client.sendall(b"x")
        time.sleep(0.01)
    assert receive(target, 1) == b"x"
    assert time.monotonic() - began >= 0.3
    assert receive(target, 9) == b"x" * 9
    assert time.monotonic() - began < 2, "ten times the delay would be 3 s"


def test_a_throttle_bounds_the_bytes_a_second(proxy: Proxy, ends: tuple[socket.socket, socket.socket]) -> None:
    client, target = ends
    proxy.slow(0.0, rate=100_000)
    client.sendall(bytes(50_000))
    began = time.monotonic()
    assert len(receive(target, 50_000)) == 50_000
    assert time.monotonic() - began >= 0.25


@pytest.mark.parametrize("cut", [False, True], ids=["", "behind-a-cut"])
def test_a_reset_resets_both_sides(proxy: Proxy, ends: tuple[socket.socket, socket.socket], cut: bool) -> None:
    if cut:
        proxy.cut()
    proxy.reset()
    for end in ends:
        with pytest.raises(ConnectionResetError):
            end.recv(1)
    assert proxy.connections == 0


@pytest.mark.parametrize("cut", [False, True], ids=["", "behind-a-cut"])
def test_a_reset_by_one_side_reaches_the_other_where_the_way_is_open(
    proxy: Proxy, ends: tuple[socket.socket, socket.socket], cut: bool
) -> None:
    client, target = ends
    if cut:
        proxy.cut(proxy.up)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    if cut:
        target.sendall(b"nobody answers")
        assert nothing_comes(target)
        proxy.heal()
    with pytest.raises(ConnectionResetError):
        target.recv(1)


def test_a_close_ends_both_sides_in_order(proxy: Proxy, ends: tuple[socket.socket, socket.socket]) -> None:
    proxy.close()
    assert [end.recv(1) for end in ends] == [b"", b""]


def test_it_refuses_new_connections_and_takes_them_again_on_the_same_port(
    proxy: Proxy, ends: tuple[socket.socket, socket.socket]
) -> None:
    client, target = ends
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    client.sendall(b"stands")
    assert receive(target, 6) == b"stands"
    proxy.accept()
    connect(proxy).close()


def test_a_target_that_does_not_listen_resets_the_client(proxy: Proxy, peer: Peer) -> None:
    peer.stop()
    # The reset may come before the client has seen its connection stand.
    with pytest.raises(ConnectionResetError):
        connect(proxy).recv(1)
    until(lambda: proxy.connections == 0, PATIENCE, "it is over")
