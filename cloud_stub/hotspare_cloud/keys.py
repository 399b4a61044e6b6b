"""The ARC accounts with their keys: which ones are valid, who still shows the old one, and what ends with a key (X3).

While a key is rotated two are valid: the new one, and the old one until its end, which is bounded. Only SHA-256 sums of
keys are kept (S1). A stream is admitted when it opens and may stand for weeks, so it is remembered by the key that it
was opened with, and ends with it.
"""

import asyncio
import hmac
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hotspare_cloud.finish import finished, start
from hotspare_cloud.store.base import AccountRow, AccountStore
from hotspare_model.errors import HotspareError, Reason
from hotspare_rpc.credentials import sha256
from hotspare_rpc.logs import log_event

LEAST_OVERLAP, DEFAULT_OVERLAP, MOST_OVERLAP = timedelta(minutes=1), timedelta(days=7), timedelta(days=90)
"""How long the old key may stay valid beside the new one."""

SHORTEST_WAIT, LONGEST_WAIT = 0.5, 30.0
"""Seconds between two looks for old keys that ended: the wall clock may be set meanwhile, and a disk may be full."""

MOST_NOTED = 4096
"""Receivers of an account that are remembered to show the new key. Beyond them, one counts as using the old one."""

_log = logging.getLogger(__name__)

_NO_KEY = b"\0" * 32

EndStream = Callable[[HotspareError], None]


def invalid_credentials() -> HotspareError:
    """The one answer to all wrong credentials (G3)."""
    return HotspareError(Reason.INVALID_CREDENTIALS, "the credentials are missing or wrong")


def not_found(kind: str, id: str) -> HotspareError:
    """The error for a resource that does not exist."""
    return HotspareError(Reason.RESOURCE_NOT_FOUND, f"there is no {kind} {id}", kind=kind, id=id)


class ArcKeys:
    """All accounts, in memory. One a process."""

    def __init__(self, store: AccountStore, on_change: Callable[[str], None]) -> None:
        """`on_change` is called with the id of an account whose rotation, or whose users of the old key, changed."""
        self._store = store
        self._on_change = on_change
        self._accounts: dict[str, AccountRow] = {}
        self._changed_over: dict[str, set[str]] = {}
        """Receivers that showed the new key last, by account, while a rotation runs."""
        self._streams: dict[bytes, set[EndStream]] = {}
        self._lock = asyncio.Lock()
        """Held while keys change: a key is chosen by what is there."""
        self._timer: asyncio.TimerHandle | None = None

    async def load(self) -> None:
        """Read all that is stored."""
        for account in await self._store.accounts():
            self._accounts[account.arc_id] = account
        for arc_id, receiver_id in await self._store.changed_over():
            self._changed_over.setdefault(arc_id, set()).add(receiver_id)
        self._arm()

    def close(self) -> None:
        """Look for ended keys no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # Accounts.

    def keep(self, account: AccountRow) -> None:
        """Take over an account that was stored."""
        self._accounts[account.arc_id] = account

    def account(self, arc_id: str) -> AccountRow:
        """An account. Raises HotspareError RESOURCE_NOT_FOUND."""
        if arc_id not in self._accounts:
            raise not_found("ARC account", arc_id)
        return self._accounts[arc_id]

    def accounts(self) -> list[AccountRow]:
        """All accounts, by id."""
        return [self._accounts[arc_id] for arc_id in sorted(self._accounts)]

    # Keys that are shown.

    def check(self, arc_id: str, arc_key: str, receiver_id: str) -> None:
        """Admit a receiver, and note which of two keys it shows.

        Raises:
            HotspareError: INVALID_CREDENTIALS, unless the account exists and the key is one of its own (G3).
        """
        account = self._accounts.get(arc_id)
        shown, old = sha256(arc_key), _old_key(account)
        is_new = hmac.compare_digest(shown, account.key_sha256 if account else _NO_KEY)
        is_old = hmac.compare_digest(shown, old or _NO_KEY)
        if account is None or not (is_new or is_old):
            raise invalid_credentials()
        if old is not None:
            self._note(arc_id, receiver_id, changed_over=is_new)

    def _note(self, arc_id: str, receiver_id: str, *, changed_over: bool) -> None:
        known = self._changed_over.setdefault(arc_id, set())
        if changed_over == (receiver_id in known) or (changed_over and len(known) >= MOST_NOTED):
            return
        (known.add if changed_over else known.discard)(receiver_id)
        # Nobody waits for it: what a stop of the cloud loses of it, the next call of the receiver tells again.
        start(self._store.note_key(arc_id, receiver_id, changed_over=changed_over))
        self._on_change(arc_id)

    def uses_old_key(self, arc_id: str, receiver_id: str) -> bool:
        """Whether the end of the running rotation would shut a receiver out: it has not shown the new key, or showed
        the old one after it. One that is away counts by what it showed last."""
        running = _old_key(self._accounts.get(arc_id)) is not None
        return running and receiver_id not in self._changed_over.get(arc_id, ())

    def old_key_until(self, arc_id: str) -> float | None:
        """Until when the old key is valid beside the new one, seconds since 1970. None: no rotation runs."""
        account = self._accounts.get(arc_id)
        return account.old_key_expires_at if account is not None and _old_key(account) is not None else None

    @contextmanager
    def lasting(self, arc_id: str, arc_key: str, end: EndStream) -> Iterator[None]:
        """A stream that was opened with a key: `end` is called when the key ends before the stream does.

        Raises:
            HotspareError: INVALID_CREDENTIALS, when it has ended since the stream was admitted.
        """
        digest, account = sha256(arc_key), self._accounts.get(arc_id)
        if account is None or digest not in (account.key_sha256, _old_key(account)):
            raise invalid_credentials()
        streams = self._streams.setdefault(digest, set())
        streams.add(end)
        try:
            yield
        finally:
            streams.discard(end)
            if not streams and self._streams.get(digest) is streams:
                del self._streams[digest]

    # Rotation.

    @finished
    async def rotate(self, arc_id: str, new_sha256: bytes, overlap: timedelta, *, restart: bool) -> AccountRow:
        """Take a new key, and keep the one that is in use beside it for `overlap`.

        Raises:
            HotspareError: RESOURCE_NOT_FOUND; ROTATION_RUNNING, unless `restart`: then the new key of that rotation
                ends at once, and its old one stays.
        """
        async with self._lock:
            account = self.account(arc_id)
            running = _old_key(account)
            if running is not None and not restart:
                until = time_text(account.old_key_expires_at or 0.0)
                raise HotspareError(
                    Reason.ROTATION_RUNNING,
                    f"a rotation of the key of {arc_id} runs until {until}: end it first, or begin it anew",
                    old_key_expire_time=until,
                )
            rotated = replace(
                account,
                key_sha256=new_sha256,
                old_key_sha256=running or account.key_sha256,
                old_key_expires_at=time.time() + overlap.total_seconds(),
            )
            await self._store.save_keys(rotated)
            self._took_over(rotated)
            if running is not None:
                self._end_streams(account.key_sha256)
            return rotated

    @finished
    async def end_rotation(self, arc_id: str, members: Callable[[], list[tuple[str, str]]], *, force: bool) -> None:
        """End the old key at once. Without a rotation nothing changes.

        `members` are the id and the name of each receiver of the account that is known.

        Raises:
            HotspareError: RESOURCE_NOT_FOUND; KEY_IN_USE, when one of them still uses the old key, unless `force`.
        """
        async with self._lock:
            account = self.account(arc_id)
            if _old_key(account) is None:
                return
            users = [(each, name) for each, name in members() if self.uses_old_key(arc_id, each)]
            if users and not force:
                named = ", ".join(f"{name} ({each})" for each, name in users)
                raise HotspareError(
                    Reason.KEY_IN_USE,
                    f"the old key of {arc_id} is still used by {named}",
                    receivers=",".join(each for each, _ in users),
                )
            await self._drop_old(account)

    async def _drop_old(self, account: AccountRow) -> None:
        ended = replace(account, old_key_sha256=None, old_key_expires_at=None)
        await self._store.save_keys(ended)
        self._took_over(ended)
        self._end_streams(account.old_key_sha256)

    def _took_over(self, account: AccountRow) -> None:
        self._accounts[account.arc_id] = account
        self._changed_over.pop(account.arc_id, None)
        self._arm()
        self._on_change(account.arc_id)

    def _end_streams(self, digest: bytes | None) -> None:
        for end in tuple(self._streams.get(digest or b"", ())):
            end(invalid_credentials())

    # Time.

    def _arm(self) -> None:
        self.close()
        ends = [account.old_key_expires_at for account in self._accounts.values() if account.old_key_expires_at]
        if ends:
            wait = min(max(SHORTEST_WAIT, min(ends) - time.time()), LONGEST_WAIT)
            self._timer = asyncio.get_running_loop().call_later(wait, lambda: start(self._expire()))

    async def _expire(self) -> None:
        async with self._lock:
            try:
                for account in self.accounts():
                    if account.old_key_sha256 is not None and _old_key(account) is None:
                        # It is not taken any more, whatever a full disk lets us store of that.
                        self._end_streams(account.old_key_sha256)
                        await self._drop_old(account)
                        log_event(_log, logging.INFO, "old_arc_key_ended", arc_id=account.arc_id)
            finally:
                self._arm()


def time_text(at: float) -> str:
    """A time as metadata of errors has it (RFC 3339, to the second)."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _old_key(account: AccountRow | None) -> bytes | None:
    """The SHA-256 of the old key, while it is valid. The wall clock decides, for it was given a date to last to."""
    if account is None or account.old_key_expires_at is None or account.old_key_expires_at <= time.time():
        return None
    return account.old_key_sha256
