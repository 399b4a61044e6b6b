"""Properties of the deciding machines, whatever happens in whatever order (F1 to F9; docs/failover.md).

The cloud's `decide` and the receivers' guards, joined by queues that hypothesis moves (tests/simulation/pure.py). After
every step whoever may write to its ARC must be accounted for at the cloud, and every epoch that begins must be allowed.
"""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hotspare_model.group import GroupSettings
from hotspare_model.lease import CLOCK_RATE_ERROR
from tests.simulation.pure import NAMES, PureGroup

RATES = st.sampled_from((1 - CLOCK_RATE_ERROR, 1.0, 1 + CLOCK_RATE_ERROR))
WORKING = "working"
"""Whoever works at that time."""
WHO = st.sampled_from((*[WORKING] * len(NAMES), *sorted(NAMES)))
LAGS = st.sampled_from((0.0, 0.3, 0.9, 1.7))
LONG = st.sampled_from((0.3, 1.2, 3.3, 5.0, 12.0))
"""Seconds of life after something happened: before, amid and after the graces, the lease and the failback."""
BRIEF = replace(
    GroupSettings(),
    lease=timedelta(seconds=2),
    beat=timedelta(seconds=0.4),
    reconnect_grace=timedelta(seconds=0.4),
    suspect_after=timedelta(seconds=1),
    restart_grace=timedelta(seconds=1),
    failback_delay=timedelta(seconds=2),
)
SETTINGS = st.sampled_from((GroupSettings(), BRIEF, replace(GroupSettings(), losses_per_hour=1)))
SETTLED = 40.0
"""Seconds after which all is as it has to be, once nothing is wrong any more."""


class GroupMachine(RuleBasedStateMachine):
    """Anything that may happen to a group."""

    group: PureGroup

    @initialize(
        rates=st.lists(RATES, min_size=5, max_size=5), chosen=SETTINGS, lives=st.sampled_from((True, True, False))
    )
    def begin(self, rates: list[float], chosen: GroupSettings, lives: bool) -> None:
        self.group = PureGroup(rates, chosen)
        if lives:
            self.group.live(2.0)

    def name(self, who: str) -> str:
        """Whom a rule is about."""
        if who != WORKING:
            return who
        return self.group.working or "host"

    # Time.

    @rule(seconds=LONG)
    def live(self, seconds: float) -> None:
        self.group.live(seconds)

    @rule(seconds=st.sampled_from((0.05, 0.5, 1.1, 3.1, 6.1)))
    def silence(self, seconds: float) -> None:
        self.group.advance(seconds)

    # Streams, message by message.

    @rule(
        who=WHO, what=st.lists(st.sampled_from(("connect", "part", "beat", "beat", "up", "down", "drop")), max_size=6)
    )
    def messages(self, who: str, what: list[str]) -> None:
        name = self.name(who)
        do = {
            "connect": self.group.connect,
            "part": self.group.part,
            "beat": self.group.beat,
            "up": self.group.let_up,
            "down": self.group.let_down,
            "drop": self.group.drop_up,
        }
        for each in what:
            do[each](name)

    # Faults.

    @rule(who=WHO, how=st.sampled_from(("hangs", "cut up", "cut down", "cut")), seconds=LONG)
    def lost(self, who: str, how: str, seconds: float) -> None:
        receiver = self.group.receivers[self.name(who)]
        receiver.hung, receiver.cut_up, receiver.cut_down = how == "hangs", how != "cut down", how != "cut up"
        self.group.live(seconds)

    @rule(who=st.sampled_from(sorted(NAMES)), seconds=LONG)
    def mended(self, who: str, seconds: float) -> None:
        receiver = self.group.receivers[who]
        receiver.hung = receiver.cut_up = receiver.cut_down = False
        receiver.lag_up = receiver.lag_down = 0.0
        receiver.healthy = receiver.in_sync = True
        self.group.live(seconds)

    @rule(who=WHO, up=LAGS, down=LAGS)
    def lag(self, who: str, up: float, down: float) -> None:
        receiver = self.group.receivers[self.name(who)]
        receiver.lag_up, receiver.lag_down = up, down

    @rule(who=WHO, healthy=st.booleans(), in_sync=st.booleans())
    def health(self, who: str, healthy: bool, in_sync: bool) -> None:
        receiver = self.group.receivers[self.name(who)]
        receiver.healthy, receiver.in_sync = healthy, in_sync

    @rule(who=WHO, proof=st.booleans(), seconds=LONG)
    def restart(self, who: str, proof: bool, seconds: float) -> None:
        # Without a proof the old process may be alive, and what comes later proves nothing of it.
        self.group.restart(self.name(who), proof=proof)
        self.group.live(seconds)

    @rule(who=WHO, seconds=LONG)
    def stop(self, who: str, seconds: float) -> None:
        self.group.stop(self.name(who))
        self.group.live(seconds)

    @rule(who=WHO)
    def give_back(self, who: str) -> None:
        self.group.give_back(self.name(who))

    @rule(what=st.sampled_from(("restart", "restart", "stall", "copy", "restore")))
    def cloud(self, what: str) -> None:
        match what:
            case "restart":
                self.group.restart_cloud()
            case "stall":
                self.group.stall()
            case "copy":
                self.group.copy()
            case _:
                self.group.restore()

    # Operators.

    @rule(who=st.sampled_from(sorted(NAMES)), seconds=LONG)
    def switch(self, who: str, seconds: float) -> None:
        self.group.switch(who)
        self.group.live(seconds)

    @rule(what=st.sampled_from(("pause", "resume", "resume", "settings")), chosen=SETTINGS)
    def operate(self, what: str, chosen: GroupSettings) -> None:
        match what:
            case "pause":
                self.group.pause()
            case "resume":
                self.group.resume()
            case _:
                self.group.set(chosen)

    # What must be so.

    @invariant()
    def nothing_is_wrong(self) -> None:
        if hasattr(self, "group"):
            assert self.group.problems == [], self.group.problems

    @invariant()
    def the_next_deadline_is_ahead(self) -> None:
        if hasattr(self, "group"):
            self.group.advance(0.0)

    @precondition(lambda self: hasattr(self, "group"))
    @rule()
    def once_nothing_is_wrong_the_first_in_order_works(self) -> None:
        group = self.group
        group.heal()
        group.live(SETTLED)
        assert group.problems == [], group.problems
        assert group.working is not None
        # One that is held back takes no work back, and keeps what it has.
        assert NAMES[group.working] <= NAMES[group.best]
        working = group.receivers[group.working]
        assert working.guard.may_take(group.clock(working))
        assert group.state.holds == ()


class LongGroupMachine(GroupMachine):
    """The same, for longer."""


COMMON = settings(
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    # Shrinking may take minutes; with Phase.shrink added here a failure gets short.
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestGroup = GroupMachine.TestCase
TestGroup.settings = settings(COMMON, max_examples=30)
TestGroupForLong = pytest.mark.full(LongGroupMachine.TestCase)
TestGroupForLong.settings = settings(COMMON, max_examples=500)
