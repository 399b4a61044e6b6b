"""The contract as a server tells it itself, by reflection: services, methods, messages.

Nothing of our own generated code is used, so that what a newer server serves can be called, too.
"""

from collections.abc import AsyncIterator, Iterable
from typing import TypeAlias

import grpc
from google.protobuf.descriptor import Descriptor, EnumDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

from hotspare_cli.errors import CliError, ExitCode, usage_error
from hotspare_cli.session import Session

Described: TypeAlias = ServiceDescriptor | MethodDescriptor | Descriptor | EnumDescriptor

_REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
_DESCRIBE = "See what there is: hotspare describe."


class Contract:
    """What a server serves; read from it as far as it is needed."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._pool = DescriptorPool()
        self._files: set[str] = set()
        self._services: tuple[str, ...] | None = None

    @property
    def pool(self) -> DescriptorPool:
        """Where the types are, as far as they were needed."""
        return self._pool

    async def services(self) -> tuple[str, ...]:
        """The full names of its services. Raises CliError when it does not tell."""
        if self._services is None:
            response = await self._ask(ServerReflectionRequest(list_services="*"))
            assert response is not None
            self._services = tuple(sorted(one.name for one in response.list_services_response.service))
        return self._services

    async def service(self, name: str) -> ServiceDescriptor:
        """A service by its full name, or by the last word of it.

        Raises:
            CliError: there is none, or there are several.
        """
        every = await self.services()
        found = [one for one in every if one == name] or [one for one in every if one.rpartition(".")[2] == name]
        if len(found) > 1:
            raise usage_error(f"Several services are called {name!r}.", f"Name one in full: {', '.join(found)}.")
        if not found:
            raise _unknown(f"The server has no service {name!r}.", (one.rpartition(".")[2] for one in every))
        await self._load(found[0])
        return self._pool.FindServiceByName(found[0])

    async def method(self, text: str) -> MethodDescriptor:
        """A method, as `SERVICE/METHOD` or `SERVICE.METHOD`.

        Raises:
            CliError: there is none, or it is written in another way.
        """
        service_name, mark, method_name = text.strip("/").rpartition("/")
        if not mark:
            service_name, mark, method_name = text.rpartition(".")
        if not service_name or not method_name:
            raise usage_error(f"{text!r} is no method.", "Write SERVICE/METHOD, such as RoleService/ListMembers.")
        service = await self.service(service_name)
        found = service.methods_by_name.get(method_name)
        if found is None:
            raise _unknown(f"{service.name} has no method {method_name!r}.", service.methods_by_name)
        return found

    async def describe(self, name: str) -> Described:
        """A service, a method, a message or an enum, by its full name or without its package.

        Raises:
            CliError: there is none.
        """
        if "/" in name:
            return await self.method(name)
        every = await self.services()
        if name in every or any(one.rpartition(".")[2] == name for one in every):
            return await self.service(name)
        packages = dict.fromkeys(one.rpartition(".")[0] for one in every)
        for candidate in (name, *(f"{package}.{name}" for package in packages)):
            if await self._load(candidate, optional=True) and (found := self._find(candidate)) is not None:
                return found
        raise _unknown(f"The server knows no {name!r}.", (one.rpartition(".")[2] for one in every))

    def _find(self, name: str) -> Described | None:
        for find in (self._pool.FindMessageTypeByName, self._pool.FindEnumTypeByName, self._pool.FindMethodByName):
            try:
                found: Described = find(name)
            except KeyError:
                continue
            return found
        return None

    async def _load(self, symbol: str, *, optional: bool = False) -> bool:
        """Have the files that define a symbol in the pool; tell whether the server knows it."""
        response = await self._ask(ServerReflectionRequest(file_containing_symbol=symbol), optional=optional)
        if response is None:
            return False
        await self._add(response)
        return True

    async def _add(self, response: ServerReflectionResponse) -> None:
        """Put files in the pool, those that they import first; what the server did not send along is asked for."""
        files: dict[str, FileDescriptorProto] = {}
        try:
            for encoded in response.file_descriptor_response.file_descriptor_proto:
                file = FileDescriptorProto.FromString(encoded)
                files[file.name] = file
            await self._add_in_order(list(files), files, ())
        except (DecodeError, TypeError, KeyError) as problem:
            raise CliError(f"The server describes itself wrongly: {problem}.", "Report this defect.") from None

    async def _add_in_order(
        self, names: Iterable[str], files: dict[str, FileDescriptorProto], way: tuple[str, ...]
    ) -> None:
        for name in names:
            if name in self._files:
                continue
            if name in way:
                raise TypeError(f"{name} imports itself")
            if name not in files:
                response = await self._ask(ServerReflectionRequest(file_by_filename=name))
                assert response is not None
                for encoded in response.file_descriptor_response.file_descriptor_proto:
                    file = FileDescriptorProto.FromString(encoded)
                    files.setdefault(file.name, file)
            await self._add_in_order(files[name].dependency, files, (*way, name))
            self._pool.AddSerializedFile(files[name].SerializeToString())
            self._files.add(name)

    async def _ask(
        self, request: ServerReflectionRequest, *, optional: bool = False
    ) -> ServerReflectionResponse | None:
        """One question. None where the server does not know, and that is `optional`."""
        ask = self._session.channel.stream_stream(
            _REFLECTION,
            request_serializer=ServerReflectionRequest.SerializeToString,
            response_deserializer=ServerReflectionResponse.FromString,
        )

        async def requests() -> AsyncIterator[ServerReflectionRequest]:
            yield request

        call = ask(requests(), timeout=self._session.timeout)
        try:
            response = await anext(aiter(call))
        except StopAsyncIteration:
            raise CliError("The server ended its description of itself.", "Repeat it.") from None
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                raise CliError(
                    "The server does not describe itself (it has no reflection).", "Is it one of ours?"
                ) from None
            raise self._session.explain(error) from None
        finally:
            call.cancel()
        if not response.HasField("error_response"):
            return response
        if optional and response.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]:
            return None
        raise CliError(
            f"The server does not know it: {response.error_response.error_message or 'no details'}.",
            _DESCRIBE,
            exit_code=ExitCode.NOT_FOUND,
        )


def _unknown(what: str, there: Iterable[str]) -> CliError:
    return CliError(what, f"There are: {', '.join(there)}.", exit_code=ExitCode.NOT_FOUND)
