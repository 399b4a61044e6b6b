"""The settings of a group at the command line: all of them, as they are typed, and nothing else."""

import re
from dataclasses import fields
from datetime import timedelta
from typing import Any

import click
import pytest

from hotspare.v1 import group_pb2
from hotspare.v1.role_service_pb2 import GetGroupSettingsResponse, UpdateGroupSettingsResponse
from hotspare_cli.group_settings import SETTINGS, Setting
from hotspare_cli.layout import Grid, Lines, cell
from hotspare_cli.screen import plain
from hotspare_cli.views.group_settings import changed_view, group_settings_view
from hotspare_model.errors import HotspareError
from hotspare_model.group import GroupSettings, updated
from hotspare_rpc.spans import SPAN, parse_span
from hotspare_rpc.wire import group_settings_to_proto


def test_each_setting_of_the_contract_can_be_set_and_is_shown() -> None:
    contract = [field.name for field in group_pb2.GroupSettings.DESCRIPTOR.fields]
    assert [setting.field for setting in SETTINGS] == [name for name in contract if name != "etag"]


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.field)
def test_a_setting_is_typed_as_what_it_is(setting: Setting) -> None:
    default = next(field.default for field in fields(GroupSettings) if field.name == setting.field)
    kinds: dict[type, type] = {timedelta: type(SPAN), int: click.IntRange, str: type(click.STRING)}
    assert isinstance(setting.kind, kinds[type(default)])


def fixed(setting: Setting, text: str) -> object:
    """An end of a range, as a value; None for one that depends on another setting."""
    if isinstance(setting.kind, click.IntRange):
        return int(text.replace(",", ""))
    return parse_span(text) if re.fullmatch(r"[0-9]+[a-z]+", text) else None


def with_end(setting: Setting, end: object) -> GroupSettings:
    """Settings with this one at that end, and those that depend on it in between."""
    others: dict[str, object] = {}
    if setting.field == "lease" and isinstance(end, timedelta):
        others = {"beat": end / 10, "suspect_after": end / 2, "reconnect_grace": end, "restart_grace": end}
    return updated(GroupSettings(), **{**others, setting.field: end})


ENDS = [
    (setting, side, value)
    for setting in SETTINGS
    if " to " in setting.limits
    for side, text in zip((-1, 1), setting.limits.split(" to "), strict=True)
    if (value := fixed(setting, text)) is not None
]


@pytest.mark.parametrize(("setting", "side", "end"), ENDS, ids=lambda value: getattr(value, "field", str(value)))
def test_the_ranges_that_are_told_are_those_that_are_checked(setting: Setting, side: int, end: Any) -> None:
    beyond = end + side * (timedelta(milliseconds=1) if isinstance(end, timedelta) else 1)
    with_end(setting, end)
    with pytest.raises(HotspareError):
        with_end(setting, beyond)


def test_settings_are_shown_as_they_are_typed() -> None:
    settings = group_settings_to_proto(
        updated(GroupSettings(), reconnect_grace=timedelta(seconds=0.25), window=10_000), "e1"
    )
    (table,) = group_settings_view(GetGroupSettingsResponse(settings=settings))
    assert isinstance(table, Grid)
    shown = {cell(row[0]).text: cell(row[1]).text for row in table.rows}
    assert shown == {
        "lease": "6s",
        "beat": "1s",
        "reconnect_grace": "250ms",
        "suspect_after": "3s",
        "restart_grace": "3s",
        "unhealthy_after": "10s",
        "failback_delay": "10s",
        "drain_timeout": "5s",
        "losses_per_hour": "4",
        "window": "10000",
        "sync_interval": "1m",
        "set_aside_after": "5",
        "takeover_event_code": "399",
        "revision_max_age": "90d",
        "revision_max_count": "100",
    }
    for setting in SETTINGS:
        setting.kind.convert(shown[setting.field], None, None)


def test_a_delay_of_zero_is_told_apart_from_one_that_is_not_told() -> None:
    zero = group_settings_to_proto(updated(GroupSettings(), failback_delay=timedelta()))
    assert re.search(r"^failback_delay +0s ", plain(group_settings_view(GetGroupSettingsResponse(settings=zero))), re.M)
    assert re.search(r"^failback_delay +- ", plain(group_settings_view(GetGroupSettingsResponse())), re.M)


def test_what_changed_is_told_with_what_it_was() -> None:
    before = group_settings_to_proto(GroupSettings(), "e1")
    after = group_settings_to_proto(updated(GroupSettings(), drain_timeout=timedelta(seconds=8), window=64), "e2")
    first, _ = changed_view(UpdateGroupSettingsResponse(settings=after), before)
    assert isinstance(first, Lines)
    assert [cell(line).text for line in first.lines] == [
        "drain_timeout is 8s now; it was 5s.",
        "window is 64 now; it was 256.",
    ]
    same = plain(changed_view(UpdateGroupSettingsResponse(settings=before), before))
    assert same.startswith("Nothing changed: it was so already.\n")
