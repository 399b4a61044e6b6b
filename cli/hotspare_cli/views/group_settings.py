"""Settings of a group, for `group`."""

from collections.abc import Iterator
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from hotspare.v1.group_pb2 import GroupSettings
from hotspare.v1.role_service_pb2 import GetGroupSettingsResponse, UpdateGroupSettingsResponse
from hotspare_cli.group_settings import SETTINGS, Setting
from hotspare_cli.layout import Cell, Grid, Lines, Part, Tone, grid
from hotspare_cli.words import NONE
from hotspare_rpc.spans import exact


def group_settings_view(response: GetGroupSettingsResponse) -> Iterator[Part]:
    """The whole answer of `group show`."""
    yield _settings(response.settings)


def changed_view(response: UpdateGroupSettingsResponse, before: GroupSettings) -> Iterator[Part]:
    """The answer of `group set`: what changed, then all settings as they are now."""
    values = ((setting, _value(before, setting), _value(response.settings, setting)) for setting in SETTINGS)
    changed = [f"{setting.field} is {now} now; it was {was}." for setting, was, now in values if was != now]
    yield Lines(tuple(Cell(text, Tone.GOOD) for text in changed) or ("Nothing changed: it was so already.",))
    yield _settings(response.settings)


def _settings(settings: GroupSettings) -> Grid:
    rows = ((setting.field, _value(settings, setting), setting.limits, setting.about) for setting in SETTINGS)
    return grid(("SETTING", "VALUE", "RANGE", "WHAT"), rows, wraps=("WHAT",))


def _value(settings: GroupSettings, setting: Setting) -> str:
    """As it is typed: what is shown can be set."""
    value = getattr(settings, setting.field)
    if isinstance(value, Duration):
        if not any(field.name == setting.field for field, _ in settings.ListFields()):
            return NONE
        return exact(timedelta(seconds=value.seconds, microseconds=value.nanos // 1000))
    return str(value) if value else NONE
