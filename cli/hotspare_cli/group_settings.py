"""The settings of a group: how the command line spells them, and what each of them is."""

from dataclasses import dataclass
from typing import Any

import click

from hotspare_rpc.spans import SPAN


@dataclass(frozen=True)
class Setting:
    """One field of GroupSettings."""

    field: str
    """Its name in the contract."""
    about: str
    """What it is, for people."""
    limits: str
    """From what to what."""
    kind: "click.ParamType[Any]" = SPAN
    metavar: str = "SPAN"

    @property
    def option(self) -> str:
        """Its option: `--failback-delay`."""
        return f"--{self.field.replace('_', '-')}"

    @property
    def help(self) -> str:
        """What `--help` tells of it; click adds the limits of counts by itself."""
        return f"{self.about}." if isinstance(self.kind, click.IntRange) else f"{self.about}; {self.limits}."


def _count(field: str, about: str, greatest: int) -> Setting:
    return Setting(field, about, f"1 to {greatest:,}", click.IntRange(1, greatest), "N")


SETTINGS: tuple[Setting, ...] = (
    Setting("lease", "How long a beat counts as a sign of life at the cloud", "2s to 60s"),
    Setting("beat", "How often a receiver beats", "lease / 12 to lease / 5"),
    Setting("reconnect_grace", "How long one whose stream ended may take to come back", "200ms to lease"),
    Setting("suspect_after", "After which silence the working one is lost", "2 beats to lease"),
    Setting("restart_grace", "How long the cloud suspects nobody after its restart", "1s to lease"),
    Setting("unhealthy_after", "How long a required output may be down", "1s to 5m"),
    Setting("failback_delay", "How long one of higher order must be back before it works again", "0s to 1h"),
    Setting("drain_timeout", "How long a hand-over may take before it goes on as a loss", "1s to 1m"),
    _count("losses_per_hour", "Losses in an hour after which a receiver fails back no more", 100),
    _count("window", "How many alarms are delivered and not confirmed, at most", 10_000),
    Setting("sync_interval", "How often a spare asks for changes in any case", "5s to 1h"),
    _count("set_aside_after", "Refusals by an output after which an alarm is set aside", 100),
    Setting(
        "takeover_event_code",
        "Contact ID code of the event that tells the ARC of a take-over or return",
        "three of 0-9 and B-F",
        click.STRING,
        "EEE",
    ),
    Setting("revision_max_age", "How long older revisions of the configuration are kept", "1d to 3650d"),
    _count("revision_max_count", "How many older revisions are kept at most", 10_000),
)
