"""Ids of alarms: UUIDv7 as RFC 9562 lays it out."""

import time
import uuid

from hotspare_cli.uuid7 import uuid7


def test_the_example_of_the_rfc() -> None:
    # RFC 9562, A.6: Unix time 0x017F22E279B0, rand_a 0xCC3, rand_b 0x18C4DC0C0C07398F.
    randomness = bytes.fromhex("0cc3") + bytes.fromhex("18c4dc0c0c07398f")
    assert uuid7(0x017F22E279B0, randomness) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


def test_version_and_variant_whatever_the_randomness() -> None:
    for filler in (b"\x00", b"\xff", b"\xa5"):
        made = uuid.UUID(uuid7(0, filler * 10))
        assert (made.version, made.variant) == (7, uuid.RFC_4122)


def test_ids_are_canonical_ordered_by_time_and_never_the_same() -> None:
    earlier, later = uuid7(1_000), uuid7(1_001)
    assert earlier < later
    assert str(uuid.UUID(earlier)) == earlier
    assert len({uuid7(1_000) for _ in range(1000)}) == 1000


def test_the_time_is_now() -> None:
    before = time.time_ns() // 1_000_000
    made = int(uuid7().replace("-", "")[:12], 16)
    assert before <= made <= time.time_ns() // 1_000_000
