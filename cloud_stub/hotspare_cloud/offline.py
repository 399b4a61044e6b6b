"""Commands on a data folder: through the running cloud where there is one, else on the store itself."""

from collections.abc import Sequence
from pathlib import Path

import grpc

from hotspare.v1 import account_service_pb2, account_service_pb2_grpc
from hotspare_cloud.app import SOCKET_NOTE, TOKEN_FILE
from hotspare_cloud.clock import StallWatch
from hotspare_cloud.directory import DEFAULT_SUB_ACCOUNT, Directory, shutting_down
from hotspare_cloud.services.account import check_id
from hotspare_cloud.store.sqlite import SqliteStore
from hotspare_rpc.channel import open_channel, unix_target
from hotspare_rpc.credentials import BearerToken, new_secret, sha256
from hotspare_rpc.errors import describe, from_rpc_error
from hotspare_store.folder import DataFolder, DataFolderError, DataFolderInUseError

TIMEOUT = 10.0


async def create_account(data: Path, arc_id: str, sub_accounts: Sequence[str]) -> str:
    """Create an ARC account and return its key.

    Raises:
        HotspareError: RESOURCE_EXISTS, FIELD_INVALID.
        DataFolderError: the folder, or the cloud that runs on it, can't be used.
    """
    try:
        folder = DataFolder.open(data)
    except DataFolderInUseError as in_use:
        return await _through_cloud(data, arc_id, sub_accounts, in_use)
    try:
        return await _on_store(folder, arc_id, sub_accounts)
    finally:
        folder.close()


async def _on_store(folder: DataFolder, arc_id: str, sub_accounts: Sequence[str]) -> str:
    check_id("arc_id", arc_id)
    for name in sub_accounts:
        check_id("sub_account", name)
    store = SqliteStore.open(folder.path, lambda error: None)
    directory = Directory(store, StallWatch())
    try:
        await directory.load()
        key = new_secret()
        await directory.create_account(arc_id, sha256(key), list(sub_accounts) or [DEFAULT_SUB_ACCOUNT])
        await directory.stop(shutting_down())
        return key
    finally:
        store.close()


async def _through_cloud(data: Path, arc_id: str, sub_accounts: Sequence[str], in_use: DataFolderInUseError) -> str:
    try:
        socket = (data / SOCKET_NOTE).read_text(encoding="utf-8").strip()
        token = (data / TOKEN_FILE).read_text(encoding="utf-8").strip()
    except OSError as problem:
        raise DataFolderError(f"{in_use}, and {problem.filename} can't be read: {problem.strerror}") from problem
    channel = open_channel(unix_target(socket), None)
    try:
        answer = await account_service_pb2_grpc.AccountServiceStub(channel).CreateArcAccount(
            account_service_pb2.CreateArcAccountRequest(arc_id=arc_id, sub_accounts=sub_accounts),
            metadata=BearerToken(token).metadata(),
            timeout=TIMEOUT,
        )
    except grpc.aio.AioRpcError as error:
        refused = from_rpc_error(error)
        if refused is not None:
            raise refused from error
        raise DataFolderError(f"the cloud that runs on {data} does not answer: {describe(error)}") from error
    finally:
        await channel.close()
    return str(answer.arc_key)
