"""The pure parts of the benchmarks of the alarm path (P5 to P9): bytes, arithmetic, tables, pictures, the docs."""

import asyncio
import threading
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.alarms import (
    alarms,
    arc,
    drain,
    growth,
    oneway,
    pages,
    profiled,
    publishing,
    pulling,
    stream,
    table,
    unary,
)
from benchmarks.alarms.bench import Bench, Options
from benchmarks.alarms.chart import Axis, Curve, decades, distribution, draw, nines
from benchmarks.alarms.peers import nats, postgres, redis
from benchmarks.figures import FAILED
from benchmarks.results import MANY, Part, Round, Sample, from_json, to_json
from hotspare.v1 import alarm_service_pb2
from hotspare.v1.alarm_pull_service_pb2 import PullAlarmsResponse
from hotspare_model.dc09 import Frame, encode
from hotspare_model.dc09_reply import ReplyKind, parse_reply

SVG = "{http://www.w3.org/2000/svg}"


def part(name: str, *rounds: Sequence[Sample], **facts: Any) -> Part:
    turns = [
        Round(number, list(samples), [0.001, 0.002], 0.5, dict(facts)) for number, samples in enumerate(rounds, start=1)
    ]
    return Part(name, "2030-01-01 00:00 UTC", {"cores": 2, "redis": "Redis 7"}, turns)


def took(series: str, seconds: float, count: int = 1000) -> Sample:
    return Sample(series, seconds, {"count": count})


def shown(found: Part) -> str:
    return table.markdown(found)


# What is sent.


def test_a_request_has_the_id_that_it_was_given() -> None:
    alarm_id = alarms.new_id()
    read = alarm_service_pb2.PublishAlarmRequest.FromString(alarms.request(alarm_id))
    assert read.submission.alarm.alarm_id == alarm_id
    assert read.submission.alarm.code == "130"
    kept = alarms.stored(alarm_id, "panel-1", "A001")
    assert alarms.id_of(kept) == alarm_id


def test_a_batch_is_one_message_with_all_alarms_in_order() -> None:
    ids = [alarms.new_id(), alarms.random_id(), alarms.new_id()]
    read = alarm_service_pb2.PublishAlarmsRequest.FromString(alarms.batch(7, ids))
    assert read.batch == 7
    assert [each.alarm.alarm_id for each in read.submissions] == ids


def test_what_came_of_a_batch_is_counted_by_kind() -> None:
    kinds = [
        alarm_service_pb2.AlarmResult(receipt=alarm_service_pb2.AlarmReceipt(alarm_id="a")),
        alarm_service_pb2.AlarmResult(receipt=alarm_service_pb2.AlarmReceipt(alarm_id="b", duplicate=True)),
        alarm_service_pb2.AlarmResult(rejection=alarm_service_pb2.AlarmRejection(alarm_id="c")),
    ]
    assert [publishing._kind(kind) for kind in kinds] == ["stored", "duplicates", "refused"]


@pytest.mark.parametrize(
    ("came", "series", "right"),
    [
        ({"stored": 9, "duplicates": 0, "refused": 0}, stream.OURS, True),
        ({"stored": 8, "duplicates": 1, "refused": 0}, stream.OURS, False),
        ({"stored": 8, "duplicates": 0, "refused": 1}, stream.OURS, False),
        ({"stored": 0, "duplicates": 9, "refused": 0}, stream.AGAIN, True),
        ({"stored": 1, "duplicates": 8, "refused": 0}, stream.AGAIN, False),
    ],
)
def test_there_is_no_figure_for_work_that_was_not_done(came: dict[str, int], series: str, right: bool) -> None:
    if right:
        stream._check(series, came, 9)
        return
    with pytest.raises(RuntimeError, match="of 9 alarms came"):
        stream._check(series, came, 9)


# Pulling.


def delivery(first: int, *numbers: int) -> PullAlarmsResponse:
    message = PullAlarmsResponse()
    message.delivery.epoch, message.delivery.first_delivery = 3, first
    for number in numbers:
        message.delivery.alarms.add().stored.number = number
    return message


def stored(*ranges: tuple[int, int]) -> PullAlarmsResponse:
    message = PullAlarmsResponse()
    for first, last in ranges:
        message.stored.ranges.add(first=first, last=last)
    return message


def test_a_pull_acknowledges_what_came_and_nothing_between() -> None:
    receiver: Any = None
    pull = pulling._Drain(receiver, 1)
    for message in (delivery(1, 5, 6, 7), delivery(4, 9, 11), stored((5, 7), (9, 9))):
        pull._heard(message)
    assert pull._unsent == {3: [(5, 7), (9, 9), (11, 11)]}
    assert (pull.last_delivery, pull.took.count, pull.took.stored, pull.held) == (5, 5, 4, 0)


def test_a_pull_by_turns_holds_what_came_until_the_word() -> None:
    receiver: Any = None
    pull = pulling._Drain(receiver, 1, at_once=False)
    pull._heard(delivery(1, 1, 2, 3))
    assert (pull.held, pull._wake.is_set()) == (3, False)
    pull.release()
    assert (pull.held, pull._wake.is_set()) == (0, True)


# The ARC.


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))


def frame(kind: str, sequence: int, account: str) -> bytes:
    return encode(Frame(kind, sequence, "", "0", account, data="#A001|1130 01 007" if kind == "ADM-CID" else ""))


def test_the_arc_answers_each_message_and_notes_each_alarm_once() -> None:
    received, done, wire = arc.Received(), asyncio.Event(), Wire()
    peer = arc._Peer(received, 2, done, 0.0)
    peer.connection_made(wire)
    sent = [frame("NULL", 1, "0000"), frame("ADM-CID", 8, "A001"), frame("ADM-CID", 8, "A001")]
    raw = b"".join(sent)
    peer.data_received(raw[:10])
    peer.data_received(raw[10:])
    replies = [parse_reply(answer) for answer in wire.written]
    assert [(each.kind, each.sequence, each.account) for each in replies] == [
        (ReplyKind.ACK, 1, "0000"),
        (ReplyKind.ACK, 8, "A001"),
        (ReplyKind.ACK, 8, "A001"),
    ]
    assert (list(received.times), received.again, received.frames) == ([("A001", 8)], 1, [sent[1]])
    assert not done.is_set()
    peer.data_received(frame("ADM-CID", 9, "A001"))
    assert done.is_set()


# The others' protocols.


async def test_answers_of_redis_are_read() -> None:
    assert redis.command("XACK", b"k", 12) == b"*3\r\n$4\r\nXACK\r\n$1\r\nk\r\n$2\r\n12\r\n"
    reader = asyncio.StreamReader()
    raw = b"+OK\r\n:7\r\n$3\r\na\r\n\r\n$-1\r\n*2\r\n:1\r\n*1\r\n$1\r\nx\r\n*-1\r\n-ERR no\r\n"
    reader.feed_data(raw)
    none: Any = None
    client = redis.Client(reader, none)
    answers = [await client.answer() for _ in range(6)]
    assert answers == [b"OK", 7, b"a\r\n", None, [1, [b"x"]], None]
    with pytest.raises(RuntimeError, match="ERR no"):
        await client.answer()


def test_batches_for_postgresql_are_two_arrays() -> None:
    assert postgres.arrays(["1-1", "2-2"], b"\x01\xff") == (b"{1-1,2-2}", rb'{"\\x01ff","\\x01ff"}')


async def test_rows_of_postgresql_end_with_the_commit() -> None:
    def message(kind: bytes, body: bytes = b"") -> bytes:
        return kind + (len(body) + 4).to_bytes(4, "big") + body

    nothing, two = (0xFFFFFFFF).to_bytes(4, "big"), (2).to_bytes(4, "big")
    row = b"\x00\x03" + two + b"12" + nothing + two + b"34"
    reader = asyncio.StreamReader()
    reader.feed_data(message(b"2") + message(b"D", row) + message(b"C", b"INSERT 0 1\0") + message(b"Z", b"I"))
    reader.feed_data(message(b"E", b"SERROR\0C23505\0Mno\0\0") + message(b"Z", b"I"))
    none: Any = None
    client = postgres.Client(reader, none)
    assert await client.rows() == [[b"12", b"", b"34"]]
    with pytest.raises(RuntimeError, match="C23505"):
        await client.rows()


# Samples.


def test_a_sample_says_how_much_was_done_in_its_time(tmp_path: Path) -> None:
    turn = Round(1)
    bench = Bench(tmp_path / "P6", Options(), turn, lambda text: None)
    bench.took("a", 2.0, 500, cpu=1.5)
    assert turn.samples == [Sample("a", 2.0, {"count": 500, "cpu": 1.5})]
    assert table.rate(turn.samples[0]) == 250
    assert table.cost(turn.samples[0]) == 0.004


def test_a_long_series_is_one_line_and_comes_back_whole() -> None:
    values = [Sample("short", 0.5)] + [Sample("long", index / 1e6) for index in range(MANY)] + [Sample("long", FAILED)]
    values += [took("other", 1.0, number) for number in range(MANY)]
    text = to_json([part("P7", values)])
    assert text.count('"long"') == 1
    assert from_json(text)[0].rounds[0].samples == values


def test_ratios_are_those_of_each_round() -> None:
    found = part("P6", [took("a", 1.0), took("b", 2.0)], [took("a", 9.0), took("b", 3.0)], [took("a", 1.0)])
    assert table.ratios(found, "a", "b", table.cost) == pytest.approx([0.5, 3.0])
    assert table.ratios(found, "a", "b", table.rate) == pytest.approx([2.0, 1 / 3])
    assert table.ratios(found, "a", "none", table.cost) == []


# Tables.


@pytest.mark.parametrize(("publish", "verdict"), [(0.26, "met"), (0.27, "NOT met")])
def test_p5_is_judged_against_the_echo_on_the_same_server(publish: float, verdict: str) -> None:
    samples = [
        took(unary.PUBLISH, 1.0),
        took(unary.CPU + unary.PUBLISH, publish),
        took(unary.CPU + unary.ECHO, 0.2),
        took(unary.CPU + unary.BARE, 0.1),
        took(redis.NAME, 0.5),
    ]
    text = shown(part("P5", samples))
    assert f"goal 1.3: {verdict} |" in text
    assert "| echo on a bare grpc.aio | 1 | 100.0 µs | 100.0 µs | 100.0 µs | 0.50, 0.50, 0.50 |" in text
    assert f"| {redis.NAME} | 1 | 2,000 | 2,000 | 2,000 | 2.00, 2.00, 2.00 |  |" in text
    assert "| CPU" not in text.partition("a second")[2].partition("\n\n")[0]


@pytest.mark.parametrize(("seconds", "verdict"), [(0.1 / 6, "met"), (0.017, "NOT met")])
def test_p6_is_judged_by_the_median_of_ours_alone(seconds: float, verdict: str) -> None:
    text = shown(part("P6", [took(stream.OURS, seconds), took(stream.AGAIN, 9.0), took(postgres.NAME, 0.01)]))
    assert f"| median 60,000: {verdict} |" in text
    assert text.count("median 60,000") == 1
    assert f"| {postgres.NAME} | 1 | 100,000 | 100,000 | 100,000 |" in text


def test_p7_tells_medians_and_tails() -> None:
    samples = [Sample(oneway.PULLED, 0.0016)] * 99 + [Sample(oneway.PULLED, 0.25), Sample(oneway.CONFIRMED, 0.0041)]
    text = shown(part("P7", samples))
    assert f"| {oneway.PULLED} | 100 | 1.60 ms | 1.60 ms | 1.60 ms | 250 ms |  | median 1.60 ms: met |" in text
    figures = "4.10 ms | 4.10 ms | 4.10 ms | 4.10 ms | 2.56, 2.56, 2.56"
    assert f"| {oneway.CONFIRMED} | 1 | {figures} | median 4.00 ms: NOT met |" in text


@pytest.mark.parametrize(("seconds", "verdict"), [(1.25, "met"), (1.26, "NOT met")])
def test_p8_is_judged_against_the_bare_loop_with_the_same_peer(seconds: float, verdict: str) -> None:
    samples = [
        took(drain.pull_series(10_000), 0.1, 15_000),
        took(f"{drain.LINE}, {drain.AT_ONCE}", seconds),
        took(f"{drain.BARE}, {drain.AT_ONCE}", 1.0),
        took(f"{drain.LINE}, {drain.AFTER}", 1.0),
    ]
    text = shown(part("P8", samples))
    assert "| pull, window 10,000 | 1 | 150,000 | 150,000 | 150,000 |  | median 150,000: met |" in text
    assert f"| {drain.AT_ONCE} | 1,000 |" in text
    assert f"| 80%: {verdict} |" in text
    assert f"| {drain.AFTER} |" not in text


def growing(publish: float, memory: float, restart: float) -> Part:
    samples = []
    for size, seconds in ((1000, 0.1), (1_000_000, publish)):
        samples += [took(growth.series(growth.PUBLISH, size), seconds), took(growth.series(growth.PULL, size), 0.2)]
        samples.append(took(growth.series(growth.RESTART, size), restart, 1))
    return part("P9", samples, **{"memory 1000": 60.0, "memory 1000000": memory})


def test_p9_compares_with_the_shortest_backlog() -> None:
    found = growing(0.13, 120.0, 1.0)
    assert table.sizes(found) == [1000, 1_000_000]
    text = shown(found)
    assert (
        "| 1,000,000 | 130.0 µs, 130.0 µs | 1.30, 1.30, 1.30 | 200.0 µs, 200.0 µs | 1.00, 1.00, 1.00 | 120 MB |" in text
    )
    assert "| goal |  | 1.3: met |  | 1.3: met | 120 MB: met | 1 s: met |" in text
    worse = shown(growing(0.14, 121.0, 1.1))
    assert "| goal |  | 1.3: NOT met |  | 1.3: met | 120 MB: NOT met | 1 s: NOT met |" in worse


def test_a_peer_that_is_missing_is_told() -> None:
    text = shown(part("P6", [took(stream.OURS, 1.0), took(redis.NAME, 1.0)]))
    assert "redis: Redis 7." in text
    assert "postgresql: ?, not measured in this run." in text
    assert "nats" not in text


def test_a_part_without_a_sample_has_no_table_and_no_error() -> None:
    for name in table.TITLES:
        assert "|" not in table.markdown(part(name, []))
        assert table.console(part(name, [])).startswith(f"{name}:")


# Pictures.


def test_each_nine_has_the_same_distance() -> None:
    assert [round(nines(share), 3) for share in (0.0, 0.9, 0.99, 0.999)] == [0.0, 1.0, 2.0, 3.0]


def test_a_distribution_keeps_its_tail_and_stays_small() -> None:
    points = distribution([float(value) for value in range(10_000, 0, -1)])
    assert points[-1] == (10_000.0, nines(10_000 / 10_001))
    assert len(points) < 1000
    assert points == sorted(points)


def test_an_axis_by_powers_of_ten() -> None:
    axis = Axis("ms", 0.1, 1000.0, decades(0.2, 900.0), logarithmic=True)
    assert [label for _, label in axis.ticks] == ["0.1", "1", "10", "100", "1000"]
    assert axis.place(10.0) == pytest.approx(0.5)
    assert (axis.place(0.001), axis.place(1e9)) == (0.0, 1.0)


def test_a_picture_has_a_curve_for_each_series_and_the_goal() -> None:
    across, up = Axis("x", 0.0, 10.0, [(5.0, "five")]), Axis("y", 0.0, 2.0, [(1.0, "one")])
    text = draw("T & t", "note", across, up, [Curve("a <b>", [(0.0, 0.0), (10.0, 2.0)], "#2563eb")], 1.3)
    root = ET.fromstring(text)
    assert len(root.findall(f".//{SVG}circle")) == 2
    texts = [each.text for each in root.iter(f"{SVG}text")]
    assert {"T & t", "a <b>", "five", "one", "goal 1.3"} <= set(texts)
    assert "not measured" in draw("t", "n", across, up, [])


def test_the_pictures_show_what_was_measured() -> None:
    one_way = part("P7", [Sample(oneway.PULLED, 0.002), Sample(oneway.CONFIRMED, 0.004)])
    texts = [each.text for each in ET.fromstring(pages.latency([one_way])).iter(f"{SVG}text")]
    assert {oneway.PULLED, oneway.CONFIRMED} <= set(texts)
    assert len(ET.fromstring(pages.backlog([growing(0.2, 1.0, 1.0)])).findall(f".//{SVG}circle")) == 4


# Profiles.


def test_a_profile_tells_what_was_costly_and_leaves_out_what_waits(tmp_path: Path) -> None:
    done = threading.Event()

    def work() -> None:
        done.wait(0.05)
        sum(index * index for index in range(200_000))

    profiled._profiled(work, tmp_path / "writer.prof")
    head, *lines = profiled.report(tmp_path)
    assert head.startswith("writer: ")
    assert "<genexpr>" in lines[0] or "<genexpr>" in lines[1]
    assert not any("acquire" in line for line in lines)
    assert list(profiled.report(tmp_path / "none")) == []


# The docs.


def test_the_page_is_filled_between_its_markers_alone() -> None:
    page = pages.PAGE.read_text(encoding="utf-8")
    found = part("P6", [took(stream.OURS, 1.0)])
    filled = pages.filled(page, [found])
    assert f"| {stream.OURS} | 1 |" in filled
    assert pages.filled(filled, [found]) == filled
    with pytest.raises(ValueError, match="0 blocks of P5"):
        pages.filled(page.replace("end of P5", ""), [])


def test_tables_and_pictures_in_the_docs_come_from_the_samples_in_the_repository() -> None:
    parts = pages.known()
    page = pages.PAGE.read_text(encoding="utf-8")
    assert page == pages.filled(page, parts), "run: python -m benchmarks.alarms --take"
    assert pages.LATENCY.read_text(encoding="utf-8") == pages.latency(parts), "run: python -m benchmarks.alarms --take"
    assert pages.GROWTH.read_text(encoding="utf-8") == pages.backlog(parts), "run: python -m benchmarks.alarms --take"


def test_the_page_tells_what_the_code_does() -> None:
    text = " ".join(pages.PAGE.read_text(encoding="utf-8").split())
    options = Options()
    assert f"batches of {stream.SIZE} alarms and has {stream.IN_FLIGHT} of them in flight" in text
    assert f"{options.rate:g} alarms a second, from many devices" in text
    assert f"Redis: a consumer of a group reads {drain.PAGE} at a time" in text
    assert f"{growth.STEP:,} alarms are published behind the backlog in batches of {growth.BATCH}" in text
    assert f"{growth.IN_FLIGHT} of them in flight" in text
    assert drain.SLOW == 0.001


def test_nats_is_left_out_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats, "PROGRAM", None)
    assert not nats.usable()
    assert nats.told() == "not installed (make bench-deps)"
