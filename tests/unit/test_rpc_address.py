"""Addresses on the command line."""

import pytest

from hotspare_rpc.address import Address, AddressError, is_loopback, parse_address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:7000", "127.0.0.1", 7000),
        ("localhost:0", "localhost", 0),
        ("cloud.example.org:443", "cloud.example.org", 443),
        ("under_score-1:65535", "under_score-1", 65535),
        ("[::1]:7000", "::1", 7000),
        ("[2001:DB8:0::5]:1", "2001:db8::5", 1),
        (" 0.0.0.0:1 ", "0.0.0.0", 1),
    ],
)
def test_an_address_is_read_and_written_alike(text: str, host: str, port: int) -> None:
    address = parse_address(text)
    assert address == Address(host, port)
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the port is missing"),
        ("7000", "the port is missing"),
        ("host", "the port is missing"),
        (":7000", "the host is missing"),
        ("::1:7000", "the host is missing"),
        ("fe80::1:7000", r"\[HOST\]:PORT for IPv6"),
        ("host:port", "expected HOST:PORT"),
        ("host:-1", "expected HOST:PORT"),
        ("host:65536", "at most 65535"),
        ("host:123456", "expected HOST:PORT"),
        ("host:1:2", "expected HOST:PORT"),
        ("http://host:80", "expected HOST:PORT"),
        ("[127.0.0.1]:1", "in brackets stands an IPv6 address"),
        ("[::1]", "expected HOST:PORT"),
        ("[]:1", "expected HOST:PORT"),
        ("256.0.0.1:1", "no IPv4 address"),
        ("127.1:1", "no IPv4 address"),
        ("-host:1", "neither a name"),
        ("ho st:1", "neither a name"),
        ("h\u00f6st:1", "neither a name"),
        ("a..b:1", "neither a name"),
        ("x" * 64 + ":1", "neither a name"),
        ("a." * 130 + "b:1", "neither a name"),
        ("host:\u0661", "expected HOST:PORT"),
    ],
)
def test_what_is_no_address_is_refused_with_the_reason(text: str, message: str) -> None:
    with pytest.raises(AddressError, match=message):
        parse_address(text)


def test_s4_the_error_shows_the_text_printable_and_short() -> None:
    with pytest.raises(ValueError, match="is no address") as caught:
        parse_address("\x1b[2J\n" + "x" * 10_000)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.255.0.9", "::1", "localhost", "LocalHost", "localhost.", "::ffff:127.0.0.1"]
)
def test_s3_these_hosts_are_this_machine(host: str) -> None:
    assert is_loopback(host)
    assert Address(host, 1).is_loopback


@pytest.mark.parametrize(
    "host",
    [
        "0.0.0.0",
        "::",
        "128.0.0.1",
        "10.0.0.1",
        "::2",
        "::ffff:10.0.0.1",
        "localhost.example.org",
        "127.0.0.1.example.org",
        "127.1",
        "",
        "loopback",
    ],
)
def test_s3_these_hosts_are_not(host: str) -> None:
    assert not is_loopback(host)
