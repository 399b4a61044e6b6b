"""`backup`: the copies of the configuration at this receiver and at the cloud, and the cloud's older revisions."""

from typing import TYPE_CHECKING

import click

from hotspare_cli.consent import with_consent
from hotspare_cli.errors import usage_error
from hotspare_cli.groups import HelpfulGroup
from hotspare_cli.hints import THROUGH_RECEIVER
from hotspare_cli.options import OutputForm, Target, output_option, watch_option, yes_option
from hotspare_model.kinds import KINDS

if TYPE_CHECKING:
    from hotspare.v1.backup_service_pb2 import (
        ListBackupRevisionsResponse,
        RestoreBackupResponse,
        StartLineageResponse,
    )
    from hotspare_cli.session import Session

_PAGE = 1000
_LONGEST = 60.0
"""Seconds that the contract gives a restore, and the start of a lineage."""
_MAY_BE_DONE = "It may have been done all the same: look at hotspare backup show, and hotspare backup revisions."
_UNSURE = {**THROUGH_RECEIVER, **dict.fromkeys(("UNAVAILABLE", "DEADLINE_EXCEEDED"), _MAY_BE_DONE)}
_REVISION = click.IntRange(min=1, max=2**63 - 1)


@click.group(cls=HelpfulGroup)
def backup() -> None:
    """Copies of the configuration, here and at the cloud.

    The host's configuration goes to the cloud by itself, and from there to the spares.
    """


@backup.command("show")
@click.option("--cloud", is_flag=True, help="The cloud's copy, instead of the one of this receiver.")
@watch_option
@output_option
@click.pass_obj
def show(target: Target, cloud: bool, watch: bool, output: OutputForm) -> None:
    """Show the backup table: a row for each kind."""
    from hotspare.v1.backup_service_pb2 import GetBackupRequest
    from hotspare_cli import repeated
    from hotspare_cli.views.backup import backup_view

    repeated.show(
        target,
        lambda session: session.call(session.backup.GetBackup, GetBackupRequest(cloud=cloud)),
        backup_view,
        output,
        watch=watch,
        hints=THROUGH_RECEIVER if cloud else None,
    )


@backup.command("revisions")
@click.option("--limit", type=click.IntRange(min=1), help="Only the newest ones, so many. Without it: all.")
@output_option
@click.pass_obj
def revisions(target: Target, limit: int | None, output: OutputForm) -> None:
    """List the revisions that the cloud keeps, newest first."""
    from hotspare.v1.backup_service_pb2 import ListBackupRevisionsRequest
    from hotspare.v1.role_service_pb2 import ListMembersRequest, ListMembersResponse
    from hotspare_cli.emit import emit
    from hotspare_cli.session import ask
    from hotspare_cli.views.backup import revisions_view

    request = ListBackupRevisionsRequest(page_size=min(limit or _PAGE, _PAGE))

    def enough(merged: "ListBackupRevisionsResponse") -> bool:
        return limit is not None and len(merged.revisions) >= limit

    async def work(session: "Session") -> "tuple[ListBackupRevisionsResponse, ListMembersResponse]":
        found = await session.all_pages(session.backup.ListBackupRevisions, request, enough)
        if output is not OutputForm.TABLE:
            return found, ListMembersResponse()
        # The revisions name receivers by their ids alone.
        return found, await session.all_pages(session.roles.ListMembers, ListMembersRequest())

    response, members = ask(target, work, hints=THROUGH_RECEIVER)
    if limit is not None:
        del response.revisions[limit:]
    emit(response, output, lambda answer: revisions_view(answer, members))


@backup.command("diff")
@click.argument("older", metavar="A", type=_REVISION)
@click.argument("newer", metavar="[B]", type=_REVISION, required=False)
@click.option("--kind", type=click.Choice([kind.name for kind in KINDS]), help="Only records of this kind.")
@output_option
@click.pass_obj
def diff(target: Target, older: int, newer: int | None, kind: str | None, output: OutputForm) -> None:
    """Compare the revisions A and B record by record.

    Without B: A and the newest. Keys of devices are never shown.
    """
    from hotspare.v1.backup_service_pb2 import DiffBackupRevisionsRequest
    from hotspare.v1.record_pb2 import RecordKind
    from hotspare_cli.emit import emit
    from hotspare_cli.session import ask
    from hotspare_cli.views.backup import diff_view

    request = DiffBackupRevisionsRequest(from_revision=older, to_revision=newer or 0, page_size=_PAGE)
    if kind is not None:
        request.kind = RecordKind.Value(f"RECORD_KIND_{kind.upper()}")
    response = ask(
        target,
        lambda session: session.all_pages(session.backup.DiffBackupRevisions, request),
        hints=THROUGH_RECEIVER,
    )
    emit(response, output, diff_view)


@backup.command("restore")
@click.argument("revision", metavar="[REVISION]", type=_REVISION, required=False)
@click.option("--new-lineage", is_flag=True, help="The opposite, and the same as `backup start-lineage`.")
@yes_option
@output_option
@click.pass_obj
def restore(target: Target, revision: int | None, new_lineage: bool, yes: bool, output: OutputForm) -> None:
    """Take over the cloud's copy, or an older REVISION.

    On the host. Without REVISION the cloud's newest becomes the host's own copy: after a reinstallation, or when it
    is told that it is behind the cloud. With REVISION the contents of that one come back as a new revision, at the
    cloud, here and on the spares.

    Devices and their keys are those of then, too: a panel that was created since, or whose key was rotated since, is
    refused afterwards, and its alarms are not taken.
    """
    if new_lineage:
        if revision is not None:
            raise usage_error(
                "--new-lineage makes this host's own configuration the cloud's: no REVISION comes back then.",
                "Leave one of the two out.",
            )
        _start_lineage(target, yes, output)
        return
    import uuid

    from hotspare.v1.backup_service_pb2 import RestoreBackupRequest
    from hotspare_cli.emit import emit
    from hotspare_cli.views.backup import restored_view

    request = RestoreBackupRequest(request_id=str(uuid.uuid4()), revision=revision or 0)
    what = f"brings revision {revision} back as a new one" if revision else "takes the cloud's newest revision over"
    keys = f" Devices and their keys are those of then: see hotspare backup diff {revision}." if revision else ""

    async def make(session: "Session", confirmed: bool) -> "RestoreBackupResponse":
        request.confirmed = confirmed
        return await session.call(session.backup.RestoreBackup, request, timeout=target.deadline(_LONGEST))

    response = with_consent(
        target,
        make,
        yes=yes,
        effect=lambda clears: f"This {what}, and replaces: {clears}.{keys}",
        always=f"This {what}, and replaces the configuration of this host.{keys}",
        hints=_UNSURE,
    )
    emit(response, output, lambda answer: restored_view(answer, revision))


@backup.command("start-lineage")
@yes_option
@output_option
@click.pass_obj
def start_lineage(target: Target, yes: bool, output: OutputForm) -> None:
    """Replace the cloud's copy by this host's own, knowingly.

    For a host that was told that its configuration is behind the cloud's, or another one, and whose own is the right
    one: it becomes the cloud's, as a new lineage, and the spares follow it.
    """
    _start_lineage(target, yes, output)


def _start_lineage(target: Target, yes: bool, output: OutputForm) -> None:
    import uuid

    from hotspare.v1.backup_service_pb2 import StartLineageRequest
    from hotspare_cli.emit import emit
    from hotspare_cli.views.backup import lineage_view

    request = StartLineageRequest(request_id=str(uuid.uuid4()))
    what = "makes this host's own configuration the cloud's, as a new lineage that the spares follow"

    async def make(session: "Session", confirmed: bool) -> "StartLineageResponse":
        request.confirmed = confirmed
        return await session.call(session.backup.StartLineage, request, timeout=target.deadline(_LONGEST))

    response = with_consent(
        target,
        make,
        yes=yes,
        effect=lambda clears: f"This {what}, and replaces: {clears}.",
        always=f"This {what}, and replaces the cloud's copy.",
        hints=_UNSURE,
    )
    emit(response, output, lineage_view)
