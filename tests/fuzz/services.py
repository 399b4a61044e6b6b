"""Fuzzes the services of a live cloud and receiver behind the message: `make fuzz`, target `services`.

Each call ends with a status of the contract and a reason, never with a defect; the servers go on, and what was answered
to others stays. A find is kept as the calls that made it, and replayed by tests/fuzz/test_services.py.
"""

import asyncio
import hashlib
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import grpc
from google.protobuf import message_factory

from hotspare_model.errors import HotspareError, Reason
from hotspare_rpc.errors import canonical_code, from_rpc_error
from tests.fuzz.calls import CLOUD, Call, Maker, dump, methods
from tests.fuzz.live import KNOWN, Group, Live, journal_is_whole, running

TARGET = "services"
ROUND = 400
"""Calls to one group and receiver; then both are made anew, for calls may rightly destroy them."""
AT_ONCE = 20
PATIENCE = 10.0
"""Seconds for an answer."""
LISTENING = 0.2
"""Seconds for which the answers of a stream are read; then it is dropped."""
LOCAL = "Internal error from Core"
"""What gRPC says of itself on this side of a call."""
DEFECTS = (Reason.INTERNAL, Reason.STORE_FAILED)
STRANGER = (("authorization", "Bearer " + "x" * 43), ("hotspare-arc-id", "harmed-1"), ("hotspare-odd-bin", b"\xff\x00"))


@dataclass
class Course:
    """What came of the calls so far."""

    calls: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    slow: Counter[str] = field(default_factory=Counter)
    """Methods that did not answer in time: some wait for others by contract."""


@dataclass(frozen=True)
class Find:
    """A defect, and the calls that show it."""

    problem: str
    calls: tuple[Call, ...]


async def send(call: Call, live: Live, group: Group, maker: Maker | None, course: Course) -> str | None:
    """Make a call; returns what is wrong with its answer."""
    channel: Any = live.cloud if call.server == CLOUD else group.channel
    metadata = group.metadata[call.server].get(call.caller, STRANGER if call.caller == "stranger" else ())
    method = methods()[call.method]
    try:
        if method.client_streaming or method.server_streaming:
            answers = await _stream(channel, call, metadata)
        else:
            answers = [await channel.unary_unary(call.method)(call.frames[0], metadata=metadata, timeout=PATIENCE)]
    except grpc.aio.AioRpcError as error:
        course.codes["none" if error.details() == LOCAL else error.code().name] += 1
        return _judge(call, error, course)
    finally:
        course.calls += 1
    course.codes["OK"] += 1
    for answer in answers:
        message_factory.GetMessageClass(method.output_type).FromString(answer)
        if maker is not None:
            maker.learn(call.method, answer)
    return None


async def _stream(channel: Any, call: Call, metadata: Any) -> list[bytes]:
    """Send what is to be sent, and read for a moment; then drop the call, unless it has ended."""
    method = methods()[call.method]
    answers: list[bytes] = []
    over = asyncio.Event()
    if not method.client_streaming:
        stream: Any = channel.unary_stream(call.method)(call.frames[0], metadata=metadata, timeout=PATIENCE)
    elif method.server_streaming:
        stream = channel.stream_stream(call.method)(_said(call, over), metadata=metadata, timeout=PATIENCE)
    else:
        stream = channel.stream_unary(call.method)(_said(call, over), metadata=metadata, timeout=PATIENCE)
    try:
        async with asyncio.timeout(LISTENING if method.server_streaming or not call.half_closes else PATIENCE):
            if method.server_streaming:
                answers.extend([answer async for answer in stream])
            else:
                answers.append(await stream)
    except TimeoutError:
        # An ended call keeps its status: it may have ended just now.
        stream.cancel()
        code = await stream.code()
        if code not in (grpc.StatusCode.OK, grpc.StatusCode.CANCELLED):
            raise grpc.aio.AioRpcError(
                code, await stream.initial_metadata(), await stream.trailing_metadata(), await stream.details()
            ) from None
    finally:
        over.set()
    return answers


async def _said(call: Call, over: asyncio.Event) -> AsyncIterator[bytes]:
    """What the caller sends, until the call is over."""
    for frame in call.frames:
        yield frame
    if not call.half_closes:
        await over.wait()


def _judge(call: Call, error: grpc.aio.AioRpcError, course: Course) -> str | None:
    code, ours = error.code(), from_rpc_error(error)
    if ours is None:
        if error.details() == LOCAL:
            # Not from the server: this side was still writing when the call had ended, and gRPC tells that alone.
            return None
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            course.slow[call.method] += 1
            return None
        return f"{call.method}: {code.name} without a reason: {error.details()}"
    if ours.reason in DEFECTS:
        return f"{call.method}: {ours.reason}: {ours.message}"
    if code is not canonical_code(ours.reason):
        return f"{call.method}: {code.name} with the reason {ours.reason}"
    return _odd(call, ours)


def _odd(call: Call, error: HotspareError) -> str | None:
    # errors.proto: what is unserved says which; everything else names what is wrong.
    return None if error.message else f"{call.method}: {error.reason} without a message"


async def replay(calls: Sequence[Call], folder: Path) -> list[str]:
    """Make calls one after the other at new servers; returns what is wrong then."""
    problems: list[str] = []
    async with running(folder) as live:
        async with live.group() as group:
            for call in calls:
                found = await send(call, live, group, None, Course())
                problems += [found] if found else []
            problems += await live.prove(group)
        problems += journal_is_whole(group)
    return problems


async def hunt(live: Live, draw: Random, calls: int, course: Course) -> Find | None:
    """Make so many calls at one group and receiver, some at once."""
    maker = Maker(draw, KNOWN)
    made: list[Call] = []
    async with live.group() as group:
        while len(made) < calls:
            some = [maker.call() for _ in range(min(AT_ONCE, calls - len(made)))]
            made += some
            answers = await asyncio.gather(*(send(call, live, group, maker, course) for call in some))
            for call, problem in zip(some, answers, strict=True):
                if problem:
                    return Find(problem, (call,))
            if problems := await live.prove(group):
                return Find("; ".join(problems), tuple(made))
    # Its last tasks end with it.
    problems = [*journal_is_whole(group), *live.alarmed.lines, *live.loop_problems]
    return Find("; ".join(problems), tuple(made)) if problems else None


async def smaller(find: Find, folder: Path) -> Find:
    """As few calls as show it, if they do so again."""
    if len(find.calls) == 1:
        return find
    for size in (1, AT_ONCE):
        last = find.calls[-size:]
        folder.joinpath(str(size)).mkdir(parents=True)
        if await replay(last, folder / str(size)):
            return Find(find.problem, last)
    return find


def fuzz(first: int, seconds: float, finds: Path) -> Path | None:
    """Call until the time is over or something is found, which is kept; return its file."""
    course = Course()
    with tempfile.TemporaryDirectory(prefix="hotspare-fuzz-") as folder:
        try:
            find = asyncio.run(_fuzz(first, seconds, Path(folder), course))
        except Exception:
            # Of the fuzzer, or of a server that did not even come up again.
            traceback.print_exc()
            raise
    codes = ", ".join(f"{name} {count:,}" for name, count in course.codes.most_common())
    print(f"{TARGET}: {course.calls:,} calls ({codes})", flush=True)
    if find is None:
        print(f"{TARGET}: nothing found", flush=True)
        return None
    text = dump(list(find.calls))
    finds.mkdir(exist_ok=True)
    path = finds / f"{TARGET}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"
    path.write_text(text, encoding="ascii")
    print(f"{TARGET}: found with seed {first}: {find.problem}\nkept as {path}", flush=True)
    return path


async def _fuzz(first: int, seconds: float, folder: Path, course: Course) -> Find | None:
    until, draw = time.monotonic() + seconds, Random(first)
    async with running(folder) as live:
        while time.monotonic() < until:
            if (find := await hunt(live, draw, ROUND, course)) is not None:
                break
        else:
            return None
    return await smaller(find, folder / "smaller")
