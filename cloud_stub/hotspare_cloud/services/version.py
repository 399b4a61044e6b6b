"""VersionService: what this cloud is, and with credentials what is next for the members of a group (V2)."""

from hotspare.v1 import version_service_pb2, version_service_pb2_grpc
from hotspare_cloud.core.versions import Planned, Running, plan
from hotspare_cloud.group import Group
from hotspare_cloud.services.callers import VIEWER, Callers, Context
from hotspare_model.group import MemberStatus
from hotspare_model.release import CONTRACT_MAJOR, incompatibility
from hotspare_rpc.credentials import AUTHORIZATION_KEY, RECEIVER_ID_KEY
from hotspare_rpc.version import SOFTWARE_VERSION
from hotspare_rpc.wire import role_to_proto

SYNC_UP_TO_DATE = 1
"""Number of SyncState in group.proto."""


class VersionService(version_service_pb2_grpc.VersionServiceServicer):
    """See version_service.proto."""

    def __init__(self, callers: Callers) -> None:
        self._callers = callers

    async def CheckVersion(
        self, request: version_service_pb2.CheckVersionRequest, context: Context
    ) -> version_service_pb2.CheckVersionResponse:
        """See version_service.proto. Open to all; who shows credentials of a group has to show the right ones."""
        problem = incompatibility(request.software_version, SOFTWARE_VERSION)
        response = version_service_pb2.CheckVersionResponse(
            software_version=SOFTWARE_VERSION,
            component=version_service_pb2.COMPONENT_CLOUD,
            contract_major=CONTRACT_MAJOR,
            compatible=not problem,
            detail=problem,
        )
        group = self._asked(request, context)
        if group is None:
            return response
        planned = plan(SOFTWARE_VERSION, _running(group))
        response.cloud_version = SOFTWARE_VERSION
        response.cloud_step = version_service_pb2.UpgradeStep.ValueType(planned.cloud)
        response.members.extend(_member_to_proto(each) for each in planned.members)
        return response

    def _asked(self, request: version_service_pb2.CheckVersionRequest, context: Context) -> Group | None:
        """The group whose plan is told. None: who asks shows no credentials of one, as a device, or names no account.

        Raises:
            HotspareError: INVALID_CREDENTIALS, TOKEN_EXPIRED, RESOURCE_NOT_FOUND, SUB_ACCOUNT_UNKNOWN.
        """
        shown = {key for key, _ in context.invocation_metadata() or ()}
        if AUTHORIZATION_KEY in shown and not request.arc_id:
            self._callers.operator(context, VIEWER)
            return None
        if not shown & {AUTHORIZATION_KEY, RECEIVER_ID_KEY}:
            return None
        group, _ = self._callers.group(context, VIEWER, request.arc_id, request.sub_account)
        return group


def _running(group: Group) -> list[Running]:
    return [
        Running(
            receiver_id=member.receiver_id,
            name=member.name,
            role=member.role,
            version=member.software_version,
            status=group.status(member.receiver_id),
            up_to_date=_is_up_to_date(group, member.receiver_id),
        )
        for member in group.members.values()
    ]


def _is_up_to_date(group: Group, receiver_id: str) -> bool:
    report = group.reports.get(receiver_id)
    if report is None or group.status(receiver_id) is MemberStatus.OFFLINE:
        return False
    return report.sync_state == SYNC_UP_TO_DATE


def _member_to_proto(planned: Planned) -> version_service_pb2.MemberVersion:
    member = planned.member
    return version_service_pb2.MemberVersion(
        receiver_id=member.receiver_id,
        role=role_to_proto(member.role),
        software_version=member.version,
        step=version_service_pb2.UpgradeStep.ValueType(planned.step),
        detail=planned.detail,
    )
