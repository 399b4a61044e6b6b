"""Devices, for `device`."""

from collections.abc import Iterator

from hotspare.v1.configuration_service_pb2 import GetDeviceResponse, ListDevicesResponse
from hotspare.v1.record_pb2 import Device
from hotspare_cli.layout import CellLike, Facts, Part, grid
from hotspare_cli.words import NONE, clock, duration, yes_no


def devices_view(response: ListDevicesResponse) -> Iterator[Part]:
    """The whole answer of `device list`."""
    columns = ("ID", "ACCOUNT", "NAME", "SUPERVISED", "DISABLED", "CHANGED")
    yield grid(
        columns,
        (_row(device) for device in response.devices),
        empty="no devices: hotspare device create ID …",
    )


def device_view(response: GetDeviceResponse) -> Iterator[Part]:
    """The whole answer of `device show`."""
    yield Facts(tuple(_pairs(response.device)))


def _row(device: Device) -> tuple[CellLike, ...]:
    return (
        device.device_id,
        device.account_number,
        device.name or NONE,
        _supervised(device),
        yes_no(device.disabled),
        clock(device.update_time) if device.HasField("update_time") else NONE,
    )


def _pairs(device: Device) -> Iterator[tuple[str, CellLike]]:
    yield "Device", device.device_id
    yield "Name", device.name or NONE
    yield "Account number", device.account_number
    yield "Supervised", _supervised(device)
    yield "Line number", device.line_number or "the output's"
    yield "Disabled", yes_no(device.disabled)
    yield "Created", clock(device.create_time) if device.HasField("create_time") else NONE
    yield "Changed", clock(device.update_time) if device.HasField("update_time") else NONE


def _supervised(device: Device) -> str:
    if not device.HasField("supervision_interval"):
        return "default"
    return duration(device.supervision_interval) if device.supervision_interval.ToTimedelta() else "no"
