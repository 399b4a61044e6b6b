"""The lines of the story whose outputs stand on the pages docs/commands/*.md, in their order; see `cli_story`.

What stands in braces is the address of a server of the day, or the number of a revision.
"""

from dataclasses import dataclass
from enum import Enum, auto


@dataclass(frozen=True)
class Shot:
    """A line that is typed."""

    line: str
    of: str = ""
    """The words of the command on whose page it is shown; empty: it only has to happen."""
    status: int = 0
    lines: int = 40
    """Of a longer output so many lines are shown."""


class Wait(Enum):
    """What the story waits for, or what happens to it from outside."""

    ALPHA_WORKS = auto()
    IN_SYNC = auto()
    CONFIRMED = auto()
    REFUSE = auto()
    """The ARC's software refuses what it gets from now on."""
    SET_ASIDE = auto()
    """An alarm was set aside; the software takes alarms again."""
    GAMMA_GONE = auto()
    """The machine of gamma is gone for good."""


def _of(words: str, arguments: str = "", *, at: str = "", status: int = 0, lines: int = 40) -> Shot:
    before = f"--context {at} " if at else ""
    return Shot(f"hotspare {before}{words} {arguments}".rstrip(), words, status, lines)


_CLOUD = "--cloud-address {cloud} --arc-id north --arc-key-file north.key"

_CONTEXTS = (
    _of("completion", "fish"),
    _of("context add", "alpha --server {alpha} --token-file alpha.token"),
    _of("context add", "beta --server {beta} --token-file beta.token"),
    Shot("hotspare context add gamma --server {gamma} --token-file gamma.token"),
    Shot("hotspare context add cloud --server {cloud} --token-file cloud.token"),
    Shot("hotspare context add old --server {gamma}"),
    _of("context remove", "old"),
    _of("context use", "alpha"),
    _of("context list"),
    _of("context show"),
)
_ACCOUNTS = (
    _of("account create", "south --key-out south.key", at="cloud"),
    _of("account list", at="cloud"),
    _of("account add-sub-account", "north harbour", at="cloud"),
    _of("account show", "north", at="cloud"),
    _of("account rotate-key", "south --overlap 7d --key-out south-2.key", at="cloud"),
    _of("account end-rotation", "south --yes", at="cloud"),
    _of("operator create", "olga --role viewer --days 365 --out olga.token", at="cloud"),
    _of("operator list", at="cloud"),
    _of("operator revoke", "olga --yes", at="cloud"),
    _of("account show", "nowhere", at="cloud", status=5),
)
_SET_UP = (
    _of("enable", "--role host", status=1),
    _of("settings set", f"{_CLOUD} --name alpha --own-account 9001"),
    _of("settings show"),
    _of("output add", "arc --kind sia-dc09 --address {arc}"),
    _of("enable", "--role host"),
    Wait.ALPHA_WORKS,
    Shot(f"hotspare --context beta settings set {_CLOUD} --name beta"),
    Shot("hotspare --context beta output add arc --kind sia-dc09 --address {arc_beta}"),
    _of("enable", "--role host", at="beta", status=1),
    _of("enable", "--role spare1", at="beta"),
    Shot(f"hotspare --context gamma settings set {_CLOUD} --name gamma"),
    Shot("hotspare --context gamma output add arc --kind sia-dc09 --address {arc_beta}"),
    Shot("hotspare --context gamma enable --role spare2"),
)
_RECORDS = (
    _of("device create", "panel-1 --account 1234 --name School --key-out panel-1.key"),
    Shot("hotspare device create panel-2 --account 1235 --name Depot --key-out panel-2.key"),
    _of("device update", 'panel-2 --name "Old depot"'),
    _of("device list"),
    _of("device show", "panel-1"),
    _of("device show", "panel-7", status=5),
    _of("device rotate-key", "panel-2 --key-out panel-2-new.key --yes"),
    _of("device dc09", "panel-1 --on --key-file panel-1-aes.key"),
    _of("device dc09", "panel-1 --off --yes"),
    _of("partition create", 'panel-1/1 --name "Ground floor"'),
    Shot('hotspare partition create panel-1/2 --name "Cellar"'),
    _of("partition update", 'panel-1/2 --name "Basement"'),
    _of("partition list"),
    _of("partition show", "panel-1/1"),
    _of("partition delete", "panel-1/2 --yes"),
    _of("zone create", 'panel-1/5 --partition 1 --name "Front door"'),
    _of("zone create", "panel-7/1", status=1),
    Shot("hotspare zone create panel-1/6 --partition 1 --name Hall"),
    _of("zone update", 'panel-1/5 --name "Main entrance"'),
    _of("zone list", "--device panel-1"),
    _of("zone show", "panel-1/5"),
    _of("zone delete", "panel-1/6 --yes"),
    _of("channel create", "panel-1/1 --name Yard --url rtsp://10.0.0.30/1 --zone 5"),
    Shot("hotspare channel create panel-1/2 --name Gate --url rtsp://10.0.0.30/2"),
    _of("channel update", 'panel-1/2 --name "Back gate"'),
    _of("channel list"),
    _of("channel show", "panel-1/1"),
    _of("channel delete", "panel-1/2 --yes"),
    _of("user create", 'guard-12 --name "Guard 12" --phone 0123 --device panel-1:3:1 --device panel-2'),
    Shot('hotspare user create guard-13 --name "Guard 13"'),
    _of("user update", "guard-13 --phone 0124"),
    _of("user list"),
    _of("user show", "guard-12"),
    _of("user delete", "guard-13 --yes"),
    _of("event create", 'SIA-ZY --name "Cold room" --severity alarm'),
    _of("event update", '130 --name "Burglary at night"'),
    _of("event list", "--limit 5"),
    _of("event show", "130"),
    _of("event delete", "SIA-ZY --yes"),
    _of("event export", "events.csv"),
    _of("event import", "events.csv --dry-run"),
    _of("event import", "events.csv"),
    _of("device delete", "panel-1 --yes", status=1),
    _of("device delete", "panel-2 --cascade --yes"),
    Wait.IN_SYNC,
    _of("zone update", "panel-1/5 --name Door", at="beta", status=1),
)
_BACKUP = (
    # A revision of its own: edits that come quickly go to the cloud as one.
    Shot('hotspare zone update panel-1/5 --name "Main gate"'),
    Wait.IN_SYNC,
    _of("backup show"),
    _of("backup revisions", "--limit 3"),
    _of("backup diff", "{older} {newer}"),
    _of("backup restore", "{older} --yes"),
    _of("backup start-lineage", "--yes"),
    Wait.IN_SYNC,
)
_SEND = "--arc-id north --device panel-1 --key-file panel-1.key"
_ALARMS = (
    _of("output add", "console --kind stream --subscription console --best-effort"),
    Shot(f"hotspare --server {{cloud}} alarm send {_SEND} --code 1130 --partition 1 --zone 5 --count 3", "alarm send"),
    Wait.CONFIRMED,
    _of("alarm list"),
    _of("alarm show", "1"),
    _of("alarm show", "99", status=5),
    _of("alarm test", '--text "after the repair"'),
    _of("alarm tail", "console --limit 2"),
    Shot("hotspare group set --set-aside-after 1"),
    Wait.REFUSE,
    Shot(f"hotspare --server {{cloud}} alarm send {_SEND} --code 1110 --zone 7"),
    Wait.SET_ASIDE,
    _of("alarm rejected"),
    _of("alarm replay", "1", status=1),
    _of("alarm replay", "--all --yes"),
    Wait.CONFIRMED,
)
_OUTPUTS = (
    _of("output list"),
    _of("output test", "arc --account 1234"),
    _of("output pause", "console --yes"),
    _of("output resume", "console"),
    _of("output update", "arc --heartbeat 20s --line-number 2"),
    _of("output update", "main --heartbeat 20s", status=5),
    _of("output delete", "console", status=2),
    _of("output delete", "console --yes"),
)
_GROUP = (
    _of("status", lines=80),
    _of("doctor"),
    _of("members"),
    _of("group show"),
    _of("group set", "--failback-delay 30s"),
    _of("group set", "--lease 3s --beat 2s", status=1),
    _of("switchover", '--to spare1 --reason "new network card" --yes'),
    _of("switchover", "--to spare1 --yes", status=1),
    _of("history", "--limit 5"),
    _of("resume"),
    _of("pause", '--reason "work on the network" --yes'),
    Shot("hotspare resume"),
    _of("resume", status=1),
    _of("version check"),
    _of("upgrade plan"),
    _of("call", "RoleService/ListTransitions -d '{{\"page_size\": 1}}'"),
    _of("describe"),
    _of("describe", "RoleService/ListTransitions"),
)
_TOKENS = (
    _of("token create", "night-shift --role operator --days 90 --out night-shift.token"),
    _of("token list"),
    _of("token revoke", "night-shift --yes"),
)
_END = (
    Wait.GAMMA_GONE,
    _of("member remove", "spare1 --yes", status=1),
    _of("member remove", "spare2 --yes"),
    _of("disable", at="beta", status=2),
    _of("disable", "--yes", at="beta"),
)

STORY: tuple[Shot | Wait, ...] = (
    *_CONTEXTS,
    *_ACCOUNTS,
    *_SET_UP,
    *_RECORDS,
    *_BACKUP,
    *_ALARMS,
    *_OUTPUTS,
    *_GROUP,
    *_TOKENS,
    *_END,
)
