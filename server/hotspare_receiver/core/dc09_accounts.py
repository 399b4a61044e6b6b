"""The accounts by which DC-09 panels are known on the direct path. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from hotspare_model.dc09_reply import NakForm
from hotspare_receiver.core.dc09_window import TimeWindow


@dataclass(frozen=True, slots=True)
class PanelAccount:
    """How one device speaks DC-09."""

    account: str
    """As configured: upper case."""
    device_id: str
    key: bytes | None = field(default=None, repr=False)
    """AES key. None: its frames are in clear."""
    clear_allowed: bool = False
    """Frames in clear are taken although there is a key."""
    window: TimeWindow | None = None
    """None: the receiver's."""
    nak_form: NakForm = NakForm.NEW


class AccountTable:
    """All accounts of a configuration, found as panels write them: in either case, with or without leading zeros."""

    def __init__(self, accounts: Iterable[PanelAccount] = (), *, complete: bool = True) -> None:
        """Of two devices with one account neither is found: nobody could tell them apart."""
        self.complete = complete
        """Whether it was read whole: else an account that is not in it may be known all the same."""
        self._exact: dict[str, PanelAccount | None] = {}
        self._plain: dict[str, PanelAccount | None] = {}
        for account in accounts:
            _add(self._exact, account.account.upper(), account)
            _add(self._plain, plain(account.account), account)

    def __len__(self) -> int:
        """How many accounts there are, those with two devices included."""
        return len(self._exact)

    @property
    def ambiguous(self) -> tuple[str, ...]:
        """Accounts that two devices have, and by which none is found therefore."""
        return tuple(sorted(account for account, found in self._exact.items() if found is None))

    @property
    def names(self) -> frozenset[str]:
        """All accounts."""
        return frozenset(self._exact)

    def find(self, account: str) -> PanelAccount | None:
        """The account of a frame."""
        name = account.upper()
        return self._exact[name] if name in self._exact else self._plain.get(plain(name))


def plain(account: str) -> str:
    """An account without what panels write as they like: leading zeros, and the case of letters."""
    return account.upper().lstrip("0")


def _add(table: dict[str, PanelAccount | None], name: str, account: PanelAccount) -> None:
    table[name] = None if name in table else account
