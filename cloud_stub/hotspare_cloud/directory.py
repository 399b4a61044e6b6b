"""Who is known to the cloud: accounts, devices and tokens in memory, and the groups at work.

All of it is read from the store at the start and kept in step by the services that change it, so that a call is
authenticated without a look into the store.
"""

import asyncio
import hmac
import itertools
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from uuid import uuid4

from hotspare_cloud.clock import StallWatch
from hotspare_cloud.finish import finished
from hotspare_cloud.group import Group
from hotspare_cloud.keys import ArcKeys, invalid_credentials
from hotspare_cloud.store.base import AccountRow, DeviceRow, GroupRow, Store
from hotspare_cloud.tokens import OperatorTokens
from hotspare_model.errors import HotspareError, Reason
from hotspare_model.lease import LeaseTerms, check_terms
from hotspare_rpc.credentials import sha256
from hotspare_rpc.logs import log_event
from hotspare_store.folder import DataFolderError

DEFAULT_SUB_ACCOUNT = "default"

_log = logging.getLogger(__name__)


class Directory:
    """Accounts, devices, tokens and groups. One a process."""

    def __init__(self, store: Store, watch: StallWatch) -> None:
        self.boot = str(uuid4())
        self.membership_lock = asyncio.Lock()
        """Held while a member joins: the rules look at all groups of the account."""
        self.stopped = asyncio.Event()
        """Set when the cloud stops: streams that wait for their caller end."""
        self.keys = ArcKeys(store, self._keys_changed)
        """The accounts, and which keys of theirs are valid."""
        self.tokens = OperatorTokens(store)
        self.device_watchers: list[Callable[[Group, Sequence[DeviceRow], Sequence[str]], None]] = []
        """Called with devices of a group that are new or changed, and with the ids of those that are gone."""
        self._store = store
        self._watch = watch
        self._groups: dict[tuple[str, str], Group] = {}
        self._by_id: dict[int, Group] = {}
        self._devices: dict[tuple[str, str], list[DeviceRow]] = {}

    async def load(self) -> None:
        """Read all that is stored, and set every group to work.

        Raises:
            DataFolderError: the stored settings of a group break the inequality of the leases; the message tells how.
        """
        await self.keys.load()
        await self.tokens.load()
        for row in await self._store.groups():
            await self._load_group(row)
        for device in await self._store.devices():
            group = self._by_id[device.group_id]
            self._devices.setdefault((group.row.arc_id, device.device_id), []).append(device)

    async def _load_group(self, row: GroupRow) -> None:
        facts = await self._store.load_group(row.group_id)
        try:
            check_terms(LeaseTerms(cloud=facts.settings.lease, holder=facts.settings.holder_lease))
        except HotspareError as unsafe:
            raise DataFolderError(f"the settings of {row.arc_id}/{row.sub_account}: {unsafe.message}") from unsafe
        group = Group(row, facts, self._store, self._watch, self.boot)
        self._groups[(row.arc_id, row.sub_account)] = group
        self._by_id[row.group_id] = group
        group.start()

    async def stop(self, error: HotspareError) -> None:
        """End all streams with `error`."""
        self.stopped.set()
        self.keys.close()
        await asyncio.gather(*(_stop(group, error) for group in self._groups.values()))

    # Accounts.

    @finished
    async def create_account(self, arc_id: str, key_sha256: bytes, sub_accounts: Sequence[str]) -> AccountRow:
        """Create an account and its groups. Raises HotspareError RESOURCE_EXISTS."""
        account = AccountRow(arc_id, key_sha256, time.time())
        await self._store.create_account(account, sub_accounts)
        self.keys.keep(account)
        await self._load_new_groups()
        return account

    @finished
    async def create_sub_account(self, arc_id: str, sub_account: str) -> None:
        """Add a group to an account. Raises HotspareError RESOURCE_NOT_FOUND."""
        self.keys.account(arc_id)
        await self._store.create_sub_account(arc_id, sub_account)
        await self._load_new_groups()

    async def _load_new_groups(self) -> None:
        for row in await self._store.groups():
            if row.group_id not in self._by_id:
                await self._load_group(row)

    @finished
    async def end_key_rotation(self, arc_id: str, *, force: bool) -> None:
        """End the old key of an account at once. Raises HotspareError RESOURCE_NOT_FOUND, KEY_IN_USE."""

        def members() -> list[tuple[str, str]]:
            known = (member for group in self.groups(arc_id) for member in group.members.values())
            return [(member.receiver_id, member.name) for member in known]

        await self.keys.end_rotation(arc_id, members, force=force)

    def _keys_changed(self, arc_id: str) -> None:
        """Lists of members show who still uses an old key."""
        for group in self.groups(arc_id):
            group.notify()

    # Groups.

    def groups(self, arc_id: str | None = None) -> list[Group]:
        """All groups, or those of one account."""
        return [group for (owner, _), group in self._groups.items() if arc_id in (None, owner)]

    def group(self, arc_id: str, sub_account: str) -> Group:
        """A group of an account. Raises HotspareError SUB_ACCOUNT_UNKNOWN."""
        name = sub_account or DEFAULT_SUB_ACCOUNT
        group = self._groups.get((arc_id, name))
        if group is None:
            raise HotspareError(
                Reason.SUB_ACCOUNT_UNKNOWN, f"the ARC account has no sub account {name}", sub_account=name
            )
        return group

    def group_of_member(self, arc_id: str, receiver_id: str) -> Group | None:
        """The group of an account in which a receiver holds its role."""
        found = (group for group in self.groups(arc_id) if receiver_id in group.members)
        return next((group for group in found if group.members[receiver_id].role is not None), None)

    def group_at_work(self, arc_id: str, receiver_id: str) -> Group | None:
        """The group of an account in which a receiver may work: by its role, or alone (G7)."""
        alone = next(iter(self.groups_alone(arc_id, receiver_id)), None)
        return self.group_of_member(arc_id, receiver_id) or alone

    def groups_alone(self, arc_id: str, receiver_id: str) -> list[Group]:
        """The groups of an account in which a receiver works alone (G7); more than one only until it is put right."""
        found = (group for group in self.groups(arc_id) if receiver_id in group.members)
        return [group for group in found if group.members[receiver_id].role is None]

    def by_id(self, group_id: int) -> Group:
        """A group by the store's id."""
        return self._by_id[group_id]

    # Devices.

    def device(self, arc_id: str, device_id: str, device_key: str) -> DeviceRow:
        """The device of an account with that id and that key. Raises INVALID_CREDENTIALS."""
        digest = sha256(device_key)
        for device in self._devices.get((arc_id, device_id), ()):
            if hmac.compare_digest(digest, device.key_sha256):
                return device
        raise invalid_credentials()

    def devices(self) -> Iterable[DeviceRow]:
        """All devices of all groups."""
        return itertools.chain.from_iterable(self._devices.values())

    def device_in(self, group: Group, device_id: str) -> DeviceRow | None:
        """A device of a group, for a gateway that speaks for it."""
        found = self._devices.get((group.row.arc_id, device_id), ())
        return next((device for device in found if device.group_id == group.row.group_id), None)

    def replace_devices(self, group: Group, changed: Iterable[DeviceRow], gone: Iterable[str]) -> None:
        """Take over devices of a group that were stored."""
        own, arc_id = group.row.group_id, group.row.arc_id
        changed, gone = list(changed), list(gone)
        dropped = {(arc_id, device.device_id) for device in changed} | {(arc_id, device_id) for device_id in gone}
        for key in dropped:
            self._devices[key] = [device for device in self._devices.get(key, ()) if device.group_id != own]
            if not self._devices[key]:
                del self._devices[key]
        for device in changed:
            self._devices.setdefault((arc_id, device.device_id), []).append(device)
        for watcher in self.device_watchers:
            watcher(group, changed, gone)


async def _stop(group: Group, error: HotspareError) -> None:
    try:
        await group.stop(error)
    except HotspareError as problem:
        # Who was seen when could not be kept, on a full disk say; the stop goes on.
        log_event(_log, logging.WARNING, "last_seen_not_kept", **group.name(), problem=problem)


def shutting_down() -> HotspareError:
    """What ends the streams when the cloud stops."""
    return HotspareError(Reason.SHUTTING_DOWN, "the server is stopping")
