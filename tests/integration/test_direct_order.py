"""A3 around a cut: direct alarms of a device go on in the order in which they came, before it, in it, and after it."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hotspare_model.alarm import AlarmMark, AlarmPath
from hotspare_model.errors import HotspareError, Reason
from hotspare_receiver.clock import SystemClock
from hotspare_receiver.direct import gateway as gateway_module
from hotspare_receiver.direct.gate import Gate
from hotspare_receiver.direct.intake import DirectAlarm
from hotspare_receiver.store.direct import DirectStore, KeptAlarm
from hotspare_rpc.wire import alarm_from_proto
from tests.integration.test_direct_gateway import FakeIntake, gateway_to, serving
from tests.integration.test_direct_isolated import NOON, UP_TO_DATE, Host, alarm, host_in
from tests.integration.test_receiver_desk_support import DEADLINE, wait_until


async def unpublished_host(host: Host) -> None:
    """The cloud is back, and can't take what is kept of a panel yet."""
    host.cloud.refusal = HotspareError(Reason.DISK_LOW, "full", free_bytes=0, floor_bytes=1)
    await host.cut_off()
    await host.accept(1)
    host.around.silent = 0.0
    await wait_until(lambda: not host.isolated.active)


async def test_a3_none_passes_those_that_wait_until_what_was_kept_is_published(tmp_path: Path) -> None:
    gone_on: list[int] = []

    async def waiter(host: Host, number: int) -> None:
        await host.isolated.wait_for_turn("panel", 8.0)
        gone_on.append(number)

    async with host_in(tmp_path) as host, asyncio.timeout(DEADLINE):
        await unpublished_host(host)
        waiting = []
        for number in range(10):
            waiting.append(asyncio.create_task(waiter(host, number)))
            await asyncio.sleep(0)
        host.cloud.refusal = None
        while host.isolated.unpublished:  # noqa: ASYNC110 - this very moment is what counts
            await asyncio.sleep(0)
        assert gone_on == []
        waiting.append(asyncio.create_task(waiter(host, 10)))
        await asyncio.gather(*waiting)
        assert gone_on == list(range(11))


async def test_a3_who_waited_too_long_is_given_back_with_all_that_came_behind_it(tmp_path: Path) -> None:
    async with host_in(tmp_path) as host:
        await unpublished_host(host)
        first = asyncio.create_task(host.isolated.wait_for_turn("panel", 0.1))
        await asyncio.sleep(0)
        second = asyncio.create_task(host.isolated.wait_for_turn("panel", 8.0))
        first.add_done_callback(lambda _: setattr(host.cloud, "refusal", None))
        results = await asyncio.gather(first, second, return_exceptions=True)
        assert [isinstance(each, HotspareError) and each.reason for each in results] == [Reason.CLOUD_UNREACHABLE] * 2
        await host.isolated.wait_for_turn("panel", 8.0)
        assert host.cloud.zones == [1]


async def test_a3_what_is_on_its_way_to_the_disk_when_the_cloud_comes_back_is_not_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    going = asyncio.Event()
    keep = DirectStore.keep

    async def slow(self: DirectStore, kept: KeptAlarm) -> tuple[KeptAlarm, bool]:
        await going.wait()
        return await keep(self, kept)

    monkeypatch.setattr(DirectStore, "keep", slow)
    async with host_in(tmp_path) as host:
        await host.cut_off()
        keeping = asyncio.create_task(host.accept(1))
        await asyncio.sleep(0)
        host.around.silent = 0.0
        await wait_until(lambda: not host.isolated.active)
        with pytest.raises(HotspareError):
            await host.isolated.wait_for_turn("panel", 0.0)
        going.set()
        await keeping
        await host.isolated.wait_for_turn("panel", 8.0)
        assert host.cloud.zones == [1]
        await wait_until(lambda: host.isolated.sync_report(UP_TO_DATE) == UP_TO_DATE)


async def test_a3_at_the_cut_none_passes_those_that_were_on_their_way_to_the_cloud(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_module, "ATTEMPT", 0.3)
    intake = FakeIntake(going={"panel": asyncio.Event()})

    def direct(zone: int) -> DirectAlarm:
        return DirectAlarm(alarm_from_proto(alarm(zone).alarm), AlarmPath.DIRECT_GRPC, NOON, b"")

    async with (
        serving(intake) as address,
        host_in(tmp_path) as host,
        gateway_to(tmp_path_factory.mktemp("way"), address, host.doubts, lambda: host.isolated.active) as gateway,
    ):
        settings: Any = SimpleNamespace(settings=SimpleNamespace(dual_connection=True))
        gate = Gate(settings, lambda: True, gateway, SystemClock(), lambda device_id, path: None, host.isolated)
        taking = [asyncio.create_task(gate.accept(direct(zone))) for zone in (1, 2)]
        await wait_until(lambda: bool(intake.asked))
        await host.cut_off()
        taking.append(asyncio.create_task(gate.accept(direct(3))))
        accepted = await asyncio.gather(*taking)
        assert {each.marks for each in accepted} == {(AlarmMark.ISOLATED,)}
        # The cloud may have the first one; the others are forwarded as they came.
        assert host.forward_all() == [2, 3]
        await gate.stop()
        host.around.silent = 0.0
        await host.until_published(1, 2, 3)
