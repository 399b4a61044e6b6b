"""ImportEvents and ExportEvents: files of event definitions, read in a thread so that nothing else waits for them."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hotspare.v1 import configuration_service_pb2
from hotspare_model.digest import RecordKind
from hotspare_model.errors import HotspareError, Reason
from hotspare_model.event_csv import HEADER, EventFile, EventFileReader, written
from hotspare_model.kinds import kind_of
from hotspare_receiver.services.record_calls import Parts, Records
from hotspare_receiver.store.configuration import ConfigurationStore
from hotspare_receiver.store.draft import Draft
from hotspare_receiver.tokens import Operator
from hotspare_rpc.records import message_of, packed, set_id, unpack, values_of
from hotspare_rpc.wire import timestamp_to_proto

Request = configuration_service_pb2.ImportEventsRequest
Response = configuration_service_pb2.ImportEventsResponse

PIECE_BYTES = 1024 * 1024
PROGRESS_LINES = 10_000
"""So many lines are read between two messages that tell how far it is."""

IDLE = 60.0
"""Seconds that a caller may take for the next piece of a file."""

ROWS = 1000
"""Definitions in one piece of an exported file: well within its size, however long their names."""

_EVENT = kind_of(RecordKind.EVENT)


@dataclass(slots=True)
class _Outcome:
    """What an import does to the definitions that are here."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    deleted: list[str] = field(default_factory=list)
    put: dict[str, bytes] = field(default_factory=dict)


async def imported(
    parts: Parts, records: Records, operator: Operator, requests: AsyncIterator[Request]
) -> AsyncGenerator[Response, None]:
    """The answers of ImportEvents.

    Raises:
        HotspareError: IMPORT_INVALID, STREAM_PROTOCOL, NOT_EDITABLE_HERE, DISK_LOW, STORE_FAILED.
    """
    options = (await _next(requests, "options")).options
    reader = EventFileReader()
    told = 0
    while (request := await _next(requests, "data", may_end=True)) is not None:
        if len(request.data) > PIECE_BYTES:
            raise _protocol(f"data of at most {PIECE_BYTES} bytes")
        await asyncio.to_thread(reader.feed, request.data)
        if reader.file.lines >= told + PROGRESS_LINES:
            told = reader.file.lines
            yield Response(progress=Response.Progress(lines=told))
    file = await asyncio.to_thread(reader.end)
    yield Response(progress=Response.Progress(lines=file.lines))
    if file.wrong_line_count:
        yield Response(result=_refused(file))
        return
    now = parts.clock.wall()
    if options.dry_run:
        outcome = await parts.store.look(lambda draft: _compare(draft, file, options.replace_all, now))
    else:
        outcome = await records.edit(
            operator, now, lambda draft: _apply(draft, file, options.replace_all, now), "events_imported",
            lines=file.lines,
        )  # fmt: skip
    yield Response(
        result=Response.Result(
            created=outcome.created,
            updated=outcome.updated,
            unchanged=outcome.unchanged,
            deleted=len(outcome.deleted),
            imported=not options.dry_run,
        )
    )


async def exported(store: ConfigurationStore) -> AsyncIterator[bytes]:
    """The file, in pieces of at most PIECE_BYTES."""
    yield f"{HEADER}\n".encode()
    rows = await store.look(lambda draft: list(draft.all(RecordKind.EVENT)))
    for first in range(0, len(rows), ROWS):
        yield await asyncio.to_thread(_text, rows[first : first + ROWS])


def _compare(draft: Draft, file: EventFile, replace_all: bool, now: datetime) -> _Outcome:
    """What an import would do to the definitions that the draft sees."""
    here = dict(draft.all(RecordKind.EVENT))
    outcome = _Outcome()
    for event_id, values in file.definitions.items():
        before = here.get(event_id)
        event = message_of(_EVENT, values)
        set_id(_EVENT, event)
        if before is None:
            event.create_time.CopyFrom(timestamp_to_proto(now))
            outcome.created += 1
        else:
            payload = unpack(_EVENT, before)
            if values_of(_EVENT, payload) == values:
                outcome.unchanged += 1
                continue
            if payload.HasField("create_time"):
                event.create_time.CopyFrom(payload.create_time)
            outcome.updated += 1
        event.update_time.CopyFrom(timestamp_to_proto(now))
        outcome.put[event_id] = packed(_EVENT, event)
    if replace_all:
        outcome.deleted = [event_id for event_id in here if event_id not in file.definitions]
    return outcome


def _apply(draft: Draft, file: EventFile, replace_all: bool, now: datetime) -> _Outcome:
    outcome = _compare(draft, file, replace_all, now)
    for event_id, record in outcome.put.items():
        draft.put(RecordKind.EVENT, event_id, record)
    for event_id in outcome.deleted:
        draft.put(RecordKind.EVENT, event_id, None)
    return outcome


def _refused(file: EventFile) -> Response.Result:
    return Response.Result(
        wrong_lines=[
            Response.WrongLine(line=wrong.line, column=wrong.column, problem=wrong.problem)
            for wrong in file.wrong_lines
        ],
        wrong_line_count=file.wrong_line_count,
    )


async def _next(requests: AsyncIterator[Request], frame: str, *, may_end: bool = False) -> Any:
    """The next message, which has to hold `frame`; None at the end, where there may be one."""
    try:
        async with asyncio.timeout(IDLE):
            request = await anext(requests, None)
    except TimeoutError:
        raise _protocol(f"`{frame}` within {IDLE:g} s") from None
    if request is None and may_end:
        return None
    if request is None or request.WhichOneof("frame") != frame:
        raise _protocol(f"`{frame}`")
    return request


def _protocol(expected: str) -> HotspareError:
    return HotspareError(Reason.STREAM_PROTOCOL, f"expected {expected}", expected=expected)


def _text(rows: Sequence[tuple[str, bytes]]) -> bytes:
    return written(values_of(_EVENT, unpack(_EVENT, record)) for _, record in rows).encode()
