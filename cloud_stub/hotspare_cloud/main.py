"""The command `hotspare-cloud`. gRPC is imported late, so that `--help` is instant."""

import asyncio
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from hotspare_cloud.certs_command import certs
from hotspare_rpc.cli_args import ADDRESS, tls_options
from hotspare_rpc.health_command import health
from hotspare_rpc.spans import SPAN

DATA = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)

DISK_FLOOR_MB = 512


@click.group()
def main() -> None:
    """The cloud of the hot spare: keeps ARC accounts and alarms, and decides which receiver works."""


@main.command()
@click.option("--data", type=DATA, required=True, help="Folder for all that the cloud keeps. Made with mode 0700.")
@click.option("--listen", type=ADDRESS, required=True, help="Where to serve gRPC. Port 0 picks a free one.")
@click.option("--metrics", type=ADDRESS, help="Where to serve /metrics to Prometheus.")
@click.option(
    "--disk-floor",
    type=click.IntRange(0, 1_000_000),
    default=DISK_FLOOR_MB,
    show_default=True,
    metavar="MB",
    help="Refuse new alarms while less is free; confirmations still pass.",
)
@click.option(
    "--history-age",
    type=SPAN,
    default="90d",
    show_default=True,
    metavar="SPAN",
    help="Forget alarms that are done with after so long: 1d to 3650d.",
)
@click.option(
    "--history-size",
    type=click.IntRange(10, 10_000_000),
    default=10_000,
    show_default=True,
    metavar="MB",
    help="Forget the oldest of them where they take more.",
)
@tls_options
def serve(
    data: Path, listen: Any, metrics: Any, disk_floor: int, history_age: timedelta, history_size: int, tls: Any
) -> None:
    """Serve until SIGTERM or SIGINT.

    The first start writes a token for the cloud's operator to DATA/operator.token (mode 0600).
    """
    from hotspare_cloud import app
    from hotspare_model.retention import HistoryLimits
    from hotspare_rpc.address import ListenError
    from hotspare_rpc.logs import setup_logging
    from hotspare_rpc.tls import TlsError
    from hotspare_store.folder import DataFolderError

    setup_logging()
    try:
        history = HistoryLimits(history_age, history_size * 1_000_000)
    except ValueError as problem:
        raise click.UsageError(f"{problem}.") from problem
    options = app.CloudOptions(data, listen, metrics, tls, disk_floor * 1_000_000, history)
    try:
        status = asyncio.run(app.serve(options))
    except (DataFolderError, ListenError, TlsError) as problem:
        raise click.ClickException(str(problem)) from problem
    sys.exit(status)


@main.command()
@click.option("--data", type=DATA, required=True, help="The data folder of the cloud, running or not.")
@click.option("--to", "target", type=FILE, help="The new file (mode 0600).")
@click.option("--into", "folder", type=DATA, help="Or a folder, where the new file is named by the time.")
@click.option(
    "--keep", type=click.IntRange(1, 10_000), metavar="N", help="With --into: of the copies there, keep so many."
)
def backup(data: Path, target: Path | None, folder: Path | None, keep: int | None) -> None:
    """Copy all that the cloud keeps, as of one moment, to a new file.

    Works beside a running cloud. Keep the copy as well as the data folder: it holds every alarm, and the SHA-256 of
    each key. Older copies are removed once the new one is whole.
    """
    import time

    from hotspare_cloud.copies import back_up
    from hotspare_cloud.kept_copies import back_up_into
    from hotspare_store.folder import DataFolderError

    if (target is None) == (folder is None) or (keep is not None and folder is None):
        raise click.UsageError("say either --to FILE, or --into FOLDER with or without --keep")
    try:
        if target is not None:
            click.echo(f"{target}: {back_up(data, target) / 1e6:.1f} MB")
        if folder is not None:
            kept = back_up_into(data, folder, keep, time.time())
            click.echo(f"{kept.copy}: {kept.size / 1e6:.1f} MB")
            for old in kept.removed:
                click.echo(f"{old}: removed")
    except DataFolderError as problem:
        raise click.ClickException(str(problem)) from problem


@main.command()
@click.option("--data", type=DATA, required=True, help="The data folder of a cloud that does not run.")
@click.option("--from", "source", type=FILE, required=True, help="A file made by hotspare-cloud backup.")
@click.option("--replace", is_flag=True, help="Keep the database that is there aside, and put the copy in its place.")
def restore(data: Path, source: Path, replace: bool) -> None:
    """Put a backup copy in place, before the cloud starts.

    What was stored after the copy was made is gone: alarms of that time that no ARC has confirmed yet, members, keys
    and settings. Epochs and numbers jump past all that was given out, so that nothing is given out twice, and every
    list of members says so for a week. Alarms that were confirmed after the copy was made are delivered again; the
    receivers that confirmed them know that, and confirm them without sending them.
    """
    from datetime import UTC, datetime

    from hotspare_cloud.copies import restore as put_back
    from hotspare_store.folder import DataFolderError

    try:
        done = put_back(data, source, replace_existing=replace)
    except DataFolderError as problem:
        raise click.ClickException(str(problem)) from problem
    newest = (
        datetime.fromtimestamp(done.newest_alarm, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if done.newest_alarm else ""
    )
    click.echo(f"Restored {done.groups} groups; {done.alarms_waiting} alarms wait.")
    click.echo(f"The newest alarm of the copy is of {newest}: later ones are gone." if newest else "It holds no alarm.")
    if done.kept is not None:
        click.echo(f"The database of before is kept in {done.kept}.")


@main.group()
def account() -> None:
    """ARC accounts of this cloud."""


@account.command()
@click.argument("arc_id")
@click.option("--data", type=DATA, required=True, help="The data folder of the cloud, running or not.")
@click.option("--sub-account", "sub_accounts", multiple=True, help="A sub account; may be repeated. [default: default]")
@click.option(
    "--key-out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the key to this new file (mode 0600) instead of showing it.",
)
def create(arc_id: str, data: Path, sub_accounts: Sequence[str], key_out: Path | None) -> None:
    """Create an ARC account. Its key is made here and shown once.

    Works beside a running cloud, and on the folder of one that does not run.
    """
    from hotspare_cloud.offline import create_account
    from hotspare_store.folder import NewSecretFile

    # Before the account: a key that can't be written would be lost.
    with _told(), NewSecretFile(key_out) as file:
        key = asyncio.run(create_account(data, arc_id, sub_accounts))
        file.write(key)
    if key_out is None:
        click.echo(key)
    else:
        click.echo(f"The key of {arc_id} is in {key_out}.", err=True)


@account.command("rotate-key")
@click.argument("arc_id")
@click.option("--data", type=DATA, required=True, help="The data folder of the cloud, running or not.")
@click.option(
    "--overlap",
    type=SPAN,
    default="7d",
    show_default=True,
    metavar="SPAN",
    help="How long the old key stays valid beside the new one: 1m to 90d.",
)
@click.option(
    "--key-out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the new key to this new file (mode 0600) instead of showing it.",
)
@click.option(
    "--restart",
    is_flag=True,
    help="Begin anew although a rotation runs: its new key ends at once, the old one stays valid.",
)
def rotate_key(arc_id: str, data: Path, overlap: timedelta, key_out: Path | None, restart: bool) -> None:
    """Make a second key of an ARC account, to take the place of the one in use. It is shown once.

    Both are valid until the overlap ends; then the old one ends by itself, also for what is connected with it. Give the
    new one to each receiver (hotspare settings set --arc-key-file FILE): no role and no work is lost by that. The list
    of members shows who still uses the old one.

    Works beside a running cloud, and on the folder of one that does not run.
    """
    from hotspare_cloud.offline import rotate_key
    from hotspare_store.folder import NewSecretFile

    # Before the rotation: a key that can't be written would be lost.
    with _told(), NewSecretFile(key_out) as file:
        key, until = asyncio.run(rotate_key(data, arc_id, overlap, restart=restart))
        file.write(key)
    if key_out is None:
        click.echo(key)
    else:
        click.echo(f"The new key of {arc_id} is in {key_out}.", err=True)
    click.echo(f"The old key is valid until {until:%Y-%m-%d %H:%M:%S} UTC.", err=True)


@account.command("end-rotation")
@click.argument("arc_id")
@click.option("--data", type=DATA, required=True, help="The data folder of the cloud, running or not.")
@click.option("--force", is_flag=True, help="Also while receivers still use the old key: they are shut out.")
def end_rotation(arc_id: str, data: Path, force: bool) -> None:
    """End the old key of an ARC account now. Without a rotation nothing changes.

    Works beside a running cloud, and on the folder of one that does not run.
    """
    from hotspare_cloud.offline import end_rotation

    with _told():
        asyncio.run(end_rotation(data, arc_id, force=force))
    click.echo(f"Only the newest key of {arc_id} is valid.", err=True)


@contextmanager
def _told() -> Iterator[None]:
    """What goes wrong inside is told in one line."""
    from hotspare_model.errors import HotspareError, Reason
    from hotspare_rpc.address import ListenError
    from hotspare_store.folder import DataFolderError

    hints = {Reason.KEY_IN_USE: "--force shuts them out", Reason.ROTATION_RUNNING: "account end-rotation, or --restart"}
    try:
        yield
    except (DataFolderError, ListenError) as problem:
        raise click.ClickException(str(problem)) from problem
    except HotspareError as refused:
        hint = hints.get(refused.reason)
        raise click.ClickException(f"{refused.message} ({hint})" if hint else refused.message) from refused


main.add_command(certs)
main.add_command(health)


if __name__ == "__main__":
    main()
