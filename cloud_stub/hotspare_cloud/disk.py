"""How much room the data folder's disk has."""

from hotspare_store.database import RESERVE_BYTES, Database
from hotspare_store.folder import DataFolder

ROOM_FOR_RESERVE = 2 * RESERVE_BYTES
"""Free bytes from which the database's reserve is laid down again."""


class DiskWatch:
    """The free bytes, as of the last look: asking at every alarm would cost a system call each."""

    def __init__(self, folder: DataFolder, database: Database) -> None:
        self._folder = folder
        self._database = database
        self.free = folder.free_bytes()

    def look(self) -> None:
        """Look again, and give the database its reserve back where there is room."""
        self.free = self._folder.free_bytes()
        if self.free > ROOM_FOR_RESERVE:
            self._database.restore_reserve()
