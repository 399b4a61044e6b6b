"""D3: by what an alarm is known on the other path, where the format carries no id."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from hotspare_cloud.core.sameness import Side, Sighting, sighting_of
from hotspare_model.alarm import Alarm, AlarmMark, AlarmPath, CodeFormat
from hotspare_model.contact_id import Qualifier

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
ALARM = Alarm("", "panel", Qualifier.NEW, CodeFormat.CONTACT_ID, "130", 1, 7, NOON, "front door")


def seen(alarm: Alarm, path: AlarmPath = AlarmPath.CLOUD, *marks: AlarmMark) -> Sighting:
    sighting = sighting_of(alarm, path, NOON + timedelta(seconds=3), marks)
    assert sighting is not None
    return sighting


def test_d3_code_qualifier_partition_and_zone_make_the_content_and_the_text_does_not() -> None:
    content = seen(ALARM).content
    assert seen(replace(ALARM, text="other", alarm_id="x", verification_url="y")).content == content
    assert seen(ALARM, AlarmPath.DIRECT_DC09).content == content
    others = [
        replace(ALARM, code="131"),
        replace(ALARM, code_format=CodeFormat.SIA),
        replace(ALARM, qualifier=Qualifier.RESTORE),
        replace(ALARM, partition=2),
        replace(ALARM, zone=8),
        replace(ALARM, partition=17, zone=0),
    ]
    contents = {seen(other).content for other in others}
    assert len(contents) == len(others)
    assert content not in contents


def test_d3_the_two_paths_are_each_others_other() -> None:
    assert seen(ALARM).side is Side.CLOUD
    assert seen(ALARM, AlarmPath.DIRECT_DC09).side is Side.DIRECT
    assert Side.CLOUD.other is Side.DIRECT
    assert Side.DIRECT.other is Side.CLOUD


@pytest.mark.parametrize("path", [AlarmPath.DIRECT_GRPC, AlarmPath.SYSTEM])
def test_d3_what_has_an_id_of_its_own_is_known_by_that_alone(path: AlarmPath) -> None:
    assert sighting_of(ALARM, path, NOON, ()) is None


def test_d3_the_time_of_receipt_stands_for_a_time_that_is_not_believed() -> None:
    assert seen(ALARM).occurred == NOON.timestamp()
    assert seen(replace(ALARM, occurred=NOON.astimezone(timezone(timedelta(hours=5))))).occurred == NOON.timestamp()
    assert seen(replace(ALARM, occurred=None)).occurred == NOON.timestamp() + 3
    old = replace(ALARM, occurred=datetime(1970, 1, 1, tzinfo=UTC))
    assert seen(old, AlarmPath.CLOUD, AlarmMark.CLOCK_IMPLAUSIBLE).occurred == NOON.timestamp() + 3
