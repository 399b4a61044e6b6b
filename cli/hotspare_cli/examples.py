"""Examples behind `--help`, for each command; a test reads each as the command line would.

A command that has an epilog of its own keeps it.
"""

from collections.abc import Mapping

import click

EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "status": ("", "--watch", "--exit-code > /dev/null || echo somebody has to act", "-o json"),
    "doctor": ("", "-o json"),
    "members": ("", "--watch", "-o json"),
    "history": ("--since 24h", "--since 2026-11-22T16:00:00Z --until 2026-11-22T18:00:00Z", "--limit 10"),
    "switchover": ('--to spare1 --reason "new network card"', "--to host --no-wait --yes"),
    "pause": ('--reason "the network is being rebuilt"',),
    "resume": ("",),
    "group show": ("",),
    "group set": ("--failback-delay 30s", "--lease 10s --beat 1s"),
    "settings show": ("",),
    "settings set": (
        "--cloud-address cloud.example.org:7443 --arc-id north --arc-key-file north.key",
        "--name alpha --own-account 9001",
    ),
    "output list": ("", "--watch"),
    "output add": (
        "arc --kind sia-dc09 --address 10.0.0.7:5000 --address 10.0.0.8:5000",
        "old --kind surgard --address 10.0.0.7:1025 --best-effort",
        "automation --kind stream --subscription automation",
    ),
    "output update": ("arc --address 10.0.0.9:5000", "arc --key-file arc-aes.key"),
    "output test": ("arc", "arc --account 1234"),
    "output pause": ("arc",),
    "output resume": ("arc",),
    "output delete": ("old",),
    "enable": ("--role host", "--role spare1", "--role host --promote"),
    "disable": ("", "--yes"),
    "member remove": ("spare2", "2f0c8d57-6e1b-4d0f-8a55-c04b7d9e3318 --force"),
    "device rotate-key": ("panel-1 --key-out panel-1.key",),
    "device dc09": ("panel-1", "panel-1 --on --key-file panel-1-aes.key", "panel-1 --time-window off", "panel-1 --off"),
    "event import": ("events.csv --dry-run", "events.csv"),
    "event export": ("events.csv",),
    "backup show": ("", "--cloud"),
    "backup revisions": ("--limit 10",),
    "backup diff": ("40 41", "40 41 --kind device"),
    "backup restore": ("40", ""),
    "backup start-lineage": ("",),
    "alarm list": ("--limit 20", "--device panel-1", "--state set-aside"),
    "alarm show": ("12",),
    "alarm rejected": ("",),
    "alarm replay": ("12", "--all", "--all --device panel-1 --yes"),
    "alarm test": ("", '--text "after the repair"'),
    "alarm tail": ("console", "console --limit 10 -o json"),
    "alarm send": ("--arc-id north --device panel-1 --key-file panel-1.key --code 1130 --partition 1 --zone 5",),
    "token list": ("",),
    "token create": ("night-shift --role operator --days 90 --out night-shift.token",),
    "token revoke": ("night-shift",),
    "version check": ("",),
    "upgrade plan": ("",),
    "account list": ("",),
    "account show": ("north",),
    "account create": ("south --key-out south.key",),
    "account add-sub-account": ("north harbour",),
    "account rotate-key": ("north --overlap 7d --key-out north-2.key",),
    "account end-rotation": ("north",),
    "operator list": ("",),
    "operator create": ("olga --role viewer --days 365 --out olga.token",),
    "operator revoke": ("olga",),
    "call": (
        "ReceiverService/GetStatus",
        "RoleService/WatchMembers --limit 3",
        "AlarmFeedService/ListAlarms -d '{\"page_size\": 5}'",
        "ReceiverService/UpdateSettings -d @settings.json",
    ),
    "describe": ("", "RoleService", "RoleService/Switchover", "Member"),
    "context add": ("alpha --server 10.0.0.1:7001 --token-file alpha.token --tls-ca ca.pem",),
    "context list": ("",),
    "context show": ("", "alpha"),
    "context use": ("alpha",),
    "context remove": ("alpha",),
    "completion": (
        "bash > ~/.local/share/bash-completion/completions/hotspare",
        "zsh > ~/.zfunc/_hotspare",
        "fish > ~/.config/fish/completions/hotspare.fish",
    ),
}
"""By the words of a command, what may stand behind them; those of the six kinds of records are below."""

_RECORDS: Mapping[str, tuple[str, str]] = {
    "device": ("panel-1", '--account 1234 --name "School"'),
    "partition": ("panel-1/1", '--name "Ground floor"'),
    "zone": ("panel-1/5", '--partition 1 --name "Front door"'),
    "channel": ("panel-1/1", '--name "Yard" --url rtsp://10.0.0.30/1'),
    "user": ("anna", '--name "Anna" --phone +4930123456'),
    "event": ("130", '--name "Burglary" --severity alarm'),
}


def all_examples() -> dict[str, tuple[str, ...]]:
    """What may stand behind the words of each command."""
    whole = dict(EXAMPLES)
    for kind, (record, values) in _RECORDS.items():
        whole[f"{kind} list"] = ("", "--limit 20")
        whole[f"{kind} show"] = (record,)
        whole[f"{kind} create"] = (f"{record} {values}",)
        whole[f"{kind} update"] = (f"{record} {values.partition(' --')[0]}",)
        whole[f"{kind} delete"] = (record,)
    return whole


def attach(root: click.Group) -> None:
    """Put the examples behind the help of each command."""
    for words, behind in all_examples().items():
        command: click.Command | None = root
        for word in words.split():
            command = command.commands.get(word) if isinstance(command, click.Group) else None
        if command is not None and command.epilog is None:
            lines = "\n".join(f"  hotspare {words} {rest}".rstrip() for rest in behind)
            command.epilog = f"\b\n{'Examples' if len(behind) > 1 else 'Example'}:\n{lines}"
