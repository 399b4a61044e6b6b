"""What to do about each reason for which a call can be refused.

A hint may have a second form that uses the metadata which errors.proto promises for the reason; it is taken
when all of that came along. tests/unit/test_cli_hints.py holds this table, `Reason` and errors.proto
together.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hotspare_model.errors import Reason
from hotspare_rpc.text import printable


@dataclass(frozen=True)
class Hint:
    """What to do, in one line. `with_metadata` names keys of the error's metadata in braces."""

    text: str
    with_metadata: str = ""


HINTS: Mapping[Reason, Hint] = {
    Reason.INVALID_CREDENTIALS: Hint(
        "Check the token file: it must be one of this receiver, and not revoked. "
        "Who has its data folder finds the first one there, in admin.token. If that one is lost, a new one, on its "
        "machine: hotspare-receiver token reset --data DIR."
    ),
    Reason.TOKEN_EXPIRED: Hint(
        "Use another token, or have an admin make a new one: hotspare token create.",
        "It ended at {expire_time}. Use another, or have an admin make a new one: hotspare token create.",
    ),
    Reason.CALLER_NOT_ALLOWED: Hint(
        "Use a token of a higher role.", "Use a token of the role {required}; this one is of {caller}."
    ),
    Reason.ROLE_TAKEN: Hint(
        "No role is free: if the machine of its holder is gone for good, hotspare member remove ROLE; else switch the "
        "hot spare off there.",
        "Take a free role ({free_roles}), or switch the hot spare off at the receiver {holder} first. If its machine "
        "is gone for good: hotspare member remove ROLE.",
    ),
    Reason.HOST_MISSING: Hint("Enable the host first, at its receiver: hotspare enable --role host."),
    Reason.SUB_ACCOUNT_MISMATCH: Hint(
        "Set this receiver to the host's sub account: hotspare settings set --sub-account.",
        "Set this receiver to the host's: hotspare settings set --sub-account {host_sub_account}.",
    ),
    Reason.SUB_ACCOUNT_UNKNOWN: Hint(
        "Check hotspare settings show, or have the cloud's operator create that sub account."
    ),
    Reason.DUAL_CONNECTION_NOT_ALLOWED: Hint(
        "Spares take no direct devices: hotspare settings set --dual-connection off, then repeat."
    ),
    Reason.NOT_A_MEMBER: Hint("This receiver has no role in the group: hotspare enable --role ROLE."),
    Reason.MEMBER_NOT_FOUND: Hint("See who is there: hotspare members."),
    Reason.MACHINE_MISMATCH: Hint(
        "Is this a copy beside the original? Then stop it, and give it a folder of its own. Was the disk moved to "
        "another machine, or the machine's id changed? Keep the folder: hotspare member remove at another receiver, "
        "then enable here."
    ),
    Reason.INCARNATION_SUPERSEDED: Hint(
        "Another process runs under this receiver's id: stop one of the two, then restart the other."
    ),
    Reason.HOT_SPARE_ENDED: Hint(
        "It was switched off while this receiver was away. To join again: hotspare enable --role ROLE."
    ),
    Reason.ROLE_HELD: Hint("Switch the hot spare off here first (hotspare disable), change it, enable it again."),
    Reason.CONFIRMATION_REQUIRED: Hint(
        "Repeat it with --yes to go on all the same.",
        "It would clear: {clears}. Repeat it with --yes to go on.",
    ),
    Reason.MEMBER_CONNECTED: Hint(
        "Switch the hot spare off at that receiver itself: hotspare disable. Only a dead one is removed or replaced."
    ),
    Reason.START_BEHIND: Hint(
        "Nothing needs to be done: a receiver whose disk was set back counts on by itself and attends again."
    ),
    Reason.EPOCH_STALE: Hint("The working receiver changed meanwhile: look at hotspare members and decide anew."),
    Reason.STREAM_SUPERSEDED: Hint("A newer stream took this one's place: end one of the two."),
    Reason.PULL_MISMATCH: Hint("The receiver opens its stream of alarms anew by itself: hotspare status."),
    Reason.STREAM_PROTOCOL: Hint("The two sides differ in their version: compare them with hotspare version."),
    Reason.TARGET_OFFLINE: Hint("Start that receiver, or name another one: hotspare members."),
    Reason.TARGET_UNHEALTHY: Hint(
        "Mend that receiver first, or name another one: hotspare members.",
        "Mend that receiver first ({problem}), or name another one: hotspare members.",
    ),
    Reason.TARGET_WORKING: Hint("Nothing needs to be done: it works already."),
    Reason.MOVE_RUNNING: Hint(
        "Wait until the move is done (hotspare members), then repeat.",
        "Wait until {to} works (hotspare members), then repeat.",
    ),
    Reason.NOT_PAUSED: Hint(
        "Nothing needs to be done: automatic moves are on, and nobody is pinned or held back: hotspare members."
    ),
    Reason.LEASE_ARITHMETIC: Hint(
        "Make the lease longer, or the beat and the waits shorter.",
        "This must hold: {arithmetic}. Make the lease longer, or the beat and the waits shorter.",
    ),
    Reason.FIELD_INVALID: Hint("Correct that value, and repeat.", "Correct {field}: {problem}."),
    Reason.FIELD_MASK_INVALID: Hint("The receiver's version differs: compare them with hotspare version."),
    Reason.ETAG_MISMATCH: Hint("Somebody changed it meanwhile: look at it again, and repeat."),
    Reason.PAGE_TOKEN_INVALID: Hint("The list changed or the receiver was restarted meanwhile: repeat the command."),
    Reason.RESOURCE_NOT_FOUND: Hint("Check the name: look for it in the list of its kind."),
    Reason.RESOURCE_EXISTS: Hint(
        "Choose another name, or delete that one first.",
        "Choose another name than {id}, or delete that {kind} first.",
    ),
    Reason.REFERENCE_MISSING: Hint("Create what it refers to first.", "Create the {kind} {id} first, then repeat."),
    Reason.RESOURCE_REFERENCED: Hint(
        "Delete what refers to it first, or take that along with --cascade.",
        "{count} others refer to it: delete them first, or take them along with --cascade.",
    ),
    Reason.IMPORT_INVALID: Hint("Correct the file; nothing of it was imported."),
    Reason.NOT_EDITABLE_HERE: Hint(
        "Repeat it on the host: hotspare members shows its address.",
        "Repeat it on the host {host_receiver_id}, with a token of that receiver: "
        "hotspare --server {host_address} --token-file FILE ….",
    ),
    Reason.REVISION_BEHIND: Hint(
        "Take the cloud's newer configuration over (hotspare backup restore), "
        "or replace it by this host's, knowingly (hotspare backup start-lineage)."
    ),
    Reason.REVISION_FORKED: Hint(
        "Take the cloud's configuration over (hotspare backup restore), "
        "or replace it by this host's, knowingly (hotspare backup start-lineage)."
    ),
    Reason.DIGEST_MISMATCH: Hint("The copy was damaged on its way and kept out; it is fetched again by itself."),
    Reason.CHUNK_INVALID: Hint("The two sides differ in their version: compare them with hotspare version."),
    Reason.VERSION_DIFFERS: Hint(
        "Bring this receiver to the host's version.", "Bring this receiver from {version} to {required}."
    ),
    Reason.REVISION_NOT_FOUND: Hint(
        "Name a revision that the cloud keeps: hotspare backup revisions.",
        "Name a revision from {oldest} to {newest}: hotspare backup revisions.",
    ),
    Reason.ROTATION_RUNNING: Hint(
        "Wait until the rotation of the ARC key has ended, or have the cloud's operator end it.",
        "Wait until the old ARC key ends ({old_key_expire_time}), or have the cloud's operator end it.",
    ),
    Reason.KEY_IN_USE: Hint(
        "Give every receiver the new ARC key first: hotspare settings set --arc-key-file FILE.",
        "Give the new ARC key to {receivers} first: hotspare settings set --arc-key-file FILE.",
    ),
    Reason.DEVICE_UNKNOWN: Hint("Create the device on the host first: hotspare device create."),
    Reason.ALARM_NOT_SET_ASIDE: Hint("Only alarms that were set aside can be sent again: hotspare alarm rejected."),
    Reason.DISK_LOW: Hint(
        "Free disk space at the server; then it takes alarms again by itself.",
        "Free disk space at the server ({free_bytes} bytes are left, {floor_bytes} needed); "
        "then it takes alarms again by itself.",
    ),
    Reason.INTAKE_FULL: Hint("Send more slowly, for example with --rate, and repeat it a little later."),
    Reason.DUAL_CONNECTION_OFF: Hint(
        "Publish to the cloud, or switch it on at the host: hotspare settings set --dual-connection on."
    ),
    Reason.OUTPUT_UNREACHABLE: Hint(
        "Check the ARC's software and the address of the output: hotspare output list.",
        "Check the ARC's software and the address of the output {output}: {problem}.",
    ),
    Reason.CLOUD_NOT_CONFIGURED: Hint(
        "Configure it: hotspare settings set --cloud-address HOST:PORT --arc-id ID --arc-key-file FILE."
    ),
    Reason.CLOUD_UNREACHABLE: Hint(
        "Check the network of that receiver and its cloud address; hotspare status tells what it last knew.",
        "Check the network of that receiver and its cloud address, {cloud_address}; "
        "hotspare status tells what it last knew.",
    ),
    Reason.SHUTTING_DOWN: Hint("The server is stopping: repeat the command when it runs again."),
    Reason.STORE_FAILED: Hint("Look at the disk and the log of the server; it has to be started again."),
    Reason.NOT_SERVED: Hint(
        "Is --server what you meant? `alarm send`, `account` and `operator` go to the cloud, all others to a receiver. "
        "Or a newer release is needed: hotspare version."
    ),
    Reason.INTERNAL: Hint(
        "This is a defect of the server: report it with what its log tells.",
        "This is a defect of the server: report it with what its log tells of the incident {incident}.",
    ),
}

THROUGH_RECEIVER: Mapping[str, str] = {
    Reason.INVALID_CREDENTIALS: (
        "Either your token is wrong for this receiver, or the receiver's ARC id and key are wrong for its cloud: "
        "hotspare settings set --arc-id ID --arc-key-file FILE."
    )
}
"""Hints for calls that a receiver passes on to its cloud: there two of them take credentials."""

AT_CLOUD: Mapping[str, str] = {
    Reason.INVALID_CREDENTIALS: (
        "Check the token file: it must be of this cloud, and not revoked. "
        "Who has its data folder finds the first one there, in operator.token."
    )
}
"""Hints for calls of a cloud's operator."""

_KEY = re.compile(r"\{(\w+)\}")
_COMMAND = "…."
_LONGEST_LINE = 4096
_ROLE = re.compile(r"\b(?:ROLE_)?(?:(HOST)|SPARE_([123]))\b")


def hint_for(reason: Reason, metadata: Mapping[str, str], words: Sequence[str] = ()) -> str:
    """What to do about an error with that reason; its metadata is put in where all of it is there.

    Where a hint tells to repeat the command elsewhere, `words` are that command's; they stand for its `…`.
    """
    hint = HINTS[reason]
    if hint.with_metadata and all(metadata.get(key) for key in keys(hint)):
        template = hint.with_metadata
        if words and template.endswith(_COMMAND):
            # Last, and without a full stop, so that the line can be taken as it stands.
            return f"{_filled(template.removesuffix(_COMMAND), metadata)}{printable(shlex.join(words), _LONGEST_LINE)}"
        return _filled(template, metadata)
    return hint.text


def _filled(template: str, metadata: Mapping[str, str]) -> str:
    return _KEY.sub(lambda match: _as_typed(metadata[match[1]]), template)


def keys(hint: Hint) -> list[str]:
    """The keys of the metadata that a hint uses."""
    return _KEY.findall(hint.with_metadata)


def _as_typed(value: str) -> str:
    """Roles as `--role` takes them, lists with blanks, and no second full stop."""
    value = re.sub(r",\s*", ", ", value)
    return _ROLE.sub(lambda match: "host" if match[1] else f"spare{match[2]}", value).rstrip(".")
