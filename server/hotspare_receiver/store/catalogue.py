"""The event codes that come with the software, as the records with which every configuration begins.

Until a configuration begins, with its first edit, they are shown as if they were there, and counted nowhere: a receiver
that becomes a spare has nothing in them that its host's configuration would replace (G5).
"""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from hotspare.v1 import record_pb2
from hotspare_model.digest import RecordKind
from hotspare_model.event_definitions import DEFINITIONS
from hotspare_model.kinds import kind_of
from hotspare_rpc.records import message_of, packed, set_id

KIND = RecordKind.EVENT


@cache
def catalogue() -> Mapping[str, bytes]:
    """The records by id, in the order of their ids.

    They have no times: nobody here made them, and so they are the same bytes before the configuration begins, after,
    and at every receiver.
    """
    kind = kind_of(KIND)
    found: dict[str, bytes] = {}
    for definition in DEFINITIONS:
        event: record_pb2.Event = message_of(kind, definition)
        own_id = set_id(kind, event)
        found[own_id] = packed(kind, event)
    return MappingProxyType(dict(sorted(found.items())))
