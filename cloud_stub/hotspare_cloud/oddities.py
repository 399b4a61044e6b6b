"""What is odd about those who call, for the history, where an operator looks for it: each process stands there once."""

import logging
from typing import TYPE_CHECKING

from hotspare_cloud.core.admission import Membership
from hotspare_cloud.core.state import Beat, Kind, Note
from hotspare_cloud.history import note_line
from hotspare_model.errors import HotspareError, Reason
from hotspare_rpc.logs import log_event

if TYPE_CHECKING:
    from hotspare_cloud.group import Group

KEPT = 256
"""So many processes are remembered; one that is forgotten, and tries again, is written down again."""

_log = logging.getLogger(__name__)


class Oddities:
    """Of one group."""

    def __init__(self, group: "Group") -> None:
        self._group = group
        self._known: dict[str, None] = {}

    async def refused(self, member: Membership, refused: HotspareError) -> None:
        """A process may not attend: where it is a second one with the id of a member, say so."""
        if refused.reason in (Reason.MACHINE_MISMATCH, Reason.INCARNATION_SUPERSEDED):
            detail = f"a second process with the id of {member.name} was refused: {refused.message}"
            await self._note(member.incarnation, Note(Kind.DUPLICATE_REFUSED, member.receiver_id, detail))

    async def look_at_epoch(self, beat: Beat) -> None:
        """Count a beat under an epoch that is not its sender's; one that was never given out is written down."""
        state = self._group.state
        holder = state.holder
        own = holder is not None and (beat.epoch, beat.incarnation) == (state.epoch, holder.incarnation)
        if beat.epoch == 0 or own:
            return
        self._group.tally.stale += 1
        if beat.epoch > max(state.epoch, state.floor):
            detail = f"it beats under epoch {beat.epoch}, which was never given out: its beats renew nothing"
            await self._note(f"{beat.incarnation} epoch", Note(Kind.REFUSED, beat.receiver_id, detail))

    async def hears_nothing(self, beat: Beat) -> None:
        """Beats show that their sender does not hear us: a line cut one way, or a client that echoes nothing."""
        detail = "its beats arrive, and show that it does not hear the cloud: they renew nothing"
        await self._note(f"{beat.incarnation} echo", Note(Kind.REFUSED, beat.receiver_id, detail))

    async def _note(self, who: str, note: Note) -> None:
        if who in self._known:
            return
        self._known[who] = None
        if len(self._known) > KEPT:
            self._known.pop(next(iter(self._known)))
        group = self._group
        log_event(
            _log,
            logging.WARNING,
            note.kind.value.lower(),
            **group.name(),
            receiver=note.receiver_id,
            problem=note.detail,
        )
        await group.store.add_lines(group.row.group_id, [note_line(note, group.members)])
