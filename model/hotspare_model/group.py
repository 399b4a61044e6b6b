"""Words of the group: roles, status, and the settings that concern all of its members."""

from dataclasses import dataclass, fields, replace
from datetime import timedelta
from enum import Enum, IntEnum

from hotspare_model.contact_id import is_event_code
from hotspare_model.errors import field_invalid
from hotspare_model.lease import LeaseTerms, check_terms, holder_lease


class Role(IntEnum):
    """What an operator configured. The order is the order in which receivers take over (F1)."""

    HOST = 1
    SPARE_1 = 2
    SPARE_2 = 3
    SPARE_3 = 4


class MemberStatus(Enum):
    """What is so now."""

    WORKING = "working"
    STANDBY = "standby"
    OFFLINE = "offline"


SPARE_ROLES = (Role.SPARE_1, Role.SPARE_2, Role.SPARE_3)

SILENCE_LIMIT = timedelta(seconds=1.5)
"""Nothing new is delivered to a holder that has been silent for so long: its beats have stopped, it may be gone."""


@dataclass(frozen=True, slots=True)
class GroupSettings:
    """Settings of a group. Spans are timedeltas; ranges and defaults are those of docs/rules.md, "Settings"."""

    lease: timedelta = timedelta(seconds=6)
    beat: timedelta = timedelta(seconds=1)
    reconnect_grace: timedelta = timedelta(seconds=1)
    suspect_after: timedelta = timedelta(seconds=3)
    restart_grace: timedelta = timedelta(seconds=3)
    unhealthy_after: timedelta = timedelta(seconds=10)
    failback_delay: timedelta = timedelta(seconds=10)
    drain_timeout: timedelta = timedelta(seconds=5)
    losses_per_hour: int = 4
    window: int = 256
    sync_interval: timedelta = timedelta(seconds=60)
    set_aside_after: int = 5
    takeover_event_code: str = "399"
    revision_max_age: timedelta = timedelta(days=90)
    revision_max_count: int = 100

    @property
    def holder_lease(self) -> timedelta:
        """T_holder: how long a grant is valid, from the holder's clock before it sent the beat."""
        return holder_lease(self.lease)

    def checked(self) -> "GroupSettings":
        """These settings, when every range and the inequality of the leases hold.

        Raises:
            HotspareError: FIELD_INVALID or LEASE_ARITHMETIC.
        """
        # First, for it tells more than the range does: with its numbers.
        check_terms(LeaseTerms(cloud=self.lease, holder=self.holder_lease))
        second = timedelta(seconds=1)
        spans = {
            "lease": (2 * second, 60 * second),
            "beat": (self.lease / 12, self.lease / 5),
            "reconnect_grace": (0.2 * second, self.lease),
            "suspect_after": (2 * self.beat, self.lease),
            "restart_grace": (second, self.lease),
            "unhealthy_after": (second, 300 * second),
            "failback_delay": (0 * second, 3600 * second),
            "drain_timeout": (second, 60 * second),
            "sync_interval": (5 * second, 3600 * second),
            "revision_max_age": (timedelta(days=1), timedelta(days=3650)),
        }
        numbers = {
            "losses_per_hour": (1, 100),
            "window": (1, 10_000),
            "set_aside_after": (1, 100),
            "revision_max_count": (1, 10_000),
        }
        for name, (least, most) in spans.items():
            if not least <= getattr(self, name) <= most:
                raise field_invalid(name, f"must be from {least.total_seconds():g} s to {most.total_seconds():g} s")
        for name, (fewest, greatest) in numbers.items():
            if not fewest <= getattr(self, name) <= greatest:
                raise field_invalid(name, f"must be from {fewest} to {greatest}")
        if not is_event_code(self.takeover_event_code):
            raise field_invalid("takeover_event_code", "must be a Contact ID code: three of 0-9 and B-F")
        return self


SETTING_NAMES = tuple(field.name for field in fields(GroupSettings))


def updated(settings: GroupSettings, **changes: object) -> GroupSettings:
    """The settings with some changed, checked."""
    return replace(settings, **changes).checked()  # type: ignore[arg-type]
