"""What the group's configuration keeps from the ARC: decided here, journalled, confirmed to the cloud (A4).

An alarm that is not sent is lost to the people at the ARC, and one too many is noise. So it is kept from them only
while it is certain that the group wants that: this receiver works (another one may know better by now), and its copy of
the configuration counts as the group's. In doubt an alarm goes out; one that still waits when the doubt ends does not.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from hotspare_receiver.core.forwarder import Delivered, Forwarder
from hotspare_receiver.core.group_view import NOTHING_KNOWN, GroupView
from hotspare_receiver.journal import Journal


class Withholding:
    """Decides for one forwarder."""

    def __init__(
        self,
        forwarder: Forwarder,
        journal: Journal,
        *,
        decides: Callable[[], bool],
        copy_counts: Callable[[], bool],
        on_withheld: Callable[[int], None],
    ) -> None:
        """`decides`: whether this receiver works. `copy_counts`: whether its copy is known to be the group's.

        `on_withheld`: so many alarms more are through without being sent.
        """
        self._forwarder = forwarder
        self._journal = journal
        self._decides = decides
        self._copy_counts = copy_counts
        self._on_withheld = on_withheld
        self.group = NOTHING_KNOWN
        self.doubted = False
        """Whether something was not withheld for want of certainty."""

    @property
    def certain(self) -> GroupView:
        """What the configuration keeps from the ARC as far as the copy counts, be it without a lease (D4)."""
        return self.group if self._copy_counts() else NOTHING_KNOWN

    def reasons(self, alarms: Iterable[Delivered]) -> Mapping[int, str]:
        """Which of these are not to be sent, by number, and why."""
        found = {delivered.number: why for delivered in alarms if (why := self.group.withheld(delivered))}
        if found and not (self._decides() and self._copy_counts()):
            self.doubted = True
            return {}
        return found

    def withhold(self, scope: str, alarms: Iterable[Delivered]) -> bool:
        """Of alarms that wait: have those through that are not to be sent. Returns whether there were any."""
        reasons = self.reasons(alarms)
        through = self._forwarder.withhold(reasons)
        self.confirm(scope, through, reasons)
        return bool(through)

    def reconsider(self, scope: str) -> bool:
        """The same for all that wait, after a change of the configuration, or where doubt may have ended."""
        self.doubted = False
        return self.withhold(scope, self._forwarder.waiting())

    def confirm(self, scope: str, alarms: Sequence[Delivered], reasons: Mapping[int, str]) -> None:
        """Confirm alarms that are through without being sent, and have the history tell why."""
        if alarms:
            self._on_withheld(len(alarms))
            self._journal.note_not_forwarded(scope, [(delivered, reasons[delivered.number]) for delivered in alarms])
            self._journal.confirm(scope, alarms)
