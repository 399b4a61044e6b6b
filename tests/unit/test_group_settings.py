"""The settings of a group, and the arithmetic of the lease."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotspare_model.errors import HotspareError, Reason
from hotspare_model.group import GroupSettings, updated
from hotspare_model.lease import CLOCK_RATE_ERROR, WRITE_DELAY, LeaseTerms, check_terms, holder_lease


def seconds(value: float) -> timedelta:
    return timedelta(seconds=value)


def test_f7_the_default_lease_of_the_holder_is_4_98_seconds() -> None:
    assert GroupSettings().checked().holder_lease == seconds(4.98)


@given(st.floats(2, 60))
def test_f7_no_two_leases_overlap_with_the_worst_clocks(lease: float) -> None:
    """The holder's lease, on the slowest clock, and the write's delay end before the cloud's on the fastest."""
    holder = holder_lease(seconds(lease)).total_seconds()
    slow = holder / (1 - CLOCK_RATE_ERROR)
    fast = lease / (1 + CLOCK_RATE_ERROR)
    assert slow + WRITE_DELAY.total_seconds() <= fast + 1e-6
    assert holder > 0


def test_f7_a_lease_that_breaks_the_inequality_is_refused_with_the_arithmetic() -> None:
    with pytest.raises(HotspareError) as caught:
        check_terms(LeaseTerms(cloud=seconds(6), holder=seconds(5.5)))
    assert caught.value.reason is Reason.LEASE_ARITHMETIC
    assert "5.5 / 0.999 + 1" in caught.value.metadata["arithmetic"]
    assert "6 / 1.001" in caught.value.metadata["arithmetic"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lease", seconds(1.9)),
        ("lease", seconds(61)),
        ("beat", seconds(0.4)),
        ("beat", seconds(1.3)),
        ("reconnect_grace", seconds(0.1)),
        ("reconnect_grace", seconds(6.1)),
        ("suspect_after", seconds(1.9)),
        ("restart_grace", seconds(0.9)),
        ("unhealthy_after", seconds(301)),
        ("failback_delay", seconds(-1)),
        ("drain_timeout", seconds(0.5)),
        ("losses_per_hour", 0),
        ("window", 10_001),
        ("sync_interval", seconds(4)),
        ("set_aside_after", 101),
        ("takeover_event_code", "39"),
    ],
)
def test_a_setting_outside_its_range_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(HotspareError) as caught:
        updated(GroupSettings(), **{name: value})
    assert caught.value.reason is Reason.FIELD_INVALID
    assert caught.value.metadata["field"] == name


def test_a_setting_at_the_end_of_its_range_is_taken() -> None:
    assert updated(GroupSettings(), window=10_000, failback_delay=seconds(0)).window == 10_000
