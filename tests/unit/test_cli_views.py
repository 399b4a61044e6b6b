"""What the commands show: all that was told, nothing cut, no stranger's text that steers the terminal."""

import json
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from google.protobuf.json_format import Parse
from google.protobuf.message import Message

from hotspare.v1.alarm_feed_service_pb2 import GetAlarmResponse, ListAlarmsResponse
from hotspare.v1.alarm_pb2 import (
    ALARM_STATE_SET_ASIDE,
    ATTEMPT_OUTCOME_REFUSED,
    DELIVERY_END_LOST,
    QUALIFIER_RESTORE,
    Alarm,
    AlarmDelivery,
    AlarmRecord,
    DeliveryAttempt,
    StoredAlarm,
)
from hotspare.v1.configuration_service_pb2 import ListDevicesResponse
from hotspare.v1.group_pb2 import (
    MEMBER_STATUS_STANDBY,
    ROLE_SPARE_1,
    STANDBY_REASON_LOWER_ORDER,
    STANDBY_REASON_UNHEALTHY,
    TRANSITION_KIND_MOVE,
    TRANSITION_KIND_SETTINGS_CHANGED,
    Group,
    Member,
    ReceiverInfo,
    Transition,
)
from hotspare.v1.output_pb2 import Output
from hotspare.v1.receiver_service_pb2 import (
    CloudConnection,
    GetSettingsResponse,
    GetStatusResponse,
    Lease,
    ListOutputsResponse,
    ListTokensResponse,
    ReceiverStatus,
)
from hotspare.v1.record_pb2 import Device
from hotspare.v1.role_service_pb2 import ListMembersResponse
from hotspare.v1.token_pb2 import TOKEN_ROLE_FEED, Token
from hotspare.v1.version_service_pb2 import CheckVersionResponse
from hotspare_cli.emit import as_json, as_yaml
from hotspare_cli.layout import Facts, Grid, Lines, Tone, cell, grid, state
from hotspare_cli.screen import plain
from hotspare_cli.views.alarms import alarm_view, alarms_view
from hotspare_cli.views.members import members_view
from hotspare_cli.views.outputs import outputs_view
from hotspare_cli.views.records import records_view
from hotspare_cli.views.settings import settings_view
from hotspare_cli.views.status import status_view
from hotspare_cli.views.tokens import tokens_view
from hotspare_cli.views.version import version_view
from hotspare_cli.words import clock
from hotspare_model.kinds import kind_of

NOW = datetime(2026, 11, 22, 16, 4, 26, tzinfo=UTC)
DEVICE = kind_of(1)
EVIL = "\x1b[2J\x9b31m\u202eevil\n[red]x[/red]"
UUID = "22222222-2222-4222-8222-222222222222"


def fact(facts: Facts, name: str) -> str:
    return cell(dict(facts.pairs)[name]).text


# --- Plain text --------------------------------------------------------------------------------------------


def test_piped_tables_have_one_line_a_row_nothing_cut_and_no_boxes() -> None:
    long = "x" * 500
    text = plain([grid(("ID", "NAME"), [(UUID, long), ("2", "b")])])
    lines = text.splitlines()
    assert [line.split() for line in lines] == [["ID", "NAME"], [UUID, long], ["2", "b"]]
    assert lines[1].index(long) == lines[0].index("NAME") == lines[2].index("b")
    assert text.isascii()
    assert all(line == line.rstrip() for line in lines)


def test_parts_are_parted_and_titled_and_an_empty_table_says_so() -> None:
    text = plain([Facts((("A", "1"),), title="Facts"), Grid(("ID",), (), empty="no devices"), Lines(("last",))])
    assert text == "Facts\nA  1\n\nno devices\n\nlast\n"


def test_s4_foreign_text_is_shown_escaped_and_is_no_markup() -> None:
    text = plain([grid(("NAME",), [(EVIL,)]), Facts((("Name", EVIL),), title="t"), Lines((EVIL,))])
    assert "\x1b" not in text
    assert "\x9b" not in text
    assert "\u202e" not in text
    assert text.count(r"\x1b[2J\x9b31m\u202eevil\n[red]x[/red]") == 3


def test_states_have_a_tone() -> None:
    assert state("working").tone is Tone.GOOD
    assert state("offline").tone is Tone.BAD
    assert state("something-new").tone is Tone.PLAIN


# --- JSON and YAML -----------------------------------------------------------------------------------------


def device_list() -> ListDevicesResponse:
    devices = [Device(device_id="panel-1", name=EVIL), Device(device_id="panel-2", name="Straße 北")]
    return ListDevicesResponse(devices=devices, total_count=2)


def test_json_is_the_response_with_the_names_of_the_proto_and_its_defaults() -> None:
    shown = json.loads(as_json(device_list()))
    assert shown["total_count"] == "2"
    assert shown["devices"][0]["device_id"] == "panel-1"
    assert shown["devices"][1]["disabled"] is False
    assert "next_page_token" not in shown
    assert Parse(as_json(device_list()), ListDevicesResponse()) == device_list()


def test_an_empty_list_is_an_empty_list_and_not_nothing() -> None:
    assert json.loads(as_json(ListDevicesResponse())) == {"devices": [], "total_count": "0"}


def test_s4_json_and_yaml_hold_nothing_that_a_terminal_obeys() -> None:
    for text in (as_json(device_list()), as_yaml(device_list())):
        assert not set(text) & set("\x1b\x9b\u202e")
    assert "Straße 北" in as_json(device_list())


def test_yaml_has_the_structure_of_the_json() -> None:
    assert yaml.safe_load(as_yaml(device_list())) == json.loads(as_json(device_list()))


# --- Views -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shown",
    [
        lambda: status_view(GetStatusResponse(), NOW),
        lambda: members_view(ListMembersResponse(), NOW),
        lambda: outputs_view(ListOutputsResponse(outputs=[Output()]), NOW),
        lambda: settings_view(GetSettingsResponse()),
        lambda: tokens_view(ListTokensResponse(tokens=[Token()]), NOW),
        lambda: alarms_view(ListAlarmsResponse(alarms=[AlarmRecord()])),
        lambda: alarm_view(GetAlarmResponse()),
        lambda: version_view(CheckVersionResponse(), "0.1.0"),
    ],
)
def test_v3_a_response_of_a_server_that_tells_less_is_shown_all_the_same(shown: object) -> None:
    assert callable(shown)
    assert plain(shown())


def status_facts(status: ReceiverStatus) -> Facts:
    first = next(status_view(GetStatusResponse(status=status), NOW))
    assert isinstance(first, Facts)
    return first


def test_f7_a_lease_that_ran_out_is_told_as_such() -> None:
    assert "run out" in fact(status_facts(ReceiverStatus(lease=Lease(epoch=3))), "Lease")
    assert fact(status_facts(ReceiverStatus()), "Lease").startswith("none")


def test_a_lost_cloud_is_told_with_its_reason() -> None:
    cloud = CloudConnection(address="c:1", last_reason="INVALID_CREDENTIALS", last_problem="refused")
    cloud.since_time.FromDatetime(NOW - timedelta(minutes=3))
    since = clock(cloud.since_time)
    told = fact(status_facts(ReceiverStatus(cloud=cloud)), "Cloud")
    assert told == f"c:1, not connected since {since} (3 min ago): refused (INVALID_CREDENTIALS)"


def test_g7_why_a_receiver_stands_by_is_told_where_it_is_not_the_usual_thing() -> None:
    usual = ReceiverStatus(status=MEMBER_STATUS_STANDBY, standby_reason=STANDBY_REASON_LOWER_ORDER)
    ill = ReceiverStatus(status=MEMBER_STATUS_STANDBY, standby_reason=STANDBY_REASON_UNHEALTHY)
    assert fact(status_facts(usual), "Status") == "standby"
    assert fact(status_facts(ill), "Status") == "standby (unhealthy)"


def test_nothing_wrong_is_said_in_words() -> None:
    cloud = CloudConnection(address="c:1", connected=True)
    fine = plain(status_view(GetStatusResponse(status=ReceiverStatus(cloud=cloud)), NOW))
    assert fine.startswith("In short       who works is not known here; nothing is wrong\n")
    assert fine.endswith("Advice\nNothing is wrong.\n")
    wrong = GetStatusResponse(status=ReceiverStatus(cloud=cloud, advice=["No panel: add one."]))
    assert plain(status_view(wrong, NOW)).endswith("Advice\n- No panel: add one.\n")


def test_f8_the_last_moves_are_a_part_of_the_status() -> None:
    lines = [Transition(kind=TRANSITION_KIND_MOVE, to_receiver_id=UUID, epoch=epoch) for epoch in range(9, 2, -1)]
    lines.insert(1, Transition(kind=TRANSITION_KIND_SETTINGS_CHANGED, epoch=77))
    response = GetStatusResponse(status=ReceiverStatus(group=Group(epoch=9)))
    shown = plain(status_view(response, NOW, lines))
    rows = [line.split() for line in shown.splitlines() if " move " in line]
    assert [row[6] for row in rows] == ["9", "8", "7", "6", "5"], "only the newest, and what is no move is left out"
    assert "Last moves\nnot known" in plain(status_view(response, NOW))
    assert "Last moves\nnone yet" in plain(status_view(response, NOW, []))


def test_on_a_screen_that_is_drawn_again_the_advice_stands_where_a_low_one_shows_it() -> None:
    response = GetStatusResponse(status=ReceiverStatus(group=Group(epoch=9)))
    shown = plain(status_view(response, NOW, advice_first=True))
    assert shown.index("Advice") < shown.index("Outputs")
    assert shown.count("Advice") == 1


def test_g6_members_have_a_mark_on_self_and_warnings_name_who_is_meant() -> None:
    spare = Member(
        receiver=ReceiverInfo(receiver_id=UUID, name="beta"),
        role=ROLE_SPARE_1,
        is_self=True,
        held_back=True,
        warnings=["it is on the machine of another member"],
    )
    text = plain(members_view(ListMembersResponse(group=Group(warnings=["w0"]), members=[spare]), NOW))
    row = next(line for line in text.splitlines() if UUID in line)
    assert row.split()[:4] == ["*", "spare1", UUID, "beta"]
    assert "Working               nobody: the cloud keeps the alarms" in text
    assert "w0\nspare1 beta: it is on the machine of another member\nspare1 beta: was lost too often" in text


def test_a8_an_alarm_is_shown_with_its_deliveries_and_attempts() -> None:
    record = AlarmRecord(
        stored=StoredAlarm(
            number=12,
            alarm=Alarm(alarm_id=UUID, device_id="panel-1", qualifier=QUALIFIER_RESTORE, code="130"),
            account_number="1234",
        ),
        state=ALARM_STATE_SET_ASIDE,
        attempts=[
            DeliveryAttempt(
                output="main",
                attempt=2,
                outcome=ATTEMPT_OUTCOME_REFUSED,
                frame=b'\n0001"ADM-CID"\x80\r',
                answer=b"DUH",
            )
        ],
        delivery_history=[AlarmDelivery(receiver_id=UUID, epoch=4, attempt=1, end=DELIVERY_END_LOST)],
    )
    text = plain(alarm_view(GetAlarmResponse(alarm=record)))
    assert "3130 (restore)" in text
    assert "set-aside" in text
    assert f"1    {UUID}  4" in text
    assert text.splitlines()[-1].split()[:5] == ["main", "2", "-", "-", "refused"]
    assert r'0001"ADM-CID"\x80' in text


def test_a_token_says_whether_it_is_still_valid() -> None:
    def told(token: Token) -> str:
        part = next(tokens_view(ListTokensResponse(tokens=[token]), NOW))
        assert isinstance(part, Grid)
        return cell(part.rows[0][2]).text

    ended, revoked = Token(name="a", role=TOKEN_ROLE_FEED), Token(name="b")
    ended.expire_time.FromDatetime(NOW)
    revoked.revoke_time.FromDatetime(NOW)
    assert [told(token) for token in (Token(name="c"), ended, revoked)] == ["valid", "expired", "revoked"]


def test_no_view_forgets_to_be_complete_when_piped() -> None:
    ids = [f"panel-{number:04d}-{'x' * 50}" for number in range(300)]
    response: Message = ListDevicesResponse(devices=[Device(device_id=one) for one in ids])
    assert isinstance(response, ListDevicesResponse)
    assert [line.split()[0] for line in plain(records_view(DEVICE, response)).splitlines()[1:]] == ids
