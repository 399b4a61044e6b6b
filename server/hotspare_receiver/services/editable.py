"""Where the configuration may be edited, and replaced as a whole (B2)."""

from hotspare_model.errors import HotspareError, Reason
from hotspare_model.group import Role
from hotspare_receiver.clients.members import MembersWatch
from hotspare_receiver.store.settings import SettingsStore


def check_editable(settings: SettingsStore, members: MembersWatch) -> None:
    """On the host, or on a receiver that works alone. Raises HotspareError NOT_EDITABLE_HERE, which names the host."""
    role, host = settings.role, members.host()
    if role is not None and role.role is Role.HOST:
        return
    if role is None and host is None:
        return
    receiver_id = host.receiver.receiver_id if host is not None else ""
    address = host.receiver.address if host is not None else ""
    named = f", {receiver_id} at {address or 'an unknown address'}" if receiver_id else ""
    what = f"is {role.role.name}" if role is not None else "has no role, and its group has a host"
    raise HotspareError(
        Reason.NOT_EDITABLE_HERE,
        f"this receiver {what}: the configuration is edited on the host{named}",
        role=role.role.name if role is not None else "ALONE",
        host_receiver_id=receiver_id,
        host_address=address,
    )
