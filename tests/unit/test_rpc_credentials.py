"""Who calls: metadata written and read, secrets made and matched."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotspare_rpc.credentials import (
    BearerToken,
    DeviceCredentials,
    ReceiverCredentials,
    matches,
    new_secret,
    operator_metadata,
    read_bearer_token,
    read_device_credentials,
    read_operator,
    read_receiver_credentials,
    sha256,
)

RECEIVER = ReceiverCredentials("north", "k" * 43, "2f1c1f5e-7a31-4f0a-9d0e-6a1f5b1c2d3e")
DEVICE = DeviceCredentials("north", "panel-1", "k" * 43)
TOKEN = BearerToken("t" * 43)


def test_s1_each_caller_is_read_from_its_own_metadata_and_from_no_other() -> None:
    noise = (("user-agent", "x"), ("other-bin", b"\x00"))
    readers = (read_receiver_credentials, read_device_credentials, read_bearer_token)
    callers: list[Any] = [RECEIVER, DEVICE, TOKEN]
    for index, caller in enumerate(callers):
        read: list[Any] = [reader(noise + caller.metadata()) for reader in readers]
        expected: list[Any] = [None, None, None]
        expected[index] = caller
        assert read == expected
    assert [reader(None) for reader in readers] == [None] * 3


@pytest.mark.parametrize("key", ["hotspare-arc-id", "hotspare-arc-key", "hotspare-receiver-id"])
@pytest.mark.parametrize(
    "value", ["", " ", "x" * 257, "a b", "a\nb", "\u00e4", "x\x00", b"bytes"], ids=lambda value: repr(value)[:12]
)
def test_g3_absent_and_malformed_are_the_same(key: str, value: str | bytes) -> None:
    good: dict[str, str | bytes] = dict(RECEIVER.metadata())
    assert read_receiver_credentials((good | {key: value}).items()) is None
    without = {name: each for name, each in good.items() if name != key}
    assert read_receiver_credentials(without.items()) is None


def test_s4_a_key_that_came_twice_counts_as_absent() -> None:
    twice = (*DEVICE.metadata(), ("hotspare-device-id", "panel-1"))
    assert read_device_credentials(twice) is None
    assert read_bearer_token(TOKEN.metadata() * 2) is None


@pytest.mark.parametrize("value", ["Bearer abc", "bearer abc", "BEARER  abc"])
def test_s1_a_bearer_token_is_read_in_any_case(value: str) -> None:
    assert read_bearer_token([("authorization", value)]) == BearerToken("abc")


@pytest.mark.parametrize("value", ["abc", "Bearer", "Bearer ", "Basic abc", "Bearer a b", "Bearer " + "x" * 257])
def test_s1_what_is_no_bearer_token_is_not_read(value: str) -> None:
    assert read_bearer_token([("authorization", value)]) is None


def test_s1_secrets_have_256_bits_in_plain_characters_and_never_repeat() -> None:
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100
    assert {len(secret) for secret in made} == {43}
    assert read_bearer_token([("authorization", f"Bearer {made.pop()}")]) is not None


def test_s1_a_secret_matches_its_own_digest_alone() -> None:
    secret, other = new_secret(), new_secret()
    assert len(sha256(secret)) == 32
    assert matches(secret, sha256(secret))
    assert not matches(other, sha256(secret))
    assert not matches(secret, b"")
    assert not matches("\udc80", sha256(secret))


@given(st.text(min_size=1, max_size=20))
def test_s5_the_operators_name_passes_whatever_its_language(name: str) -> None:
    ((key, value),) = operator_metadata(name)
    assert key == "hotspare-operator"
    assert value.isascii()
    assert value.isprintable()
    read = read_operator([(key, value)])
    assert read is None or read.isprintable()
    if name.isprintable() and name == name.strip() and len(name.encode()) <= 64:
        assert read == name


@pytest.mark.parametrize("value", ["", "x" * 5000, "%0a%1b[2J", b"x"])
def test_s4_a_hostile_operators_name_is_made_harmless(value: str | bytes) -> None:
    read = read_operator([("hotspare-operator", value)])
    assert read is None or (read.isprintable() and len(read) <= 64)
