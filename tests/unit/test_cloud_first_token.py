"""The file of the first operator's token: made where it is missing, and no reason not to serve where it is not ours."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hotspare_cloud import app
from hotspare_cloud.directory import _stop
from hotspare_model.errors import HotspareError, Reason


class Tokens:
    """Knows none."""

    def __init__(self) -> None:
        self.created: list[Any] = []

    def all(self) -> list[Any]:
        """All tokens."""
        return []

    async def create(self, token: Any) -> None:
        """Keep one."""
        self.created.append(token)


@pytest.mark.parametrize("spoil", [lambda file: file.mkdir(), lambda file: file.write_bytes(b"\xff\xfe")])
async def test_s1_a_file_that_can_not_be_read_stays_as_it_is(spoil: Any, tmp_path: Path) -> None:
    tokens = Tokens()
    spoil(tmp_path / app.TOKEN_FILE)
    await app._first_token(SimpleNamespace(path=tmp_path), SimpleNamespace(tokens=tokens))  # type: ignore[arg-type]
    assert tokens.created == []


async def test_s1_without_the_file_a_token_is_made(tmp_path: Path) -> None:
    tokens = Tokens()
    await app._first_token(SimpleNamespace(path=tmp_path), SimpleNamespace(tokens=tokens))  # type: ignore[arg-type]
    assert len(tokens.created) == 1
    assert (tmp_path / app.TOKEN_FILE).stat().st_mode & 0o777 == 0o600


async def test_f11_a_full_disk_does_not_break_an_orderly_stop_off() -> None:
    class Group:
        def name(self) -> dict[str, str]:
            return {}

        async def stop(self, error: HotspareError) -> None:
            raise HotspareError(Reason.DISK_LOW, "the disk is full")

    await _stop(Group(), HotspareError(Reason.SHUTTING_DOWN, "the server is stopping"))  # type: ignore[arg-type]
