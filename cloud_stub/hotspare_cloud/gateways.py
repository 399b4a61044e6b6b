"""Gateways: receivers that pass on what came to them on the direct path (D1, D2, D4).

Who may be one, what it tells of an alarm beyond what the device said, and what follows where its ARC has it already.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from hotspare_cloud.core.admission import Membership
from hotspare_cloud.delivery import Withdraw
from hotspare_cloud.directory import Directory
from hotspare_cloud.group import Group
from hotspare_cloud.history import OWN_DEVICE
from hotspare_cloud.store.base import DeviceRow, KeptAlarm
from hotspare_model.alarm import AlarmPath
from hotspare_model.errors import HotspareError, Reason, field_invalid
from hotspare_model.group import Role


@dataclass(frozen=True, slots=True)
class Report:
    """What a gateway tells of an alarm. `payload` is all of it, as it came."""

    receiver_id: str
    path: AlarmPath
    received: datetime | None
    """When the gateway had the alarm."""
    raw_frame: bytes
    confirmed: datetime | None
    """When its ARC confirmed the alarm, while the gateway was cut off (D4). None: it did not."""
    payload: bytes = field(repr=False)


class Gateway:
    """A receiver that calls as one. What it may is asked anew with each alarm: a stream outlasts a role."""

    def __init__(self, directory: Directory, arc_id: str, receiver_id: str) -> None:
        self.receiver_id = receiver_id
        self._directory = directory
        self._arc_id = arc_id

    def group(self) -> Group:
        """The group that it is of. Raises HotspareError NOT_A_MEMBER."""
        return self._known()[0]

    def device(self, device_id: str) -> DeviceRow:
        """A device for which it may speak; with an empty id the receiver itself, under its own account number.

        Any member may speak for itself (F10, a test alarm); for devices only a host, or one that works alone (D1).

        Raises:
            HotspareError: NOT_A_MEMBER; FIELD_INVALID; CALLER_NOT_ALLOWED (a spare, or one without a role in a group
                that has a host); DUAL_CONNECTION_OFF; DEVICE_UNKNOWN, also where another group or account has such a
                device (S2).
        """
        group, member = self._known()
        if not device_id:
            if not member.own_account_number:
                raise field_invalid("device_id", "must name the device: this receiver has no account number of its own")
            return DeviceRow(group.row.group_id, f"{OWN_DEVICE}{self.receiver_id}", b"", member.own_account_number)
        _check_allowed(group, member)
        device = self._directory.device_in(group, device_id)
        if device is None:
            raise HotspareError(
                Reason.DEVICE_UNKNOWN, f"the group has no device {device_id[:64]}", device_id=device_id[:64]
            )
        return device

    def _known(self) -> tuple[Group, Membership]:
        group = self._directory.group_at_work(self._arc_id, self.receiver_id)
        if group is None:
            raise HotspareError(Reason.NOT_A_MEMBER, "this receiver holds no role", receiver_id=self.receiver_id)
        return group, group.members[self.receiver_id]


def _check_allowed(group: Group, member: Membership) -> None:
    """Raises HotspareError CALLER_NOT_ALLOWED, DUAL_CONNECTION_OFF: as far as the cloud knows."""
    has_host = any(each.role is Role.HOST for each in group.members.values())
    if member.role is not Role.HOST and (member.role is not None or has_host):
        raise HotspareError(
            Reason.CALLER_NOT_ALLOWED,
            "only the host, or a receiver that works alone, passes on alarms of its direct path",
            caller=member.role.name if member.role is not None else "receiver without a role",
            required="HOST",
        )
    if not member.dual_connection:
        raise HotspareError(Reason.DUAL_CONNECTION_OFF, "dual connection is not switched on at this receiver")


def confirmed_elsewhere(group: Group, alarms: Sequence[KeptAlarm]) -> None:
    """The ARC has alarms that waited, or came just now: a host forwarded them while it was cut off (D4)."""
    aside = sum(1 for alarm in alarms if alarm.was_aside)
    group.backlog -= len(alarms) - aside
    group.aside.taken_back(aside)
    group.confirmed += len(alarms)
    for number in group.delivery.window.confirmed(alarm.number for alarm in alarms):
        if group.delivery.pull is not None:
            group.delivery.pull.send(Withdraw(number))
    group.delivery.wake()
