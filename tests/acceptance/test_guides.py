"""The commands of docs/guides/ run as they stand, on real processes, and print what the guides show.

A track is read in one shell from its first page to its last one, beginning in a fresh folder.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.acceptance.harness.guides import Block, Run, blocks_of, differs, run_blocks

pytestmark = pytest.mark.full

GUIDES = Path(__file__).parents[2] / "docs" / "guides"
TRACKS = {
    "first-steps": ("first-steps",),
    "technicians": ("group-of-four", "move-the-work", "replace-a-machine", "upgrade", "switch-off"),
    "operators": ("accounts-and-keys", "backup-and-restore"),
    "watching": ("watch-a-cloud",),
    "programmers": ("publish-alarms", "follow-alarms"),
}


def guide(name: str) -> str:
    return (GUIDES / f"{name}.md").read_text(encoding="utf-8")


def blocks_of_track(track: str) -> list[tuple[str, Block]]:
    return [(name, block) for name in TRACKS[track] for block in blocks_of(guide(name))]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Run]]]:
    """All tracks, two at a time: for most of their time they wait. The longest begins."""

    def run(track: str, folder: Path) -> Run:
        folder.mkdir()
        return run_blocks([block for _, block in blocks_of_track(track)], folder)

    order = sorted(TRACKS, key=lambda track: len(blocks_of_track(track)), reverse=True)
    folders = {track: tmp_path_factory.mktemp(track) / "reader" for track in order}
    with ThreadPoolExecutor(2) as pool:
        yield {track: pool.submit(run, track, folder) for track, folder in folders.items()}


@pytest.mark.parametrize("track", TRACKS)
def test_the_guides_of_a_track_work_word_for_word(track: str, runs: dict[str, Future[Run]]) -> None:
    pages, run = blocks_of_track(track), runs[track].result()
    if run.status != 0:
        name, block = pages[len(run.printed) - 1]
        raise AssertionError(
            f"{name}.md, status {run.status} (None: too late):\n{block.text}\n{run.printed[-1]}\n{run.logs()}"
        )
    wrong = [
        f"{name}.md: {problem}\n{block.text}\nprinted:\n{printed}"
        for (name, block), printed in zip(pages, run.printed, strict=True)
        if block.shown is not None and (problem := differs(block.shown, printed))
    ]
    assert wrong == [], "\n".join(wrong)


def test_every_guide_with_commands_is_in_a_track_and_tells_where_it_goes_on_from() -> None:
    named = [name for track in TRACKS.values() for name in track]
    with_commands = [path.stem for path in sorted(GUIDES.glob("*.md")) if blocks_of(path.read_text(encoding="utf-8"))]
    assert sorted(named) == with_commands
    for first, *others in TRACKS.values():
        for number, name in enumerate(others):
            beginning = guide(name).split("```sh", 1)[0]
            assert any(f"]({earlier}.md)" in beginning for earlier in (first, *others[:number])), name
