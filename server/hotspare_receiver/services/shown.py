"""Records as people see them: without what devices are verified by, and with the etag."""

import hashlib
from typing import Any

from hotspare_model.kinds import Kind
from hotspare_rpc.records import shown, unpack


def etag_of(record: bytes) -> str:
    """Changes with every change of a record, also of its key."""
    return hashlib.sha256(record).hexdigest()[:16]


def shown_record(kind: Kind, record: bytes) -> Any:
    """The message of a stored record."""
    message = shown(kind, unpack(kind, record))
    message.etag = etag_of(record)
    return message
