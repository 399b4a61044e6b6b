"""Requests as JSON: several behind one another, and no secret where others see it."""

from pathlib import Path

import pytest
from google.protobuf.message import Message

from hotspare.v1.configuration_service_pb2 import CreateDeviceRequest, ListDevicesRequest
from hotspare.v1.group_pb2 import Member
from hotspare.v1.output_pb2 import Dc09Options, Output
from hotspare.v1.receiver_service_pb2 import (
    CreateOutputRequest,
    CreateTokenResponse,
    ReceiverSettings,
    UpdateSettingsRequest,
)
from hotspare_cli.calling import Data, documents, secret_in
from hotspare_cli.errors import CliError, ExitCode


def test_several_requests_may_stand_behind_one_another() -> None:
    assert documents('{"a": 1}\n{"b": [2]} {}') == ([{"a": 1}, {"b": [2]}, {}], "")
    assert documents(" \n") == ([], "")


def test_a_request_that_is_not_whole_yet_waits_for_its_rest() -> None:
    found, rest = documents('{"a": 1}\n{"b":', final=False)
    assert (found, rest) == ([{"a": 1}], '{"b":')
    assert documents(f"{rest} 2}}", final=False) == ([{"b": 2}], "")


@pytest.mark.parametrize("text", ["{", "{'a': 1}", '{"a": 1} x', "nonsense"])
def test_what_is_no_json_is_wrong_usage_with_its_place(text: str) -> None:
    with pytest.raises(CliError, match=r"no JSON: .* \(line 1, column \d+\)") as refused:
        documents(text)
    assert refused.value.exit_code is ExitCode.USAGE


SECRETS: list[tuple[Message, str]] = [
    (UpdateSettingsRequest(settings=ReceiverSettings(arc_key="x")), "arc_key"),
    (CreateOutputRequest(output=Output(dc09=Dc09Options(key=b"x"))), "key"),
    (CreateDeviceRequest(dc09_key=b"x"), "dc09_key"),
    (CreateTokenResponse(secret="x"), "secret"),
    (UpdateSettingsRequest(settings=ReceiverSettings(arc_key_set=True)), ""),
    (ListDevicesRequest(page_token="x"), ""),
    (Member(uses_old_key=True, warnings=["key"]), ""),
]


@pytest.mark.parametrize(("message", "name"), SECRETS, ids=lambda value: value if isinstance(value, str) else "")
def test_s1_a_secret_is_known_by_the_name_of_its_field(message: Message, name: str) -> None:
    assert secret_in(message) == name


def test_s1_a_secret_is_no_argument_and_in_no_file_that_others_read(tmp_path: Path) -> None:
    message = SECRETS[0][0]
    with pytest.raises(CliError, match="history of the shell") as refused:
        Data('{"settings": {"arc_key": "x"}}').check_secret(message)
    assert "-d @FILE" in refused.value.hint
    file = tmp_path / "request.json"
    file.write_text("{}")
    file.chmod(0o640)
    with pytest.raises(CliError, match="mode 0640"):
        Data(f"@{file}").check_secret(message)
    file.chmod(0o600)
    Data(f"@{file}").check_secret(message)
    Data("-").check_secret(message)
    Data("{}").check_secret(Member())


def test_a_file_that_is_not_there_or_no_text_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="can't be read"):
        Data(f"@{tmp_path}/none").text()
    (tmp_path / "binary").write_bytes(b"\xff\xfe{}")
    with pytest.raises(CliError, match="UTF-8"):
        Data(f"@{tmp_path}/binary").text()
    assert Data(None).text() == ""
    assert Data('{"a": 1}').text() == '{"a": 1}'
