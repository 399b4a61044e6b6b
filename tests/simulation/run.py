"""Run seeds of the simulator, or show one.

make simulate SEEDS=1..500             run them on all cores; tell those that fail
make simulate SEED=17                  the whole history of seed 17, to be read from top to bottom
make simulate SEED=17 MUTANT=no-hold   either with a guard broken on purpose (tests/simulation/mutants.py)

python -m tests.simulation.run --mutants 400 tells for each guard that is broken the first seed that finds it.
"""

import argparse
import multiprocessing
import os
import sys
import time
import traceback
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice

from tests.simulation.mutants import MUTANTS, broken
from tests.simulation.simulate import Result, simulate

CHUNK = 8
AHEAD = 32
"""Chunks that are given out before the first of them is waited for, so that no core ever waits for another."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What is kept of a seed."""

    seed: int
    violation: str
    healing: float
    seconds: float
    published: int
    duplicates: int
    epochs: int
    faults: tuple[str, ...]


def run_seed(seed: int, mutant: str = "") -> Summary:
    """Run one seed, for a summary."""
    with broken(mutant):
        try:
            result = simulate(seed)
        except Exception as error:
            return Summary(seed, f"defect: {error!r}", 0.0, 0.0, 0, 0, 0, ())
    return Summary(
        seed=seed,
        violation=str(result.violation or ""),
        healing=result.healing,
        seconds=result.seconds,
        published=result.published,
        duplicates=result.duplicates,
        epochs=result.epochs,
        faults=result.faults,
    )


def run_seeds(seeds: Iterable[int], mutant: str = "", workers: int | None = None) -> Iterator[Summary]:
    """Run seeds on all cores. The summaries come in the order of the seeds; to stop early, stop asking."""
    seeds = iter(seeds)
    # Spawned, not forked: whoever asks may have threads of gRPC.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers or os.cpu_count(), context)
    begun: deque[Future[list[Summary]]] = deque()
    try:
        while chunk := list(islice(seeds, CHUNK)):
            begun.append(pool.submit(_run_chunk, chunk, mutant))
            if len(begun) > AHEAD:
                yield from begun.popleft().result()
        while begun:
            yield from begun.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _run_chunk(seeds: list[int], mutant: str) -> list[Summary]:
    return [run_seed(seed, mutant) for seed in seeds]


def replay_command(seed: int, mutant: str = "") -> str:
    """What shows a seed."""
    return f"make simulate SEED={seed}" + (f" MUTANT={mutant}" if mutant else "")


def show(seed: int, mutant: str = "") -> Result:
    """Print the history of a seed."""
    with broken(mutant):
        result = simulate(seed, logs=True)
    for line in result.history.lines():
        print(line)
    print()
    print(f"seed {seed}: {result.violation or 'nothing violated'}")
    print(
        f"{result.seconds:.1f} s, faults: {', '.join(result.faults)}; {result.published} alarms published,"
        f" {result.received} messages at the ARC, {result.duplicates} of them again; {result.epochs} epochs"
    )
    if result.error is not None:
        traceback.print_exception(result.error)
    return result


def main(arguments: list[str] | None = None) -> int:
    """The command. Returns 1 when a seed failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="1..500", metavar="A..B", help="seeds to run, both ends included")
    parser.add_argument("--trace", type=int, metavar="SEED", help="show the history of one seed")
    parser.add_argument("--mutant", default="", choices=["", *MUTANTS], help="break a guard")
    parser.add_argument("--mutants", type=int, metavar="LAST", help="find each broken guard by seeds from 1 to this")
    parser.add_argument("--workers", type=int, help="processes (default: one a core)")
    options = parser.parse_args(arguments)
    if options.mutants is not None:
        return _find_mutants(options.mutants)
    if options.trace is not None:
        return int(show(options.trace, options.mutant).violation is not None)
    first, _, last = options.seeds.partition("..")
    begun = time.monotonic()
    results = []
    for summary in run_seeds(range(int(first), int(last or first) + 1), options.mutant, options.workers):
        results.append(summary)
        if summary.violation:
            print(
                f"seed {summary.seed}: {summary.violation}\n    {replay_command(summary.seed, options.mutant)}",
                flush=True,
            )
    _report(results, time.monotonic() - begun)
    return int(any(summary.violation for summary in results))


def _find_mutants(last: int) -> int:
    """Print the first seed that finds each, and fails for no other reason."""
    sound: dict[int, bool] = {}
    missed = 0
    for name, mutant in MUTANTS.items():
        for seed in range(1, last + 1):
            violation = run_seed(seed, name).violation
            if violation and seed not in sound:
                sound[seed] = not run_seed(seed).violation
            if violation and sound[seed]:
                print(f"{name:<50} {mutant.rule:<18} {seed:>4}  {violation}", flush=True)
                break
        else:
            missed += 1
            print(f"{name:<50} {mutant.rule:<18} none", flush=True)
    return int(missed > 0)


def _report(results: list[Summary], took: float) -> None:
    failed = sum(bool(summary.violation) for summary in results)
    faults = Counter(fault for summary in results for fault in summary.faults)
    healing = sorted(summary.healing for summary in results if not summary.violation) or [0.0]
    print(f"{len(results)} seeds in {took:.0f} s, {failed} failed")
    print(f"virtual time {sum(summary.seconds for summary in results) / 3600:.1f} h,", end=" ")
    print(f"{sum(summary.published for summary in results)} alarms,", end=" ")
    print(f"{sum(summary.duplicates for summary in results)} came twice,", end=" ")
    print(f"{sum(summary.epochs for summary in results)} epochs")
    print(f"well again after {healing[len(healing) // 2]:.1f} s (median), {healing[-1]:.1f} s (longest)")
    print("faults: " + ", ".join(f"{count} {kind}" for kind, count in faults.most_common()))


if __name__ == "__main__":
    sys.exit(main())
