"""VersionService: what this cloud is."""

from hotspare.v1 import version_service_pb2, version_service_pb2_grpc
from hotspare_cloud.services.callers import Context
from hotspare_rpc.version import SOFTWARE_VERSION

CONTRACT_MAJOR = 1


class VersionService(version_service_pb2_grpc.VersionServiceServicer):
    """See version_service.proto."""

    async def CheckVersion(
        self, request: version_service_pb2.CheckVersionRequest, context: Context
    ) -> version_service_pb2.CheckVersionResponse:
        """See version_service.proto. Clients of the same major version work (V3), whatever release they are of."""
        return version_service_pb2.CheckVersionResponse(
            software_version=SOFTWARE_VERSION,
            component=version_service_pb2.COMPONENT_CLOUD,
            contract_major=CONTRACT_MAJOR,
            compatible=True,
        )
