"""The verbs of the six kinds against a server: what each sends, its JSON, its refusals."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hotspare.v1 import configuration_service_pb2 as calls
from hotspare.v1.record_pb2 import Event, User, UserDevice, Zone
from hotspare_model.errors import HotspareError, Reason
from hotspare_model.kinds import KINDS, Kind
from tests.integration.test_cli_support import HOST_ID, Script, scripted_server

IDS = {"device": "panel-1", "user": "anna", "event": "130"}
COMPOSED = "panel-1/5"
CREATING = {"device": ("--account", "1234"), "event": ("--name", "Burglary")}
HOST_ADDRESS = "10.0.0.1:7001"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Script]:
    async with scripted_server(tmp_path) as script:
        yield script


def of(kind: Kind) -> str:
    return IDS.get(kind.name, COMPOSED)


def serve(script: Script, kind: Kind) -> None:
    """Answer all calls of a kind, as a receiver would that has one record."""
    record = {kind.id_field: of(kind), "name": "Front", "etag": "e1"}

    def one(verb: str) -> Any:
        return getattr(calls, f"{verb}{kind.title}Response")(**{kind.name: record})

    listed = getattr(calls, f"List{kind.plural_title}Response")(**{kind.plural: [record]}, total_count=1)
    script.answers |= {
        f"Get{kind.title}": one("Get"),
        f"List{kind.plural_title}": listed,
        f"Create{kind.title}": one("Create"),
        f"Update{kind.title}": one("Update"),
        f"Delete{kind.title}": getattr(calls, f"Delete{kind.title}Response")(),
    }


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
async def test_b1_each_verb_of_each_kind_prints_the_response_as_json(server: Script, kind: Kind) -> None:
    serve(server, kind)
    record_id = of(kind)
    listed = (await server.run(kind.name, "list", "-o", "json")).json()
    assert ([one[kind.id_field] for one in listed[kind.plural]], listed["total_count"]) == ([record_id], "1")
    verbs = (
        ("show", record_id),
        ("create", record_id, *CREATING.get(kind.name, ())),
        ("update", record_id, "--name", "Front"),
    )
    for words in verbs:
        done = await server.run(kind.name, *words, "-o", "json")
        assert done.code == 0, done.err
        assert done.json()[kind.name]["name"] == "Front"
    deleted = (await server.run(kind.name, "delete", record_id, "--yes", "-o", "json")).json()
    fields = getattr(calls, f"Delete{kind.title}Response").DESCRIPTOR.fields
    cascades = any(field.name == "cascaded" for field in fields)
    assert deleted == ({"cascaded": "0"} if cascades else {})
    for verb in ("Get", "Delete"):
        assert getattr(server.requests(f"{verb}{kind.title}")[0], kind.id_field) == record_id


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.name in ("zone", "event")], ids=lambda kind: kind.name)
async def test_b1_each_verb_has_words_for_people(server: Script, kind: Kind) -> None:
    serve(server, kind)
    record_id = of(kind)
    assert record_id in (await server.run(kind.name, "list")).out
    assert "Etag" in (await server.run(kind.name, "show", record_id)).out
    created = await server.run(kind.name, "create", record_id, *CREATING.get(kind.name, ()))
    assert created.out.startswith(f"Created the {kind.name} {record_id}.")
    updated = await server.run(kind.name, "update", record_id, "--name", "Front")
    assert updated.out.startswith(f"Changed the {kind.name} {record_id}.")
    deleted = await server.run(kind.name, "delete", record_id, "--yes")
    assert deleted.out == f"Deleted the {kind.name} {record_id}.\n"


async def test_create_sends_the_fields_of_the_id_and_of_the_options(server: Script) -> None:
    server.answers["CreateZone"] = lambda request: calls.CreateZoneResponse(zone=request.zone)
    server.answers["CreateEvent"] = lambda request: calls.CreateEventResponse(event=request.event)
    await server.run("zone", "create", "panel-1/5", "--name", "Front door", "--partition", "2")
    await server.run("event", "create", "SIA-BA", "--name", "Burglary", "--sia-restore", "BR", "--forwarded", "no")
    (zone,), (event,) = server.requests("CreateZone"), server.requests("CreateEvent")
    assert zone.zone == Zone(device_id="panel-1", number=5, name="Front door", partition_number=2)
    assert event.event == Event(sia_code="BA", name="Burglary", sia_restore_code="BR", forwarded=False)


async def test_update_names_in_its_mask_what_was_typed_and_nothing_else(server: Script) -> None:
    server.answers["UpdateUser"] = lambda request: calls.UpdateUserResponse(user=request.user)
    done = await server.run("user", "update", "anna", "--phone", "", "--device", "panel-1:3", "--etag", "e7")
    assert done.code == 0
    (request,) = server.requests("UpdateUser")
    assert list(request.update_mask.paths) == ["phone", "devices"]
    assert request.user == User(user_id="anna", etag="e7", devices=[UserDevice(device_id="panel-1", user_number=3)])


async def test_lists_are_filtered_and_end_at_a_limit(server: Script) -> None:
    zones = [Zone(zone_id=f"panel-1/{number}") for number in range(1, 8)]

    def page(request: Any) -> calls.ListZonesResponse:
        begin = int(request.page_token or 0)
        more = begin + 3 < len(zones)
        token = str(begin + 3) if more else ""
        return calls.ListZonesResponse(zones=zones[begin : begin + 3], next_page_token=token, total_count=7)

    server.answers["ListZones"] = page
    shown = await server.run(*("zone", "list", "--device", "panel-1", "--text", "door", "--limit", "4", "-o", "json"))
    assert [one["zone_id"] for one in shown.json()["zones"]] == [f"panel-1/{number}" for number in range(1, 5)]
    assert shown.json()["total_count"] == "7"
    assert [(one.device_id, one.text) for one in server.requests("ListZones")] == [("panel-1", "door")] * 2
    assert len((await server.run("zone", "list")).out.splitlines()) == 1 + 7


@pytest.mark.parametrize(
    ("kind", "option", "value"),
    [("device", "--account", "1234"), ("user", "--device", "panel-1"), ("event", "--code", "130")],
)
async def test_each_kind_has_the_filter_that_people_need(server: Script, kind: str, option: str, value: str) -> None:
    described = next(one for one in KINDS if one.name == kind)
    serve(server, described)
    assert (await server.run(kind, "list", option, value)).code == 0
    (request,) = server.requests(f"List{described.plural_title}")
    assert getattr(request, described.filter_field) == value


async def test_a_deletion_tells_what_went_along_and_carries_etag_and_cascade(server: Script) -> None:
    server.answers["DeletePartition"] = calls.DeletePartitionResponse(cascaded=3)
    deleted = await server.run("partition", "delete", "panel-1/2", "--cascade", "--etag", "e1", "--yes")
    assert deleted.out == "Deleted the partition panel-1/2, and 3 other records were deleted or changed with it.\n"
    (request,) = server.requests("DeletePartition")
    assert (request.partition_id, request.cascade, request.etag) == ("panel-1/2", True, "e1")


async def test_x4_on_a_terminal_a_deletion_tells_what_goes_along_and_asks(server: Script) -> None:
    server.answers["DeleteDevice"] = calls.DeleteDeviceResponse(cascaded=3)
    declined = await server.run_on_terminal("device", "delete", "panel-1", "--cascade", answer="n\n")
    assert declined.code == 1
    for told in ("on all receivers", "delete its partitions, zones and channels too", "alarms will be refused"):
        assert told in declined.out
    assert server.calls == []
    assert (await server.run_on_terminal("device", "delete", "panel-1", "--cascade", answer="y\n")).code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("device", "create", "panel-9", "--account", "1234"),
        ("zone", "update", "panel-1/5", "--name", "Front door"),
        ("user", "delete", "anna", "--yes"),
    ],
    ids=" ".join,
)
async def test_b2_on_a_spare_the_line_to_type_on_the_host_is_told(server: Script, words: tuple[str, ...]) -> None:
    refusal = HotspareError(
        Reason.NOT_EDITABLE_HERE,
        "the configuration is edited on the host",
        role="ROLE_SPARE_1",
        host_receiver_id=HOST_ID,
        host_address=HOST_ADDRESS,
    )
    for method in ("CreateDevice", "UpdateZone", "DeleteUser"):
        server.answers[method] = refusal
    refused = await server.run(*words)
    assert refused.code == 1
    what, hint = refused.error_lines()
    assert what.endswith("(NOT_EDITABLE_HERE).")
    assert HOST_ID in hint
    typed = " ".join(f"'{word}'" if " " in word else word for word in words)
    assert hint.endswith(f": hotspare --server {HOST_ADDRESS} --token-file FILE {typed}")


@pytest.mark.parametrize(
    ("reason", "more", "code", "told"),
    [
        (Reason.RESOURCE_NOT_FOUND, {"kind": "zone", "id": "panel-1/5"}, 5, "list of its kind"),
        (Reason.ETAG_MISMATCH, {"etag": "e2"}, 1, "changed it meanwhile"),
        (Reason.REFERENCE_MISSING, {"kind": "device", "id": "panel-1"}, 1, "Create the device panel-1 first"),
        (Reason.FIELD_INVALID, {"field": "name", "problem": "up to 128 characters"}, 1, "Correct name: up to 128"),
    ],
)
async def test_refusals_tell_what_to_do(
    server: Script, reason: Reason, more: dict[str, Any], code: int, told: str
) -> None:
    server.answers["UpdateZone"] = HotspareError(reason, "told in words", **more)
    refused = await server.run("zone", "update", "panel-1/5", "--name", "x")
    assert refused.code == code
    assert told in refused.error_lines()[1]


async def test_s4_names_of_strangers_do_not_steer_the_terminal(server: Script) -> None:
    evil = Zone(zone_id="panel-1/5", name="\x1b[2J\u202eevil\n[red]x", detector_type="\x07")
    server.answers["ListZones"] = calls.ListZonesResponse(zones=[evil])
    shown = await server.run("zone", "list")
    assert r"\x1b[2J\u202eevil\n[red]x" in shown.out
    assert not {"\x1b", "\u202e", "\x07"} & set(shown.out)
