"""What the status tells of devices that are connected directly (D1, D4)."""

from collections.abc import Iterator

from hotspare.v1 import receiver_service_pb2
from hotspare_receiver.direct.isolated import IsolationSnapshot
from hotspare_rpc.wire import timestamp_to_proto


def isolation_to_proto(isolation: IsolationSnapshot) -> receiver_service_pb2.Isolation:
    """How a host is cut off from the cloud, as the contract has it."""
    message = receiver_service_pb2.Isolation(
        taken=isolation.taken, confirmed=isolation.confirmed, unpublished=isolation.unpublished
    )
    if isolation.since is not None:
        message.since_time.CopyFrom(timestamp_to_proto(isolation.since))
    return message


def direct_advice(isolation: IsolationSnapshot | None, listener_problem: str) -> Iterator[str]:
    """What is wrong and what to do, gravest first."""
    if isolation is not None and isolation.since is not None:
        yield (
            f"Cut off from the cloud: this host takes direct alarms and forwards them itself ({isolation.taken} taken,"
            f" {isolation.confirmed} confirmed). What comes on both paths may reach the ARC twice."
        )
    elif isolation is not None:
        yield f"{isolation.unpublished} direct alarms, taken while cut off from the cloud, are being published."
    if isolation is not None and isolation.in_doubt:
        yield (
            f"{isolation.in_doubt} direct alarms are kept and not forwarded here, for the cloud may have them: they are"
            " published when it is back."
        )
    if listener_problem:
        yield f"DC-09 panels can't connect: {listener_problem}. It is tried again."
