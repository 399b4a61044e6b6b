"""How a device speaks DC-09 on the direct path, checked as it is edited (D1)."""

import re
from datetime import timedelta
from typing import Any

from hotspare.v1 import record_pb2
from hotspare_model.errors import field_invalid
from hotspare_rpc.wire import duration_from_proto

LONGEST_WINDOW = timedelta(days=1)

_ACCOUNT = re.compile(r'(?:(?!["#|\[\]])[!-~]){1,16}')


def take_access(path: str, own: Any, asked: Any) -> None:
    """Put `asked.dc09` into `own`, checked and in the form in which it is kept; unset takes it away.

    Raises:
        HotspareError: FIELD_INVALID.
    """
    own.ClearField("dc09")
    if not asked.HasField("dc09"):
        return
    access = asked.dc09
    if access.account and _ACCOUNT.fullmatch(access.account) is None:
        raise field_invalid(f"{path}.account", 'must be 1 to 16 visible characters of ASCII, without " # | [ ]')
    if access.HasField("time_window"):
        check_window(f"{path}.time_window", access.time_window)
    if access.nak_form not in record_pb2.Dc09NakForm.values():
        raise field_invalid(f"{path}.nak_form", "must be NEW or OLD")
    own.dc09.CopyFrom(access)
    own.dc09.account = access.account.upper()


def check_window(path: str, window: record_pb2.Dc09TimeWindow) -> None:
    """Check a time window. Raises HotspareError FIELD_INVALID."""
    for name in ("past", "future"):
        if not window.HasField(name):
            continue
        span = duration_from_proto(getattr(window, name))
        if span is None or not timedelta(0) <= span <= LONGEST_WINDOW:
            raise field_invalid(f"{path}.{name}", "must be 0 s to 1 day")


def access_account(device: record_pb2.Device) -> str:
    """The account in a device's frames; empty for a device that does not speak DC-09."""
    if not device.HasField("dc09"):
        return ""
    return (device.dc09.account or device.account_number).upper()
