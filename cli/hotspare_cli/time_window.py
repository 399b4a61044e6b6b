"""`40s,20s` or `off`, and `HOST:PORT` or `none`, on the command line: the listener for DC-09 panels."""

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from hotspare_rpc.address import Address, AddressError, parse_address
from hotspare_rpc.spans import parse_span

if TYPE_CHECKING:
    from hotspare.v1.record_pb2 import Dc09TimeWindow

    # Generic for the checker; not yet so in every release of click that we allow.
    _WindowParam = click.ParamType["TimeWindow"]
    _AddressParam = click.ParamType["Address | None"]
else:
    _WindowParam = click.ParamType
    _AddressParam = click.ParamType

NOWHERE = Address("", 0)
"""Stands for `none`, which differs from an option that was not given."""


@dataclass(frozen=True)
class TimeWindow:
    """A time window of DC-09 frames; None: any time is taken."""

    past: timedelta | None
    future: timedelta | None

    def message(self) -> "Dc09TimeWindow":
        """As a request carries it."""
        from hotspare.v1.record_pb2 import Dc09TimeWindow

        window = Dc09TimeWindow(off=self.past is None)
        if self.past is not None and self.future is not None:
            window.past.FromTimedelta(self.past)
            window.future.FromTimedelta(self.future)
        return window


class TimeWindowType(_WindowParam):
    """Two spans with a comma between, or `off`."""

    name = "PAST,FUTURE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> TimeWindow:
        """Read the text; click shows the message of the error."""
        if isinstance(value, TimeWindow):
            return value
        text = str(value).strip()
        if text == "off":
            return TimeWindow(None, None)
        past, comma, future = text.partition(",")
        if not comma:
            self.fail(f"{text!r} is no time window: give two spans, such as 40s,20s, or off.", param, ctx)
        try:
            return TimeWindow(parse_span(past), parse_span(future))
        except ValueError as problem:
            self.fail(f"{problem}.", param, ctx)


class AddressOrNoneType(_AddressParam):
    """A `HOST:PORT`, or `none`."""

    name = "HOST:PORT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        """Read the text; click shows the message of the error."""
        if isinstance(value, Address):
            return value
        if str(value) == "none":
            return NOWHERE
        try:
            return parse_address(str(value))
        except AddressError as problem:
            self.fail(str(problem), param, ctx)


def listen_text(address: Address | None) -> str | None:
    """The address as the setting has it: empty for nowhere. None: the option was not given."""
    if address is None:
        return None
    return "" if address == NOWHERE else str(address)


TIME_WINDOW = TimeWindowType()
ADDRESS_OR_NONE = AddressOrNoneType()
