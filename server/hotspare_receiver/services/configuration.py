"""ConfigurationService: the devices (the other kinds are not served yet), edited on the host only (B2)."""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from hotspare.v1 import configuration_service_pb2, configuration_service_pb2_grpc, record_pb2
from hotspare_model.digest import RecordKind
from hotspare_model.errors import HotspareError, Reason, field_invalid
from hotspare_model.group import Role
from hotspare_receiver.clients.members import MembersWatch
from hotspare_receiver.clock import Clock
from hotspare_receiver.services.requests import (
    check_etag,
    check_hex,
    check_name,
    check_text,
    mask_paths,
    page_size,
    page_token,
    read_page_token,
)
from hotspare_receiver.store.configuration import ConfigurationStore
from hotspare_receiver.store.settings import SettingsStore
from hotspare_receiver.store.tokens import TokenRole
from hotspare_receiver.tokens import Operator, Tokens
from hotspare_rpc.credentials import new_secret, sha256
from hotspare_rpc.logs import log_event
from hotspare_rpc.wire import duration_from_proto, duration_to_proto, timestamp_to_proto

SUPERVISION_INTERVAL = timedelta(seconds=180)
LEAST_SUPERVISION = timedelta(seconds=10)
MOST_SUPERVISION = timedelta(days=30)
NAME_LIMIT = 128

SETTABLE = frozenset(
    {
        "name",
        "account_number",
        "supervision_interval",
    }
)
LATER = frozenset({"dc09", "line_number", "disabled"})
"""Fields of the contract that this release does not serve: nothing may be taken that then has no effect."""

_NOTHING_AFTER = 2**62
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


class ConfigurationServicer(configuration_service_pb2_grpc.ConfigurationServiceServicer):
    """Serves the devices and GetDigest."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def CreateDevice(
        self, request: configuration_service_pb2.CreateDeviceRequest, context: Any
    ) -> configuration_service_pb2.CreateDeviceResponse:
        """Make a device; its key is shown in this answer alone."""
        operator = self._editor(context)
        asked = request.device
        device = record_pb2.Device(device_id=check_name("device.device_id", asked.device_id))
        for path in SETTABLE:
            _set_field(device, path, asked)
        _refuse_later(asked, bool(request.dc09_key))
        now = self._parts.clock.wall()
        device.create_time.CopyFrom(timestamp_to_proto(now))
        device.update_time.CopyFrom(timestamp_to_proto(now))
        key = new_secret()
        record = record_pb2.DeviceRecord(device=device, device_key_sha256=sha256(key))

        def create(existing: bytes | None) -> bytes:
            if existing is not None:
                raise HotspareError(
                    Reason.RESOURCE_EXISTS,
                    f"there is a device {device.device_id}",
                    kind="device",
                    id=device.device_id,
                )
            return _serialized(record)

        stored = await self._edit(device.device_id, operator, now, create, "device_created")
        return configuration_service_pb2.CreateDeviceResponse(device=_shown(stored), device_key=key)

    async def GetDevice(
        self, request: configuration_service_pb2.GetDeviceRequest, context: Any
    ) -> configuration_service_pb2.GetDeviceResponse:
        """One device."""
        self._parts.tokens.admit(context, TokenRole.VIEWER)
        found = await self._parts.store.get(RecordKind.DEVICE, request.device_id)
        if found is None:
            raise _not_found(request.device_id)
        return configuration_service_pb2.GetDeviceResponse(device=_shown(found))

    async def ListDevices(
        self, request: configuration_service_pb2.ListDevicesRequest, context: Any
    ) -> configuration_service_pb2.ListDevicesResponse:
        """Devices by id."""
        self._parts.tokens.admit(context, TokenRole.VIEWER)
        size = page_size(request.page_size, 1000)
        text, account = request.text.casefold(), request.account_number.upper()
        after = read_page_token(request.page_token, "devices", text, account) or ""

        def accept(record: bytes) -> bool:
            device = _read(record).device
            found = text in device.device_id.casefold() or text in device.name.casefold()
            return found and account in ("", device.account_number)

        page = await self._parts.store.page(RecordKind.DEVICE, str(after), size, accept if text or account else None)
        more = page_token("devices", page.records[-1][0], text, account) if page.more else ""
        return configuration_service_pb2.ListDevicesResponse(
            devices=[_shown(record) for _, record in page.records],
            next_page_token=more,
            total_count=page.total,
        )

    async def UpdateDevice(
        self, request: configuration_service_pb2.UpdateDeviceRequest, context: Any
    ) -> configuration_service_pb2.UpdateDeviceResponse:
        """Change what the mask names."""
        operator = self._editor(context)
        paths = mask_paths(request.update_mask, SETTABLE, LATER)
        asked = request.device
        _refuse_later(record_pb2.Device(), request.HasField("dc09_key"))
        now = self._parts.clock.wall()

        def update(existing: bytes | None) -> bytes:
            if existing is None:
                raise _not_found(asked.device_id)
            record = _read(existing)
            for path in paths:
                _set_field(record.device, path, asked)
            after = _touched(existing, record, now)
            if after != existing:
                check_etag(asked.etag, _etag(existing))
            return after

        stored = await self._edit(asked.device_id, operator, now, update, "device_changed")
        return configuration_service_pb2.UpdateDeviceResponse(device=_shown(stored))

    async def DeleteDevice(
        self, request: configuration_service_pb2.DeleteDeviceRequest, context: Any
    ) -> configuration_service_pb2.DeleteDeviceResponse:
        """Delete a device. Nothing can refer to one yet, so nothing goes along."""
        operator = self._editor(context)

        def delete(existing: bytes | None) -> None:
            if existing is None:
                raise _not_found(request.device_id)
            check_etag(request.etag, _etag(existing))

        now = self._parts.clock.wall()
        await self._edit(request.device_id, operator, now, delete, "device_deleted")
        return configuration_service_pb2.DeleteDeviceResponse()

    async def RotateDeviceKey(
        self, request: configuration_service_pb2.RotateDeviceKeyRequest, context: Any
    ) -> configuration_service_pb2.RotateDeviceKeyResponse:
        """Give a device another key; it is shown in this answer alone."""
        operator = self._editor(context)
        key, now = new_secret(), self._parts.clock.wall()

        def rotate(existing: bytes | None) -> bytes:
            if existing is None:
                raise _not_found(request.device_id)
            record = _read(existing)
            record.device_key_sha256 = sha256(key)
            return _touched(existing, record, now)

        stored = await self._edit(request.device_id, operator, now, rotate, "device_key_rotated")
        return configuration_service_pb2.RotateDeviceKeyResponse(device=_shown(stored), device_key=key)

    async def GetDigest(
        self, request: configuration_service_pb2.GetDigestRequest, context: Any
    ) -> configuration_service_pb2.GetDigestResponse:
        """The digest of each kind (B5)."""
        self._parts.tokens.admit(context, TokenRole.VIEWER)
        cut = await self._parts.store.cut(_NOTHING_AFTER)
        return configuration_service_pb2.GetDigestResponse(
            lineage=cut.head.lineage,
            revision=cut.head.revision,
            digests=[
                record_pb2.KindDigest(
                    kind=record_pb2.RecordKind.ValueType(int(digest.kind)),
                    count=digest.count,
                    sha256=digest.sha256,
                )
                for digest in cut.digests
            ],
        )

    def _editor(self, context: Any) -> Operator:
        """Who edits, where editing is allowed: on the host, or without a role (B2)."""
        operator = self._parts.tokens.admit(context, TokenRole.OPERATOR)
        role = self._parts.settings.role
        if role is not None and role.role is not Role.HOST:
            host = self._parts.members.host()
            receiver_id = host.receiver.receiver_id if host is not None else ""
            address = host.receiver.address if host is not None else ""
            named = f", {receiver_id} at {address or 'an unknown address'}" if receiver_id else ""
            raise HotspareError(
                Reason.NOT_EDITABLE_HERE,
                f"this receiver is {role.role.name}: the configuration is edited on the host{named}",
                role=role.role.name,
                host_receiver_id=receiver_id,
                host_address=address,
            )
        return operator

    async def _edit(
        self,
        device_id: str,
        operator: Operator,
        now: datetime,
        change: Callable[[bytes | None], bytes | None],
        event: str,
    ) -> bytes:
        before = self._parts.store.head.revision
        stored = await self._parts.store.edit(RecordKind.DEVICE, device_id, operator.name, now, change)
        if self._parts.store.head.revision != before:
            log_event(_log, logging.INFO, event, device_id=device_id, operator=operator.name)
            self._parts.edited()
        return stored or b""


def _set_field(device: record_pb2.Device, path: str, asked: record_pb2.Device) -> None:
    """Take one field over. Raises HotspareError FIELD_INVALID."""
    match path:
        case "name":
            device.name = check_text("device.name", asked.name, NAME_LIMIT)
        case "account_number":
            device.account_number = check_hex("device.account_number", asked.account_number, 3, 16)
        case "supervision_interval":
            device.supervision_interval.CopyFrom(duration_to_proto(_supervision(asked)))
        case _:
            raise AssertionError(f"{path} is in SETTABLE and nobody sets it")


def _refuse_later(asked: record_pb2.Device, key: bool) -> None:
    """Raise HotspareError FIELD_INVALID where something of LATER is set."""
    if key:
        raise field_invalid("dc09_key", "is not served by this release")
    for descriptor, _ in asked.ListFields():
        if descriptor.name in LATER:
            raise field_invalid(f"device.{descriptor.name}", "is not served by this release")


def _supervision(asked: record_pb2.Device) -> timedelta:
    if not asked.HasField("supervision_interval"):
        return SUPERVISION_INTERVAL
    span = duration_from_proto(asked.supervision_interval)
    if span is None or (span and not LEAST_SUPERVISION <= span <= MOST_SUPERVISION):
        raise field_invalid("device.supervision_interval", "must be 10 s to 30 days, or zero for off")
    return span


def _read(record: bytes) -> record_pb2.DeviceRecord:
    return record_pb2.Record.FromString(record).device


def _serialized(record: record_pb2.DeviceRecord) -> bytes:
    # Every side digests these bytes (B5), so the same record must always give the same ones.
    return record_pb2.Record(device=record).SerializeToString(deterministic=True)


def _touched(existing: bytes, record: record_pb2.DeviceRecord, now: datetime) -> bytes:
    """The record with the time of its change; unchanged bytes where nothing else changed (B3: not sent again)."""
    changed = _serialized(record)
    if changed == existing:
        return existing
    record.device.update_time.CopyFrom(timestamp_to_proto(now))
    return _serialized(record)


def _etag(record: bytes) -> str:
    return hashlib.sha256(record).hexdigest()[:16]


def _shown(record: bytes) -> record_pb2.Device:
    """The device as it is shown: without its keys, with its etag."""
    device = _read(record).device
    device.etag = _etag(record)
    return device


def _not_found(device_id: str) -> HotspareError:
    return HotspareError(Reason.RESOURCE_NOT_FOUND, f"there is no device {device_id}", kind="device", id=device_id)
