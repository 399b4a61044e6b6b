"""Every call of the contract has its command, or needs none; every command is told with its calls."""

import re

import pytest

from tools.cli_calls import (
    BY_REFLECTION,
    WITHOUT_A_COMMAND,
    WITHOUT_A_SERVER,
    commands,
    contract,
    needed_role,
)
from tools.cli_pages import leaves
from tools.protos import ROOT

NOT_SERVED = "No server serves it yet"
SERVED_ROW = re.compile(r"^\| (?:cloud|receiver) \| `(\w+)` \| (.+) \|$", re.MULTILINE)


def called() -> set[str]:
    return {name for calls in commands().values() for name in calls}


def test_no_call_of_the_contract_is_left_without_a_command_or_a_reason() -> None:
    assert set(contract()) == called() | set(WITHOUT_A_COMMAND)
    assert not called() & set(WITHOUT_A_COMMAND), "a reason for nothing"
    assert len(contract()) > 90, "the protos are read whole"


def test_no_command_is_left_without_its_calls() -> None:
    every = {words for words, _ in leaves()}
    assert every == set(commands()) | set(WITHOUT_A_SERVER) | set(BY_REFLECTION)


def test_what_is_told_to_be_served_by_nobody_is_so_and_nothing_else() -> None:
    page = (ROOT / "docs" / "contract.md").read_text(encoding="utf-8")
    rows = SERVED_ROW.findall(page)
    served = {f"{service}/{method}" for service, methods in rows for method in re.findall(r"`(\w+)`", methods)}
    assert served <= set(contract())
    told = {name for name, why in WITHOUT_A_COMMAND.items() if why == NOT_SERVED}
    assert set(contract()) - served == told


def test_the_calls_of_a_command_are_made_somewhere_in_its_code() -> None:
    files = (ROOT / "cli" / "hotspare_cli").rglob("*.py")
    code = "\n".join(file.read_text(encoding="utf-8") for file in files)
    by_kind = re.compile(r"(?:List|Get|Create|Update|Delete)(?:Device|Partition|Zone|Channel|User|Event)s?")
    for name in called():
        method = name.partition("/")[2]
        assert by_kind.fullmatch(method) or re.search(rf"\.{method}\b", code), name


@pytest.mark.parametrize(
    ("words", "role"),
    [
        ("status", "viewer"),
        ("members", "viewer"),
        ("switchover", "operator"),
        ("settings set", "admin"),
        ("member remove", "admin"),
        ("backup restore", "admin"),
        ("alarm tail", "operator or higher, or feed"),
        ("account create", "of the cloud, of the role admin"),
        ("alarm send", "no token: the key of the device"),
        ("version check", "no token; with one of the role viewer"),
    ],
)
def test_s1_the_role_that_a_command_needs_is_that_of_the_contract(words: str, role: str) -> None:
    assert role in needed_role(commands()[words])


def test_s1_every_command_tells_what_it_needs() -> None:
    assert all(needed_role(calls) for calls in commands().values())
