"""Fuzz for a bounded time: `make fuzz`, or `make fuzz FUZZ="--seconds 600 --target session"`.

The target `services` is a live cloud and receiver that are called with anything. The others take bytes: half of the
time goes to inputs that Hypothesis makes of parts, half to real frames that are broken at random: these are dumber, and
fifty times as many. What is found is made smaller and kept in tests/data/fuzz, where tests/fuzz/test_fuzz.py and
test_services.py replay it from then on. Each run draws other inputs; `--seed` repeats one.
"""

import argparse
import hashlib
import secrets
import sys
import time
import traceback
from pathlib import Path
from random import Random

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings

from tests.fuzz import services
from tests.fuzz.inputs import DATA, INPUTS, SEEDS_OF, broken
from tests.fuzz.targets import TARGETS

FINDS = DATA / "fuzz"
ROUND = 300
"""Inputs of one seed; the time is looked at between rounds."""


def main(arguments: list[str]) -> int:
    """Run; the status is 1 if there was a find."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="for all targets together (60)")
    parser.add_argument("--target", choices=(*TARGETS, services.TARGET), help="only this one")
    parser.add_argument("--seed", type=int, default=None, help="of a run before, to repeat it")
    asked = parser.parse_args(arguments)
    names = (asked.target,) if asked.target else (*TARGETS, services.TARGET)
    first = secrets.randbelow(2**32) if asked.seed is None else asked.seed
    print(f"seed {first}, {asked.seconds:.0f} s for {', '.join(names)}", flush=True)
    seconds = asked.seconds / len(names)
    finds: list[Path | None] = []
    for name in names:
        if name == services.TARGET:
            finds.append(services.fuzz(first, seconds, FINDS))
        else:
            # Each is fuzzed in both ways, though one before it had a find.
            finds += [way(name, first, seconds / 2) for way in (fuzz, batter)]
    return 1 if any(find is not None for find in finds) else 0


def fuzz(name: str, first: int, seconds: float) -> Path | None:
    """Feed a target until the time is over or something is found, which is kept; return its file."""
    count, last = 0, b""

    def check(data: bytes) -> None:
        nonlocal count, last
        count, last = count + 1, data
        TARGETS[name](data)

    until, number = time.monotonic() + seconds, first
    while time.monotonic() < until:
        fed = given(INPUTS[name])(check)
        fed = settings(
            max_examples=ROUND, database=None, deadline=None, verbosity=Verbosity.quiet,
            phases=(Phase.generate, Phase.shrink), suppress_health_check=list(HealthCheck),
        )(fed)  # fmt: skip
        try:
            # Hypothesis ends a find with its smallest input, so that `last` is that.
            seed(number)(fed)()
        except Exception:
            traceback.print_exc()
            return _keep(name, last, number)
        number += 1
    print(f"{name}: {count:,} inputs, nothing found", flush=True)
    return None


def batter(name: str, first: int, seconds: float) -> Path | None:
    """Feed a target broken seeds until the time is over or something is found, which is kept; return its file."""
    count, draw = 0, Random(first)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for _ in range(ROUND):
            data = broken(draw, SEEDS_OF[name])
            if _fails(name, data):
                data = _smaller(name, data)
                traceback.print_exception(_fails(name, data))
                return _keep(name, data, first)
        count += ROUND
    print(f"{name}: {count:,} broken seeds, nothing found", flush=True)
    return None


def _fails(name: str, data: bytes) -> Exception | None:
    try:
        TARGETS[name](data)
    except Exception as error:
        return error
    return None


def _smaller(name: str, data: bytes) -> bytes:
    """Leave out what is not needed for it to fail, in ever smaller pieces."""
    size = max(1, len(data) // 2)
    while size:
        start = 0
        while start < len(data):
            less = data[:start] + data[start + size :]
            if _fails(name, less):
                data = less
            else:
                start += size
        size //= 2
    return data


def _keep(name: str, data: bytes, number: int) -> Path:
    FINDS.mkdir(exist_ok=True)
    path = FINDS / f"{name}-{hashlib.sha256(data).hexdigest()[:12]}.bin"
    path.write_bytes(data)
    print(f"{name}: found with seed {number}: {data!a}\nkept as {path}", file=sys.stderr, flush=True)
    return path


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
