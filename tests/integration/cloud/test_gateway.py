"""A host as the gateway of its devices (D1, D2): who may, for whom, and what is kept; and one alarm of two copies."""

from datetime import UTC, datetime, timedelta
from typing import Any

import grpc

from hotspare.v1 import alarm_pb2, alarm_service_pb2, alarm_service_pb2_grpc
from hotspare_model.errors import Reason
from tests.integration.cloud.helpers import DEADLINE, Account, refused, until
from tests.integration.cloud.receivers import HOST, SPARE_1, Receiver
from tests.integration.cloud.scene import Configuration, Device, new_alarm, send_push, timestamp

DC09 = alarm_pb2.ALARM_PATH_DIRECT_DC09
GRPC = alarm_pb2.ALARM_PATH_DIRECT_GRPC
ISOLATED = alarm_pb2.ALARM_MARK_ISOLATED
FRAME = b'\n0F1D0020"ADM-CID"0001L0#4001[#4001|1130 01 007]\r'

Receipt = alarm_service_pb2.AlarmReceipt


async def site(
    channel: grpc.aio.Channel, account: Account, sub_account: str = "", **info: Any
) -> tuple[Receiver, Device]:
    """A host with dual connection, and a device of its group."""
    host = Receiver(channel, account, sub_account=sub_account, **{"dual_connection": True, **info})
    await host.join(HOST)
    device = Device(channel, account, "panel-1", "4001")
    await send_push(host, Configuration().changed(device))
    return host, device


def submission(
    alarm: alarm_pb2.Alarm, path: int = GRPC, device_id: str = "panel-1", **report: Any
) -> alarm_service_pb2.AlarmSubmission:
    """An alarm as a gateway passes it on."""
    named = alarm_pb2.Alarm()
    named.CopyFrom(alarm)
    named.device_id = device_id
    told = alarm_service_pb2.GatewayReport(path=alarm_pb2.AlarmPath.ValueType(path), **report)
    return alarm_service_pb2.AlarmSubmission(alarm=named, gateway=told)


def call(receiver: Receiver, passed_on: alarm_service_pb2.AlarmSubmission) -> Any:
    """Pass one alarm on."""
    stub = alarm_service_pb2_grpc.AlarmServiceStub(receiver.channel)
    request = alarm_service_pb2.PublishAlarmRequest(submission=passed_on)
    return stub.PublishAlarm(request, metadata=receiver.metadata, timeout=DEADLINE)


async def pass_on(receiver: Receiver, alarm: alarm_pb2.Alarm, path: int = GRPC, **fields: Any) -> Receipt:
    """Pass one alarm on, and return its receipt."""
    answer: alarm_service_pb2.PublishAlarmResponse = await call(receiver, submission(alarm, path, **fields))
    return answer.receipt


async def test_d2_a_direct_alarm_is_one_of_the_line_with_its_path_and_frame(
    channel: grpc.aio.Channel, account: Account
) -> None:
    host, device = await site(channel, account)
    had = datetime.now(UTC) - timedelta(seconds=1)
    await device.publish(zone=1)
    receipt = await pass_on(host, new_alarm(2), DC09, raw_frame=FRAME, receive_time=timestamp(had))
    await device.publish(zone=3)
    assert (receipt.number, receipt.account_sequence, receipt.duplicate) == (2, 2, False)
    pull = await host.work()
    await pull.until_zones(1, 2, 3)
    first, direct, last = (each.stored for each in pull.alarms)
    assert (direct.account_number, direct.path, direct.raw_frame) == ("4001", DC09, FRAME)
    assert (first.path, last.path) == (alarm_pb2.ALARM_PATH_CLOUD, alarm_pb2.ALARM_PATH_CLOUD)
    assert (await pass_on(host, direct.alarm, DC09)).duplicate


async def test_d3_the_same_id_on_both_paths_is_one_alarm(channel: grpc.aio.Channel, account: Account) -> None:
    host, device = await site(channel, account)
    first, second = new_alarm(1), new_alarm(2)
    receipts = [await device.send(first), await pass_on(host, first)]
    receipts += [await pass_on(host, second), await device.send(second)]
    assert [receipt.duplicate for receipt in receipts] == [False, True, False, True]
    assert [receipt.account_sequence for receipt in receipts] == [1, 1, 2, 2]
    assert (await host.members()).group.backlog == 2


async def test_d3_without_an_id_the_same_content_and_time_on_both_paths_is_one_alarm(
    channel: grpc.aio.Channel, account: Account
) -> None:
    host, device = await site(channel, account)
    now = datetime.now(UTC)

    def copy(zone: int, **fields: Any) -> alarm_pb2.Alarm:
        return new_alarm(zone, **{"occur_time": timestamp(now), **fields})

    assert not (await device.send(copy(1))).duplicate
    direct = copy(1, occur_time=timestamp(now + timedelta(seconds=2)))
    assert [(await pass_on(host, direct, DC09)).duplicate for _ in range(2)] == [True, True]
    # The second event of one path is an event of its own, and so is what differs or comes by gRPC with its own id.
    assert not (await pass_on(host, copy(1), DC09)).duplicate
    assert not (await pass_on(host, copy(2), DC09)).duplicate
    assert not (await pass_on(host, copy(3), GRPC)).duplicate
    assert not (await device.send(copy(3))).duplicate
    assert (await device.send(copy(2))).duplicate  # the direct one was first
    pull = await host.work()
    await pull.until_zones(1, 1, 2, 3, 3)


async def test_d4_what_the_isolated_host_forwarded_is_stored_as_confirmed_and_withdrawn(
    channel: grpc.aio.Channel, account: Account
) -> None:
    host, device = await site(channel, account)
    alarm = new_alarm(1)
    await device.send(alarm)
    pull = await host.work()
    await pull.until_zones(1)
    then = datetime.now(UTC) - timedelta(minutes=5)
    told = {"confirm_time": timestamp(then + timedelta(seconds=1)), "receive_time": timestamp(then)}
    fresh = await pass_on(host, new_alarm(2), DC09, wire_sequence="0042", answer=b"ACK", **told)
    assert (fresh.account_sequence, list(fresh.marks)) == (2, [ISOLATED])
    assert fresh.receive_time.ToDatetime(UTC) == then
    # The cloud has this one too: the ARC has it, so nobody sends it again.
    again = await pass_on(host, alarm, GRPC, **told)
    assert again.duplicate
    await until(lambda: pull.withdrawn == [1], "the alarm that is out was withdrawn")
    await device.publish(zone=3)
    await pull.until_zones(1, 3)
    assert (await host.members()).group.backlog == 1


async def test_d1_only_a_host_with_dual_connection_is_a_gateway(channel: grpc.aio.Channel, account: Account) -> None:
    host, device = await site(channel, account, dual_connection=False)
    spare = Receiver(channel, account)
    stranger = Receiver(channel, account)
    await spare.join(SPARE_1)
    alarm = submission(new_alarm(1))
    assert (await refused(call(host, alarm))).reason is Reason.DUAL_CONNECTION_OFF
    error = await refused(call(spare, alarm))
    assert (error.reason, error.metadata["caller"]) == (Reason.CALLER_NOT_ALLOWED, "SPARE_1")
    assert (await refused(call(stranger, alarm))).reason is Reason.NOT_A_MEMBER
    host.metadata = tuple((key, "wrong" if key.endswith("arc-key") else value) for key, value in host.metadata)
    assert (await refused(call(host, alarm))).reason is Reason.INVALID_CREDENTIALS
    # A device speaks for itself alone, and tells nothing of a gateway's.
    stub = alarm_service_pb2_grpc.AlarmServiceStub(channel)
    request = alarm_service_pb2.PublishAlarmRequest(submission=alarm)
    told = await refused(stub.PublishAlarm(request, metadata=device.metadata, timeout=DEADLINE))
    assert (told.reason, told.metadata["field"]) == (Reason.FIELD_INVALID, "gateway")


async def test_d1_g7_a_receiver_that_works_alone_is_one_until_there_is_a_host(
    channel: grpc.aio.Channel, account: Account
) -> None:
    alone, _ = await site(channel, account)
    await alone.leave()
    await alone.attend()
    assert not (await pass_on(alone, new_alarm(1))).duplicate
    other = Receiver(channel, account)
    await other.join(HOST)
    assert (await refused(call(alone, submission(new_alarm(2))))).reason is Reason.CALLER_NOT_ALLOWED


async def test_s2_a_gateway_knows_the_devices_of_its_own_group_alone(
    channel: grpc.aio.Channel, account: Account, other_account: Account
) -> None:
    host, _ = await site(channel, account)
    theirs = Receiver(channel, other_account, dual_connection=True)
    await theirs.join(HOST)
    panels = [Device(channel, other_account, name, "4002") for name in ("panel-1", "panel-2")]
    await send_push(theirs, Configuration().changed(*panels))
    second, _ = await site(channel, account, "second")
    error = await refused(call(host, submission(new_alarm(1), device_id="panel-2")))
    assert (error.reason, error.metadata) == (Reason.DEVICE_UNKNOWN, {"device_id": "panel-2"})
    # The id is known in all three groups, and each alarm stays in its own.
    for number, receiver in enumerate((host, theirs, second), start=1):
        assert (await pass_on(receiver, new_alarm(number))).number == 1


async def test_f10_any_member_tells_the_arc_of_itself_under_its_own_account_number(
    channel: grpc.aio.Channel, account: Account
) -> None:
    host, _ = await site(channel, account, dual_connection=False)
    spare = Receiver(channel, account, own_account_number="ABCD")
    await spare.join(SPARE_1)
    receipt = await pass_on(spare, new_alarm(5), alarm_pb2.ALARM_PATH_SYSTEM, device_id="")
    assert receipt.account_sequence == 1
    without = submission(new_alarm(6), alarm_pb2.ALARM_PATH_SYSTEM, device_id="")
    assert (await refused(call(host, without))).reason is Reason.FIELD_INVALID
    pull = await host.work()
    await pull.until_zones(5)
    assert pull.alarms[0].stored.account_number == "ABCD"


async def test_d2_a_batch_names_many_devices_and_the_wrong_one_harms_no_other(
    channel: grpc.aio.Channel, account: Account
) -> None:
    host, _ = await site(channel, account, own_account_number="ABCD")
    good, unknown, own = new_alarm(1), new_alarm(2), new_alarm(3)
    batch = alarm_service_pb2.PublishAlarmsRequest(
        batch=1,
        submissions=[
            submission(good),
            submission(unknown, device_id="nobody"),
            submission(good, path=alarm_pb2.ALARM_PATH_CLOUD),
            submission(good, raw_frame=b"x" * 4097),
            submission(own, path=alarm_pb2.ALARM_PATH_SYSTEM, device_id=""),
            submission(own, device_id=""),
        ],
    )
    stub = alarm_service_pb2_grpc.AlarmServiceStub(channel)
    stream = stub.PublishAlarms(iter([batch]), metadata=host.metadata, timeout=DEADLINE)
    (answer,) = [each async for each in stream]
    reasons = [result.rejection.reason for result in answer.results]
    unknown_reason, field = 90, 50
    assert reasons == [0, unknown_reason, field, field, 0, field]
    assert [result.receipt.number for result in answer.results if result.HasField("receipt")] == [1, 2]
    pull = await host.work()
    await pull.until_zones(1, 3)
    assert pull.alarms[1].stored.account_number == "ABCD"
