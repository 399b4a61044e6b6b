"""What the intake refuses, with a clear error, and that it costs nobody else anything (S4, A7)."""

import asyncio
from typing import Any
from uuid import uuid4

import grpc
import pytest

from hotspare.v1 import alarm_pb2, alarm_service_pb2, alarm_service_pb2_grpc, errors_pb2, role_service_pb2
from hotspare_model.errors import Reason
from tests.integration.cloud.helpers import Account, CloudProcess, refused
from tests.integration.cloud.scene import Device, Scene, batch, new_alarm, send_push

HEX = "123456789abcdef0123456789abcdef0"

NO_UUIDS = (
    "",
    "x",
    "x" * 10_240,
    "\x00" * 36,
    "12345678-9abc-def0-1234-56789abcde\n0",
    *(prefix + HEX[len(prefix) :] for prefix in ("\t", " ", "+", "-", "0x", "1_")),
    "{" + HEX + "}",
    "urn:uuid:" + HEX,
    "1-2-3-456789abcdef0123456789abcdef0",
    "\u0661" * 32,
)


@pytest.mark.parametrize("alarm_id", NO_UUIDS, ids=range(len(NO_UUIDS)))
async def test_s4_an_alarm_id_that_is_no_uuid_is_refused(
    channel: grpc.aio.Channel, account: Account, alarm_id: str
) -> None:
    scene = await Scene.set(channel, account, spares=0)
    error = await refused(scene.devices[0].publish(alarm_id=alarm_id))
    assert error.reason is Reason.FIELD_INVALID
    assert error.metadata["field"] in ("alarm_id", "alarm")
    assert len(error.message) < 500
    assert error.retry_after is None
    assert (await scene.host.members()).group.backlog == 0


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"device_id": "panel-2"}, "device_id"),
        ({"text": "x" * 9000}, "alarm"),
    ],
)
async def test_s4_a_wrong_field_is_named(
    channel: grpc.aio.Channel, account: Account, wrong: dict[str, Any], field: str
) -> None:
    scene = await Scene.set(channel, account, spares=0)
    error = await refused(scene.devices[0].publish(**wrong))
    assert (error.reason, error.metadata["field"]) == (Reason.FIELD_INVALID, field)


async def test_s4_without_an_alarm_or_with_a_gateways_report_it_is_refused(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account, spares=0)
    stub = alarm_service_pb2_grpc.AlarmServiceStub(channel)
    report = alarm_service_pb2.GatewayReport(path=alarm_pb2.ALARM_PATH_DIRECT_DC09)
    for submission, field in (
        (alarm_service_pb2.AlarmSubmission(), "alarm"),
        (alarm_service_pb2.AlarmSubmission(alarm=new_alarm(), gateway=report), "gateway"),
    ):
        request = alarm_service_pb2.PublishAlarmRequest(submission=submission)
        error = await refused(stub.PublishAlarm(request, metadata=scene.devices[0].metadata))
        assert (error.reason, error.metadata["field"]) == (Reason.FIELD_INVALID, field)


async def test_s1_an_unknown_device_a_wrong_key_and_another_account_get_the_same_answer(
    channel: grpc.aio.Channel, account: Account, other_account: Account
) -> None:
    device = (await Scene.set(channel, account, spares=0)).devices[0]
    await Scene.set(channel, other_account, spares=0)
    answers = set()
    for arc_id, device_id, key in (
        (account.arc_id, "no-such-panel", device.key),
        (account.arc_id, device.device_id, "wrong"),
        (account.arc_id, device.device_id, account.key),
        (other_account.arc_id, device.device_id, device.key),
        ("no-such-account", device.device_id, device.key),
    ):
        wrong = Device(channel, Account(arc_id, ""), device_id, key=key)
        error = await refused(wrong.publish())
        answers.add((error.reason, error.message, str(error.metadata)))
    assert len(answers) == 1
    assert answers.pop()[0] is Reason.INVALID_CREDENTIALS


async def test_s1_a_receivers_credentials_are_no_devices(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await Scene.set(channel, account, spares=0)
    stub = alarm_service_pb2_grpc.AlarmServiceStub(channel)
    request = alarm_service_pb2.PublishAlarmRequest(submission=alarm_service_pb2.AlarmSubmission(alarm=new_alarm()))
    # They are a gateway's, which has to name the device.
    error = await refused(stub.PublishAlarm(request, metadata=scene.host.metadata))
    assert error.reason is Reason.FIELD_INVALID
    listing = role_service_pb2.ListMembersRequest()
    error = await refused(scene.host.roles.ListMembers(listing, metadata=scene.devices[0].metadata))
    assert error.reason is Reason.INVALID_CREDENTIALS


async def test_b3_a_device_that_was_deleted_or_got_a_new_key_is_refused(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account, spares=0)
    device = scene.devices[0]
    await device.publish()
    renewed = Device(channel, account, device.device_id, device.account_number)
    await send_push(scene.host, scene.configuration.changed(renewed, gone=[scene.devices[1].device_id]))
    for gone in scene.devices:
        assert (await refused(gone.publish())).reason is Reason.INVALID_CREDENTIALS
    assert (await renewed.publish()).account_sequence == 2


async def test_s1_a_stream_ends_with_the_key_that_opened_it(channel: grpc.aio.Channel, account: Account) -> None:
    """Not with its next batch, but before that is taken."""
    scene = await Scene.set(channel, account, spares=0)
    device = scene.devices[0]
    call = alarm_service_pb2_grpc.AlarmServiceStub(channel).PublishAlarms(metadata=device.metadata, timeout=10)
    await call.write(batch(1, [new_alarm(1)]))
    answer: Any = await call.read()
    assert answer.results[0].HasField("receipt")
    renewed = Device(channel, account, device.device_id, device.account_number)
    await send_push(scene.host, scene.configuration.changed(renewed))

    async def go_on() -> object:
        await call.write(batch(2, [new_alarm(2)]))
        return await call.read()

    assert (await refused(go_on())).reason is Reason.INVALID_CREDENTIALS
    assert (await scene.host.members()).group.backlog == 1


async def test_a6_an_open_stream_follows_the_account_number_of_its_device(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account, spares=0)
    device = scene.devices[0]
    call = alarm_service_pb2_grpc.AlarmServiceStub(channel).PublishAlarms(metadata=device.metadata, timeout=10)
    await call.write(batch(1, [new_alarm(1)]))
    await call.read()
    moved = Device(channel, account, device.device_id, "4A4A", key=device.key)
    await send_push(scene.host, scene.configuration.changed(moved))
    await call.write(batch(2, [new_alarm(2)]))
    await call.read()
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    pull = await scene.host.work()
    await pull.until_zones(1, 2)
    assert [each.stored.account_number for each in pull.alarms] == [device.account_number, "4A4A"]
    assert [each.stored.account_sequence for each in pull.alarms] == [1, 1]


async def test_s4_a_bad_one_harms_no_good_one_of_its_batch(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await Scene.set(channel, account, spares=0)
    alarms = [new_alarm(1), new_alarm(2, alarm_id="bad\n" * 100), new_alarm(3), new_alarm(4, text="x" * 9000)]
    (answer,) = [answer async for answer in scene.devices[0].stream([batch(1, alarms)])]
    kinds = [result.WhichOneof("result") for result in answer.results]
    assert kinds == ["receipt", "rejection", "receipt", "rejection"]
    rejection = answer.results[1].rejection
    assert rejection.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert rejection.reason == errors_pb2.ERROR_REASON_FIELD_INVALID
    assert rejection.metadata["field"] == "alarm_id"
    assert not rejection.HasField("retry_delay")
    assert len(rejection.alarm_id) <= 64
    pull = await scene.host.work()
    await pull.until_zones(1, 3)


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        ([(2, 1)], Reason.STREAM_PROTOCOL),
        ([(1, 1), (1, 1)], Reason.STREAM_PROTOCOL),
        ([(1, 1), (3, 1)], Reason.STREAM_PROTOCOL),
        ([(1, 0)], Reason.FIELD_INVALID),
        ([(1, 1001)], Reason.FIELD_INVALID),
    ],
)
async def test_s4_batches_out_of_order_or_of_a_wrong_size_end_the_stream(
    channel: grpc.aio.Channel, account: Account, frames: list[tuple[int, int]], reason: Reason
) -> None:
    scene = await Scene.set(channel, account, spares=0)
    batches = [batch(number, [new_alarm() for _ in range(size)]) for number, size in frames]

    async def publish() -> object:
        return [answer async for answer in scene.devices[0].stream(batches)]

    assert (await refused(publish())).reason is reason


async def test_s4_a_batch_of_more_than_a_mebibyte_ends_the_stream(channel: grpc.aio.Channel, account: Account) -> None:
    """And one of just that size is taken."""
    scene = await Scene.set(channel, account, spares=0)

    def of_bytes(size: int) -> alarm_service_pb2.PublishAlarmsRequest:
        request = batch(1, [new_alarm(text="x" * 8000) for _ in range(130)])
        last = request.submissions[-1].alarm
        last.text = last.text[: size - request.ByteSize()]
        assert request.ByteSize() == size
        return request

    async def publish(request: alarm_service_pb2.PublishAlarmsRequest) -> object:
        return [answer async for answer in scene.devices[0].stream([request])]

    await publish(of_bytes(1024 * 1024))
    error = await refused(publish(of_bytes(1024 * 1024 + 1)))
    assert (error.reason, error.metadata["field"]) == (Reason.FIELD_INVALID, "submissions")


async def test_s4_a_message_over_the_limit_ends_its_call_alone(
    cloud: CloudProcess, channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account, spares=0)
    pull = await scene.host.work()
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await scene.devices[0].publish(text="x" * (4 * 1024 * 1024 + 1))
    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    # Also from a client without a limit of its own.
    options = [("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(cloud.address, options=options) as unlimited:
        device = Device(unlimited, account, scene.devices[0].device_id, key=scene.devices[0].key)
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await device.publish(text="x" * (5 * 1024 * 1024))
        assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    await scene.devices[0].publish(zone=1)
    await pull.until_zones(1)
    assert not pull.ended


async def test_s4_bytes_that_are_no_message_are_refused(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await Scene.set(channel, account, spares=0)
    for path in ("PublishAlarm", "PublishAlarms"):
        call: Any = channel.stream_stream(f"/hotspare.v1.AlarmService/{path}")

        async def send(call: Any = call) -> object:
            return [answer async for answer in call(iter([b"\xff\xff\xff"]), metadata=scene.devices[0].metadata)]

        assert (await refused(send())).reason is Reason.FIELD_INVALID


async def test_a1_a_caller_that_goes_away_harms_nothing(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await Scene.set(channel, account, spares=0)
    alarms = [new_alarm(zone % 900, alarm_id=str(uuid4())) for zone in range(1000)]
    call = scene.devices[0].stream([batch(1, alarms)])
    reading = asyncio.ensure_future(anext(aiter(call)))
    await asyncio.sleep(0.02)
    call.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    receipts = []
    async for answer in scene.devices[0].stream([batch(1, alarms)]):
        receipts += [result.receipt for result in answer.results]
    assert [receipt.account_sequence for receipt in receipts] == list(range(1, 1001))
    assert len({receipt.duplicate for receipt in receipts}) == 1  # whole, or not at all
    assert (await scene.host.members()).group.backlog == 1000
