"""Alarms to the working receiver, confirmations back: windows, and what the stream refuses (A3, A4)."""

import asyncio
import time

import grpc
import pytest

from hotspare.v1 import alarm_pull_service_pb2
from hotspare_model.errors import HotspareError, Reason
from tests.integration.cloud.helpers import Account, CloudProcess, numbers_in, open_account, until
from tests.integration.cloud.receivers import HOST, Pull, Receiver
from tests.integration.cloud.scene import Scene, batch, new_alarm
from tests.integration.cloud.together import Together

together = Together()

Open = alarm_pull_service_pb2.PullAlarmsRequest.Open
Confirm = alarm_pull_service_pb2.PullAlarmsRequest.Confirm
Range = alarm_pull_service_pb2.NumberRange


@together
async def test_a4_an_alarm_is_kept_until_it_is_confirmed_and_then_gone(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account, spares=0)
    pull = await scene.host.work()
    await scene.devices[0].publish(zone=1)
    await pull.until_zones(1)
    listed = (await scene.host.members()).group
    assert (listed.backlog, listed.HasField("backlog_oldest_time")) == (1, True)
    await pull.confirm_all()
    listed = (await scene.host.members()).group
    assert (listed.backlog, listed.HasField("backlog_oldest_time")) == (0, False)
    again = await scene.host.open_pull()
    await scene.devices[0].publish(zone=2)
    await again.until_zones(2)


@together
async def test_a4_a_new_pull_brings_all_that_is_not_confirmed_again(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account, spares=0)
    first = await scene.host.work()
    for zone in (1, 2, 3):
        await scene.devices[0].publish(zone)
    await first.until_zones(1, 2, 3)
    await first.confirm(first.number_of(2))
    second = await scene.host.open_pull()
    await second.until_zones(1, 3)
    assert second.delivery_numbers == [1, 2]
    assert [alarm.attempt for alarm in second.alarms] == [2, 2]
    error = await first.until_ended()
    assert error is not None
    assert (error.reason, error.metadata) == (Reason.STREAM_SUPERSEDED, {"stream": "pull"})


@together
async def test_a7_no_more_is_out_than_the_window_takes(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await Scene.set(channel, account, spares=0)
    pull = await scene.host.work(window=2)
    async for answer in scene.devices[0].stream([batch(1, [new_alarm(zone) for zone in range(1, 7)])]):
        assert len(answer.results) == 6
    await pull.until_zones(1, 2)
    await pull.confirm(pull.number_of(1))
    await pull.until_zones(1, 2, 3)
    # Another device's alarm would be out by now, were there room.
    await scene.devices[1].publish(zone=9)
    await pull.confirm(pull.number_of(2), pull.number_of(3))
    await pull.until_zones(1, 2, 3, 4, 5)
    assert pull.delivery_numbers == [1, 2, 3, 4, 5]


@together
async def test_a7_the_window_of_the_group_counts_where_it_is_less(
    cloud: CloudProcess, channel: grpc.aio.Channel
) -> None:
    account = await open_account(channel, cloud.token, "window-of-the-group")
    scene = await Scene.set(channel, account, spares=0)
    pull = await scene.host.work(window=10_000)
    alarms = [new_alarm(zone % 900) for zone in range(300)]
    async for _ in scene.devices[0].stream([batch(1, alarms)]):
        pass
    await until(lambda: len(pull.alarms) >= 256, "the window is full")
    await pull.confirm(pull.numbers[0])
    await until(lambda: len(pull.alarms) >= 257, "one more came")
    assert len(pull.alarms) == 257


@together
async def test_a3_a_backlog_larger_than_a_page_comes_in_order(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await Scene.set(channel, account, spares=0)
    batches = [batch(number, [new_alarm(zone) for zone in range(1, 701)]) for number in (1, 2)]
    async for _ in scene.devices[0].stream(batches):
        pass
    pull = await scene.host.work()
    confirmed = 0
    while confirmed < 1400:
        await until(lambda: len(pull.alarms) > confirmed, "more came")  # noqa: B023 - it is of this turn
        numbers = pull.numbers
        await pull.confirm_ranges([(confirmed + 1, len(numbers))])
        confirmed = len(numbers)
    assert pull.numbers == list(range(1, 1401))
    assert pull.zones == [*range(1, 701), *range(1, 701)]
    assert (await scene.host.members()).group.backlog == 0


@together
async def test_a4_a_confirmation_is_answered_again_when_it_comes_again(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account, spares=0)
    pull = await scene.host.work()
    await scene.devices[0].publish(zone=1)
    await pull.until_zones(1)
    for _ in range(2):
        stored = await pull.confirm_ranges([(1, 1)])
        assert (numbers_in(stored.ranges), stored.epoch) == ([1], 1)
        assert not stored.never_delivered
    await pull.half_close()
    assert pull.code is grpc.StatusCode.OK


@pytest.mark.parametrize(
    ("opening", "field"),
    [
        (Open(epoch=1, pull_id=1, window=1), "incarnation"),
        (Open(incarnation="x" * 65, epoch=1, pull_id=1, window=1), "incarnation"),
        (Open(incarnation="i", epoch=1, window=1), "pull_id"),
        (Open(incarnation="i", epoch=1, pull_id=1), "window"),
        (Open(incarnation="i", epoch=1, pull_id=1, window=10_001), "window"),
    ],
)
async def test_s4_an_open_with_a_wrong_field_is_refused(
    channel: grpc.aio.Channel, account: Account, opening: Open, field: str
) -> None:
    host = Receiver(channel, account)
    await host.join(HOST)
    error = await _first(host, open=opening)
    assert error is not None
    assert (error.reason, error.metadata["field"]) == (Reason.FIELD_INVALID, field)


@together
async def test_s4_a_pull_that_begins_with_anything_else_is_refused(channel: grpc.aio.Channel, account: Account) -> None:
    host = Receiver(channel, account)
    await host.join(HOST)
    error = await _first(host, confirm=Confirm(epoch=1))
    assert error is not None
    assert (error.reason, error.metadata) == (Reason.STREAM_PROTOCOL, {"expected": "open"})


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ({"open": Open(incarnation="i", epoch=1, pull_id=2, window=1)}, Reason.STREAM_PROTOCOL),
        ({"confirm": Confirm(epoch=1, ranges=[Range(first=2, last=1)])}, Reason.FIELD_INVALID),
        ({"confirm": Confirm(epoch=1, ranges=[Range(first=0, last=1)])}, Reason.FIELD_INVALID),
        ({"confirm": Confirm(epoch=1, ranges=[Range(first=1, last=1)] * 1001)}, Reason.FIELD_INVALID),
        ({"confirm": Confirm(epoch=2**60, ranges=[Range(first=1, last=1)])}, Reason.FIELD_INVALID),
        ({"refuse": alarm_pull_service_pb2.PullAlarmsRequest.Refuse(epoch=1, number=0)}, Reason.FIELD_INVALID),
        ({"give_back": alarm_pull_service_pb2.PullAlarmsRequest.GiveBack(epoch=1)}, Reason.NOT_SERVED),
    ],
)
async def test_s4_a_wrong_frame_ends_the_pull_and_nothing_is_lost(
    channel: grpc.aio.Channel, account: Account, frame: dict[str, object], reason: Reason
) -> None:
    scene = await Scene.set(channel, account, spares=0)
    pull = await scene.host.work()
    await scene.devices[0].publish(zone=1)
    await pull.until_zones(1)
    await pull.say(**frame)
    error = await pull.until_ended()
    assert error is not None
    assert error.reason is reason
    again = await scene.host.open_pull()
    await again.until_zones(1)


@together
async def test_a4_what_is_not_to_be_forwarded_is_done_with_as_well(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await Scene.set(channel, account, spares=0)
    pull = await scene.host.work()
    for zone in (1, 2):
        await scene.devices[0].publish(zone=zone)
    await pull.until_zones(1, 2)
    first, second = pull.numbers
    await pull.say(
        confirm=Confirm(
            epoch=1, ranges=[Range(first=first, last=first)], not_forwarded=[Range(first=second, last=second)]
        )
    )
    await until(lambda: pull.stored, "it was answered")
    assert numbers_in(pull.stored[-1].ranges) == [first, second]
    assert (await scene.host.members()).group.backlog == 0


async def test_s4_a_confirmation_of_numbers_beyond_all_is_answered(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await Scene.set(channel, account, spares=0)
    pull = await scene.host.work()
    await scene.devices[0].publish(zone=1)
    await pull.until_zones(1)
    beyond = 2**64 - 1
    stored = await pull.confirm_ranges([(1, 1), (beyond, beyond)])
    assert numbers_in(stored.ranges) == [1]
    assert [(each.first, each.last) for each in stored.never_delivered] == [(beyond, beyond)]


@together
async def test_s4_overlapping_ranges_cost_no_more_than_one(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await Scene.set(channel, account, spares=0)
    pull = await scene.host.work()
    async for _ in scene.devices[0].stream([batch(1, [new_alarm(zone % 900) for zone in range(1000)])]):
        pass
    confirmed = 0
    while confirmed < 1000:
        await until(lambda: len(pull.alarms) > confirmed, "more came")  # noqa: B023 - it is of this turn
        # What comes meanwhile is for the next turn.
        first, confirmed = confirmed + 1, len(pull.alarms)
        await pull.confirm_ranges([(first, confirmed)])
    began = time.monotonic()
    await pull.confirm_ranges([(1, 1_000_000)] * 1000)
    assert time.monotonic() - began < 1.0


@together
async def test_timing_4_a_pull_that_the_beats_do_not_know_is_begun_anew(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account, spares=0)
    pull = await scene.host.work()
    await scene.devices[0].publish(zone=1)
    await pull.until_zones(1)
    scene.host.pull = None  # from now on its beats tell of no pull
    error = await pull.until_ended()
    assert error is not None
    assert (error.reason, error.metadata) == (Reason.PULL_MISMATCH, {"pull_id": "1"})
    again = await scene.host.open_pull()
    await again.until_zones(1)
    assert scene.host.epoch == 1


@together
async def test_timing_4_a_delivery_that_did_not_arrive_ends_the_pull(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account, spares=0)
    pull = await scene.host.work()
    line = scene.host.line
    assert line is not None
    line.beating = False
    await scene.devices[0].publish(zone=1)
    await pull.until_zones(1)

    async def beat() -> None:
        while not pull.ended:
            await line.beat(last_delivery=0)
            await asyncio.sleep(0.1)

    async with asyncio.timeout(5):
        await beat()
    assert pull.error is not None
    assert pull.error.reason is Reason.PULL_MISMATCH


@together
async def test_timing_4_a_silent_holder_gets_nothing_new_before_it_is_lost(
    cloud: CloudProcess, channel: grpc.aio.Channel
) -> None:
    account = await open_account(channel, cloud.token, "silent-holder")
    scene = await Scene.set(channel, account, spares=0)
    pull = await scene.host.work()
    line = scene.host.line
    assert line is not None
    line.beating = False
    await asyncio.sleep(1.6)  # the silence itself is what is tested
    await scene.devices[0].publish(zone=1)
    await asyncio.sleep(0.3)
    assert pull.zones == []
    line.beating = True
    await pull.until_zones(1)
    assert scene.host.epoch == 1


async def _first(receiver: Receiver, **frame: object) -> HotspareError | None:
    """The error with which a pull ends whose first frame is this one."""
    pull = Pull(receiver, 1)
    pull.begin()
    await pull.say(**frame)
    return await pull.until_ended()
