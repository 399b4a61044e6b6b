"""`operator`: the tokens of a cloud's operators."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hotspare_cli.files import NewSecretFile
from hotspare_cli.groups import HelpfulGroup
from hotspare_cli.hints import AT_CLOUD
from hotspare_cli.new_keys import deliver, unanswered
from hotspare_cli.options import FILE, OutputForm, Target, confirm, output_option, yes_option

if TYPE_CHECKING:
    from hotspare.v1.account_service_pb2 import RevokeOperatorTokenResponse
    from hotspare_cli.session import Session

ROLES = ("admin", "operator", "viewer")


@click.group(cls=HelpfulGroup)
def operator() -> None:
    """Operators of a cloud, by their tokens.

    --server names the cloud. Operators of a receiver have tokens of that receiver: hotspare token.
    """


@operator.command("list")
@output_option
@click.pass_obj
def list_(target: Target, output: OutputForm) -> None:
    """List the cloud's operators. Their secrets are kept nowhere."""
    from hotspare.v1.account_service_pb2 import ListOperatorTokensRequest
    from hotspare_cli.emit import emit
    from hotspare_cli.session import ask
    from hotspare_cli.views.tokens import tokens_view

    request = ListOperatorTokensRequest()
    response = ask(
        target, lambda session: session.all_pages(session.accounts.ListOperatorTokens, request), hints=AT_CLOUD
    )
    emit(response, output, lambda answer: tokens_view(answer, datetime.now(UTC)))


@operator.command()
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(ROLES),
    required=True,
    help="admin: everything; operator: moves of the work; viewer: reading.",
)
@click.option("--days", type=click.IntRange(1, 3650), help="How long it is valid. Without it: until it is revoked.")
@click.option("--out", type=FILE, help="Write it to this new file (mode 0600), instead of showing it.")
@output_option
@click.pass_obj
def create(target: Target, name: str, role: str, days: int | None, out: Path | None, output: OutputForm) -> None:
    """Make a token for the operator NAME. It is told now, and never again."""
    from hotspare.v1.account_service_pb2 import CreateOperatorTokenRequest
    from hotspare.v1.token_pb2 import TokenRole
    from hotspare_cli.session import ask

    request = CreateOperatorTokenRequest(name=name, role=TokenRole.Value(f"TOKEN_ROLE_{role.upper()}"))
    if days is not None:
        request.validity.FromTimedelta(timedelta(days=days))
    hint = f"It may have been made: hotspare operator list; revoke it there (operator revoke {name}), then repeat."
    with NewSecretFile(out) as file:
        response = ask(
            target,
            lambda session: session.call(session.accounts.CreateOperatorToken, request),
            hints={**AT_CLOUD, **unanswered(hint)},
        )
        done = f"Made the token {response.token.name} of this cloud, role {role}."
        again = f"Revoke it (hotspare operator revoke {name}) and make it anew with another --out."
        deliver(response, "secret", file, out, output, done=done, again=again)


@operator.command()
@click.argument("name")
@yes_option
@click.pass_obj
def revoke(target: Target, name: str, yes: bool) -> None:
    """Revoke the token of the operator NAME, at once and for good."""
    from hotspare.v1.account_service_pb2 import RevokeOperatorTokenRequest
    from hotspare_cli.session import ask

    confirm(f"This revokes the token {name} of the cloud: who uses it is refused from now on.", yes=yes)

    async def work(session: "Session") -> "RevokeOperatorTokenResponse":
        return await session.call(session.accounts.RevokeOperatorToken, RevokeOperatorTokenRequest(name=name))

    ask(target, work, hints=AT_CLOUD)
    click.echo(f"Revoked the token {name} of the cloud.")
