"""Who may call this receiver: named tokens with a role, an expiry and a revocation (S1).

Whoever has the data folder replaces a lost admin token: delete `admin.token` there and start the receiver
again; the old one is then revoked and a new one written.
"""

import asyncio
import logging
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from hotspare_model.errors import HotspareError, Reason
from hotspare_receiver.clock import Clock
from hotspare_receiver.store.tokens import StoredToken, TokenRole, TokenStore
from hotspare_rpc.credentials import new_secret, read_bearer_token, sha256
from hotspare_rpc.logs import log_event
from hotspare_store.folder import write_secret

ADMIN_TOKEN_FILE = "admin.token"
ADMIN_NAME = "admin"
LONGEST_VALIDITY = timedelta(days=3650)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Operator:
    """Who calls, by a token that was good when the call came. `revoked` is set once it is not any more."""

    name: str
    role: TokenRole
    token_id: int
    revoked: asyncio.Event


def may(role: TokenRole, needed: TokenRole) -> bool:
    """Whether a role includes another; FEED stands for itself."""
    if TokenRole.FEED in (role, needed):
        return role is needed
    return role <= needed


class Tokens:
    """All tokens of this receiver, looked up in memory."""

    def __init__(self, store: TokenStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._tokens: dict[int, StoredToken] = {}
        self._by_digest: dict[bytes, int] = {}
        self._revoked: dict[int, asyncio.Event] = {}
        self._touching: set[asyncio.Task[None]] = set()
        for token in store.read_now():
            self._keep(token)

    async def ensure_admin(self, folder: Path) -> None:
        """Make the admin token where its file is missing: at the first start, or after it was lost.

        Raises:
            HotspareError: DISK_LOW, STORE_FAILED.
            OSError: the file can't be written.
        """
        file = folder / ADMIN_TOKEN_FILE
        if file.exists():
            return
        if self._named(ADMIN_NAME) is not None:
            await self.revoke(ADMIN_NAME)
        _, secret = await self.create(ADMIN_NAME, TokenRole.ADMIN, None)
        await asyncio.to_thread(write_secret, file, secret)
        log_event(_log, logging.INFO, "admin_token_made", file=file)

    def admit(self, context: Any, needed: TokenRole) -> Operator:
        """The operator behind a call.

        Raises:
            HotspareError: INVALID_CREDENTIALS (one answer for missing, malformed, unknown and revoked ones),
                TOKEN_EXPIRED, CALLER_NOT_ALLOWED.
        """
        shown = read_bearer_token(context.invocation_metadata())
        token_id = None if shown is None else self._by_digest.get(sha256(shown.secret))
        token = None if token_id is None else self._tokens[token_id]
        if token is None or token.revoked is not None:
            raise HotspareError(Reason.INVALID_CREDENTIALS, "the call carries no token that this receiver takes")
        now = self._clock.wall()
        if token.expires is not None and token.expires <= now:
            raise HotspareError(
                Reason.TOKEN_EXPIRED,
                f"the token expired at {token.expires.isoformat()}",
                expire_time=token.expires.isoformat().replace("+00:00", "Z"),
            )
        if not may(token.role, needed):
            raise HotspareError(
                Reason.CALLER_NOT_ALLOWED,
                f"this call needs a token with the role {needed.name.lower()}, "
                f"and {token.name} is {token.role.name.lower()}",
                caller=token.role.name.lower(),
                required=needed.name.lower(),
            )
        self._touch(token)
        return Operator(token.name, token.role, token.token_id, self._revoked[token.token_id])

    def remaining(self, operator: Operator) -> timedelta | None:
        """How long the token behind a stream is still valid; None without an end."""
        expires = self._tokens[operator.token_id].expires
        return None if expires is None else expires - self._clock.wall()

    async def create(
        self,
        name: str,
        role: TokenRole,
        validity: timedelta | None,
        subscriptions: tuple[str, ...] = (),
    ) -> tuple[StoredToken, str]:
        """Make a token; returns it with its secret, which is kept nowhere.

        Raises:
            HotspareError: RESOURCE_EXISTS, when a token of that name is not revoked.
        """
        secret, now = new_secret(), self._clock.wall()
        expires = None if validity is None else now + validity
        token = await self._store.create(name, role, sha256(secret), now, expires, subscriptions)
        self._keep(token)
        return token, secret

    async def revoke(self, name: str) -> StoredToken:
        """Revoke the token of that name at once; if it was revoked before, that counts.

        Raises:
            HotspareError: RESOURCE_NOT_FOUND.
        """
        token = self._named(name)
        if token is None:
            earlier = [token for token in self._tokens.values() if token.name == name]
            if not earlier:
                raise HotspareError(Reason.RESOURCE_NOT_FOUND, f"there is no token {name}", kind="token", id=name)
            return max(earlier, key=lambda token: token.token_id)
        now = self._clock.wall()
        await self._store.revoke(token.token_id, now)
        revoked = replace(self._tokens[token.token_id], revoked=now)
        self._tokens[token.token_id] = revoked
        self._revoked[token.token_id].set()
        return revoked

    def listed(self) -> list[StoredToken]:
        """All tokens by name, then age, also those that were revoked."""
        return sorted(self._tokens.values(), key=lambda token: (token.name, token.token_id))

    async def close(self) -> None:
        """Wait for what is being written."""
        await asyncio.gather(*self._touching, return_exceptions=True)

    def _named(self, name: str) -> StoredToken | None:
        return next((token for token in self._tokens.values() if token.name == name and token.revoked is None), None)

    def _keep(self, token: StoredToken) -> None:
        self._tokens[token.token_id] = token
        self._by_digest[token.sha256] = token.token_id
        self._revoked[token.token_id] = asyncio.Event()

    def _touch(self, token: StoredToken) -> None:
        """Note the use, to the minute: token.proto promises no more, and a write a call would cost too much."""
        minute = self._clock.wall().replace(second=0, microsecond=0)
        if token.last_used is not None and token.last_used >= minute:
            return
        self._tokens[token.token_id] = replace(token, last_used=minute)

        async def write() -> None:
            try:
                await self._store.touch(token.token_id, minute)
            except HotspareError as error:
                log_event(_log, logging.DEBUG, "token_use_not_kept", name=token.name, reason=error.reason)

        task = asyncio.create_task(write())
        self._touching.add(task)
        task.add_done_callback(self._touching.discard)
