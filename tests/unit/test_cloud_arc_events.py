"""What the ARC is told of a move (F10): which moves, under whose number, and as which alarm."""

import pytest

from hotspare.v1 import alarm_pb2
from hotspare_cloud.core.admission import Membership
from hotspare_cloud.core.state import ArcEvent, BeginEpoch, Reason
from hotspare_cloud.history import arc_alarm
from hotspare_cloud.store.base import GroupRow
from hotspare_model.alarm import AlarmMark, AlarmPath
from hotspare_model.contact_id import Qualifier
from hotspare_model.group import Role
from hotspare_rpc.wire import stored_alarm_from_proto
from tests.unit.cloud_trial import Trial, alone

TAKE_OVER, RETURN = ArcEvent.TAKE_OVER, ArcEvent.RETURN
ROW = GroupRow(1, "north", "default")


@pytest.fixture
def trial() -> Trial:
    trial = Trial()
    trial.arrive("host", "one", "two")
    return trial


def told(trial: Trial) -> list[ArcEvent | None]:
    """What was told of each move."""
    return [begun.arc_event for begun in trial.begun]


def test_f10_down_is_a_take_over_and_up_is_a_return(trial: Trial) -> None:
    trial.lose("host", "one", "two")
    trial.lose("one", "two")
    trial.restart("one")
    trial.hand_over("one", "two")
    assert trial.working == "one"
    trial.restart("host")
    trial.hand_over("host", "one", "two")
    assert trial.working == "host"
    assert told(trial) == [None, TAKE_OVER, TAKE_OVER, RETURN, RETURN]


def test_f10_nothing_at_the_first_start_nor_where_the_same_one_goes_on(trial: Trial) -> None:
    trial.restart("host")
    trial.stopping = {"host", "one", "two"}
    for who in ("two", "one", "host"):
        trial.beat(who)
    trial.release()
    trial.stopping = set()
    trial.restart("host")
    assert [begun.receiver_id for begun in trial.begun] == ["host", "host", "host"]
    assert told(trial) == [None, None, None]


def test_f10_who_works_after_a_time_of_nobody_is_compared_with_who_worked_last(trial: Trial) -> None:
    trial.stopping = {"host", "one", "two"}
    for who in ("two", "one", "host"):
        trial.beat(who)
    trial.release()
    for who in ("host", "one", "two"):
        trial.part(who)
    trial.run(600)
    trial.stopping = set()
    trial.restart("one")
    assert trial.begun[-1].arc_event is TAKE_OVER


def test_f10_it_is_compared_over_a_restart_of_the_cloud(trial: Trial) -> None:
    trial.restart_cloud()
    trial.arrive("one")
    trial.run(4, "one")
    assert (trial.working, trial.begun[-1].arc_event) == ("one", TAKE_OVER)


def test_f10_one_that_worked_alone_and_became_the_host_is_followed_by_a_take_over() -> None:
    trial = alone("anna")
    trial.arrive("anna")
    trial.join("anna", Role.HOST, 2)
    trial.join("one", Role.SPARE_1, 3)
    trial.arrive("one")
    trial.lose("anna", "one")
    trial.restart("anna")
    trial.hand_over("anna", "one")
    assert [begun.receiver_id for begun in trial.begun] == ["anna", "one", "anna"]
    assert told(trial) == [None, TAKE_OVER, RETURN]


def test_f10_one_of_the_same_rank_that_goes_on_for_one_that_was_replaced_is_none() -> None:
    trial = alone("anna", "bert")
    trial.arrive("anna", "bert")
    trial.lose("anna", "bert")
    assert told(trial) == [None, None]


@pytest.mark.parametrize("why", ["switchover", "unhealthy", "stop"])
def test_f10_planned_moves_are_told_as_well(trial: Trial, why: str) -> None:
    if why == "switchover":
        trial.switch("one")
    elif why == "unhealthy":
        trial.sick = {"host"}
    else:
        trial.stopping = {"host"}
    trial.beat("host")
    trial.release()
    assert trial.begun[-1].arc_event is TAKE_OVER


# The alarm.


def member(role: Role | None, account_number: str = "4711") -> Membership:
    return Membership("r-1", role, 1, "east", "m", "", "1", False, account_number, 0.0)


def begun(event: ArcEvent | None, epoch: int = 7) -> BeginEpoch:
    return BeginEpoch(epoch, "r-1", "i", "m", Reason.SILENT, "r-2", 1.0, arc_event=event)


@pytest.mark.parametrize(("event", "qualifier"), [(TAKE_OVER, Qualifier.NEW), (RETURN, Qualifier.RESTORE)])
def test_f10_the_event_is_an_alarm_of_the_receivers_own(event: ArcEvent, qualifier: Qualifier) -> None:
    made = arc_alarm(ROW, begun(event), member(Role.SPARE_1), None, "3BB")
    assert made is not None
    assert (made.device_id, made.account_number) == ("receiver:r-1", "4711")
    stored = stored_alarm_from_proto(alarm_pb2.StoredAlarm.FromString(made.payload))
    assert (stored.alarm.qualifier, stored.alarm.code) == (qualifier, "3BB")
    assert (stored.marks, stored.path) == ((AlarmMark.SYSTEM,), AlarmPath.SYSTEM)
    assert "epoch 7" in stored.alarm.text


def test_f10_the_id_follows_from_group_and_epoch() -> None:
    def made(row: GroupRow, epoch: int) -> str:
        alarm = arc_alarm(row, begun(TAKE_OVER, epoch), member(Role.SPARE_1), None, "399")
        assert alarm is not None
        return alarm.alarm_id

    assert made(ROW, 7) == made(ROW, 7)
    others = {made(ROW, 8), made(GroupRow(2, "north", "second"), 7), made(GroupRow(3, "south", "default"), 7)}
    assert len(others | {made(ROW, 7)}) == 4


def test_f10_none_without_an_account_number_of_its_own() -> None:
    assert arc_alarm(ROW, begun(TAKE_OVER), member(Role.SPARE_1, ""), None, "399") is None
    assert arc_alarm(ROW, begun(None), member(Role.SPARE_1), None, "399") is None
