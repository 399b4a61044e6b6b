"""The benchmarks of the alarm path run to their end, each part very small: what they load is the product itself."""

from pathlib import Path

import pytest

from benchmarks.alarms import drain, growth, oneway, stream, table, unary
from benchmarks.alarms.__main__ import main
from benchmarks.results import load

TINY = (
    "--rounds 1 --seconds 0.3 --callers 4 --alarms 400 --rate 50 --one-way 0.4 --backlog 1500 --line 200 "
    "--slow-line 50 --sizes 1000 1500 --turns 1 --restarts 1"
)


@pytest.mark.full
def test_every_part_measures_what_it_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "alarms.json"
    assert main([*TINY.split(), "--data", str(tmp_path), "--out", str(out)]) == 0
    parts = {part.name: part for part in load(out)}
    wanted = {
        "P5": {unary.PUBLISH, unary.CPU + unary.PUBLISH, unary.CPU + unary.ECHO, unary.CPU + unary.BARE},
        "P6": {stream.OURS, stream.AGAIN, stream.RANDOM, stream.FOUR},
        "P7": {oneway.ANSWERED, oneway.PULLED, oneway.CONFIRMED, oneway.FLOODED_ANSWERED},
        "P8": {*map(drain.pull_series, drain.WINDOWS), f"{drain.LINE}, {drain.AFTER}", f"{drain.BARE}, {drain.AFTER}"},
        "P9": {
            growth.series(what, size) for what in (growth.PUBLISH, growth.PULL, growth.RESTART) for size in (1000, 1500)
        },
    }
    assert {name: series - set(parts[name].series()) for name, series in wanted.items()} == {
        name: set() for name in wanted
    }
    told = capsys.readouterr().out
    assert all(title in told for title in table.TITLES.values())
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.full
def test_a_profile_names_what_the_servers_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--parts", "P6", *TINY.split(), "--profile", "--data", str(tmp_path), "--out", str(tmp_path / "out.json")]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "writer: " in told
    assert "sqlite_alarms.py" in told
