"""The form of the contract, by its descriptors: comments, options, imports, pages, deadlines, errors."""

import json
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import grpc
import pytest

from tools.contract import Field, Message, ProtoFile, Rpc, load
from tools.protos import PROTOS, ROOT, ContractError
from tools.service_config import method_config, service_config

CANONICAL_CODES = frozenset(code.name for code in grpc.StatusCode)
ERRORS_PAGE = ROOT / "docs" / "errors.md"
BUF = Path(sysconfig.get_path("scripts"), "buf")


@cache
def contract() -> tuple[ProtoFile, ...]:
    return load()


def rpcs() -> list[Rpc]:
    return [rpc for file in contract() for service in file.services for rpc in service.rpcs]


def messages() -> dict[str, Message]:
    return {message.name: message for file in contract() for message in file.all_messages()}


def fields(message_name: str) -> dict[str, Field]:
    return {field.name: field for field in messages()[message_name.rpartition(".")[2]].fields}


def codes_of_reasons() -> dict[str, str]:
    """The reasons of ErrorInfo with their canonical codes, as the comments of ErrorReason begin with them."""
    (errors,) = (enum for file in contract() for enum in file.all_enums() if enum.name == "ErrorReason")
    return {
        value.name.removeprefix("ERROR_REASON_"): re.split("[.,]", value.comment)[0]
        for value in errors.values
        if value.number
    }


def test_every_element_has_a_comment() -> None:
    bare = [f"{file.name}: {name}" for file in contract() for name, comment in file.elements() if not comment]
    assert bare == []


def test_every_file_has_the_options_of_other_languages() -> None:
    for file in contract():
        assert file.options.go_package.endswith(";hotsparev1"), file.name
        assert file.options.java_package.endswith(".v1"), file.name
        assert file.options.java_multiple_files, file.name
        assert file.options.csharp_namespace == "Hotspare.V1", file.name


def test_only_google_protobuf_is_imported() -> None:
    foreign = {
        name
        for file in contract()
        for name in file.imports
        if not name.startswith(("google/protobuf/", "hotspare/v1/"))
    }
    assert foreign == set()


def test_every_file_is_of_the_one_package() -> None:
    assert {file.name for file in contract()} == {
        path.relative_to(PROTOS).as_posix() for path in PROTOS.rglob("*.proto")
    }


def test_every_list_is_paged() -> None:
    lists = [rpc for rpc in rpcs() if rpc.name.startswith("List")]
    assert lists
    for rpc in lists:
        request, response = fields(rpc.request), fields(rpc.response)
        assert request["page_size"].type.name in {"int32", "uint32"}, rpc
        assert request["page_token"].type.name == "string", rpc
        assert response["next_page_token"].type.name == "string", rpc
        assert any(field.label == "repeated" for field in response.values()), rpc


def test_every_update_takes_a_mask() -> None:
    updates = [rpc for rpc in rpcs() if rpc.name.startswith("Update")]
    assert updates
    for rpc in updates:
        assert "google.protobuf.FieldMask" in {field.type.name for field in fields(rpc.request).values()}, rpc


def test_no_request_or_response_serves_two_rpcs() -> None:
    used = [name for rpc in rpcs() for name in (rpc.request, rpc.response)]
    assert len(used) == len(set(used))


def test_every_enum_begins_unspecified() -> None:
    for file in contract():
        for enum in file.all_enums():
            assert enum.values[0].number == 0, enum.name
            assert enum.values[0].name.endswith("_UNSPECIFIED"), enum.name


def test_every_rpc_tells_callers_errors_and_deadline() -> None:
    labels = (r"^Callers: ", r"^Errors( of the stream)?: ", r"^Deadline: ")
    missing = [
        f"{rpc.service}.{rpc.name}: {label}"
        for rpc in rpcs()
        for label in labels
        if not re.search(label, rpc.comment, re.MULTILINE)
    ]
    assert missing == []


def test_service_config_names_every_rpc_once() -> None:
    entries = json.loads(service_config(contract()))["methodConfig"]
    named = [f"{name['service']}/{name['method']}" for entry in entries for name in entry["name"]]
    assert named == [f"hotspare.v1.{rpc.service}/{rpc.name}" for rpc in rpcs()]


def rpc_with(comment: str, *, client_streaming: bool = False, server_streaming: bool = False) -> Rpc:
    return Rpc(
        "S",
        "Do",
        comment,
        "hotspare.v1.DoRequest",
        "hotspare.v1.DoResponse",
        client_streaming,
        server_streaming,
    )


def test_a_deadline_line_becomes_timeout_and_retry_policy() -> None:
    config = method_config(rpc_with("Does it.\n\nDeadline: 5s. Retry: UNAVAILABLE."))
    assert config["name"] == [{"service": "hotspare.v1.S", "method": "Do"}]
    assert config["timeout"] == "5s"
    assert config["retryPolicy"]


def test_a_stream_has_no_timeout() -> None:
    config = method_config(rpc_with("Deadline: none (stream). Retry: no.", client_streaming=True))
    assert config.keys() == {"name"}


@pytest.mark.parametrize(
    "comment",
    [
        "",
        "Does it.",
        "Deadline: 5. Retry: no.",
        "Deadline: 0s. Retry: no.",
        "Deadline: 5s. Retry: yes.",
        "Deadline: 5s. Retry: INTERNAL.",
        "Deadline: 5s.\nRetry: no.",
        "Deadline: 5s. Retry: no. And more.",
        "Deadline: 5s. Retry: no.\nDeadline: 6s. Retry: no.",
        "Deadline: none (stream). Retry: no.",
    ],
)
def test_a_unary_rpc_needs_one_exact_deadline_line(comment: str) -> None:
    with pytest.raises(ContractError, match=r"^S\.Do: "):
        method_config(rpc_with(comment))


def test_a_stream_of_requests_is_not_tried_again_by_the_channel() -> None:
    with pytest.raises(ContractError, match="can't send a stream of requests again"):
        method_config(rpc_with("Deadline: 60s. Retry: UNAVAILABLE.", client_streaming=True))


def test_every_reason_begins_with_its_canonical_code() -> None:
    assert {reason: code for reason, code in codes_of_reasons().items() if code not in CANONICAL_CODES} == {}


def errors_named(rpc: Rpc) -> Iterator[tuple[str, str]]:
    """Yield code and reason of each error in the comment: `Errors: NOT_FOUND X, Y (why); ABORTED Z.`"""
    told = re.search(r"^Errors(?: of the stream)?:(.*?)^Deadline:", rpc.comment, re.MULTILINE | re.DOTALL)
    code = ""
    for word in re.findall(r"\b[A-Z]{2}[A-Z0-9_]*\b", told[1] if told else ""):
        if word in CANONICAL_CODES:
            code = word
        elif "_" in word:
            yield code, word


def test_errors_that_rpcs_name_are_reasons_of_that_code() -> None:
    known = codes_of_reasons()
    wrong = [
        f"{rpc.service}.{rpc.name}: {code} {reason}, and the enum says {known.get(reason)}"
        for rpc in rpcs()
        for code, reason in errors_named(rpc)
        if known.get(reason) != code
    ]
    assert wrong == []
    assert any(list(errors_named(rpc)) for rpc in rpcs())


def test_docs_errors_md_tells_every_reason_and_no_other() -> None:
    assert ERRORS_PAGE.exists(), "docs/errors.md, the catalogue of the reasons, is missing"
    told = set()
    for line in ERRORS_PAGE.read_text(encoding="utf-8").splitlines():
        heading_or_first_cell = re.match(r"(?:#+\s+|\|\s*)`?(?:ERROR_REASON_)?([A-Z][A-Z0-9_]+)`?\s*(?:\||$)", line)
        if heading_or_first_cell:
            told.add(heading_or_first_cell[1])
    reasons = codes_of_reasons().keys()
    assert reasons - told == set(), "reasons that docs/errors.md does not tell"
    assert told - reasons - CANONICAL_CODES == set(), "docs/errors.md tells reasons that do not exist"


def buf(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BUF, *arguments], cwd=cwd, capture_output=True, text=True, check=False, timeout=60)


def test_buf_lint_and_format_pass() -> None:
    for arguments in (("lint",), ("format", "--diff", "--exit-code")):
        result = buf(*arguments)
        assert result.returncode == 0, result.stdout + result.stderr


def test_nothing_breaks_the_descriptor_set_in_the_repository() -> None:
    result = buf("breaking", "--against", "protos/baseline.binpb")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the contract, to be damaged."""
    shutil.copytree(PROTOS, tmp_path / "protos")
    shutil.copy(ROOT / "buf.yaml", tmp_path)
    return tmp_path


def damage(copy: Path, pattern: str, replacement: str) -> None:
    path = copy / "protos" / "hotspare" / "v1" / "alarm.proto"
    text = path.read_text(encoding="utf-8")
    damaged = re.sub(pattern, replacement, text, count=1, flags=re.MULTILINE)
    assert damaged != text
    path.write_text(damaged, encoding="utf-8")


def test_a_changed_field_number_is_found_to_break(copy: Path) -> None:
    damage(copy, r"string alarm_id = 1;", "string alarm_id = 99;")
    result = buf("breaking", "--against", "protos/baseline.binpb", cwd=copy)
    assert result.returncode != 0
    assert "alarm.proto" in result.stdout


def test_an_element_without_a_comment_is_found_by_both(copy: Path) -> None:
    damage(copy, r"(^  //.*\n)+(?=  string alarm_id)", "")
    result = buf("lint", cwd=copy)
    assert result.returncode != 0
    assert '"alarm_id"' in result.stdout
    bare = [name for file in load(copy / "protos") for name, comment in file.elements() if not comment]
    assert bare == ["field Alarm.alarm_id"]
