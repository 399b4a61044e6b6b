"""Any sequence of edits, interruptions, restarts and rejoins ends with equal copies, and no spare goes back (B3 to B8).

The stores and clients are the real ones; time and network are none.
"""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hotspare.v1 import group_pb2
from hotspare_receiver.core.push import Push, next_lineage_revision
from tests.integration.sync_trial import Cut, TrialCloud, TrialReceiver, digests

NAMES = st.sampled_from([f"user-{number}" for number in range(6)])
TEXTS = st.one_of(st.none(), st.sampled_from(["Ann", "Bob", "Cem"]))
ENOUGH = 12
"""Steps after which all is equal once nothing goes wrong any more."""


def cut_after(count: int) -> Any:
    return lambda frames: [*frames[:count], Cut]


def flipped(frames: list[Any]) -> list[Any]:
    """A bit of the first record is another."""
    for frame in frames:
        for change in frame.chunk.changes:
            if change.record:
                change.record = change.record[:-1] + bytes([change.record[-1] ^ 1])
                return frames
    return frames


def doubled(frames: list[Any]) -> list[Any]:
    return [frames[0], *frames[1:2], *frames[1:]]


def without_a_change(frames: list[Any]) -> list[Any]:
    """A change is missing, and the counts are right."""
    for frame in frames:
        if frame.chunk.changes:
            del frame.chunk.changes[0]
            frames[-1].trailer.change_count -= 1
            return frames
    return frames


MEDDLINGS = st.one_of(
    st.none(), st.integers(0, 3).map(cut_after), st.sampled_from([flipped, doubled, without_a_change])
)


class BackupAndSync(RuleBasedStateMachine):
    """One host, two spares, one cloud."""

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        folder = Path(self.folder.name)
        self.cloud = TrialCloud()
        self.host = TrialReceiver(self.cloud, folder / "host", 1)
        self.spares = [TrialReceiver(self.cloud, folder / f"spare-{number}", number + 1) for number in (1, 2)]
        for each in (self.host, *self.spares):
            self.run(each.prepare())
        self.seen: dict[int, tuple[str, int]] = {}
        self.disputed = False
        self.a_round("user-0", "Ann")

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    @rule(name=NAMES, text=TEXTS)
    def edit(self, name: str, text: str | None) -> None:
        newest = self.cloud.newest
        if newest is not None and newest.restored_from and self.has_more():
            # The host edits before it took over what was restored at the cloud: a matter for an operator as well.
            self.disputed = True
        self.run(self.host.edit(name, text))

    @rule(name=NAMES, text=TEXTS)
    def a_round(self, name: str, text: str | None) -> None:
        """An edit that gets everywhere, if nothing is in its way."""
        self.edit(name, text)
        self.push(None, lost=False)
        for number in range(2):
            self.sync(number, None)

    @rule(meddling=MEDDLINGS, lost=st.booleans())
    def push(self, meddling: Any, lost: bool) -> None:
        self.cloud.meddling, self.cloud.lose_answer = meddling, lost
        self.run(self.host.push_step())
        self.cloud.meddling, self.cloud.lose_answer = None, False
        diverged = self.host.pusher.report().state == group_pb2.SYNC_STATE_DIVERGED
        assert self.disputed or not diverged, "B7: nobody but this host changed anything"

    @rule(number=st.integers(0, 1), meddling=MEDDLINGS)
    def sync(self, number: int, meddling: Any) -> None:
        self.cloud.meddling = meddling
        self.run(self.spares[number].sync_step())
        self.cloud.meddling = None

    @rule()
    def restart_host(self) -> None:
        self.host.restart()

    @rule(number=st.integers(0, 1))
    def restart_spare(self, number: int) -> None:
        self.spares[number].restart()

    @rule(number=st.integers(0, 1))
    def rejoin(self, number: int) -> None:
        self.run(self.spares[number].leave())
        self.seen.pop(number, None)
        assert self.run(self.spares[number].place())[:2] == ("", 0), "X1: what was synced is cleared"

    @precondition(lambda self: len(self.cloud.revisions) > 1)
    @rule(back=st.integers(1, 5))
    def restore_at_the_cloud(self, back: int) -> None:
        old = self.cloud.revisions[max(0, len(self.cloud.revisions) - 1 - back)]
        if old.lineage == self.cloud.revisions[-1].lineage:
            # Edits that the cloud does not have yet make it a matter for an operator.
            self.disputed = self.disputed or self.has_more()
            self.cloud.restore(old.number)

    def has_more(self) -> bool:
        """Whether the host does not have just what the cloud has."""
        newest = self.cloud.revisions[-1]
        return bool(self.run(self.host.place())[:2] != (newest.lineage, newest.number))

    @rule()
    def operator_decides_where_the_host_diverged(self) -> None:
        if self.host.pusher.report().state == group_pb2.SYNC_STATE_DIVERGED:
            self.decide(new_lineage=len(self.cloud.revisions) % 2 == 0)

    def decide(self, *, new_lineage: bool) -> None:
        async def lineage() -> None:
            cloud = await self.host.pusher.cloud_copy()
            local = await self.host.outgoing.local_copy()
            await self.host.outgoing.begin_lineage(next_lineage_revision(local, cloud))
            await self.host.pusher.push(Push(0, (), new_lineage=True))

        self.run(lineage() if new_lineage else self.host.pusher.take_over(whole=True))

    @invariant()
    def a_copy_is_one_that_was_and_never_goes_back(self) -> None:
        if not hasattr(self, "loop"):
            return
        for number, spare in enumerate(self.spares):
            lineage, revision, found = self.run(spare.place())
            if revision == 0:
                continue
            place = (lineage, revision)
            stored = [each for each in self.cloud.revisions if (each.lineage, each.number) == place]
            assert stored, f"{place} was never a revision"
            assert found == digests(stored[0].records), "B5: whole or not at all"
            before = self.seen.get(number)
            assert before is None or before[0] != lineage or before[1] <= revision, "a spare went back"
            self.seen[number] = place

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        try:
            self.heal()
        finally:
            for each in (self.host, *self.spares):
                each.close()
            self.loop.close()
            self.folder.cleanup()

    def heal(self) -> None:
        for _ in range(ENOUGH):
            self.run(self.host.push_step())
            if self.host.pusher.report().state == group_pb2.SYNC_STATE_DIVERGED:
                self.decide(new_lineage=False)
        for _ in range(ENOUGH):
            for spare in self.spares:
                self.run(spare.sync_step())
        places = [self.run(each.place()) for each in (self.host, *self.spares)]
        newest = self.cloud.newest
        if newest is None:
            assert places[0][1] == 0
            return
        assert places == [(newest.lineage, newest.number, digests(newest.records))] * 3
        self.a_copy_is_one_that_was_and_never_goes_back()


TestB3B4B5BackupAndSync = BackupAndSync.TestCase
TestB3B4B5BackupAndSync.settings = settings(
    max_examples=12, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
