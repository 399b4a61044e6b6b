"""A forwarder, and what goes in and out of it, for its tests."""

from collections.abc import Iterable
from datetime import UTC, datetime

from hotspare_model.alarm import Alarm, AlarmPath, CodeFormat, StoredAlarm
from hotspare_model.contact_id import Qualifier
from hotspare_receiver.core.backoff import Backoff
from hotspare_receiver.core.forwarder import Delivered, Forwarder, Outcome, Taken

EPOCH = 3
OUT = "arc"
MORNING = datetime(2026, 5, 4, 6, 0, tzinfo=UTC)


def alarm(number: int, device: str = "panel", *, epoch: int = EPOCH) -> Delivered:
    """An alarm of its device."""
    what = Alarm(f"id-{number}", device, Qualifier.NEW, CodeFormat.CONTACT_ID, "130", 1, 1, MORNING, "")
    stored = StoredAlarm(number, what, "1234", number, MORNING, (), AlarmPath.CLOUD)
    return Delivered(stored, epoch, attempt=1, replay=False, raw=b"")


def alarms(*numbers: int, device: str = "panel") -> list[Delivered]:
    """Several of one device."""
    return [alarm(number, device) for number in numbers]


def working(**outputs: bool) -> Forwarder:
    """One whose outputs these are, by name and whether they are required."""
    forwarder = Forwarder(Backoff(first=1.0, longest=4.0))
    forwarder.set_outputs(outputs or {OUT: True})
    forwarder.begin(EPOCH)
    return forwarder


def deliver(forwarder: Forwarder, *delivered: Delivered, known: Iterable[int] = (), now: float = 0.0) -> Taken:
    """Deliver these."""
    return forwarder.deliver(delivered, set(known), now)


def send(forwarder: Forwarder, output: str = OUT, now: float = 0.0) -> Delivered:
    """Send what is due; it must be something."""
    sending = forwarder.take(output, now)
    assert sending is not None, "nothing is due"
    return sending.delivered


def number_sent(forwarder: Forwarder, output: str = OUT, now: float = 0.0) -> int | None:
    """Send what is due; its number."""
    sending = forwarder.take(output, now)
    return sending.delivered.number if sending is not None else None


def finish(
    forwarder: Forwarder, delivered: Delivered, outcome: Outcome, output: str = OUT, now: float = 0.0
) -> int | None:
    """End an attempt; the number of what that confirms."""
    confirmed = forwarder.finished(output, delivered, outcome, now)
    return confirmed.number if confirmed is not None else None
