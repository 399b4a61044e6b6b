"""The parts of the demo: its books, its screen, and its processes, of which none may be left behind."""

import asyncio
import io
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hotspare_sim.core.ledger import Ledger
from hotspare_sim.core.places import NUMBERS, place_of
from hotspare_sim.demo.balance import balance
from hotspare_sim.demo.books import MARGIN, Books
from hotspare_sim.demo.cast import Cast, Scale
from hotspare_sim.demo.children import Child, DemoError, run_command
from hotspare_sim.demo.prometheus import configuration, find_program, rule_files
from hotspare_sim.demo.screen import LiveScreen, Picture, PlainScreen, Row, Tone, open_screen
from hotspare_sim.demo.story import Outcome
from hotspare_sim.demo.ways import ArcKind, Ways

DEADLINE = 20.0
ARC = ("hotspare-sim", "arc", "--listen", "127.0.0.1:0")


def write(file: Path, **entry: Any) -> None:
    with file.open("a") as log:
        log.write(json.dumps(entry) + "\n")


def published(file: Path, number: int, clock: float) -> None:
    write(file, device_id="panel-1", account_sequence=number, begun=clock - 0.01, clock=clock)


def acknowledged(file: Path, number: int, clock: float, answered: str = "ack", kind: str = "ADM-CID") -> None:
    write(file, account="1A01", sequence=number, clock=clock, answered=answered, kind=kind)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    return {name: tmp_path / name for name in ("devices", "host", "spare1")}


@pytest.fixture
def books(files: dict[str, Path]) -> Books:
    arcs = {"host": files["host"], "spare1": files["spare1"]}
    return Books(Ledger({"panel-1": "1A01"}), files["devices"], arcs)


def test_books_take_the_logs_in_the_order_of_the_clock(books: Books, files: dict[str, Path]) -> None:
    now = time.monotonic() - 10
    for number in (1, 2, 3):
        published(files["devices"], number, now + number)
    acknowledged(files["spare1"], 3, now + 6)
    acknowledged(files["host"], 1, now + 4)
    acknowledged(files["host"], 2, now + 5)
    assert [(one.number, one.arc) for one in books.read()] == [(1, "host"), (2, "host"), (3, "spare1")]
    assert (books.ledger.out_of_order, len(books.ledger.moves)) == (0, 1)
    assert books.by_arc == {"host": 2, "spare1": 1}


def test_books_wait_for_lines_that_another_process_may_still_write(books: Books, files: dict[str, Path]) -> None:
    now = time.monotonic()
    acknowledged(files["host"], 1, now + MARGIN)
    assert books.read() == []
    assert books.ledger.unanswered == 0
    books.read(all_of_it=True)
    assert books.ledger.unanswered == 1


def test_books_count_only_what_the_other_side_was_told_to_be_taken(books: Books, files: dict[str, Path]) -> None:
    for answered in ("duh", "mute", "late", "half", "wrong-sequence", "close", "none"):
        acknowledged(files["host"], 1, 1.0, answered)
    acknowledged(files["host"], 1, 1.0, kind="NULL")
    books.read()
    assert books.ledger.unanswered == 0
    acknowledged(files["host"], 1, 2.0, "twice")
    books.read()
    assert books.ledger.unanswered == 1


def test_books_tell_numbered_alarms_by_their_place_in_any_format(files: dict[str, Path]) -> None:
    book = Books(
        Ledger({"panel-1": "1A01"}, NUMBERS),
        files["devices"],
        {"host": files["host"], "spare1": files["spare1"]},
        numbered=True,
    )
    for number, way in ((1, "direct"), (2, "cloud"), (1001, "direct")):
        write(files["devices"], device_id="panel-1", account_sequence=0, number=number, way=way, begun=1.0, clock=2.0)
    for clock, (arc, number) in enumerate((("host", 1), ("spare1", 1001), ("spare1", 1)), start=3):
        partition, zone = place_of(number)
        write(
            files[arc], kind="contact-id", account="1A01", partition=partition, zone=zone, answered="ack", clock=clock
        )
    # A sign of life of the receiver, and an event of its own under a panel's account.
    write(files["host"], kind="heartbeat", account=None, partition=None, zone=None, answered="ack", clock=9.0)
    write(files["host"], kind="contact-id", account="1A01", partition=0, zone=0, answered="ack", clock=9.5)
    book.await_direct(1.5)
    book.read()
    ledger = book.ledger
    assert (ledger.published, ledger.confirmed, ledger.waiting, ledger.duplicates) == (3, 2, 1, 1)
    assert (ledger.out_of_order, ledger.own_events, ledger.unanswered) == (0, 1, 0)
    assert (dict(book.by_way), book.direct_at) == ({"direct": 2, "cloud": 1}, 2.0)


def test_a_demo_is_set_up_by_the_commands_of_its_ways(tmp_path: Path) -> None:
    plain = Cast(tmp_path, Scale(2, 10.0))
    (tmp_path / "other").mkdir()
    other = Cast(tmp_path / "other", Scale(2, 10.0), Ways(ArcKind.SUR_GARD, direct=True))
    for cast, address in ((plain, "dc09"), (other, "surgard")):
        cast.cloud.addresses = {"grpc": "127.0.0.1:1"}
        for station in cast.stations.values():
            station.receiver.addresses = {"grpc": "127.0.0.1:2"}
            station.arc.addresses = {address: "127.0.0.1:3"}

    def words(cast: Cast, role: str) -> str:
        return " ".join(word for command in cast.settings_of(cast.stations[role]) for word in command)

    assert "--kind sia-dc09" in words(plain, "host")
    assert "--dual-connection" not in words(plain, "host")
    assert "--kind surgard" in words(other, "spare1")
    # D1, G5: the host alone takes panels.
    assert f"--dual-connection on --dc09-listen {other.direct_address}" in words(other, "host")
    assert "--dual-connection" not in words(other, "spare1")
    assert [command[5:7] for command in other.device_commands("panel-001")] == [
        ["device", "create"],
        ["device", "dc09"],
    ]
    assert sorted(len(key) for key in other.panel_keys.values()) == [0, 16]


def test_prometheus_scrapes_what_runs_by_the_rules_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "alerts.yml").write_text("# rules\ngroups:\n- name: a\n  rules: []\n")
    (tmp_path / "tests.yml").write_text("rule_files: [alerts.yml]\ntests: []\n")
    rules = rule_files(tmp_path)
    assert rules == [tmp_path / "alerts.yml"]
    assert rule_files(tmp_path / "nothing") == []
    found = configuration("127.0.0.1:1", {"host": "127.0.0.1:2", "spare1": "127.0.0.1:3"}, rules)
    targets = {
        job["job_name"]: [target for static in job["static_configs"] for target in static["targets"]]
        for job in found["scrape_configs"]
    }
    assert targets == {"hotspare-cloud": ["127.0.0.1:1"], "hotspare-receiver": ["127.0.0.1:2", "127.0.0.1:3"]}
    assert found["rule_files"] == [str(tmp_path / "alerts.yml")]
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DemoError, match=r"not installed: apt-get install .*prometheus$"):
        find_program()


PICTURE = Picture(
    (Row("host", "0123456789abcdef", "WORKING", 7, 4711, 12), Row("spare 1", "", "", None, None, 0)),
    published=20, confirmed=18, waiting=2, duplicates=1, takeover=1.234, now="all is well",
)  # fmt: skip


def test_without_a_terminal_there_are_plain_lines() -> None:
    out = io.StringIO()
    screen = open_screen(False, out)
    assert isinstance(screen, PlainScreen)
    screen.say("hello", Tone.GOOD)
    screen.show(PICTURE)
    screen.show(PICTURE)
    lines = out.getvalue().splitlines()
    assert lines[0].endswith(" s] hello")
    assert "host: WORKING (epoch 7)  spare 1: -" in lines[1]
    assert lines[1].endswith("published 20  confirmed 18  waiting 2  duplicates 1  take-over 1.23 s")
    assert len(lines) == 2
    assert "\x1b" not in out.getvalue()


def test_the_live_table_shows_roles_status_epoch_and_counts() -> None:
    out = io.StringIO()
    screen = LiveScreen(out)
    screen.show(PICTURE)
    screen.close()
    screen.say("the end", timed=False)
    shown = out.getvalue()
    for text in (
        "host",
        "01234567",
        "WORKING",
        "4711",
        "confirmed 18",
        "take-over 1.23 s",
        "all is well",
        "the end",
    ):
        assert text in shown
    assert "0123456789" not in shown


def test_the_balance_tells_lost_ones_and_moves() -> None:
    ledger = Ledger({"panel-1": "1A01"})
    for number in (1, 2, 3):
        ledger.take_published("panel-1", number, 1.0)
    ledger.take_confirmed("host", "1A01", 1, 2.0)
    ledger.take_confirmed("spare1", "1A01", 2, 3.5)
    lines = {line.strip(): tone for line, tone in balance(ledger, Outcome(takeover=1.5))}
    words = {" ".join(line.split()[:3]): tone for line, tone in lines.items()}
    assert words["published 3 alarms"] is Tone.PLAIN
    assert words["confirmed 2 of"] is Tone.PLAIN
    assert words["lost 1 published"] is Tone.BAD
    assert words["take-over 1.50 s"] is Tone.PLAIN
    assert words["move 1.50 s"] is Tone.PLAIN
    assert "return - from" in words
    assert not any("direct" in line for line in words)


def test_the_balance_of_panels_with_two_ways_tells_both() -> None:
    ledger = Ledger({"panel-1": "1A01"})
    lines = balance(ledger, Outcome(reconnected=2.25), {"direct": 7, "cloud": 3})
    words = {" ".join(line.split()[:4]) for line, _ in lines}
    assert {"direct 7 of these,", "by the cloud 3", "direct again 2.25 s"} <= words


async def poll(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that nobody has reaped yet does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


async def test_a_child_tells_its_address_and_gets_it_again_after_a_kill(tmp_path: Path) -> None:
    child = Child("the ARC", ARC, tmp_path / "log")
    try:
        await child.start()
        first_pid, addresses = child.pid, await child.serving(DEADLINE)
        child.kill()
        assert await child.ended(DEADLINE)
        assert (child.has_died, child.exit_status, child.pid) == (False, -signal.SIGKILL, None)
        await child.start()
        assert child.addresses == addresses
        assert await child.serving(DEADLINE) == addresses
        assert child.pid != first_pid
        child.terminate()
        assert await child.ended(DEADLINE)
        assert child.exit_status == 0
        assert "stopped connections=0" in child.tail()
    finally:
        await child.end()


async def test_a_child_that_dies_by_itself_is_noticed_and_its_last_lines_are_told(tmp_path: Path) -> None:
    child = Child("the ARC", ("hotspare-sim", "arc", "--listen", "nowhere"), tmp_path / "log")
    await child.start()
    with pytest.raises(DemoError, match=r"(?s)the ARC did not start:.*'nowhere' is no address"):
        await child.serving(DEADLINE)
    assert child.has_died
    await child.end()


async def test_a_command_that_fails_is_told_with_what_it_wrote() -> None:
    with pytest.raises(DemoError, match=r"(?s)exit status 2: hotspare-sim arc.*Missing option '--listen'"):
        await run_command(["hotspare-sim", "arc"])
    with pytest.raises(DemoError, match="make setup"):
        await run_command(["hotspare-nothing"])


PARENT = """
import asyncio, sys
from pathlib import Path
from hotspare_sim.demo.children import Child

async def main():
    child = Child("child", ("hotspare-sim", "arc", "--listen", "127.0.0.1:0"), Path(sys.argv[1]))
    await child.start()
    await child.serving(20)
    print(child.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills children with their parent")
async def test_no_child_outlives_a_demo_that_is_killed(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(tmp_path / "log"), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    async with asyncio.timeout(DEADLINE):
        pid = int(await parent.stdout.readline())
    assert is_alive(pid)
    os.kill(parent.pid, signal.SIGKILL)
    await parent.wait()
    await poll(lambda: not is_alive(pid))
