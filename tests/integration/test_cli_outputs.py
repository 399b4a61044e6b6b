"""`hotspare output`: kinds with their options, test, pause and resume."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from hotspare.v1 import alarm_pb2, output_pb2, receiver_service_pb2
from hotspare.v1.receiver_service_pb2 import CreateOutputResponse, PauseOutputResponse, ResumeOutputResponse
from hotspare_model.errors import HotspareError, Reason
from tests.integration.test_cli_support import Script, scripted_server

ADD = ("output", "add", "main", "--address", "127.0.0.1:5000")


@pytest.fixture
async def server(tmp_path: Any) -> AsyncIterator[Script]:
    async with scripted_server(tmp_path) as script:
        script.answers["CreateOutput"] = lambda request: CreateOutputResponse(output=request.output)
        yield script


def created(server: Script) -> output_pb2.Output:
    output: output_pb2.Output = server.requests("CreateOutput")[-1].output
    return output


async def test_o1_a_surgard_output_is_added_with_its_options(server: Script) -> None:
    shown = await server.run(
        *(*ADD, "--kind", "surgard", "--width", "system", "--receiver-number", "7", "--line-number", "042"),
        *("--attempts", "3", "--heartbeat", "20s", "--answer-timeout", "9s"),
    )
    assert shown.code == 0
    assert "system" in shown.out
    output = created(server)
    assert output.kind == output_pb2.OUTPUT_KIND_SURGARD
    options = output.surgard
    assert (options.width, options.receiver_number, options.line_number) == (output_pb2.SURGARD_WIDTH_SYSTEM, 7, 42)
    assert (options.attempts, options.heartbeat.seconds, options.answer_timeout.seconds) == (3, 20, 9)


async def test_o1_what_is_not_told_is_left_to_the_receiver(server: Script) -> None:
    assert (await server.run(*ADD, "--kind", "surgard")).code == 0
    assert created(server).surgard == output_pb2.SurgardOptions()
    assert (await server.run(*ADD, "--kind", "sia-dc09")).code == 0
    assert created(server).dc09 == output_pb2.Dc09Options()


async def test_o1_dc09_goes_over_udp_and_as_sia_dcs_on_wish(server: Script) -> None:
    shown = await server.run(*ADD, "--kind", "sia-dc09", "--transport", "udp", "--form", "sia-dcs", "--heartbeat", "0s")
    assert shown.code == 0
    options = created(server).dc09
    assert (options.transport, options.form) == (output_pb2.TRANSPORT_UDP, output_pb2.DC09_FORM_SIA_DCS)
    assert options.HasField("heartbeat")
    assert not options.HasField("answer_timeout")


@pytest.mark.parametrize(
    "wrong",
    [
        ("--kind", "surgard", "--form", "sia-dcs"),
        ("--kind", "surgard", "--key-file", "none"),
        ("--kind", "sia-dc09", "--width", "mlr2"),
        ("--kind", "sia-dc09", "--attempts", "2"),
        ("--kind", "surgard", "--receiver-number", "1F"),
        ("--kind", "surgard", "--line-number", "-1"),
        ("--kind", "surgard", "--attempts", "17"),
        ("--kind", "stream"),
    ],
)
async def test_s4_options_of_another_kind_and_wrong_numbers_are_refused_at_once(
    server: Script, wrong: tuple[str, ...]
) -> None:
    told = await server.run(*ADD, *wrong)
    assert told.code == 2
    assert not server.requests("CreateOutput")


@pytest.mark.parametrize(
    ("outcome", "answer", "shows", "code"),
    [
        (alarm_pb2.ATTEMPT_OUTCOME_CONFIRMED, b"\x06", r"\x06", 0),
        (alarm_pb2.ATTEMPT_OUTCOME_REFUSED, b"\x15", r"\x15", 1),
        (alarm_pb2.ATTEMPT_OUTCOME_UNKNOWN, b"", "-", 3),
    ],
)
async def test_o1_a_test_shows_what_went_out_and_what_came_back(
    server: Script, outcome: alarm_pb2.AttemptOutcome.ValueType, answer: bytes, shows: str, code: int
) -> None:
    server.answers["TestOutput"] = receiver_service_pb2.TestOutputResponse(
        outcome=outcome, address="127.0.0.1:5000", frame=b"5011 181234E60100000\x14", answer=answer
    )
    shown = await server.run("output", "test", "main", "--account", "1234")
    assert shown.code == code
    assert r"5011 181234E60100000\x14" in shown.out
    assert f"Answer   {shows}\n" in shown.out
    (request,) = server.requests("TestOutput")
    assert (request.name, request.account_number) == ("main", "1234")
    assert (await server.run("output", "test", "main", "-o", "json")).json()["address"] == "127.0.0.1:5000"


async def test_o2_a_test_without_a_link_tells_why(server: Script) -> None:
    server.answers["TestOutput"] = HotspareError(
        Reason.OUTPUT_UNREACHABLE,
        "the output main has no link: nobody listens",
        output="main",
        problem="nobody listens",
    )
    told = await server.run("output", "test", "main")
    assert told.code != 0
    assert "nobody listens" in " ".join(told.error_lines())


async def test_o2_pause_asks_and_resume_does_not(server: Script) -> None:
    server.answers["PauseOutput"] = PauseOutputResponse(output=output_pb2.Output(name="main", paused=True))
    server.answers["ResumeOutput"] = ResumeOutputResponse(output=output_pb2.Output(name="main"))
    refused = await server.run("output", "pause", "main")
    assert refused.code == 2
    assert "a spare may take over" in refused.error_lines()[0]
    assert not server.requests("PauseOutput")
    assert (await server.run("output", "pause", "main", "--yes")).out == (
        "The output main is paused: nothing is sent through it.\n"
    )
    assert (await server.run("output", "resume", "main")).out == (
        "The output main is not paused: its link is opened.\n"
    )
    assert [server.requests(call)[0].name for call in ("PauseOutput", "ResumeOutput")] == ["main", "main"]
