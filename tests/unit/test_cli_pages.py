"""docs/commands: a page for each command, as the command makes it, with outputs that were recorded.

That the outputs are those of today is shown by tests/acceptance/test_cli_pages.py.
"""

from pathlib import Path

import pytest

from hotspare_cli.hints import HINTS
from hotspare_cli.main import hotspare
from hotspare_model.errors import Reason
from tools.cli_pages import FOLDER, INDEX, as_they_stand, differences, file_name, leaves, outputs_of, page, write


def test_the_pages_are_as_the_commands_make_them() -> None:
    assert differences() == [], "make cli-pages, and look at what it changed"


def test_each_command_has_a_page_with_an_output_that_begins_with_its_line() -> None:
    recorded = as_they_stand()
    for words, _ in leaves():
        lines = [line for line in recorded[words].splitlines() if line.startswith("$ hotspare ")]
        assert lines, f"{words} has no output: tests/acceptance/cli_story_lines.py"
        assert all(f" {words}" in line for line in lines)
        assert "Traceback" not in recorded[words]


def test_a_page_that_is_old_missing_or_too_much_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(as_they_stand(), tmp_path)
    assert differences(tmp_path) == []
    (tmp_path / "gone.md").write_text("of a command that is no more")
    (tmp_path / "pause.md").unlink()
    status = tmp_path / "status.md"
    status.write_text(status.read_text().replace("`--watch`", "`--look`"))
    assert differences(tmp_path) == ["gone.md", "pause.md", "status.md"]
    write(as_they_stand(), tmp_path)
    assert differences(tmp_path) == []
    monkeypatch.setattr(hotspare.commands["status"], "help", "Something else.")
    assert differences(tmp_path) == ["README.md", "status.md"], "another help makes another page"


def test_what_a_page_tells_of_refusals_are_the_hints_of_its_calls() -> None:
    text = page("switchover", "")
    assert f"| `TARGET_WORKING` | {HINTS[Reason.TARGET_WORKING].text} |" in text
    assert "`ROLE_TAKEN`" not in text
    assert "`ROLE_TAKEN`" in page("enable", "")


def test_statuses_are_told_where_they_can_happen() -> None:
    assert "| 4 | " in page("doctor", "")
    assert "| 4 | " not in page("members", "")
    assert "| 5 | " in page("alarm show", "")
    assert "| 3 | " not in page("context show", "")
    assert "`--yes` is missing" in page("pause", "")
    assert "`--yes` is missing" not in page("resume", "")


def test_the_recorded_part_is_kept_as_it_stands() -> None:
    assert outputs_of(page("pause", "```text\n$ hotspare pause\n```")).strip() == "```text\n$ hotspare pause\n```"
    assert (FOLDER / INDEX).exists()
    assert file_name("output test") == "output-test.md"
