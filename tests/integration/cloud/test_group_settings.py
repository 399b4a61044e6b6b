"""Settings of a group: who changes what, how it is refused, and what it does to those that work."""

import asyncio
import time
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from hotspare.v1 import group_pb2
from hotspare_model.errors import Reason
from hotspare_model.group import SETTING_NAMES, GroupSettings
from hotspare_rpc.channel import open_channel
from tests.integration.cloud.helpers import QUICK, Account, CloudProcess, refused, until
from tests.integration.cloud.operators import REFUSED, SETTINGS_CHANGED, Operator
from tests.integration.cloud.scene import Scene
from tests.integration.cloud.test_restart import begun, killed
from tests.integration.cloud.together import Together

together = Together()


async def at_work(channel: grpc.aio.Channel, account: Account) -> tuple[Scene, Operator]:
    """A group whose host works in epoch 1, and an operator at its host."""
    scene = await Scene.set(channel, account)
    await scene.attend()
    return scene, Operator(scene.host)


@together
async def test_s5_a_change_is_told_to_all_and_stands_in_the_history_with_before_and_after(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene, operator = await at_work(channel, account)
    before = await operator.settings()
    after = await operator.set(failback_delay=7.5, losses_per_hour=9, window=before.window)
    assert (after.failback_delay.ToTimedelta().total_seconds(), after.losses_per_hour) == (7.5, 9)
    assert (after.lease, after.etag != before.etag) == (before.lease, True)
    assert await operator.settings() == after
    for receiver in scene.receivers:
        await until(lambda: receiver.state.settings.losses_per_hour == 9, "it is told")  # noqa: B023
    line = await operator.until_line(SETTINGS_CHANGED)
    assert (line.detail, line.operator_name) == ("failback_delay 3600s -> 7.5s, losses_per_hour 4 -> 9", "olga")


@together
async def test_settings_with_an_older_etag_are_refused_and_nothing_changes(
    channel: grpc.aio.Channel, account: Account
) -> None:
    _, operator = await at_work(channel, account)
    first = await operator.settings()
    second = await operator.set(etag=first.etag, window=7)
    error = await refused(operator.set(etag=first.etag, window=8))
    assert (error.reason, error.metadata) == (Reason.ETAG_MISMATCH, {"etag": second.etag})
    assert (await operator.settings()).window == 7
    line = await operator.until_line(REFUSED)
    assert ("settings" in line.detail, line.operator_name) == (True, "olga")
    # What is in place already succeeds, whatever the etag, and is no line.
    assert (await operator.set(etag=first.etag, window=7)).etag == second.etag
    assert len(await operator.lines(SETTINGS_CHANGED)) == 1


@together
async def test_settings_of_two_operators_at_once_with_one_etag_are_one_change(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene, operator = await at_work(channel, account)
    etag = (await operator.settings()).etag
    answers = await asyncio.gather(
        operator.set(etag=etag, window=7),
        Operator(scene.spare, "otto").set(etag=etag, window=8),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, BaseException) for answer in answers) == 1
    assert len(await operator.lines(SETTINGS_CHANGED)) == 1


@together
async def test_settings_that_the_mask_does_not_name_stay(channel: grpc.aio.Channel, account: Account) -> None:
    _, operator = await at_work(channel, account)
    before = await operator.settings()
    fields = group_pb2.GroupSettings(window=7, losses_per_hour=50, takeover_event_code="355")
    await operator.call("UpdateGroupSettings", settings=fields, update_mask=FieldMask(paths=["window", "window"]))
    after = await operator.settings()
    before.window, before.etag = 7, after.etag
    assert after == before


@together
async def test_settings_with_a_wrong_mask_are_refused(channel: grpc.aio.Channel, account: Account) -> None:
    _, operator = await at_work(channel, account)
    for paths, reason, field in (
        ([], Reason.FIELD_INVALID, "update_mask"),
        (["no_such"], Reason.FIELD_MASK_INVALID, "no_such"),
        (["etag"], Reason.FIELD_MASK_INVALID, "etag"),
        (["lease.seconds"], Reason.FIELD_MASK_INVALID, "lease.seconds"),
        (["lease"], Reason.FIELD_INVALID, "lease"),
        (["window"], Reason.FIELD_INVALID, "window"),
    ):
        error = await refused(operator.call("UpdateGroupSettings", update_mask=FieldMask(paths=paths)))
        assert (error.reason, error.metadata["field"]) == (reason, field)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("lease", (1.9, 61.0)),
        ("beat", (0.16, 0.41)),
        ("reconnect_grace", (0.19, 2.01)),
        ("suspect_after", (0.39, 2.01)),
        ("restart_grace", (0.99, 2.01)),
        ("unhealthy_after", (0.9, 301.0)),
        ("failback_delay", (-0.1, 3601.0)),
        ("drain_timeout", (0.9, 61.0)),
        ("losses_per_hour", (0, 101)),
        ("window", (0, 10_001)),
        ("sync_interval", (4.9, 3601.0)),
        ("set_aside_after", (0, 101)),
        ("takeover_event_code", ("", "39", "39A", "3999", "\uff13\uff19\uff19")),
        ("revision_max_age", (86_399.0, 3651 * 86_400.0)),
        ("revision_max_count", (0, 10_001)),
    ],
)
async def test_settings_beyond_their_range_are_refused_by_name_and_stand_in_the_history(
    channel: grpc.aio.Channel, account: Account, name: str, values: tuple[Any, ...]
) -> None:
    scene = await Scene.set(channel, account, spares=0)
    operator = Operator(scene.host)
    before = await operator.settings()
    for count, value in enumerate(values, start=1):
        error = await refused(operator.set(**{name: value}))
        assert (error.reason, error.metadata["field"]) == (Reason.FIELD_INVALID, name)
        line = await operator.until_line(REFUSED, count)
        assert (name in line.detail, line.operator_name) == (True, "olga")
    assert await operator.settings() == before


def test_settings_all_have_a_range_that_is_tested() -> None:
    (mark,) = test_settings_beyond_their_range_are_refused_by_name_and_stand_in_the_history.pytestmark
    assert {name for name, _ in mark.args[1]} == set(SETTING_NAMES)


@together
async def test_settings_with_spans_beyond_all_clocks_are_refused(channel: grpc.aio.Channel, account: Account) -> None:
    _, operator = await at_work(channel, account)
    for span in (
        Duration(seconds=2**62),
        Duration(seconds=-(2**62)),
        Duration(seconds=6, nanos=-1),
        Duration(seconds=6, nanos=2**31 - 1),
        Duration(seconds=315_576_000_000),
    ):
        error = await refused(operator.set(lease=span))
        assert (error.reason, error.metadata["field"]) == (Reason.FIELD_INVALID, "lease")


@together
async def test_settings_with_an_unsafe_lease_are_refused_with_the_arithmetic(
    channel: grpc.aio.Channel, account: Account
) -> None:
    _, operator = await at_work(channel, account)
    error = await refused(operator.set(lease=1.0, beat=0.2))
    assert error.reason is Reason.LEASE_ARITHMETIC
    assert "T_holder / (1 - r) + X <= T_cloud / (1 + r)" in error.metadata["arithmetic"]
    line = await operator.until_line(REFUSED)
    assert "T_cloud" in line.detail


@together
async def test_f3_from_a_beat_of_five_seconds_to_a_fifth_of_one_moves_nobody(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene, operator = await at_work(channel, account)
    await operator.set(lease=60.0, beat=5.0, suspect_after=15.0)
    lines = [receiver.line for receiver in scene.receivers]
    for line in lines:
        assert line is not None
        line.beating = False
        await line.beat()
    await asyncio.sleep(1)
    await operator.set(lease=2.0, beat=0.2, suspect_after=0.4)
    await asyncio.sleep(3)  # the old rhythm: the next beat is due two seconds from now
    for line in lines:
        assert line is not None
        await line.beat()
        line.beating = True
    await asyncio.sleep(9)
    assert (scene.host.works, scene.host.epoch, scene.spare.works) == (True, 1, False)


@together
async def test_f11_a_hold_lasts_for_the_longer_lease_of_before_over_a_kill_of_the_cloud(
    own_cloud: CloudProcess,
) -> None:
    (account,) = await begun(own_cloud, settings=GroupSettings())
    async with open_channel(own_cloud.address, None) as channel:
        scene, operator = await at_work(channel, account)
        pull = await scene.host.open_pull()
        await scene.devices[0].publish(zone=1)
        await pull.until_zones(1)
        await operator.set(lease=2.0, beat=0.2, suspect_after=1.0, reconnect_grace=0.3, restart_grace=1.0)
        assert scene.host.line is not None
        scene.host.line.beating = False
        async with killed(own_cloud, scene):
            restarted = time.monotonic()
            await scene.spare.attend()
            there = await scene.spare.work()
            assert time.monotonic() - restarted < 3.0
            (hold,) = (await scene.spare.members()).group.holds
            assert hold.remaining.ToTimedelta().total_seconds() > 3.0
            await there.until_zones(1)
            assert time.monotonic() - restarted > 5.5


@together
async def test_f11_settings_and_their_etag_outlive_a_kill_of_the_cloud(own_cloud: CloudProcess) -> None:
    (account,) = await begun(own_cloud, settings=QUICK)
    async with open_channel(own_cloud.address, None) as channel:
        scene, operator = await at_work(channel, account)
        before = await operator.set(window=7, failback_delay=0.0, takeover_event_code="B9C")
        async with killed(own_cloud, scene):
            assert await operator.settings() == before
