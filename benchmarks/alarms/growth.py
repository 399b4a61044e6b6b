"""P9: what publishing, pulling, memory and a restart cost as the backlog grows."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from benchmarks.alarms import alarms, publishing, pulling
from benchmarks.alarms.bench import ARC, Bench
from benchmarks.alarms.ground import Ground, Panel, new_account
from benchmarks.alarms.hands import Hand
from tests.integration.cloud.helpers import Account

STEP = 1000
"""Alarms that are published in each turn, then as many acknowledged while the next ones come: the backlog stays as
long as it was."""
BATCH = 100
IN_FLIGHT = 4
PUBLISH, PULL, RESTART = "publish", "pull", "restart"


def series(what: str, size: int) -> str:
    """Of a backlog of that size."""
    return f"{what}, backlog of {size:,}"


class Templates:
    """Data folders with a backlog, made once in a run: a million alarms take a while."""

    def __init__(self, folder: Path, sizes: Sequence[int]) -> None:
        self._folder = folder
        self._sizes = sorted(sizes)
        self._account: Account | None = None

    def make(self) -> Account:
        """Make all of them; returns the account that is in them."""
        if self._account is None:
            self._account = new_account(ARC)
            known = 0
            with Ground(self._folder / "growing", self._account, window=STEP) as ground:
                ground.furnish()
                for size in self._sizes:
                    ground.fill(ARC, size - known, first=known)
                    known = size
                    shutil.copytree(ground.data, self._folder / str(size))
            shutil.rmtree(self._folder / "growing")
        return self._account

    def copy(self, size: int, to: Path) -> None:
        """Take one of them."""
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(self._folder / str(size), to)


def measure(bench: Bench, templates: Templates) -> None:
    """One round."""
    account = templates.make()
    for size in bench.options.sizes:
        with bench.place(f"backlog-{size}") as folder, Ground(folder, account) as ground:
            templates.copy(size, ground.data)
            _one_size(bench, ground, size)


def _one_size(bench: Bench, ground: Ground, size: int) -> None:
    ground.start()
    identity, panels = ground.enrol(ARC)
    turns = bench.options.turns
    with Hand(pulling.pull_by_turns, ground.cloud.grpc, identity, STEP, turns) as puller:
        for turn in range(turns):
            puller.heard()
            _publish(bench, ground, panels[turn % len(panels)], series(PUBLISH, size))
            before = ground.cpu()
            puller.go()
            seconds = puller.heard()
            bench.took(series(PULL, size), seconds, STEP, cpu=round(ground.cpu() - before, 2))
        puller.result()
    if (waits := ground.waiting()) != size:
        raise RuntimeError(f"a backlog of {size} became one of {waits}")
    bench.turn.facts[f"memory {size}"] = round(ground.memory(), 1)
    for _ in range(bench.options.restarts):
        ground.stop()
        bench.took(series(RESTART, size), ground.start())


def _publish(bench: Bench, ground: Ground, panel: Panel, name: str) -> None:
    ids = [alarms.new_id() for _ in range(STEP)]
    with Hand(publishing.stream, ground.cloud.grpc, panel.metadata, ids, BATCH, IN_FLIGHT) as hand:
        hand.heard()
        before = ground.cpu()
        hand.go()
        seconds, came = hand.result()
        used = ground.cpu() - before
    if came["stored"] != STEP:
        raise RuntimeError(f"of {STEP} alarms came {came}")
    bench.took(name, seconds, STEP, cpu=round(used, 2))
