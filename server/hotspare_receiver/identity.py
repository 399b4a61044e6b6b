"""Who this receiver is: its id (kept), its incarnation (new at every start), and the machine that it runs on."""

import hashlib
import socket
import uuid
from dataclasses import dataclass
from pathlib import Path

from hotspare_rpc.version import SOFTWARE_VERSION

# machine-id(5): the id is confidential, so only a hash of it, with a name space of ours, may leave the
# machine.
_NAME_SPACE = b"hotspare-receiver-machine\0"
_MACHINE_ID_FILES = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
NAME_LIMIT = 64


@dataclass(frozen=True, slots=True)
class Identity:
    """What does not change while the process runs. `machine_id` is opaque, 32 hex digits."""

    receiver_id: str
    incarnation: str
    machine_id: str
    software_version: str = SOFTWARE_VERSION


def identify(receiver_id: str, machine_id: str | None = None) -> Identity:
    """The identity of this start of the process. `machine_id`: an operator's, for containers that share the
    machine's."""
    return Identity(receiver_id, str(uuid.uuid4()), machine_id or this_machine())


def this_machine(files: tuple[Path, ...] = _MACHINE_ID_FILES) -> str:
    """A hash of what identifies this machine (G6): its machine-id; where there is none, its hardware address
    and name."""
    for file in files:
        try:
            found = file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            continue
        # A template that images carry; it would make all of them one machine.
        if found and found != "uninitialized":
            return _hashed(found)
    return _hashed(f"{uuid.getnode():012x} {socket.gethostname()}")


def host_name() -> str:
    """The default name of a receiver (1 to 64 characters)."""
    return socket.gethostname()[:NAME_LIMIT] or "receiver"


def _hashed(text: str) -> str:
    return hashlib.sha256(_NAME_SPACE + text.encode()).hexdigest()[:32]
