"""The subscriptions of this receiver by name, and what comes of an acknowledgement that comes late."""

import logging
from collections.abc import Callable, Sequence

from hotspare.v1 import alarm_pb2
from hotspare_model.errors import HotspareError, Reason
from hotspare_receiver.clock import Clock
from hotspare_receiver.core.forwarder import Delivered
from hotspare_receiver.journal import Journal
from hotspare_receiver.outputs.making import AnyOutput, Path
from hotspare_receiver.outputs.sender import Output
from hotspare_receiver.outputs.subscription import Subscription
from hotspare_receiver.snapshot import OutputConfig
from hotspare_receiver.store.feed import FeedStore, KnownCursor
from hotspare_rpc.logs import log_event
from hotspare_rpc.wire import stored_alarm_from_proto

_log = logging.getLogger(__name__)


class Subscriptions:
    """Makes the outputs of the alarm path, and finds those that subscribers open."""

    def __init__(self, store: FeedStore, journal: Journal, outputs: Callable[[], Sequence[OutputConfig]]) -> None:
        """`outputs`: those that are configured now."""
        self._store = store
        self._journal = journal
        self._outputs = outputs
        self._subscriptions: dict[str, Subscription] = {}

    def make_output(self, config: OutputConfig, path: Path, clock: Clock) -> AnyOutput:
        """An output of whatever kind."""
        if config.stream is None:
            return Output(config, path, clock)
        subscription = Subscription(config, path, clock, self._store, self)
        self._subscriptions[subscription.name] = subscription
        return subscription

    def find(self, name: str) -> Subscription:
        """The subscription of that name. Raises HotspareError RESOURCE_NOT_FOUND."""
        try:
            return self._subscriptions[name]
        except KeyError:
            raise _unknown(name) from None

    # What a subscription asks (Owner).

    def ended(self, subscription: Subscription) -> HotspareError:
        """It takes no streams any more; returns what its stream ends with."""
        if self._subscriptions.get(subscription.name) is subscription:
            del self._subscriptions[subscription.name]
        if subscription.config in self._outputs():
            # It is still configured: the process ends.
            return HotspareError(Reason.SHUTTING_DOWN, "the receiver is stopping")
        return _unknown(subscription.name)

    async def late(self, subscription: Subscription, known: KnownCursor) -> None:
        """What was told under an epoch that is over, or by an earlier process, was acknowledged: a fact (F7).

        Where other outputs have to confirm it too, the fact is kept and counts when the alarm comes again.
        """
        if [output.name for output in self._outputs() if output.required] != [subscription.config.name]:
            return
        raw = await self._store.stored_alarm(known)
        if raw is None:
            return
        stored = stored_alarm_from_proto(alarm_pb2.StoredAlarm.FromString(raw))
        delivered = Delivered(stored, known.epoch, 1, False, raw)
        if known.number in await self._journal.known_confirmed(known.scope, (delivered,)):
            return
        log_event(
            _log, logging.INFO, "acknowledged_late", subscription=subscription.name, number=known.number,
            epoch=known.epoch,
        )  # fmt: skip
        self._journal.confirm(known.scope, (delivered,))


def _unknown(name: str) -> HotspareError:
    return HotspareError(
        Reason.RESOURCE_NOT_FOUND, f"no output of this receiver has the subscription {name}", kind="subscription",
        id=name,
    )  # fmt: skip
