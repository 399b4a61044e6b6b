"""The history of a group (F8): in pages, between times, over restarts, and whatever the wall clock does."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from hotspare.v1 import group_pb2, role_service_pb2
from hotspare_model.errors import Reason
from hotspare_rpc.channel import open_channel
from hotspare_rpc.credentials import BearerToken
from tests.integration.cloud.helpers import QUICK, Account, CloudProcess, furnish, new_accounts, refused
from tests.integration.cloud.operators import MOVE, NOBODY_LEFT, PAUSED, RESUMED, WORKS_AGAIN, Line, Operator, why
from tests.integration.cloud.receivers import HOST, SPARE_1, Receiver
from tests.integration.cloud.scene import Scene
from tests.integration.cloud.test_operators import VIEWER, Desk

SHIFTED = str(Path(__file__).with_name("shifted_clock.py"))
HOUR = 3600.0


async def written(channel: grpc.aio.Channel, account: Account, pairs: int) -> Operator:
    """A group whose history has so many pauses, each with its end."""
    scene = await Scene.set(channel, account)
    operator = Operator(scene.host)
    for number in range(pairs):
        await operator.pause(f"pause {number}")
        await operator.resume(f"resume {number}")
    return operator


async def pages(operator: Operator, size: int, **fields: object) -> list[list[Line]]:
    """All pages, one after another."""
    found: list[list[Line]] = []
    token = ""
    while token or not found:
        answer = await operator.call("ListTransitions", page_size=size, page_token=token, **fields)
        found.append(list(answer.transitions))
        token = answer.next_page_token
    return found


async def test_f8_the_history_comes_in_pages_newest_first_and_lines_that_come_meanwhile_spoil_none(
    channel: grpc.aio.Channel, account: Account
) -> None:
    operator = await written(channel, account, 5)
    whole = await operator.history()
    assert [line.number for line in whole] == list(range(len(whole), 0, -1))
    for size in (1, 3, len(whole), 1000):
        found = await pages(operator, size)
        assert [line for page in found for line in page] == whole
        assert all(len(page) == size for page in found[:-1])
        assert found[-1]
    first = await operator.call("ListTransitions", page_size=4)
    await operator.pause("in between")
    second = await operator.call("ListTransitions", page_size=4, page_token=first.next_page_token)
    assert [*first.transitions, *second.transitions] == whole[:8]


async def test_f8_the_history_between_two_times(channel: grpc.aio.Channel, account: Account) -> None:
    operator = await written(channel, account, 4)
    whole = await operator.history()
    # From the very time of a line on, and before the very time of another.
    for index, line in enumerate(whole):
        assert line in await operator.history(start_time=line.time)
        assert line not in await operator.history(end_time=line.time)
        since = await operator.history(start_time=line.time)
        assert since == whole[: len(since)]
        assert len(since) >= index + 1
    early, late = whole[-1].time, whole[0].time
    assert await operator.history(start_time=early, end_time=late) == whole[1:]
    assert await operator.history(start_time=late, end_time=early) == []
    assert [line for page in await pages(operator, 2, start_time=early) for line in page] == whole


@pytest.mark.parametrize(
    "time_",
    [Timestamp(seconds=2**62), Timestamp(seconds=-(2**62)), Timestamp(seconds=1, nanos=-5), Timestamp(nanos=2**31 - 1)],
)
async def test_s4_a_time_beyond_all_calendars_is_refused(
    channel: grpc.aio.Channel, account: Account, time_: Timestamp
) -> None:
    operator = await written(channel, account, 1)
    for name in ("start_time", "end_time"):
        error = await refused(operator.call("ListTransitions", **{name: time_}))
        assert (error.reason, error.metadata["field"]) == (Reason.FIELD_INVALID, name)


async def test_s4_a_page_token_of_another_list_or_a_damaged_one_is_refused(
    channel: grpc.aio.Channel, account: Account
) -> None:
    operator = await written(channel, account, 2)
    listed = await operator.call("ListMembers", page_size=1)
    assert listed.next_page_token
    for token in (listed.next_page_token, "!", "ä", "a" * 10_000, "dHJhbnNpdGlvbnMKLTE"):
        error = await refused(operator.call("ListTransitions", page_token=token))
        assert error.reason is Reason.PAGE_TOKEN_INVALID
    error = await refused(operator.call("ListTransitions", page_size=1001))
    assert error.reason is Reason.FIELD_INVALID


async def test_s2_nobody_reads_the_history_of_another_account(
    cloud: CloudProcess, channel: grpc.aio.Channel, account: Account, other_account: Account
) -> None:
    await written(channel, account, 2)
    stranger = Operator(Receiver(channel, other_account))
    assert await stranger.history(arc_id=account.arc_id) == []
    viewer = Desk(channel, await Desk(channel, cloud.token).new_token("history-viewer", VIEWER))
    roles = stranger.receiver.roles
    request = role_service_pb2.ListTransitionsRequest(arc_id=account.arc_id)
    answer = await roles.ListTransitions(request, metadata=BearerToken(viewer.token).metadata())
    assert len(answer.transitions) >= 4
    pausing = role_service_pb2.PauseFailoverRequest(arc_id=account.arc_id)
    error = await refused(roles.PauseFailover(pausing, metadata=BearerToken(viewer.token).metadata()))
    assert error.reason is Reason.CALLER_NOT_ALLOWED


async def test_f8_who_joins_and_leaves_stands_in_the_history_with_the_role_of_then(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account)
    await scene.attend()
    await scene.host.vanish()
    await scene.spare.until_working()
    await scene.spare.leave(released_through=2, detail="moved to\nanother site")
    operator = Operator(scene.host)
    await scene.host.attend()
    await scene.host.until_working()
    whole = list(reversed(await operator.history()))
    kinds = [group_pb2.TransitionKind.Name(line.kind)[16:] for line in whole]
    assert kinds[:2] == ["MEMBER_JOINED", "MEMBER_JOINED"]
    left = whole[kinds.index("MEMBER_LEFT")]
    assert (left.from_receiver_id, left.from_role) == (scene.spare.receiver_id, SPARE_1)
    assert left.detail.startswith("moved to\\nanother site")
    assert left.operator_name == ""
    last = whole[-1]
    assert (last.kind, last.from_receiver_id, last.from_role) == (MOVE, scene.spare.receiver_id, SPARE_1)


async def test_g8_a_move_after_a_removal_names_the_role_of_the_one_that_was_removed(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account)
    await scene.attend()
    operator = Operator(scene.spare, "olga")
    await operator.call("RemoveMember", receiver_id=scene.host.receiver_id, force=True)
    await scene.spare.until_working()
    moved = await operator.until_line(MOVE, 2)
    assert (why(moved), moved.from_receiver_id, moved.from_role) == ("LEFT", scene.host.receiver_id, HOST)
    removed = await operator.until_line(group_pb2.TRANSITION_KIND_MEMBER_REMOVED)
    assert (removed.from_role, removed.operator_name) == (HOST, "olga")


async def test_f8_a_loss_without_a_successor_and_its_end_stand_in_the_history_with_the_time_between(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account, spares=0)
    await scene.attend()
    operator = Operator(scene.host)
    await scene.host.vanish()
    gone = time.monotonic()
    await operator.until_line(NOBODY_LEFT)
    await asyncio.sleep(0.5)
    await scene.host.attend()
    back = await operator.until_line(WORKS_AGAIN)
    between = time.monotonic() - gone
    gap = back.gap.ToTimedelta().total_seconds()
    assert 0.5 < gap < between + 0.3
    assert (await operator.group()).epoch == 1
    names = [group_pb2.TransitionKind.Name(line.kind)[16:] for line in reversed(await operator.history())]
    assert names == ["MEMBER_JOINED", "MOVE", "NOBODY_LEFT", "WORKS_AGAIN"]


async def test_f11_the_history_outlives_a_kill_of_the_cloud(own_cloud: CloudProcess) -> None:
    (account,) = new_accounts("own", 1)
    await furnish(own_cloud.data, [account], QUICK)
    await asyncio.to_thread(own_cloud.start)
    async with open_channel(own_cloud.address, None) as channel:
        operator = await written(channel, account, 20)
        whole = await operator.history()
        await operator.pause("the last before the kill")
        own_cloud.kill()
    await asyncio.to_thread(own_cloud.start)
    async with open_channel(own_cloud.address, None) as channel:
        operator.receiver.reach(channel)
        after = await operator.history()
        assert after[1:] == whole
        assert after[0].detail == "the last before the kill"
        await operator.resume()
        assert (await operator.history())[0].number == after[0].number + 1


# The wall clock jumps.


@pytest.fixture
async def shifted(tmp_path: Path) -> AsyncIterator[tuple[CloudProcess, Path]]:
    """A cloud whose wall clock goes as the file says."""
    shift = tmp_path / "shift"
    process = CloudProcess(tmp_path / "data", "--disk-floor", "0", before=[sys.executable, SHIFTED, str(shift)])
    yield process, shift
    process.kill()


async def test_f3_a_wall_clock_that_jumps_moves_nobody_and_spoils_no_page_of_the_history(
    shifted: tuple[CloudProcess, Path],
) -> None:
    cloud, shift = shifted
    (account,) = new_accounts("own", 1)
    await furnish(cloud.data, [account], QUICK)
    await asyncio.to_thread(cloud.start)
    async with open_channel(cloud.address, None) as channel:
        scene = await Scene.set(channel, account)
        await scene.attend()
        pull = await scene.host.open_pull()
        operator = Operator(scene.host)
        details = []
        for zone, hours in enumerate((0, 30, -30, 24 * 365 * 20, -24 * 365 * 20, 0), start=1):
            shift.write_text(str(hours * HOUR))
            await operator.pause(f"pause at {hours}")
            await operator.resume(f"resume at {hours}")
            details += [f"pause at {hours}", f"resume at {hours}"]
            await scene.devices[0].publish(zone=zone)
            await pull.until_zones(*range(1, zone + 1))
            await asyncio.sleep(QUICK.suspect_after.total_seconds() / 2)
            assert (await operator.member(scene.spare)).status == group_pb2.MEMBER_STATUS_STANDBY
        assert (scene.host.works, scene.host.epoch, scene.spare.works) == (True, 1, False)
        found = [line for page in await pages(operator, 3) for line in page]
        assert [line.number for line in found] == list(range(len(found), 0, -1))
        assert [line.detail for line in reversed(found) if line.kind in (PAUSED, RESUMED)] == details
        in_the_past = [line for line in found if line.time.seconds < time.time() - HOUR]
        assert len(in_the_past) == 4
        # And it still takes over.
        await scene.host.vanish()
        await scene.spare.until_working()
        assert scene.spare.epoch == 2
