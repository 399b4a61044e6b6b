"""What the status tells of devices that are connected directly (D1, D4)."""

from collections.abc import Iterator

from hotspare.v1 import receiver_service_pb2
from hotspare_model.errors import Reason
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
        yield from _publishing(isolation)
    for group, count in sorted(isolation.elsewhere.items()) if isolation is not None else ():
        yield (
            f"{_alarms(count)}, taken while cut off from the cloud, wait for the group {group}, of which this receiver"
            " is not now."
        )
    if isolation is not None and isolation.in_doubt:
        yield (
            f"{isolation.in_doubt} direct alarms are kept and not forwarded here, for the cloud may have them: they are"
            " published when it is back."
        )
    if listener_problem:
        yield f"DC-09 panels can't connect: {listener_problem}. It is tried again."


def _publishing(isolation: IsolationSnapshot) -> Iterator[str]:
    """How it goes with what the cloud of this group does not have yet."""
    left = isolation.unpublished - sum(isolation.elsewhere.values())
    if left <= 0:
        return
    what = f"{_alarms(left)}, taken while cut off from the cloud,"
    if isolation.problem is None:
        yield f"{what} {'is' if left == 1 else 'are'} being published."
    elif isolation.problem.reason is Reason.DUAL_CONNECTION_OFF:
        yield f"{what} can't be published, for dual connection was switched off: switch it on again for that."
    else:
        yield f"{what} can't be published: {isolation.problem.message}."


def _alarms(count: int) -> str:
    return f"{count} direct {'alarm' if count == 1 else 'alarms'}"
