"""What every output is to the alarm path, whatever it speaks, and how the path comes by one."""

from collections.abc import Callable
from typing import Protocol, TypeAlias

from hotspare_model.alarm import StoredAlarm
from hotspare_receiver.clock import Clock
from hotspare_receiver.core.health import OutputFacts
from hotspare_receiver.core.lease import LeaseGuard
from hotspare_receiver.outputs.sender import Source
from hotspare_receiver.outputs.trial import Trial
from hotspare_receiver.snapshot import OutputConfig, OutputSnapshot


class Path(Source, Protocol):
    """The alarm path, as an output sees it."""

    @property
    def scope(self) -> str:
        """The group whose alarms come; numbers mean nothing outside of it."""

    @property
    def guard(self) -> LeaseGuard:
        """Whether this receiver works, and under which epoch."""


class AnyOutput(Protocol):
    """An output: one that keeps a link of its own, or a subscription that others open."""

    config: OutputConfig

    @property
    def last_write(self) -> float:
        """When something was written last, by the monotonic clock; -inf before."""

    def snapshot(self) -> OutputSnapshot:
        """How it is."""

    def facts(self, patience: float) -> OutputFacts:
        """What its health is judged by. `patience`: the group's `unhealthy_after`, in seconds."""

    def open(self) -> None:
        """Have the link open from now on, unless an operator paused the output."""

    def changed(self, config: OutputConfig) -> bool:
        """Take another configuration over, if it stays the same output. Returns whether it did."""

    def kick(self) -> None:
        """Something may have become sendable, or the lease is another."""

    def lease_ended(self) -> None:
        """What has not left this machine by now must not leave it later (timing 1)."""

    def reset(self) -> None:
        """Have nothing in flight any more: what has not left this machine never will."""

    def close(self) -> None:
        """End for good, whatever is in flight."""

    def try_out(self, stored: StoredAlarm) -> Trial:
        """Send a test alarm. Raises ValueError when it fits no message, ConnectionError when nobody is there."""


OutputMaker: TypeAlias = Callable[[OutputConfig, Path, Clock], AnyOutput]
"""Makes an output of its configuration."""
