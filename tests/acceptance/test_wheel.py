"""The wheel as a user has it: installed in an empty environment, without a clone of the repository."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.harness.installing import Environment
from tests.acceptance.harness.process import Result, Server, run
from tools.protos import PROTOS, ROOT

EXAMPLE = ROOT / "docs" / "clients" / "python"
LOCAL = "127.0.0.1:0"

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Environment:
    """With all extras, and what a checker of types needs to know of gRPC."""
    folder = tmp_path_factory.mktemp("whole") / "venv"
    return Environment(folder, f"hotspare[all] @ {wheel.as_uri()}", "types-grpcio>=1.85", "types-protobuf>=6")


@dataclass(frozen=True)
class Served:
    """A cloud and a receiver of the wheel, and the CLI of the plain one."""

    cloud: Server
    receiver: Server
    token: Path
    plain: Environment

    def cli(self, *words: str, fail: bool = False) -> Result:
        """`hotspare` as the receiver's operator."""
        head = (self.plain.script("hotspare"), "--server", self.receiver.grpc, "--token-file", str(self.token))
        return run([*head, *words], fail=fail)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, whole: Environment, plain: Environment) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    with ExitStack() as cleaning:
        servers = []
        for name in ("cloud", "receiver"):
            words = ("serve", "--data", str(folder / name), "--listen", LOCAL, "--metrics", LOCAL)
            server = Server(name, [whole.script(f"hotspare-{name}"), *words], folder)
            cleaning.callback(server.destroy)
            server.start()
            servers.append(server)
        cloud, receiver = [server.serving() for server in servers]
        yield Served(cloud, receiver, folder / "receiver" / "admin.token", plain)


def test_v3_the_wheel_holds_messages_stubs_types_and_the_service_config(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for proto in PROTOS.rglob("*.proto"):
        module = proto.relative_to(PROTOS).with_suffix("").as_posix()
        assert {f"{module}_pb2.py", f"{module}_pb2.pyi"} <= names
        if "\nservice " in proto.read_text(encoding="utf-8"):
            assert {f"{module}_pb2_grpc.py", f"{module}_pb2_grpc.pyi"} <= names
    packages = {name.split("/")[0] for name in names if not name.startswith("hotspare-")}
    assert {f"{package}/py.typed" for package in packages} <= names
    assert "hotspare/v1/service_config.json" in names
    assert packages == {"hotspare"} | {
        f"hotspare_{part}" for part in ("cli", "cloud", "model", "receiver", "rpc", "sim", "store")
    }
    assert [name for name in names if name.endswith((".pyc", ".db", ".token"))] == []


IMPORTS = """
import ast, importlib, importlib.metadata, importlib.util, json, pathlib
names = set()
for package in ("hotspare", "hotspare_model", "hotspare_cli"):
    folder = pathlib.Path(importlib.util.find_spec(package).submodule_search_locations[0])
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(node.module)
for name in names - {"__future__"}:
    importlib.import_module(name)
print(json.dumps(sorted(found.name.lower() for found in importlib.metadata.distributions())))
"""


def test_the_plain_install_has_all_that_messages_and_cli_import_and_nothing_of_the_servers(plain: Environment) -> None:
    # All imports, also those inside of functions; -P: nothing of this folder.
    done = run([plain.python, "-P", "-c", IMPORTS])
    installed = set(json.loads(done.stdout.splitlines()[-1]))
    assert {"hotspare", "grpcio", "protobuf", "click"} <= installed
    assert not {"sqlite-utils", "prometheus-client", "prometheus_client", "grpcio-tools", "pytest"} & installed


@pytest.mark.parametrize("name", ["cloud", "receiver"])
def test_a_server_without_its_extra_says_what_to_install(name: str, plain: Environment, tmp_path: Path) -> None:
    script = plain.script(f"hotspare-{name}")
    assert "serve" in run([script, "--help"]).stdout
    done = run([script, "serve", "--data", tmp_path / "data", "--listen", LOCAL], fail=True)
    assert done.status == 1
    (line,) = [line for line in done.stderr.splitlines() if line.strip()]
    assert f"pip install 'hotspare[{name}]'" in line
    assert not (tmp_path / "data").exists()


def test_with_the_extras_the_servers_serve_and_the_plain_cli_speaks_to_them(served: Served) -> None:
    assert "Usage: hotspare" in served.cli("--help").stdout
    status = json.loads(served.cli("status", "-o", "json").stdout)
    assert status
    assert "StreamAlarms" in served.cli("describe", "AlarmFeedService").stdout
    answer = json.loads(served.cli("call", "VersionService/CheckVersion").stdout)
    assert answer["component"] == "COMPONENT_RECEIVER"
    assert answer["software_version"] in run([served.plain.script("hotspare"), "--version"]).stdout


PROGRAM = """\
import grpc
from hotspare.v1 import alarm_pb2, alarm_service_pb2, alarm_service_pb2_grpc


def publish(channel: grpc.Channel, alarm: alarm_pb2.Alarm) -> int:
    submission = alarm_service_pb2.AlarmSubmission(alarm=alarm)
    request = alarm_service_pb2.PublishAlarmRequest(submission=submission)
    answer = alarm_service_pb2_grpc.AlarmServiceStub(channel).PublishAlarm(request, timeout=10)
    return answer.receipt.alarm_id
"""


def test_a_checker_of_types_knows_the_installed_messages(whole: Environment, tmp_path: Path) -> None:
    """The example is right as it is; a program with one mistake gets one error, so the types are really looked at."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    words = ("--config-file", "pyproject.toml", "--cache-dir", tmp_path / "cache", "--no-error-summary")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *words, "--python-executable", whole.python, "client.py", program],
        cwd=EXAMPLE, capture_output=True, text=True, check=False, timeout=300,
        env={name: value for name, value in os.environ.items() if name != "MYPYPATH"},
    )  # fmt: skip
    assert done.stderr == ""
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert len(errors) == 1, done.stdout
    assert 'got "str", expected "int"' in errors[0]
    assert "program.py:9" in errors[0]
