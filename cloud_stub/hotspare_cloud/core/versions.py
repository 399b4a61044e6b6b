"""The plan of an upgrade: what is next for the cloud and for each member of a group (V2).

The order is cloud, host, then the spares one by one: the next only when the one before is back and in sync, so that
never more than one is out of it. Nobody tells the plan which release is wanted: the cloud leads, the host follows the
cloud, and the spares need exactly what the host has (V1).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from hotspare_model.group import MemberStatus, Role
from hotspare_model.release import Order, compare


class Step(IntEnum):
    """What is next. The numbers are those of UpgradeStep in version_service.proto."""

    NONE = 1
    UPGRADE_NOW = 2
    WAIT = 3
    NEWER_THAN_HOST = 4


@dataclass(frozen=True, slots=True)
class Running:
    """A member, as far as it matters here."""

    receiver_id: str
    name: str
    role: Role | None
    """None: it works alone, or would (G7)."""
    version: str
    """Its full release string, as it told last. Empty: it never did."""
    status: MemberStatus
    up_to_date: bool
    """Whether it said that its copy of the configuration equals the cloud's; of a host, that the cloud has its own."""

    @property
    def is_back(self) -> bool:
        """Whether it is connected, and in sync where it has to be."""
        return self.status is not MemberStatus.OFFLINE and (self.up_to_date or self.role is None)


@dataclass(frozen=True, slots=True)
class Planned:
    """What is next for a member; `detail` says why, for people, and is empty where nothing is to be said."""

    member: Running
    step: Step
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole plan; the members in the order in which they are to be upgraded."""

    cloud: Step
    members: tuple[Planned, ...]


def plan(cloud_version: str, members: Iterable[Running]) -> Plan:
    """What is next for each, by the releases that they run now."""
    ordered = sorted(members, key=lambda member: (member.role is None, member.role or 0, member.name))
    host = next((member for member in ordered if member.role is Role.HOST), None)
    spares = [member for member in ordered if member.role not in (None, Role.HOST)]
    alone = [member for member in ordered if member.role is None]
    ahead = next((member for member in ordered if compare(member.version, cloud_version) is Order.NEWER), None)
    cloud_first = (
        f"the cloud comes first: it has {cloud_version}, and {ahead.name} has {ahead.version}" if ahead else ""
    )
    planned: list[Planned] = []
    if host is None:
        planned += (_without_host(spare, cloud_version, cloud_first) for spare in spares)
    else:
        first = _host(host, cloud_version, cloud_first, ordered)
        planned += (first, *_spares(spares, first, cloud_first, ordered))
    # They take no alarms while there is a host, so they hold up nobody.
    planned += _one_by_one(alone, cloud_version, cloud_first, ordered)
    return Plan(Step.UPGRADE_NOW if ahead else Step.NONE, tuple(planned))


def _host(host: Running, cloud_version: str, cloud_first: str, members: Sequence[Running]) -> Planned:
    outrun = any(_is_newer(member, host.version) for member in members if member.role is not None)
    match compare(host.version, cloud_version):
        case Order.NEWER if not outrun:
            return Planned(host, Step.NONE, cloud_first)
        case Order.SAME | Order.EQUAL if not outrun:
            return Planned(host, Step.NONE, "" if host.is_back else _not_back(host))
        case _ if cloud_first:
            return Planned(host, Step.WAIT, cloud_first)
        case _:
            return Planned(host, Step.UPGRADE_NOW, _words(host, cloud_version, "cloud", members))


def _spares(spares: Sequence[Running], host: Planned, cloud_first: str, members: Sequence[Running]) -> list[Planned]:
    release, waits_for, moving = host.member.version, cloud_first, False
    if host.step is not Step.NONE:
        # What they have now will not do when the host has gone on.
        waits_for, moving = cloud_first or f"the host comes first: {host.member.name}", True
    elif not host.member.is_back:
        waits_for = cloud_first or f"the host comes first: {_not_back(host.member)}"
    following = [spare for spare in spares if not _is_newer(spare, release)]
    planned = _one_by_one(following, release, waits_for, members, moving=moving)
    told = {each.member.receiver_id: each for each in planned}
    return [told.get(spare.receiver_id) or _newer_than_host(spare, release) for spare in spares]


def _one_by_one(
    members: Sequence[Running], release: str, waits_for: str, group: Sequence[Running], *, moving: bool = False
) -> Iterator[Planned]:
    """One of those that need a release may go now, unless all wait for something else; the rest wait for it.

    `moving`: the release is not the last one, so also those that have it wait.
    """
    due = [member for member in members if _needs(member, release)]
    # One that is away may be at it just now. A second one beside it would be one too many.
    at_it = [member for member in members if member not in due and not member.is_back]
    first = next((member for member in due if member.status is MemberStatus.OFFLINE), due[0] if due else None)
    if at_it and not waits_for:
        waits_for = f"one at a time: {_not_back(at_it[0])}"
    for member in members:
        if member not in due:
            detail = "" if member.is_back else _not_back(member)
            yield Planned(member, Step.WAIT, waits_for) if moving else Planned(member, Step.NONE, detail)
        elif waits_for:
            yield Planned(member, Step.WAIT, waits_for)
        elif member is first:
            of = "cloud" if member.role is None else "host"
            yield Planned(member, Step.UPGRADE_NOW, _words(member, release, of, group))
        else:
            yield Planned(member, Step.WAIT, f"one at a time: {first.name if first else ''} comes first")


def _without_host(spare: Running, cloud_version: str, cloud_first: str) -> Planned:
    if compare(spare.version, cloud_version) in (Order.SAME, Order.EQUAL):
        return Planned(spare, Step.NONE)
    return Planned(spare, Step.WAIT, cloud_first or "the group has no host, which comes before the spares")


def _newer_than_host(spare: Running, release: str) -> Planned:
    detail = f"it has {spare.version}, and the host {release}: upgrade the host, or take this one back"
    return Planned(spare, Step.NEWER_THAN_HOST, detail)


def _needs(member: Running, release: str) -> bool:
    """Whether a member is to get a release. A spare needs it to the letter (V1); newer ones are told elsewhere."""
    order = compare(member.version, release)
    return order in (Order.OLDER, Order.UNKNOWN) or (order is Order.EQUAL and member.role is not None)


def _is_newer(member: Running, release: str) -> bool:
    return compare(member.version, release) is Order.NEWER


def _not_back(member: Running) -> str:
    away = member.status is MemberStatus.OFFLINE
    return f"{member.name} is {'not connected' if away else 'not in sync yet'}"


def _words(member: Running, release: str, of: str, group: Sequence[Running]) -> str:
    """What to know before a member is upgraded."""
    told = [f"install {release}, which the {of} has"]
    if not member.version:
        told.insert(0, "it never told its version")
    elif compare(member.version, release) is Order.UNKNOWN:
        told.insert(0, f"its version {member.version} can't be ordered")
    match member.status:
        case MemberStatus.OFFLINE:
            told.append("it is not connected: start it with that release, or remove it if it is gone for good")
        case MemberStatus.WORKING if any(other.status is MemberStatus.STANDBY for other in group):
            told.append("it works now, and hands over when it is stopped in order")
        case MemberStatus.WORKING:
            told.append("it works now and nobody stands by: the cloud keeps the alarms until it is back")
        case MemberStatus.STANDBY:
            pass
    return "; ".join(told)
