"""What the edits of records do inside their transaction, for every kind alike, by its description.

Each function here works on a `Draft` and raises what refuses the edit; then nothing of it is left.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from google.protobuf.message import Message

from hotspare_model.digest import RecordKind
from hotspare_model.errors import HotspareError, Reason, field_invalid
from hotspare_model.kinds import Kind, kind_of
from hotspare_receiver.services.requests import check_etag
from hotspare_receiver.services.shown import etag_of
from hotspare_receiver.store.draft import Draft
from hotspare_rpc.dc09_access import access_account
from hotspare_rpc.records import packed, record_id, references, shown, take, unpack, without
from hotspare_rpc.wire import timestamp_to_proto


def create(draft: Draft, kind: Kind, payload: Message, own_id: str, now: datetime) -> bytes:
    """Put a new record in its place; returns it as it is stored.

    Raises:
        HotspareError: RESOURCE_EXISTS, REFERENCE_MISSING, FIELD_INVALID.
    """
    if draft.get(kind.number, own_id) is not None:
        raise HotspareError(
            Reason.RESOURCE_EXISTS, f"there is already a {kind.name} {own_id}", kind=kind.name, id=own_id
        )
    _check_references(draft, kind, payload)
    _check_dc09_account(draft, kind, payload, own_id)
    stamp = timestamp_to_proto(now)
    shown(kind, payload).create_time.CopyFrom(stamp)
    shown(kind, payload).update_time.CopyFrom(stamp)
    record = packed(kind, payload)
    draft.put(kind.number, own_id, record)
    return record


def update(
    draft: Draft,
    kind: Kind,
    asked: Message,
    paths: Iterable[str],
    etag: str,
    now: datetime,
    dc09_key: bytes | None = None,
) -> bytes:
    """Change the fields of a record that `paths` name, and a device's DC-09 key unless it is None; returns the record
    as it then is.

    Where the values are in place already nothing changes, whatever the etag: so a call may be tried again.

    Raises:
        HotspareError: RESOURCE_NOT_FOUND, FIELD_INVALID, ETAG_MISMATCH, REFERENCE_MISSING.
    """
    own_id = getattr(asked, kind.id_field)
    before = existing(draft, kind, own_id)
    payload = unpack(kind, before)
    take(kind, payload, asked, paths)
    if dc09_key is not None:
        payload.dc09_key = dc09_key
    if record_id(kind, payload) != own_id:
        raise field_invalid(f"{kind.name}.{_id_part(kind, paths)}", f"is part of the id {own_id}, which never changes")
    return replace(draft, kind, own_id, before, payload, etag, now)


def replace(draft: Draft, kind: Kind, own_id: str, before: bytes, payload: Message, etag: str, now: datetime) -> bytes:
    """Put `payload` in the place of `before`, with the time; nothing where they are equal (B3: it is not sent again).

    Raises:
        HotspareError: ETAG_MISMATCH, REFERENCE_MISSING, FIELD_INVALID.
    """
    if packed(kind, payload) == before:
        return before
    check_etag(etag, etag_of(before))
    _check_references(draft, kind, payload)
    _check_dc09_account(draft, kind, payload, own_id)
    shown(kind, payload).update_time.CopyFrom(timestamp_to_proto(now))
    after = packed(kind, payload)
    draft.put(kind.number, own_id, after)
    return after


def delete(draft: Draft, kind: Kind, own_id: str, etag: str, cascade: bool, now: datetime) -> int:
    """Delete a record; with `cascade` what refers to it goes along. Returns how many others were deleted or changed.

    Raises:
        HotspareError: RESOURCE_NOT_FOUND, ETAG_MISMATCH; RESOURCE_REFERENCED without `cascade`.
    """
    check_etag(etag, etag_of(existing(draft, kind, own_id)))
    referring = draft.referring(kind.number, own_id)
    if referring and not cascade:
        raise HotspareError(
            Reason.RESOURCE_REFERENCED,
            f"{_counted(of for of, _ in referring)} refer to the {kind.name} {own_id}, "
            f"such as the {kind_of(referring[0][0]).name} {referring[0][1]}",
            kind=kind.name,
            id=own_id,
            count=len(referring),
        )
    along = _Cascade(draft)
    along.delete((kind.number, own_id))
    return along.apply(now)


def existing(draft: Draft, kind: Kind, own_id: str) -> bytes:
    """A record that has to be there. Raises HotspareError RESOURCE_NOT_FOUND."""
    record = draft.get(kind.number, own_id)
    if record is None:
        raise not_found(kind, own_id)
    return record


def not_found(kind: Kind, own_id: str) -> HotspareError:
    """There is no such record."""
    return HotspareError(
        Reason.RESOURCE_NOT_FOUND, f"there is no {kind.name} {own_id[:100]}", kind=kind.name, id=own_id[:100]
    )


class _Cascade:
    """Records that go, and those that lose what they referred to, until nothing refers to anything that is gone."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._gone: dict[tuple[RecordKind, str], None] = {}
        self._changed: dict[tuple[RecordKind, str], Any] = {}

    def delete(self, first: tuple[RecordKind, str]) -> None:
        """Follow what hangs on a record."""
        self._gone[first] = None
        waiting = [first]
        # In the order in which they were found: what goes along with a device is known to go before what refers to
        # its parts is looked at.
        for gone in waiting:
            for place in self._draft.referring(*gone):
                if place not in self._gone and not self._loses(place, gone):
                    self._gone[place] = None
                    self._changed.pop(place, None)
                    waiting.append(place)

    def apply(self, now: datetime) -> int:
        """Write it; returns how many there are beside the first."""
        for gone, own_id in self._gone:
            self._draft.put(gone, own_id, None)
        for (number, own_id), payload in self._changed.items():
            kind = kind_of(number)
            shown(kind, payload).update_time.CopyFrom(timestamp_to_proto(now))
            self._draft.put(number, own_id, packed(kind, payload))
        return len(self._gone) - 1 + len(self._changed)

    def _loses(self, place: tuple[RecordKind, str], gone: tuple[RecordKind, str]) -> bool:
        """Take the reference out of a record. False where the record has to go along."""
        kind = kind_of(place[0])
        payload = self._changed.get(place)
        if payload is None:
            payload = unpack(kind, existing(self._draft, kind, place[1]))
        elif gone not in references(kind, payload):
            return True
        left = without(kind, payload, gone)
        if left is not None:
            self._changed[place] = left
        return left is not None


def _check_references(draft: Draft, kind: Kind, payload: Message) -> None:
    for to, to_id in dict.fromkeys(references(kind, payload)):
        if draft.get(to, to_id) is None:
            name = kind_of(to).name
            raise HotspareError(Reason.REFERENCE_MISSING, f"there is no {name} {to_id}", kind=name, id=to_id)


def _check_dc09_account(draft: Draft, kind: Kind, payload: Any, own_id: str) -> None:
    """Of two devices with one DC-09 account nobody could tell whose a frame is (D1)."""
    if kind.number is not RecordKind.DEVICE or not (account := access_account(payload.device)):
        return
    for other_id in draft.with_value(kind.number, account):
        if other_id != own_id and access_account(unpack(kind, existing(draft, kind, other_id)).device) == account:
            raise field_invalid("device.dc09.account", f"{account} is the DC-09 account of the device {other_id}")


def _id_part(kind: Kind, paths: Iterable[str]) -> str:
    """The field of a mask that would change the id."""
    return next((path for path in paths if any(f"{{{path}}}" in template for template in kind.id_templates)), "id")


def _counted(kinds: Iterable[RecordKind]) -> str:
    """How many of each kind, in words: `3 zones and 1 user`."""
    words = [
        f"{count} {kind_of(number).plural if count > 1 else kind_of(number).name}"
        for number, count in sorted(Counter(kinds).items())
    ]
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))
