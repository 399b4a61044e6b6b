"""Stands between receivers and a real cloud, passes every call on byte by byte, and meddles with transfers as told."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, TypeAlias

import grpc

from hotspare.v1 import backup_pb2, backup_service_pb2, sync_service_pb2
from hotspare_rpc.channel import open_channel
from hotspare_rpc.errors import DETAILS_KEY
from hotspare_rpc.server import SERVER_OPTIONS

PULL, PUSH = "PullChanges", "PushChanges"
FRAMES: dict[str, Any] = {PULL: sync_service_pb2.PullChangesResponse, PUSH: backup_service_pb2.PushChangesRequest}
SMALL = 3
"""Changes in a piece: what the sender cut is cut again, so that small transfers have several pieces."""

Frame: TypeAlias = Any
"""A message of a transfer; bytes, for what is none."""


class Cut(Exception):
    """The connection breaks here."""


Meddling: TypeAlias = Callable[[list[Frame]], Sequence[Frame]]
"""From the frames of a right transfer to those that arrive; the class Cut is where the connection breaks."""


class Meddler(grpc.GenericRpcHandler):
    """A server on loopback, for one cloud."""

    def __init__(self, cloud: str) -> None:
        self._cloud = cloud
        self._meddling: dict[str, tuple[Meddling, int]] = {}
        self.meddled = 0
        """How many transfers were not passed on as they came."""
        self.lose_answers = 0
        """So many answers to a push are lost, after the cloud has stored it."""
        self.address = ""

    async def __aenter__(self) -> "Meddler":
        self._channel = open_channel(self._cloud, None)
        self._server = grpc.aio.server(handlers=(self,), options=SERVER_OPTIONS)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop(0)
        await self._channel.close()

    def meddle(self, method: str, meddling: Meddling, times: int = 1) -> None:
        """Meddle with the next so many transfers of a method."""
        self._meddling[method] = (meddling, times)

    @property
    def is_done(self) -> bool:
        """Whether all was meddled with that was to be."""
        return not self._meddling and self.lose_answers == 0

    def stop_meddling(self) -> None:
        """Pass everything on from now on."""
        self._meddling.clear()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Take every call there is."""
        method = handler_call_details.method

        async def carry(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
            async for answer in self._carry(method, requests, context):
                yield answer

        return grpc.stream_stream_rpc_method_handler(carry)

    async def _carry(self, method: str, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        name = method.rpartition("/")[2]
        shown = [pair for pair in context.invocation_metadata() if pair[0].startswith(("hotspare-", "authorization"))]
        sent = self._meddled(PUSH, requests) if name == PUSH else requests
        broken = asyncio.Event()
        passed_on = _until_cut(sent, broken)
        call: Any = self._channel.stream_stream(method)(
            passed_on,  # type: ignore[arg-type]
            metadata=shown,
            timeout=context.time_remaining(),
        )
        breaking = asyncio.create_task(_break(call, broken))
        try:
            answers = self._meddled(PULL, call) if name == PULL else call
            async for answer in answers:
                if name == PUSH and self.lose_answers:
                    self.lose_answers -= 1
                    self.meddled += 1
                    raise Cut
                yield answer
        except Cut:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the connection broke")
        except grpc.aio.AioRpcError as error:
            context.set_trailing_metadata([(k, v) for k, v in error.trailing_metadata() or () if k == DETAILS_KEY])
            await context.abort(error.code(), error.details())
        except asyncio.CancelledError:
            if asyncio.current_task().cancelling():  # type: ignore[union-attr]
                raise
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the connection broke")
        finally:
            breaking.cancel()
            call.cancel()

    async def _meddled(self, method: str, messages: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        if method not in self._meddling:
            async for message in messages:
                yield message
            return
        frames = [FRAMES[method].FromString(message) async for message in messages]
        meddling, times = self._meddling.pop(method, (list, 1))
        if times > 1:
            self._meddling[method] = (meddling, times - 1)
        self.meddled += 1
        for frame in meddling(in_small_pieces(frames)):
            if frame is Cut:
                raise Cut
            assert not isinstance(frame, type)
            yield frame if isinstance(frame, bytes) else frame.SerializeToString()


async def _until_cut(messages: AsyncIterator[bytes], broken: asyncio.Event) -> AsyncIterator[bytes]:
    """What goes up, until the connection breaks: then nothing more comes, and no end either."""
    try:
        async for message in messages:
            yield message
    except Cut:
        broken.set()
        await asyncio.Event().wait()


async def _break(call: Any, broken: asyncio.Event) -> None:
    await broken.wait()
    call.cancel()


def in_small_pieces(frames: list[Frame]) -> list[Frame]:
    """The same transfer in pieces of a few changes."""
    header, *chunks, trailer = frames
    wrap = type(header)
    changes = [change for frame in chunks for change in frame.chunk.changes]
    cut = [changes[start : start + SMALL] for start in range(0, len(changes), SMALL)]
    pieces = [wrap(chunk=backup_pb2.ChangeChunk(index=index, changes=piece)) for index, piece in enumerate(cut)]
    trailer.trailer.chunk_count = len(pieces)
    return [header, *pieces, trailer]
