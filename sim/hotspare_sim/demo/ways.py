"""How alarms travel in a demo: what the ARCs speak, and whether panels are connected to the host as well."""

import secrets
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

LOOPBACK = "127.0.0.1"
KEY_BYTES = 16
"""Of the AES key of every other panel; the others talk in clear."""


class ArcKind(StrEnum):
    """What the ARCs' software speaks; the value is the word of the demo's command line."""

    SIA_DC09 = "sia-dc09"
    SUR_GARD = "sur-gard"

    @property
    def output(self) -> str:
        """As `hotspare output add --kind` calls it."""
        return "sia-dc09" if self is ArcKind.SIA_DC09 else "surgard"

    @property
    def simulated(self) -> str:
        """As `hotspare-sim arc --kind` calls it, and the address that it tells."""
        return "dc09" if self is ArcKind.SIA_DC09 else "surgard"


@dataclass(frozen=True)
class Ways:
    """Of one demo."""

    arc: ArcKind = ArcKind.SIA_DC09
    direct: bool = False
    """Panels speak DC-09 to the host, and to the cloud only where that gets no answer."""

    @property
    def numbered(self) -> bool:
        """Whether alarms are told by the number in their place, for want of a sequence.

        Sur-Gard has none, and a DC-09 panel is not told the one that the cloud gave its alarm.
        """
        return self.direct or self.arc is ArcKind.SUR_GARD


def free_address() -> str:
    """An address on loopback that nobody listens at now: for who can't be asked which one it took."""
    with socket.create_server((LOOPBACK, 0)) as server:
        return f"{LOOPBACK}:{server.getsockname()[1]}"


def panel_keys(device_ids: Iterable[str]) -> dict[str, bytes]:
    """New AES keys by device id; empty for every other one."""
    return {
        device_id: secrets.token_bytes(KEY_BYTES) if place % 2 == 0 else b""
        for place, device_id in enumerate(device_ids)
    }


def panels_file(accounts: Mapping[str, str], keys: Mapping[str, bytes]) -> dict[str, dict[str, str]]:
    """What `hotspare-sim devices --panels` reads."""
    return {device_id: {"account": account, "key": keys[device_id].hex()} for device_id, account in accounts.items()}
