"""A receiver's settings, its identity and role, and the goodbye that its cloud has not heard yet.

They are read once, at the start, and kept here; every change is durable before it counts. The ARC key is no
part of the database: it stands in a file of its own, which only this user can read (S1).
"""

import asyncio
import errno
import hashlib
import json
import sqlite3
import uuid
from dataclasses import asdict, dataclass, fields
from datetime import timedelta
from pathlib import Path
from typing import Any

from hotspare_model.errors import HotspareError, Reason
from hotspare_model.group import Role
from hotspare_model.retention import HistoryLimits
from hotspare_store.database import Database
from hotspare_store.folder import write_secret

ARC_KEY_FILE = "arc.key"
GOODBYE_KEY_FILE = "goodbye.key"
DEFAULT_SUB_ACCOUNT = "default"

DC09_PAST, DC09_FUTURE = 40.0, 20.0
"""Seconds: the time window of DC-09 frames, where nothing else is set."""


@dataclass(frozen=True, slots=True)
class Dc09Window:
    """How old a DC-09 frame may be, and how far ahead, in seconds; `off`: any time is taken."""

    past: float = DC09_PAST
    future: float = DC09_FUTURE
    off: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator set, without the ARC key. Empty texts and None stand for the defaults of
    receiver_service.proto."""

    name: str = ""
    cloud_address: str = ""
    cloud_tls: bool | None = None
    cloud_ca_pem: str = ""
    arc_id: str = ""
    sub_account: str = DEFAULT_SUB_ACCOUNT
    advertised_address: str = ""
    dual_connection: bool = False
    own_account_number: str = ""
    disk_floor_bytes: int = 0
    dc09_listen: str = ""
    """Where DC-09 panels connect directly, `HOST:PORT` (D1)."""
    dc09_window: Dc09Window = Dc09Window()
    isolated_forwarding: bool = True
    """Whether a host that is cut off forwards direct alarms itself (D4)."""
    history_max_age_seconds: int = 0
    history_max_bytes: int = 0

    @property
    def history(self) -> HistoryLimits:
        """How long the history is kept (A8)."""
        usual = HistoryLimits()
        age = timedelta(seconds=self.history_max_age_seconds) or usual.max_age
        return HistoryLimits(age, self.history_max_bytes or usual.max_bytes)


@dataclass(frozen=True, slots=True)
class RoleHeld:
    """A role, and the number of the membership (`Member.generation`)."""

    role: Role
    generation: int


@dataclass(frozen=True, slots=True)
class Goodbye:
    """A LeaveGroup that the cloud has not heard, with what is needed to reach that cloud: the settings may
    have moved."""

    cloud_address: str
    cloud_tls: bool
    cloud_ca_pem: str
    arc_id: str
    generation: int
    released_through: int
    detail: str
    operator: str = ""
    """Who gave the role up (S5)."""


class SettingsStore:
    """The settings, identity, role and goodbye of this receiver, over its database and data folder."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._key_file = folder / ARC_KEY_FILE
        self._goodbye_key_file = folder / GOODBYE_KEY_FILE
        self.settings = Settings()
        self.arc_key = ""
        self.receiver_id = ""
        self.start = 0
        """Number of this start of the process in this data folder, from 1."""
        self.role: RoleHeld | None = None
        self.goodbye: Goodbye | None = None
        self.goodbye_key = ""

    @classmethod
    async def open(cls, database: Database, folder: Path) -> "SettingsStore":
        """Count the start, and read all; at the very first start, make the receiver id (a UUID, kept for good).

        Raises:
            HotspareError: DISK_LOW, STORE_FAILED, when the receiver id could not be stored.
            OSError: a key file is there and can't be read.
        """
        store = cls(database, folder)
        await database.write(_begin, vital=True)
        database.read_now(store._load)
        store.arc_key = _read_secret(store._key_file)
        store.goodbye_key = _read_secret(store._goodbye_key_file)
        return store

    def _load(self, connection: sqlite3.Connection) -> None:
        values = {row["name"]: json.loads(row["value"]) for row in connection.execute("SELECT * FROM setting")}
        self.settings = _settings_of(values)
        row = connection.execute("SELECT * FROM identity").fetchone()
        self.receiver_id, self.start = row["receiver_id"], row["starts"]
        self.role = None if row["role"] is None else RoleHeld(Role(row["role"]), row["generation"])
        said = connection.execute("SELECT * FROM goodbye").fetchone()
        if said is not None:
            self.goodbye = Goodbye(
                said["cloud_address"],
                bool(said["cloud_tls"]),
                said["cloud_ca_pem"],
                said["arc_id"],
                said["generation"],
                said["released_through"],
                said["detail"],
                said["operator"],
            )

    @property
    def etag(self) -> str:
        """Changes with every update, also with one of the key alone."""
        text = json.dumps(asdict(self.settings), sort_keys=True)
        key = hashlib.sha256(self.arc_key.encode()).digest()
        return hashlib.sha256(text.encode() + key).hexdigest()[:16]

    @property
    def missing(self) -> tuple[str, ...]:
        """What of the cloud's settings is not set yet, by the names of the fields."""
        needed = {
            "cloud_address": self.settings.cloud_address,
            "arc_id": self.settings.arc_id,
            "arc_key": self.arc_key,
        }
        return tuple(name for name, value in needed.items() if not value)

    async def update(self, settings: Settings, arc_key: str) -> None:
        """Put the settings and the ARC key in place of those that are.

        Raises:
            HotspareError: DISK_LOW, STORE_FAILED; nothing changed then.
        """
        defaults = asdict(Settings())
        rows = [(name, json.dumps(value)) for name, value in asdict(settings).items() if value != defaults[name]]

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM setting")
            connection.executemany("INSERT INTO setting VALUES (?, ?)", rows)

        # The key first: where that fails nothing has changed, and without a role a key alone does nothing.
        if arc_key != self.arc_key:
            await asyncio.to_thread(_keep_secret, self._key_file, arc_key)
        try:
            await self._database.write(work)
        except BaseException:
            await asyncio.to_thread(_keep_secret, self._key_file, self.arc_key)
            raise
        self.settings, self.arc_key = settings, arc_key

    async def count_on(self, known: int) -> None:
        """Number this start above one that the cloud knows: the disk of this machine was set back.

        Raises:
            HotspareError: DISK_LOW, STORE_FAILED; nothing changed then.
        """
        start = max(known, self.start) + 1
        await self._database.write(
            lambda db: db.execute("UPDATE identity SET starts = ?", (start,)).rowcount, vital=True
        )
        self.start = start

    async def set_role(self, role: RoleHeld) -> None:
        """Keep the role that the cloud gave. What a host has is its own, also where it came as a spare's copy (G8)."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE identity SET role = ?, generation = ?", (int(role.role), role.generation))
            if role.role is Role.HOST:
                connection.execute("UPDATE copy SET synced = 0")

        await self._database.write(work, vital=True)
        self.role = role

    async def give_up_role(self, goodbye: Goodbye | None = None) -> None:
        """Keep that there is no role any more, in one commit with the goodbye that the cloud has not heard.

        `role` tells of the old one until `role_given_up`: nobody edits a copy that is about to be cleared.
        """
        if goodbye is not None:
            await asyncio.to_thread(_keep_secret, self._goodbye_key_file, self.arc_key)

        def work(connection: sqlite3.Connection) -> None:
            if goodbye is not None:
                values = {**asdict(goodbye), "cloud_tls": int(goodbye.cloud_tls)}
                names, marks = ", ".join(values), ", ".join("?" for _ in values)
                connection.execute(
                    f"INSERT OR REPLACE INTO goodbye (one, {names}) VALUES (1, {marks})", tuple(values.values())
                )
            connection.execute("UPDATE identity SET role = NULL, generation = 0")

        await self._database.write(work, vital=True)
        if goodbye is not None:
            self.goodbye, self.goodbye_key = goodbye, self.arc_key

    def role_given_up(self) -> None:
        """All that goes with the role is gone too."""
        self.role = None

    def goodbye_of_today(self, released_through: int, detail: str, operator: str, *, cloud_tls: bool) -> Goodbye:
        """What the cloud of today's settings has to hear of the role that is held."""
        now = self.settings
        return Goodbye(
            now.cloud_address,
            cloud_tls,
            now.cloud_ca_pem,
            now.arc_id,
            0 if self.role is None else self.role.generation,
            released_through,
            detail,
            operator,
        )

    async def forget_goodbye(self) -> None:
        """The cloud heard it, or a role was taken anew in the same account."""
        if self.goodbye is None:
            return

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM goodbye")

        await self._database.write(work, vital=True)
        self.goodbye, self.goodbye_key = None, ""
        await asyncio.to_thread(_keep_secret, self._goodbye_key_file, "")


def _settings_of(values: dict[str, Any]) -> Settings:
    """The settings that the rows tell; those of a later release count for nothing."""
    known = {setting.name for setting in fields(Settings)}
    told = {name: value for name, value in values.items() if name in known}
    if "dc09_window" in told:
        told["dc09_window"] = Dc09Window(**told["dc09_window"])
    return Settings(**told)


def _begin(connection: sqlite3.Connection) -> None:
    connection.execute(
        "INSERT INTO identity (one, receiver_id) VALUES (1, ?) ON CONFLICT DO NOTHING", (str(uuid.uuid4()),)
    )
    connection.execute("UPDATE identity SET starts = starts + 1")


def _read_secret(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""


def _keep_secret(path: Path, text: str) -> None:
    """Write a key file, or remove it. Raises HotspareError DISK_LOW."""
    try:
        if text:
            write_secret(path, text)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise HotspareError(Reason.DISK_LOW, "the disk is full", free_bytes=0, floor_bytes=0) from error
