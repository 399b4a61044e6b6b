"""What the group's configuration says about alarms on their way to the ARC: a frozen picture of it, without I/O.

Which alarms are withheld, that is kept and confirmed, and not sent:

1. Those of a disabled device, and those whose code the group defines as not forwarded; a code's end goes as its
   beginning does, for an ARC that gets one of both alone has an alarm that never ends, or an end of nothing.
2. One that an operator sends again on purpose is sent.
3. What is not known goes out: an unknown device, an unknown code, a copy that is not there yet.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from hotspare_model.code_translation import CATALOGUE_ALONE, CodeBook
from hotspare_receiver.core.forwarder import Delivered


@dataclass(frozen=True, slots=True)
class GroupView:
    """The definitions and devices of the group, as far as alarms are concerned."""

    codes: CodeBook = CATALOGUE_ALONE
    lines: Mapping[str, str] = field(default_factory=dict)
    """Line number on the wire by device, upper case hex, of the devices that have one."""
    disabled: Set[str] = frozenset()
    """Devices that are known to be switched off."""

    def withheld(self, delivered: Delivered) -> str:
        """Why an alarm is not sent, in words. Empty: it is sent."""
        alarm = delivered.stored.alarm
        if delivered.replay:
            return ""
        if alarm.device_id in self.disabled:
            return f"not forwarded: the device {alarm.device_id} is disabled"
        definition = self.codes.definition_of(alarm)
        if definition is None or definition.forwarded:
            return ""
        return f"not forwarded: the event {definition.event_id} is defined so"

    def line_of(self, device_id: str) -> str:
        """The line number on the wire for a device. Empty: the output's own."""
        return self.lines.get(device_id, "")


NOTHING_KNOWN = GroupView()
"""Without a configuration: all goes out, by the catalogue."""
