"""Settings as messages: what may be set, when, and how it is shown (G4, G5)."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from hotspare.v1 import receiver_service_pb2
from hotspare_model.errors import HotspareError, Reason, field_invalid
from hotspare_model.group import Role
from hotspare_receiver.clients.cloud import uses_tls
from hotspare_receiver.core.health import DISK_FLOOR
from hotspare_receiver.hot_spare import dual_connection_not_allowed, leaves_account
from hotspare_receiver.identity import NAME_LIMIT, host_name
from hotspare_receiver.services.requests import check_hex, check_name, check_text
from hotspare_receiver.services.settings_limits import (
    history_age_from_proto,
    history_age_to_proto,
    history_bytes_from_proto,
    window_from_proto,
    window_to_proto,
)
from hotspare_receiver.store.settings import DEFAULT_SUB_ACCOUNT, Settings, SettingsStore
from hotspare_rpc.address import AddressError, parse_address
from hotspare_rpc.credentials import LONGEST_SECRET

SETTABLE = frozenset(
    {
        "name",
        "cloud_address",
        "arc_id",
        "arc_key",
        "sub_account",
        "advertised_address",
        "dual_connection",
        "cloud_ca_pem",
        "cloud_tls",
        "own_account_number",
        "disk_floor_bytes",
        "dc09_listen",
        "dc09_time_window",
        "isolated_forwarding",
        "history_max_age",
        "history_max_bytes",
    }
)
LATER: frozenset[str] = frozenset()
"""Fields of the contract that have no effect in this release, so that setting them is refused."""

LONGEST_PEM = 256 * 1024

LEAST_FLOOR, MOST_FLOOR = 1_000_000, 10**13
"""Bytes of `disk_floor_bytes`: 1 MB to 10 TB."""


def settings_to_proto(store: SettingsStore) -> receiver_service_pb2.ReceiverSettings:
    """The settings as they are shown: all but the ARC key."""
    settings = store.settings
    message = receiver_service_pb2.ReceiverSettings(
        name=settings.name or host_name(),
        cloud_address=settings.cloud_address,
        arc_id=settings.arc_id,
        arc_key_set=bool(store.arc_key),
        sub_account=settings.sub_account,
        advertised_address=settings.advertised_address,
        dual_connection=settings.dual_connection,
        cloud_ca_pem=settings.cloud_ca_pem,
        own_account_number=settings.own_account_number,
        disk_floor_bytes=settings.disk_floor_bytes or DISK_FLOOR,
        dc09_listen=settings.dc09_listen,
        dc09_time_window=window_to_proto(settings.dc09_window),
        isolated_forwarding=settings.isolated_forwarding,
        history_max_age=history_age_to_proto(settings.history.max_age),
        history_max_bytes=settings.history.max_bytes,
        etag=store.etag,
    )
    if settings.cloud_tls is not None:
        message.cloud_tls = settings.cloud_tls
    return message


def changed_settings(
    store: SettingsStore, message: receiver_service_pb2.ReceiverSettings, paths: Iterable[str]
) -> tuple[Settings, str]:
    """Settings and ARC key with the fields of `paths` as `message` has them.

    Raises:
        HotspareError: FIELD_INVALID, ROLE_HELD, DUAL_CONNECTION_NOT_ALLOWED.
    """
    after, arc_key = store.settings, store.arc_key
    for path in paths:
        match path:
            case "arc_key":
                arc_key = _secret(message.arc_key)
            case "cloud_tls":
                after = replace(after, cloud_tls=message.cloud_tls if message.HasField("cloud_tls") else None)
            case "dual_connection":
                after = replace(after, dual_connection=message.dual_connection)
            case "isolated_forwarding":
                unset = not message.HasField("isolated_forwarding")
                after = replace(after, isolated_forwarding=unset or message.isolated_forwarding)
            case "disk_floor_bytes":
                after = replace(after, disk_floor_bytes=_floor(message.disk_floor_bytes))
            case "dc09_time_window":
                after = replace(after, dc09_window=window_from_proto(message))
            case "history_max_age":
                after = replace(after, history_max_age_seconds=history_age_from_proto(message))
            case "history_max_bytes":
                after = replace(after, history_max_bytes=history_bytes_from_proto(message))
            case _:
                texts: dict[str, Any] = {path: _text(path, getattr(message, path))}
                after = replace(after, **texts)
    _check_clear_text(after)
    _check_role(store, after)
    return after, arc_key


def _check_clear_text(settings: Settings) -> None:
    """S3: keys and alarms never cross a network in clear."""
    if settings.cloud_address and not uses_tls(settings) and not parse_address(settings.cloud_address).is_loopback:
        raise field_invalid("cloud_tls", "can be switched off only for a cloud on this machine (loopback)")


def _check_role(store: SettingsStore, after: Settings) -> None:
    """G4, G5. Another cloud or account ends the role first (X3), and what it forbade with it."""
    if store.role is None or leaves_account(store.settings, after):
        return
    role = store.role.role
    if store.settings.sub_account != after.sub_account:
        raise role_held("sub_account", role)
    if after.dual_connection and role is not Role.HOST:
        raise dual_connection_not_allowed(role)


def role_held(setting: str, role: Role) -> HotspareError:
    """The setting says in which group the role is held; it goes with the role."""
    return HotspareError(
        Reason.ROLE_HELD,
        f"{setting} can't be changed while this receiver is {role.name}: switch the hot spare off first (disable)",
        setting=setting,
        role=role.name,
    )


def _secret(text: str) -> str:
    clean = text.strip()
    if len(clean) > LONGEST_SECRET or not clean.isascii() or any(not "!" <= letter <= "~" for letter in clean):
        raise field_invalid("arc_key", f"must be at most {LONGEST_SECRET} printable ASCII characters")
    return clean


def _text(field: str, text: str) -> str:
    match field:
        case "name":
            return check_text(field, text.strip(), NAME_LIMIT)
        case "arc_id":
            return check_name(field, text) if text else ""
        case "sub_account":
            return check_name(field, text) if text else DEFAULT_SUB_ACCOUNT
        case "cloud_address" | "advertised_address" | "dc09_listen":
            return _address(field, text)
        case "own_account_number":
            return check_hex(field, text, 3, 16) if text else ""
        case _:
            return _pem(field, text)


def _floor(asked: int) -> int:
    if asked and not LEAST_FLOOR <= asked <= MOST_FLOOR:
        raise field_invalid("disk_floor_bytes", "must be 1 MB to 10 TB, or 0 for the default")
    return asked


def _address(field: str, text: str) -> str:
    if not text:
        return ""
    try:
        address = parse_address(text)
    except AddressError as error:
        raise field_invalid(field, str(error)) from error
    if address.port == 0:
        raise field_invalid(field, "names no port")
    return str(address)


def _pem(field: str, text: str) -> str:
    if not text.strip():
        return ""
    if len(text) > LONGEST_PEM:
        raise field_invalid(field, f"is at most {LONGEST_PEM} characters long")
    from cryptography.x509 import load_pem_x509_certificates  # long to import, and seldom needed

    try:
        load_pem_x509_certificates(text.encode())
    except ValueError as error:
        raise field_invalid(field, "holds no certificate in PEM") from error
    return text
