"""Versions, for `version`."""

from collections.abc import Iterator

from hotspare.v1.version_service_pb2 import CheckVersionResponse, Component, UpgradeStep
from hotspare_cli.layout import CellLike, Facts, Part, grid
from hotspare_cli.words import NONE, role_word, word, yes_no


def version_view(response: CheckVersionResponse, own: str) -> Iterator[Part]:
    """The whole answer of `version`; `own` is the version of this command."""
    kind = word(Component.DESCRIPTOR, response.component)
    pairs: list[tuple[str, CellLike]] = [
        ("Command", own),
        ("Server", f"{response.software_version} ({kind}, contract v{response.contract_major})"),
        ("Go together", yes_no(response.compatible)),
    ]
    if response.cloud_version:
        step = word(UpgradeStep.DESCRIPTOR, response.cloud_step)
        pairs.append(("Cloud", response.cloud_version if step == NONE else f"{response.cloud_version}, next: {step}"))
    yield Facts(tuple(pairs))
    if response.members:
        columns = ("ROLE", "ID", "VERSION", "NEXT", "DETAIL")
        rows = (
            (
                role_word(member.role),
                member.receiver_id,
                member.software_version or NONE,
                word(UpgradeStep.DESCRIPTOR, member.step),
                member.detail or NONE,
            )
            for member in response.members
        )
        yield grid(columns, rows, title="Members, in the order in which they are to be upgraded")
