"""Transfers that arrive otherwise than they were sent: kept out, counted, and healed (B5), on both ways.

What is compared after each is what counts: a copy is always the old one or the new one, and in the end the host's.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from hotspare.v1 import backup_pb2, group_pb2, record_pb2
from tests.integration.meddler import PULL, PUSH, Cut, Frame, Meddler, Meddling
from tests.integration.test_sync_attack_support import Attacked, attacked, become, chunks_of, copy_of

Frames = list[Frame]


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Attacked]:
    """A host and a spare in sync."""
    async with attacked(tmp_path) as scene:
        yield scene


def renumbered(frames: Frames) -> Frames:
    """The same with indices and counts that fit: only the digests tell."""
    chunks = chunks_of(frames)
    for index, chunk in enumerate(chunks):
        chunk.index = index
    frames[-1].trailer.chunk_count = len(chunks)
    frames[-1].trailer.change_count = sum(len(chunk.changes) for chunk in chunks)
    return frames


def piece_twice(frames: Frames) -> Frames:
    return [*frames[:2], frames[1], *frames[2:]]


def piece_missing(frames: Frames) -> Frames:
    return [frames[0], *frames[2:]]


def piece_missing_and_counts_mended(frames: Frames) -> Frames:
    return renumbered([frames[0], *frames[2:]])


def pieces_turned_round(frames: Frames) -> Frames:
    return renumbered([frames[0], *reversed(frames[1:-1]), frames[-1]])


def change_twice(frames: Frames) -> Frames:
    frames[1].chunk.changes.append(frames[1].chunk.changes[0])
    return renumbered(frames)


def bit_flipped(frames: Frames) -> Frames:
    change = next(change for chunk in chunks_of(frames) for change in chunk.changes if change.record)
    middle = len(change.record) // 2
    change.record = change.record[:middle] + bytes([change.record[middle] ^ 1]) + change.record[middle + 1 :]
    return frames


def record_emptied(frames: Frames) -> Frames:
    next(change for chunk in chunks_of(frames) for change in chunk.changes if change.record).record = b""
    return frames


def record_of_rubbish(frames: Frames) -> Frames:
    frames[1].chunk.changes[0].record = b"\xff" * 40
    return frames


def record_smuggled_in(frames: Frames) -> Frames:
    partition = record_pb2.Partition(partition_id="panel-1/9", device_id="panel-1", number=9)
    smuggled = record_pb2.RecordChange(
        kind=record_pb2.RECORD_KIND_EVENT, id="zzz", record=record_pb2.Record(partition=partition).SerializeToString()
    )
    chunks_of(frames)[-1].changes.append(smuggled)
    return renumbered(frames)


def kind_unknown(frames: Frames) -> Frames:
    chunks_of(frames)[-1].changes.add(kind=9, id="x", record=b"\x0a\x00")
    return renumbered(frames)


def id_of_ten_thousand(frames: Frames) -> Frames:
    chunks_of(frames)[-1].changes.add(kind=6, id="x" * 10_000, record=b"\x32\x00")
    return renumbered(frames)


def digest_flipped(frames: Frames) -> Frames:
    digest = frames[-1].trailer.digests[0]
    digest.sha256 = bytes([digest.sha256[0] ^ 1]) + digest.sha256[1:]
    return frames


def digests_left_out(frames: Frames) -> Frames:
    del frames[-1].trailer.digests[:]
    return frames


def builds_on_another_revision(frames: Frames) -> Frames:
    frames[0].header.base_revision += 1_000_000
    frames[0].header.revision += 2_000_000
    return frames


def claims_to_be_whole(frames: Frames) -> Frames:
    frames[0].header.base_revision = 0
    del frames[0].header.base_digests[:]
    return frames


def claims_a_kind_to_be_whole(frames: Frames) -> Frames:
    frames[0].header.whole_kinds.append(record_pb2.RECORD_KIND_ZONE)
    return frames


def of_another_lineage(frames: Frames) -> Frames:
    frames[0].header.lineage = "11111111-2222-4333-8444-555555555555"
    return frames


def no_header(frames: Frames) -> Frames:
    return frames[1:]


def two_headers(frames: Frames) -> Frames:
    return [frames[0], *frames]


def nothing(frames: Frames) -> Frames:
    return []


def more_behind_the_trailer(frames: Frames) -> Frames:
    extra = type(frames[0])(chunk=backup_pb2.ChangeChunk(index=len(frames) - 2))
    return [*frames, extra, frames[-1]]


def rubbish(frames: Frames) -> Frames:
    return [frames[0], b"\xff" * 100, *frames[1:]]


def too_large_a_piece(frames: Frames) -> Frames:
    frames[1].chunk.changes[0].operator_name = "x" * 3_000_000
    return frames


def revision_far_ahead(frames: Frames) -> Frames:
    frames[0].header.revision += 10_000
    return frames


def revision_beyond_all(frames: Frames) -> Frames:
    frames[0].header.revision = 2**64 - 1
    return frames


MEDDLINGS: tuple[Meddling, ...] = (
    piece_twice, piece_missing, piece_missing_and_counts_mended, pieces_turned_round, change_twice, bit_flipped,
    record_emptied, record_of_rubbish, record_smuggled_in, kind_unknown, id_of_ten_thousand, digest_flipped,
    digests_left_out, builds_on_another_revision, claims_to_be_whole, claims_a_kind_to_be_whole, of_another_lineage,
    no_header, two_headers, nothing, rubbish, too_large_a_piece, revision_beyond_all,
)  # fmt: skip
HARMLESS: tuple[Meddling, ...] = (more_behind_the_trailer, revision_far_ahead)
"""What arrives whole all the same, or is put right by what is told next."""


IN_MAKE_TEST: tuple[Meddling, ...] = (piece_missing_and_counts_mended, claims_to_be_whole)


def some_in_make_test() -> list[Any]:
    """All meddlings, of which most take part in `make test-full` only."""
    return [
        meddling if meddling in IN_MAKE_TEST else pytest.param(meddling, marks=pytest.mark.full)
        for meddling in (*MEDDLINGS, *HARMLESS)
    ]


async def watch_copies(scene: Attacked, old: Any, seen: list[Any]) -> None:
    """Write down each other copy that the spare has."""
    while True:
        copy = await copy_of(scene.spare)
        if copy not in (old, *seen):
            seen.append(copy)
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("meddling", some_in_make_test(), ids=lambda meddling: meddling.__name__)
async def test_b5_what_the_spare_gets_otherwise_is_kept_out_and_healed(scene: Attacked, meddling: Meddling) -> None:
    old, seen = await copy_of(scene.spare), list[Any]()
    scene.at_spare.meddle(PULL, meddling)
    watching = asyncio.create_task(watch_copies(scene, old, seen))
    try:
        await scene.edit()
        await become("it was meddled with", done(scene.at_spare))
        await scene.equal()
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    final = await copy_of(scene.host)
    if meddling not in HARMLESS:
        # Edits come one by one, so what came between may be a revision of the host's: never past its last.
        assert all(copy[1] <= final[1] and copy[0] == final[0] for copy in seen), meddling.__name__
    scene.at_spare.stop_meddling()
    await scene.edit()
    await scene.equal()


@pytest.mark.parametrize("meddling", some_in_make_test(), ids=lambda meddling: meddling.__name__)
async def test_b5_b7_what_the_cloud_gets_otherwise_is_refused_and_sent_again(
    scene: Attacked, meddling: Meddling
) -> None:
    scene.at_host.meddle(PUSH, meddling)
    await scene.edit()
    await become("it was meddled with", done(scene.at_host))
    if meddling is not revision_far_ahead:
        await scene.equal()
        await scene.edit()
        await scene.equal()


@pytest.mark.full
@pytest.mark.parametrize("broken", [True, False], ids=["cut", "ended"])
async def test_b5_a_transfer_that_ends_after_any_frame_changes_nothing(scene: Attacked, broken: bool) -> None:
    """Cut after each frame in turn, on both ways, first without the answer of the cloud."""
    for way, meddler in ((PULL, scene.at_spare), (PUSH, scene.at_host)):
        for frames_that_come in range(6):

            def cut(frames: Frames, count: int = frames_that_come) -> Any:
                return [*frames[: min(count, len(frames) - 1)], *([Cut] if broken else [])]

            meddler.meddle(way, cut)
            await scene.edit()
            await become("it was cut", done(meddler))
            await scene.equal()


async def test_b3_b7_a_push_whose_answer_is_lost_is_known_again(scene: Attacked) -> None:
    for _ in range(3):
        scene.at_host.lose_answers = 1
        await scene.edit()
        await become("an answer was lost", done(scene.at_host))
        await scene.equal()


async def test_b5_a_spare_that_gets_nothing_but_rubbish_says_so_keeps_its_copy_and_is_healed_in_the_end(
    scene: Attacked,
) -> None:
    old = await copy_of(scene.spare)
    scene.at_spare.meddle(PULL, bit_flipped, times=1000)
    await scene.edit()
    await scene.spare.until(lambda status: status.sync_state == group_pb2.SYNC_STATE_FAILED)
    assert await copy_of(scene.spare) == old
    scene.at_spare.stop_meddling()
    await scene.equal()


def done(meddler: Meddler) -> Callable[[], Awaitable[bool]]:
    """Whether a meddler has done all that it was to do, to wait for."""

    async def is_done() -> bool:
        return meddler.is_done

    return is_done
