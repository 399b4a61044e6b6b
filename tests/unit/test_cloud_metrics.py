"""What the cloud's metrics tell of its members, and of the time that confirmations take."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from hotspare.v1 import group_pb2
from hotspare_cloud.attendance import Report
from hotspare_cloud.core.admission import Membership
from hotspare_cloud.directory import Directory
from hotspare_cloud.metrics_members import MemberCollector
from hotspare_cloud.spans import CONFIRMATION_BOUNDS, Spans
from hotspare_model.group import Role
from hotspare_model.sync_state import SyncState


def member(receiver_id: str, role: Role | None, version: str) -> Membership:
    return Membership(receiver_id, role, 1, "name", "machine", "host:1", version, False, "", 0.0)


@dataclass
class Books:
    """A directory of one group, as far as the collector reads it."""

    members: dict[str, Membership] = field(default_factory=dict)
    reports: dict[str, Report] = field(default_factory=dict)
    delivery: Any = field(default_factory=lambda: SimpleNamespace(pull=None))
    row: Any = field(default_factory=lambda: SimpleNamespace(arc_id="north", sub_account="default"))

    def groups(self) -> list["Books"]:
        return [self]


@pytest.fixture
def books() -> Books:
    found = [
        member("a", Role.HOST, "1.1.0"), member("b", Role.SPARE_2, "1.0.0"), member("c", None, "1.2.0"),
    ]  # fmt: skip
    return Books({each.receiver_id: each for each in found})


@pytest.fixture
def registry(books: Books) -> CollectorRegistry:
    made = CollectorRegistry()
    MemberCollector(made, cast(Directory, books))
    return made


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(f"hotspare_cloud_{name}", {"arc_id": "north", "sub_account": "default", **labels})


def test_the_states_have_the_numbers_of_the_contract() -> None:
    names = {state.name: int(state) for state in SyncState}
    theirs = {name.removeprefix("SYNC_STATE_"): number for name, number in group_pb2.SyncState.items()}
    assert names == {"UNKNOWN" if name == "UNSPECIFIED" else name: number for name, number in theirs.items()}


def test_v3_a_state_of_a_later_version_counts_as_not_told() -> None:
    assert SyncState(99) is SyncState.UNKNOWN


def test_g6_the_version_of_each_role_is_told_and_follows(registry: CollectorRegistry, books: Books) -> None:
    assert value(registry, "member_info", role="host", version="1.1.0") == 1
    assert value(registry, "member_info", role="spare_2", version="1.0.0") == 1
    assert value(registry, "member_info", role="spare_1", version="1.0.0") is None
    books.members["b"] = member("b", Role.SPARE_2, "1.1.0")
    assert value(registry, "member_info", role="spare_2", version="1.0.0") is None
    assert value(registry, "member_info", role="spare_2", version="1.1.0") == 1


def test_b6_the_state_of_each_copy_is_told_with_all_its_children(registry: CollectorRegistry, books: Books) -> None:
    def states(role: str) -> dict[str, float | None]:
        return {
            each.name.lower(): value(registry, "member_sync_state", role=role, state=each.name.lower())
            for each in SyncState
        }

    nothing = {each.name.lower(): 0.0 for each in SyncState}
    assert states("host") == {**nothing, "unknown": 1}, "it has not told yet"
    assert states("spare_1") == nothing, "the role is free"
    books.reports["b"] = Report(sync_state=int(SyncState.BEHIND), sync_revision=7)
    assert states("spare_2") == {**nothing, "behind": 1}
    assert value(registry, "member_revision", role="spare_2") == 7
    assert value(registry, "member_revision", role="spare_1") == 0
    books.reports["b"] = Report(sync_state=int(SyncState.UP_TO_DATE), sync_revision=9)
    assert states("spare_2") == {**nothing, "up_to_date": 1}
    assert value(registry, "member_revision", role="spare_2") == 9


def test_f2_whether_somebody_pulls_is_told(registry: CollectorRegistry, books: Books) -> None:
    assert value(registry, "pull_open") == 0
    books.delivery.pull = object()
    assert value(registry, "pull_open") == 1


def test_a4_spans_fall_under_their_bounds() -> None:
    spans = Spans(CONFIRMATION_BOUNDS)
    assert spans.buckets()[-1] == ("+Inf", 0.0)
    spans.add([0.05, 0.06, 5.9, 7200.0])
    found = dict(spans.buckets())
    assert [found[name] for name in ("0.05", "0.1", "5.0", "10.0", "3600.0", "+Inf")] == [1, 2, 2, 3, 3, 4]
    assert spans.total == pytest.approx(7206.01)


def test_a_clock_that_was_set_back_makes_no_negative_span() -> None:
    spans = Spans((1.0,))
    spans.add([-30.0])
    assert (spans.buckets(), spans.total) == ([("1.0", 1.0), ("+Inf", 1.0)], 0.0)
