"""`hotspare-sim demo`, as `make run` starts it: all processes real, one killed, none left behind."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

SIM = Path(sys.executable).parent / "hotspare-sim"
ROUND = 150
STEP = 90
"""Seconds, on a slow machine."""


@asynccontextmanager
async def demo(*options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        SIM, "demo", "--plain", *options, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def line_with(process: asyncio.subprocess.Process, text: str) -> list[str]:
    """Read on to the line with `text`; returns all lines up to it."""
    assert process.stdout is not None
    lines: list[str] = []
    async with asyncio.timeout(STEP):
        while line := (await process.stdout.readline()).decode():
            lines.append(line)
            if text in line:
                return lines
    raise AssertionError(f"no line with {text!r} in:\n{''.join(lines)}")


def processes_that_name(folder: Path) -> list[int]:
    """Processes with the folder in their command line."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(folder).encode() in entry.read_bytes() and int(entry.parent.name) != os.getpid():
                found.append(int(entry.parent.name))
        except OSError:
            continue
    return found


def number(name: str, text: str) -> int:
    match = re.search(rf"^  {name} +(\d+)  ", text, re.MULTILINE)
    assert match is not None, text
    return int(match[1])


async def test_f3_f4_f6_one_round_of_the_demo_loses_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    async with demo("--once", "--dir", str(folder)) as process:
        async with asyncio.timeout(ROUND):
            output, _ = await process.communicate()
    text = output.decode()
    assert process.returncode == 0, text
    assert number("published", text) == number("confirmed", text) > 100
    assert (number("lost", text), number("out of order", text)) == (0, 0)
    assert number("duplicates", text) <= 256
    assert re.search(r"Take-over: \d+\.\d\d s after the kill", text)
    assert re.search(r"Return: \d+\.\d s after its start", text)
    assert "move" in text
    assert re.search(r"host -> spare 1", text)
    assert re.search(r"spare 1 -> host", text)
    assert processes_that_name(folder) == []


async def test_ctrl_c_stops_the_demo_in_order_and_prints_the_balance(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    async with demo("--dir", str(folder)) as process:
        await line_with(process, "Alarms flow.")
        process.send_signal(signal.SIGINT)
        lines = await line_with(process, "  lost ")
        async with asyncio.timeout(STEP):
            await process.communicate()
    assert process.returncode == 0
    text = "".join(lines)
    assert number("published", text) == number("confirmed", text) > 0
    assert number("lost", text) == 0
    assert processes_that_name(folder) == []


@pytest.mark.full
async def test_a_server_that_dies_by_itself_ends_the_round_and_is_told_with_its_last_lines(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "demo"
    async with demo("--once", "--dir", str(folder)) as process:
        await line_with(process, "Alarms flow.")
        (cloud,) = processes_that_name(folder / "cloud")
        os.kill(cloud, signal.SIGKILL)
        lines = await line_with(process, "the cloud died (signal 9):")
        async with asyncio.timeout(STEP):
            await process.communicate()
    assert process.returncode == 1
    assert lines
    assert processes_that_name(folder) == []


async def test_a_folder_that_is_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    async with demo("--dir", str(tmp_path)) as process:
        async with asyncio.timeout(STEP):
            output, _ = await process.communicate()
    assert process.returncode == 1
    assert "is not empty" in output.decode()
