"""The metrics of a receiver's alarm path move with what happens there. tests/unit/test_metrics_list.py lists all."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from datetime import timedelta

import pytest
from prometheus_client.core import Metric

from hotspare_model.code_translation import CodeBook, Definition
from hotspare_model.dc09_reply import encode_duh, encode_nak
from hotspare_model.group import Role
from hotspare_receiver.core import forwarder as forwarder_module
from hotspare_receiver.core.backoff import Backoff
from hotspare_receiver.core.group_view import GroupView
from hotspare_receiver.metrics import metrics_of
from hotspare_receiver.snapshot import LinkState, SyncReport
from hotspare_receiver.status import StatusView, member_status
from tests.acceptance.harness.scraping import Page
from tests.integration.moving import moving, page_of
from tests.integration.path_fakes import MORNING, SETTINGS, FakeArc, FakeCloud, Receiver, stored_alarm, until

Look = Callable[[], Awaitable[Page]]


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarder_module.Forwarder.__init__, "__defaults__", (Backoff(first=0.02, longest=0.05),))


@pytest.fixture
def page(receiver: Receiver) -> Look:
    """The page of a receiver of which only the alarm path is there."""

    def collect() -> Iterable[Metric]:
        path = receiver.path.snapshot()
        return metrics_of(StatusView(Role.HOST, member_status(path), path, SyncReport(1, 7), 0, 0, 0, (), ()))

    return page_of(collect)


async def working(receiver: Receiver) -> None:
    """Start it, and wait until it has its lease, its stream of alarms and its link to the ARC."""
    receiver.start()
    await until(lambda: receiver.path.snapshot().lease.working and receiver.path.snapshot().pull.open)
    await until(lambda: receiver.path.snapshot().outputs[0].link is LinkState.UP)


async def test_a_lease_that_is_given_and_taken_moves_the_metrics_of_who_works(
    receiver: Receiver, cloud: FakeCloud, page: Look
) -> None:
    cloud.working = False
    receiver.start()
    await until(lambda: cloud.beats and receiver.path.snapshot().cloud.connected)
    async with moving(
        page,
        'hotspare_receiver_status{status="working"} =1',
        'hotspare_receiver_status{status="standby"} =0',
        "hotspare_receiver_working =1",
        "hotspare_receiver_epoch =1",
        "hotspare_receiver_lease_remaining_seconds up",
        "hotspare_receiver_lease_renewal_seconds_count up",
        "hotspare_receiver_lease_renewal_seconds_sum up",
        "hotspare_receiver_beats_total up",
    ):
        cloud.working = True
        cloud.push()
    async with moving(page, "hotspare_receiver_epoch =0", "hotspare_receiver_lease_remaining_seconds =0"):
        cloud.end_epoch(epoch=2)


async def test_a_cloud_that_does_not_answer_moves_the_metrics_of_the_way_to_it(
    receiver: Receiver, cloud: FakeCloud, page: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    await working(receiver)
    first = (await page()).value("hotspare_receiver_cloud_round_trip_seconds")
    async with moving(page, "hotspare_receiver_beats_total up"):
        pass
    await until(lambda: receiver.path.snapshot().cloud.round_trip != timedelta(seconds=first))
    assert (await page()).value("hotspare_receiver_cloud_round_trip_seconds") != first
    answers = cloud.state
    async with moving(page, "hotspare_receiver_beats_missed_total up"):
        monkeypatch.setattr(cloud, "state", lambda beat: answers(0))
    async with moving(page, "hotspare_receiver_cloud_connected =0", 'hotspare_receiver_status{status="offline"} =1'):
        await cloud.server.stop(0)


async def test_alarms_move_what_was_taken_confirmed_and_waits(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc, page: Look
) -> None:
    await working(receiver)
    cloud.storing, cloud.attempts[3] = False, 1
    answers, going = arc.answer, asyncio.Event()
    arc.answer = lambda frame: answers(frame) if going.is_set() else None
    async with moving(
        page,
        "hotspare_receiver_alarms_delivered_total +3",
        "hotspare_receiver_alarms_redelivered_total +1",
        "hotspare_receiver_alarms_waiting =3",
        "hotspare_receiver_alarms_oldest_seconds up",
        'hotspare_receiver_output_alarms_waiting{output="arc"} up',
    ):
        cloud.publish(stored_alarm(1), stored_alarm(2, "other"), stored_alarm(3, "third"))
    async with moving(
        page,
        "hotspare_receiver_alarms_confirmed_total +3",
        'hotspare_receiver_output_alarms_confirmed_total{output="arc"} +3',
        'hotspare_receiver_output_attempts_total{output="arc",outcome="confirmed"} +3',
        "hotspare_receiver_confirmations_unstored =3",
        "hotspare_receiver_alarms_waiting =0",
    ):
        going.set()


async def test_a5_what_an_arc_refuses_moves_the_attempts_by_their_outcome(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc, page: Look
) -> None:
    cloud.settings = replace(SETTINGS, set_aside_after=2)
    await working(receiver)
    arc.answer = encode_duh
    async with moving(
        page,
        'hotspare_receiver_output_attempts_total{output="arc",outcome="refused"} +2',
        "hotspare_receiver_alarms_set_aside_total +1",
    ):
        cloud.publish(stored_alarm(1))
    async with moving(page, 'hotspare_receiver_output_attempts_total{output="arc",outcome="clock_refused"} up'):
        arc.answer = lambda frame: encode_nak(MORNING)
        cloud.publish(stored_alarm(2))
    async with moving(page, 'hotspare_receiver_output_attempts_total{output="arc",outcome="unknown"} up'):
        arc.answer = lambda frame: None


async def test_f6_f7_what_comes_twice_or_is_taken_back_moves_its_counters(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc, page: Look
) -> None:
    await working(receiver)
    cloud.storing = False
    async with moving(page, "hotspare_receiver_alarms_confirmed_total +1"):
        cloud.publish(stored_alarm(1))
    await until(lambda: cloud.confirmed == [1])
    cloud.queue[1], cloud.storing = stored_alarm(1), True
    async with moving(page, "hotspare_receiver_alarms_confirmed_again_total +1"):
        receiver.path._pull.reopen("the test says so")
    arc.answer = lambda frame: None
    async with moving(page, "hotspare_receiver_alarms_waiting =2"):
        cloud.publish(stored_alarm(2), stored_alarm(3))
    async with moving(page, "hotspare_receiver_alarms_withdrawn_total +1"):
        cloud.withdraw(3)
    async with moving(page, "hotspare_receiver_pulls_reopened_total up"):
        cloud.skip_delivery = True
        cloud.publish(stored_alarm(4))


async def test_a4_a10_what_the_configuration_says_moves_generic_and_not_forwarded(
    receiver: Receiver, cloud: FakeCloud, page: Look
) -> None:
    await working(receiver)
    receiver.path.follow_group(GroupView(CodeBook([Definition("602", "RP", forwarded=False)])))
    async with moving(
        page,
        "hotspare_receiver_alarms_not_forwarded_total +1",
        'hotspare_receiver_output_alarms_generic_total{output="arc"} +1',
    ):
        cloud.publish(stored_alarm(1, code="602"), stored_alarm(2, code="9B1"))


async def test_f5_f8_a_hand_over_and_a_pause_are_shown(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc, page: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    await working(receiver)
    answers = cloud.state

    def paused(beat: int) -> object:
        state = answers(beat)
        state.paused = True
        return state

    async with moving(page, "hotspare_receiver_paused =1"):
        monkeypatch.setattr(cloud, "state", paused)
    arc.answer = lambda frame: None
    async with moving(page, "hotspare_receiver_alarms_waiting =1"):
        cloud.publish(stored_alarm(1))
    async with moving(page, "hotspare_receiver_draining =1"):
        cloud.yield_to = "another"
        cloud.push()


async def test_f3_what_is_wrong_moves_the_metrics_of_health(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc, page: Look
) -> None:
    cloud.settings = replace(SETTINGS, unhealthy_after=timedelta(seconds=1))
    await working(receiver)
    async with moving(
        page,
        'hotspare_receiver_output_link{output="arc",state="up"} =0',
        "hotspare_receiver_healthy =0",
        'hotspare_receiver_health_problems{kind="output_down"} =1',
        'hotspare_receiver_health_problems{kind="disk_low"} =1',
        "hotspare_receiver_disk_free_bytes =5",
    ):
        await arc.stop()
        receiver.disk_free = 5


async def test_f3_a_loop_that_stood_still_is_shown(receiver: Receiver, page: Look) -> None:
    await working(receiver)
    async with moving(page, "hotspare_receiver_loop_lag_seconds up"):
        time.sleep(0.6)  # noqa: ASYNC251 - that is the trouble
