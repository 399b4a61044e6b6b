"""A lost admin token is replaced by who has the data folder, beside a running receiver or not (S1)."""

import asyncio
import os
import stat
from pathlib import Path

import grpc
import pytest
from click.testing import CliRunner, Result

from hotspare.v1 import receiver_service_pb2, token_pb2
from hotspare_model.errors import Reason
from hotspare_receiver.main import main
from tests.integration.test_receiver_desk_support import Desk, refused, running, wait_until


def reset(folder: Path) -> Result:
    return CliRunner().invoke(main, ["token", "reset", "--data", str(folder)])


def secret(folder: Path) -> str:
    return (folder / "admin.token").read_text().strip()


async def admitted(desk: Desk, token: str) -> bool:
    try:
        await desk.call(desk.receiver.ListTokens, receiver_service_pb2.ListTokensRequest(), token)
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.UNAUTHENTICATED:
            raise
        return False
    return True


async def until_admitted(desk: Desk, token: str) -> None:
    async with asyncio.timeout(10):
        while not await admitted(desk, token):  # noqa: ASYNC110 - as a user would
            await asyncio.sleep(0.05)


async def test_s1_beside_a_running_receiver_the_new_token_is_taken_and_the_old_one_ends(tmp_path: Path) -> None:
    async with running(tmp_path / "r") as desk:
        other = await desk.call(
            desk.receiver.CreateToken,
            receiver_service_pb2.CreateTokenRequest(name="nora", role=token_pb2.TOKEN_ROLE_ADMIN),
        )
        old = desk.token
        result = reset(tmp_path / "r")
        assert result.exit_code == 0, result.output
        assert "within 2 seconds" in result.output
        new = secret(tmp_path / "r")
        assert new != old
        assert new not in result.output
        assert stat.S_IMODE((tmp_path / "r" / "admin.token").stat().st_mode) == 0o600
        await until_admitted(desk, new)
        async with refused(Reason.INVALID_CREDENTIALS):
            await desk.call(desk.receiver.GetStatus, receiver_service_pb2.GetStatusRequest(), old)
        assert await admitted(desk, other.secret), "tokens of others stay"
    async with running(tmp_path / "r") as desk:
        assert await admitted(desk, new)
        assert not await admitted(desk, old)


async def test_s1_without_a_running_receiver_it_counts_from_the_next_start(tmp_path: Path) -> None:
    async with running(tmp_path / "r") as desk:
        old = desk.token
    result = reset(tmp_path / "r")
    assert "at its next start" in result.output
    async with running(tmp_path / "r") as desk:
        assert await admitted(desk, secret(tmp_path / "r"))
        assert not await admitted(desk, old)


async def test_s1_an_admin_token_that_was_revoked_is_not_taken_from_its_file_again(tmp_path: Path) -> None:
    async with running(tmp_path / "r") as desk:
        other = await desk.call(
            desk.receiver.CreateToken,
            receiver_service_pb2.CreateTokenRequest(name="nora", role=token_pb2.TOKEN_ROLE_ADMIN),
        )
        revoke = receiver_service_pb2.RevokeTokenRequest(name="admin")
        await desk.call(desk.receiver.RevokeToken, revoke, other.secret)
    async with running(tmp_path / "r") as desk:
        assert not await admitted(desk, secret(tmp_path / "r"))
        assert await admitted(desk, other.secret)


@pytest.mark.parametrize("text", ["", "short", "x" * 300, "\x00\xff" * 40])
async def test_s4_what_is_no_token_in_the_file_changes_nothing(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path / "r") as desk:
        (tmp_path / "r" / "admin.token").write_text(text)
        await wait_until(lambda: "admin_token_unusable" in caplog.messages)
        assert await admitted(desk, desk.token)


def test_s1_only_a_folder_of_a_receiver_gets_a_token(tmp_path: Path) -> None:
    for folder in (tmp_path / "missing", tmp_path):
        result = reset(folder)
        assert result.exit_code == 1
        assert "no data folder of a receiver" in result.output
        assert not (folder / "admin.token").exists()
    assert not (tmp_path / "missing").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
async def test_s1_a_reset_by_root_leaves_the_file_to_the_receivers_user(tmp_path: Path) -> None:
    async with running(tmp_path / "r"):
        pass
    os.chown(tmp_path / "r" / "receiver.db", 12345, 12345)
    reset(tmp_path / "r")
    assert (tmp_path / "r" / "admin.token").stat().st_uid == 12345
