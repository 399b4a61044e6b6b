"""What the cloud could not be told when a role was given up here: said again until it is heard (X2).

It goes to the cloud of then, with the credentials of then: the settings may name another one by now.
"""

import logging

import grpc

from hotspare.v1 import role_service_pb2, role_service_pb2_grpc
from hotspare_model.errors import Reason
from hotspare_receiver.clients.cloud import CloudClient
from hotspare_receiver.store.settings import Goodbye, SettingsStore
from hotspare_rpc.address import AddressError
from hotspare_rpc.channel import PlaintextError
from hotspare_rpc.credentials import ReceiverCredentials, operator_metadata
from hotspare_rpc.errors import describe, from_rpc_error
from hotspare_rpc.logs import log_event
from hotspare_rpc.tls import TlsError

GOODBYE_TIMEOUT = 2.0

HEARD = frozenset({Reason.NOT_A_MEMBER, Reason.HOT_SPARE_ENDED})
"""Answers of a cloud that knows already that the role is gone."""

_log = logging.getLogger(__name__)


def same_account(store: SettingsStore, goodbye: Goodbye) -> bool:
    """Whether a goodbye goes to the account that the settings name now."""
    settings = store.settings
    return (goodbye.cloud_address, goodbye.arc_id) == (settings.cloud_address, settings.arc_id)


async def say(cloud: CloudClient, store: SettingsStore, goodbye: Goodbye) -> bool:
    """Tell the cloud that it was then; returns whether it heard."""
    keys = [store.goodbye_key]
    if same_account(store, goodbye) and store.arc_key not in ("", store.goodbye_key):
        keys.append(store.arc_key)  # The key of then may have been replaced meanwhile (X3).
    try:
        channel = cloud.open(goodbye.cloud_address, goodbye.cloud_tls, goodbye.cloud_ca_pem)
    except (AddressError, PlaintextError, TlsError) as problem:
        log_event(_log, logging.INFO, "goodbye_not_heard", problem=problem)
        return False
    async with channel:
        for key in keys:
            if await _say(channel, ReceiverCredentials(goodbye.arc_id, key, store.receiver_id), goodbye):
                log_event(_log, logging.INFO, "goodbye_heard", cloud_address=goodbye.cloud_address)
                return True
    return False


async def _say(channel: grpc.aio.Channel, credentials: ReceiverCredentials, goodbye: Goodbye) -> bool:
    request = role_service_pb2.LeaveGroupRequest(
        released_through=goodbye.released_through, detail=goodbye.detail, generation=goodbye.generation
    )
    told_by = operator_metadata(goodbye.operator) if goodbye.operator else ()
    try:
        await role_service_pb2_grpc.RoleServiceStub(channel).LeaveGroup(
            request, metadata=credentials.metadata() + told_by, timeout=GOODBYE_TIMEOUT
        )
    except grpc.aio.AioRpcError as error:
        ours = from_rpc_error(error)
        log_event(_log, logging.INFO, "goodbye_not_heard", problem=describe(error))
        return ours is not None and ours.reason in HEARD
    return True
