"""What operators want of a group (F8): switchover, pause, resume, settings. Each wish stands in the history."""

import hashlib
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hotspare_cloud.clock import boottime
from hotspare_cloud.core.operators import check_resume, check_switch
from hotspare_cloud.core.state import Kind, Note, Pause, Paused, Pin, Resumed, SettingsChanged, Switched
from hotspare_cloud.finish import finished
from hotspare_cloud.group import Group
from hotspare_cloud.history import note_line
from hotspare_model.errors import HotspareError, Reason
from hotspare_model.group import GroupSettings, Role, updated
from hotspare_rpc.logs import log_event

WISH_REMEMBERED = 86_400.0
"""Seconds for which the same `request_id` is the same wish."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wish:
    """Who wants it, why, and by which id the same wish is known again (empty: by none)."""

    operator: str
    detail: str = ""
    request_id: str = ""


@finished
async def switch(group: Group, target: str | Role, wish: Wish, expected_epoch: int | None) -> None:
    """Begin to hand the work over to a receiver (its id, or its role), which is pinned from now on.

    Raises:
        HotspareError: EPOCH_STALE, MEMBER_NOT_FOUND, TARGET_WORKING, MOVE_RUNNING, TARGET_OFFLINE, TARGET_UNHEALTHY.
    """
    async with group.lock:
        since = time.time() - WISH_REMEMBERED
        if wish.request_id and await group.store.is_done(group.row.group_id, wish.request_id, since):
            return
        receiver_id = ""
        try:
            receiver_id = _receiver_of(group, target)
            check_switch(group.state, receiver_id, boottime(), expected_epoch=expected_epoch)
        except HotspareError as refused:
            await _note_refused(group, receiver_id, f"switchover refused: {refused.message}", wish)
            raise
        pin = Pin(receiver_id, wish.operator, time.time(), wish.detail)
        _log_wish("switchover_asked", group, wish, receiver=receiver_id)
        await group.step(Switched(pin), request_id=wish.request_id)


def _receiver_of(group: Group, target: str | Role) -> str:
    if isinstance(target, str):
        return target
    for member in group.members.values():
        if member.role is target:
            return member.receiver_id
    raise HotspareError(Reason.MEMBER_NOT_FOUND, f"nobody has the role {target.name}", role=target.name)


@finished
async def pause(group: Group, wish: Wish) -> None:
    """Pause automatic moves. A pause that stands is kept as it is."""
    async with group.lock:
        if group.state.pause is None:
            _log_wish("failover_paused", group, wish)
            await group.step(Paused(Pause(wish.operator, time.time(), wish.detail)))


@finished
async def resume(group: Group, wish: Wish) -> None:
    """End a pause, a pin, and what was held back. Raises HotspareError NOT_PAUSED."""
    async with group.lock:
        try:
            check_resume(group.state)
        except HotspareError as refused:
            await _note_refused(group, "", f"resume refused: {refused.message}", wish)
            raise
        _log_wish("failover_resumed", group, wish)
        await group.step(Resumed(wish.operator, wish.detail))


@finished
async def change_settings(group: Group, changes: Mapping[str, object], etag: str, wish: Wish) -> GroupSettings:
    """Change settings of the group, and return them as they are then.

    Raises:
        HotspareError: LEASE_ARITHMETIC, FIELD_INVALID, ETAG_MISMATCH.
    """
    async with group.lock:
        before = group.state.settings
        try:
            settings = updated(before, **changes)
            if settings == before:
                return before
            if etag and etag != etag_of(before):
                raise HotspareError(
                    Reason.ETAG_MISMATCH,
                    "the settings were changed since they were read: read them again and repeat",
                    etag=etag_of(before),
                )
        except HotspareError as refused:
            await _note_refused(group, "", f"settings refused: {refused.message}", wish)
            raise
        changed = [name for name in sorted(changes) if getattr(before, name) != getattr(settings, name)]
        detail = ", ".join(f"{name} {_shown(before, name)} -> {_shown(settings, name)}" for name in changed)
        _log_wish("settings_changed", group, wish, changes=detail)
        note = note_line(Note(Kind.SETTINGS_CHANGED, detail=detail, operator=wish.operator), group.members)
        await group.step(SettingsChanged(settings), lines=[note])
        return settings


def etag_of(settings: GroupSettings) -> str:
    """Changes with every change of the settings."""
    text = json.dumps(asdict(settings), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


async def _note_refused(group: Group, receiver_id: str, detail: str, wish: Wish) -> None:
    note = Note(Kind.REFUSED, receiver_id if receiver_id in group.members else "", detail, wish.operator)
    _log_wish("wish_refused", group, wish, problem=detail)
    await group.store.add_lines(group.row.group_id, [note_line(note, group.members)])


def _log_wish(event: str, group: Group, wish: Wish, **more: Any) -> None:
    log_event(_log, logging.WARNING, event, **group.name(), operator=wish.operator, detail=wish.detail or None, **more)


def _shown(settings: GroupSettings, name: str) -> str:
    value = getattr(settings, name)
    return f"{value.total_seconds():g}s" if hasattr(value, "total_seconds") else str(value)
