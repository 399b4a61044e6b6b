"""The metrics of a receiver as it is served: what an operator sets, and what direct devices publish.
tests/unit/test_metrics_list.py lists all."""

import asyncio
import time
import urllib.request
from pathlib import Path

import pytest

from hotspare.v1 import output_pb2, receiver_service_pb2
from hotspare_model.errors import HotspareError, Reason
from hotspare_receiver.app import ReceiverApp
from tests.acceptance.harness.scraping import Page
from tests.integration.moving import moving
from tests.integration.test_direct_gate import device, serving
from tests.integration.test_direct_gateway import FakeIntake
from tests.integration.test_receiver_desk_support import LOOPBACK, FakeCloud, refused, running, wait_until
from tests.integration.told_metrics import answers_told, missing, without_help


async def scraped(app: ReceiverApp) -> Page:
    """The page, as Prometheus reads it."""

    def read() -> str:
        with urllib.request.urlopen(f"http://{app.metrics_address}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    # In a thread: the page comes from the loop of this test.
    return Page(await asyncio.to_thread(read))


async def test_all_children_that_are_told_are_there_before_anything_happened(tmp_path: Path) -> None:
    async with running(tmp_path / "r", metrics=LOOPBACK) as desk:
        page = await scraped(desk.app)
        assert without_help(page) == []
        # Outputs are named by who adds them.
        assert missing(page, "A receiver", leave_out="hotspare_receiver_output_") == {}
        frames = [labels for labels, _ in page.samples("hotspare_receiver_direct_frames_total")]
        for transport in ("tcp", "udp"):
            there = {(each["answer"], each["reason"]) for each in frames if each["transport"] == transport}
            assert sorted(answers_told() - there) == [], transport
        output = output_pb2.Output(
            name="arc", kind=output_pb2.OUTPUT_KIND_SIA_DC09, addresses=["127.0.0.1:9"], required=True
        )
        await desk.call(desk.receiver.CreateOutput, receiver_service_pb2.CreateOutputRequest(output=output))
        assert missing(await scraped(desk.app), "A receiver") == {}


async def test_an_operator_who_sets_a_receiver_up_moves_who_it_is(tmp_path: Path) -> None:
    cloud = FakeCloud()
    async with serving(cloud, FakeIntake()) as address, running(tmp_path / "r", metrics=LOOPBACK) as desk:

        async def page() -> Page:
            return await scraped(desk.app)

        async with moving(
            page,
            'hotspare_receiver_role{role="none"} =0',
            'hotspare_receiver_role{role="host"} =1',
            'hotspare_receiver_status{status="none"} =0',
            'hotspare_receiver_status{status="standby"} =1',
            "hotspare_receiver_cloud_connected =1",
            "hotspare_receiver_direct_open =1",
            "hotspare_receiver_beats_total up",
        ):
            await desk.connect(address, dual_connection=True)
            await desk.enable()
        assert (await page()).value("hotspare_receiver_group_info", arc_id="north", sub_account="default") == 1
        async with moving(
            page,
            'hotspare_receiver_records{kind="devices"} +1',
            "hotspare_receiver_configuration_revision up",
            "hotspare_receiver_configuration_pushes_total up",
        ):
            await device(desk)
        async with moving(
            page,
            'grpc_server_started_total{grpc_method="GetStatus"} +1',
            'grpc_server_handled_total{grpc_method="GetStatus",grpc_code="OK"} +1',
            'grpc_server_handling_seconds_count{grpc_method="GetStatus"} +1',
        ):
            await desk.status()


async def test_d2_direct_devices_move_what_was_accepted_and_refused(tmp_path: Path) -> None:
    intake = FakeIntake()
    async with serving(FakeCloud(), intake) as address, running(tmp_path / "r", metrics=LOOPBACK) as desk:
        await desk.connect(address, dual_connection=True)
        await desk.enable()
        panel = await device(desk)

        async def page() -> Page:
            return await scraped(desk.app)

        async with moving(page, 'hotspare_receiver_direct_alarms_total{result="accepted"} +1'):
            await panel.publish()
        async with moving(page, 'hotspare_receiver_direct_alarms_total{result="refused"} +1'):
            intake.refusals["panel-1"] = HotspareError(Reason.DEVICE_UNKNOWN, "no such device", device_id="panel-1")
            # What its host has with the cloud is not final for the panel's alarm.
            async with refused(Reason.CLOUD_UNREACHABLE):
                await panel.publish()


async def test_a_page_of_a_receiver_whose_loop_does_not_answer_says_that_it_is_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hotspare_receiver.metrics.SCRAPE_TIMEOUT", 0.5)
    async with running(tmp_path / "r", metrics=LOOPBACK) as desk:
        await wait_until(lambda: desk.app.metrics_address is not None)
        assert (await scraped(desk.app)).value("hotspare_receiver_stale") == 0
        scrape = asyncio.create_task(scraped(desk.app))
        await asyncio.sleep(0)
        time.sleep(1.2)  # noqa: ASYNC251 - that is the trouble
        assert (await scrape).value("hotspare_receiver_stale") == 1
