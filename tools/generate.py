"""Make what the repository keeps of the protos: the Python code, the service config and the reference.

Without an option it writes generated/ and docs/api.md; `--check` says what differs from them and fails if
anything does; `--artefacts DIR` writes the descriptor set and the service config for others; `--baseline`
moves protos/baseline.binpb, against which breaking changes are found.
"""

import argparse
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

from tools.api_reference import api_reference
from tools.contract import ProtoFile, from_descriptor_set, load
from tools.protos import PROTOS, ROOT, ContractError, descriptor_set, run_protoc
from tools.service_config import service_config

GENERATED = ROOT / "generated"
REFERENCE = ROOT / "docs" / "api.md"
BASELINE = PROTOS / "baseline.binpb"

_INIT = {
    "hotspare": "The contract's generated code; import from hotspare.v1.",
    "hotspare/v1": "Generated from protos/hotspare/v1.",
}


def generate_code(target: Path, files: tuple[ProtoFile, ...], protos: Path = PROTOS) -> None:
    """Write the package `hotspare` below `target`: messages, stubs, their types and the service config."""
    scripts = Path(sysconfig.get_path("scripts"))
    # Servicers are concrete: an RPC that a server doesn't serve answers UNIMPLEMENTED by inheriting it.
    run_protoc(
        f"--plugin=protoc-gen-mypy={scripts / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={scripts / 'protoc-gen-mypy_grpc'}",
        f"--python_out={target}",
        f"--grpc_python_out={target}",
        f"--mypy_out=quiet:{target}",
        f"--mypy_grpc_out=quiet,generate_concrete_servicer_stubs:{target}",
        protos=protos,
    )
    for file in files:
        if not file.services:
            for empty in target.glob(f"{file.name.removesuffix('.proto')}_pb2_grpc.py*"):
                empty.unlink()
    for package, docstring in _INIT.items():
        (target / package / "__init__.py").write_text(f'"""{docstring}"""\n', encoding="utf-8")
    (target / "hotspare" / "py.typed").touch()
    (target / "hotspare" / "v1" / "service_config.json").write_text(service_config(files), encoding="utf-8")


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files below `folder`, without what Python makes itself, by their relative path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def differences(folder: Path, fresh: Path) -> list[str]:
    """Return one line for each file of `folder` that is not as in `fresh`."""
    old, new = contents(folder), contents(fresh)
    words = {(True, False): "should not be there", (False, True): "is missing", (True, True): "differs"}
    return [
        f"{folder.name}/{name} {words[name in old, name in new]}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]


def stale(protos: Path = PROTOS, generated: Path = GENERATED, reference: Path = REFERENCE) -> list[str]:
    """Return one line for each generated thing that does not come from the protos as they are."""
    files = load(protos)
    with tempfile.TemporaryDirectory() as directory:
        fresh = Path(directory)
        generate_code(fresh, files, protos)
        found = differences(generated, fresh)
    if not reference.exists() or reference.read_text(encoding="utf-8") != api_reference(files):
        found.append(f"{reference.parent.name}/{reference.name} differs")
    return found


def write_all() -> None:
    """Replace generated/hotspare as a whole (so that nothing stale stays) and the reference."""
    files = load()
    reference = api_reference(files)
    with tempfile.TemporaryDirectory() as directory:
        fresh = Path(directory)
        generate_code(fresh, files)
        shutil.rmtree(GENERATED / "hotspare", ignore_errors=True)
        shutil.copytree(fresh / "hotspare", GENERATED / "hotspare")
    REFERENCE.parent.mkdir(exist_ok=True)
    REFERENCE.write_text(reference, encoding="utf-8")


def write_artefacts(folder: Path) -> None:
    """Write what other teams take: the descriptor set with comments and imports, and the service config."""
    descriptors = descriptor_set()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hotspare.v1.binpb").write_bytes(descriptors.SerializeToString(deterministic=True))
    config = service_config(from_descriptor_set(descriptors))
    (folder / "service_config.json").write_text(config, encoding="utf-8")


def main() -> int:
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(description="Make what is generated from the protos.")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--check", action="store_true", help="only say what differs")
    choice.add_argument("--artefacts", type=Path, metavar="DIR", help="write descriptor set and service config")
    choice.add_argument("--baseline", action="store_true", help="move the descriptor set for breaking changes")
    chosen = parser.parse_args()
    try:
        if chosen.check:
            found = stale()
            if found:
                print(*found, "Run `make proto` and commit the result.", sep="\n", file=sys.stderr)
            return 1 if found else 0
        if chosen.artefacts:
            write_artefacts(chosen.artefacts)
        elif chosen.baseline:
            BASELINE.write_bytes(descriptor_set(comments=False).SerializeToString(deterministic=True))
        else:
            write_all()
    except ContractError as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
