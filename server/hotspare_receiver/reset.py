"""A new admin token for whoever has the data folder (S1). Imports nothing of the receiver: it works beside one."""

import os
from pathlib import Path

from hotspare_rpc.credentials import new_secret
from hotspare_store.folder import DataFolder, DataFolderError, DataFolderInUseError, write_secret

ADMIN_TOKEN_FILE = "admin.token"
DATABASE_FILE = "receiver.db"


def reset_admin_token(data: Path) -> bool:
    """Write a new admin token to its file; returns whether a receiver runs, which takes it over within seconds.

    The receiver needs no restart: it looks at the file (see tokens.py).

    Raises:
        DataFolderError: it is no receiver's folder, or can't be written.
    """
    check_receiver_folder(data)
    file = data / ADMIN_TOKEN_FILE
    try:
        owner = (data / DATABASE_FILE).stat()
        write_secret(file, new_secret())
        if os.geteuid() == 0:
            # The receiver's own user has to read it.
            os.chown(file, owner.st_uid, owner.st_gid)
    except OSError as error:
        raise DataFolderError(f"{file} can't be written: {error.strerror}") from error
    return _is_in_use(data)


def check_receiver_folder(data: Path) -> None:
    """Refuse a folder in which no receiver ever ran: nothing is to be made there. Raises DataFolderError."""
    if not (data / DATABASE_FILE).exists():
        raise DataFolderError(f"{data} is no data folder of a receiver: there is no {DATABASE_FILE} in it")


def _is_in_use(data: Path) -> bool:
    try:
        DataFolder.open(data).close()
    except DataFolderInUseError:
        return True
    return False
