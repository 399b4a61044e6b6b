"""The outputs on the pages docs/commands are those of today's programs, and all calls of the commands' table happen."""

from collections.abc import Iterator

import pytest

from tests.acceptance.cli_story import Stage, blocks, play, shape, staged, together
from tools.cli_calls import commands
from tools.cli_pages import as_they_stand, leaves

pytestmark = pytest.mark.full

ONLY_WATCHED = {"ReceiverService/WatchStatus"}
"""`status --watch` has no end: tests/integration/test_cli_watching.py."""


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with staged() as stage:
        yield stage


@pytest.fixture(scope="module")
def played(stage: Stage) -> dict[str, list[str]]:
    return play(stage)


def test_each_command_prints_what_its_page_shows(played: dict[str, list[str]]) -> None:
    shown = {words: blocks(text) for words, text in as_they_stand().items()}
    assert set(played) == {words for words, _ in leaves()}, "the story runs every command"
    differs = {
        words: (shown[words], new)
        for words, new in played.items()
        if [shape(block) for block in shown[words]] != [shape(block) for block in new]
    }
    assert not differs, f"make cli-pages, and look at what changed: {differs}"


def test_every_call_that_a_command_is_told_to_make_comes_in_at_a_server(
    stage: Stage, played: dict[str, list[str]]
) -> None:
    assert played
    told = {name for calls in commands().values() for name in calls}
    assert told - stage.called() == ONLY_WATCHED


def test_a_block_is_written_anew_only_where_its_shape_differs() -> None:
    old = "$ hotspare members\nEpoch  7\nWorking  host alpha (4 min ago)\n"
    same = "$ hotspare members\nEpoch   12\nWorking   host alpha (now)\n"
    other = "$ hotspare members\nEpoch  12\nWorking  nobody\n"
    assert together([same], [old]) == f"```text\n{old}```"
    assert together([other], [old]) == f"```text\n{other}```"
    assert blocks(together([same, other], [])) == [same, other]
