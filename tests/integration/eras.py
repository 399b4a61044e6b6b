"""Channels and servers of another time: an older peer, by the descriptor set in the repository, and a newer one (V3).

What passes a channel of the past is cut to what the baseline knows, in both directions: the tests' own clients become
clients that were generated from it. What passes one of the future carries fields, in every message of every depth,
that nobody here knows.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, cast

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from hotspare_rpc.server import RpcServer
from tools.protos import ROOT

BASELINE = ROOT / "protos" / "baseline.binpb"

# A field of number 7000 with 14 bytes, and one of number 7001 with a number.
UNKNOWN = bytes.fromhex("c2b503") + b"\x0efrom tomorrow!" + bytes.fromhex("c8b503") + b"\x2a"

Translation = Callable[[bytes, str], bytes]
"""From bytes and the full name of their message to bytes."""


@cache
def baseline() -> descriptor_pool.DescriptorPool:
    """The contract as it was."""
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(BASELINE.read_bytes()).file:
        pool.Add(file)
    return pool


def as_of_the_past(wire: bytes, name: str) -> bytes:
    """What a peer of the baseline makes of a message, and sends."""
    message = message_factory.GetMessageClass(baseline().FindMessageTypeByName(name)).FromString(wire)
    message.DiscardUnknownFields()
    return message.SerializeToString()


def as_of_the_future(wire: bytes, name: str) -> bytes:
    """The same message with more in it than anybody knows."""
    message = message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(name)).FromString(wire)
    _enrich(message)
    return message.SerializeToString()


def _enrich(message: Message) -> None:
    for field, value in message.ListFields():
        nested = field.message_type
        if nested is not None and not nested.GetOptions().map_entry:
            for each in value if field.is_repeated else (value,):
                _enrich(each)
    message.MergeFromString(UNKNOWN)


class _Era:
    """A channel whose messages are translated."""

    def __init__(self, channel: grpc.aio.Channel, translate: Translation) -> None:
        self._channel = channel
        self._translate = translate
        for kind in ("unary_unary", "unary_stream", "stream_unary", "stream_stream"):
            setattr(self, kind, self._maker(kind))

    def _maker(self, kind: str) -> Callable[..., Any]:
        def make(path: str, request_serializer: Any, response_deserializer: Any, **more: Any) -> Any:
            # Generated code hands over FromString of the class, and SerializeToString of none.
            answer = _name_of(response_deserializer)
            return getattr(self._channel, kind)(
                path,
                request_serializer=lambda message: self._translate(
                    request_serializer(message), message.DESCRIPTOR.full_name
                ),
                response_deserializer=lambda wire: response_deserializer(self._translate(wire, answer)),
                **more,
            )

        return make


def _name_of(deserializer: Any) -> str:
    return str(deserializer(b"").DESCRIPTOR.full_name)


def past(channel: grpc.aio.Channel) -> grpc.aio.Channel:
    """A channel for clients of the baseline."""
    return cast(grpc.aio.Channel, _Era(channel, as_of_the_past))


def future(channel: grpc.aio.Channel) -> grpc.aio.Channel:
    """A channel for clients of a release to come."""
    return cast(grpc.aio.Channel, _Era(channel, as_of_the_future))


def answer_as(server: RpcServer, translate: Translation) -> None:
    """Have a server, before its start, answer as one of another time."""
    for service, handlers in server._services.items():
        server._services[service] = {
            method: cast(Any, handler)._replace(response_serializer=_translated(handler.response_serializer, translate))
            for method, handler in handlers.items()
        }


def _translated(serialize: Any, translate: Translation) -> Callable[[Message], bytes]:
    return lambda message: translate(serialize(message), message.DESCRIPTOR.full_name)
