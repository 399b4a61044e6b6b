"""Where the protos are, and how protoc is called on them."""

import tempfile
from importlib import resources
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
PACKAGE = "hotspare.v1"


class ContractError(Exception):
    """The protos break a rule that the tools depend on; the message says where and which."""


def run_protoc(*arguments: str, protos: Path = PROTOS) -> None:
    """Call the protoc of grpcio-tools on all protos below `protos`; raise ContractError if it refuses."""
    files = sorted(path.relative_to(protos).as_posix() for path in protos.rglob("*.proto"))
    if not files:
        raise ContractError(f"no protos below {protos}")
    google = str(resources.files("grpc_tools") / "_proto")
    if protoc.main(["protoc", f"-I{protos}", f"-I{google}", *arguments, *files]) != 0:
        raise ContractError("protoc refused the protos; its words are above")


def descriptor_set(protos: Path = PROTOS, *, comments: bool = True) -> FileDescriptorSet:
    """Return the descriptors of all protos below `protos` and of what they import, imports first."""
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory, "set.binpb")
        source = ["--include_source_info"] if comments else []
        run_protoc("--include_imports", *source, f"--descriptor_set_out={out}", protos=protos)
        return FileDescriptorSet.FromString(out.read_bytes())
