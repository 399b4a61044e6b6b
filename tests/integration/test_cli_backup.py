"""`backup`: tables, revisions, comparisons, and the two ways out of a fork (B6, B7, B8)."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hotspare.v1.backup_pb2 import BackupRevision, BackupRow, BackupTable
from hotspare.v1.backup_service_pb2 import (
    DiffBackupRevisionsResponse,
    GetBackupResponse,
    ListBackupRevisionsResponse,
    RecordDifference,
    RestoreBackupResponse,
    StartLineageResponse,
)
from hotspare.v1.group_pb2 import ROLE_HOST, SYNC_STATE_FAILED, SYNC_STATE_UP_TO_DATE
from hotspare.v1.record_pb2 import (
    RECORD_KIND_DEVICE,
    RECORD_KIND_USER,
    RECORD_KIND_ZONE,
    Device,
    DeviceRecord,
    Record,
    User,
    UserDevice,
    Zone,
)
from hotspare.v1.role_service_pb2 import ListMembersResponse
from hotspare_model.errors import HotspareError, Reason
from tests.integration.test_cli_support import HOST_ID, Script, group, host_status, member, scripted_server

LINEAGE = "0a5c52a6-5a7d-4a63-9b1b-6c1f3d8e2f10"
SHA = bytes(range(32))


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Script]:
    async with scripted_server(tmp_path) as script:
        yield script


def table(revision: int = 41) -> BackupTable:
    devices = BackupRow(kind=RECORD_KIND_DEVICE, name="devices", count=1200, revision=40, sha256=SHA)
    devices.status = SYNC_STATE_UP_TO_DATE
    devices.update_time.FromDatetime(datetime(2026, 11, 22, 16, 4, 26, tzinfo=UTC))
    zones = BackupRow(kind=RECORD_KIND_ZONE, name="zones", status=SYNC_STATE_FAILED, detail="the disk is full")
    return BackupTable(lineage=LINEAGE, revision=revision, software_version="0.1.0", rows=[devices, zones])


@pytest.mark.parametrize("cloud", [False, True])
async def test_b6_the_backup_table_has_a_row_a_kind(server: Script, cloud: bool) -> None:
    server.answers["GetBackup"] = GetBackupResponse(backup=table())
    words = ("backup", "show", *(("--cloud",) if cloud else ()))
    shown = await server.run(*words)
    assert shown.code == 0
    rows = [line.split() for line in shown.out.splitlines()]
    assert ["devices", "1,200", "40", "000102030405", "2026-11-22", "16:04:26Z", "up-to-date", "-"] in rows
    assert ["zones", "0", "-", "-", "-", "failed", "the", "disk", "is", "full"] in rows
    assert ["Lineage", LINEAGE] in rows
    data = (await server.run(*words, "-o", "json")).json()
    assert data["backup"]["rows"][0]["count"] == "1200"
    assert [request.cloud for request in server.requests("GetBackup")] == [cloud, cloud]


async def test_v1_what_is_told_of_all_kinds_alike_is_told_once(server: Script) -> None:
    backup = table()
    for row in backup.rows:
        row.detail = "the host has 0.2.0, this is 0.1.0"
    server.answers["GetBackup"] = GetBackupResponse(backup=backup)
    shown = await server.run("backup", "show")
    assert shown.out.count("the host has 0.2.0, this is 0.1.0") == 1
    assert "DETAIL" not in shown.out


async def test_b6_status_has_the_backup_table_and_the_revision(server: Script) -> None:
    response = host_status()
    response.status.backup.CopyFrom(table())
    response.status.sync_state = SYNC_STATE_UP_TO_DATE
    server.answers["GetStatus"] = response
    shown = await server.run("status")
    assert "Configuration  up-to-date, revision 41" in shown.out
    assert "\nConfiguration\nNAME     RECORDS" in shown.out


async def test_b8_revisions_are_listed_with_who_made_them(server: Script) -> None:
    one = BackupRevision(
        revision=41, lineage=LINEAGE, receiver_id=HOST_ID, operator_name="anna-token", software_version="0.1.0"
    )
    one.change_count, one.restored_from = 3, 12
    one.create_time.FromDatetime(datetime(2026, 11, 22, 16, 4, 26, tzinfo=UTC))
    older = [BackupRevision(revision=number) for number in (40, 39)]
    server.answers["ListBackupRevisions"] = ListBackupRevisionsResponse(revisions=[one, *older])
    host = member(ROLE_HOST, HOST_ID, "alpha", working=True)
    server.answers["ListMembers"] = ListMembersResponse(group=group(), members=[host])
    shown = await server.run("backup", "revisions")
    line = shown.out.splitlines()[1].split()
    expected = ["41", "2026-11-22", "16:04:26Z", "3", "host", "alpha", "anna-token", "0.1.0", "from", "12", LINEAGE]
    assert line == expected
    limited = (await server.run("backup", "revisions", "--limit", "2", "-o", "json")).json()
    assert [entry["revision"] for entry in limited["revisions"]] == ["41", "40"]


def differences() -> DiffBackupRevisionsResponse:
    def device(**fields: Any) -> Record:
        return Record(device=DeviceRecord(device=Device(device_id="panel-1", account_number="1234", **fields)))

    user = User(user_id="anna", devices=[UserDevice(device_id="panel-1", user_number=3)])
    return DiffBackupRevisionsResponse(
        differences=[
            RecordDifference(
                kind=RECORD_KIND_DEVICE, id="panel-1", before=device(name="Depot"), after=device(name="Depot North")
            ),
            RecordDifference(kind=RECORD_KIND_DEVICE, id="panel-2", before=device(), after=device()),
            RecordDifference(
                kind=RECORD_KIND_ZONE,
                id="panel-1/5",
                after=Record(zone=Zone(zone_id="panel-1/5", name="Front door", partition_number=2)),
            ),
            RecordDifference(kind=RECORD_KIND_USER, id="anna", before=Record(user=user)),
        ]
    )


async def test_b8_a_comparison_tells_each_field_that_differs(server: Script) -> None:
    server.answers["DiffBackupRevisions"] = differences()
    shown = await server.run("backup", "diff", "40", "41")
    rows = [line.split() for line in shown.out.splitlines()]
    assert ["changed", "device", "panel-1", "name", "Depot", "Depot", "North"] in rows
    assert ["changed", "device", "panel-2", "key", "-", "-"] in rows, "its secrets are left out"
    assert ["added", "zone", "panel-1/5", "partition", "-", "2"] in rows
    assert ["name", "-", "Front", "door"] in rows
    assert ["deleted", "user", "anna", "devices", "panel-1:3", "-"] in rows
    assert shown.out.endswith("\n1 added, 2 changed, 1 deleted.\n")
    (request,) = server.requests("DiffBackupRevisions")
    assert (request.from_revision, request.to_revision, request.kind) == (40, 41, 0)


async def test_b8_a_comparison_can_be_of_one_kind_and_with_the_newest(server: Script) -> None:
    server.answers["DiffBackupRevisions"] = differences()
    data = (await server.run("backup", "diff", "40", "--kind", "zone", "-o", "json")).json()
    assert data["differences"][2]["after"]["zone"]["name"] == "Front door"
    (request,) = server.requests("DiffBackupRevisions")
    assert (request.to_revision, request.kind) == (0, RECORD_KIND_ZONE)
    server.answers["DiffBackupRevisions"] = DiffBackupRevisionsResponse()
    assert (await server.run("backup", "diff", "40")).out == "the two revisions are equal\n"


async def test_b8_a_revision_that_is_not_kept_is_not_found_with_those_that_are(server: Script) -> None:
    server.answers["DiffBackupRevisions"] = HotspareError(
        Reason.REVISION_NOT_FOUND, "the cloud does not keep revision 2", revision="2", oldest="31", newest="41"
    )
    refused = await server.run("backup", "diff", "2", "41")
    assert refused.code == 5
    assert "from 31 to 41" in refused.error_lines()[1]


# --- Restore, and a new lineage ----------------------------------------------------------------------------


def only_confirmed(response: Any, clears: str) -> Any:
    def answer(request: Any) -> Any:
        if not request.confirmed:
            return HotspareError(Reason.CONFIRMATION_REQUIRED, "not confirmed", clears=clears)
        return response

    return answer


@pytest.mark.parametrize(
    ("words", "told", "done"),
    [
        (("restore",), "takes the cloud's newest revision over, and replaces: 12 devices", "was taken over"),
        (
            ("restore", "7"),
            "brings revision 7 back as a new one, and replaces: 12 devices. Devices and their keys are those of then: "
            "see hotspare backup diff 7",
            "revision 7 are back",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
async def test_b7_b8_x4_a_restore_tells_what_it_replaces_and_asks(
    server: Script, words: tuple[str, ...], told: str, done: str
) -> None:
    response = RestoreBackupResponse(backup=table(42))
    server.answers["RestoreBackup"] = only_confirmed(response, "12 devices")
    declined = await server.run_on_terminal("backup", *words, answer="n\n")
    assert declined.code == 1
    assert f"{told}. Go on?" in declined.out
    restored = await server.run_on_terminal("backup", *words, answer="y\n")
    assert restored.code == 0
    assert done in restored.out
    assert "is revision 42 now" in restored.out
    calls = server.requests("RestoreBackup")
    assert [one.confirmed for one in calls] == [False, False, True]
    assert calls[1].request_id == calls[2].request_id != calls[0].request_id
    assert {one.revision for one in calls} == {7 if "7" in words else 0}


async def test_b7_with_yes_a_restore_is_one_call(server: Script) -> None:
    server.answers["RestoreBackup"] = RestoreBackupResponse(backup=table(42))
    data = (await server.run("backup", "restore", "--yes", "-o", "json")).json()
    assert data["backup"]["revision"] == "42"
    assert [one.confirmed for one in server.requests("RestoreBackup")] == [True]


@pytest.mark.parametrize("words", [("start-lineage",), ("restore", "--new-lineage")], ids=" ".join)
async def test_b7_a_new_lineage_is_started_knowingly(server: Script, words: tuple[str, ...]) -> None:
    response = StartLineageResponse(backup=table(43))
    server.answers["StartLineage"] = only_confirmed(response, "the cloud's revision 42")
    started = await server.run_on_terminal("backup", *words, answer="y\n")
    assert started.code == 0
    assert "makes this host's own configuration the cloud's, as a new lineage" in started.out
    assert "replaces: the cloud's revision 42. Go on?" in started.out
    assert "configuration is the cloud's now, as revision 43" in started.out
    assert (await server.run("backup", *words, "--yes", "-o", "json")).json()["backup"]["lineage"] == LINEAGE
    assert server.requests("RestoreBackup") == []


async def test_a_restore_without_an_answer_tells_where_to_look(server: Script) -> None:
    server.answers["RestoreBackup"] = HotspareError(Reason.SHUTTING_DOWN, "stopping")
    assert (await server.run("backup", "restore", "--yes")).code == 3
    environment = {**server.environment(), "HOTSPARE_SERVER": "127.0.0.1:1"}
    refused = await server.run("backup", "restore", "--yes", environment=environment)
    assert refused.code == 3
    assert "hotspare backup revisions" in refused.error_lines()[1]
