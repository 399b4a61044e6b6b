"""The configuration by the CLI's words, against real servers: every verb of every kind, files, backup, roles."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message

from hotspare.v1 import configuration_service_pb2 as calls
from hotspare.v1.backup_service_pb2 import (
    DiffBackupRevisionsResponse,
    GetBackupResponse,
    ListBackupRevisionsResponse,
    RestoreBackupResponse,
    StartLineageResponse,
)
from hotspare.v1.group_pb2 import ROLE_HOST, ROLE_SPARE_1
from hotspare.v1.receiver_service_pb2 import DisableHotSpareResponse, EnableHotSpareResponse, GetStatusResponse
from hotspare.v1.role_service_pb2 import RemoveMemberResponse
from hotspare.v1.version_service_pb2 import CheckVersionResponse
from hotspare_model.kinds import KINDS, Kind
from tests.acceptance.harness.cli import parsed
from tests.acceptance.harness.polling import until
from tests.acceptance.harness.process import run
from tests.acceptance.harness.system import Receiver, System

REFUSED, USAGE, NOT_FOUND = 1, 2, 5
HEADER = "contact_id_code,sia_code,sia_restore_code,name,severity,forwarded\n"
CREATED: dict[str, tuple[str, ...]] = {
    "device": ("panel-1", "--account", "1234", "--name", "Depot North"),
    "partition": ("panel-1/1", "--name", "Warehouse"),
    "zone": ("panel-1/5", "--name", "Front door", "--partition", "1", "--detector", "magnetic contact"),
    "channel": ("panel-1/1", "--name", "Yard", "--url", "rtsp://10.0.0.9/yard", "--zone", "5"),
    "user": ("guard-12", "--name", "Guard 12", "--device", "panel-1:3:1"),
    "event": ("SIA-ZZ", "--name", "Door held open", "--severity", "trouble"),
}


@pytest.fixture(scope="module")
def group(system: System) -> System:
    """A cloud, a host and a spare, with a record of each kind."""
    system.start_group(("host", "spare1"), sinks=True)
    system.await_working("host")
    for kind in KINDS:
        system.receivers["host"].cli(kind.name, "create", *CREATED[kind.name])
    return system


@pytest.fixture(scope="module")
def host(group: System) -> Receiver:
    return group.receivers["host"]


@pytest.fixture(scope="module")
def spare(group: System) -> Receiver:
    return group.receivers["spare1"]


def backup(receiver: Receiver, *words: str) -> Any:
    return parsed(receiver.cli("backup", "show", *words, "-o", "json"), GetBackupResponse).backup


def digests(receiver: Receiver, *words: str) -> list[tuple[int, bytes]]:
    return [(row.count, row.sha256) for row in backup(receiver, *words).rows]


def await_equal(host: Receiver, spare: Receiver) -> None:
    until(lambda: digests(spare) == digests(host) == digests(host, "--cloud"), 15, "all sides have the same records")


def message(verb: str, title: str) -> type[Message]:
    found: type[Message] = getattr(calls, f"{verb}{title}Response")
    return found


# --- Records -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_b1_every_verb_of_every_kind_answers_with_its_message(host: Receiver, kind: Kind) -> None:
    record_id, *options = CREATED[kind.name]
    other = {"zone": "panel-1/6", "partition": "panel-1/2", "channel": "panel-1/2", "event": "SIA-ZY"}
    new = other.get(kind.name, f"{record_id}-2")
    made: Any = parsed(host.cli(kind.name, "create", new, *options, "-o", "json"), message("Create", kind.title))
    assert getattr(getattr(made, kind.name), kind.id_field) == new
    listed: Any = parsed(host.cli(kind.name, "list", "-o", "json"), message("List", kind.plural_title))
    assert {record_id, new} <= {getattr(one, kind.id_field) for one in getattr(listed, kind.plural)}
    shown: Any = parsed(host.cli(kind.name, "show", new, "-o", "json"), message("Get", kind.title))
    assert getattr(shown, kind.name) == getattr(made, kind.name)
    update = (kind.name, "update", new, "--name", "Another name", "--etag", getattr(shown, kind.name).etag)
    changed: Any = parsed(host.cli(*update, "-o", "json"), message("Update", kind.title))
    assert getattr(changed, kind.name).name == "Another name"
    stale = host.cli(kind.name, "update", new, "--name", "Third name", "--etag", "0" * 16, fail=True)
    assert (stale.status, "ETAG_MISMATCH" in stale.stderr) == (REFUSED, True)
    parsed(host.cli(kind.name, "delete", new, "--yes", "-o", "json"), message("Delete", kind.title))
    assert host.cli(kind.name, "show", new, fail=True).status == NOT_FOUND


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        (("device", "list", "--account", "1234"), ["panel-1"]),
        (("zone", "list", "--device", "panel-1", "--text", "FRONT"), ["panel-1/5"]),
        (("zone", "list", "--device", "panel-7"), []),
        (("user", "list", "--device", "panel-1"), ["guard-12"]),
        (("event", "list", "--code", "ZZ"), ["SIA-ZZ"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_b1_lists_are_filtered_by_what_people_know(host: Receiver, words: tuple[str, ...], ids: list[str]) -> None:
    kind = next(kind for kind in KINDS if kind.name == words[0])
    found = json.loads(host.cli(*words, "-o", "json").stdout)[kind.plural]
    assert [one[kind.id_field] for one in found] == ids


def test_b1_what_others_refer_to_is_not_deleted_and_what_refers_must_find_something(host: Receiver) -> None:
    refused = host.cli("device", "delete", "panel-1", "--yes", fail=True)
    assert refused.status == REFUSED
    assert "--cascade" in refused.stderr
    missing = host.cli("zone", "create", "panel-7/1", fail=True)
    assert (missing.status, "Create the device panel-7 first" in missing.stderr) == (REFUSED, True)
    for words in (("device", "create", "panel-8", "--account", "1238"), ("zone", "create", "panel-8/1")):
        host.cli(*words)
    deleted = parsed(
        host.cli("device", "delete", "panel-8", "--cascade", "--yes", "-o", "json"), calls.DeleteDeviceResponse
    )
    assert deleted.cascaded == 1


def test_b2_the_line_that_a_spare_tells_works_on_the_host(host: Receiver, spare: Receiver) -> None:
    refused = spare.cli("zone", "update", "panel-1/5", "--name", "Main entrance", fail=True)
    assert refused.status == REFUSED
    line = refused.stderr.splitlines()[-1].partition("hotspare --server")[2]
    words = shlex.split(f"hotspare --server {line.strip()}")
    assert run([str(host.token) if word == "FILE" else word for word in words]).status == 0
    assert "Main entrance" in host.cli("zone", "show", "panel-1/5").stdout


def test_s4_names_keep_what_is_printable_and_lose_nothing_else(host: Receiver) -> None:
    host.cli("partition", "update", "panel-1/1", "--name", "Lager 🏭 北 «1»")
    assert "Lager 🏭 北 «1»" in host.cli("partition", "show", "panel-1/1").stdout
    for name in ("x" * 10_240, "two\nlines", "turned \u202e around"):
        refused = host.cli("partition", "update", "panel-1/1", "--name", name, fail=True)
        assert (refused.status, "FIELD_INVALID" in refused.stderr) == (REFUSED, True)
    assert "Lager 🏭 北 «1»" in host.cli("partition", "show", "panel-1/1").stdout


# --- Event definitions as a file ---------------------------------------------------------------------------


def test_b2_wrong_lines_are_named_and_nothing_of_the_file_is_imported(host: Receiver, tmp_path: Path) -> None:
    file = tmp_path / "events.csv"
    file.write_text(f"{HEADER}130,BA,BR,Never seen,alarm,yes\n9X9,,,Wrong,alarm,yes\n131,,,Perimeter,dreadful,yes\n")
    refused = host.cli("event", "import", file, fail=True)
    assert refused.status == REFUSED
    assert re.search(r"^3 +contact_id_code +must be", refused.stdout, re.MULTILINE)
    assert re.search(r"^4 +severity +must be", refused.stdout, re.MULTILINE)
    assert "Never seen" not in host.cli("event", "show", "130").stdout
    data = json.loads(host.cli("event", "import", file, "-o", "json", fail=True).stdout)
    assert (data["result"]["wrong_line_count"], data["result"]["imported"]) == ("2", False)


def test_b2_what_was_exported_is_imported_and_changes_nothing(host: Receiver, spare: Receiver, tmp_path: Path) -> None:
    file = tmp_path / "all.csv"
    host.cli("event", "export", file)
    assert host.cli("event", "export", file, fail=True).status == USAGE, "it exists"
    assert host.cli("event", "export").stdout == file.read_text(encoding="utf-8")
    words = ("event", "import", file, "--replace-all", "--yes", "-o", "json")
    result = parsed(host.cli(*words), calls.ImportEventsResponse).result
    assert (result.created, result.updated, result.deleted, result.imported) == (0, 0, 0, True)
    assert result.unchanged == len(file.read_text(encoding="utf-8").splitlines()) - 1
    assert "NOT_EDITABLE_HERE" in spare.cli("event", "import", file, fail=True).stderr


def test_b2_a_dry_run_tells_and_changes_nothing(host: Receiver, tmp_path: Path) -> None:
    file = tmp_path / "one.csv"
    file.write_text(f"{HEADER}130,BA,BR,Never seen,alarm,yes\n")
    before = backup(host).revision
    words = ("event", "import", file, "--dry-run", "--replace-all", "-o", "json")
    result = parsed(host.cli(*words), calls.ImportEventsResponse).result
    assert (result.updated, result.imported) == (1, False)
    assert result.deleted > 100
    assert backup(host).revision == before


@pytest.mark.parametrize(
    "content",
    [bytes(range(256)) * 20_000, b"a,b\n1,2\n", "130;BA;BR;Überfall;alarm;yes\n".encode("cp1252"), b""],
    ids=["binary", "another header", "windows-1252", "empty"],
)
def test_s4_a_file_that_is_no_such_csv_is_refused_with_the_reason(
    host: Receiver, tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "strange.csv"
    file.write_bytes(content)
    refused = host.cli("event", "import", file, fail=True)
    assert (refused.status, "IMPORT_INVALID" in refused.stderr) == (REFUSED, True)


# --- Backup ------------------------------------------------------------------------------------------------


def test_b6_host_cloud_and_spare_show_equal_tables(host: Receiver, spare: Receiver) -> None:
    await_equal(host, spare)
    assert [row.name for row in backup(spare).rows] == [kind.plural for kind in KINDS]
    status = parsed(spare.cli("status", "-o", "json"), GetStatusResponse).status
    assert status.backup.revision == backup(host).revision
    assert "up-to-date, revision" in spare.cli("status").stdout


def test_b8_a_revision_is_found_compared_and_brought_back(host: Receiver, spare: Receiver) -> None:
    host.cli("zone", "update", "panel-1/5", "--name", "Before")
    first = backup(host).revision
    host.cli("zone", "update", "panel-1/5", "--name", "After")
    until(lambda: backup(host, "--cloud").revision == first + 1, 15, "the cloud has it")
    listed = parsed(host.cli("backup", "revisions", "-o", "json"), ListBackupRevisionsResponse).revisions
    assert [one.revision for one in listed][:2] == [first + 1, first]
    assert {one.operator_name for one in listed[:2]} == {"admin"}
    words = ("backup", "diff", str(first), str(first + 1))
    (difference,) = parsed(spare.cli(*words, "-o", "json"), DiffBackupRevisionsResponse).differences
    assert (difference.before.zone.name, difference.after.zone.name) == ("Before", "After")
    assert re.search(r"changed +zone +panel-1/5 +name +Before +After", host.cli(*words).stdout)
    restored = parsed(host.cli("backup", "restore", str(first), "--yes", "-o", "json"), RestoreBackupResponse)
    assert restored.backup.revision == first + 2
    assert "Before" in host.cli("zone", "show", "panel-1/5").stdout
    await_equal(host, spare)
    assert host.cli("backup", "diff", "900000", fail=True).status == NOT_FOUND
    assert host.cli("backup", "restore", str(first), fail=True).status == USAGE, "nobody was asked"
    assert "NOT_EDITABLE_HERE" in spare.cli("backup", "restore", "--yes", fail=True).stderr


def test_b7_a_lineage_is_started_knowingly_and_the_spare_follows(host: Receiver, spare: Receiver) -> None:
    before = backup(host)
    assert host.cli("backup", "restore", "--new-lineage", fail=True).status == USAGE
    started = parsed(host.cli("backup", "start-lineage", "--yes", "-o", "json"), StartLineageResponse).backup
    assert started.lineage != before.lineage
    assert started.revision > before.revision
    until(lambda: backup(spare).lineage == started.lineage, 15, "the spare follows")
    await_equal(host, spare)


# --- Versions and roles ------------------------------------------------------------------------------------


def test_v2_check_and_plan_tell_the_members_in_their_order(host: Receiver, spare: Receiver) -> None:
    for receiver in (host, spare):
        for words in (("version", "check"), ("upgrade", "plan")):
            answer = parsed(receiver.cli(*words, "-o", "json"), CheckVersionResponse)
            assert [one.role for one in answer.members] == [ROLE_HOST, ROLE_SPARE_1]
        plan = receiver.cli("upgrade", "plan").stdout
        assert re.search(r"^1 +the cloud.*\n2 +host host.*\n3 +spare1 spare1", plan, re.MULTILINE)


def test_x3_x4_another_account_is_refused_until_it_is_confirmed(host: Receiver, spare: Receiver) -> None:
    for receiver, cleared in ((spare, "records"), (host, "the whole group")):
        refused = receiver.cli("settings", "set", "--arc-id", "south", fail=True)
        assert (refused.status, "It would clear: " in refused.stderr) == (REFUSED, True)
        assert cleared in refused.stderr
    assert json.loads(host.cli("settings", "show", "-o", "json").stdout)["settings"]["arc_id"] == "north"


def test_g8_a_member_that_is_connected_is_neither_removed_nor_replaced(host: Receiver, spare: Receiver) -> None:
    assert "MEMBER_CONNECTED" in host.cli("member", "remove", "spare1", "--yes", fail=True).stderr
    promoted = spare.cli("enable", "--role", "host", "--promote", "--yes", fail=True)
    assert (promoted.status, "MEMBER_CONNECTED" in promoted.stderr) == (REFUSED, True)
    assert host.cli("member", "remove", "nobody", "--yes", fail=True).status == NOT_FOUND


def test_g8_a_spare_takes_the_place_of_a_dead_host_and_goes_on_from_its_copy(
    group: System, host: Receiver, spare: Receiver
) -> None:
    """The last but one here: the host is gone afterwards."""
    revision = backup(spare).revision
    host.destroy()
    group.await_working("spare1")
    removed = parsed(spare.cli("member", "remove", "host", "--yes", "-o", "json"), RemoveMemberResponse)
    assert ROLE_HOST in removed.group.free_roles
    words = ("enable", "--role", "host", "--promote", "--yes", "-o", "json")
    assert parsed(spare.cli(*words), EnableHotSpareResponse).member.role == ROLE_HOST
    changed = spare.cli("zone", "update", "panel-1/5", "--name", "After the promotion")
    assert "After the promotion" in changed.stdout
    assert backup(spare).revision > revision
    until(lambda: digests(spare) == digests(spare, "--cloud"), 15, "the cloud has it")


def test_x2_x4_disable_tells_what_was_cleared(spare: Receiver) -> None:
    """The last one here: there is no hot spare afterwards."""
    assert spare.cli("disable", fail=True).status == USAGE, "nobody was asked"
    ended = parsed(spare.cli("disable", "--yes", "-o", "json"), DisableHotSpareResponse)
    assert (ended.cloud_told, ended.cleared_records) == (True, 0), "the host's own stays"
    assert "panel-1" in spare.cli("device", "list").stdout
