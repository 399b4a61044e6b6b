"""`token`: who may call this receiver."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from hotspare_cli.files import NewSecretFile
from hotspare_cli.groups import HelpfulGroup
from hotspare_cli.new_keys import deliver, unanswered
from hotspare_cli.options import FILE, OutputForm, Target, confirm, output_option, yes_option

ROLES = ("admin", "operator", "viewer", "feed")


@click.group(cls=HelpfulGroup)
def token() -> None:
    """Tokens: who may call this receiver."""


@token.command("list")
@output_option
@click.pass_obj
def list_(target: Target, output: OutputForm) -> None:
    """List the tokens. Their secrets are kept nowhere."""
    from hotspare.v1.receiver_service_pb2 import ListTokensRequest
    from hotspare_cli.emit import emit
    from hotspare_cli.session import ask
    from hotspare_cli.views.tokens import tokens_view

    response = ask(target, lambda session: session.all_pages(session.receiver.ListTokens, ListTokensRequest()))
    emit(response, output, lambda answer: tokens_view(answer, datetime.now(UTC)))


@token.command()
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(ROLES),
    required=True,
    help="admin: everything; operator: daily work; viewer: reading; feed: automation software.",
)
@click.option(
    "--subscription",
    "subscriptions",
    multiple=True,
    metavar="NAME",
    help="A subscription that it may open; the role feed needs at least one.",
)
@click.option("--days", type=click.IntRange(1, 3650), help="How long it is valid. Without it: until it is revoked.")
@click.option("--out", type=FILE, help="Write it to this new file (mode 0600), instead of showing it.")
@output_option
@click.pass_obj
def create(
    target: Target,
    name: str,
    role: str,
    subscriptions: tuple[str, ...],
    days: int | None,
    out: Path | None,
    output: OutputForm,
) -> None:
    """Make the token NAME. It is told now, and never again."""
    from hotspare.v1.receiver_service_pb2 import CreateTokenRequest
    from hotspare.v1.token_pb2 import TokenRole
    from hotspare_cli.session import ask

    kind = TokenRole.Value(f"TOKEN_ROLE_{role.upper()}")
    request = CreateTokenRequest(name=name, role=kind, subscriptions=subscriptions)
    if days is not None:
        request.validity.FromTimedelta(timedelta(days=days))
    hint = f"It may have been made: look at hotspare token list, revoke it there (token revoke {name}), repeat."
    with NewSecretFile(out) as file:
        response = ask(
            target,
            lambda session: session.call(session.receiver.CreateToken, request),
            hints=unanswered(hint),
        )
        done = f"Made the token {response.token.name}, role {role}."
        again = f"Revoke it (hotspare token revoke {name}) and make it anew with another --out."
        deliver(response, "secret", file, out, output, done=done, again=again)


@token.command()
@click.argument("name")
@yes_option
@click.pass_obj
def revoke(target: Target, name: str, yes: bool) -> None:
    """Revoke the token NAME, at once and for good."""
    from hotspare.v1.receiver_service_pb2 import RevokeTokenRequest
    from hotspare_cli.session import ask

    confirm(f"This revokes the token {name}: who uses it is refused from now on, and its streams end.", yes=yes)
    ask(target, lambda session: session.call(session.receiver.RevokeToken, RevokeTokenRequest(name=name)))
    click.echo(f"Revoked the token {name}.")
