"""Which calls of the contract stand behind each command of `hotspare`, and why some have none.

Held together with the contract and the commands by tests/unit/test_cli_calls.py, and with what really happens by
tests/acceptance/test_cli_pages.py: each call of this table comes in at a server while the pages' outputs are made.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from hotspare_model.errors import Reason
from hotspare_model.kinds import KINDS
from tools.protos import ROOT

_R, _G, _C, _B = "ReceiverService", "RoleService", "ConfigurationService", "BackupService"
_F, _Q, _A, _V = "AlarmFeedService", "AlarmPullService", "AccountService", "VersionService"

_MEMBERS = f"{_G}/ListMembers"
_BY_HAND: Mapping[str, tuple[str, ...]] = {
    "status": (f"{_R}/GetStatus", f"{_R}/WatchStatus", _MEMBERS, f"{_G}/ListTransitions"),
    "doctor": (
        *(f"{_R}/GetStatus", f"{_R}/GetSettings", _MEMBERS),
        *(f"{_G}/GetGroupSettings", f"{_V}/CheckVersion"),
    ),
    "members": (f"{_G}/ListMembers",),
    "history": (f"{_G}/ListTransitions", _MEMBERS),
    "switchover": (f"{_G}/Switchover", _MEMBERS, f"{_G}/GetGroupSettings", f"{_G}/WatchMembers"),
    "pause": (f"{_G}/PauseFailover",),
    "resume": (f"{_G}/ResumeFailover", _MEMBERS),
    "group show": (f"{_G}/GetGroupSettings",),
    "group set": (f"{_G}/UpdateGroupSettings", f"{_G}/GetGroupSettings"),
    "settings show": (f"{_R}/GetSettings",),
    "settings set": (f"{_R}/UpdateSettings",),
    "output list": (f"{_R}/ListOutputs",),
    "output add": (f"{_R}/CreateOutput",),
    "output update": (f"{_R}/UpdateOutput", f"{_R}/ListOutputs"),
    "output test": (f"{_R}/TestOutput",),
    "output pause": (f"{_R}/PauseOutput",),
    "output resume": (f"{_R}/ResumeOutput",),
    "output delete": (f"{_R}/DeleteOutput",),
    "enable": (f"{_R}/EnableHotSpare",),
    "disable": (f"{_R}/DisableHotSpare",),
    "member remove": (f"{_G}/RemoveMember", _MEMBERS),
    "device rotate-key": (f"{_C}/RotateDeviceKey",),
    "device dc09": (f"{_C}/GetDevice", f"{_C}/UpdateDevice"),
    "event import": (f"{_C}/ImportEvents",),
    "event export": (f"{_C}/ExportEvents",),
    "backup show": (f"{_B}/GetBackup",),
    "backup revisions": (f"{_B}/ListBackupRevisions", _MEMBERS),
    "backup diff": (f"{_B}/DiffBackupRevisions",),
    "backup restore": (f"{_B}/RestoreBackup",),
    "backup start-lineage": (f"{_B}/StartLineage",),
    "alarm list": (f"{_F}/ListAlarms",),
    "alarm show": (f"{_F}/GetAlarm", f"{_Q}/GetQueuedAlarm"),
    "alarm rejected": (f"{_Q}/ListQueue",),
    "alarm replay": (f"{_Q}/ReplayAlarm", f"{_Q}/ListQueue", f"{_Q}/GetQueuedAlarm"),
    "alarm tail": (f"{_F}/StreamAlarms",),
    "alarm test": (f"{_F}/SendTestAlarm",),
    "alarm send": ("AlarmService/PublishAlarm",),
    "token list": (f"{_R}/ListTokens",),
    "token create": (f"{_R}/CreateToken",),
    "token revoke": (f"{_R}/RevokeToken",),
    "version check": (f"{_V}/CheckVersion",),
    "upgrade plan": (f"{_V}/CheckVersion", _MEMBERS),
    "account list": (f"{_A}/ListArcAccounts",),
    "account show": (f"{_A}/GetArcAccount",),
    "account create": (f"{_A}/CreateArcAccount",),
    "account add-sub-account": (f"{_A}/CreateSubAccount",),
    "account rotate-key": (f"{_A}/RotateArcKey",),
    "account end-rotation": (f"{_A}/EndArcKeyRotation",),
    "operator list": (f"{_A}/ListOperatorTokens",),
    "operator create": (f"{_A}/CreateOperatorToken",),
    "operator revoke": (f"{_A}/RevokeOperatorToken",),
}

WITHOUT_A_SERVER = (
    *("context add", "context list", "context show", "context use", "context remove"),
    "completion",
)
"""Commands that ask nobody."""
BY_REFLECTION = ("call", "describe")
"""Commands that reach whatever a server tells that it serves."""

_OWN = "Receivers and their cloud call it at each other by themselves"
_NOT_SERVED = "No server serves it yet"
WITHOUT_A_COMMAND: Mapping[str, str] = {
    "AlarmService/PublishAlarms": "For programs with many alarms; `alarm send` publishes by PublishAlarm",
    "AlarmService/Beat": "Devices call it by themselves",
    f"{_Q}/PullAlarms": _OWN,
    f"{_G}/Attend": _OWN,
    f"{_G}/JoinGroup": f"{_OWN}; `enable` starts it",
    f"{_G}/LeaveGroup": f"{_OWN}; `disable` starts it",
    f"{_B}/PushChanges": _OWN,
    "SyncService/PullChanges": _OWN,
    "SyncService/WatchBackup": _OWN,
    f"{_C}/GetDigest": "`backup show` tells the same digests",
    f"{_R}/ListAuditRecords": _NOT_SERVED,
    f"{_A}/ListOperatorAuditRecords": _NOT_SERVED,
}
"""Calls that need no command of their own, and why. `hotspare call` reaches those that are served all the same."""


@dataclass(frozen=True)
class Rpc:
    """What the contract's comments tell of a call."""

    name: str
    """`SERVICE/METHOD`."""
    callers: str
    reasons: tuple[Reason, ...]
    """For which it may be refused, beside those of every call."""
    like: str = ""
    """The call whose reasons are its own, too."""


@cache
def commands() -> dict[str, tuple[str, ...]]:
    """The calls of each command that asks a server; the one that it is about comes first."""
    whole = dict(_BY_HAND)
    verbs = {"list": "List{}", "show": "Get{}", "create": "Create{}", "update": "Update{}", "delete": "Delete{}"}
    for kind in KINDS:
        for verb, method in verbs.items():
            what = kind.plural_title if verb == "list" else kind.title
            whole[f"{kind.name} {verb}"] = (f"{_C}/{method.format(what)}",)
    return whole


@cache
def contract() -> dict[str, Rpc]:
    """Every call of the contract, read from the protos as they stand."""
    return {rpc.name: rpc for path in sorted((ROOT / "protos").rglob("*.proto")) for rpc in _calls(path.read_text())}


_RPC = re.compile(r"((?:^ +//.*\n)+)^  rpc (\w+)\(", re.MULTILINE)
_SERVICE = re.compile(r"^service (\w+) \{$(.*?)^\}$", re.MULTILINE | re.DOTALL)
_PART = re.compile(r"(Callers|Errors): (.*?)(?= (?:Callers|Errors|Deadline): |$)")


def _calls(proto: str) -> Iterator[Rpc]:
    for service, body in _SERVICE.findall(proto):
        for comment, method in _RPC.findall(body):
            text = " ".join(line.strip().removeprefix("//").strip() for line in comment.strip().splitlines())
            parts = dict(_PART.findall(text))
            found = re.findall(r"\b[A-Z][A-Z_]+[A-Z]\b", parts.get("Errors", ""))
            reasons = tuple(dict.fromkeys(Reason(word) for word in found if word in Reason.__members__))
            like = re.search(r"those of (\w+)\.(\w+)", parts.get("Errors", ""))
            yield Rpc(f"{service}/{method}", parts.get("Callers", ""), reasons, f"{like[1]}/{like[2]}" if like else "")


def reasons_of(name: str) -> tuple[Reason, ...]:
    """For which this call may be refused, with those of the call that it is told to be like."""
    rpc = contract()[name]
    return (*(contract()[rpc.like].reasons if rpc.like else ()), *rpc.reasons)


_RANKS = ("viewer", "operator", "admin")


def needed_role(calls: tuple[str, ...]) -> str:
    """The lowest role of a token that may make all of these calls of a command, in words."""
    known = contract()
    texts = [known[name].callers for name in calls]
    if calls[0].startswith("AlarmService/"):
        return "no token: the key of the device"
    if texts[0].startswith("everyone"):
        return "no token; with one of the role viewer it tells of the group, too"
    roles = [_role(text) for text in texts if not text.startswith("everyone")]
    whose = "a token of the cloud" if calls[0].startswith(_A) else "a token of the receiver"
    feed = ", or feed with that subscription" if texts[0].startswith("feed") else ""
    return f"{whose}, of the role {max(roles, key=_RANKS.index)} or higher{feed}"


def _role(callers: str) -> str:
    """What an operator needs for it: told for receivers apart where others may call it, too."""
    for mark in ("at a receiver: ", "at the host: "):
        if mark in callers:
            callers = callers.partition(mark)[2]
    found = re.search(r"\b(viewer|operator|admin)\b", callers)
    assert found is not None, callers
    return found[1]
