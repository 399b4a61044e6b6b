"""Screens of 80 columns: no line is longer, and no id is cut."""

import io
import re
from datetime import UTC, datetime, timedelta

import pytest
from rich.cells import cell_len
from rich.console import Console

from hotspare.v1 import alarm_pb2, group_pb2
from hotspare.v1.alarm_feed_service_pb2 import ListAlarmsResponse
from hotspare.v1.role_service_pb2 import GetGroupSettingsResponse, ListMembersResponse
from hotspare_cli.checks import fine, wrong
from hotspare_cli.layout import Cell, Part, Tone, grid
from hotspare_cli.screen import plain, rendered
from hotspare_cli.views.alarms import alarms_view
from hotspare_cli.views.doctor import doctor_view
from hotspare_cli.views.group_settings import group_settings_view
from hotspare_cli.views.members import members_view
from hotspare_cli.views.status import status_view
from hotspare_model.group import GroupSettings
from hotspare_rpc.wire import group_settings_to_proto
from tests.integration.test_cli_support import HOST_ID, SPARE_ID, group, host_status, member

NOW = datetime.now(UTC)
MACHINE = "5b1c0f6e9d7a4c3389f2d4a17e60b8c2"


def screen(*parts: Part, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None, highlight=False)
    return rendered(parts, console)


def widest(text: str) -> int:
    return max(cell_len(line.rstrip()) for line in text.splitlines())


def whole_group() -> ListMembersResponse:
    members = [
        member(group_pb2.ROLE_HOST, HOST_ID, "alpha", working=True),
        member(group_pb2.ROLE_SPARE_1, SPARE_ID, "beta"),
    ]
    members[1].standby_reason = group_pb2.STANDBY_REASON_PINNED_ELSEWHERE
    for one in members:
        one.receiver.machine_id = MACHINE
    return ListMembersResponse(group=group(), members=members)


def moves() -> list[group_pb2.Transition]:
    line = group_pb2.Transition(
        kind=group_pb2.TRANSITION_KIND_MOVE,
        reason=group_pb2.TRANSITION_REASON_CONNECTION_LOST,
        from_receiver_id=HOST_ID,
        from_role=group_pb2.ROLE_HOST,
        to_receiver_id=SPARE_ID,
        to_role=group_pb2.ROLE_SPARE_1,
        epoch=7,
        operator_name="night-shift",
        detail="a sentence that is told with it, and rather a long one, as people write them when they have time",
    )
    line.time.FromDatetime(NOW)
    line.gap.FromTimedelta(timedelta(seconds=2))
    return [line]


def test_members_and_status_fit_and_tell_all() -> None:
    response = host_status()
    response.status.members[0].receiver.machine_id = MACHINE
    for text in (
        screen(*members_view(whole_group(), NOW)),
        screen(*status_view(response, NOW, moves())),
    ):
        assert widest(text) <= 80
        for told in (HOST_ID, SPARE_ID, MACHINE, "127.0.0.1:7001", "alpha", "beta"):
            assert told in text
    assert "night-shift" in text
    assert "operator" in text


def test_a_list_of_alarms_fits_with_its_ids() -> None:
    record = alarm_pb2.AlarmRecord(state=alarm_pb2.ALARM_STATE_CONFIRMED)
    record.stored.alarm.alarm_id = HOST_ID
    record.stored.alarm.device_id = f"receiver:{SPARE_ID}"
    record.stored.receive_time.FromDatetime(NOW)
    text = screen(*alarms_view(ListAlarmsResponse(alarms=[record])))
    assert widest(text) <= 80
    assert f"alarm id {HOST_ID}" in text


def test_what_doctor_tells_is_broken_between_words() -> None:
    advice = "Name the authority that signed it (--tls-ca), and call the server by a name that it holds."
    text = screen(*doctor_view([fine("clock", "x " * 60), wrong("server certificate", "it is not trusted", advice)]))
    assert widest(text) <= 80
    assert "authority" in text
    assert re.sub(r"\s+", " ", text).count(advice) == 1


@pytest.mark.parametrize("width", [80, 100, 130, 200])
def test_as_few_columns_as_need_be_stand_below(width: int) -> None:
    text = screen(*members_view(whole_group(), NOW), width=width)
    assert widest(text) <= width
    header = next(line for line in text.splitlines() if "ROLE" in line)
    assert (" ID " in header, "ADDRESS" in header, "LAST SEEN" in header) == (width >= 200, width >= 130, width >= 100)


def test_what_is_not_set_has_no_room_below() -> None:
    table = grid(("NAME", "DETAIL", "WHO"), [("a" * 70, "-", "me " * 9)], below=("DETAIL", "WHO"))
    text = screen(table)
    assert "detail" not in text
    assert "who me me" in text


def test_a_pipe_gets_the_table_as_it_is() -> None:
    table = grid(("NAME", "DETAIL"), [("a" * 90, "b" * 90)], below=("DETAIL",))
    assert plain([table]) == f"NAME{' ' * 88}DETAIL\n{'a' * 90}  {'b' * 90}\n"


def test_a_table_that_is_too_wide_for_all_that_keeps_its_cells_whole() -> None:
    table = grid(("ID", "NAME"), [(HOST_ID * 3, Cell("x", Tone.BAD))], below=("NAME",))
    assert HOST_ID * 3 in screen(table)


def test_s4_foreign_text_below_a_row_cannot_steer_the_terminal() -> None:
    table = grid(("ID", "NAME"), [("i" * 79, "\x1b[31mred\x07")], below=("NAME",))
    assert "\x1b[31m" not in screen(table)


def test_the_settings_of_a_group_fit_with_their_ranges() -> None:
    response = GetGroupSettingsResponse(settings=group_settings_to_proto(GroupSettings(), "e1"))
    text = screen(*group_settings_view(response))
    assert widest(text) <= 80
    assert "takeover_event_code" in text
    assert "three of 0-9 and B-F" in text
