"""Errors in calls of all four kinds arrive as statuses with a reason, never with the text of a defect."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc_status import rpc_status

from hotspare.v1 import alarm_service_pb2_grpc, role_service_pb2, role_service_pb2_grpc
from hotspare_model.errors import HotspareError, Reason
from hotspare_rpc.errors import abort, describe, from_rpc_error
from hotspare_rpc.transport import MESSAGE_LIMIT
from tests.integration.test_rpc_support import (
    KINDS,
    LOOPBACK,
    Probe,
    ProbeClient,
    Served,
    serving,
    wait_until,
)

SECRET_TEXT = "the key is 4711"


def role_taken() -> HotspareError:
    return HotspareError(
        Reason.ROLE_TAKEN,
        "HOST is taken by a1",
        role="HOST",
        holder="a1",
        retry_after=timedelta(seconds=1.5),
    )


def raising(make: Any) -> dict[str, Probe]:
    """For each style of handler, a Probe whose methods raise what `make` returns."""

    async def coroutine(request: Any, context: Any) -> Any:
        raise make()

    async def generator(request: Any, context: Any) -> AsyncIterator[StringValue]:
        yield StringValue(value="first")
        raise make()

    async def generator_of_stream(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[StringValue]:
        async for request in requests:
            yield request
        raise make()

    async def reader_writer(request: Any, context: Any) -> None:
        await context.write(StringValue(value="first"))
        raise make()

    async def reading_writer(requests: Any, context: Any) -> None:
        while (request := await context.read()) is not grpc.aio.EOF:
            await context.write(request)
        raise make()

    async def consumer(requests: AsyncIterator[Any], context: Any) -> StringValue:
        async for _ in requests:
            pass
        raise make()

    return {
        "at once": Probe(coroutine, coroutine, coroutine, coroutine),
        "generators": Probe(coroutine, generator, consumer, generator_of_stream),
        "read and write": Probe(coroutine, reader_writer, consumer, reading_writer),
    }


STYLES = ("at once", "generators", "read and write")


async def failure(served: Served, kind: str, *texts: str | bytes) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await served.client.kind(kind, *texts)
    return caught.value


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("kind", KINDS)
async def test_an_error_arrives_with_its_reason_from_every_kind_of_handler(kind: str, style: str) -> None:
    async with serving(raising(role_taken)[style]) as served:
        raw = await failure(served, kind)
        error = from_rpc_error(raw)
        assert raw.code() is grpc.StatusCode.ALREADY_EXISTS
        assert error is not None
        assert error.reason is Reason.ROLE_TAKEN
        assert error.message == "HOST is taken by a1"
        assert error.metadata == {"role": "HOST", "holder": "a1"}
        assert error.retry_after == timedelta(seconds=1.5)
        assert describe(raw) == "HOST is taken by a1 (ROLE_TAKEN)"


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("kind", KINDS)
async def test_s4_a_defect_is_logged_under_an_incident_and_its_text_is_not_sent(
    kind: str, style: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(raising(lambda: KeyError(SECRET_TEXT))[style]) as served:
        raw = await failure(served, kind)
    error = from_rpc_error(raw)
    assert raw.code() is grpc.StatusCode.INTERNAL
    assert error is not None
    assert error.reason is Reason.INTERNAL
    assert SECRET_TEXT not in f"{raw!r} {raw.details()} {raw.trailing_metadata()}"
    (record,) = [record for record in caplog.records if record.msg == "rpc_failed"]
    assert record.exc_info is not None
    assert record.exc_info[0] is KeyError
    assert record.hotspare_fields["incident"] == error.metadata["incident"]  # type: ignore[attr-defined]
    assert [record for record in caplog.records if record.name.startswith("grpc")] == []


@pytest.mark.parametrize("kind", KINDS)
async def test_an_rpc_that_is_not_served_says_so(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(Probe()) as served:
        raw = await failure(served, kind)
    error = from_rpc_error(raw)
    assert raw.code() is grpc.StatusCode.UNIMPLEMENTED
    assert error is not None
    assert error.reason is Reason.NOT_SERVED
    assert error.metadata == {"method": f"/hotspare.test.Probe/{kind.capitalize()}"}
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_an_rpc_of_the_contract_that_is_not_served_says_so() -> None:
    async with serving() as served:
        server = type(served.server)(LOOPBACK, None, served.registry.__class__())
        server.add(
            role_service_pb2_grpc.add_RoleServiceServicer_to_server,
            role_service_pb2_grpc.RoleServiceServicer(),
        )
        channel = grpc.aio.insecure_channel(await server.start())
        stub: Any = role_service_pb2_grpc.RoleServiceStub(channel)
        try:
            with pytest.raises(grpc.aio.AioRpcError) as unary:
                await stub.PauseFailover(role_service_pb2.PauseFailoverRequest(), timeout=5)
            with pytest.raises(grpc.aio.AioRpcError) as stream:
                async for _ in stub.Attend(iter([role_service_pb2.AttendRequest()]), timeout=5):
                    pass
        finally:
            await channel.close()
            await server.stop(0)
    for caught in (unary, stream):
        error = from_rpc_error(caught.value)
        assert error is not None
        assert error.reason is Reason.NOT_SERVED


async def test_a_method_that_nobody_has_is_unimplemented() -> None:
    async with serving() as served:
        call: Any = served.channel.unary_unary("/hotspare.test.Probe/Nothing")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"", timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert from_rpc_error(caught.value) is None


@pytest.mark.parametrize("kind", KINDS)
async def test_s4_bytes_that_are_no_message_are_the_callers_error(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    async def echo(request: Any, context: Any) -> Any:
        return request

    async def echo_all(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for request in requests:
            yield request

    async def last(requests: AsyncIterator[Any], context: Any) -> Any:
        async for _ in requests:
            pass

    async with serving(Probe(echo, echo, last, echo_all)) as served:
        raw = await failure(served, kind, b"\x0a\xff")
    error = from_rpc_error(raw)
    assert raw.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error is not None
    assert error.reason is Reason.FIELD_INVALID
    assert caplog.records == [record for record in caplog.records if record.levelno < logging.WARNING]


@pytest.mark.parametrize("kind", KINDS)
async def test_s4_a_message_over_the_limit_is_refused_and_costs_nobody_else_anything(kind: str) -> None:
    seen: list[str] = []

    async def echo(request: Any, context: Any) -> Any:
        seen.append(request.value)
        return request

    async def down(request: Any, context: Any) -> AsyncIterator[Any]:
        seen.append(request.value)
        yield request

    async def up(requests: AsyncIterator[Any], context: Any) -> Any:
        seen.extend([request.value async for request in requests])
        return StringValue(value="end")

    async def both(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for request in requests:
            seen.append(request.value)
            yield request

    async with serving(Probe(echo, down, up, both)) as served:
        # A stranger's client has no limit of its own.
        async with grpc.aio.insecure_channel(served.address, (("grpc.max_send_message_length", -1),)) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ProbeClient(channel).kind(kind, "x" * (MESSAGE_LIMIT + 1))
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert await ProbeClient(channel).one("still here") == ["still here"]
        raw = await failure(served, kind, "x" * (MESSAGE_LIMIT + 1))
        assert raw.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert seen == ["still here"]


async def test_an_answer_of_the_wrong_type_is_a_defect(caplog: pytest.LogCaptureFixture) -> None:
    async def wrong(request: Any, context: Any) -> Any:
        return None

    async def wrong_stream(request: Any, context: Any) -> AsyncIterator[Any]:
        yield "text"

    async with serving(Probe(wrong, wrong_stream)) as served:
        for kind in ("one", "down"):
            assert (await failure(served, kind)).code() is grpc.StatusCode.INTERNAL
    assert [record.msg for record in caplog.records if record.levelno >= logging.ERROR] == ["rpc_failed"] * 2


async def test_a_generator_is_closed_before_the_caller_has_its_answer() -> None:
    closed: list[bool] = []

    async def generator(request: Any, context: Any) -> AsyncIterator[Any]:
        try:
            yield "what can't be written"
        finally:
            await asyncio.sleep(0.02)
            closed.append(True)

    async with serving(Probe(down=generator)) as served:
        await failure(served, "down")
        assert closed == [True]


@pytest.mark.parametrize(
    ("errors", "code"),
    [
        ((role_taken(),), grpc.StatusCode.ALREADY_EXISTS),
        ((role_taken(), ValueError("x")), grpc.StatusCode.INTERNAL),
        ((ExceptionGroup("inner", [role_taken()]),), grpc.StatusCode.ALREADY_EXISTS),
        ((grpc.aio.UsageError("RPC already finished."), role_taken()), grpc.StatusCode.ALREADY_EXISTS),
        ((grpc.aio.UsageError("RPC already finished."),), grpc.StatusCode.INTERNAL),
    ],
)
async def test_the_worst_error_of_a_task_group_decides(errors: tuple[Exception, ...], code: grpc.StatusCode) -> None:
    async def handler(request: Any, context: Any) -> Any:
        raise ExceptionGroup("unhandled errors in a TaskGroup", errors)

    async with serving(Probe(handler)) as served:
        assert (await failure(served, "one")).code() is code


@pytest.mark.parametrize("kind", KINDS)
async def test_a_handler_may_abort_by_itself(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    async def aborting(request: Any, context: Any) -> Any:
        await abort(context, role_taken())

    async def in_a_group(request: Any, context: Any) -> Any:
        async with asyncio.TaskGroup() as group:
            group.create_task(aborting(request, context))
            group.create_task(asyncio.sleep(60))

    for handler in (aborting, in_a_group):
        async with serving(Probe(handler, handler, handler, handler)) as served:
            raw = await failure(served, kind)
        assert raw.code() is grpc.StatusCode.ALREADY_EXISTS
        assert from_rpc_error(raw) is not None
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_s4_the_text_of_an_error_is_printable_and_bounded() -> None:
    hostile = "\x1b[2J\n\u202eevil" + "\U0001f525" * 100_000

    async def handler(request: Any, context: Any) -> Any:
        error = HotspareError(Reason.FIELD_INVALID, hostile, field=hostile)
        error.metadata |= {f"k{number}": hostile for number in range(50)}
        raise error

    async with serving(Probe(handler)) as served:
        raw = await failure(served, "one")
        assert await rpc_status.aio.from_call(_Answered(raw)) is not None
    error = from_rpc_error(raw)
    assert error is not None
    assert error.reason is Reason.FIELD_INVALID
    for text in (error.message, describe(raw), *error.metadata.values()):
        assert text.isprintable()
        assert len(text.encode()) <= 1100
    assert error.message.startswith(r"\x1b[2J\n\u202eevil")


class _Answered:
    """A call of grpcio-status' kind, made of its error."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        self._error = error

    async def code(self) -> grpc.StatusCode:
        return self._error.code()

    async def details(self) -> str | None:
        return self._error.details()

    async def trailing_metadata(self) -> Any:
        return self._error.trailing_metadata()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_caller_that_goes_away_cancels_the_handler_and_its_finally_runs(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    begun = asyncio.Event()
    ended: list[type[BaseException]] = []

    async def waiting(request: Any, context: Any) -> Any:
        begun.set()
        try:
            await asyncio.sleep(60)
        except BaseException as reason:
            ended.append(type(reason))
            raise

    async def yielding(request: Any, context: Any) -> AsyncIterator[StringValue]:
        begun.set()
        try:
            while True:
                yield StringValue(value="x")
                await asyncio.sleep(0.01)
        except BaseException as reason:
            ended.append(type(reason))
            raise

    handlers = {"one": waiting, "down": yielding, "up": waiting, "both": yielding}
    async with serving(Probe(**handlers)) as served:
        call = asyncio.create_task(served.client.kind(kind))
        await begun.wait()
        call.cancel()
        await asyncio.wait([call])
        await wait_until(lambda: ended != [])
        await wait_until(lambda: handled(served, kind, "Canceled") == 1)
    assert ended[0] in (asyncio.CancelledError, GeneratorExit)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_deadline_that_passes_is_counted_as_such() -> None:
    async def slow(request: Any, context: Any) -> Any:
        await asyncio.sleep(60)

    async with serving(Probe(slow)) as served:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await served.client.one_call("a", timeout=0.1)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await wait_until(lambda: handled(served, "one", "DeadlineExceeded") == 1)


def handled(served: Served, kind: str, code: str) -> float | None:
    types = {"one": "unary", "down": "server_stream", "up": "client_stream", "both": "bidi_stream"}
    return served.sample(
        "grpc_server_handled_total",
        grpc_type=types[kind],
        grpc_service="hotspare.test.Probe",
        grpc_method=kind.capitalize(),
        grpc_code=code,
    )


async def test_the_calls_are_counted_by_code_with_all_children_there_from_the_start() -> None:
    async def one(request: Any, context: Any) -> Any:
        if request.value == "bad":
            raise role_taken()
        return request

    async with serving(Probe(one)) as served:
        assert [handled(served, "one", code) for code in ("OK", "AlreadyExists", "Canceled")] == [0, 0, 0]
        assert [handled(served, kind, "OK") for kind in KINDS] == [0, 0, 0, 0]
        await served.client.one()
        await failure(served, "one", "bad")
        await failure(served, "one", b"\xff")
        await failure(served, "both")
        codes = ("OK", "AlreadyExists", "InvalidArgument")
        await wait_until(lambda: [handled(served, "one", code) for code in codes] == [1, 1, 1])
        assert handled(served, "both", "Unimplemented") == 1
        labels = {"grpc_type": "unary", "grpc_service": "hotspare.test.Probe", "grpc_method": "One"}
        assert served.sample("grpc_server_started_total", **labels) == 3
        assert served.sample("grpc_server_handling_seconds_count", **labels) == 3


async def test_s4_garbage_on_the_port_costs_nobody_else_anything() -> None:
    async def one(request: Any, context: Any) -> Any:
        return request

    async with serving(Probe(one)) as served:
        host, _, port = served.address.rpartition(":")
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 10_000, bytes(range(256)) * 40, b""):
            with socket.create_connection((host, int(port)), timeout=5) as connection:
                connection.sendall(garbage)
        assert await served.client.one("fine") == ["fine"]


def test_the_contract_has_no_service_whose_base_class_serves() -> None:
    """What NOT_SERVED rests on: generated methods raise NotImplementedError."""
    with pytest.raises(NotImplementedError):
        alarm_service_pb2_grpc.AlarmServiceServicer().PublishAlarm(None, _Ignoring())  # type: ignore[arg-type]


class _Ignoring:
    def set_code(self, code: Any) -> None: ...

    def set_details(self, details: Any) -> None: ...
