"""The pure machines alone, met over queues that a test moves by hand: the cloud's `decide` and the receivers' guards.

Where the simulator runs all of the product on a simulated world, here only what decides runs, in a world that is as
small as can be: a true time, clocks with rates of their own, and streams whose messages wait until somebody lets them
through. It keeps no rule itself; it checks after every step that whoever may write is accounted for at the cloud.
"""

from collections import deque
from dataclasses import dataclass, field, replace

from hotspare_cloud.attendance import Line
from hotspare_cloud.core import decide, operators, order
from hotspare_cloud.core.state import (
    Attended,
    Beat,
    BeginEpoch,
    Effect,
    Event,
    GroupState,
    Holder,
    Parted,
    Pause,
    Paused,
    Pin,
    Post,
    Reason,
    Resumed,
    SettingsChanged,
    Stalled,
    Switched,
    Tell,
    TellAll,
    Tick,
)
from hotspare_model.errors import HotspareError
from hotspare_model.group import GroupSettings, Role
from hotspare_receiver.core.lease import CloudState, LeaseGuard

NAMES = {"host": Role.HOST, "one": Role.SPARE_1, "two": Role.SPARE_2, "three": Role.SPARE_3}
TICKS = 40
"""Ticks a second that would mean that the cloud spins."""


@dataclass(frozen=True, slots=True)
class Hello:
    """The begin of a stream."""

    highest: int
    released: int
    folder: int


@dataclass(frozen=True, slots=True)
class SentBeat:
    """A beat on its way."""

    beat: Beat
    echo: tuple[str, int]


@dataclass(slots=True, eq=False)
class Stream:
    """One Attend stream, with what is on its way."""

    incarnation: str
    up: deque[tuple[float, Hello | SentBeat | None]] = field(default_factory=deque)
    """When it was sent, and what; None: the end of the stream."""
    down: deque[tuple[float, CloudState | None]] = field(default_factory=deque)


@dataclass(slots=True)
class Receiver:
    """One receiver's process and the way to it."""

    name: str
    rate: float
    guard: LeaseGuard = field(default_factory=LeaseGuard)
    start: int = 1
    folder: int = 1
    """Whose lock its process holds; a copied folder is another one."""
    stream: Stream | None = None
    old: deque[Stream] = field(default_factory=deque)
    """Streams that it has left, of which the cloud may still hear."""
    ghosts: list[tuple[str, LeaseGuard]] = field(default_factory=list)
    """Processes that it replaced without a proof that they had ended: they may write on."""
    healthy: bool = True
    in_sync: bool = True
    hung: bool = False
    cut_up: bool = False
    cut_down: bool = False
    lag_up: float = 0.0
    lag_down: float = 0.0
    """Seconds that its messages are on their way at least, while all lives."""
    beaten_at: float = float("-inf")

    @property
    def incarnation(self) -> str:
        """The process that runs now."""
        return f"{self.name}.{self.start}"


class PureGroup:
    """A cloud and four receivers."""

    def __init__(self, rates: list[float], settings: GroupSettings) -> None:
        """`rates` are those of the cloud's clock and of the four receivers', against true time."""
        self.time = 0.0
        self.rate = rates[0]
        posts = {name: Post(role, f"machine-{name}") for name, role in NAMES.items()}
        self.state = GroupState(settings, posts=posts)
        self.receivers = {name: Receiver(name, rate) for name, rate in zip(NAMES, rates[1:], strict=True)}
        self.begun: list[BeginEpoch] = []
        self.ticks = 0
        self.problems: list[str] = []
        self._boot = 1
        self._longest = settings.lease.total_seconds()
        self._lines: dict[str, Line] = {}
        self._sessions: dict[str, Stream] = {}
        self._known: dict[str, tuple[str, int]] = {}
        """The incarnation that attended last, and its folder."""
        self._copy = (self._stored(), self._known)

    # Clocks.

    @property
    def now(self) -> float:
        """The cloud's clock."""
        return 500.0 + self.time * self.rate

    def clock(self, receiver: Receiver) -> float:
        """A receiver's clock."""
        return 7_000.0 + self.time * receiver.rate

    def advance(self, seconds: float) -> None:
        """Let time pass; the cloud's ticks come when they are due."""
        end, ticks = self.time + seconds, 0
        while (due := decide.next_deadline(self.state, self.now)) is not None:
            if due <= self.now:
                self.problems.append(f"a deadline that has passed: {due - self.now}")
                return
            at = self.time + (due - self.now) / self.rate + 1e-6
            if at > end:
                break
            self.time = at
            self.feed(Tick())
            ticks += 1
            if ticks > TICKS * (1.0 + seconds):
                self.problems.append(f"{ticks} ticks in {seconds} s: it spins")
                return
        self.ticks += ticks
        self.time = max(end, self.time)
        for receiver in self.receivers.values():
            receiver.guard, _ = receiver.guard.tick(self.clock(receiver))
        self.check()

    # The cloud.

    def feed(self, event: Event) -> tuple[Effect, ...]:
        """Let the cloud decide, and carry that out."""
        before = self.state
        self.state, effects = decide.decide(before, event, self.now)
        for effect in effects:
            match effect:
                case BeginEpoch():
                    self._begins(before, effect)
                case Tell(receiver_id, granted, beat):
                    self._send(receiver_id, granted, beat)
                case TellAll():
                    for receiver_id in self._sessions:
                        self._send(receiver_id, False, self._lines[receiver_id].beat)
                case _:
                    pass
        return effects

    def _begins(self, before: GroupState, begun: BeginEpoch) -> None:
        """What holds for every epoch that begins."""
        if self.begun and begun.epoch <= max(each.epoch for each in self.begun):
            self.problems.append(f"epoch {begun.epoch} begins after {self.begun[-1].epoch}")
        if begun.epoch <= max((each.guard.highest_epoch for each in self.receivers.values()), default=0):
            self.problems.append(f"epoch {begun.epoch} begins, and one that high was seen already")
        moved = before.worked is not None and before.worked.receiver_id != begun.receiver_id
        paused = before.pause is not None and self.state.pause is not None
        wanted = self.state.pin is not None and self.state.pin.receiver_id == begun.receiver_id
        if paused and moved and not wanted:
            self.problems.append(f"{begun} while moves are paused")
        if begun.reason is Reason.FAILBACK:
            if begun.receiver_id in before.held_back and self.state.held_back:
                self.problems.append(f"{begun}, though it is held back")
            if before.pin is not None and self.state.pin is not None and before.pin.reached:
                self.problems.append(f"{begun}, though {before.pin.receiver_id} is pinned")
        self.begun.append(begun)

    def _send(self, receiver_id: str, granted: bool, beat: int) -> None:
        stream = self._sessions.get(receiver_id)
        if stream is None:
            return
        state, holder = self.state, self.state.holder
        mine = holder is not None and (holder.receiver_id, holder.incarnation) == (receiver_id, stream.incarnation)
        working = mine and holder is not None and holder.lost is None
        told = CloudState(
            boot=f"boot-{self._boot}",
            number=self._lines[receiver_id].numbered(self.now),
            answers_beat=beat,
            epoch=state.epoch,
            working=working,
            lease=state.settings.holder_lease if granted and working else None,
            ended_through=state.epoch - 1 if working else state.epoch,
            yield_to=(holder.yield_to or "") if working and holder else "",
        )
        stream.down.append((self.time, told))

    def restart_cloud(self) -> None:
        """kill -9, and back at once."""
        self._boot_from(self._stored())

    def copy(self) -> None:
        """A copy of the database is made."""
        self._copy = (self._stored(), dict(self._known))

    def restore(self) -> None:
        """The database is replaced by that copy, and jumps above all that was given out."""
        stored, self._known = self._copy[0], dict(self._copy[1])
        jumped = max(stored.epoch, stored.floor) + 1_000 * self._boot
        # Since the copy was made a longer lease may have been set.
        self._boot_from(replace(stored, floor=jumped, old_lease=self._longest))

    def _boot_from(self, stored: GroupState) -> None:
        self._boot += 1
        for stream in self._sessions.values():
            stream.down.append((self.time, None))
        self._sessions, self._lines = {}, {}
        self.state = decide.restarted(stored.settings, stored, self.now)
        self.check()

    def _stored(self) -> GroupState:
        """What the store knows: no clocks, and nothing of streams."""
        state, standing = self.state, self.state.standing
        holder = state.holder and Holder(
            state.holder.receiver_id, state.holder.incarnation, state.holder.machine_id, lease_until=0.0, heard_at=0.0
        )
        return GroupState(
            settings=state.settings,
            posts=state.posts,
            holder=holder,
            holds=tuple(replace(hold, until=0.0) for hold in state.holds),
            epoch=state.epoch,
            floor=standing.floor,
            worked=state.worked,
            pin=standing.pin,
            pause=standing.pause,
            losses=state.losses,
            held_back=state.held_back,
            old_lease=standing.old_lease,
            restored_at=standing.restored_at,
        )

    # Operators.

    def switch(self, name: str) -> bool:
        """Switch over. Returns whether that was allowed."""
        try:
            operators.check_switch(self.state, name, self.now)
        except HotspareError:
            return False
        self.feed(Switched(Pin(name, "operator", 0.0)))
        return True

    def pause(self) -> None:
        """Pause automatic moves."""
        self.feed(Paused(Pause("operator", 0.0)))

    def resume(self) -> None:
        """Resume, where there is something to resume."""
        try:
            operators.check_resume(self.state)
        except HotspareError:
            return
        self.feed(Resumed("operator"))

    def set(self, settings: GroupSettings) -> None:
        """Change the settings."""
        self._longest = max(self._longest, settings.lease.total_seconds())
        self.feed(SettingsChanged(settings))

    def stall(self) -> None:
        """The cloud finds that it got no time."""
        self.feed(Stalled(self.now))

    # Receivers, and what is on its way.

    def connect(self, name: str) -> None:
        """Begin a stream."""
        receiver = self.receivers[name]
        self.part(name)
        receiver.stream = Stream(receiver.incarnation)
        guard = receiver.guard
        hello = Hello(guard.highest_epoch, guard.released_through, receiver.folder)
        receiver.stream.up.append((self.time, hello))

    def part(self, name: str) -> None:
        """The stream ends."""
        receiver = self.receivers[name]
        if receiver.stream is not None:
            receiver.stream.up.append((self.time, None))
            receiver.old.append(receiver.stream)
            receiver.stream = None

    def restart(self, name: str, *, proof: bool) -> None:
        """The process dies and is started anew: on the same folder, or without any proof of that."""
        receiver = self.receivers[name]
        self.part(name)
        if not proof:
            receiver.ghosts.append((receiver.incarnation, receiver.guard))
        receiver.start += 1
        receiver.folder += not proof
        receiver.guard = LeaseGuard()

    def beat(self, name: str) -> None:
        """Send a beat."""
        receiver = self.receivers[name]
        if receiver.stream is None:
            return
        receiver.guard = guard = receiver.guard.beat(self.clock(receiver))
        receiver.beaten_at = self.time
        beat = Beat(
            receiver_id=name,
            incarnation=receiver.incarnation,
            number=guard.beats,
            epoch=guard.held,
            echo_sent=None,
            released_through=guard.released_through,
            wants_release=guard.stopping,
            healthy=receiver.healthy,
            in_sync=receiver.in_sync,
        )
        receiver.stream.up.append((self.time, SentBeat(beat, (guard.boot, guard.number))))

    def give_back(self, name: str) -> None:
        """Nothing is in flight: what is to be released is."""
        receiver = self.receivers[name]
        now = self.clock(receiver)
        if receiver.guard.draining:
            receiver.guard, _ = receiver.guard.release(now)
        else:
            receiver.guard, _ = receiver.guard.settle(now)

    def stop(self, name: str) -> None:
        """SIGTERM: it wants to give back what it holds."""
        receiver = self.receivers[name]
        receiver.guard, _ = receiver.guard.stop(self.clock(receiver))

    def let_up(self, name: str) -> None:
        """Let the next message of a receiver reach the cloud, those of streams that it left first."""
        receiver = self.receivers[name]
        while receiver.old and not receiver.old[0].up:
            receiver.old.popleft()
        stream = receiver.old[0] if receiver.old else receiver.stream
        if stream is None or not stream.up:
            return
        match stream.up.popleft()[1]:
            case Hello() as hello:
                if stream.incarnation == receiver.incarnation:
                    self._attend(receiver, stream, hello)
            case SentBeat(beat, (boot, number)):
                line = self._lines.get(name)
                if line is not None and self._sessions.get(name) is stream:
                    line.beat = max(line.beat, beat.number)
                    sent = line.echo_sent(number) if boot == f"boot-{self._boot}" else None
                    self.feed(replace(beat, echo_sent=sent))
            case None:
                if self._sessions.get(name) is stream:
                    del self._sessions[name]
                    self.feed(Parted(name, stream.incarnation))
        self.check()

    def _attend(self, receiver: Receiver, stream: Stream, hello: Hello) -> None:
        known, folder = self._known.get(receiver.name, ("", 0))
        proof = known if folder == hello.folder and known != stream.incarnation else ""
        self._known[receiver.name] = (stream.incarnation, hello.folder)
        line = self._lines.setdefault(receiver.name, Line())
        session = self._sessions.get(receiver.name)
        if session is not None:
            session.down.append((self.time, None))
            if session.incarnation != stream.incarnation:
                line.beat = 0
        self._sessions[receiver.name] = stream
        self.feed(Attended(receiver.name, stream.incarnation, hello.highest, hello.released, proof))
        self._send(receiver.name, False, line.beat)

    def let_down(self, name: str) -> None:
        """Let the next message of the cloud reach a receiver."""
        receiver = self.receivers[name]
        stream = receiver.stream
        if stream is None or not stream.down:
            return
        _, told = stream.down.popleft()
        if told is None:
            self.part(name)
        else:
            receiver.guard, _ = receiver.guard.heard(told, self.clock(receiver))
        self.check()

    def drop_up(self, name: str) -> None:
        """The newest message of a receiver gets lost, with its stream."""
        receiver = self.receivers[name]
        if receiver.stream is not None and receiver.stream.up:
            receiver.stream.up.pop()
            self.part(name)

    # Normal life.

    def live(self, seconds: float, step: float = 0.2) -> None:
        """Let all that is not hung or cut live, for true seconds."""
        end = self.time + seconds
        while self.time < end - 1e-9 and not self.problems:
            self.advance(step)
            for name, receiver in self.receivers.items():
                if receiver.hung:
                    continue
                if receiver.stream is None:
                    self.connect(name)
                beat = self.state.settings.beat.total_seconds()
                if receiver.stream is not None and self.time >= receiver.beaten_at + beat - 1e-6:
                    self.beat(name)
                self._pass(receiver)
                self.give_back(name)

    def _pass(self, receiver: Receiver) -> None:
        while not receiver.cut_up and not self.problems:
            sent = [each.up[0][0] for each in (*receiver.old, receiver.stream) if each is not None and each.up]
            if not sent or sent[0] > self.time - receiver.lag_up:
                break
            self.let_up(receiver.name)
        while not receiver.cut_down and not self.problems:
            stream = receiver.stream
            if stream is None or not stream.down or stream.down[0][0] > self.time - receiver.lag_down:
                break
            self.let_down(receiver.name)

    def heal(self) -> None:
        """Nothing is wrong any more, and nothing is an operator's wish."""
        for receiver in self.receivers.values():
            receiver.hung = receiver.cut_up = receiver.cut_down = False
            receiver.lag_up = receiver.lag_down = 0.0
            receiver.healthy = receiver.in_sync = True
            if receiver.guard.stopping:
                self.restart(receiver.name, proof=True)
        self.resume()

    # What must be so.

    def check(self) -> None:
        """Whoever may write is accounted for: it holds the current epoch, or an ended one that is still held."""
        if self.now < self.state.not_before:
            return  # Leases may be alive that a restored database does not know: nobody else works for so long.
        for receiver in self.receivers.values():
            clock = self.clock(receiver)
            for incarnation, guard in ((receiver.incarnation, receiver.guard), *receiver.ghosts):
                epoch = guard.held
                if epoch and guard.may_write(epoch, clock) and not self._accounts(receiver.name, incarnation, epoch):
                    self.problems.append(f"{incarnation} may write under epoch {epoch}: {self.state}")

    def _accounts(self, name: str, incarnation: str, epoch: int) -> bool:
        state, now, holder = self.state, self.now, self.state.holder
        mine = holder is not None and (holder.receiver_id, holder.incarnation) == (name, incarnation)
        if mine and holder is not None and epoch == state.epoch and now < holder.lease_until:
            return True
        return any(hold.epoch == epoch and now < hold.until for hold in state.holds)

    @property
    def best(self) -> str:
        """Who has to work once all is well."""
        return next(name for name in NAMES if name not in self.state.held_back)

    @property
    def working(self) -> str | None:
        """Who works, as the cloud sees it."""
        holder = self.state.holder
        if holder is None or not order.present(self.state, holder.receiver_id, self.now):
            return None
        return holder.receiver_id
