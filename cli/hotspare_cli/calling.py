"""Any method of any of our servers, with requests as JSON: what `call` does."""

import asyncio
import json
import os
import stat
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from hotspare_cli.errors import CliError, usage_error
from hotspare_cli.session import Session

_LONGEST_DATA = 16 * 1024 * 1024
_TEXTS = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)


@dataclass
class Data:
    """What `-d` told: JSON, `@FILE`, or `-` for standard input; nothing is one empty request."""

    given: str | None

    @property
    def lively(self) -> bool:
        """Whether more may come while the call goes on."""
        return self.given == "-"

    def text(self) -> str:
        """All of it. Raises CliError for a file that can't be read."""
        if self.given is None:
            return ""
        if self.lively:
            return sys.stdin.read(_LONGEST_DATA)
        if not self.given.startswith("@"):
            return self.given
        path = Path(self.given[1:])
        try:
            return path.read_bytes()[:_LONGEST_DATA].decode("utf-8")
        except OSError as problem:
            raise usage_error(f"{path} can't be read: {problem.strerror}.", "Check the name behind -d @.") from None
        except UnicodeDecodeError:
            raise usage_error(f"{path} is no text in UTF-8.", "A request is JSON.") from None

    def check_secret(self, message: Message) -> None:
        """Refuse a secret where others may see it (S1).

        Raises:
            CliError: it stands among the arguments, or in a file that others may read.
        """
        name = secret_in(message)
        if not name or self.given is None or self.lively:
            return
        if not self.given.startswith("@"):
            raise usage_error(
                f"{name} is a secret, and arguments are seen by others and kept in the history of the shell.",
                "Put the request in a file of mode 0600, and name it: -d @FILE; or give it by -d -.",
            )
        mode = stat.S_IMODE(os.stat(self.given[1:]).st_mode)
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise usage_error(
                f"{self.given[1:]} holds a secret ({name}) and is open to others (mode {mode:04o}).",
                f"Keep it to yourself: chmod 600 {self.given[1:]}",
            )


def documents(text: str, *, final: bool = True) -> tuple[list[Any], str]:
    """The JSON documents at the begin of a text, and what is left; with `final` nothing may be left.

    Raises:
        CliError: it is no JSON.
    """
    decoder, found = json.JSONDecoder(), list[Any]()
    text = text.lstrip()
    while text:
        try:
            document, end = decoder.raw_decode(text)
        except json.JSONDecodeError as problem:
            if not final:
                return found, text
            where = f"line {problem.lineno}, column {problem.colno}"
            raise usage_error(f"The request is no JSON: {problem.msg} ({where}).", "Check what -d tells.") from None
        found.append(document)
        text = text[end:].lstrip()
    return found, ""


def secret_in(message: Message) -> str:
    """The name of a field that is set and holds a secret; empty for none."""
    for one, value in message.ListFields():
        if one.type in _TEXTS and _is_secret(one.name):
            return str(one.name)
        if one.type == FieldDescriptor.TYPE_MESSAGE:
            for inner in _messages(one, value):
                if name := secret_in(inner):
                    return name
    return ""


def _is_secret(name: str) -> bool:
    return name == "key" or name.endswith("_key") or "secret" in name or "password" in name


def _messages(one: FieldDescriptor, value: Any) -> Iterator[Message]:
    if one.message_type is not None and one.message_type.GetOptions().map_entry:
        value = value.values()
        yield from (each for each in value if isinstance(each, Message))
    elif one.is_repeated:
        yield from value
    else:
        yield value


@dataclass
class Caller:
    """Makes one call of `method`; `write` gets each response as plain data."""

    session: Session
    method: MethodDescriptor
    pool: DescriptorPool
    write: Callable[[Any], None]
    problem: list[CliError] = field(default_factory=list)
    """What was wrong with a request that came while the call went on."""

    async def make(self, data: Data, *, timeout: float | None, limit: int | None) -> None:
        """Make it, until its end or `limit` responses.

        Raises:
            CliError: it was refused, or a request is wrong.
        """
        path = f"/{self.method.containing_service.full_name}/{self.method.name}"
        channel, metadata = self.session.channel, self.session.metadata
        decode: Callable[[bytes], Message] = GetMessageClass(self.method.output_type).FromString
        try:
            if self.method.client_streaming:
                requests = self._lively() if data.lively else self._all(data)
                if self.method.server_streaming:
                    both = channel.stream_stream(path, request_serializer=_encode, response_deserializer=decode)
                    await self._take(self.session.exchange(both, requests, timeout=timeout), limit)
                else:
                    collect = channel.stream_unary(path, request_serializer=_encode, response_deserializer=decode)
                    self._tell(await collect(requests, timeout=timeout, metadata=metadata))
            elif self.method.server_streaming:
                stream = channel.unary_stream(path, request_serializer=_encode, response_deserializer=decode)
                await self._take(self.session.watch(stream, self._one(data), timeout=timeout), limit)
            else:
                unary = channel.unary_unary(path, request_serializer=_encode, response_deserializer=decode)
                self._tell(await unary(self._one(data), timeout=timeout, metadata=metadata))
        except grpc.aio.AioRpcError as error:
            raise (self.problem[0] if self.problem else self.session.explain(error)) from None
        if self.problem:
            raise self.problem[0]

    async def _take(self, responses: AsyncGenerator[Message, None], limit: int | None) -> None:
        taken = 0
        async with aclosing(responses) as stream:
            async for response in stream:
                self._tell(response)
                taken += 1
                if taken == limit:
                    return

    def _tell(self, response: Message) -> None:
        plain = MessageToDict(
            response,
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
            descriptor_pool=self.pool,
        )
        self.write(plain)

    def _one(self, data: Data) -> Message:
        found, _ = documents(data.text())
        if len(found) > 1:
            raise usage_error(f"{self.method.name} takes one request, not {len(found)}.", "Leave the others out.")
        return self._request(found[0] if found else {}, data)

    def _all(self, data: Data) -> AsyncIterator[Message]:
        found, _ = documents(data.text())
        whole = [self._request(document, data) for document in found]

        async def requests() -> AsyncIterator[Message]:
            for one in whole:
                yield one

        return requests()

    async def _lively(self) -> AsyncIterator[Message]:
        """A request as soon as it is typed."""
        rest = ""
        try:
            async for line in _lines():
                found, rest = documents(f"{rest}{line}", final=False)
                for document in found:
                    yield self._request(document, Data("-"))
            for document in documents(rest)[0]:
                yield self._request(document, Data("-"))
        except CliError as problem:
            # Raised here it would be lost in gRPC: the stream of requests ends, and it is told afterwards.
            self.problem.append(problem)

    def _request(self, document: Any, data: Data) -> Message:
        kind: Descriptor = self.method.input_type
        message = GetMessageClass(kind)()
        hint = f"See what it takes: hotspare describe {self.method.containing_service.name}/{self.method.name}."
        if not isinstance(document, dict):
            raise usage_error("A request is a JSON object, such as {}.", hint)
        try:
            ParseDict(document, message, descriptor_pool=self.pool)
        except (ParseError, ValueError, TypeError) as problem:
            raise usage_error(f"That is no {kind.name}: {' '.join(str(problem).split()).rstrip('.')}.", hint) from None
        data.check_secret(message)
        return message


def _encode(message: Message) -> bytes:
    return message.SerializeToString()


async def _lines() -> AsyncIterator[str]:
    """Standard input, line by line, without holding up an end of the command."""
    loop, queue = asyncio.get_running_loop(), asyncio.Queue[str]()

    def read() -> None:
        while True:
            line = sys.stdin.readline()
            try:
                loop.call_soon_threadsafe(queue.put_nowait, line)
            except RuntimeError:  # the loop has ended meanwhile
                return
            if not line:
                return

    threading.Thread(target=read, daemon=True).start()
    while line := await queue.get():
        yield line
