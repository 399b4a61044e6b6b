"""`hotspare alarm tail`, and a stream output by `hotspare output add` (O1)."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hotspare.v1 import alarm_feed_service_pb2, alarm_pb2, output_pb2
from hotspare.v1.receiver_service_pb2 import CreateOutputResponse
from hotspare_cli import tail
from hotspare_model.errors import HotspareError, Reason
from tests.integration.test_cli_support import Script, scripted_server

Request = alarm_feed_service_pb2.StreamAlarmsRequest
Response = alarm_feed_service_pb2.StreamAlarmsResponse
ADD = ("output", "add", "feed", "--kind", "stream")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Script]:
    async with scripted_server(tmp_path) as script:
        script.answers["CreateOutput"] = lambda request: CreateOutputResponse(output=request.output)
        yield script


def feed_alarm(cursor: int, text: str = "", attempt: int = 1) -> Response:
    alarm = alarm_pb2.Alarm(alarm_id=f"id-{cursor}", device_id="panel-1", code="130", partition=1, zone=5, text=text)
    stored = alarm_pb2.StoredAlarm(number=cursor, alarm=alarm, account_number="1234", account_sequence=cursor)
    stored.receive_time.FromSeconds(1_790_000_000)
    return Response(alarm=alarm_feed_service_pb2.FeedAlarm(cursor=cursor, stored=stored, attempt=attempt, epoch=3))


class Feed:
    """Tells alarms as a receiver does, and notes what the subscriber says."""

    def __init__(self, *alarms: Response) -> None:
        self.alarms = alarms
        self.opens: list[Request.Open] = []
        self.acknowledged: list[int] = []
        self.breaks = 0
        """Streams that end before an alarm is told."""

    async def __call__(self, requests: AsyncIterator[Request]) -> AsyncIterator[Response]:
        self.opens.append((await anext(aiter(requests))).open)
        yield Response(state=Response.State(working=True, epoch=3))
        if self.breaks:
            self.breaks -= 1
            raise HotspareError(Reason.SHUTTING_DOWN, "the receiver is stopping")
        for alarm in self.alarms:
            yield alarm
        async for request in requests:
            cursors = list(request.acknowledge.cursors)
            self.acknowledged += cursors
            yield Response(acknowledged=Response.Acknowledged(cursors=cursors))


async def test_o1_tail_shows_alarms_and_ends_when_their_acknowledgements_are_safe(server: Script) -> None:
    feed = server.answers["StreamAlarms"] = Feed(feed_alarm(1, "a door"), feed_alarm(2, attempt=2), feed_alarm(3))
    shown = await server.run("alarm", "tail", "console", "--limit", "2")
    assert shown.code == 0
    first, second = shown.out.splitlines()
    assert first.endswith("#1  account 1234  panel-1  130 (new)  partition 1 zone 5  a door")
    assert second.endswith("zone 5  [delivery 2]")
    assert shown.err == "The receiver works, under epoch 3.\n"
    assert (feed.acknowledged, feed.opens) == ([1, 2], [Request.Open(subscription="console", window=2)])


async def test_o1_tail_as_json_is_a_line_an_alarm(server: Script) -> None:
    server.answers["StreamAlarms"] = Feed(feed_alarm(1), feed_alarm(2))
    shown = await server.run_inside("alarm", "tail", "console", "--limit", "2", "-o", "json")
    assert [json.loads(line)["stored"]["number"] for line in shown.out.splitlines()] == ["1", "2"]


async def test_s4_what_a_stranger_wrote_cannot_steer_the_terminal(server: Script) -> None:
    server.answers["StreamAlarms"] = Feed(feed_alarm(1, "\x1b[2J\nforged"))
    shown = await server.run_inside("alarm", "tail", "console", "--limit", "1")
    assert len(shown.out.splitlines()) == 1
    assert "\x1b" not in shown.out


async def test_o1_a_stream_that_stood_and_broke_is_opened_again(
    server: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "RECONNECT", 0.01)
    feed = server.answers["StreamAlarms"] = Feed(feed_alarm(1))
    feed.breaks = 2
    shown = await server.run_inside("alarm", "tail", "console", "--limit", "1")
    assert (shown.code, len(feed.opens), feed.acknowledged) == (0, 3, [1])
    assert shown.err.count("It is opened again.") == 2


@pytest.mark.parametrize(
    ("error", "code", "what"),
    [
        (
            HotspareError(Reason.RESOURCE_NOT_FOUND, "no output of this receiver has the subscription console"),
            5,
            "console",
        ),
        (HotspareError(Reason.STREAM_SUPERSEDED, "a newer stream took its place", stream="console"), 1, "newer"),
    ],
)
async def test_o1_a_refusal_ends_it(server: Script, error: HotspareError, code: int, what: str) -> None:
    server.answers["StreamAlarms"] = error
    told = await server.run_inside("alarm", "tail", "console")
    assert told.code == code
    assert what in told.error_lines()[0]


async def test_o1_a_stream_output_is_added_by_its_subscription(server: Script) -> None:
    shown = await server.run_inside(*ADD, "--subscription", "automation", "--best-effort")
    assert shown.code == 0
    output: output_pb2.Output = server.requests("CreateOutput")[-1].output
    assert (output.kind, output.stream.subscription) == (output_pb2.OUTPUT_KIND_STREAM, "automation")
    assert (output.required, list(output.addresses)) == (False, [])
    assert "Subscription  automation" in shown.out


WRONG: list[tuple[tuple[str, ...], str]] = [
    (ADD, "--subscription"),
    ((*ADD, "--subscription", "a", "--address", "127.0.0.1:5000"), "--address"),
    ((*ADD, "--subscription", "a", "--heartbeat", "30s"), "--heartbeat"),
    ((*ADD, "--subscription", "a", "--form", "sia-dcs"), "--form"),
    (("output", "add", "arc", "--kind", "sia-dc09"), "--address"),
    (
        ("output", "add", "arc", "--kind", "surgard", "--address", "127.0.0.1:1", "--subscription", "a"),
        "--subscription",
    ),
]


@pytest.mark.parametrize(("words", "option"), WRONG)
async def test_s4_options_of_another_kind_are_refused_at_once(
    server: Script, words: tuple[str, ...], option: str
) -> None:
    told = await server.run_inside(*words)
    assert told.code == 2
    assert option in told.error_lines()[0]
    assert not server.requests("CreateOutput")
