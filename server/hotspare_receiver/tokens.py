"""Who may call this receiver: named tokens with a role, an expiry and a revocation (S1).

The file `admin.token` in the data folder holds the token named `admin`, and whoever has the folder replaces a lost one:
what stands in the file counts. A receiver that runs takes another one over within seconds, one that does not run at its
start; the token named `admin` before is revoked then, all others stay. Without the file a start makes it anew.
"""

import asyncio
import logging
import re
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

LOOK_INTERVAL = 1.0
"""Seconds between two looks at the file of the admin token."""

SECRET = re.compile(r"[\x21-\x7e]{22,256}")
"""What is long enough for 128 random bits (S1); something shorter in the file was not made by us."""

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
        self._looking: asyncio.Task[None] | None = None
        self._unfit = ""
        for token in store.read_now():
            self._keep(token)

    async def ensure_admin(self, folder: Path) -> None:
        """Have the admin token that its file tells; make it where the file is missing, at the first start or after it
        was lost. From now on the file is looked at.

        Raises:
            HotspareError: DISK_LOW, STORE_FAILED.
            OSError: the file can't be written.
        """
        file = folder / ADMIN_TOKEN_FILE
        if file.exists():
            await self._take_over(file)
        else:
            if self._named(ADMIN_NAME) is not None:
                await self.revoke(ADMIN_NAME)
            _, secret = await self.create(ADMIN_NAME, TokenRole.ADMIN, None)
            await asyncio.to_thread(write_secret, file, secret)
            log_event(_log, logging.INFO, "admin_token_made", file=file)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look(file), name="admin-token")

    async def _look(self, file: Path) -> None:
        # It may have been written since the start read it: the first look is always one.
        seen: tuple[int, int, int] | None = None
        while True:
            await asyncio.sleep(LOOK_INTERVAL)
            stamp = await asyncio.to_thread(_stamp, file)
            if stamp == seen:
                continue
            try:
                await self._take_over(file)
                seen = stamp
            except HotspareError as error:
                log_event(_log, logging.WARNING, "admin_token_not_taken", file=file, problem=error)

    async def _take_over(self, file: Path) -> None:
        """Take the token in the file for the admin's, unless it is known: then also when it was revoked."""
        try:
            secret = (await asyncio.to_thread(file.read_text, encoding="utf-8")).strip()
        except (OSError, UnicodeDecodeError) as error:
            self._not_fit(file, str(error))
            return
        if SECRET.fullmatch(secret) is None:
            self._not_fit(file, "it holds no token")
            return
        self._unfit = ""
        digest = sha256(secret)
        if digest in self._by_digest:
            return
        if self._named(ADMIN_NAME) is not None:
            await self.revoke(ADMIN_NAME)
        self._keep(await self._store.create(ADMIN_NAME, TokenRole.ADMIN, digest, self._clock.wall(), None))
        log_event(_log, logging.WARNING, "admin_token_replaced", file=file)

    def _not_fit(self, file: Path, problem: str) -> None:
        if problem != self._unfit:
            self._unfit = problem
            log_event(_log, logging.WARNING, "admin_token_unusable", file=file, problem=problem)

    def admit(self, context: Any, needed: TokenRole, *others: TokenRole) -> Operator:
        """The operator behind a call, with a token that has one of these roles or a higher one.

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
        if not any(may(token.role, role) for role in (needed, *others)):
            roles = " or ".join(role.name.lower() for role in (needed, *others))
            raise HotspareError(
                Reason.CALLER_NOT_ALLOWED,
                f"this call needs a token with the role {roles}, and {token.name} is {token.role.name.lower()}",
                caller=token.role.name.lower(),
                required=roles,
            )
        self._touch(token)
        return Operator(token.name, token.role, token.token_id, self._revoked[token.token_id])

    def check_subscription(self, operator: Operator, subscription: str) -> None:
        """Refuse a subscription that the operator's token does not name; one without names may open any.

        Raises:
            HotspareError: CALLER_NOT_ALLOWED.
        """
        named = self._tokens[operator.token_id].subscriptions
        if named and subscription not in named:
            raise HotspareError(
                Reason.CALLER_NOT_ALLOWED,
                f"the token {operator.name} may open the subscriptions {', '.join(named)}, and not {subscription}",
                caller=operator.role.name.lower(),
            )

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
        """Look at the file no more, and wait for what is being written."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
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


def _stamp(file: Path) -> tuple[int, int, int] | None:
    """What changes when a file is written anew, or becomes readable. None: it is not there."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_ctime_ns
