"""Commands on a data folder: through the running cloud where there is one, else on the store itself."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import grpc

from hotspare.v1 import account_service_pb2, account_service_pb2_grpc
from hotspare_cloud.app import SOCKET_NOTE, TOKEN_FILE
from hotspare_cloud.clock import StallWatch
from hotspare_cloud.directory import DEFAULT_SUB_ACCOUNT, Directory, shutting_down
from hotspare_cloud.services.account import check_id, check_overlap
from hotspare_cloud.services.convert import time_to_proto
from hotspare_cloud.store.sqlite import SqliteStore
from hotspare_rpc.channel import open_channel, unix_target
from hotspare_rpc.credentials import BearerToken, new_secret, sha256
from hotspare_rpc.errors import describe, from_rpc_error
from hotspare_rpc.wire import duration_to_proto, timestamp_from_proto
from hotspare_store.folder import DataFolder, DataFolderError, DataFolderInUseError

TIMEOUT = 10.0

R = TypeVar("R")
Call: TypeAlias = Callable[[Any, Any], Awaitable[Any]]
"""Calls a method of AccountService with a request, as the cloud's operator."""


async def create_account(data: Path, arc_id: str, sub_accounts: Sequence[str]) -> str:
    """Create an ARC account and return its key.

    Raises:
        HotspareError: RESOURCE_EXISTS, FIELD_INVALID.
        DataFolderError: the folder, or the cloud that runs on it, can't be used.
    """

    async def on_store(directory: Directory) -> str:
        check_id("arc_id", arc_id)
        for name in sub_accounts:
            check_id("sub_account", name)
        key = new_secret()
        await directory.create_account(arc_id, sha256(key), list(sub_accounts) or [DEFAULT_SUB_ACCOUNT])
        return key

    async def through_cloud(stub: Any, call: Call) -> str:
        request = account_service_pb2.CreateArcAccountRequest(arc_id=arc_id, sub_accounts=sub_accounts)
        return str((await call(stub.CreateArcAccount, request)).arc_key)

    return await _on_folder(data, on_store, through_cloud)


async def rotate_key(data: Path, arc_id: str, overlap: timedelta, *, restart: bool) -> tuple[str, datetime]:
    """Make a second key beside the one in use; returns it, and until when the old one is valid.

    Raises:
        HotspareError: RESOURCE_NOT_FOUND, ROTATION_RUNNING, FIELD_INVALID.
        DataFolderError: the folder, or the cloud that runs on it, can't be used.
    """

    async def on_store(directory: Directory) -> tuple[str, datetime]:
        key = new_secret()
        rotated = await directory.keys.rotate(arc_id, sha256(key), check_overlap(overlap), restart=restart)
        until = timestamp_from_proto(time_to_proto(rotated.old_key_expires_at or 0.0))
        assert until is not None
        return key, until

    async def through_cloud(stub: Any, call: Call) -> tuple[str, datetime]:
        answer = await call(
            stub.RotateArcKey,
            account_service_pb2.RotateArcKeyRequest(arc_id=arc_id, overlap=duration_to_proto(overlap), restart=restart),
        )
        until = timestamp_from_proto(answer.account.old_key_expire_time)
        assert until is not None
        return str(answer.arc_key), until

    return await _on_folder(data, on_store, through_cloud)


async def end_rotation(data: Path, arc_id: str, *, force: bool) -> None:
    """End the old key at once.

    Raises:
        HotspareError: RESOURCE_NOT_FOUND, KEY_IN_USE.
        DataFolderError: the folder, or the cloud that runs on it, can't be used.
    """

    async def on_store(directory: Directory) -> None:
        await directory.end_key_rotation(arc_id, force=force)

    async def through_cloud(stub: Any, call: Call) -> None:
        request = account_service_pb2.EndArcKeyRotationRequest(arc_id=arc_id, force=force)
        await call(stub.EndArcKeyRotation, request)

    await _on_folder(data, on_store, through_cloud)


async def _on_folder(
    data: Path,
    on_store: Callable[[Directory], Awaitable[R]],
    through_cloud: Callable[[Any, Call], Awaitable[R]],
) -> R:
    try:
        folder = DataFolder.open(data)
    except DataFolderInUseError as in_use:
        return await _through_cloud(data, through_cloud, in_use)
    try:
        return await _on_store(folder, on_store)
    finally:
        folder.close()


async def _on_store(folder: DataFolder, work: Callable[[Directory], Awaitable[R]]) -> R:
    store = SqliteStore.open(folder.path, lambda error: None)
    directory = Directory(store, StallWatch())
    try:
        await directory.load()
        done = await work(directory)
        await directory.stop(shutting_down())
        return done
    finally:
        directory.keys.close()
        store.close()


async def _through_cloud(data: Path, work: Callable[[Any, Call], Awaitable[R]], in_use: DataFolderInUseError) -> R:
    try:
        socket = (data / SOCKET_NOTE).read_text(encoding="utf-8").strip()
        token = (data / TOKEN_FILE).read_text(encoding="utf-8").strip()
    except OSError as problem:
        raise DataFolderError(f"{in_use}, and {problem.filename} can't be read: {problem.strerror}") from problem

    async def call(method: Any, request: Any) -> Any:
        return await method(request, metadata=BearerToken(token).metadata(), timeout=TIMEOUT)

    channel = open_channel(unix_target(socket), None)
    try:
        return await work(account_service_pb2_grpc.AccountServiceStub(channel), call)
    except grpc.aio.AioRpcError as error:
        refused = from_rpc_error(error)
        if refused is not None:
            raise refused from error
        raise DataFolderError(f"the cloud that runs on {data} does not answer: {describe(error)}") from error
    finally:
        await channel.close()
