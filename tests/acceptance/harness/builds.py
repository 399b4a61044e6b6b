"""The example clients that have to be built first, by the Makefiles that their pages name."""

import shutil
import subprocess
from pathlib import Path

from tests.acceptance.harness.process import environment
from tools.protos import PROTOS, ROOT

CLIENTS = ROOT / "docs" / "clients"
PATIENCE = 300.0
"""Seconds for a build, on a slow and busy machine."""


def built(language: str, folder: Path, *variables: str, jobs: int = 1) -> Path:
    """Build the example of a language below `folder`, where its compiler keeps what it caches too; returns the program.

    `variables`: of make, `NAME=value`.
    """
    build = folder / "build"
    command = ["make", f"--jobs={jobs}", f"--directory={CLIENTS / language}", f"BUILD={build}", *variables]
    # Of the make that runs the tests, nothing.
    env = {name: value for name, value in environment().items() if not name.startswith("MAKE")}
    env |= {"GOCACHE": str(folder / "cache"), "TMPDIR": str(folder)}
    result = subprocess.run(
        command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stdout}\n{result.stderr}"
    return build / "hotspare-client"


def generated(folder: Path) -> set[str]:
    """Generate all of the contract in these languages, by Debian's generators; returns the names of the files made."""
    plugins = {"grpc-cpp": "grpc_cpp_plugin", "grpc-java": "grpc_java_plugin"}
    options = [f"--plugin=protoc-gen-{name}={shutil.which(program)}" for name, program in plugins.items()]
    outputs = ("cpp", "grpc-cpp", "java", "grpc-java", "go", "go-grpc")
    command = ["protoc", f"--proto_path={PROTOS}", *options, *(f"--{name}_out={folder}" for name in outputs)]
    protos = [str(path) for path in sorted(PROTOS.rglob("*.proto"))]
    result = subprocess.run([*command, *protos], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (result.returncode, result.stderr) == (0, ""), f"{result.stdout}\n{result.stderr}"
    return {path.name for path in folder.rglob("*") if path.is_file()}
