"""`group show` and `group set` against a scripted server."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from hotspare.v1.group_pb2 import GroupSettings as Message
from hotspare.v1.role_service_pb2 import GetGroupSettingsResponse, UpdateGroupSettingsResponse
from hotspare_model.errors import HotspareError, Reason
from hotspare_model.group import GroupSettings, updated
from hotspare_model.lease import LeaseTerms, check_terms
from hotspare_rpc.wire import group_settings_to_proto, settings_changes_from_proto
from tests.integration.test_cli_support import Script, scripted_server

ETAG = "e7"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Script]:
    """A server that updates the settings by the rules of the model."""

    def update(request: Any) -> Any:
        changes = settings_changes_from_proto(request.settings, request.update_mask.paths)
        return UpdateGroupSettingsResponse(settings=group_settings_to_proto(updated(GroupSettings(), **changes), "e8"))

    async with scripted_server(tmp_path) as script:
        now = group_settings_to_proto(GroupSettings(), ETAG)
        script.answers |= {"GetGroupSettings": GetGroupSettingsResponse(settings=now), "UpdateGroupSettings": update}
        yield script


async def test_the_settings_of_the_group_are_shown(server: Script) -> None:
    shown = await server.run("group", "show")
    assert shown.code == 0
    rows = {line.split()[0]: line.split()[1] for line in shown.out.splitlines()[1:]}
    assert len(rows) == 15
    assert (rows["lease"], rows["window"], rows["revision_max_age"]) == ("6s", "256", "90d")
    data = (await server.run("group", "show", "-o", "json")).json()
    assert data["settings"]["failback_delay"] == "10s"
    assert data["settings"]["etag"] == ETAG


async def test_group_set_sends_what_was_named_with_the_etag_that_was_read(server: Script) -> None:
    done = await server.run(
        *("group", "set", "--lease", "10s", "--beat", "2s", "--suspect-after", "4500ms"),
        *("--failback-delay", "0s", "--window", "64", "--takeover-event-code", "398"),
    )
    assert done.code == 0
    (request,) = server.requests("UpdateGroupSettings")
    expected = Message(window=64, takeover_event_code="398", etag=ETAG)
    for field, seconds in (("lease", 10), ("beat", 2), ("suspect_after", 4.5), ("failback_delay", 0)):
        getattr(expected, field).FromTimedelta(timedelta(seconds=seconds))
    assert request.settings == expected
    paths = ["lease", "beat", "suspect_after", "failback_delay", "window", "takeover_event_code"]
    assert sorted(request.update_mask.paths) == sorted(paths)
    told = done.out.partition("\n\n")[0].splitlines()
    assert "lease is 10s now; it was 6s." in told
    assert "suspect_after is 4500ms now; it was 3s." in told
    assert len(told) == 6


async def test_group_set_in_a_form_for_scripts_is_the_response(server: Script) -> None:
    data = (await server.run("group", "set", "--drain-timeout", "1m", "-o", "json")).json()
    assert data["settings"]["etag"] == "e8"


async def test_f1_settings_that_break_the_inequality_are_refused_with_its_arithmetic(server: Script) -> None:
    def refuse(_request: Any) -> Any:
        check_terms(LeaseTerms(timedelta(seconds=6), timedelta(seconds=5.5)))

    server.answers["UpdateGroupSettings"] = refuse
    refused = await server.run("group", "set", "--lease", "6s")
    assert refused.code == 1
    what, hint = refused.error_lines()
    assert "LEASE_ARITHMETIC" in what
    assert "This must hold: T_holder / (1 - r) + X <= T_cloud / (1 + r): 5.5 / 0.999 + 1 = 6.506 s" in hint
    assert "6 / 1.001 = 5.994 s" in hint


async def test_a_value_outside_of_its_range_is_told_with_the_range(server: Script) -> None:
    refused = await server.run("group", "set", "--lease", "20s")
    assert refused.code == 1
    assert refused.error_lines()[1] == "Correct beat: must be from 1.66667 s to 4 s."


async def test_two_who_change_at_once_are_told(server: Script) -> None:
    server.answers["UpdateGroupSettings"] = HotspareError(Reason.ETAG_MISMATCH, "it was changed", etag="e9")
    refused = await server.run("group", "set", "--lease", "10s")
    assert refused.code == 1
    assert "Somebody changed it meanwhile" in refused.error_lines()[1]


async def test_what_was_so_already_is_told(server: Script) -> None:
    same = await server.run("group", "set", "--lease", "6000ms")
    assert same.code == 0
    assert same.out.startswith("Nothing changed: it was so already.\n")
