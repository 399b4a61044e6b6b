"""The tokens of the cloud's operators: which of them are good, and the streams that end with one (S1)."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from hotspare_cloud.finish import finished
from hotspare_cloud.keys import EndStream, invalid_credentials, not_found
from hotspare_cloud.store.base import AccountStore, TokenRow
from hotspare_model.errors import HotspareError, Reason
from hotspare_rpc.credentials import sha256

LONGEST_WAIT = 30.0
"""Seconds between two looks whether the token of a stream has ended: the wall clock may be set meanwhile."""


class OperatorTokens:
    """All tokens, in memory. One a process."""

    def __init__(self, store: AccountStore) -> None:
        self._store = store
        self._tokens: dict[bytes, TokenRow] = {}
        self._streams: dict[bytes, set[EndStream]] = {}

    async def load(self) -> None:
        """Read all that is stored."""
        for token in await self._store.tokens():
            self._tokens[token.sha256] = token

    def check(self, secret: str) -> TokenRow:
        """The token with that secret. Raises HotspareError INVALID_CREDENTIALS or TOKEN_EXPIRED."""
        return self._good(sha256(secret))

    def all(self) -> list[TokenRow]:
        """All tokens by name, then age, also those that were revoked."""
        return sorted(self._tokens.values(), key=lambda token: (token.name, token.created_at))

    @finished
    async def create(self, token: TokenRow) -> None:
        """Keep a token. Raises HotspareError RESOURCE_EXISTS."""
        await self._store.create_token(token)
        self._tokens[token.sha256] = token

    @finished
    async def revoke(self, name: str) -> TokenRow:
        """Revoke the token of a name. Raises HotspareError RESOURCE_NOT_FOUND."""
        named = [token for token in self.all() if token.name == name]
        if not named:
            raise not_found("token", name)
        now = time.time()
        await self._store.revoke_token(name, now)
        for token in named:
            if token.revoked_at is None:
                self._tokens[token.sha256] = replace(token, revoked_at=now)
                for end in tuple(self._streams.get(token.sha256, ())):
                    end(invalid_credentials())
        return self._tokens[named[-1].sha256]

    @contextmanager
    def lasting(self, secret: str, end: EndStream) -> Iterator[None]:
        """A stream that was opened with a token: `end` is called when the token ends before the stream does.

        Raises:
            HotspareError: INVALID_CREDENTIALS or TOKEN_EXPIRED, when it has ended since the stream was admitted.
        """
        digest = sha256(secret)
        self._good(digest)
        loop = asyncio.get_running_loop()
        timer: asyncio.TimerHandle | None = None

        def look() -> None:
            nonlocal timer
            try:
                token = self._good(digest)
            except HotspareError as ended:
                end(ended)
                return
            if token.expires_at is not None:
                timer = loop.call_later(max(0.0, min(token.expires_at - time.time(), LONGEST_WAIT)), look)

        look()
        streams = self._streams.setdefault(digest, set())
        streams.add(end)
        try:
            yield
        finally:
            if timer is not None:
                timer.cancel()
            streams.discard(end)
            if not streams and self._streams.get(digest) is streams:
                del self._streams[digest]

    def _good(self, digest: bytes) -> TokenRow:
        token = self._tokens.get(digest)
        if token is None or token.revoked_at is not None:
            raise invalid_credentials()
        if token.expires_at is not None and token.expires_at <= time.time():
            at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(token.expires_at))
            raise HotspareError(Reason.TOKEN_EXPIRED, f"the token ended at {at}", expire_time=at)
        return token
