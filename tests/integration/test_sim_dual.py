"""A panel with two paths: by DC-09 to the host, and by gRPC to the cloud where that gets no answer (D1, D3)."""

import json
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import click
import pytest

from hotspare.v1.alarm_pb2 import CODE_FORMAT_CONTACT_ID, QUALIFIER_RESTORE, Alarm
from hotspare_rpc.address import Address, parse_address
from hotspare_rpc.alarm_ids import uuid7
from hotspare_sim import dual
from hotspare_sim.arc import ArcServer, Behaviour, Keys
from hotspare_sim.core.answers import Fault
from hotspare_sim.devices_command import read_panels
from hotspare_sim.dual import DirectAccess, DualPublisher
from hotspare_sim.line_log import LineLog, LineTail
from hotspare_sim.publish import Receipt, Refusal, Way

ACCOUNT = "1A01"
KEY = bytes(range(16))
LOOPBACK = Address("127.0.0.1", 0)
FAR = 60.0


class Cloud:
    """What a panel gives to the cloud; it answers as told."""

    def __init__(self) -> None:
        self.had: list[str] = []
        self.answers: list[Receipt | Refusal] = []

    async def publish(self, alarms: Sequence[Alarm]) -> list[Receipt | Refusal]:
        self.had += [alarm.alarm_id for alarm in alarms]
        return [self.answers.pop(0) if self.answers else Receipt(len(self.had), False) for _ in alarms]

    async def close(self) -> None:
        """Nothing is open."""


def alarm(zone: int) -> Alarm:
    made = Alarm(
        alarm_id=str(uuid7()), qualifier=QUALIFIER_RESTORE, code_format=CODE_FORMAT_CONTACT_ID, code="130",
        partition=7, zone=zone, text="a door",
    )  # fmt: skip
    made.occur_time.GetCurrentTime()
    return made


class Host:
    """A listener that answers as a host's does, and its log."""

    def __init__(self, log: LineLog, tail: LineTail, key: bytes | None, behaviour: Behaviour) -> None:
        self.key = key
        self._tail = tail
        self._options = {"keys": Keys(key), "behaviour": behaviour, "log": log}
        self._server: ArcServer | None = None
        self.address = LOOPBACK

    async def start(self) -> None:
        self._server = ArcServer(**self._options)  # type: ignore[arg-type]
        self.address = await self._server.start(self.address)

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop()

    def frames(self) -> list[tuple[int, int, int, str]]:
        """What came since the last look: sequence, partition, zone, and how it was answered."""
        return [(one["sequence"], one["partition"], one["zone"], one["answered"]) for one in self._tail.read()]


@pytest.fixture(params=[None, KEY], ids=["clear", "aes"])
async def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Host]:
    path = tmp_path_factory.mktemp("host") / "log"
    host = Host(LineLog(path), LineTail(path), request.param, Behaviour())
    await host.start()
    yield host
    await host.stop()


def panel(host: Host, cloud: Cloud) -> DualPublisher:
    return DualPublisher(DirectAccess(host.address, ACCOUNT, host.key), cloud)


async def test_d1_alarms_go_to_the_host_while_it_acknowledges_them(host: Host) -> None:
    cloud = Cloud()
    publisher = panel(host, cloud)
    results = await publisher.publish([alarm(1), alarm(2)])
    assert results == [Receipt(0, False, Way.DIRECT)] * 2
    assert host.frames() == [(1, 7, 1, "ack"), (2, 7, 2, "ack")]
    assert cloud.had == []
    await publisher.close()


async def test_d3_what_the_host_does_not_take_goes_to_the_cloud_and_so_does_what_follows_for_a_while(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dual, "LEFT_ALONE", FAR)
    cloud = Cloud()
    publisher = panel(host, cloud)
    await host.stop()
    first, second = alarm(1), alarm(2)
    assert [one.way for one in await publisher.publish([first]) if isinstance(one, Receipt)] == [Way.CLOUD]
    await host.start()
    await publisher.publish([second])
    assert cloud.had == [first.alarm_id, second.alarm_id]
    assert host.frames() == []
    monkeypatch.setattr(publisher, "_direct_from", 0.0)
    await publisher.publish([alarm(3)])
    assert [zone for _, _, zone, _ in host.frames()] == [3]
    await publisher.close()


async def test_d1_a_connection_that_was_closed_in_between_is_opened_again(host: Host) -> None:
    cloud = Cloud()
    publisher = panel(host, cloud)
    await publisher.publish([alarm(1)])
    await host.stop()
    await host.start()
    await publisher.publish([alarm(2)])
    assert [zone for _, _, zone, _ in host.frames()] == [1, 2]
    assert cloud.had == []
    await publisher.close()


@pytest.mark.parametrize(
    "fault", [Fault.MUTE, Fault.RUBBISH, Fault.CLOSE, Fault.NAK, Fault.DUH, Fault.HALF, Fault.WRONG_SEQUENCE]
)
async def test_a3_an_alarm_without_an_acknowledgement_is_never_taken_for_one_with_it(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    monkeypatch.setattr(dual, "ANSWER_TIMEOUT", 0.1)
    path = tmp_path_factory.mktemp("faulty") / "log"
    host = Host(LineLog(path), LineTail(path), None, Behaviour(timedelta(0), fault))
    await host.start()
    cloud = Cloud()
    publisher = panel(host, cloud)
    sent = alarm(1)
    assert await publisher.publish([sent]) == [Receipt(1, False, Way.CLOUD)]
    assert cloud.had == [sent.alarm_id]
    await publisher.close()
    await host.stop()


async def test_a6_the_same_alarm_again_has_the_same_sequence(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dual, "LEFT_ALONE", 0.0)
    cloud = Cloud()
    publisher = panel(host, cloud)
    first, second = alarm(1), alarm(2)
    await host.stop()
    cloud.answers.append(Refusal("no room", False))
    results = await publisher.publish([first, second])
    assert [isinstance(one, Refusal) for one in results] == [True, True]
    await host.start()
    await publisher.publish([first, second])
    assert host.frames() == [(1, 7, 1, "ack"), (2, 7, 2, "ack")]
    await publisher.close()


def test_s1_the_file_of_the_panels_is_read_and_never_shown(tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("keys") / "panels.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps({"p1": {"account": "1a01", "key": KEY.hex()}, "p2": {"account": "1A02"}}))
    at = parse_address("127.0.0.1:7460")
    assert read_panels(file, at) == {"p1": DirectAccess(at, "1A01", KEY), "p2": DirectAccess(at, "1A02")}
    assert KEY.hex() not in repr(read_panels(file, at))
    for text in ("[]", "{", '{"p": 1}', '{"p": {"key": ""}}', '{"p": {"account": "1", "key": "abc"}}'):
        file.write_text(text)
        with pytest.raises(click.ClickException, match="no JSON object such as"):
            read_panels(file, at)
