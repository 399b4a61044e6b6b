"""What an operator does with an output of a running receiver: test it, pause it, resume it (O1, O2)."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from hotspare.v1 import alarm_pb2, output_pb2, receiver_service_pb2
from hotspare_model.errors import Reason
from hotspare_model.surgard import CidMessage
from tests.integration.path_fakes import until
from tests.integration.surgard_arc import ACK, NAK, SurgardArc
from tests.integration.test_receiver_desk_support import Desk, refused, running


@pytest.fixture
async def arc() -> AsyncIterator[SurgardArc]:
    arc = SurgardArc()
    await arc.start()
    yield arc
    await arc.stop()


async def add(desk: Desk, arc: SurgardArc, **options: Any) -> output_pb2.Output:
    options = {"answer_timeout": Duration(seconds=1)} | options
    asked = output_pb2.Output(
        name="arc",
        kind=output_pb2.OUTPUT_KIND_SURGARD,
        addresses=[str(arc.address)],
        surgard=output_pb2.SurgardOptions(**options),
    )
    answer = await desk.call(desk.receiver.CreateOutput, receiver_service_pb2.CreateOutputRequest(output=asked))
    output: output_pb2.Output = answer.output
    return output


async def pause(desk: Desk) -> output_pb2.Output:
    answer = await desk.call(desk.receiver.PauseOutput, receiver_service_pb2.PauseOutputRequest(name="arc"))
    output: output_pb2.Output = answer.output
    return output


async def resume(desk: Desk) -> output_pb2.Output:
    answer = await desk.call(desk.receiver.ResumeOutput, receiver_service_pb2.ResumeOutputRequest(name="arc"))
    output: output_pb2.Output = answer.output
    return output


async def trial(desk: Desk, account: str = "1234") -> receiver_service_pb2.TestOutputResponse:
    request = receiver_service_pb2.TestOutputRequest(name="arc", account_number=account)
    answer: receiver_service_pb2.TestOutputResponse = await desk.call(desk.receiver.TestOutput, request)
    return answer


async def test_o1_a_surgard_output_is_made_changed_and_kept_over_a_restart(tmp_path: Path, arc: SurgardArc) -> None:
    async with running(tmp_path / "r") as desk:
        made = await add(desk, arc, line_number=0, receiver_number=0)
        assert (made.surgard.width, made.surgard.attempts) == (output_pb2.SURGARD_WIDTH_MLR2, 4)
        assert made.surgard.HasField("line_number")
        made.surgard.width = output_pb2.SURGARD_WIDTH_SYSTEM
        request = receiver_service_pb2.UpdateOutputRequest(output=made, update_mask=FieldMask(paths=["surgard.width"]))
        changed = (await desk.call(desk.receiver.UpdateOutput, request)).output
        await until(lambda: arc.raw[-1:] == [b"100000           @    \x14"])
        await pause(desk)
    async with running(tmp_path / "r") as desk:
        listed = await desk.call(desk.receiver.ListOutputs, receiver_service_pb2.ListOutputsRequest())
        (output,) = listed.outputs
        assert output.surgard == changed.surgard
        assert (output.paused, output.state.link) == (True, output_pb2.LINK_STATE_IDLE)


async def test_o1_a_test_alarm_tells_what_came_back(tmp_path: Path, arc: SurgardArc) -> None:
    async with running(tmp_path / "r") as desk:
        await add(desk, arc)
        await until(lambda: arc.heartbeats)
        result = await trial(desk)
        assert (result.outcome, result.address) == (alarm_pb2.ATTEMPT_OUTCOME_CONFIRMED, str(arc.address))
        assert (result.frame, result.answer) == (b"5011 181234E60100000\x14", ACK)
        assert result.HasField("round_trip")
        arc.answer = lambda message: NAK if isinstance(message, CidMessage) else ACK
        assert (await trial(desk)).outcome == alarm_pb2.ATTEMPT_OUTCOME_REFUSED
        arc.answer = lambda message: None if isinstance(message, CidMessage) else ACK
        result = await trial(desk)
        assert (result.outcome, result.answer) == (alarm_pb2.ATTEMPT_OUTCOME_UNKNOWN, b"")
        assert "within 1 s" in result.detail


async def test_o1_a_test_without_account_is_the_receivers_own(tmp_path: Path, arc: SurgardArc) -> None:
    async with running(tmp_path / "r") as desk:
        await add(desk, arc)
        async with refused(Reason.FIELD_INVALID):
            await trial(desk, "")
        for wrong in ("12", "12G4", "12345"):
            async with refused(Reason.FIELD_INVALID):
                await trial(desk, wrong)
        settings = receiver_service_pb2.UpdateSettingsRequest(
            settings=receiver_service_pb2.ReceiverSettings(own_account_number="FFFF"),
            update_mask=FieldMask(paths=["own_account_number"]),
        )
        await desk.call(desk.receiver.UpdateSettings, settings)
        assert b"18FFFFE601" in (await trial(desk, "")).frame


async def test_o2_a_test_without_a_link_says_so(tmp_path: Path, arc: SurgardArc) -> None:
    async with running(tmp_path / "r") as desk:
        async with refused(Reason.RESOURCE_NOT_FOUND, kind="output", id="arc"):
            await trial(desk)
        await add(desk, arc)
        await until(lambda: arc.heartbeats)
        await pause(desk)
        async with refused(Reason.OUTPUT_UNREACHABLE, output="arc", problem="an operator paused it"):
            await trial(desk)
        await arc.stop()
        await resume(desk)
        await until_down(desk)
        async with refused(Reason.OUTPUT_UNREACHABLE, output="arc"):
            await trial(desk)


async def until_down(desk: Desk) -> None:
    for _ in range(400):
        (output,) = (await desk.status()).outputs
        if output.state.link == output_pb2.LINK_STATE_DOWN:
            return
    raise AssertionError("the link did not go down")


async def test_o2_pause_closes_the_link_and_resume_opens_it_again(tmp_path: Path, arc: SurgardArc) -> None:
    async with running(tmp_path / "r") as desk:
        made = await add(desk, arc)
        await until(lambda: arc.heartbeats == 1)
        paused = await pause(desk)
        assert (paused.paused, paused.state.link) == (True, output_pb2.LINK_STATE_IDLE)
        assert paused.etag != made.etag
        assert (await pause(desk)).etag == paused.etag
        (output,) = (await desk.status()).outputs
        assert output.paused
        resumed = await resume(desk)
        assert (resumed.paused, resumed.etag) == (False, made.etag)
        await until(lambda: arc.heartbeats == 2)
        for call, request in (
            (desk.receiver.PauseOutput, receiver_service_pb2.PauseOutputRequest(name="none")),
            (desk.receiver.ResumeOutput, receiver_service_pb2.ResumeOutputRequest(name="none")),
        ):
            async with refused(Reason.RESOURCE_NOT_FOUND, kind="output", id="none"):
                await desk.call(call, request)
