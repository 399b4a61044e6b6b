"""What is remembered of what this receiver sent to the cloud (B3, B7): by it a push whose answer was lost is known
again, and a copy that has nothing newer than the cloud."""

import json
import sqlite3
import uuid

from hotspare_model.digest import KindDigest, RecordKind
from hotspare_model.transfer import Digests
from hotspare_receiver.core.push import LocalCopy
from hotspare_receiver.store.configuration import ConfigurationStore
from hotspare_store.database import Database

SENT_KEPT = 100
"""Pushes without an answer that are remembered at most; only the newest of them can be the cloud's."""


class Outgoing:
    """The pushes, in the database."""

    def __init__(self, database: Database, configuration: ConfigurationStore) -> None:
        self._database = database
        self._configuration = configuration

    async def local_copy(self) -> LocalCopy:
        """What the decision about the next push needs."""

        def work(connection: sqlite3.Connection) -> LocalCopy:
            # One statement, so that all of it is of one moment.
            rows = connection.execute(
                "SELECT copy.lineage, copy.revision AS head, push.revision, push.digests, push.stored,"
                " (SELECT count(*) FROM lineage_begun b WHERE b.lineage = copy.lineage) AS begins"
                " FROM copy LEFT JOIN push"
            ).fetchall()
            if not rows:
                return LocalCopy("", 0, {})
            sent = {row["revision"]: read_digests(row["digests"]) for row in rows if row["revision"] is not None}
            stored = max((row["revision"] for row in rows if row["stored"]), default=0)
            return LocalCopy(rows[0]["lineage"], rows[0]["head"], sent, stored, bool(rows[0]["begins"]))

        copy: LocalCopy = await self._database.read(work)
        return copy

    async def remember(self, revision: int, digests: Digests) -> None:
        """Keep what is about to be sent."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO push (revision, digests) VALUES (?, ?)"
                " ON CONFLICT (revision) DO UPDATE SET digests = excluded.digests",
                (revision, write_digests(digests)),
            )
            connection.execute(
                "DELETE FROM push WHERE revision NOT IN (SELECT revision FROM push ORDER BY revision DESC LIMIT ?)",
                (SENT_KEPT,),
            )

        await self._database.write(work)

    async def stored(self, lineage: str, revision: int) -> None:
        """The cloud has `revision`: what was sent before it is history."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE push SET stored = 1 WHERE revision = ?", (revision,))
            connection.execute("DELETE FROM push WHERE revision < ?", (revision,))
            connection.execute("DELETE FROM lineage_begun WHERE lineage = ?", (lineage,))

        await self._database.write(work)

    async def renew(self, seen: int) -> None:
        """Make the revision after `seen` without a change; none where an edit has made one already."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE copy SET revision = revision + 1, operator = '', synced = 0, software_version = ''"
                " WHERE revision = ?",
                (seen,),
            )

        await self._database.write(work)
        await self._configuration.reload()

    async def begin_lineage(self, revision: int) -> None:
        """Go on as a new lineage from that revision, or above where an edit has come so far."""
        lineage = str(uuid.uuid4())

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO copy (one, lineage, revision, operator) VALUES (1, ?, ?, '')"
                " ON CONFLICT (one) DO UPDATE SET lineage = excluded.lineage,"
                " revision = max(copy.revision + 1, excluded.revision), synced = 0, software_version = ''",
                (lineage, revision),
            )
            connection.execute("DELETE FROM push")
            connection.execute("DELETE FROM lineage_begun")
            connection.execute("INSERT INTO lineage_begun VALUES (?)", (lineage,))

        await self._database.write(work)
        await self._configuration.reload()


def write_digests(digests: Digests) -> str:
    """Digests as they are kept."""
    return json.dumps([[int(digest.kind), digest.count, digest.sha256.hex()] for digest in digests])


def read_digests(text: str) -> Digests:
    """The same, read."""
    return tuple(KindDigest(RecordKind(kind), count, bytes.fromhex(sha256)) for kind, count, sha256 in json.loads(text))
