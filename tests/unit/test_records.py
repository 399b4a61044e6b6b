"""Records as messages: kept bytes, ids, references, and what is checked of a record that arrives (B1, B5)."""

from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from hotspare.v1 import record_pb2
from hotspare_model.digest import RecordKind
from hotspare_model.errors import HotspareError, Reason
from hotspare_model.kinds import KINDS, Kind, kind_of
from hotspare_rpc.records import (
    MAX_RECORD_BYTES,
    check_message,
    check_record,
    device_of,
    filter_values,
    message_of,
    packed,
    record_id,
    references,
    search_text,
    set_id,
    shown,
    take,
    unpack,
    values_of,
    without,
)

DEVICE, PARTITION, ZONE, CHANNEL, USER, EVENT = (kind_of(number) for number in RecordKind)
KEY_SHA256 = bytes(range(32))
USES = record_pb2.UserDevice


def example(kind: Kind) -> Any:
    """A payload of each kind."""
    match kind.number:
        case RecordKind.DEVICE:
            device = record_pb2.Device(device_id="p", account_number="12AB", name="Hall")
            return record_pb2.DeviceRecord(device=device, device_key_sha256=KEY_SHA256)
        case RecordKind.PARTITION:
            return record_pb2.Partition(partition_id="p/2", device_id="p", number=2)
        case RecordKind.ZONE:
            return record_pb2.Zone(zone_id="p/7", device_id="p", number=7, partition_number=2)
        case RecordKind.CHANNEL:
            return record_pb2.Channel(channel_id="p/1", device_id="p", number=1, zone_numbers=[7, 8])
        case RecordKind.USER:
            uses = [
                USES(device_id="p", user_number=4, partition_numbers=[1, 2]),
                USES(device_id="q"),
            ]
            return record_pb2.User(user_id="u", name="Guard", devices=uses)
        case _:
            return record_pb2.Event(event_id="130", contact_id_code="130", sia_code="BA", name="Burglary")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_b5_a_record_of_each_kind_is_packed_read_and_accepted(kind: Kind) -> None:
    payload = example(kind)
    record = packed(kind, payload)
    assert packed(kind, unpack(kind, record)) == record
    assert unpack(kind, record) == payload
    own_id = record_id(kind, payload)
    assert own_id == getattr(shown(kind, payload), kind.id_field)
    check_record(kind, own_id, record)
    other = kind_of(1 + int(kind.number) % 6)
    for wrong_kind, wrong_id, wrong in (
        (other, own_id, record),
        (kind, f"{own_id}x", record),
        (kind, "", record),
        (kind, own_id, b""),
        (kind, own_id, record[:-1]),
        (kind, own_id, b"\xff" + record),
        (kind, own_id, record + bytes(MAX_RECORD_BYTES)),
    ):
        with pytest.raises(HotspareError) as raised:
            check_record(wrong_kind, wrong_id, wrong)
        assert raised.value.reason is Reason.FIELD_INVALID


def test_s1_a_device_without_what_it_is_verified_by_is_not_taken() -> None:
    payload = example(DEVICE)
    assert device_of(packed(DEVICE, payload)) == (KEY_SHA256, "12AB")
    for field, value in (("device_key_sha256", b"short"), ("dc09_key", b"short")):
        wrong = type(payload)()
        wrong.CopyFrom(payload)
        setattr(wrong, field, value)
        with pytest.raises(HotspareError) as raised:
            check_record(DEVICE, "p", packed(DEVICE, wrong))
        assert raised.value.metadata["field"] == f"record.{field}"
    payload.device.account_number = ""
    with pytest.raises(HotspareError, match="account_number"):
        check_record(DEVICE, "p", packed(DEVICE, payload))


def test_v3_a_record_of_another_version_is_not_refused_for_its_ranges() -> None:
    """Else a cloud that is not upgraded yet would stop the backup of a host that is."""
    zone = record_pb2.Zone(zone_id="p/7", device_id="p", number=7, name="x" * 300)
    check_record(ZONE, "p/7", packed(ZONE, zone))
    event = record_pb2.Event(event_id="130", contact_id_code="130", name="x", severity=99)  # type: ignore[arg-type]
    check_record(EVENT, "130", packed(EVENT, event))


def test_b1_what_refers_to_what_is_found_by_the_description() -> None:
    assert set(references(PARTITION, example(PARTITION))) == {(RecordKind.DEVICE, "p")}
    assert set(references(ZONE, example(ZONE))) == {(RecordKind.DEVICE, "p"), (RecordKind.PARTITION, "p/2")}
    assert set(references(CHANNEL, example(CHANNEL))) == {
        (RecordKind.DEVICE, "p"),
        (RecordKind.ZONE, "p/7"),
        (RecordKind.ZONE, "p/8"),
    }
    assert set(references(USER, example(USER))) == {
        (RecordKind.DEVICE, "p"),
        (RecordKind.DEVICE, "q"),
        (RecordKind.PARTITION, "p/1"),
        (RecordKind.PARTITION, "p/2"),
    }
    assert not list(references(DEVICE, example(DEVICE)))
    assert not list(references(EVENT, example(EVENT)))
    assert not list(references(ZONE, record_pb2.Zone(device_id="", number=1)))


def test_b1_what_is_gone_is_dropped_or_takes_the_record_along() -> None:
    for kind in (PARTITION, ZONE, CHANNEL):
        assert without(kind, example(kind), (RecordKind.DEVICE, "p")) is None
        assert without(kind, example(kind), (RecordKind.DEVICE, "q")) == example(kind)
    zone: Any = without(ZONE, example(ZONE), (RecordKind.PARTITION, "p/2"))
    assert zone.partition_number == 0
    assert zone.number == 7
    channel: Any = without(CHANNEL, example(CHANNEL), (RecordKind.ZONE, "p/7"))
    assert channel.zone_numbers == [8]
    user: Any = without(USER, example(USER), (RecordKind.DEVICE, "p"))
    assert [use.device_id for use in user.devices] == ["q"]
    user = without(USER, example(USER), (RecordKind.PARTITION, "p/2"))
    assert [(use.device_id, list(use.partition_numbers)) for use in user.devices] == [("p", [1]), ("q", [])]


def test_a_user_never_gets_all_areas_by_losing_the_last_one() -> None:
    user: Any = example(USER)
    for number in (1, 2):
        user = without(USER, user, (RecordKind.PARTITION, f"p/{number}"))
    assert [use.device_id for use in user.devices] == ["q"]


@given(
    st.sampled_from([ZONE, CHANNEL, USER, PARTITION]),
    st.sampled_from([(RecordKind.DEVICE, "p"), (RecordKind.DEVICE, "q"), (RecordKind.ZONE, "p/7")])
    | st.tuples(st.just(RecordKind.PARTITION), st.sampled_from(["p/1", "p/2", "q/1"])),
)
def test_b1_after_a_loss_nothing_refers_to_it_and_nothing_else_is_lost(
    kind: Kind, gone: tuple[RecordKind, str]
) -> None:
    before = set(references(kind, example(kind)))
    left = without(kind, example(kind), gone)
    if left is not None:
        after = set(references(kind, left))
        assert gone not in after
        # A user's device may go along with its last area; the device's own records never do.
        assert after == before - {gone} or kind is USER


def test_a_message_is_taken_over_by_fields_in_the_form_in_which_it_is_kept() -> None:
    target = record_pb2.Device(device_id="p", account_number="1234", name="Hall")
    asked = record_pb2.Device(device_id="q", account_number="ab12", name="Yard")
    take(DEVICE, target, asked, ["account_number"])
    assert (target.device_id, target.account_number, target.name) == ("p", "AB12", "Hall")
    assert not target.HasField("supervision_interval")
    take(DEVICE, target, asked, ["supervision_interval"])
    assert target.supervision_interval == Duration(seconds=180)
    user = record_pb2.User(user_id="u")
    take(USER, user, example(USER))
    assert user == example(USER)
    event = record_pb2.Event()
    take(EVENT, event, record_pb2.Event(sia_code="xy", name="Strange"))
    assert set_id(EVENT, event) == event.event_id == "SIA-XY"
    assert (event.severity, event.forwarded) == (record_pb2.SEVERITY_INFO, True)


@pytest.mark.parametrize(
    ("kind", "message", "field"),
    [
        (DEVICE, record_pb2.Device(device_id="p", account_number="1234", line_number="1G"), "device.line_number"),
        (
            DEVICE,
            record_pb2.Device(device_id="p", account_number="1234", dc09=record_pb2.Dc09Access(account="a[b")),
            "device.dc09.account",
        ),
        (
            DEVICE,
            record_pb2.Device(
                device_id="p",
                account_number="1234",
                dc09=record_pb2.Dc09Access(time_window=record_pb2.Dc09TimeWindow(past=Duration(seconds=86_401))),
            ),
            "device.dc09.time_window.past",
        ),
        (
            DEVICE,
            record_pb2.Device(device_id="p", account_number="1234", dc09=record_pb2.Dc09Access(nak_form=9)),  # type: ignore[arg-type]
            "device.dc09.nak_form",
        ),
        (
            DEVICE,
            record_pb2.Device(device_id="p", account_number="1234", supervision_interval=Duration(seconds=1, nanos=-1)),
            "device.supervision_interval",
        ),
        (ZONE, record_pb2.Zone(device_id="p"), "zone.number"),
        (USER, record_pb2.User(user_id="u", devices=[USES(device_id="")]), "user.devices[0].device_id"),
        (
            USER,
            record_pb2.User(user_id="u", devices=[USES(device_id="p"), USES(device_id="p")]),
            "user.devices[1].device_id",
        ),
        (
            USER,
            record_pb2.User(user_id="u", devices=[USES(device_id="p", partition_numbers=[100])]),
            "user.devices[0].partition_numbers",
        ),
        (USER, record_pb2.User(user_id="u", devices=[USES(device_id=f"p{n}") for n in range(2001)]), "user.devices"),
        (EVENT, record_pb2.Event(sia_code="BA", name="x", severity=99), "event.severity"),  # type: ignore[arg-type]
    ],
)
def test_s4_a_message_that_makes_no_sense_is_refused_by_field(kind: Kind, message: Any, field: str) -> None:
    with pytest.raises(HotspareError) as raised:
        check_message(kind, message)
    assert (raised.value.reason, raised.value.metadata["field"]) == (Reason.FIELD_INVALID, field)


def test_an_event_without_a_code_has_no_id() -> None:
    with pytest.raises(HotspareError, match="one of contact_id_code, sia_code"):
        set_id(EVENT, record_pb2.Event(name="x"))


def test_values_and_messages_of_events_are_one_another() -> None:
    values = values_of(EVENT, example(EVENT))
    assert values["severity"] == "info"
    assert values_of(EVENT, message_of(EVENT, values)) == values


def test_what_lists_search_and_filter_by() -> None:
    assert search_text(DEVICE, example(DEVICE)) == "p\nhall"
    assert list(filter_values(USER, example(USER))) == ["p", "q"]
    assert list(filter_values(EVENT, example(EVENT))) == ["130", "BA"]
