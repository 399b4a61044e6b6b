"""Accounts, groups, members and epochs in SQLite."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import timedelta
from typing import Any, cast

from hotspare_cloud.core.admission import Membership
from hotspare_cloud.store.base import AccountRow, EpochRow, GroupFacts, GroupRow, HistoryLine, OutRow, TokenRow
from hotspare_cloud.store.sqlite_steps import add_lines, settings_to_json, standing_from_json
from hotspare_model.errors import HotspareError, Reason
from hotspare_model.group import GroupSettings, Role
from hotspare_store.database import Database


def settings_from_json(text: str) -> GroupSettings:
    """The settings as they were stored; what is not there has its default."""
    stored = json.loads(text)
    values: dict[str, Any] = {}
    for setting in fields(GroupSettings):
        if setting.name in stored:
            value = stored[setting.name]
            values[setting.name] = timedelta(seconds=value) if isinstance(setting.default, timedelta) else value
    return GroupSettings(**values)


class SqliteGroups:
    """`AccountStore` and `GroupStore` on one database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    # Accounts.

    async def create_account(self, account: AccountRow, sub_accounts: Sequence[str]) -> None:
        """See AccountStore."""

        def work(db: sqlite3.Connection) -> None:
            if db.execute("SELECT 1 FROM account WHERE arc_id = ?", (account.arc_id,)).fetchone():
                raise exists("ARC account", account.arc_id)
            db.execute(
                "INSERT INTO account (arc_id, key_sha256, created_at) VALUES (?, ?, ?)",
                (account.arc_id, account.key_sha256, account.created_at),
            )
            for sub_account in sub_accounts:
                _insert_group(db, account.arc_id, sub_account)

        await self._db.write(work)

    async def create_sub_account(self, arc_id: str, sub_account: str) -> None:
        """See AccountStore."""
        await self._db.write(lambda db: _insert_group(db, arc_id, sub_account))

    async def accounts(self) -> Sequence[AccountRow]:
        """See AccountStore."""

        def work(db: sqlite3.Connection) -> list[AccountRow]:
            columns = "arc_id, key_sha256, created_at, old_key_sha256, old_key_expires_at"
            rows = db.execute(f"SELECT {columns} FROM account ORDER BY arc_id")
            return [AccountRow(**row) for row in rows]

        return cast(list[AccountRow], await self._db.read(work))

    async def save_keys(self, account: AccountRow) -> None:
        """See AccountStore."""

        def work(db: sqlite3.Connection) -> None:
            db.execute(
                "UPDATE account SET key_sha256 = ?, old_key_sha256 = ?, old_key_expires_at = ? WHERE arc_id = ?",
                (account.key_sha256, account.old_key_sha256, account.old_key_expires_at, account.arc_id),
            )
            db.execute("DELETE FROM changed_over WHERE arc_id = ?", (account.arc_id,))

        await self._db.write(work)

    async def note_key(self, arc_id: str, receiver_id: str, *, changed_over: bool) -> None:
        """See AccountStore."""

        def work(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM changed_over WHERE arc_id = ? AND receiver_id = ?", (arc_id, receiver_id))
            if changed_over:
                db.execute("INSERT INTO changed_over (arc_id, receiver_id) VALUES (?, ?)", (arc_id, receiver_id))

        await self._db.write(work)

    async def changed_over(self) -> Sequence[tuple[str, str]]:
        """See AccountStore."""

        def work(db: sqlite3.Connection) -> list[tuple[str, str]]:
            return [(row["arc_id"], row["receiver_id"]) for row in db.execute("SELECT * FROM changed_over")]

        return cast(list[tuple[str, str]], await self._db.read(work))

    async def groups(self) -> Sequence[GroupRow]:
        """See AccountStore."""

        def work(db: sqlite3.Connection) -> list[GroupRow]:
            rows = db.execute("SELECT group_id, arc_id, sub_account FROM grp ORDER BY arc_id, sub_account")
            return [GroupRow(**row) for row in rows]

        return cast(list[GroupRow], await self._db.read(work))

    async def create_token(self, token: TokenRow) -> None:
        """See AccountStore."""

        def work(db: sqlite3.Connection) -> None:
            valid = "SELECT 1 FROM token WHERE name = ? AND revoked_at IS NULL AND ifnull(expires_at, 1e18) > ?"
            if db.execute(valid, (token.name, token.created_at)).fetchone():
                raise exists("token", token.name)
            db.execute(
                "INSERT INTO token (name, role, sha256, created_at, expires_at, revoked_at) VALUES (?,?,?,?,?,?)",
                (token.name, token.role, token.sha256, token.created_at, token.expires_at, token.revoked_at),
            )

        await self._db.write(work)

    async def revoke_token(self, name: str, at: float) -> None:
        """See AccountStore."""
        update = "UPDATE token SET revoked_at = ? WHERE name = ? AND revoked_at IS NULL"
        await self._db.write(lambda db: db.execute(update, (at, name)).rowcount)

    async def tokens(self) -> Sequence[TokenRow]:
        """See AccountStore."""

        def work(db: sqlite3.Connection) -> list[TokenRow]:
            columns = "name, role, sha256, created_at, expires_at, revoked_at"
            rows = db.execute(f"SELECT {columns} FROM token ORDER BY name, created_at")
            return [TokenRow(**row) for row in rows]

        return cast(list[TokenRow], await self._db.read(work))

    # Groups.

    async def load_group(self, group_id: int) -> GroupFacts:
        """See GroupStore."""
        return cast(GroupFacts, await self._db.read(lambda db: _load_group(db, group_id)))

    async def save_member(
        self, group_id: int, member: Membership, generation: int, lines: Sequence[HistoryLine] = ()
    ) -> None:
        """See GroupStore."""

        def work(db: sqlite3.Connection) -> None:
            values = _member_values(member)
            names = ", ".join(values)
            marks = ", ".join("?" for _ in values)
            updates = ", ".join(f"{name} = excluded.{name}" for name in values if name != "receiver_id")
            db.execute(
                f"INSERT INTO member (group_id, {names}) VALUES (?, {marks})"
                f" ON CONFLICT (group_id, receiver_id) DO UPDATE SET {updates}",
                (group_id, *values.values()),
            )
            db.execute("DELETE FROM departed WHERE group_id = ? AND receiver_id = ?", (group_id, member.receiver_id))
            _set_generation(db, group_id, generation)
            add_lines(db, group_id, lines)

        await self._db.write(work, vital=True)

    async def remove_members(
        self, group_id: int, departed: Mapping[str, bool], generation: int, lines: Sequence[HistoryLine] = ()
    ) -> None:
        """See GroupStore."""

        def work(db: sqlite3.Connection) -> None:
            for receiver_id, ended in departed.items():
                db.execute("DELETE FROM member WHERE group_id = ? AND receiver_id = ?", (group_id, receiver_id))
                db.execute(
                    "INSERT OR REPLACE INTO departed (group_id, receiver_id, ended) VALUES (?, ?, ?)",
                    (group_id, receiver_id, int(ended)),
                )
            _set_generation(db, group_id, generation)
            add_lines(db, group_id, lines)

        await self._db.write(work, vital=True)

    async def save_last_seen(self, group_id: int, last_seen: Mapping[str, float]) -> None:
        """See GroupStore."""

        def work(db: sqlite3.Connection) -> None:
            update = "UPDATE member SET last_seen = ? WHERE group_id = ? AND receiver_id = ?"
            db.executemany(update, [(at, group_id, receiver_id) for receiver_id, at in last_seen.items()])

        await self._db.write(work)


def exists(kind: str, id: str) -> HotspareError:
    """The error for an id that is taken."""
    return HotspareError(Reason.RESOURCE_EXISTS, f"the {kind} {id} exists already", kind=kind, id=id)


def _insert_group(db: sqlite3.Connection, arc_id: str, sub_account: str) -> None:
    db.execute(
        "INSERT INTO grp (arc_id, sub_account, settings, generation, last_number) VALUES (?, ?, ?, 0, 0)"
        " ON CONFLICT (arc_id, sub_account) DO NOTHING",
        (arc_id, sub_account, settings_to_json(GroupSettings())),
    )


def _set_generation(db: sqlite3.Connection, group_id: int, generation: int) -> None:
    db.execute("UPDATE grp SET generation = max(generation, ?) WHERE group_id = ?", (generation, group_id))


def _member_values(member: Membership) -> dict[str, Any]:
    values = asdict(member)
    values["role"] = int(member.role) if member.role is not None else None
    values["dual_connection"] = int(member.dual_connection)
    values["superseded"] = json.dumps(member.superseded)
    return values


def _member(row: sqlite3.Row) -> Membership:
    values = {field.name: row[field.name] for field in fields(Membership)}
    values["role"] = Role(row["role"]) if row["role"] is not None else None
    values["dual_connection"] = bool(row["dual_connection"])
    values["superseded"] = tuple(json.loads(row["superseded"]))
    return Membership(**values)


def _load_group(db: sqlite3.Connection, group_id: int) -> GroupFacts:
    group = db.execute("SELECT settings, generation, standing FROM grp WHERE group_id = ?", (group_id,)).fetchone()
    members = db.execute("SELECT * FROM member WHERE group_id = ?", (group_id,)).fetchall()
    epochs = db.execute(
        "SELECT * FROM epoch WHERE group_id = :group AND"
        " (held = 1 OR epoch = (SELECT max(epoch) FROM epoch WHERE group_id = :group)) ORDER BY epoch",
        {"group": group_id},
    ).fetchall()
    out = db.execute(
        "SELECT d.number, a.device_id, d.epoch FROM delivery d JOIN epoch e ON e.group_id = d.group_id"
        " AND e.epoch = d.epoch AND (e.held = 1 OR e.ended_at IS NULL)"
        # What was set aside may be put back while its hold lasts (A5).
        " JOIN alarm a ON a.group_id = d.group_id AND a.number = d.number AND (a.state = 0 OR a.state = 2 AND e.held)"
        " WHERE d.group_id = ?",
        (group_id,),
    ).fetchall()
    departed = db.execute("SELECT receiver_id, ended FROM departed WHERE group_id = ?", (group_id,)).fetchall()
    backlog = db.execute("SELECT count(*) FROM alarm WHERE group_id = ? AND state = 0", (group_id,)).fetchone()[0]
    query = "SELECT count(*) FROM alarm INDEXED BY alarm_set_aside WHERE group_id = ? AND state = 2"
    aside = db.execute(query, (group_id,)).fetchone()[0]
    return GroupFacts(
        settings=settings_from_json(group["settings"]),
        generation=group["generation"],
        members={row["receiver_id"]: _member(row) for row in members},
        last_seen={row["receiver_id"]: row["last_seen"] for row in members if row["last_seen"] is not None},
        departed={row["receiver_id"]: bool(row["ended"]) for row in departed},
        epochs=[_epoch(row) for row in epochs],
        out=[OutRow(**row) for row in out],
        backlog=backlog,
        standing=standing_from_json(group["standing"]),
        set_aside=aside,
    )


def _epoch(row: sqlite3.Row) -> EpochRow:
    return EpochRow(
        epoch=row["epoch"],
        receiver_id=row["receiver_id"],
        incarnation=row["incarnation"],
        machine_id=row["machine_id"],
        role=Role(row["role"]) if row["role"] else None,
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        held=bool(row["held"]),
    )
