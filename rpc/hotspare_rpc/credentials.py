"""Who calls: the metadata of the three kinds of callers, and the secrets in it (S1).

Reading never raises and never says what was wrong: absent and malformed are the same to whoever asks (G3).
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import quote, unquote

from hotspare_rpc.text import printable

ARC_ID_KEY = "hotspare-arc-id"
ARC_KEY_KEY = "hotspare-arc-key"
RECEIVER_ID_KEY = "hotspare-receiver-id"
DEVICE_ID_KEY = "hotspare-device-id"
DEVICE_KEY_KEY = "hotspare-device-key"
OPERATOR_KEY = "hotspare-operator"
AUTHORIZATION_KEY = "authorization"

SECRET_BITS = 256
LONGEST_SECRET = 256
"""Characters of a key or token at most; those made here have 43."""
LONGEST_ID = 64
LONGEST_OPERATOR = 64

MetadataPairs: TypeAlias = tuple[tuple[str, str], ...]
InvocationMetadata: TypeAlias = Iterable[tuple[str, str | bytes]] | None

_ID = re.compile(rf"[A-Za-z0-9._-]{{1,{LONGEST_ID}}}")
_SECRET = re.compile(rf"[\x21-\x7e]{{1,{LONGEST_SECRET}}}")
_BEARER = re.compile(rf"[Bb][Ee][Aa][Rr][Ee][Rr] +([\x21-\x7e]{{1,{LONGEST_SECRET}}})")
_QUOTED_OPERATOR = re.compile(rf"[\x20-\x7e]{{1,{LONGEST_OPERATOR * 12}}}")


@dataclass(frozen=True, slots=True)
class ReceiverCredentials:
    """What a receiver shows to the cloud."""

    arc_id: str
    arc_key: str = field(repr=False)
    receiver_id: str

    def metadata(self) -> MetadataPairs:
        """The pairs to send with a call."""
        return ((ARC_ID_KEY, self.arc_id), (ARC_KEY_KEY, self.arc_key), (RECEIVER_ID_KEY, self.receiver_id))


@dataclass(frozen=True, slots=True)
class DeviceCredentials:
    """What a device, or the gateway that speaks for it, shows."""

    arc_id: str
    device_id: str
    device_key: str = field(repr=False)

    def metadata(self) -> MetadataPairs:
        """The pairs to send with a call."""
        return ((ARC_ID_KEY, self.arc_id), (DEVICE_ID_KEY, self.device_id), (DEVICE_KEY_KEY, self.device_key))


@dataclass(frozen=True, slots=True)
class BearerToken:
    """What an operator or automation software shows."""

    secret: str = field(repr=False)

    def metadata(self) -> MetadataPairs:
        """The pair to send with a call."""
        return ((AUTHORIZATION_KEY, f"Bearer {self.secret}"),)


def operator_metadata(name: str) -> MetadataPairs:
    """The pair by which a receiver tells the cloud for which operator it calls (S5).

    Percent-encoded: metadata carries ASCII only, and names of people are not.
    """
    return ((OPERATOR_KEY, quote(printable(name, LONGEST_OPERATOR), safe=" ")),)


def read_receiver_credentials(metadata: InvocationMetadata) -> ReceiverCredentials | None:
    """The receiver's credentials in a call's metadata; None when any part is absent or malformed."""
    values = _single_values(metadata)
    arc_id, arc_key = _matching(_ID, values.get(ARC_ID_KEY)), _matching(_SECRET, values.get(ARC_KEY_KEY))
    receiver_id = _matching(_ID, values.get(RECEIVER_ID_KEY))
    if arc_id is None or arc_key is None or receiver_id is None:
        return None
    return ReceiverCredentials(arc_id, arc_key, receiver_id)


def read_device_credentials(metadata: InvocationMetadata) -> DeviceCredentials | None:
    """The device's credentials in a call's metadata; None when any part is absent or malformed."""
    values = _single_values(metadata)
    arc_id, device_id = _matching(_ID, values.get(ARC_ID_KEY)), _matching(_ID, values.get(DEVICE_ID_KEY))
    device_key = _matching(_SECRET, values.get(DEVICE_KEY_KEY))
    if arc_id is None or device_id is None or device_key is None:
        return None
    return DeviceCredentials(arc_id, device_id, device_key)


def read_bearer_token(metadata: InvocationMetadata) -> BearerToken | None:
    """The token in a call's metadata; None when it is absent or malformed."""
    value = _single_values(metadata).get(AUTHORIZATION_KEY)
    match = _BEARER.fullmatch(value) if value is not None else None
    return BearerToken(match[1]) if match is not None else None


def read_operator(metadata: InvocationMetadata) -> str | None:
    """The operator's name as a receiver passed it on, fit to be shown; None when absent or malformed."""
    value = _matching(_QUOTED_OPERATOR, _single_values(metadata).get(OPERATOR_KEY))
    if value is None:
        return None
    return printable(unquote(value, errors="replace"), LONGEST_OPERATOR).strip() or None


def new_secret() -> str:
    """A new key or token: 256 random bits as 43 characters of A-Z a-z 0-9 - _."""
    return secrets.token_urlsafe(SECRET_BITS // 8)


def sha256(secret: str) -> bytes:
    """What is stored of a secret that is only verified (S1). No salt: 256 random bits can't be guessed."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()


def matches(secret: str, digest: bytes) -> bool:
    """Tell in constant time whether `secret` has this SHA-256."""
    return hmac.compare_digest(sha256(secret), digest)


def _single_values(metadata: InvocationMetadata) -> dict[str, str | None]:
    """Each key's value; None for a key that came twice, for then nobody knows which one was meant."""
    values: dict[str, str | None] = {}
    for key, value in metadata or ():
        values[key] = value if isinstance(value, str) and key not in values else None
    return values


def _matching(form: re.Pattern[str], value: str | None) -> str | None:
    return value if value is not None and form.fullmatch(value) is not None else None
