"""The targets of the fuzzer: what was found stays found, and the fuzzer finds what is there to be found (S4)."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz import run, targets
from tests.fuzz.inputs import INPUTS, SEEDS
from tests.fuzz.targets import TARGETS

FINDS = sorted(run.FINDS.glob("*.bin"))


@pytest.mark.parametrize("path", FINDS, ids=lambda path: path.stem)
def test_s4_what_the_fuzzer_found_is_mended(path: Path) -> None:
    TARGETS[path.stem.partition("-")[0]](path.read_bytes())


def test_s4_each_target_has_finds_or_seeds_that_are_replayed() -> None:
    assert {path.stem.partition("-")[0] for path in FINDS} <= TARGETS.keys()
    for raw in SEEDS:
        targets.decoder(raw)
        targets.session(b"\xff" + raw)


@pytest.mark.parametrize("name", TARGETS)
def test_s4_some_inputs_of_each_target_pass(name: str) -> None:
    @settings(max_examples=15, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
    @given(INPUTS[name])
    def check(data: bytes) -> None:
        TARGETS[name](data)

    check()


def test_a_find_is_kept_as_small_as_it_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(data: bytes) -> None:
        assert b"AAA" not in data

    monkeypatch.setattr(run, "FINDS", tmp_path / "fuzz")
    monkeypatch.setattr(run, "TARGETS", {"decoder": broken})
    # The inputs have some hundred bytes.
    for way, most in ((run.fuzz, 40), (run.batter, 3)):
        path = way("decoder", first=1, seconds=20.0)
        assert path is not None
        assert len(path.read_bytes()) <= most
        with pytest.raises(AssertionError):
            broken(path.read_bytes())
