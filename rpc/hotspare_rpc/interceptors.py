"""What stands around every handler of a server: errors become statuses, calls are measured.

grpc.aio wraps each handler by its kind: it awaits a coroutine function, iterates an asynchronous generator
and writes what comes, and runs anything else in a thread. It also decodes requests and encodes answers
outside of the handler, and sends the text of whatever exception comes out of all this to the client. So both
interceptors here first turn a handler of any kind into one coroutine that decodes, runs, writes and encodes
by itself; what goes wrong in any of these goes wrong inside.
"""

import asyncio
import inspect
import logging
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from typing import Any, NoReturn, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from hotspare_model.errors import HotspareError, Reason, field_invalid
from hotspare_rpc.errors import abort
from hotspare_rpc.logs import log_event
from hotspare_rpc.metrics import GrpcServerMetrics, Handler, Method

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
Behaviour: TypeAlias = Callable[[Any, Context], Any]

_log = logging.getLogger(__name__)


class _Malformed:
    """Stands for a request that could not be decoded, until the handler's place is reached."""


class _Around(grpc.aio.ServerInterceptor, ABC):
    """Puts `around` about every handler, whatever its kind."""

    def __init__(self) -> None:
        self._wrapped: dict[str, Handler] = {}

    @abstractmethod
    async def around(self, method: Method, run: Callable[[], Awaitable[Any]], context: Context) -> Any:
        """Await `run()` once and return its result."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Return the wrapped handler of the method; None for a method that nobody has (gRPC answers that)."""
        path = handler_call_details.method
        wrapped = self._wrapped.get(path)
        if wrapped is None:
            handler = await continuation(handler_call_details)
            if handler is None:
                return None
            # Handlers never change while a server runs, and only known methods get here: the cache is
            # bounded.
            wrapped = self._wrapped[path] = self._wrap(path, handler)
        return wrapped

    def _wrap(self, path: str, handler: Handler) -> Handler:
        method = Method.of(path, handler)
        behaviour = _behaviour(handler)
        encode = handler.response_serializer if not handler.response_streaming else None

        async def wrapped(request: Any, context: Context) -> Any:
            async def run() -> Any:
                return await _run(behaviour, request, context, encode)

            return await self.around(method, run, context)

        return _made_like(
            handler,
            wrapped,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer if handler.response_streaming else None,
        )


class ErrorInterceptor(_Around):
    """Turns whatever a handler raises into a status with a reason.

    - HotspareError: its status; also out of the group of a TaskGroup, unless something worse is in there.
    - NotImplementedError: UNIMPLEMENTED NOT_SERVED. Generated servicers raise it for what is left out.
    - any other exception: INTERNAL, and an incident id under which the log has it all. Its text is not sent.
    - cancellation, and what gRPC itself raises for a call that is over: let through.
    """

    def _wrap(self, path: str, handler: Handler) -> Handler:
        return super()._wrap(path, _with_checked_requests(handler))

    async def around(self, method: Method, run: Callable[[], Awaitable[Any]], context: Context) -> Any:
        """Run the handler; abort the call with a status if it fails."""
        try:
            return await run()
        except Exception as raised:
            error = _weightiest(raised)
            if isinstance(error, grpc.aio.BaseError) and not _is_misuse(error, context):
                raise error from None
            await _abort(context, method, raised, error)


class MetricsInterceptor(_Around):
    """Counts and times the calls of known methods. Stands outside of the ErrorInterceptor, to see codes."""

    def __init__(self, metrics: GrpcServerMetrics) -> None:
        super().__init__()
        self._metrics = metrics

    async def around(self, method: Method, run: Callable[[], Awaitable[Any]], context: Context) -> Any:
        """Run the handler between the two counts."""
        self._metrics.started(method)
        began = time.perf_counter()
        code: grpc.StatusCode | None = None
        try:
            result = await run()
            code = _code(context, grpc.StatusCode.OK)
        except asyncio.CancelledError:
            code = _ended_by(context)
            raise
        except grpc.aio.AbortError:
            code = _code(context, grpc.StatusCode.UNKNOWN)
            raise
        except grpc.aio.BaseError:  # the caller is gone, or the server stopped
            code = grpc.StatusCode.CANCELLED
            raise
        finally:
            self._metrics.handled(method, code or grpc.StatusCode.UNKNOWN, time.perf_counter() - began)
        return result


async def _run(behaviour: Behaviour, request: Any, context: Context, encode: Callable[[Any], bytes] | None) -> Any:
    """Run a handler of any kind; return its answer, encoded, or None when the answers were written."""
    outcome = behaviour(request, context)
    if inspect.isawaitable(outcome):
        answer = await outcome
        return encode(answer) if encode is not None else answer
    if isinstance(outcome, AsyncIterator):
        await _write_all(outcome, context)
        return None
    raise TypeError("a handler must be a coroutine function or an asynchronous generator")


async def _write_all(messages: AsyncIterator[Any], context: Context) -> None:
    if not inspect.isasyncgen(messages):
        async for message in messages:
            await context.write(message)
        return
    # Closed here and now: left to the garbage collector, its `finally` would run at any time after the call.
    async with aclosing(messages):
        async for message in messages:
            await context.write(message)


def _with_checked_requests(handler: Handler) -> Handler:
    """The handler, with an error of ours for bytes that are no message of the call's type (S4)."""
    decode = handler.request_deserializer
    if decode is None:
        return handler
    behaviour = _behaviour(handler)

    def decode_single(raw: bytes) -> Any:
        try:
            return decode(raw)
        except DecodeError:
            return _Malformed()  # raised here, it would not pass through the interceptors

    def decode_of_stream(raw: bytes) -> Any:
        try:
            return decode(raw)
        except DecodeError:
            raise _malformed() from None  # out of the handler's read

    def checked(request: Any, context: Context) -> Any:
        if isinstance(request, _Malformed):
            raise _malformed()
        return behaviour(request, context)

    return _made_like(
        handler,
        checked,
        request_deserializer=decode_of_stream if handler.request_streaming else decode_single,
        response_serializer=handler.response_serializer,
    )


def _malformed() -> HotspareError:
    return field_invalid("request", "is not encoded as the message that this call takes")


def _behaviour(handler: Handler) -> Behaviour:
    found: Any
    match handler.request_streaming, handler.response_streaming:
        case False, False:
            found = handler.unary_unary
        case False, True:
            found = handler.unary_stream
        case True, False:
            found = handler.stream_unary
        case _:
            found = handler.stream_stream
    behaviour: Behaviour = found
    return behaviour


def _made_like(handler: Handler, behaviour: Behaviour, **codecs: Any) -> Handler:
    """A handler of the same kind with another behaviour."""
    make: Callable[..., Handler]
    match handler.request_streaming, handler.response_streaming:
        case False, False:
            make = grpc.unary_unary_rpc_method_handler
        case False, True:
            make = grpc.unary_stream_rpc_method_handler
        case True, False:
            make = grpc.stream_unary_rpc_method_handler
        case _:
            make = grpc.stream_stream_rpc_method_handler
    return make(behaviour, **codecs)


def _weightiest(raised: Exception) -> Exception:
    """The one exception that decides the status; of a group, the worst that is in it.

    A call that was aborted already has its status; then comes what nobody expected, then what was refused,
    and last what gRPC raises in the neighbours because the call is over.
    """
    leaves = list(_leaves(raised))
    for kinds in (grpc.aio.AbortError, None, HotspareError):
        for leaf in leaves:
            expected = isinstance(leaf, (HotspareError, grpc.aio.BaseError))
            if (kinds is None and not expected) or (kinds is not None and isinstance(leaf, kinds)):
                return leaf
    return leaves[0]


def _leaves(raised: Exception) -> Iterator[Exception]:
    if isinstance(raised, ExceptionGroup):
        for inner in raised.exceptions:
            yield from _leaves(inner)
    else:
        yield raised


def _is_misuse(error: grpc.aio.BaseError, context: Context) -> bool:
    """Whether gRPC complains about the handler, not about a call that is over."""
    return isinstance(error, grpc.aio.UsageError) and not context.done()


async def _abort(context: Context, method: Method, raised: Exception, error: Exception) -> NoReturn:
    if isinstance(error, HotspareError):
        if error.reason is Reason.INTERNAL and "incident" not in error.metadata:
            await abort(context, _incident(method, raised))
        await abort(context, error)
    if isinstance(error, NotImplementedError):
        await abort(context, _not_served(method, error))
    await abort(context, _incident(method, raised))


def _not_served(method: Method, error: NotImplementedError) -> HotspareError:
    log_event(_log, logging.DEBUG, "rpc_not_served", error=error, method=method.path)
    return HotspareError(Reason.NOT_SERVED, f"{method.path} is not served by this release", method=method.path)


def _incident(method: Method, raised: Exception) -> HotspareError:
    incident = secrets.token_hex(8)
    log_event(_log, logging.ERROR, "rpc_failed", error=raised, method=method.path, incident=incident)
    return HotspareError(
        Reason.INTERNAL,
        f"a defect of the server; its log has the details under incident {incident}",
        incident=incident,
    )


def _code(context: Context, unset: grpc.StatusCode) -> grpc.StatusCode:
    code: Any = context.code()
    if isinstance(code, grpc.StatusCode):
        return code
    if isinstance(code, int):
        return next((known for known in grpc.StatusCode if known.value[0] == code), grpc.StatusCode.UNKNOWN)
    return unset


def _ended_by(context: Context) -> grpc.StatusCode:
    """Why the core cancelled a call: its deadline, or its caller (or the end of the server)."""
    left = context.time_remaining()
    return grpc.StatusCode.DEADLINE_EXCEEDED if left is not None and left <= 0 else grpc.StatusCode.CANCELLED
