"""Versions, for `version check` and `upgrade plan`."""

from collections.abc import Iterator, Mapping

from hotspare.v1.role_service_pb2 import ListMembersResponse
from hotspare.v1.version_service_pb2 import CheckVersionResponse, Component, MemberVersion, UpgradeStep
from hotspare_cli.layout import Cell, CellLike, Facts, Grid, Lines, Part, Tone, grid
from hotspare_cli.naming import Names
from hotspare_cli.words import NONE, phrase, role_word, word, yes_no

_STEPS: Mapping[int, Cell] = {
    UpgradeStep.UPGRADE_STEP_NONE: Cell("nothing to do", Tone.GOOD),
    UpgradeStep.UPGRADE_STEP_UPGRADE_NOW: Cell("upgrade now", Tone.WATCH),
    UpgradeStep.UPGRADE_STEP_WAIT: Cell("wait", Tone.FAINT),
    UpgradeStep.UPGRADE_STEP_NEWER_THAN_HOST: Cell("newer than the host", Tone.BAD),
}


def version_view(response: CheckVersionResponse, own: str) -> Iterator[Part]:
    """The whole answer of `version check`; `own` is the version of this command."""
    kind = word(Component.DESCRIPTOR, response.component)
    pairs: list[tuple[str, CellLike]] = [
        ("Command", own),
        ("Server", f"{response.software_version} ({kind}, contract v{response.contract_major})"),
        ("Go together", yes_no(response.compatible)),
    ]
    if response.cloud_version:
        step = _step(response.cloud_step).text
        pairs.append(("Cloud", response.cloud_version if step == NONE else f"{response.cloud_version}, {step}"))
    yield Facts(tuple(pairs))
    if response.members:
        columns = ("ROLE", "ID", "VERSION", "NEXT", "DETAIL")
        rows = (
            (_role(one), one.receiver_id, one.software_version or NONE, _step(one.step), one.detail or NONE)
            for one in response.members
        )
        title = "Members, in the order in which they are to be upgraded"
        yield grid(columns, rows, title=title, below=("ID", "DETAIL"))


def plan_view(response: CheckVersionResponse, members: ListMembersResponse) -> Iterator[Part]:
    """The whole answer of `upgrade plan`; the members tell what receivers are called."""
    names = Names(members.members)
    yield Lines(("The order is: the cloud, then the host, then the spares one by one.",))
    yield _order(response, names)
    yield Lines(tuple(_next(response, names)), title="Next")


def _order(response: CheckVersionResponse, names: Names) -> Grid:
    rows: list[tuple[CellLike, ...]] = [("1", "the cloud", response.cloud_version, _step(response.cloud_step), NONE)]
    for place, one in enumerate(response.members, 2):
        version = one.software_version or NONE
        rows.append((str(place), names.of(one.receiver_id), version, _step(one.step), one.detail or NONE))
    return grid(("", "WHO", "VERSION", "NEXT", "DETAIL"), rows, wraps=("DETAIL",))


def _next(response: CheckVersionResponse, names: Names) -> Iterator[CellLike]:
    """What to do now, in words."""
    due = [one for one in response.members if one.step == UpgradeStep.UPGRADE_STEP_UPGRADE_NOW]
    ahead = [one for one in response.members if one.step == UpgradeStep.UPGRADE_STEP_NEWER_THAN_HOST]
    if response.cloud_step == UpgradeStep.UPGRADE_STEP_UPGRADE_NOW:
        yield Cell(f"Upgrade the cloud ({response.cloud_version}) first.", Tone.WATCH)
    for one in due:
        yield Cell(f"Upgrade {_named(one, names)}.", Tone.WATCH)
    for one in ahead:
        yield Cell(f"{_named(one, names)} is newer than the host: upgrade the host, or take it back.", Tone.BAD)
    waiting = [one for one in response.members if one.step == UpgradeStep.UPGRADE_STEP_WAIT]
    if waiting:
        later = ", ".join(names.of(one.receiver_id) for one in waiting)
        yield f"Then: {later}{', one after the other' if len(waiting) > 1 else ''}."
    told = due or ahead or waiting or response.cloud_step == UpgradeStep.UPGRADE_STEP_UPGRADE_NOW
    if not told:
        yield Cell("Nothing: all have versions that go together.", Tone.GOOD)


def _named(one: MemberVersion, names: Names) -> str:
    return f"{names.of(one.receiver_id)} ({one.software_version or 'version unknown'})"


def _role(one: MemberVersion) -> str:
    return role_word(one.role)


def _step(number: int) -> Cell:
    return _STEPS.get(number) or Cell(phrase(UpgradeStep.DESCRIPTOR, number))
