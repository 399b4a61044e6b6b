"""The running demo: reads the books, watches the group and the processes, and shows how it stands."""

import asyncio
import time
from collections.abc import Callable

from hotspare_model.sequence import WIRE_SEQUENCES
from hotspare_sim.core.ledger import Delivery, Ledger
from hotspare_sim.core.places import NUMBERS
from hotspare_sim.demo.books import Books
from hotspare_sim.demo.cast import Cast, Station
from hotspare_sim.demo.children import Child, DemoError
from hotspare_sim.demo.screen import Picture, Row, Screen, Tone
from hotspare_sim.demo.watch import NOTHING, GroupView, Watch

STEP = 0.1
LOOK_EVERY = 0.3
REVIVE_AFTER = 5.0
"""Seconds after which a process that somebody killed is started again, once the round is over."""


class Stage:
    """All that the story of the demo looks at."""

    def __init__(self, cast: Cast, screen: Screen) -> None:
        self.cast = cast
        self.screen = screen
        numbered = cast.ways.numbered
        self.ledger = Ledger(cast.accounts, NUMBERS if numbered else WIRE_SEQUENCES)
        arcs = {role: station.arc_log for role, station in cast.stations.items()}
        self.books = Books(self.ledger, cast.devices_log, arcs, numbered=numbered)
        self.watch = Watch(cast.stations.values())
        self.view: GroupView = NOTHING
        self.now = ""
        """What happens, in words."""
        self.takeover: float | None = None
        self.revives = False
        """Whether a server that died is started again; else its death ends the demo."""
        self._looking: asyncio.Task[GroupView] | None = None
        self._next_look = 0.0
        self._working = ""
        self._revival: dict[str, float] = {}

    async def until(
        self,
        condition: Callable[[list[Delivery]], bool],
        timeout: float,
        what: str,
        *,
        need: tuple[Child, ...] | None = None,
    ) -> None:
        """Go on until the condition holds; it gets the deliveries since the last look.

        `need`: the processes that must not die meanwhile; by default all.
        Raises DemoError, with `what` was waited for, after `timeout` seconds, and when a process dies.
        """
        deadline = time.monotonic() + timeout
        while not condition(await self.step(need)):
            if time.monotonic() > deadline:
                raise DemoError(f"{what}: not within {timeout:g} s")

    async def wait(self, seconds: float) -> None:
        """Go on for so long."""
        end = time.monotonic() + seconds
        await self.until(lambda _: time.monotonic() >= end, seconds + 60, "")

    async def step(self, need: tuple[Child, ...] | None = None) -> list[Delivery]:
        """A tenth of a second. Returns what was delivered meanwhile. Raises DemoError when a process died."""
        await asyncio.sleep(STEP)
        deliveries = self.books.read()
        self._look()
        await self._check((self.cast.devices, *self.cast.servers) if need is None else need)
        self.screen.show(self.picture())
        return deliveries

    def _look(self) -> None:
        """Keep asking, without ever waiting for who does not answer."""
        if self._looking is not None and self._looking.done():
            self._note(self._looking.result())
            self._looking = None
        if self._looking is None and time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + LOOK_EVERY
            self._looking = asyncio.create_task(self.watch.look())

    def _note(self, view: GroupView) -> None:
        self.view = view
        for role, station in self.cast.stations.items():
            if self.status_of(station) == "WORKING" and role != self._working:
                self._working = role
                self.screen.show(self.picture())
                self.screen.say(f"{station.title} works now, epoch {view.epoch}", Tone.MOVE)

    def status_of(self, station: Station) -> str:
        """The status of a receiver, as the group knows it."""
        member = self.view.members.get(self.watch.ids.get(station.role, ""))
        return "" if member is None else member.status

    async def _check(self, need: tuple[Child, ...]) -> None:
        for child in need:
            if not child.has_died:
                continue
            if not self.revives or child is self.cast.devices:
                raise DemoError(f"{child.name} died ({_how(child)}):\n{child.tail()}")
            await self._revive(child)

    async def _revive(self, child: Child) -> None:
        now = time.monotonic()
        due = self._revival.get(child.name)
        if due is None:
            self._revival[child.name] = now + REVIVE_AFTER
            self.screen.say(
                f"{child.name} died ({_how(child)}); it is started again in {REVIVE_AFTER:g} s. "
                f"Its last lines:\n{child.tail()}",
                Tone.BAD,
            )
        elif now >= due:
            del self._revival[child.name]
            await child.start()
            self.screen.say(f"{child.name} was started again, pid {child.pid}", Tone.MOVE)

    def picture(self) -> Picture:
        """How it stands."""
        return Picture(
            tuple(self._row(station) for station in self.cast.stations.values()),
            self.ledger.published,
            self.ledger.confirmed,
            self.ledger.waiting,
            self.ledger.duplicates,
            self.takeover,
            self.now,
        )

    def _row(self, station: Station) -> Row:
        receiver_id = self.watch.ids.get(station.role, "")
        member = self.view.members.get(receiver_id)
        return Row(
            station.title,
            receiver_id,
            "" if member is None else member.status,
            None if member is None else member.epoch,
            station.receiver.pid,
            self.books.by_arc[station.role],
        )

    async def close(self) -> None:
        """Watch no more."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        await self.watch.close()


def _how(child: Child) -> str:
    status = child.exit_status or 0
    return f"signal {-status}" if status < 0 else f"exit status {status}"
