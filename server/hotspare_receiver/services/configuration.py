"""ConfigurationService: records of every kind, the files of event definitions, and the digests (B1, B2, B5)."""

from collections.abc import AsyncIterator
from typing import Any

from hotspare.v1 import configuration_service_pb2, configuration_service_pb2_grpc, record_pb2
from hotspare_model.digest import RecordKind
from hotspare_model.kinds import KINDS, kind_of
from hotspare_receiver.services import event_files, record_edits
from hotspare_receiver.services.record_calls import Parts, Records, calls_of
from hotspare_receiver.services.shown import shown_record
from hotspare_receiver.store.draft import Draft
from hotspare_receiver.store.tokens import TokenRole
from hotspare_rpc.credentials import new_secret, sha256
from hotspare_rpc.records import unpack

__all__ = ["ConfigurationServicer", "Parts"]

_DEVICE = kind_of(RecordKind.DEVICE)


class ConfigurationServicer(configuration_service_pb2_grpc.ConfigurationServiceServicer):
    """Serves the calls of all kinds, which are attached below, and those that only one kind has."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.records = Records(parts)

    async def RotateDeviceKey(
        self, request: configuration_service_pb2.RotateDeviceKeyRequest, context: Any
    ) -> configuration_service_pb2.RotateDeviceKeyResponse:
        """Give a device another key; it is shown in this answer alone."""
        operator = self.records.editor(context)
        key, now = new_secret(), self._parts.clock.wall()

        def rotate(draft: Draft) -> bytes:
            before = record_edits.existing(draft, _DEVICE, request.device_id)
            payload = unpack(_DEVICE, before)
            payload.device_key_sha256 = sha256(key)
            return record_edits.replace(draft, _DEVICE, request.device_id, before, payload, "", now)

        stored = await self.records.edit(operator, now, rotate, "device_key_rotated", record_id=request.device_id)
        return configuration_service_pb2.RotateDeviceKeyResponse(device=shown_record(_DEVICE, stored), device_key=key)

    async def ImportEvents(
        self, request_iterator: AsyncIterator[configuration_service_pb2.ImportEventsRequest], context: Any
    ) -> AsyncIterator[configuration_service_pb2.ImportEventsResponse]:
        """Take definitions over from a file, all or nothing."""
        operator = self.records.editor(context)
        frames = event_files.imported(self._parts, self.records, operator, request_iterator)
        async for frame in self._parts.ends.guard(frames, operator) if self._parts.ends else frames:
            yield frame

    async def ExportEvents(
        self, request: configuration_service_pb2.ExportEventsRequest, context: Any
    ) -> AsyncIterator[configuration_service_pb2.ExportEventsResponse]:
        """All definitions, as the file that ImportEvents takes."""
        self._parts.tokens.admit(context, TokenRole.VIEWER)
        async for piece in event_files.exported(self._parts.store):
            yield configuration_service_pb2.ExportEventsResponse(data=piece)

    async def GetDigest(
        self, request: configuration_service_pb2.GetDigestRequest, context: Any
    ) -> configuration_service_pb2.GetDigestResponse:
        """The digest of each kind (B5)."""
        self._parts.tokens.admit(context, TokenRole.VIEWER)
        head, digests = await self._parts.store.standing()
        return configuration_service_pb2.GetDigestResponse(
            lineage=head.lineage,
            revision=head.revision,
            digests=[
                record_pb2.KindDigest(
                    kind=record_pb2.RecordKind.ValueType(int(digest.kind)),
                    count=digest.count,
                    sha256=digest.sha256,
                )
                for digest in digests
            ],
        )


for _kind in KINDS:
    for _name, _method in calls_of(_kind).items():
        setattr(ConfigurationServicer, _name, _method)
