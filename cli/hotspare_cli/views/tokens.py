"""Tokens, for `token`."""

from collections.abc import Iterator
from datetime import datetime

from hotspare.v1.account_service_pb2 import ListOperatorTokensResponse
from hotspare.v1.receiver_service_pb2 import ListTokensResponse
from hotspare.v1.token_pb2 import Token, TokenRole
from hotspare_cli.layout import Cell, CellLike, Part, Tone, grid
from hotspare_cli.words import NONE, ago, clock, time, word

_BELOW = ("SUBSCRIPTIONS", "CREATED", "LAST USED")


def tokens_view(response: ListTokensResponse | ListOperatorTokensResponse, now: datetime) -> Iterator[Part]:
    """The whole answer of `token list` and `operator list`."""
    columns = ("NAME", "ROLE", "STATE", "CREATED", "EXPIRES", "LAST USED", "SUBSCRIPTIONS")
    yield grid(columns, (_row(token, now) for token in response.tokens), empty="no tokens", below=_BELOW)


def _row(token: Token, now: datetime) -> tuple[CellLike, ...]:
    return (
        token.name,
        word(TokenRole.DESCRIPTOR, token.role),
        _state(token, now),
        clock(token.create_time) if token.HasField("create_time") else NONE,
        clock(token.expire_time) if token.HasField("expire_time") else "never",
        ago(token.last_use_time, now) if token.HasField("last_use_time") else "never",
        ", ".join(token.subscriptions) or NONE,
    )


def _state(token: Token, now: datetime) -> Cell:
    if token.HasField("revoke_time"):
        return Cell("revoked", Tone.FAINT)
    end = time(token.expire_time) if token.HasField("expire_time") else None
    return Cell("expired", Tone.WATCH) if end is not None and end <= now else Cell("valid", Tone.GOOD)
