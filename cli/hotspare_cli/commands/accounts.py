"""`account`: the ARC accounts of a cloud, with an operator's token of that cloud.

Who has the data folder of the cloud does the same by `hotspare-cloud account`, without a token.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from hotspare_cli.files import NewSecretFile
from hotspare_cli.groups import HelpfulGroup
from hotspare_cli.hints import AT_CLOUD
from hotspare_cli.new_keys import deliver, unanswered
from hotspare_cli.options import FILE, OutputForm, Target, confirm, output_option, yes_option
from hotspare_rpc.spans import SPAN

_LOST = "Make another one: hotspare account rotate-key {arc_id} --key-out FILE."


@click.group(cls=HelpfulGroup)
def account() -> None:
    """ARC accounts of a cloud; --server names the cloud.

    For the cloud's operators: the token is one of the cloud, such as operator.token in its data folder.
    """


@account.command("list")
@output_option
@click.pass_obj
def list_(target: Target, output: OutputForm) -> None:
    """List the ARC accounts of the cloud by id."""
    from hotspare.v1.account_service_pb2 import ListArcAccountsRequest
    from hotspare_cli.emit import emit
    from hotspare_cli.session import ask
    from hotspare_cli.views.accounts import accounts_view

    request = ListArcAccountsRequest()
    response = ask(target, lambda session: session.all_pages(session.accounts.ListArcAccounts, request), hints=AT_CLOUD)
    emit(response, output, lambda answer: accounts_view(answer, datetime.now(UTC)))


@account.command()
@click.argument("arc_id", metavar="ID")
@output_option
@click.pass_obj
def show(target: Target, arc_id: str, output: OutputForm) -> None:
    """Show the ARC account ID."""
    from hotspare.v1.account_service_pb2 import GetArcAccountRequest
    from hotspare_cli.emit import emit
    from hotspare_cli.session import ask
    from hotspare_cli.views.accounts import account_view

    request = GetArcAccountRequest(arc_id=arc_id)
    response = ask(target, lambda session: session.call(session.accounts.GetArcAccount, request), hints=AT_CLOUD)
    emit(response, output, lambda answer: account_view(answer.account, datetime.now(UTC)))


@account.command()
@click.argument("arc_id", metavar="ID")
@click.option("--sub-account", "sub_accounts", multiple=True, metavar="NAME", help="A sub account. [default: default]")
@click.option("--key-out", type=FILE, help="Write the key to this new file (mode 0600), instead of showing it.")
@output_option
@click.pass_obj
def create(
    target: Target, arc_id: str, sub_accounts: tuple[str, ...], key_out: Path | None, output: OutputForm
) -> None:
    """Create the ARC account ID. Its key is told now, and never again."""
    from hotspare.v1.account_service_pb2 import CreateArcAccountRequest
    from hotspare_cli.session import ask

    request = CreateArcAccountRequest(arc_id=arc_id, sub_accounts=sub_accounts)
    hint = f"It may have been created: hotspare account show {arc_id}. {_LOST.format(arc_id=arc_id)}"
    with NewSecretFile(key_out) as file:
        response = ask(
            target,
            lambda session: session.call(session.accounts.CreateArcAccount, request),
            hints={**AT_CLOUD, **unanswered(hint)},
        )
        done, again = f"Created the ARC account {arc_id}.", _LOST.format(arc_id=arc_id)
        deliver(response, "arc_key", file, key_out, output, done=done, again=again)


@account.command("add-sub-account")
@click.argument("arc_id", metavar="ID")
@click.argument("sub_account", metavar="NAME")
@output_option
@click.pass_obj
def add_sub_account(target: Target, arc_id: str, sub_account: str, output: OutputForm) -> None:
    """Add the sub account NAME to the ARC account ID.

    A sub account is a group of receivers of its own.
    """
    from hotspare.v1.account_service_pb2 import CreateSubAccountRequest
    from hotspare_cli.emit import emit
    from hotspare_cli.session import ask
    from hotspare_cli.views.accounts import account_view

    request = CreateSubAccountRequest(arc_id=arc_id, sub_account=sub_account)
    response = ask(target, lambda session: session.call(session.accounts.CreateSubAccount, request), hints=AT_CLOUD)
    emit(response, output, lambda answer: account_view(answer.account, datetime.now(UTC)))


@account.command("rotate-key")
@click.argument("arc_id", metavar="ID")
@click.option("--overlap", type=SPAN, metavar="SPAN", help="How long the old key stays valid. Without it: 7d.")
@click.option("--restart", is_flag=True, help="Begin anew although a rotation runs: its new key ends at once.")
@click.option("--key-out", type=FILE, help="Write the key to this new file (mode 0600), instead of showing it.")
@yes_option
@output_option
@click.pass_obj
def rotate_key(
    target: Target,
    arc_id: str,
    overlap: timedelta | None,
    restart: bool,
    key_out: Path | None,
    yes: bool,
    output: OutputForm,
) -> None:
    """Make a second key of the ARC account ID. It is told now, and never again.

    Both are valid until the overlap ends; then the old one ends by itself. Give the new one to each receiver (hotspare
    settings set --arc-key-file FILE): no role and no work is lost by that. hotspare members shows who still uses the
    old one.
    """
    from hotspare.v1.account_service_pb2 import RotateArcKeyRequest
    from hotspare_cli.session import ask

    if restart:
        confirm(
            f"This ends the new key of {arc_id} that a running rotation made: who has it already is refused.", yes=yes
        )
    request = RotateArcKeyRequest(arc_id=arc_id, restart=restart)
    if overlap is not None:
        request.overlap.FromTimedelta(overlap)
    hint = f"It may have begun: hotspare account show {arc_id}. Then begin anew, with --restart."
    with NewSecretFile(key_out) as file:
        response = ask(
            target,
            lambda session: session.call(session.accounts.RotateArcKey, request),
            hints={**AT_CLOUD, **unanswered(hint)},
        )
        until = ""
        if response.account.HasField("old_key_expire_time"):
            from hotspare_cli.words import clock

            until = f" The old one is valid until {clock(response.account.old_key_expire_time)}."
        again = f"Begin anew: hotspare account rotate-key {arc_id} --restart --key-out FILE."
        deliver(response, "arc_key", file, key_out, output, done=f"Made a new key of {arc_id}.{until}", again=again)


@account.command("end-rotation")
@click.argument("arc_id", metavar="ID")
@click.option("--force", is_flag=True, help="Also while receivers still use the old key: they are shut out.")
@yes_option
@output_option
@click.pass_obj
def end_rotation(target: Target, arc_id: str, force: bool, yes: bool, output: OutputForm) -> None:
    """End the old key of the ARC account ID now.

    It would end by itself when the overlap is over. Without a rotation nothing changes.
    """
    from hotspare.v1.account_service_pb2 import EndArcKeyRotationRequest
    from hotspare_cli.emit import emit
    from hotspare_cli.session import ask
    from hotspare_cli.views.accounts import account_view

    who = "receivers that still use it are shut out" if force else "it is refused while a receiver still uses it"
    confirm(f"This ends the old key of {arc_id} for good; {who}.", yes=yes)
    request = EndArcKeyRotationRequest(arc_id=arc_id, force=force)
    response = ask(target, lambda session: session.call(session.accounts.EndArcKeyRotation, request), hints=AT_CLOUD)
    emit(response, output, lambda answer: account_view(answer.account, datetime.now(UTC)))
