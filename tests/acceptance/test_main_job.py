"""The main job: a device publishes with the CLI, the ARC's software of another maker has the alarm."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from hotspare.v1 import alarm_pb2
from hotspare.v1.alarm_feed_service_pb2 import GetAlarmResponse, ListAlarmsResponse
from tests.acceptance.harness.arcs import Arc, Sink
from tests.acceptance.harness.book import Event, Received
from tests.acceptance.harness.cli import parsed
from tests.acceptance.harness.polling import until
from tests.acceptance.harness.system import Receiver, System

AES_KEY = "0123456789ABCDEF0123456789ABCDEF"


@pytest.fixture(scope="module")
def host(system: System) -> Receiver:
    """A host without an output yet."""
    system.start_cloud()
    host = system.receivers["host"] = system.start_receiver("host")
    host.serving()
    system.tell_cloud(host)
    host.cli("enable", "--role", "host")
    system.await_working("host")
    return host


@pytest.fixture(scope="module")
def panel_key(system: System, host: Receiver) -> Path:
    key = system.device("panel-1", "1A2B")
    system.be_panel("panel-1", "1A2B", key.read_text().strip())
    return key


@pytest.fixture
def output(host: Receiver, request: pytest.FixtureRequest) -> Iterator[None]:
    """No output outlives its test."""
    yield
    host.cli("output", "delete", "arc", "--yes", fail=True)


def add_output(host: Receiver, address: str, *more: str | Path) -> None:
    host.cli("output", "add", "arc", "--kind", "sia-dc09", "--address", address, *more)


def arrived(arc: Arc, count: int) -> list[Received]:
    until(lambda: len(arc.received) >= count, 15, lambda: f"{count} alarms at the ARC: {arc.received}")
    assert arc.problems() == {}
    return arc.received


def recently(moment: datetime | None) -> bool:
    return moment is not None and abs(datetime.now(UTC) - moment) < timedelta(seconds=20)


def test_a1_a4_a6_a_published_alarm_is_confirmed_by_the_arc_and_says_what_the_device_said(
    system: System, host: Receiver, panel_key: Path, output: None
) -> None:
    arc = system.arc("clear")
    add_output(host, arc.address, "--receiver-number", "A1", "--line-number", "2F")
    words = ("--code", "3131", "--partition", "7", "--zone", "41", "--count", "3")
    # Within 30 days, or the time of receipt would count; to the second, as the wire has it.
    occurred = datetime.now(UTC).replace(microsecond=0) - timedelta(days=29)
    sent = system.send("panel-1", panel_key, *words, "--occurred", occurred.isoformat())
    assert "stored 3, duplicates 0, failed 0" in sent.stdout
    received = arrived(arc, 3)
    assert [each.identity for each in received] == [("1A2B", 1), ("1A2B", 2), ("1A2B", 3)]
    assert [each.event for each in received] == [Event(3, "131", 7, zone, occurred) for zone in (41, 42, 43)]
    assert all(recently(each.sent) for each in received), "the frame's time is that of sending"
    assert all("RA1L2F#1A2B[" in each.raw for each in received)
    until(lambda: system.page().value("hotspare_cloud_alarms_waiting") == 0, 5, "the cloud knows")


def test_a8_the_receiver_tells_what_came_of_it(system: System, host: Receiver, panel_key: Path, output: None) -> None:
    arc = system.arc("told")
    add_output(host, arc.address)
    system.send("panel-1", panel_key, "--code", "1130", "--zone", "8")
    (received,) = arrived(arc, 1)

    def confirmed() -> bool:
        answer = parsed(host.cli("alarm", "list", "--limit", "1", "-o", "json"), ListAlarmsResponse)
        (record,) = answer.alarms
        return record.state == alarm_pb2.ALARM_STATE_CONFIRMED and record.HasField("acknowledge_time")

    until(confirmed, 5, "the newest alarm is confirmed")
    newest = parsed(host.cli("alarm", "list", "--limit", "1", "-o", "json"), ListAlarmsResponse).alarms[0]
    shown = parsed(host.cli("alarm", "show", str(newest.stored.number), "-o", "json"), GetAlarmResponse).alarm
    assert shown.stored.alarm.zone == 8
    assert 1 + (shown.stored.account_sequence - 1) % 9999 == received.sequence
    assert [attempt.outcome for attempt in shown.attempts] == [alarm_pb2.ATTEMPT_OUTCOME_CONFIRMED]


def test_o1_an_alarm_goes_out_with_aes_and_the_key_of_a_file(
    system: System, host: Receiver, panel_key: Path, output: None
) -> None:
    key_file = system.folder / "aes.key"
    key_file.touch(mode=0o600)
    key_file.write_text(AES_KEY.encode().hex() + "\n")
    arc = system.arc("aes", key=AES_KEY)
    add_output(host, arc.address, "--key-file", key_file)
    system.send("panel-1", panel_key, "--code", "1110", "--partition", "1", "--zone", "5", "--count", "2")
    received = arrived(arc, 2)
    assert [(each.encrypted, each.event.code, each.event.partition, each.event.zone) for each in received] == [
        (True, "110", 1, 5),
        (True, "110", 1, 6),
    ]
    assert all('"*ADM-CID"' in each.raw and "110 01" not in each.raw for each in received)
    assert all(recently(each.sent) for each in received)
    assert AES_KEY.encode().hex() not in host.log() + host.cli("output", "list", "-o", "json").stdout


def test_a4_without_an_output_nothing_is_confirmed_and_all_comes_once_there_is_one(
    system: System, host: Receiver, panel_key: Path, output: None
) -> None:
    system.send("panel-1", panel_key, "--code", "1120", "--count", "5")
    assert system.page().value("hotspare_cloud_alarms_waiting") == 5
    arc = system.arc("later")
    add_output(host, arc.address)
    assert [each.event.zone for each in arrived(arc, 5)] == [0, 1, 2, 3, 4]


@dataclass(frozen=True)
class Broken:
    """What a broken panel sends, and what the ARC has to get."""

    code: str = "130"
    code_format: alarm_pb2.CodeFormat.ValueType = alarm_pb2.CODE_FORMAT_CONTACT_ID
    year: int | None = None
    partition: int = 1
    zone: int = 2
    text: str = ""
    marks: frozenset[int] = frozenset()
    wire_code: str = "130"
    in_text: tuple[str, ...] = ()

    def alarm(self) -> alarm_pb2.Alarm:
        """The message."""
        occurred = Timestamp()
        occurred.FromDatetime(datetime.now(UTC) if self.year is None else datetime(self.year, 1, 1, tzinfo=UTC))
        return alarm_pb2.Alarm(
            alarm_id=str(uuid4()),
            qualifier=alarm_pb2.QUALIFIER_NEW,
            code_format=self.code_format,
            code=self.code,
            partition=self.partition,
            zone=self.zone,
            occur_time=occurred,
            text=self.text,
        )


CLOCK, CODE = alarm_pb2.ALARM_MARK_CLOCK_IMPLAUSIBLE, alarm_pb2.ALARM_MARK_UNKNOWN_CODE
TEXT, NUMBER = alarm_pb2.ALARM_MARK_TEXT_ALTERED, alarm_pb2.ALARM_MARK_NUMBER_OUT_OF_RANGE
BROKEN = {
    "unknown-code-of-1970": Broken("1E9", year=1970, marks=frozenset({CLOCK, CODE}), wire_code="140", in_text=("1E9",)),
    "numbers-out-of-range": Broken(
        year=9999,
        partition=120,
        zone=70000,
        marks=frozenset({CLOCK, NUMBER}),
        in_text=("partition 120", "zone 70000"),
    ),
    "hostile-code": Broken("BAD\ncode", marks=frozenset({CODE}), wire_code="140", in_text=("BAD", "code")),
    # ADM-CID has no room for it, though it may be a good one.
    "sia-code": Broken("QX", alarm_pb2.CODE_FORMAT_SIA, wire_code="140", in_text=("QX",)),
    "no-code": Broken("", alarm_pb2.CODE_FORMAT_UNSPECIFIED, wire_code="140"),
    "hostile-text": Broken(
        text='Tür\r\n\x1b[31m"]|[#\u202e' + "x" * 900, marks=frozenset({TEXT}), in_text=("Tür", "xxx")
    ),
}


@pytest.fixture(scope="module")
def sink(system: System, host: Receiver) -> Iterator[Sink]:
    """An ARC that takes texts too."""
    sink = Sink("sink", system.book)
    add_output(host, sink.address)
    yield sink
    sink.stop()


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a10_what_a_broken_panel_sends_reaches_the_arc_with_the_original_as_text(
    system: System, panel_key: Path, sink: Sink, broken: Broken
) -> None:
    before = len(sink.received)
    receipt = system.panels[0].once(broken.alarm())
    assert broken.marks <= set(receipt.marks)
    (received,) = until(lambda: sink.received[before:], 15, lambda: f"it came: {sink.attempts}")
    assert received.sequence == receipt.account_sequence
    assert received.event.code == broken.wire_code
    assert recently(received.event.occurred), "not the panel's own time, where that can't be"
    text = received.text or ""
    assert text.isprintable()
    assert [part for part in broken.in_text if part not in text] == [], text
    until(lambda: system.page().value("hotspare_cloud_alarms_waiting") == 0, 5, "the cloud knows")
