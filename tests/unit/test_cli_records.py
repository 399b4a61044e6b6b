"""Records at the command line: ids, options and values, all of them from the one description of the kinds (B1)."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import click
import pytest

from hotspare.v1 import record_pb2
from hotspare.v1.record_pb2 import SEVERITY_OPEN_CLOSE, Device, Event, User, UserDevice, Zone
from hotspare_cli.commands.records import record_group
from hotspare_cli.errors import CliError
from hotspare_cli.main import hotspare
from hotspare_cli.record_options import cascade_help, id_form, id_values, named, option_name, typed
from hotspare_cli.record_values import fill_all, shown
from hotspare_cli.screen import plain
from hotspare_cli.views.records import record_view
from hotspare_model.digest import RecordKind
from hotspare_model.kinds import KINDS, Field, Form, Kind, composed_id, kind_named

BY_NAME: Mapping[str, Kind] = {kind.name: kind for kind in KINDS}
DEVICE, ZONE, USER, EVENT = (BY_NAME[name] for name in ("device", "zone", "user", "event"))


def parsed(kind: Kind, verb: str, *words: str) -> dict[str, Any]:
    """What a verb of the kind makes of those words."""
    command = record_group(kind).commands[verb]
    return dict(command.make_context(verb, [*words]).params)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_b1_each_kind_has_its_five_verbs_with_an_option_for_each_field(kind: Kind) -> None:
    group = hotspare.commands[kind.name]
    assert isinstance(group, click.Group)
    assert {"list", "show", "create", "update", "delete"} <= set(group.commands)
    wanted = {option_name(field) for field in kind.fields if not field.fixed and field.form is not Form.OTHER}
    for verb in ("create", "update"):
        options = {one.opts[0] for one in group.commands[verb].params if isinstance(one, click.Option)}
        assert wanted <= options, "no two fields may have the same option"
    assert len(wanted) == len([*typed(kind)])


def test_b1_a_seventh_kind_needs_nothing_here() -> None:
    seventh = Kind(
        number=RecordKind.EVENT,
        name="gate",
        plural="gates",
        id_field="gate_id",
        fields=(
            Field("gate_id", Form.ID, 1, 64, required=True, fixed=True),
            Field("width_number", Form.NUMBER, 1, 9, required=True, help="how wide it is"),
        ),
        filter_field="width_number",
        filter_values=("width_number",),
    )
    group = record_group(seventh)
    context = group.commands["create"].make_context("create", ["gate-1", "--width", "3"])
    assert context.params["width_number"] == 3
    assert "--width" in group.commands["list"].get_help(click.Context(group.commands["list"]))


# --- Ids ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "record_id", "values"),
    [
        (DEVICE, "panel-1", {"device_id": "panel-1"}),
        (ZONE, "panel-1/5", {"device_id": "panel-1", "number": 5}),
        (EVENT, "130", {"contact_id_code": "130"}),
        (EVENT, "SIA-BA", {"sia_code": "BA"}),
    ],
)
def test_an_id_tells_the_fields_that_it_is_made_of(kind: Kind, record_id: str, values: dict[str, Any]) -> None:
    assert id_values(kind, record_id) == values
    assert kind.given or composed_id(kind, values) == record_id


@pytest.mark.parametrize("record_id", ["panel-1", "panel-1/", "/5", "panel-1/x", "panel-1/5/6", "panel-1/-1", ""])
def test_an_id_of_another_form_is_told(record_id: str) -> None:
    with pytest.raises(CliError, match="not the id of a zone"):
        id_values(ZONE, record_id)


def test_what_ids_look_like_is_told() -> None:
    assert [id_form(kind) for kind in (DEVICE, ZONE, EVENT)] == ["ID", "DEVICE/NUMBER", "CODE or SIA-CODE"]


def test_x4_what_a_cascade_takes_along_is_told_and_only_offered_where_there_is_something() -> None:
    assert cascade_help(DEVICE) == "Delete its partitions, zones and channels too and take it out of users."
    assert cascade_help(BY_NAME["partition"]) == "Take it out of zones and users."
    assert cascade_help(ZONE) == "Take it out of channels."
    for kind in KINDS:
        offered = any("--cascade" in one.opts for one in record_group(kind).commands["delete"].params)
        assert offered == bool(cascade_help(kind)), kind.name


# --- Values ------------------------------------------------------------------------------------------------


def message(kind: Kind, *words: str, verb: str = "update") -> Any:
    """The record that an update with those words sends."""
    found = getattr(record_pb2, kind.title)()
    fill_all(found, kind.fields, named(kind, parsed(kind, verb, "x", *words)))
    return found


def test_values_are_typed_as_people_say_them() -> None:
    device = message(DEVICE, "--account", "1234", "--supervision", "5m")
    assert (device.account_number, device.supervision_interval.ToTimedelta()) == ("1234", timedelta(minutes=5))
    zone = message(ZONE, "--partition", "2", "--detector", "motion")
    assert zone == Zone(partition_number=2, detector_type="motion")
    event = message(EVENT, "--severity", "open-close", "--forwarded", "no", "--sia-restore", "OP")
    assert event == Event(severity=SEVERITY_OPEN_CLOSE, forwarded=False, sia_restore_code="OP")
    assert event.HasField("forwarded")
    assert list(message(BY_NAME["channel"], "--zone", "1,2,7").zone_numbers) == [1, 2, 7]


def test_devices_of_a_user_are_repeated_with_number_and_areas() -> None:
    user = message(USER, "--device", "panel-1:3:1,2", "--device", "panel-2", "--device", "panel-3::4")
    assert user == User(
        devices=[
            UserDevice(device_id="panel-1", user_number=3, partition_numbers=[1, 2]),
            UserDevice(device_id="panel-2"),
            UserDevice(device_id="panel-3", partition_numbers=[4]),
        ]
    )


@pytest.mark.parametrize(
    ("kind", "words", "fields"),
    [
        (DEVICE, ("--name", ""), ["name"]),
        (DEVICE, ("--supervision", "0s"), ["supervision_interval"]),
        (ZONE, ("--partition", "0"), ["partition_number"]),
        (BY_NAME["channel"], ("--zone", ""), ["zone_numbers"]),
        (USER, ("--device", "", "--phone", ""), ["phone", "devices"]),
        (USER, (), []),
    ],
)
def test_an_empty_value_takes_a_field_away_and_what_is_not_named_stays(
    kind: Kind, words: tuple[str, ...], fields: list[str]
) -> None:
    assert list(named(kind, parsed(kind, "update", "x", *words))) == fields
    assert not any(getattr(message(kind, *words), field) for field in fields if field != "supervision_interval")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (
            DEVICE,
            ("--name", "Depot", "--account", "12AF", "--supervision", "90s", "--line", "1A", "--disabled", "yes"),
        ),
        (ZONE, ("--partition", "99", "--name", "Front door", "--detector", "glass")),
        (BY_NAME["channel"], ("--name", "Yard", "--url", "rtsp://10.0.0.9/1", "--zone", "1,2")),
        (USER, ("--name", "Night shift", "--phone", "1", "--email", "n@example.org", "--device", "p:3:1,2")),
        (EVENT, ("--sia", "BA", "--sia-restore", "BR", "--name", "x", "--severity", "bypass", "--forwarded", "no")),
    ],
    ids=lambda value: value.name if isinstance(value, Kind) else "",
)
def test_what_is_shown_can_be_typed(kind: Kind, words: tuple[str, ...]) -> None:
    record = message(kind, *words)
    given = dict(zip(words[::2], words[1::2], strict=True))
    assert {option_name(field): shown(record, field) for field in typed(kind)} == given


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_v3_a_record_that_tells_nothing_is_shown_with_its_defaults(kind: Kind) -> None:
    empty = getattr(record_pb2, kind.title)()
    values = {field.name: shown(empty, field) for field in typed(kind)}
    assert values.get("supervision_interval", "3m") == "3m"
    assert (values.get("severity", "info"), values.get("forwarded", "yes")) == ("info", "yes")
    assert values.get("disabled", "no") == "no"
    assert plain(record_view(kind, empty))


def test_zero_supervision_is_off() -> None:
    device = Device()
    device.supervision_interval.FromTimedelta(timedelta(0))
    field = DEVICE.field("supervision_interval")
    assert field is not None
    assert shown(device, field) == "off"


def test_a_kind_is_found_by_its_name() -> None:
    assert kind_named("zones") is ZONE
