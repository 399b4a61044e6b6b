"""The copy of the configuration as a whole: what it is, and that it is cleared (X1, X2)."""

import sqlite3
from datetime import UTC, datetime, timedelta

from hotspare_receiver.core.sync import Copy
from hotspare_receiver.store import records
from hotspare_receiver.store.configuration import ConfigurationStore
from hotspare_receiver.store.digests import digests
from hotspare_receiver.store.incoming import Held
from hotspare_store.database import Database

WISHES_KEPT = timedelta(hours=24)


class CopyStore:
    """The copy that is here, whoever made it."""

    def __init__(self, database: Database, configuration: ConfigurationStore) -> None:
        self._database = database
        self._configuration = configuration

    async def own(self) -> tuple[Copy, Held]:
        """The copy with its digests, and as what it is held."""

        def work(connection: sqlite3.Connection) -> tuple[Copy, Held]:
            connection.execute("BEGIN")
            try:
                held = Held(*connection.execute("SELECT role, generation FROM identity").fetchone())
                row = connection.execute("SELECT lineage, revision, software_version FROM copy").fetchone()
                if row is None:
                    return Copy(), held
                return Copy(row["lineage"], row["revision"], digests(connection), row["software_version"]), held
            finally:
                connection.execute("COMMIT")

        found: tuple[Copy, Held] = await self._database.read(work)
        return found

    async def clear(self) -> int:
        """Clear what was synced from a host; returns how many records that were. An own configuration stays (X2).

        Raises:
            HotspareError: DISK_LOW, STORE_FAILED.
        """

        def work(connection: sqlite3.Connection) -> int:
            row = connection.execute("SELECT synced FROM copy").fetchone()
            if row is None or not row["synced"]:
                return 0
            count = records.clear(connection)
            for table in ("copy", "push", "kind_update", "lineage_begun", "incoming", "incoming_reference"):
                connection.execute(f"DELETE FROM {table}")
            for table in ("incoming_lookup", "incoming_text"):
                connection.execute(f"DELETE FROM {table}")
            return count

        count: int = await self._database.write(work, vital=True)
        await self._configuration.reload()
        return count

    # Wishes of operators that were granted: asking for the same one again changes nothing.

    async def granted(self, request_id: str, method: str) -> bool:
        """Whether this wish was granted within the last day."""
        oldest = (datetime.now(UTC) - WISHES_KEPT).isoformat()

        def work(connection: sqlite3.Connection) -> bool:
            row = connection.execute(
                "SELECT 1 FROM wish WHERE request_id = ? AND method = ? AND time > ?", (request_id, method, oldest)
            ).fetchone()
            return row is not None

        found: bool = await self._database.read(work)
        return found

    async def grant(self, request_id: str, method: str) -> None:
        """Remember a wish that was granted, for a day."""
        now = datetime.now(UTC)

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM wish WHERE time < ?", ((now - WISHES_KEPT).isoformat(),))
            connection.execute("INSERT OR REPLACE INTO wish VALUES (?, ?, ?)", (request_id, method, now.isoformat()))

        await self._database.write(work)
