"""Clients of the baseline, and of releases to come, at this cloud (V3)."""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from hotspare.v1 import (
    alarm_pb2,
    group_pb2,
    record_pb2,
    role_service_pb2,
    version_service_pb2,
    version_service_pb2_grpc,
)
from hotspare_model.errors import Reason
from tests.integration.cloud.helpers import DEADLINE, Account, refused, until
from tests.integration.cloud.receivers import Receiver
from tests.integration.cloud.scene import Scene, change, push, send_push
from tests.integration.eras import future, past

Era = Callable[[grpc.aio.Channel], grpc.aio.Channel]


@pytest.mark.parametrize("era", [past, future])
async def test_v3_a_whole_story_with_clients_of_another_release(
    channel: grpc.aio.Channel, account: Account, era: Era
) -> None:
    """Joining, pushing, publishing, working, a take-over, watching and leaving."""
    scene = await Scene.set(era(channel), account, devices=2)
    assert (
        await scene.host.roles.ListMembers(
            role_service_pb2.ListMembersRequest(), metadata=scene.host.metadata, timeout=DEADLINE
        )
    ).group.arc_id == account.arc_id
    watch = scene.spare.roles.WatchMembers(role_service_pb2.WatchMembersRequest(), metadata=scene.spare.metadata)
    assert len((await anext(aiter(watch))).members) == 2
    await scene.attend()
    pull = await scene.host.work()
    for zone, device in enumerate([*scene.devices, *scene.devices]):
        await device.publish(zone + 1)
    await until(lambda: len(pull.zones) == 4, "all came")
    await pull.confirm(*pull.numbers)
    await scene.host.vanish()
    await scene.devices[0].publish(9)
    second = await scene.spare.work()
    await second.until_zones(9)
    await second.confirm(*second.numbers)
    watch.cancel()
    await scene.spare.leave()
    stub = version_service_pb2_grpc.VersionServiceStub(era(channel))
    answer = await stub.CheckVersion(
        version_service_pb2.CheckVersionRequest(), metadata=scene.host.metadata, timeout=DEADLINE
    )
    assert (answer.compatible, answer.contract_major, len(answer.members)) == (True, 1, 1)


async def test_v3_what_a_newer_receiver_says_of_itself_in_words_unknown_here_does_no_harm(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account)
    scene.host.says["sync_state"] = 77
    scene.host.says["health"] = group_pb2.Health(
        problems=[group_pb2.HealthProblem(kind=group_pb2.HealthProblemKind.ValueType(88), subject="new", detail="odd")]
    )
    await scene.attend()
    await until(lambda: scene.spare.works, "a problem of any kind is one")
    (host, _) = (await scene.spare.members()).members
    assert host.sync_state == group_pb2.SYNC_STATE_UNSPECIFIED
    assert [(problem.kind, problem.subject) for problem in host.health.problems] == [
        (group_pb2.HEALTH_PROBLEM_KIND_UNSPECIFIED, "new")
    ]


async def test_v3_a_frame_that_is_not_known_here_is_refused_as_such_and_ends_its_stream_alone(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account)
    await scene.attend()
    line = scene.spare.line
    assert line is not None
    line.beating = False  # a write under way at the end would cost the client the status
    await line.say(role_service_pb2.AttendRequest.FromString(bytes.fromhex("c2b50300")))
    error = await line.until_ended()
    assert error is not None
    assert error.reason is Reason.STREAM_PROTOCOL
    assert scene.host.works


@pytest.mark.parametrize("role", [5, 99, -1])
async def test_v3_a_role_that_is_not_known_here_is_refused_in_words(
    channel: grpc.aio.Channel, account: Account, role: int
) -> None:
    error = await refused(Receiver(channel, account).join(role))
    assert (error.reason, error.metadata["field"]) == (Reason.FIELD_INVALID, "role")


async def test_a10_v3_an_alarm_in_words_of_a_newer_panel_is_taken_and_delivered(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account, spares=0)
    await scene.attend()
    pull = await scene.host.work()
    odd: dict[str, Any] = {"qualifier": 55, "code_format": 44}
    await scene.devices[0].publish(3, **odd)
    await pull.until_zones(3)
    assert pull.alarms[0].stored.alarm.qualifier == alarm_pb2.QUALIFIER_NEW


async def test_v3_a_kind_of_records_that_is_not_known_here_is_refused_and_nothing_is_stored(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account, spares=0)
    frames = scene.configuration.changed(*scene.devices)
    changes = [*frames[1].chunk.changes, change("one", b"\x0a\x00", kind=9)]
    digests = [*scene.configuration.digests(), record_pb2.KindDigest(kind=record_pb2.RecordKind.ValueType(9), count=1)]
    error = await refused(send_push(scene.host, push(frames[0].header, [changes], digests)))
    assert error.reason is Reason.FIELD_INVALID
    await asyncio.gather(*(device.publish() for device in scene.devices))
