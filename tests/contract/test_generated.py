"""What is made from the protos: up to date, found when it is not, and fit for the libraries we ask for."""

import importlib
import json
import re
import shutil
import tomllib
from importlib import resources
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from tools.api_reference import api_reference
from tools.contract import ProtoFile, from_descriptor_set, load
from tools.generate import GENERATED, REFERENCE, stale, write_artefacts
from tools.protos import PACKAGE, ROOT, ContractError

MODULES = sorted(path.stem for path in (GENERATED / "hotspare" / "v1").glob("*_pb2*.py"))


def test_generated_and_reference_come_from_the_protos_as_they_are() -> None:
    assert stale() == []


def test_what_is_changed_missing_or_left_over_is_found(tmp_path: Path) -> None:
    generated, reference = tmp_path / "generated", tmp_path / "docs" / "api.md"
    shutil.copytree(GENERATED, generated)
    package = generated / "hotspare" / "v1"
    (package / "alarm_pb2.py").write_text("changed\n", encoding="utf-8")
    (package / "alarm_pb2.pyi").unlink()
    (package / "gone_pb2.py").touch()
    assert stale(generated=generated, reference=reference) == [
        "generated/hotspare/v1/alarm_pb2.py differs",
        "generated/hotspare/v1/alarm_pb2.pyi is missing",
        "generated/hotspare/v1/gone_pb2.py should not be there",
        "docs/api.md differs",
    ]


@pytest.mark.parametrize("name", MODULES)
def test_every_generated_module_can_be_imported(name: str) -> None:
    importlib.import_module(f"{PACKAGE}.{name}")


def test_an_rpc_that_is_not_served_is_inherited() -> None:
    module = importlib.import_module(f"{PACKAGE}.role_service_pb2_grpc")
    assert callable(module.RoleServiceServicer().Switchover)


def test_the_service_config_is_part_of_the_package() -> None:
    config = json.loads(resources.files(PACKAGE).joinpath("service_config.json").read_text(encoding="utf-8"))
    assert config["methodConfig"]


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def test_floors_are_not_below_what_generated_code_refuses() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    floors = dict(line.split(">=") for line in project["dependencies"])
    folder = GENERATED / "hotspare" / "v1"
    protobuf = re.search(r"Protobuf Python Version: ([\d.]+)", (folder / "alarm_pb2.py").read_text("utf-8"))
    grpc = re.search(r"GRPC_GENERATED_VERSION = '([\d.]+)'", (folder / "role_service_pb2_grpc.py").read_text("utf-8"))
    assert protobuf is not None
    assert grpc is not None
    assert version(floors["protobuf"]) >= version(protobuf[1])
    assert version(floors["grpcio"]) >= version(grpc[1])


def test_artefacts_for_other_teams(tmp_path: Path) -> None:
    write_artefacts(tmp_path)
    descriptors = FileDescriptorSet.FromString((tmp_path / "hotspare.v1.binpb").read_bytes())
    assert from_descriptor_set(descriptors) == load()
    assert "google/protobuf/timestamp.proto" in {file.name for file in descriptors.file}
    packaged = (GENERATED / "hotspare" / "v1" / "service_config.json").read_bytes()
    assert (tmp_path / "service_config.json").read_bytes() == packaged


SAMPLE = """
// About the file.
syntax = "proto3";
package hotspare.v1;

// Keeps things.
service Things {
  // Watches `List<T>` and <that>.
  //
  // Callers: anyone.
  // Deadline: none (stream). Retry: no.
  rpc Watch(WatchRequest) returns (stream WatchResponse);
}
// Asks.
message WatchRequest {
  // Nested.
  message Filter {
    // Left | right.
    //
    // - first
    // - second
    repeated string names = 1;
  }
  // Which.
  oneof choice {
    // By filter.
    Filter filter = 1;
    // By kind.
    Kind kind = 2;
  }
  // Maybe.
  optional uint32 limit = 3;
  // By name.
  map<string, Filter> filters = 4;
}
// Answers.
message WatchResponse {}
// Kinds.
enum Kind {
  // Unknown.
  KIND_UNSPECIFIED = 0; // Never sent.
}
"""


def sample(folder: Path, text: str = SAMPLE) -> tuple[ProtoFile, ...]:
    (folder / "thing.proto").write_text(text, encoding="utf-8")
    return load(folder)


@pytest.mark.parametrize(
    "expected",
    [
        "## thing.proto\n\nAbout the file.\n\n### Things\n\nKeeps things.\n\n#### Things.Watch\n",
        "| [Things](#things) | [Watch](#thingswatch) |\n",
        "Server stream: [WatchRequest](#watchrequest) → stream of [WatchResponse](#watchresponse)",
        "Watches `List<T>` and &lt;that>.\n\n- Callers: anyone.\n- Deadline: none (stream). Retry: no.\n",
        "### WatchRequest.Filter\n\nNested.\n",
        r"| `names` | 1 | repeated `string` | Left \| right.<br>- first<br>- second |",
        "One of `choice`: Which.\n",
        "| `filter` | 1 | [WatchRequest.Filter](#watchrequestfilter), one of `choice` | By filter. |",
        "| `limit` | 3 | optional `uint32` | Maybe. |",
        "| `filters` | 4 | map of `string` to [WatchRequest.Filter](#watchrequestfilter) | By name. |",
        "### Kind\n\nKinds.\n\n| value | no. | what |\n| --- | --- | --- |\n",
        "| `KIND_UNSPECIFIED` | 0 | Unknown. Never sent. |",
    ],
)
def test_the_reference_tells_everything_of_a_file(tmp_path: Path, expected: str) -> None:
    assert expected in api_reference(sample(tmp_path))


def test_headings_with_one_anchor_are_refused(tmp_path: Path) -> None:
    twin = "// Twin.\nmessage WatchRequestFilter {}\n"
    with pytest.raises(ContractError, match="watchrequestfilter"):
        api_reference(sample(tmp_path, SAMPLE + twin))


def test_every_link_of_the_reference_leads_to_a_heading() -> None:
    page = REFERENCE.read_text(encoding="utf-8")
    anchors = {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", page)) - anchors == set()
