"""The reasons of errors: the contract, the model and the catalogue in the docs say the same."""

import re
from pathlib import Path

import grpc
import pytest

from hotspare.v1 import errors_pb2
from hotspare_model.errors import CODES, HotspareError, Reason
from hotspare_rpc.errors import DEFAULT_RETRY, canonical_code, to_status

ROOT = Path(__file__).resolve().parents[2]
PREFIX = "ERROR_REASON_"
PROTO = (ROOT / "protos/hotspare/v1/errors.proto").read_text(encoding="utf-8")
CATALOGUE = (ROOT / "docs/errors.md").read_text(encoding="utf-8")

# A value with the comment above it.
_VALUE = re.compile(r"((?:^  //[^\n]*\n)+)^  ERROR_REASON_([A-Z_]+) = \d+;$", re.MULTILINE)
_ROW = re.compile(r"^\| `([A-Z_]+)` \| `([A-Z_]+)` \| (.+?) \| (.+?) \|$", re.MULTILINE)

COMMENTS = {
    name: " ".join(line.strip().removeprefix("//").strip() for line in comment.strip().splitlines())
    for comment, name in _VALUE.findall(PROTO)
}
ROWS = {name: (code, meaning, remedy) for name, code, meaning, remedy in _ROW.findall(CATALOGUE)}
REASONS = sorted(Reason)


def test_the_model_has_the_reasons_of_the_contract() -> None:
    of_contract = {name.removeprefix(PREFIX) for name in errors_pb2.ErrorReason.DESCRIPTOR.values_by_name} - {
        "UNSPECIFIED"
    }
    assert {reason.value for reason in Reason} == of_contract
    assert all(reason.name == reason.value for reason in Reason)
    assert set(CODES) == set(Reason)


def test_this_test_reads_every_comment_and_every_row() -> None:
    assert set(COMMENTS) == {reason.value for reason in Reason} | {"UNSPECIFIED"}
    assert len(_ROW.findall(CATALOGUE)) == len(Reason)


@pytest.mark.parametrize("reason", REASONS)
def test_the_code_is_the_one_that_the_contract_names(reason: Reason) -> None:
    named = re.match(r"([A-Z_]+)(?:, with RetryInfo)?\. ", COMMENTS[reason.value])
    assert named is not None
    assert CODES[reason] == named[1]
    assert canonical_code(reason) is grpc.StatusCode[named[1]]


@pytest.mark.parametrize("reason", REASONS)
def test_the_catalogue_has_the_reason_with_its_code_and_what_to_do(reason: Reason) -> None:
    code, meaning, remedy = ROWS[reason.value]
    assert code == CODES[reason]
    assert len(meaning) > 20
    assert remedy


def test_the_reasons_with_a_retry_info_are_those_that_the_contract_names() -> None:
    named = {name for name, comment in COMMENTS.items() if comment.split(". ")[0].endswith(", with RetryInfo")}
    assert {reason.value for reason in DEFAULT_RETRY} == named
    for reason in DEFAULT_RETRY:
        types = [detail.type_url for detail in to_status(HotspareError(reason, "x")).details]
        assert types[1:] == ["type.googleapis.com/google.rpc.RetryInfo"]


def test_the_catalogue_has_nothing_else() -> None:
    assert set(ROWS) == {reason.value for reason in Reason}
