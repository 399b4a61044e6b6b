"""The cloud's store on SQLite: its parts on one database."""

from collections.abc import Callable
from pathlib import Path

from hotspare_cloud.store.schema import MIGRATIONS
from hotspare_cloud.store.sqlite_alarms import SqliteAlarms
from hotspare_cloud.store.sqlite_devices import SqliteDevices
from hotspare_cloud.store.sqlite_expiry import SqliteExpiry
from hotspare_cloud.store.sqlite_groups import SqliteGroups
from hotspare_cloud.store.sqlite_queue import SqliteQueue
from hotspare_cloud.store.sqlite_records import SqliteRecords
from hotspare_cloud.store.sqlite_steps import SqliteSteps
from hotspare_cloud.store.sqlite_transfers import SqliteTransfers
from hotspare_store.database import Database

DATABASE_NAME = "cloud.db"


class SqliteStore(
    SqliteGroups,
    SqliteSteps,
    SqliteAlarms,
    SqliteQueue,
    SqliteExpiry,
    SqliteRecords,
    SqliteTransfers,
    SqliteDevices,
):
    """`Store` on the database of one data folder."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.database = database

    @classmethod
    def open(cls, folder: Path, on_failure: Callable[[BaseException], None]) -> "SqliteStore":
        """Open or make the database of a folder whose lock this process has. Raises DataFolderError."""
        return cls(Database.open(folder / DATABASE_NAME, MIGRATIONS, on_failure))

    def close(self) -> None:
        """Finish what is being written, and close."""
        self.database.close()
