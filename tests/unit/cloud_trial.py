"""One group, driven by hand through the machine that decides who works. Time is an argument, so nothing here waits."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from hotspare_cloud.core import decide, order
from hotspare_cloud.core.operators import check_resume, check_switch
from hotspare_cloud.core.order import Standby
from hotspare_cloud.core.state import (
    Attended,
    Beat,
    BeginEpoch,
    Effect,
    EndEpoch,
    Event,
    FreeHold,
    GroupState,
    Holder,
    Kind,
    Loss,
    Note,
    Parted,
    Pause,
    Paused,
    Pin,
    Post,
    PostsChanged,
    Reason,
    Resumed,
    SettingsChanged,
    Switched,
    Tell,
    Tick,
)
from hotspare_model.group import GroupSettings, Role, updated

SETTINGS = GroupSettings()
ROLES: Mapping[str, Role | None] = {
    "host": Role.HOST,
    "one": Role.SPARE_1,
    "two": Role.SPARE_2,
    "three": Role.SPARE_3,
}
STEP = 0.1
"""Seconds between two looks at the time."""


@dataclass
class Trial:
    """The group, and what was decided."""

    now: float = 1000.0
    state: GroupState = field(default_factory=lambda: GroupState(SETTINGS, posts=posts(ROLES)))
    begun: list[BeginEpoch] = field(default_factory=list)
    ended: list[EndEpoch] = field(default_factory=list)
    freed: list[int] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    beats: dict[str, int] = field(default_factory=dict)
    starts: dict[str, int] = field(default_factory=dict)
    sick: set[str] = field(default_factory=set)
    """Those that say that they could not deliver."""
    stale: set[str] = field(default_factory=set)
    """Those whose copy of the configuration is not in sync."""
    stopping: set[str] = field(default_factory=set)
    """Those that want to give their work back."""
    hearing: dict[str, float] = field(default_factory=dict)
    """When the newest state was sent that reached those who hear no more."""
    released: dict[str, int] = field(default_factory=dict)

    def feed(self, event: Event) -> tuple[Effect, ...]:
        """Decide on one event."""
        self.state, effects = decide.decide(self.state, event, self.now)
        self.begun += [effect for effect in effects if isinstance(effect, BeginEpoch)]
        self.ended += [effect for effect in effects if isinstance(effect, EndEpoch)]
        self.freed += [effect.epoch for effect in effects if isinstance(effect, FreeHold)]
        self.notes += [effect for effect in effects if isinstance(effect, Note)]
        return effects

    # Receivers.

    def incarnation(self, who: str) -> str:
        """The process of that receiver."""
        return f"{who}-{self.starts.get(who, 1)}"

    def attend(self, who: str, highest: int = 0) -> None:
        """Its stream begins."""
        start = self.starts.get(who, 1)
        proof = f"{who}-{start - 1}" if start > 1 else ""
        self.feed(Attended(who, self.incarnation(who), highest, self.released.get(who, 0), proof))

    def beat(self, who: str, *, echo_age: float | None = 0.1, epoch: int = 0, released: int = 0) -> tuple[Effect, ...]:
        """It beats, and says of itself what is known of it here."""
        self.beats[who] = self.beats.get(who, 0) + 1
        sent = None if echo_age is None else self.now - echo_age
        return self.feed(
            Beat(
                who,
                self.incarnation(who),
                self.beats[who],
                epoch,
                self.hearing.get(who, sent),
                released_through=max(released, self.released.get(who, 0)),
                wants_release=who in self.stopping,
                healthy=who not in self.sick,
                in_sync=who not in self.stale,
            )
        )

    def part(self, who: str) -> None:
        """Its stream ends."""
        self.feed(Parted(who, self.incarnation(who)))

    def arrive(self, *names: str) -> None:
        """They attend and beat, one after another."""
        for who in names:
            self.attend(who)
            self.beat(who)

    def restart(self, who: str) -> None:
        """Its process is started anew, and beats."""
        self.starts[who] = self.starts.get(who, 1) + 1
        self.released.pop(who, None)
        self.arrive(who)

    def release(self) -> None:
        """The one that works gives its work back."""
        working = self.working
        assert working is not None
        self.released[working] = self.state.epoch
        self.beat(working)

    def run(self, seconds: float, *beating: str, every: float = 1.0) -> None:
        """Let time pass, with a beat a second of those named, and a tick where one is due."""
        end = self.now + seconds
        next_beat = self.now + every
        while self.now < end - 1e-9:
            self.pass_to(round(min(self.now + STEP, end), 6))
            if self.now >= next_beat - 1e-9:
                next_beat += every
                for who in beating:
                    self.beat(who)

    def rest(self, seconds: float, *beating: str) -> None:
        """Let a long time pass, with coarser looks at it."""
        end = self.now + seconds
        while self.now < end - 1e-9:
            self.pass_to(round(min(self.now + 1.0, end), 6))
            for who in beating:
                self.beat(who)

    def pass_to(self, now: float) -> None:
        """Only time passes."""
        due = decide.next_deadline(self.state, self.now)
        self.now = now
        if due is not None and due <= self.now:
            self.feed(Tick())

    def lose(self, who: str, *others: str) -> None:
        """Its connection ends, and does not come back within the grace."""
        self.part(who)
        self.run(self.seconds("reconnect_grace") + STEP, *others)

    def hand_over(self, *beating: str) -> None:
        """Let time pass until somebody is told to yield, who then gives the work back at once."""
        for _ in range(600):
            if self.yielding:
                self.release()
                return
            self.run(STEP, *beating, every=STEP)
        raise AssertionError("nobody was told to yield")

    # The group, its operators, and the cloud itself.

    def join(self, who: str, role: Role | None, generation: int = 0) -> None:
        """Take a role, or (None) work alone."""
        post = Post(role, f"machine-{who}", generation)
        self.feed(PostsChanged({**self.state.posts, who: post}))

    def leave(self, *names: str, released: Mapping[str, int] | None = None) -> None:
        """They are members no more."""
        left = {who: post for who, post in self.state.posts.items() if who not in names}
        self.feed(PostsChanged(left, {self.incarnation(who): through for who, through in (released or {}).items()}))

    def switch(self, who: str, operator: str = "olga", detail: str = "", *, expected_epoch: int | None = None) -> None:
        """An operator asks for a switchover, which may be refused."""
        check_switch(self.state, who, self.now, expected_epoch=expected_epoch)
        self.feed(Switched(Pin(who, operator, 1.0, detail)))

    def pause(self, operator: str = "olga") -> None:
        """An operator pauses automatic moves."""
        self.feed(Paused(Pause(operator, 1.0)))

    def resume(self, operator: str = "olga") -> None:
        """An operator resumes them, which may be refused."""
        check_resume(self.state)
        self.feed(Resumed(operator))

    def set(self, **changes: object) -> None:
        """The settings change."""
        self.feed(SettingsChanged(updated(self.state.settings, **changes)))

    def restart_cloud(self) -> None:
        """The cloud starts anew, with what is stored and nothing else."""
        known, standing = self.state, self.state.standing
        stored = GroupState(
            settings=known.settings,
            posts=known.posts,
            holder=known.holder and _stored(known.holder),
            holds=tuple(replace(hold, until=0.0) for hold in known.holds),
            epoch=known.epoch,
            floor=standing.floor,
            worked=known.worked,
            pin=standing.pin,
            pause=standing.pause,
            losses=tuple(Loss(who, 0.0) for who, count in standing.losses for _ in range(count)),
            held_back=frozenset(standing.held_back),
            old_lease=standing.old_lease,
            restored_at=standing.restored_at,
        )
        self.state = decide.restarted(known.settings, stored, self.now)
        self.hearing.clear()

    # What came of it.

    def seconds(self, setting: str) -> float:
        """A span of the settings."""
        return float(getattr(self.state.settings, setting).total_seconds())

    @property
    def working(self) -> str | None:
        """Who holds the epoch."""
        holder = self.state.holder
        return holder.receiver_id if holder and holder.lost is None else None

    @property
    def yielding(self) -> str | None:
        """To whom the one that works is to hand over."""
        return self.state.holder.yield_to if self.state.holder else None

    @property
    def move(self) -> tuple[str, Reason]:
        """The last move: to whom, and why."""
        return self.begun[-1].receiver_id, self.begun[-1].reason

    @property
    def kinds(self) -> list[Kind]:
        """The lines of the history that are no moves."""
        return [note.kind for note in self.notes]

    def losses(self, who: str) -> int:
        """Losses that count against a receiver."""
        return sum(loss.receiver_id == who for loss in self.state.losses)

    def standby(self, who: str) -> Standby | None:
        """Why it does not work."""
        return order.standby_reason(self.state, who, self.now)


def _stored(holder: Holder) -> Holder:
    return replace(
        holder, lease_until=0.0, heard_at=0.0, yield_to=None, yield_since=0.0, was_healthy=False, gone=False, lost=None
    )


def posts(roles: Mapping[str, Role | None]) -> dict[str, Post]:
    """A machine for each, in the order of their generations."""
    return {who: Post(role, f"machine-{who}", number) for number, (who, role) in enumerate(roles.items(), start=1)}


def alone(*names: str, **roles: Role) -> Trial:
    """A group of receivers without a role, and perhaps of some with one."""
    known: dict[str, Role | None] = {**dict.fromkeys(names), **roles}
    return Trial(state=GroupState(SETTINGS, posts=posts(known)))


def granted(effects: tuple[Effect, ...], who: str) -> bool:
    """Whether a lease was given."""
    return any(isinstance(effect, Tell) and effect.receiver_id == who and effect.granted for effect in effects)
