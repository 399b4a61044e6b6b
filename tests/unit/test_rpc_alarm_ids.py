"""Alarm ids: UUIDv7, ordered by time."""

from itertools import count
from uuid import UUID

from hotspare_rpc.alarm_ids import uuid7


def test_an_alarm_id_is_a_uuid_of_version_7_with_its_time_in_front() -> None:
    made = uuid7(lambda: 1_700_000_000_123_456_789, lambda size: b"\xff" * size)
    assert (made.version, made.variant) == (7, UUID(int=1 << 63).variant)
    assert made.int >> 80 == 1_700_000_000_123


def test_alarm_ids_sort_by_time_also_within_a_millisecond() -> None:
    clock = count(1_700_000_000_123_000_000, 250)
    made = [uuid7(clock.__next__) for _ in range(5000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)
