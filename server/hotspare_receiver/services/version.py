"""VersionService at a receiver: its own version, open to all. The plan of an upgrade (V2) is not served yet."""

import re
from typing import Any

from hotspare.v1 import version_service_pb2, version_service_pb2_grpc
from hotspare_rpc.version import SOFTWARE_VERSION

CONTRACT_MAJOR = 1

_MAJOR = re.compile(r"v?([0-9]{1,6})(?:[.+-].*)?")


class VersionServicer(version_service_pb2_grpc.VersionServiceServicer):
    """Serves CheckVersion."""

    async def CheckVersion(
        self, request: version_service_pb2.CheckVersionRequest, context: Any
    ) -> version_service_pb2.CheckVersionResponse:
        """The version here, and whether a client of the version asked for works with it (V3)."""
        problem = incompatibility(request.software_version, SOFTWARE_VERSION)
        return version_service_pb2.CheckVersionResponse(
            software_version=SOFTWARE_VERSION,
            component=version_service_pb2.COMPONENT_RECEIVER,
            contract_major=CONTRACT_MAJOR,
            compatible=not problem,
            detail=problem,
        )


def incompatibility(client: str, server: str) -> str:
    """Why a client does not work with a server, in words; empty where it does: with the same major version."""
    if not client:
        return ""
    asked, here = _MAJOR.fullmatch(client.strip()), _MAJOR.fullmatch(server)
    if asked is None:
        return "the version that was named is no release"
    if here is not None and int(asked[1]) != int(here[1]):
        return f"a client of major version {int(asked[1])} does not work with a server of {int(here[1])}"
    return ""
