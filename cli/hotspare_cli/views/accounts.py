"""ARC accounts of a cloud, for `account`."""

from collections.abc import Iterator
from datetime import datetime

from hotspare.v1.account_service_pb2 import ArcAccount, ListArcAccountsResponse
from hotspare_cli.layout import Cell, CellLike, Facts, Part, Tone, grid
from hotspare_cli.words import NONE, ago, clock


def accounts_view(response: ListArcAccountsResponse, now: datetime) -> Iterator[Part]:
    """The whole answer of `account list`."""
    rows = (
        (one.arc_id, ", ".join(one.sub_accounts) or NONE, _created(one), _old_key(one, now))
        for one in response.accounts
    )
    empty = "no accounts: hotspare account create ID"
    yield grid(("ARC ID", "SUB ACCOUNTS", "CREATED", "OLD KEY"), rows, empty=empty)


def account_view(account: ArcAccount, now: datetime) -> Iterator[Part]:
    """One account. Its key is never among it."""
    yield Facts(
        (
            ("ARC id", account.arc_id),
            ("Sub accounts", ", ".join(account.sub_accounts) or NONE),
            ("Created", _created(account)),
            ("Old key", _old_key(account, now)),
        )
    )


def _created(account: ArcAccount) -> str:
    return clock(account.create_time) if account.HasField("create_time") else NONE


def _old_key(account: ArcAccount, now: datetime) -> CellLike:
    """Until when a key that is being replaced is valid; without a rotation there is none."""
    if not account.HasField("old_key_expire_time"):
        return NONE
    end = account.old_key_expire_time
    return Cell(f"valid until {clock(end)} ({ago(end, now)})", Tone.WATCH)
