"""Create, get, list, update and delete: the five calls of a kind, made of its description.

The contract names the calls, requests and answers of all kinds alike (`CreateZone`, `CreateZoneRequest.zone`), so one
implementation serves every kind; `calls_of` makes the methods of the servicer.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias, TypeVar

from hotspare.v1 import configuration_service_pb2, record_pb2
from hotspare_model.digest import RecordKind
from hotspare_model.kinds import Form, Kind
from hotspare_model.values import check_line
from hotspare_receiver.clients.members import MembersWatch
from hotspare_receiver.clock import Clock
from hotspare_receiver.services import record_edits
from hotspare_receiver.services.editable import check_editable
from hotspare_receiver.services.requests import check_aes_key, mask_paths, page_size, page_token, read_page_token
from hotspare_receiver.services.shown import shown_record
from hotspare_receiver.services.streams import Ends
from hotspare_receiver.store.configuration import ConfigurationStore
from hotspare_receiver.store.draft import Draft
from hotspare_receiver.store.lists import ListFilter
from hotspare_receiver.store.settings import SettingsStore
from hotspare_receiver.store.tokens import TokenRole
from hotspare_receiver.tokens import Operator, Tokens
from hotspare_rpc.credentials import new_secret, sha256
from hotspare_rpc.logs import log_event
from hotspare_rpc.records import message_type, set_id, take

Result = TypeVar("Result")
Call: TypeAlias = Callable[[Any, Any, Any], Awaitable[Any]]

MOST_ROWS = 1000
LONGEST_SOUGHT = 256

_UPPER_CASE = (Form.HEX, Form.CONTACT_ID_CODE, Form.SIA_CODE)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the service works on. `edited` is called after each edit."""

    tokens: Tokens
    store: ConfigurationStore
    settings: SettingsStore
    members: MembersWatch
    clock: Clock
    edited: Callable[[], None]
    ends: Ends | None = None


class Records:
    """The calls, for any kind."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def create(self, kind: Kind, request: Any, context: Any) -> Any:
        """Make a record; a device's key is shown in this answer alone."""
        operator = self.editor(context)
        asked = getattr(request, kind.name)
        own: Any = message_type(kind)()
        take(kind, own, asked)
        own_id, key = set_id(kind, own), ""
        payload = own
        if kind.number is RecordKind.DEVICE:
            key = new_secret()
            payload = record_pb2.DeviceRecord(
                device=own, device_key_sha256=sha256(key), dc09_key=check_aes_key("dc09_key", request.dc09_key)
            )
        now = self._parts.clock.wall()
        stored = await self.edit(
            operator, now, lambda draft: record_edits.create(draft, kind, payload, own_id, now), f"{kind.name}_created",
            record_id=own_id,
        )  # fmt: skip
        return _answer("Create", kind, stored, **({"device_key": key} if key else {}))

    async def get(self, kind: Kind, request: Any, context: Any) -> Any:
        """One record."""
        self._parts.tokens.admit(context, TokenRole.VIEWER)
        own_id = getattr(request, kind.id_field)
        found = await self._parts.store.get(kind.number, own_id)
        if found is None:
            raise record_edits.not_found(kind, own_id)
        return _answer("Get", kind, found)

    async def list(self, kind: Kind, request: Any, context: Any) -> Any:
        """Records by id, in pages."""
        self._parts.tokens.admit(context, TokenRole.VIEWER)
        size = page_size(request.page_size, MOST_ROWS)
        text = check_line("text", request.text, LONGEST_SOUGHT).casefold()
        value = check_line(kind.filter_field, getattr(request, kind.filter_field), LONGEST_SOUGHT)
        if kind.at(kind.filter_values[0]).form in _UPPER_CASE:
            value = value.upper()
        after = read_page_token(request.page_token, kind.plural, text, value) or ""
        page = await self._parts.store.page(kind.number, str(after), size, ListFilter(text, value))
        return _message("List", kind.plural_title, "Response")(
            next_page_token=page_token(kind.plural, page.records[-1][0], text, value) if page.more else "",
            total_count=page.total,
            **{kind.plural: [shown_record(kind, record) for _, record in page.records]},
        )

    async def update(self, kind: Kind, request: Any, context: Any) -> Any:
        """Change what the mask names."""
        operator = self.editor(context)
        asked = getattr(request, kind.name)
        dc09_key: bytes | None = None
        if kind.number is RecordKind.DEVICE and request.HasField("dc09_key"):
            dc09_key = check_aes_key("dc09_key", request.dc09_key)
        # The key has no place in the mask: a request may change nothing else.
        alone = dc09_key is not None and not request.update_mask.paths
        paths = () if alone else mask_paths(request.update_mask, kind.settable, kind.later)
        now = self._parts.clock.wall()
        stored = await self.edit(
            operator, now, lambda draft: record_edits.update(draft, kind, asked, paths, asked.etag, now, dc09_key),
            f"{kind.name}_changed", record_id=getattr(asked, kind.id_field),
        )  # fmt: skip
        return _answer("Update", kind, stored)

    async def delete(self, kind: Kind, request: Any, context: Any) -> Any:
        """Delete a record, and with `cascade` what refers to it."""
        operator = self.editor(context)
        own_id, now = getattr(request, kind.id_field), self._parts.clock.wall()
        # Where nothing can refer to a kind, its request has no `cascade`, and its answer no number.
        told = "cascade" in request.DESCRIPTOR.fields_by_name
        cascade = told and request.cascade
        cascaded = await self.edit(
            operator, now, lambda draft: record_edits.delete(draft, kind, own_id, request.etag, cascade, now),
            f"{kind.name}_deleted", record_id=own_id,
        )  # fmt: skip
        return _message("Delete", kind.title, "Response")(**({"cascaded": cascaded} if told else {}))

    def editor(self, context: Any) -> Operator:
        """Who edits, where editing is allowed. Raises HotspareError NOT_EDITABLE_HERE, and those of the token."""
        operator = self._parts.tokens.admit(context, TokenRole.OPERATOR)
        check_editable(self._parts.settings, self._parts.members)
        return operator

    async def edit(
        self, operator: Operator, now: datetime, change: Callable[[Draft], Result], event: str, **told: object
    ) -> Result:
        """Make an edit in one transaction, and say that there was one."""

        def checked(draft: Draft) -> Result:
            # The role may have changed since the call came.
            check_editable(self._parts.settings, self._parts.members)
            return change(draft)

        before = self._parts.store.head
        result = await self._parts.store.edit(operator.name, now, checked)
        if self._parts.store.head != before:
            log_event(_log, logging.INFO, event, error=None, operator=operator.name, **told)
            self._parts.edited()
        return result


def calls_of(kind: Kind) -> Mapping[str, Call]:
    """The methods of the servicer for a kind, by name; `self.records` is what they work with."""
    return {
        f"Create{kind.title}": _call(kind, "create"),
        f"Get{kind.title}": _call(kind, "get"),
        f"List{kind.plural_title}": _call(kind, "list"),
        f"Update{kind.title}": _call(kind, "update"),
        f"Delete{kind.title}": _call(kind, "delete"),
    }


def _call(kind: Kind, verb: str) -> Call:
    async def call(servicer: Any, request: Any, context: Any) -> Any:
        return await getattr(servicer.records, verb)(kind, request, context)

    return call


def _message(verb: str, title: str, ending: str) -> Any:
    return getattr(configuration_service_pb2, f"{verb}{title}{ending}")


def _answer(verb: str, kind: Kind, record: bytes, **more: object) -> Any:
    return _message(verb, kind.title, "Response")(**{kind.name: shown_record(kind, record)}, **more)
