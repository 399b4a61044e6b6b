"""gRPC's errors become ours, in one place."""

import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import grpc

from hotspare_cli.errors import CliError, ExitCode
from hotspare_cli.hints import hint_for
from hotspare_cli.words import cause
from hotspare_rpc.address import Address
from hotspare_rpc.errors import describe, from_rpc_error

Hints: TypeAlias = Mapping[str, str]
"""What to do, by reason or name of a code, in a command that knows better than the general tables."""

_CHECK_SERVER = (
    "Check the address (--server, HOTSPARE_SERVER, or hotspare context show), that the server runs, and the firewalls "
    "between."
)
_TLS_MARKS = ("ssl", "tls", "handshake", "certificate")
_BY_CODE: Mapping[grpc.StatusCode, str] = {
    grpc.StatusCode.UNAVAILABLE: (
        f"{_CHECK_SERVER} A server with TLS on loopback needs --tls-ca. While a receiver is down, any other one of its "
        "group tells of the whole group: hotspare context list."
    ),
    grpc.StatusCode.DEADLINE_EXCEEDED: "Repeat it, with a longer --timeout if server or network are slow.",
    grpc.StatusCode.UNIMPLEMENTED: (
        "Is --server what you meant? `alarm send`, `account` and `operator` go to the cloud, all others to a receiver."
    ),
    grpc.StatusCode.UNAUTHENTICATED: "Check the token file: it must be of this receiver, and not revoked.",
    grpc.StatusCode.PERMISSION_DENIED: "Use a token of a higher role.",
    grpc.StatusCode.NOT_FOUND: "Check the name in the list of its kind.",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "The server is busy, or the answer too large: repeat it later.",
}
_PLAIN_WORD = re.compile(r"[a-z]+[ ,]")
_OTHERWISE = "Look at the log of the server; its version may differ: hotspare version."


def failure(
    error: grpc.aio.AioRpcError, server: Address, hints: Hints | None = None, words: Sequence[str] = ()
) -> CliError:
    """The error for people, with the exit status, for a call to `server` that failed.

    `words` are those of the command, for a hint that tells to repeat it elsewhere.
    """
    code, special = error.code(), hints or {}
    ours = from_rpc_error(error)
    if ours is not None:
        hint = special.get(ours.reason) or hint_for(ours.reason, ours.metadata, words)
        return CliError(_sentence(describe(error)), hint, exit_code=exit_code(code), answer=ours)
    hint = special.get(code.name) or _BY_CODE.get(code, _OTHERWISE)
    return CliError(_what(error, server), _tls_hint(error) or hint, exit_code=exit_code(code))


def exit_code(code: grpc.StatusCode) -> ExitCode:
    """The exit status for a canonical code."""
    match code:
        case grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.DEADLINE_EXCEEDED:
            return ExitCode.NO_ANSWER
        case grpc.StatusCode.NOT_FOUND:
            return ExitCode.NOT_FOUND
        case _:
            return ExitCode.REFUSED


def _what(error: grpc.aio.AioRpcError, server: Address) -> str:
    match error.code():
        case grpc.StatusCode.UNAVAILABLE:
            return f"{server} can't be reached: {cause(error.details() or 'no connection')}."
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return f"{server} did not answer in time."
        case grpc.StatusCode.UNIMPLEMENTED:
            return f"{server} does not serve this call."
        case _:
            return _sentence(f"{server} answered {describe(error)}")


def _tls_hint(error: grpc.aio.AioRpcError) -> str:
    details = (error.details() or "").lower()
    if error.code() is not grpc.StatusCode.UNAVAILABLE or not any(mark in details for mark in _TLS_MARKS):
        return ""
    return "Check the certificates: --tls-ca must hold the authority of the server's, which must name that host."


def _sentence(text: str) -> str:
    """With a capital and one full stop, so that lines of all servers look alike; names of fields stay as they are."""
    text = text.rstrip(".")
    return f"{text[:1].upper()}{text[1:]}." if _PLAIN_WORD.match(text) else f"{text}."
