"""The description of the six kinds agrees with the contract, and says what it should (B1)."""

from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor

from hotspare.v1 import configuration_service_pb2, configuration_service_pb2_grpc, record_pb2
from hotspare_model.digest import RecordKind
from hotspare_model.errors import HotspareError, Reason
from hotspare_model.event_codes import CATALOGUE, Severity
from hotspare_model.event_definitions import DEFINITIONS
from hotspare_model.kinds import DELETE, DROP, KINDS, Field, Form, Kind, kind_named, kind_of, referring
from hotspare_model.values import check_line, checked
from hotspare_rpc.records import message_of, message_type, set_id

SERVER_SETS = {"create_time", "update_time", "etag"}
TYPES = {
    Form.ID: FieldDescriptor.TYPE_STRING,
    Form.TEXT: FieldDescriptor.TYPE_STRING,
    Form.HEX: FieldDescriptor.TYPE_STRING,
    Form.CONTACT_ID_CODE: FieldDescriptor.TYPE_STRING,
    Form.SIA_CODE: FieldDescriptor.TYPE_STRING,
    Form.NUMBER: FieldDescriptor.TYPE_UINT32,
    Form.NUMBERS: FieldDescriptor.TYPE_UINT32,
    Form.SPAN: FieldDescriptor.TYPE_MESSAGE,
    Form.CHOICE: FieldDescriptor.TYPE_ENUM,
    Form.FLAG: FieldDescriptor.TYPE_BOOL,
    Form.PARTS: FieldDescriptor.TYPE_MESSAGE,
    Form.OTHER: FieldDescriptor.TYPE_MESSAGE,
}


def assert_described(fields: tuple[Field, ...], message: Any, beside: set[str]) -> None:
    assert {field.name for field in fields} | beside == set(message.fields_by_name)
    for field in fields:
        told = message.fields_by_name[field.name]
        assert told.type == TYPES[field.form], field.name
        assert told.is_repeated == (field.form in (Form.NUMBERS, Form.PARTS)), field.name
        if field.form is Form.CHOICE:
            assert told.enum_type is not None
            prefix = f"{told.enum_type.name.upper()}_"
            assert [name.upper() for name in field.choices] == [
                value.name.removeprefix(prefix) for value in told.enum_type.values if value.number
            ]
        if field.form is Form.PARTS:
            assert told.message_type is not None
            assert_described(field.parts, told.message_type, set())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_b1_the_description_of_a_kind_is_that_of_the_contract(kind: Kind) -> None:
    beside = SERVER_SETS | (set() if kind.given else {kind.id_field})
    assert_described(kind.fields, message_type(kind).DESCRIPTOR, beside)
    assert kind.name in record_pb2.Record.DESCRIPTOR.fields_by_name
    assert record_pb2.RecordKind.Name(int(kind.number)) == f"RECORD_KIND_{kind.name.upper()}"  # type: ignore[arg-type]
    listed = getattr(configuration_service_pb2, f"List{kind.plural_title}Request").DESCRIPTOR
    assert set(listed.fields_by_name) == {"page_size", "page_token", "text", kind.filter_field}
    for path in (*kind.filter_values, *(reference.field for reference in kind.references)):
        assert kind.at(path)
    for verb in ("Create", "Get", "Update", "Delete"):
        assert hasattr(configuration_service_pb2_grpc.ConfigurationServiceServicer, f"{verb}{kind.title}")


def test_b1_there_are_six_kinds_each_with_its_number_and_names() -> None:
    assert [kind.number for kind in KINDS] == list(RecordKind)
    for kind in KINDS:
        assert kind_of(int(kind.number)) is kind
        assert kind_named(kind.name) is kind_named(kind.plural) is kind
    assert kind_named("panel") is None
    with pytest.raises(KeyError):
        kind_of(7)
    with pytest.raises(KeyError):
        kind_of(RecordKind.ZONE).at("devices.device_id")


def test_b1_what_may_be_deleted_with_cascade_is_what_the_contract_says() -> None:
    """`cascade` is a field of a kind's delete exactly where something may refer to that kind."""
    for kind in KINDS:
        request = getattr(configuration_service_pb2, f"Delete{kind.title}Request").DESCRIPTOR
        assert ("cascade" in request.fields_by_name) == bool(list(referring(kind.number))), kind.name
    to_devices = {kind.name: reference.on_delete for kind, reference in referring(RecordKind.DEVICE)}
    assert to_devices == {"partition": DELETE, "zone": DELETE, "channel": DELETE, "user": DROP}


@pytest.mark.parametrize(
    ("kind", "path", "value", "kept"),
    [
        ("device", "account_number", "12ab", "12AB"),
        ("device", "supervision_interval", None, timedelta(seconds=180)),
        ("device", "supervision_interval", timedelta(0), timedelta(0)),
        ("device", "supervision_interval", timedelta(days=30), timedelta(days=30)),
        (
            "device",
            "name",
            "Käse 店 \U0001f525 \U0001f468\u200d\U0001f469",
            "Käse 店 \U0001f525 \U0001f468\u200d\U0001f469",
        ),
        ("device", "name", "x" * 128, "x" * 128),
        ("zone", "partition_number", 0, 0),
        ("zone", "number", 999, 999),
        ("channel", "zone_numbers", (3, 1), (1, 3)),
        ("event", "contact_id_code", "1bf", "1BF"),
        ("event", "sia_code", "ba", "BA"),
        ("event", "severity", None, "info"),
        ("event", "forwarded", None, True),
        ("event", "forwarded", False, False),
        ("event", "name", "\u3000 a", "\u3000 a"),
        ("user", "devices.user_number", 0, 0),
    ],
)
def test_s4_a_value_is_kept_in_its_one_form(kind: str, path: str, value: object, kept: object) -> None:
    assert checked(path, described(kind, path), value) == kept


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("device", "device_id", ""),
        ("device", "device_id", "a/b"),
        ("device", "device_id", "x" * 65),
        ("device", "account_number", None),
        ("device", "account_number", "12"),
        ("device", "account_number", "1" * 17),
        ("device", "account_number", "12\n"),
        ("device", "supervision_interval", timedelta(seconds=9)),
        ("device", "supervision_interval", timedelta(days=31)),
        ("device", "supervision_interval", timedelta(seconds=-1)),
        ("device", "name", "x" * 129),
        ("device", "name", "x" * 10_240),
        ("device", "name", "a\nb"),
        ("device", "name", "\x1b[2J"),
        ("device", "name", "\x9b2J"),
        ("device", "name", "safe\u202etxt.exe"),
        ("device", "name", "\u2066hidden\u2069"),
        ("device", "name", "zero\u200bwidth"),
        ("device", "name", "line\u2028break"),
        ("device", "name", "\U000e0041"),
        ("zone", "number", 0),
        ("zone", "number", 1000),
        ("partition", "number", 100),
        ("zone", "partition_number", 100),
        ("channel", "zone_numbers", (1, 1)),
        ("channel", "zone_numbers", (0,)),
        ("channel", "zone_numbers", (1000,)),
        ("event", "contact_id_code", "13A"),
        ("event", "contact_id_code", "1130"),
        ("event", "sia_code", "B"),
        ("event", "sia_code", "B1"),
        ("event", "sia_code", "ßa"),
        ("event", "severity", "grave"),
        ("event", "name", ""),
        ("event", "name", "   "),
    ],
)
def test_s4_a_value_that_makes_no_sense_is_refused(kind: str, path: str, value: object) -> None:
    with pytest.raises(HotspareError) as raised:
        checked(f"{kind}.{path}", described(kind, path), value)
    assert raised.value.reason is Reason.FIELD_INVALID
    assert raised.value.metadata["field"] == f"{kind}.{path}"
    # What was refused is not repeated: it may be long, or do something to a terminal.
    assert raised.value.message.isprintable()
    assert len(raised.value.message) < 200


def test_s4_a_refused_character_is_named_by_its_number() -> None:
    with pytest.raises(HotspareError, match=r"U\+202E"):
        check_line("name", "a\u202eb", 10)


def test_a10_the_catalogue_of_events_is_made_of_valid_definitions_each_once() -> None:
    kind = kind_of(RecordKind.EVENT)
    ids, codes = set(), []
    for definition in DEFINITIONS:
        assert {name: checked(name, kind.at(name), value) for name, value in definition.items()} == definition
        ids.add(set_id(kind, message_of(kind, definition)))
        codes += [str(definition[name]) for name in ("sia_code", "sia_restore_code") if definition[name]]
        assert definition["sia_code"] or not definition["sia_restore_code"]
    assert len(ids) == len(DEFINITIONS)
    assert CATALOGUE.keys() <= ids
    assert {"BA", "BR", "FA", "CL", "OP", "RP"} <= set(codes)
    assert len(set(codes)) == len(codes), "a SIA code is told from its definition, so there is one"
    severities: Any = described("event", "severity").choices
    assert set(severities) == {severity.value for severity in Severity}


def described(kind: str, path: str) -> Field:
    found = kind_named(kind)
    assert found is not None
    return found.at(path)
