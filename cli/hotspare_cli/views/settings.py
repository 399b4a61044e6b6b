"""Settings of a receiver, for `settings`."""

from collections.abc import Iterator

from hotspare.v1.receiver_service_pb2 import GetSettingsResponse, ReceiverSettings, UpdateSettingsResponse
from hotspare.v1.record_pb2 import Dc09TimeWindow
from hotspare_cli.layout import CellLike, Facts, Part
from hotspare_cli.words import NONE, duration, size, yes_no


def settings_view(response: GetSettingsResponse | UpdateSettingsResponse) -> Iterator[Part]:
    """All settings, one a line."""
    yield Facts(tuple(_pairs(response.settings)))


def _pairs(settings: ReceiverSettings) -> Iterator[tuple[str, CellLike]]:
    yield "Name", settings.name or NONE
    yield "Cloud address", settings.cloud_address or "not set"
    yield "Cloud certificates", "of its own" if settings.cloud_ca_pem else "the system's"
    yield (
        "TLS to the cloud",
        _tls(settings),
    )
    yield "ARC id", settings.arc_id or "not set"
    yield "ARC key", "set" if settings.arc_key_set else "not set"
    yield "Sub account", settings.sub_account or "default"
    yield "Advertised address", settings.advertised_address or "where it listens"
    yield "Dual connection", "on" if settings.dual_connection else "off"
    yield "DC-09 panels at", settings.dc09_listen or "nowhere"
    if settings.HasField("dc09_time_window"):
        yield "DC-09 time window", _window(settings.dc09_time_window)
    if settings.HasField("isolated_forwarding"):
        yield "Direct alarms, cut off from the cloud", "forwarded" if settings.isolated_forwarding else "not taken"
    yield "Own account number", settings.own_account_number or NONE
    if settings.HasField("history_max_age"):
        yield "History kept for", duration(settings.history_max_age)
    if settings.history_max_bytes:
        yield "History kept up to", size(settings.history_max_bytes)
    yield "Disk floor", size(settings.disk_floor_bytes) if settings.disk_floor_bytes else "the default"


def _window(window: Dc09TimeWindow) -> str:
    if window.off:
        return "off: any time is taken"
    return f"{duration(window.past)} old, {duration(window.future)} ahead"


def _tls(settings: ReceiverSettings) -> str:
    if settings.HasField("cloud_tls"):
        return yes_no(settings.cloud_tls)
    return "yes, for its CA is named" if settings.cloud_ca_pem else "unless on loopback"
