"""The hints of the CLI, the reasons of the model and the comments of errors.proto say the same things."""

import re
import shlex

import click
import pytest

from hotspare_cli.hints import HINTS, hint_for, keys
from hotspare_cli.main import hotspare
from hotspare_model.errors import Reason
from tools.protos import ROOT

_ERRORS = (ROOT / "protos" / "hotspare" / "v1" / "errors.proto").read_text(encoding="utf-8")
_VALUE = re.compile(r"((?:^ *//.*\n)+)^ *ERROR_REASON_(\w+) = \d+;", re.MULTILINE)


def promised_metadata() -> dict[str, set[str]]:
    """The keys that errors.proto names behind `Metadata:`, by reason."""
    found = {}
    for comment, reason in _VALUE.findall(_ERRORS):
        _, _, metadata = re.sub(r"\s*//", " ", comment).partition("Metadata:")
        found[reason] = set(re.findall(r"`(\w+)`", metadata))
    return found


def test_every_reason_has_a_hint_and_every_hint_a_reason() -> None:
    assert set(HINTS) == set(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_a_hint_is_one_line_with_a_full_stop(reason: Reason) -> None:
    for text in (HINTS[reason].text, HINTS[reason].with_metadata):
        assert text == text.strip()
        assert "\n" not in text
        assert not text or text.endswith(".")
    assert HINTS[reason].text
    assert "{" not in HINTS[reason].text


@pytest.mark.parametrize("reason", [reason for reason in Reason if HINTS[reason].with_metadata])
def test_a_hint_uses_only_metadata_that_the_contract_promises(reason: Reason) -> None:
    assert keys(HINTS[reason]), "a second form without metadata would never be another one"
    assert set(keys(HINTS[reason])) <= promised_metadata()[reason]


def test_without_all_of_its_metadata_the_plain_hint_is_given() -> None:
    assert hint_for(Reason.REVISION_NOT_FOUND, {}) == HINTS[Reason.REVISION_NOT_FOUND].text
    assert hint_for(Reason.REVISION_NOT_FOUND, {"oldest": "4"}) == HINTS[Reason.REVISION_NOT_FOUND].text
    full = hint_for(Reason.REVISION_NOT_FOUND, {"oldest": "4", "newest": "9"})
    assert full == "Name a revision from 4 to 9: hotspare backup revisions."


def test_b2_the_line_to_type_on_the_host_is_whole_and_can_be_taken_as_it_stands() -> None:
    told = {"host_receiver_id": "h-1", "host_address": "10.0.0.1:7001", "role": "ROLE_SPARE_1"}
    words = ("zone", "update", "panel-1/5", "--name", "Front door; rm -r")
    hint = hint_for(Reason.NOT_EDITABLE_HERE, told, words)
    line = "hotspare --server 10.0.0.1:7001 --token-file FILE zone update panel-1/5 --name 'Front door; rm -r'"
    assert hint == f"Repeat it on the host h-1, with a token of that receiver: {line}"
    assert shlex.split(line)[-5:] == list(words)
    assert hint_for(Reason.NOT_EDITABLE_HERE, told).endswith("--token-file FILE ….")
    assert "members" in hint_for(Reason.NOT_EDITABLE_HERE, {"role": "ROLE_SPARE_1"}, words), "it has no address"


@pytest.mark.parametrize("written", ["ROLE_SPARE_2,ROLE_SPARE_3", "SPARE_2, SPARE_3", "spare2,spare3"])
def test_g1_free_roles_are_named_as_the_option_takes_them(written: str) -> None:
    hint = hint_for(Reason.ROLE_TAKEN, {"free_roles": written, "holder": "h"})
    assert "(spare2, spare3)" in hint


def test_braces_in_metadata_are_no_template() -> None:
    hint = hint_for(Reason.FIELD_INVALID, {"field": "{problem}", "problem": "{0}."})
    assert hint == "Correct {problem}: {0}."


def _commands_in(text: str) -> list[str]:
    return re.findall(r"hotspare ((?:[a-z-]+ ?)+(?:--[a-z-]+)?)", text)


@pytest.mark.parametrize("reason", Reason)
def test_commands_that_a_hint_names_exist_with_their_options(reason: Reason) -> None:
    hint = HINTS[reason]
    for line in _commands_in(hint.text) + _commands_in(hint.with_metadata):
        words = shlex.split(line)
        command: click.Command = hotspare
        for word in words:
            if isinstance(command, click.Group) and word in command.commands:
                command = command.commands[word]
            elif word.startswith("--"):
                options = {name for parameter in command.params for name in parameter.opts}
                assert word in options, f"{reason}: {line}"
        assert command is not hotspare or words[0].startswith("--"), f"{reason}: {line}"
