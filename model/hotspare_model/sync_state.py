"""How a member's copy of the configuration stands (B6), in the words that metrics have for it."""

from enum import IntEnum


class SyncState(IntEnum):
    """The numbers are those of SyncState in group.proto; one that is not known here counts as not told."""

    UNKNOWN = 0
    UP_TO_DATE = 1
    UPLOADING = 2
    SYNCING = 3
    BEHIND = 4
    VERSION_DIFFERS = 5
    FAILED = 6
    DIVERGED = 7

    @classmethod
    def _missing_(cls, value: object) -> "SyncState":
        return cls.UNKNOWN
