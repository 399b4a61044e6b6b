"""One transfer from the cloud into the copy that is here (B5): asked for, staged as it comes, proved, applied."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from hotspare.v1 import sync_service_pb2
from hotspare_model.errors import HotspareError, Reason
from hotspare_model.transfer import TransferHeader, TransferReader, differing
from hotspare_receiver.clients.cloud import CloudClient
from hotspare_receiver.clock import Clock
from hotspare_receiver.core.sync import Copy, Pull, Refusal, gap
from hotspare_receiver.store.copy import CopyStore
from hotspare_receiver.store.incoming import SLICE, Arrival, Held, Incoming, WrongDigests, prepare
from hotspare_rpc.transfer import header_from_proto, kind_to_proto, pieces
from hotspare_rpc.version import SOFTWARE_VERSION

PULL_TIMEOUT = 60.0
"""Seconds for a whole transfer, as the contract's deadline has it."""

_REFUSALS = {
    Reason.CHUNK_INVALID: Refusal.CHUNK,
    Reason.STREAM_PROTOCOL: Refusal.CUT,
    Reason.FIELD_INVALID: Refusal.RECORD,
    Reason.DISK_LOW: Refusal.STORE,
    Reason.STORE_FAILED: Refusal.STORE,
}


class TransferKeptOut(Exception):
    """A transfer was not applied, and why. Nothing of the copy changed."""

    def __init__(self, refusal: Refusal, problem: str, kinds: tuple[Any, ...] = ()) -> None:
        super().__init__(problem)
        self.refusal = refusal
        self.kinds = kinds


class OtherVersion(Exception):
    """The transfer is for another release than this one (V1)."""

    def __init__(self, required: str) -> None:
        super().__init__(f"the configuration was stored by version {required}, and this receiver has another one")
        self.required = required


class NothingThere(Exception):
    """The cloud has no configuration."""

    def __init__(self) -> None:
        super().__init__("the cloud has no configuration")


@dataclass(frozen=True, slots=True)
class Fetched:
    """The copy after a transfer, and how many changes it had."""

    copy: Copy
    changes: int


class Fetch:
    """Fetches. One transfer at a time, whoever asks for it."""

    def __init__(self, cloud: CloudClient, copies: CopyStore, incoming: Incoming, clock: Clock) -> None:
        self._cloud = cloud
        self._copies = copies
        self._incoming = incoming
        self._clock = clock
        self._lock = asyncio.Lock()

    async def pull(self, pull: Pull, own: Copy, held: Held, *, synced: bool, told: Copy | None = None) -> Fetched:
        """Ask for changes and apply them, whole or not at all.

        `own` is the copy here, which the changes build on, and `held` as what it is asked for. `synced`: whether the
        copy then follows a host, whose release has to be this one (V1). `told`: as the cloud told by itself.

        Raises:
            TransferKeptOut, OtherVersion, NothingThere: nothing changed.
            Overtaken: the copy or the role is another one by now; nothing changed.
            HotspareError: the cloud's own, or CLOUD_UNREACHABLE, before anything came.
        """
        async with self._lock:
            request = sync_service_pb2.PullChangesRequest(
                lineage=pull.lineage,
                since_revision=pull.since,
                whole_kinds=[kind_to_proto(kind) for kind in pull.whole_kinds],
                software_version=SOFTWARE_VERSION,
            )
            answers = self._cloud.stream(self._cloud.syncs().PullChanges, request, timeout=PULL_TIMEOUT)
            async with aclosing(answers):
                first = await anext(answers, None)
                if first is None or first.WhichOneof("frame") != "header":
                    raise TransferKeptOut(Refusal.CUT, "the transfer did not begin with its header")
                header = header_from_proto(first.header)
                if header.revision == 0:
                    raise NothingThere
                if problem := gap(pull, header, told):
                    raise TransferKeptOut(Refusal.GAP, problem)
                _check(header, own, synced=synced)
                reader = await self._stage(header, answers)
            return await self._settle(reader, own, held, synced=synced)

    async def _stage(self, header: TransferHeader, answers: AsyncGenerator[Any, None]) -> TransferReader:
        """Lay down all pieces. Memory holds two slices of them at most, beside what gRPC has read ahead."""
        staging: asyncio.Task[None] | None = None
        try:
            reader = TransferReader(header)
            await self._incoming.begin()
            async for piece in pieces(answers, reader):
                for start in range(0, len(piece), SLICE):
                    # While one slice is written the next is prepared.
                    rows = await asyncio.to_thread(prepare, piece[start : start + SLICE])
                    if staging is not None:
                        await staging
                    staging = asyncio.ensure_future(self._incoming.stage(rows))
            if staging is not None:
                await staging
            return reader
        except HotspareError as error:
            refusal = _REFUSALS.get(error.reason, Refusal.CUT)
            raise TransferKeptOut(refusal, error.message) from error
        finally:
            if staging is not None:
                await asyncio.gather(staging, return_exceptions=True)

    async def _settle(self, reader: TransferReader, own: Copy, held: Held, *, synced: bool) -> Fetched:
        header, ended = reader.header, reader.ended
        assert ended is not None
        copy = Copy(header.lineage, header.revision, ended.digests, header.software_version)
        if header.base_revision and not reader.changes and not header.whole_kinds and copy.same_as(own):
            return Fetched(copy, 0)
        arrival = Arrival(header, ended.digests, held, own.lineage, own.revision, synced)
        # Not broken off in the middle: who goes on has to know what the copy is.
        await _to_its_end(self._apply(arrival))
        return Fetched(copy, reader.changes)

    async def _apply(self, arrival: Arrival) -> None:
        try:
            await self._incoming.trim(arrival.header.whole)
            proof = await asyncio.to_thread(self._incoming.prove, arrival)
            await self._incoming.apply(arrival, proof, self._clock.wall())
        except WrongDigests as wrong:
            raise TransferKeptOut(Refusal.DIGEST, str(wrong), wrong.kinds) from wrong
        except HotspareError as error:
            raise TransferKeptOut(Refusal.STORE, error.message) from error


def _check(header: TransferHeader, own: Copy, *, synced: bool) -> None:
    """What can be told of a transfer before it all comes."""
    if synced and header.software_version != SOFTWARE_VERSION:
        raise OtherVersion(header.software_version)
    if header.base_revision and header.base_digests:
        # What does not come whole would be wrong afterwards.
        wrong = tuple(kind for kind in differing(header.base_digests, own.digests) if kind not in header.whole)
        if wrong:
            raise TransferKeptOut(Refusal.DIGEST, "the copy here is not the one that the changes build on", wrong)


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise
