"""Panels: they publish one alarm after the other, and repeat each until it is answered (A2)."""

from collections import deque
from dataclasses import dataclass, field

from hotspare_cloud.store.base import DeviceRow
from hotspare_model.alarm import Alarm, CodeFormat
from hotspare_model.contact_id import Qualifier
from tests.proof.facts import Identity, Published
from tests.simulation.cloud import CloudNode
from tests.simulation.world import WALL, World


@dataclass(slots=True)
class Device:
    """One panel."""

    world: World
    row: DeviceRow
    cloud: CloudNode
    made: int = 0
    answered: int = 0
    cut: bool = False
    _waiting: deque[Alarm] = field(default_factory=deque)
    _begun: float = 0.0
    _tries: int = 0

    @property
    def done(self) -> bool:
        """Whether all that it had was answered."""
        return not self._waiting

    def happens(self) -> None:
        """Something happens at the premises."""
        self.made += 1
        self._waiting.append(
            Alarm(
                alarm_id=f"{int(self.row.account_number):08x}-0000-7000-8000-{self.made:012d}",
                device_id=self.row.device_id,
                qualifier=Qualifier.NEW,
                code_format=CodeFormat.CONTACT_ID,
                code="130",
                partition=1,
                zone=self.made % 1000,
                occurred=WALL,
                text="",
            )
        )
        if len(self._waiting) == 1:
            self._try()

    def _try(self) -> None:
        if not self._waiting:
            return
        self._tries += 1
        one, tries = self._waiting[0], self._tries
        self._begun = self._begun or self.world.now
        delay = self.world.random.uniform(0.002, 0.02)
        if not self.cut:
            self.world.after(delay, self.cloud.publish, self.row, one, lambda identity: self._answer(one, identity))
        self.world.after(1.0, self._again, tries)

    def _again(self, tries: int) -> None:
        if tries == self._tries:
            self._try()

    def _answer(self, one: Alarm, identity: Identity) -> None:
        if self.world.random.random() < 0.97:
            self.world.after(self.world.random.uniform(0.002, 0.02), self._answered, one, identity)

    def _answered(self, one: Alarm, identity: Identity) -> None:
        if not self._waiting or self._waiting[0] != one:
            return
        self._waiting.popleft()
        self._tries += 1
        self.answered += 1
        self.world.add(Published(self.world.now, identity, self._begun))
        self._begun = 0.0
        self._try()
