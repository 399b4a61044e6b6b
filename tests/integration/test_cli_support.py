"""What the tests of the CLI share: a scripted server for all of its calls, and the command as a process."""

import asyncio
import errno
import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from prometheus_client import CollectorRegistry

from hotspare.v1 import (
    account_service_pb2,
    account_service_pb2_grpc,
    alarm_feed_service_pb2,
    alarm_feed_service_pb2_grpc,
    alarm_pull_service_pb2,
    alarm_pull_service_pb2_grpc,
    alarm_service_pb2,
    alarm_service_pb2_grpc,
    backup_service_pb2,
    backup_service_pb2_grpc,
    configuration_service_pb2,
    configuration_service_pb2_grpc,
    group_pb2,
    output_pb2,
    receiver_service_pb2,
    receiver_service_pb2_grpc,
    role_service_pb2,
    role_service_pb2_grpc,
    version_service_pb2,
    version_service_pb2_grpc,
)
from hotspare_rpc.address import parse_address
from hotspare_rpc.server import RpcServer
from hotspare_rpc.tls import ServerTls

TOKEN = "t0ken-of-the-technician"
HOST_ID = "11111111-1111-4111-8111-111111111111"
SPARE_ID = "22222222-2222-4222-8222-222222222222"
LONGEST_RUN = 30.0

Answer = Message | Exception | Callable[[Any], Any]

_SERVICES: tuple[tuple[Any, type, ServiceDescriptor], ...] = (
    (
        account_service_pb2_grpc.add_AccountServiceServicer_to_server,
        account_service_pb2_grpc.AccountServiceServicer,
        account_service_pb2.DESCRIPTOR.services_by_name["AccountService"],
    ),
    (
        receiver_service_pb2_grpc.add_ReceiverServiceServicer_to_server,
        receiver_service_pb2_grpc.ReceiverServiceServicer,
        receiver_service_pb2.DESCRIPTOR.services_by_name["ReceiverService"],
    ),
    (
        role_service_pb2_grpc.add_RoleServiceServicer_to_server,
        role_service_pb2_grpc.RoleServiceServicer,
        role_service_pb2.DESCRIPTOR.services_by_name["RoleService"],
    ),
    (
        configuration_service_pb2_grpc.add_ConfigurationServiceServicer_to_server,
        configuration_service_pb2_grpc.ConfigurationServiceServicer,
        configuration_service_pb2.DESCRIPTOR.services_by_name["ConfigurationService"],
    ),
    (
        backup_service_pb2_grpc.add_BackupServiceServicer_to_server,
        backup_service_pb2_grpc.BackupServiceServicer,
        backup_service_pb2.DESCRIPTOR.services_by_name["BackupService"],
    ),
    (
        alarm_feed_service_pb2_grpc.add_AlarmFeedServiceServicer_to_server,
        alarm_feed_service_pb2_grpc.AlarmFeedServiceServicer,
        alarm_feed_service_pb2.DESCRIPTOR.services_by_name["AlarmFeedService"],
    ),
    (
        alarm_pull_service_pb2_grpc.add_AlarmPullServiceServicer_to_server,
        alarm_pull_service_pb2_grpc.AlarmPullServiceServicer,
        alarm_pull_service_pb2.DESCRIPTOR.services_by_name["AlarmPullService"],
    ),
    (
        alarm_service_pb2_grpc.add_AlarmServiceServicer_to_server,
        alarm_service_pb2_grpc.AlarmServiceServicer,
        alarm_service_pb2.DESCRIPTOR.services_by_name["AlarmService"],
    ),
    (
        version_service_pb2_grpc.add_VersionServiceServicer_to_server,
        version_service_pb2_grpc.VersionServiceServicer,
        version_service_pb2.DESCRIPTOR.services_by_name["VersionService"],
    ),
)


@dataclass
class Call:
    """One call that the server got."""

    method: str
    request: Any
    metadata: dict[str, str]


@dataclass
class Result:
    """How a run of the command ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.out)

    def error_lines(self) -> tuple[str, str]:
        """The two lines of an error: what, and what to do."""
        what, hint = self.err.splitlines()
        return what.removeprefix("Error: "), hint.removeprefix("Hint: ")


@dataclass
class Script:
    """A server that answers as told, and knows who asked for what."""

    folder: Path
    address: str = ""
    answers: dict[str, Answer] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)

    def requests(self, method: str) -> list[Any]:
        """The requests of one method, in their order."""
        return [call.request for call in self.calls if call.method == method]

    def token_file(self) -> Path:
        """A file with the token, as well kept as it must be."""
        return secret_file(self.folder / "technician.token", TOKEN)

    def environment(self) -> dict[str, str]:
        """What a technician would have set."""
        return {"HOTSPARE_SERVER": self.address, "HOTSPARE_TOKEN_FILE": str(self.token_file())}

    async def run(self, *arguments: str, environment: dict[str, str] | None = None) -> Result:
        """Run `hotspare` against this server, without a terminal."""
        return await run_cli(*arguments, environment=environment or self.environment())

    async def run_inside(self, *arguments: str) -> Result:
        """As run, in a thread of this process."""
        return await run_inside(*arguments, environment=self.environment())

    async def run_on_terminal(
        self, *arguments: str, answer: str = "", environment: dict[str, str] | None = None
    ) -> Result:
        """Run `hotspare` on a terminal, at which `answer` is typed; all that it printed is in `out`."""
        return await run_on_terminal(*arguments, answer=answer, environment=self.environment() | (environment or {}))


@asynccontextmanager
async def scripted_server(
    folder: Path, tls: ServerTls | None = None, listen: str = "127.0.0.1:0"
) -> AsyncIterator[Script]:
    """Serve all services of a receiver, and those of the cloud, on a port of the system's choice if none is told."""
    script = Script(folder)
    server = RpcServer(parse_address(listen), tls, CollectorRegistry())
    for adder, base, descriptor in _SERVICES:
        methods = {
            method.name: (_stream_handler if method.server_streaming else _handler)(script, method.name)
            for method in descriptor.methods
            # What only servers call at each other is no matter of the command.
            if method.server_streaming or not method.client_streaming
        }
        server.add(adder, type("Scripted", (base,), methods)())
    script.address = await server.start()
    try:
        yield script
    finally:
        await server.stop(0)


def _handler(script: Script, name: str) -> Callable[..., Any]:
    async def handle(_self: Any, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        metadata = {key: str(value) for key, value in context.invocation_metadata() or ()}
        script.calls.append(Call(name, request, metadata))
        answer = script.answers.get(name)
        if answer is None:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not implemented!")
        if callable(answer):
            answer = answer(request)
            if asyncio.iscoroutine(answer):
                answer = await answer
        if isinstance(answer, Exception):
            raise answer
        return answer

    return handle


def _stream_handler(script: Script, name: str) -> Callable[..., Any]:
    """The answer of a stream is a function of the request (or of the iterator of them) that yields its messages, or an
    error."""

    async def handle(_self: Any, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Message]:
        metadata = {key: str(value) for key, value in context.invocation_metadata() or ()}
        script.calls.append(Call(name, request, metadata))
        answer = script.answers.get(name)
        if answer is None:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not implemented!")
        if isinstance(answer, Exception):
            raise answer
        assert callable(answer)
        async for message in answer(request):
            yield message

    return handle


def secret_file(path: Path, secret: str, mode: int = 0o600) -> Path:
    """Write a key or token file of that mode."""
    path.write_text(f"{secret}\n")
    path.chmod(mode)
    return path


def _command(arguments: Sequence[str]) -> list[str]:
    # A shell starts what runs in its background deaf to SIGINT, and that is inherited: here it is to be heard. Not by
    # `preexec_fn`: that makes Python fork, and the handlers of gRPC's core, which this server has, now and then abort
    # the child before it is the command.
    hear = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    return [sys.executable, "-c", f"{hear}; from hotspare_cli.main import main; main()", *arguments]


def _environment(more: dict[str, str]) -> dict[str, str]:
    own = {key: value for key, value in os.environ.items() if not key.startswith("HOTSPARE_")}
    return own | {"XDG_CONFIG_HOME": "/nonexistent", "TZ": "UTC", "COLUMNS": "200", "TERM": "xterm-256color"} | more


async def start_cli(*arguments: str, environment: dict[str, str], stdin: bool = False) -> asyncio.subprocess.Process:
    """Start `hotspare` without a terminal; with `stdin` something can be typed."""
    return await asyncio.create_subprocess_exec(
        *_command(arguments),
        env=_environment(environment),
        stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def finish(process: asyncio.subprocess.Process) -> Result:
    """Wait for its end."""
    try:
        out, err = await asyncio.wait_for(process.communicate(), LONGEST_RUN)
    except TimeoutError:
        process.kill()
        raise
    return Result(process.returncode or 0, out.decode(), err.decode())


async def run_cli(*arguments: str, environment: dict[str, str] | None = None) -> Result:
    """Run `hotspare` without a terminal."""
    return await finish(await start_cli(*arguments, environment=environment or {}))


async def run_on_terminal(*arguments: str, environment: dict[str, str], answer: str = "") -> Result:
    """Run `hotspare` on a terminal, at which `answer` is typed; all that it printed is in `out`."""
    return await asyncio.to_thread(_run_on_terminal, arguments, environment, answer)


async def run_inside(*arguments: str, environment: dict[str, str]) -> Result:
    """Run `hotspare` in a thread of this process: for what is the same there, at a tenth of the cost.

    Not two at a time: standard output and environment are the process's.
    """
    out, err, before = io.StringIO(), io.StringIO(), dict(os.environ)
    os.environ.clear()
    os.environ.update({key: value for key, value in before.items() if not key.startswith("HOTSPARE_")})
    os.environ.update({"XDG_CONFIG_HOME": "/nonexistent"} | environment)
    try:
        with redirect_stdout(out), redirect_stderr(err):
            code = await asyncio.to_thread(_code_of, arguments)
    finally:
        os.environ.clear()
        os.environ.update(before)
    return Result(code, out.getvalue(), err.getvalue())


def _code_of(arguments: Sequence[str]) -> int:
    from hotspare_cli.main import run

    try:
        return run(list(arguments))
    except SystemExit as end:
        return int(end.code or 0)


def _run_on_terminal(arguments: Sequence[str], environment: dict[str, str], answer: str) -> Result:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        _command(arguments), env=_environment(environment), stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    os.write(ours, answer.encode())
    out = bytearray()
    try:
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError as end:
                if end.errno != errno.EIO:
                    raise
                break
            if not piece:
                break
            out += piece
    finally:
        os.close(ours)
    return Result(process.wait(LONGEST_RUN), out.decode(), "")


# --- What a receiver could answer --------------------------------------------------------------------------


def member(role: group_pb2.Role.ValueType, receiver_id: str, name: str, *, working: bool = False) -> group_pb2.Member:
    """A member of the group, seen just now."""
    one = group_pb2.Member(
        receiver=group_pb2.ReceiverInfo(
            receiver_id=receiver_id, name=name, address="127.0.0.1:7001", software_version="0.1.0"
        ),
        role=role,
        status=group_pb2.MEMBER_STATUS_WORKING if working else group_pb2.MEMBER_STATUS_STANDBY,
        sync_state=group_pb2.SYNC_STATE_UP_TO_DATE,
        is_self=working,
    )
    if working:
        one.epoch = 7
    one.last_seen_time.FromDatetime(datetime.now(UTC))
    return one


def group() -> group_pb2.Group:
    """A group of two, of which the host works."""
    one = group_pb2.Group(
        arc_id="north",
        sub_account="default",
        epoch=7,
        working_receiver_id=HOST_ID,
        free_roles=[group_pb2.ROLE_SPARE_2, group_pb2.ROLE_SPARE_3],
        backlog=3,
        warnings=["two members are on one machine"],
    )
    one.working_since_time.FromDatetime(datetime.now(UTC) - timedelta(minutes=5))
    return one


def host_status() -> receiver_service_pb2.GetStatusResponse:
    """How a host is that works and has one output."""
    host = member(group_pb2.ROLE_HOST, HOST_ID, "alpha", working=True)
    status = receiver_service_pb2.ReceiverStatus(
        receiver=host.receiver,
        arc_id="north",
        sub_account="default",
        role=group_pb2.ROLE_HOST,
        status=group_pb2.MEMBER_STATUS_WORKING,
        cloud=receiver_service_pb2.CloudConnection(address="127.0.0.1:7443", connected=True),
        outputs=[
            output_pb2.Output(
                name="main",
                kind=output_pb2.OUTPUT_KIND_SIA_DC09,
                addresses=["127.0.0.1:5000"],
                state=output_pb2.OutputState(link=output_pb2.LINK_STATE_UP, confirmed=41),
            )
        ],
        group=group(),
        members=[host, member(group_pb2.ROLE_SPARE_1, SPARE_ID, "beta")],
        advice=["The group has no second spare."],
    )
    status.lease.epoch = 7
    status.lease.remaining.FromTimedelta(timedelta(seconds=4.2))
    status.progress.waiting = 2
    status.progress.confirmed = 41
    status.start_time.FromDatetime(datetime.now(UTC) - timedelta(hours=2))
    return receiver_service_pb2.GetStatusResponse(status=status)
