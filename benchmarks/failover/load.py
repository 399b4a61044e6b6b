"""Devices that publish at a steady rate."""

import threading
import time
from collections import deque
from collections.abc import Sequence

import grpc

from benchmarks.failover.arrivals import Arrivals, Identity
from tests.acceptance.harness.book import Published
from tests.acceptance.harness.panels import Panel

CALLERS = 16
"""Threads that publish: one waits for its answer while the others go on."""


class Load:
    """Publishes for as long as the `with` block lasts, each alarm from the device that has been quiet for longest.

    A device is quiet when the ARC has its last alarm; so none of a quiet device is in flight, but for a confirmation
    that was lost on its way. With enough devices, that has long been settled when its turn comes again.
    """

    def __init__(self, panels: Sequence[Panel], rate: float, arrivals: Arrivals) -> None:
        """`rate`: alarms a second of all together."""
        self._interval = 1 / rate
        self._arrivals = arrivals
        self._lock = threading.Lock()
        self._waiting = deque(panels)
        self._published: dict[Identity, Published] = {}
        self._due = 0.0
        self._over = threading.Event()
        self._abandoned = threading.Event()
        self._errors: list[str] = []
        self.skipped = 0
        """Alarms that were not published when they were due, for no device was quiet."""
        self._threads = [threading.Thread(target=self._publish, daemon=True) for _ in range(CALLERS)]

    def __enter__(self) -> "Load":
        self._due = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Publish no more; returns when each alarm that was begun was answered. Raises RuntimeError if one was not."""
        self._over.set()
        for thread in self._threads:
            thread.join(30)
        self._abandoned.set()
        if self._errors:
            raise RuntimeError(f"devices that could not publish: {self._errors[:3]}")

    @property
    def published(self) -> list[Published]:
        """What was answered so far."""
        with self._lock:
            return list(self._published.values())

    def find(self, identity: Identity) -> Published | None:
        """An alarm that was answered, by its identity at the ARC."""
        return self._published.get(identity)

    def missing(self) -> list[Published]:
        """What was answered and has not come to an ARC."""
        return [alarm for alarm in self.published if self._arrivals.first((alarm.account, alarm.sequence)) is None]

    def _publish(self) -> None:
        while not self._over.is_set():
            with self._lock:
                now = time.monotonic()
                panel = self._quiet()
                self.skipped += panel is None
                # What was missed while the cloud was slow is not made up for: that would be another load.
                self._due = due = max(self._due, now - self._interval)
                self._due += self._interval
            if self._over.wait(max(0.0, due - time.monotonic())):
                pass
            elif panel is not None:
                self._publish_one(panel)
            if panel is not None:
                with self._lock:
                    self._waiting.append(panel)

    def _publish_one(self, panel: Panel) -> None:
        try:
            alarm = panel.publish(self._abandoned)
        except grpc.RpcError as error:
            self._errors.append(f"{panel.device_id}: {error}")
            return
        if alarm is None:
            self._errors.append(f"{panel.device_id}: its last alarm was not answered")
            return
        with self._lock:
            self._published[alarm.account, alarm.sequence] = alarm

    def _quiet(self) -> Panel | None:
        for _ in range(len(self._waiting)):
            panel = self._waiting.popleft()
            last = panel.published[-1] if panel.published else None
            if last is None or self._arrivals.first((last.account, last.sequence)) is not None:
                return panel
            self._waiting.append(panel)
        return None
