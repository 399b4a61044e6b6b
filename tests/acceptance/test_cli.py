"""The CLI by its words, against real servers: tables, JSON of the contract, exit statuses, environment."""

import json
import re
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf.message import Message

from hotspare.v1.alarm_feed_service_pb2 import ListAlarmsResponse
from hotspare.v1.alarm_pb2 import ALARM_STATE_CONFIRMED
from hotspare.v1.configuration_service_pb2 import CreateDeviceResponse, GetDeviceResponse, ListDevicesResponse
from hotspare.v1.group_pb2 import MEMBER_STATUS_STANDBY, MEMBER_STATUS_WORKING, ROLE_HOST, ROLE_SPARE_1
from hotspare.v1.output_pb2 import OUTPUT_KIND_SIA_DC09
from hotspare.v1.receiver_service_pb2 import (
    CreateOutputResponse,
    EnableHotSpareResponse,
    GetSettingsResponse,
    GetStatusResponse,
    ListOutputsResponse,
    ListTokensResponse,
    ReceiverSettings,
    UpdateSettingsResponse,
)
from hotspare.v1.role_service_pb2 import ListMembersResponse
from hotspare.v1.version_service_pb2 import CheckVersionResponse
from tests.acceptance.harness.cli import parsed
from tests.acceptance.harness.polling import until
from tests.acceptance.harness.process import Result, run
from tests.acceptance.harness.system import ARC_ID, Receiver, System

REFUSED, USAGE, NO_ANSWER, NOT_FOUND = 1, 2, 3, 5


@pytest.fixture(scope="module")
def group(system: System) -> System:
    """A cloud, a host and a spare, set up by the CLI; one device that sent five alarms."""
    system.start_group(("host", "spare1"))
    key = system.device("panel-1", "1234")
    system.be_panel("panel-1", "1234", key.read_text().strip())
    system.await_working("host")
    system.send("panel-1", key, "--code", "1130", "--partition", "1", "--zone", "5", "--count", "5")
    until(lambda: len(system.arcs["host"].received) == 5, 15, "the ARC has them")
    return system


@pytest.fixture(scope="module")
def host(group: System) -> Receiver:
    return group.receivers["host"]


@pytest.fixture(scope="module")
def spare(group: System) -> Receiver:
    return group.receivers["spare1"]


READING: dict[tuple[str, ...], type[Message]] = {
    ("status",): GetStatusResponse,
    ("members",): ListMembersResponse,
    ("settings", "show"): GetSettingsResponse,
    ("output", "list"): ListOutputsResponse,
    ("device", "list"): ListDevicesResponse,
    ("device", "show", "panel-1"): GetDeviceResponse,
    ("alarm", "list"): ListAlarmsResponse,
    ("token", "list"): ListTokensResponse,
    ("version",): CheckVersionResponse,
}


@pytest.fixture(scope="module")
def answers(host: Receiver) -> dict[tuple[str, ...], Result]:
    """What every reading command prints with `-o json`."""
    return {words: host.cli(*words, "-o", "json") for words in READING}


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_every_reading_command_prints_a_table_and_the_message_as_json(
    host: Receiver, answers: dict[tuple[str, ...], Result], words: tuple[str, ...]
) -> None:
    message = parsed(answers[words], READING[words])
    assert message.ByteSize() > 0
    table = host.cli(*words).stdout
    assert table.strip()
    assert not table.lstrip().startswith("{")


def test_yaml_has_the_names_of_the_contract_too(host: Receiver, answers: dict[tuple[str, ...], Result]) -> None:
    as_yaml: dict[str, Any] = yaml.safe_load(host.cli("settings", "show", "-o", "yaml").stdout)
    as_json: dict[str, Any] = json.loads(answers["settings", "show"].stdout)
    assert as_yaml == as_json
    assert set(as_json["settings"]) <= {field.name for field in ReceiverSettings.DESCRIPTOR.fields}


def test_g6_members_tells_each_role_status_epoch_and_who_was_asked(group: System, spare: Receiver) -> None:
    answer = parsed(spare.cli("members", "-o", "json"), ListMembersResponse)
    rows = [(row.role, row.status, row.is_self) for row in answer.members]
    assert rows == [(ROLE_HOST, MEMBER_STATUS_WORKING, False), (ROLE_SPARE_1, MEMBER_STATUS_STANDBY, True)]
    first, second = answer.members
    assert (first.epoch, second.HasField("epoch")) == (group.epoch(), False)
    assert [row.receiver.name for row in answer.members] == ["host", "spare1"]
    assert len({row.receiver.receiver_id for row in answer.members}) == 2
    assert answer.group.arc_id == ARC_ID


def test_g6_status_of_host_and_spare_tells_role_status_and_output(host: Receiver, spare: Receiver) -> None:
    for receiver, role, status in (
        (host, ROLE_HOST, MEMBER_STATUS_WORKING),
        (spare, ROLE_SPARE_1, MEMBER_STATUS_STANDBY),
    ):
        answer = parsed(receiver.cli("status", "-o", "json"), GetStatusResponse).status
        assert (answer.role, answer.status, answer.cloud.connected) == (role, status, True)
        assert [output.name for output in answer.outputs] == ["arc"]


def test_a8_alarm_list_tells_what_came_through_this_receiver_newest_first(host: Receiver, spare: Receiver) -> None:
    def confirmed() -> list[int]:
        answer = parsed(host.cli("alarm", "list", "--state", "confirmed", "-o", "json"), ListAlarmsResponse)
        assert all(record.state == ALARM_STATE_CONFIRMED for record in answer.alarms)
        return [record.stored.alarm.zone for record in answer.alarms]

    until(lambda: confirmed() == [9, 8, 7, 6, 5], 5, "the host's history")
    assert parsed(spare.cli("alarm", "list", "-o", "json"), ListAlarmsResponse).alarms == []
    limited = parsed(host.cli("alarm", "list", "--limit", "2", "-o", "json"), ListAlarmsResponse)
    assert [record.stored.alarm.zone for record in limited.alarms] == [9, 8]


def test_server_and_token_file_can_come_from_the_environment(host: Receiver) -> None:
    env = {"HOTSPARE_SERVER": host.grpc, "HOTSPARE_TOKEN_FILE": str(host.token)}
    by_environment = parsed(run(["hotspare", "status", "-o", "json"], env=env), GetStatusResponse)
    by_option = parsed(host.cli("status", "-o", "json"), GetStatusResponse)
    assert by_environment.status.receiver == by_option.status.receiver
    other = run(["hotspare", "--server", "127.0.0.1:1", "status"], env=env, fail=True)
    assert other.status == NO_ANSWER, "an option goes before the environment"


def test_s1_admin_token_and_keys_are_files_of_mode_0600_and_never_shown_again(
    group: System, host: Receiver, answers: dict[tuple[str, ...], Result]
) -> None:
    key = group.folder / "panel-1.key"
    for file in (host.token, key, group.arc_key):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    shown = "".join(answer.stdout for answer in answers.values()) + host.log() + group.cloud.log()
    for secret in (file.read_text().strip() for file in (host.token, key, group.arc_key)):
        assert len(secret) >= 22, "128 bits"
        assert secret not in shown


def test_device_create_shows_its_key_once_or_writes_it(host: Receiver, tmp_path: Path) -> None:
    shown = parsed(host.cli("device", "create", "panel-2", "--account", "1235", "-o", "json"), CreateDeviceResponse)
    assert (shown.device.device_id, shown.device.account_number) == ("panel-2", "1235")
    assert shown.device_key
    key = tmp_path / "panel-3.key"
    written = host.cli("device", "create", "panel-3", "--account", "1236", "--key-out", key)
    assert key.read_text().strip() not in written.stdout + written.stderr
    answer = parsed(host.cli("device", "list", "-o", "json"), ListDevicesResponse)
    assert [device.device_id for device in answer.devices] == ["panel-1", "panel-2", "panel-3"]
    again = host.cli("device", "create", "panel-2", "--account", "1235", fail=True)
    assert again.status == REFUSED
    assert "panel-2" in again.stderr


def test_output_add_takes_numbers_and_a_key_file_and_shows_no_key(host: Receiver, tmp_path: Path) -> None:
    key = tmp_path / "aes.key"
    key.touch(mode=0o600)
    key.write_text("00112233445566778899AABBCCDDEEFF")
    words = ("--kind", "sia-dc09", "--address", "127.0.0.1:9", "--receiver-number", "1F", "--line-number", "2")
    added = host.cli("output", "add", "second", *words, "--key-file", key, "--best-effort", "-o", "json")
    output = parsed(added, CreateOutputResponse).output
    assert (output.name, output.kind, list(output.addresses)) == ("second", OUTPUT_KIND_SIA_DC09, ["127.0.0.1:9"])
    assert (output.dc09.receiver_number, output.dc09.line_number, output.required) == ("1F", "2", False)
    assert "00112233445566778899" not in (added.stdout + host.cli("output", "list", "-o", "json").stdout).upper()
    refused = host.cli("output", "delete", "second", fail=True)
    assert refused.status == USAGE, "without a terminal nobody can be asked"
    host.cli("output", "delete", "second", "--yes")


def test_settings_set_changes_only_what_is_named(host: Receiver) -> None:
    before = parsed(host.cli("settings", "show", "-o", "json"), GetSettingsResponse).settings
    after = parsed(host.cli("settings", "set", "--name", "Receiver A", "-o", "json"), UpdateSettingsResponse).settings
    assert after.name == "Receiver A"
    assert (after.cloud_address, after.arc_id, after.arc_key_set) == (before.cloud_address, before.arc_id, True)
    host.cli("settings", "set", "--name", "host")


def test_a2_alarm_send_publishes_the_same_id_once(group: System) -> None:
    words = ("--code", "1602", "--alarm-id", "0190a5c8-7b1e-7000-8000-000000000001")
    key = group.folder / "panel-1.key"
    assert "stored 1, duplicates 0" in group.send("panel-1", key, *words).stdout
    assert "stored 0, duplicates 1" in group.send("panel-1", key, *words).stdout


def test_alarm_send_keeps_to_its_rate(group: System) -> None:
    key = group.folder / "panel-1.key"
    before = len(group.arcs["host"].received)
    sent = group.send("panel-1", key, "--code", "1602", "--zone", "998", "--count", "4", "--rate", "4")
    assert "stored 4" in sent.stdout
    received = until(lambda: group.arcs["host"].received[before + 3 :] and group.arcs["host"].received, 10, "all")
    times = [each.at for each in received[-4:]]
    assert [each.event.zone for each in received[-4:]] == [998, 999, 0, 1], "the next zone each, and 0 after 999"
    assert times[-1] - times[0] > 0.6


@pytest.mark.parametrize(
    ("words", "status", "what"),
    [
        (("device", "show", "nobody"), NOT_FOUND, "nobody"),
        (("alarm", "show", "999999"), NOT_FOUND, "999999|alarm"),
        (("frobnicate",), USAGE, "No such command"),
        (("enable",), USAGE, "--role"),
        (("enable", "--role", "spare4"), USAGE, "spare4"),
        (("device", "create", "bad", "--account", "XYZ"), REFUSED, "account_number"),
        (("output", "add", "arc", "--kind", "sia-dc09", "--address", "127.0.0.1:9"), REFUSED, "arc"),
        (("settings", "set"), USAGE, "No setting"),
        (("disable",), USAGE, "--yes"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else None,
)
def test_s4_a_wrong_command_ends_with_its_status_and_says_what_to_do(
    host: Receiver, words: tuple[str, ...], status: int, what: str
) -> None:
    result = host.cli(*words, fail=True)
    assert result.status == status, result
    assert re.search(what, result.stderr), result
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_g1_the_same_role_again_changes_nothing_a_free_one_is_taken_and_the_hosts_is_refused(
    group: System, spare: Receiver
) -> None:
    before = parsed(spare.cli("members", "-o", "json"), ListMembersResponse).members[1].generation
    again = parsed(spare.cli("enable", "--role", "spare1", "-o", "json"), EnableHotSpareResponse).member
    assert (again.role, again.generation) == (ROLE_SPARE_1, before)
    refused = spare.cli("enable", "--role", "host", fail=True)
    assert refused.status == REFUSED
    assert re.search(r"held by host .*free: SPARE_2, SPARE_3", refused.stderr), refused.stderr
    spare.cli("enable", "--role", "spare2")
    spare.cli("enable", "--role", "spare1")
    rows = parsed(spare.cli("members", "-o", "json"), ListMembersResponse).members
    assert [row.role for row in rows if row.role] == [ROLE_HOST, ROLE_SPARE_1]


def test_g1_g2_g3_a_third_receiver_is_told_why_it_is_refused(group: System) -> None:
    third = group.start_receiver("third")
    third.serving()
    # Nothing is configured yet.
    assert third.cli("enable", "--role", "spare2", fail=True).status == REFUSED
    wrong = group.folder / "wrong.key"
    wrong.touch(mode=0o600)
    wrong.write_text("w" * 43)
    answers = []
    for words in (("--arc-key-file", wrong), ("--arc-key-file", wrong, "--arc-id", "nobody")):
        group.tell_cloud(third, *words)
        refused = third.cli("enable", "--role", "spare2", fail=True)
        assert refused.status == REFUSED
        answers.append(refused.stderr)
    assert answers[0] == answers[1], "nobody finds out which accounts exist"
    run(["hotspare-cloud", "account", "create", "south", "--data", group.folder / "cloud", "--key-out", south(group)])
    group.tell_cloud(third, "--arc-id", "south", "--arc-key-file", south(group))
    before_host = third.cli("enable", "--role", "spare1", fail=True)
    assert before_host.status == REFUSED
    assert "host" in before_host.stderr
    group.tell_cloud(third)
    taken = third.cli("enable", "--role", "spare1", fail=True)
    assert taken.status == REFUSED
    assert "spare1" in taken.stderr, "its holder, by name"
    assert re.search("spare2.*spare3|SPARE_2.*SPARE_3|spare 2.*spare 3", taken.stderr, re.DOTALL), taken.stderr
    third.cli("enable", "--role", "spare3")
    assert third.cli("disable", "--yes").status == 0
    assert len(with_roles(parsed(third.cli("members", "-o", "json"), ListMembersResponse))) == 2


def with_roles(answer: ListMembersResponse) -> list[int]:
    """The roles that are held; those who attend without one (G7) stand in the list as well."""
    return [row.role for row in answer.members if row.role]


def south(group: System) -> Path:
    return group.folder / "south.key"


def test_an_account_is_created_beside_the_running_cloud_once_and_its_key_never_overwritten(group: System) -> None:
    data = group.folder / "cloud"
    shown = run(["hotspare-cloud", "account", "create", "east", "--data", data, "--sub-account", "a"])
    assert re.fullmatch(r"[\w-]{22,}\n", shown.stdout)
    again = run(["hotspare-cloud", "account", "create", "east", "--data", data], fail=True)
    assert (again.status, again.stdout) == (REFUSED, "")
    assert "east" in again.stderr
    kept = group.arc_key.read_text()
    over = run(["hotspare-cloud", "account", "create", "west", "--data", data, "--key-out", group.arc_key], fail=True)
    assert over.status == REFUSED
    assert group.arc_key.read_text() == kept


def test_g4_another_sub_account_than_the_hosts_is_refused_and_both_are_named(group: System) -> None:
    key = group.folder / "west.key"
    words = ("--data", group.folder / "cloud", "--sub-account", "left", "--sub-account", "right", "--key-out", key)
    run(["hotspare-cloud", "account", "create", "west", *words])
    first, second = group.start_receiver("west-1"), group.start_receiver("west-2")
    for receiver, sub_account in ((first, "left"), (second, "right")):
        receiver.serving()
        group.tell_cloud(receiver, "--arc-id", "west", "--arc-key-file", key, "--sub-account", sub_account)
    first.cli("enable", "--role", "host")
    refused = second.cli("enable", "--role", "spare1", fail=True)
    assert refused.status == REFUSED
    assert "left" in refused.stderr
    assert "right" in refused.stderr
    assert first.cli("settings", "set", "--sub-account", "right", fail=True).status == REFUSED, "while it has a role"
    group.tell_cloud(second, "--arc-id", "west", "--arc-key-file", key, "--sub-account", "left")
    second.cli("enable", "--role", "spare1")


def test_b2_an_edit_on_a_spare_is_refused_and_names_the_host(spare: Receiver) -> None:
    refused = spare.cli("device", "create", "panel-9", "--account", "1239", fail=True)
    assert refused.status == REFUSED
    assert "host" in refused.stderr


def test_s1_s2_a_wrong_device_key_and_an_unknown_device_get_one_answer(group: System) -> None:
    wrong = group.folder / "wrong-device.key"
    wrong.touch(mode=0o600)
    wrong.write_text("w" * 43)
    answers = [group.send(device, wrong, "--code", "1130", fail=True) for device in ("panel-1", "no-panel")]
    assert [answer.status for answer in answers] == [REFUSED, REFUSED]
    assert answers[0].stderr == answers[1].stderr
    assert "failed 1" in answers[0].stdout


def test_s1_another_receivers_token_and_a_readable_token_file_are_refused(
    host: Receiver, spare: Receiver, tmp_path: Path
) -> None:
    other = run(["hotspare", "--server", host.grpc, "--token-file", spare.token, "status"], fail=True)
    assert other.status == REFUSED
    copy = tmp_path / "token"
    copy.write_text(host.token.read_text())
    copy.chmod(0o644)
    loose = run(["hotspare", "--server", host.grpc, "--token-file", copy, "status"], fail=True)
    assert loose.status == USAGE
    assert "chmod 600" in loose.stderr


def test_token_create_serves_a_viewer_until_it_is_revoked(host: Receiver, tmp_path: Path) -> None:
    token = tmp_path / "viewer.token"
    host.cli("token", "create", "viewer-1", "--role", "viewer", "--out", token)
    viewer: list[str | Path] = ["hotspare", "--server", host.grpc, "--token-file", token]
    assert run([*viewer, "status"]).status == 0
    assert run([*viewer, "device", "create", "x", "--account", "1230"], fail=True).status == REFUSED
    host.cli("token", "revoke", "viewer-1", "--yes")
    assert run([*viewer, "status"], fail=True).status == REFUSED


def test_help_of_every_command_is_there() -> None:
    for command in ("hotspare", "hotspare-cloud", "hotspare-receiver", "hotspare-sim"):
        assert "Usage:" in run([command, "--help"]).stdout


def test_x1_disable_takes_the_role_from_the_spare(group: System, host: Receiver, spare: Receiver) -> None:
    """The last one here: the spare is gone afterwards."""
    spare.cli("disable", "--yes")
    answer = parsed(host.cli("members", "-o", "json"), ListMembersResponse)
    assert with_roles(answer) == [ROLE_HOST]
    outputs = parsed(spare.cli("output", "list", "-o", "json"), ListOutputsResponse).outputs
    assert [output.name for output in outputs] == ["arc"], "they stay"
