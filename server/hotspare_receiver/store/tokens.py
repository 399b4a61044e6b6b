"""The tokens of a receiver's operators, as rows: of each secret only its SHA-256 (S1)."""

import json
import sqlite3
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from hotspare_model.errors import HotspareError, Reason
from hotspare_store.database import Database


class TokenRole(IntEnum):
    """What a token may be used for. The numbers are those of token.proto; each includes those after it, but FEED."""

    ADMIN = 1
    OPERATOR = 2
    VIEWER = 3
    FEED = 4


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A token without its secret. Times are aware UTC."""

    token_id: int
    name: str
    role: TokenRole
    sha256: bytes
    created: datetime
    expires: datetime | None
    revoked: datetime | None
    last_used: datetime | None
    subscriptions: tuple[str, ...] = ()


class TokenStore:
    """Tokens in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read_now(self) -> list[StoredToken]:
        """All tokens, also those that were revoked: for the start."""
        return list(
            self._database.read_now(
                lambda connection: [_token(row) for row in connection.execute("SELECT * FROM token ORDER BY id")]
            )
        )

    async def create(
        self,
        name: str,
        role: TokenRole,
        sha256: bytes,
        created: datetime,
        expires: datetime | None,
        subscriptions: tuple[str, ...] = (),
    ) -> StoredToken:
        """Keep a new token.

        Raises:
            HotspareError: RESOURCE_EXISTS, when a token of that name is not revoked.
        """

        def work(connection: sqlite3.Connection) -> StoredToken:
            try:
                row = connection.execute(
                    "INSERT INTO token (name, role, sha256, created, expires, subscriptions) "
                    "VALUES (?, ?, ?, ?, ?, ?) RETURNING *",
                    (name, int(role), sha256, created.isoformat(), _text(expires), json.dumps(subscriptions)),
                ).fetchone()
            except sqlite3.IntegrityError as error:
                raise HotspareError(
                    Reason.RESOURCE_EXISTS,
                    f"there is a token {name}; revoke it first, or choose another name",
                    kind="token",
                    id=name,
                ) from error
            return _token(row)

        token: StoredToken = await self._database.write(work)
        return token

    async def revoke(self, token_id: int, revoked: datetime) -> None:
        """Keep that a token was revoked; the first time counts."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE token SET revoked = ? WHERE id = ? AND revoked IS NULL",
                (revoked.isoformat(), token_id),
            )

        await self._database.write(work, vital=True)

    async def touch(self, token_id: int, used: datetime) -> None:
        """Keep when a token was used last."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE token SET last_used = ? WHERE id = ?", (used.isoformat(), token_id))

        await self._database.write(work)


def _token(row: sqlite3.Row) -> StoredToken:
    return StoredToken(
        token_id=row["id"],
        name=row["name"],
        role=TokenRole(row["role"]),
        sha256=row["sha256"],
        created=datetime.fromisoformat(row["created"]),
        expires=_time(row["expires"]),
        revoked=_time(row["revoked"]),
        last_used=_time(row["last_used"]),
        subscriptions=tuple(json.loads(row["subscriptions"])),
    )


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _text(when: datetime | None) -> str | None:
    return None if when is None else when.isoformat()
