"""No message to a receiver is larger than gRPC takes, however large the alarms of a page are (S4)."""

import pytest

from hotspare_cloud.delivery import FRAME_BYTES, in_frames
from hotspare_cloud.store.base import WaitingAlarm


def alarm(number: int, size: int) -> WaitingAlarm:
    return WaitingAlarm(number, "panel-1", "1234", number, 0.0, b"x" * size, 0, maybe_sent=False)


@pytest.mark.parametrize(
    ("sizes", "parts"),
    [
        ([], []),
        ([10, 20], [[1, 2]]),
        ([FRAME_BYTES, 1], [[1], [2]]),
        ([FRAME_BYTES + 1, FRAME_BYTES - 1, 1, 1], [[1], [2, 3], [4]]),
        ([FRAME_BYTES // 4] * 9, [[1, 2, 3, 4], [5, 6, 7, 8], [9]]),
    ],
)
def test_s4_a_page_of_large_alarms_goes_in_parts(sizes: list[int], parts: list[list[int]]) -> None:
    page = [alarm(number, size) for number, size in enumerate(sizes, 1)]
    assert [[one.number for one in part] for part in in_frames(page)] == parts
