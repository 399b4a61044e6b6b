"""A10: what a broken panel gets wrong is marked, never refused.

Pure. Takes the plain values of an alarm and not an `Alarm`: it runs for each one that comes in.
"""

from hotspare_model.alarm import TEXT_LIMIT, AlarmMark
from hotspare_model.code_translation import is_listed
from hotspare_model.dc09_text import sanitise

OLDEST = 30 * 86_400.0
"""Seconds. A time of occurrence further back is not believed: panels keep alarms for days, not for months."""

NEWEST = 86_400.0
"""Seconds. One further ahead is not believed. A day, for panels that send their local time as UTC are off by up to 14
hours."""

PARTITION_LIMIT = 99
ZONE_LIMIT = 999


def marks_of(
    code_format: int,
    code: str,
    text: str,
    partition: int,
    zone: int,
    occurred: float | None,
    received: float,
) -> tuple[AlarmMark, ...]:
    """What is odd about an alarm that is taken all the same.

    `code_format`: a number of `CodeFormat`. `occurred`, `received`: seconds since 1970; None where the device told no
    time.
    """
    marks = []
    if occurred is None or not received - OLDEST <= occurred <= received + NEWEST:
        marks.append(AlarmMark.CLOCK_IMPLAUSIBLE)
    if not is_listed(code_format, code):
        marks.append(AlarmMark.UNKNOWN_CODE)
    if text and sanitise(text, TEXT_LIMIT).altered:
        marks.append(AlarmMark.TEXT_ALTERED)
    if partition > PARTITION_LIMIT or zone > ZONE_LIMIT:
        marks.append(AlarmMark.NUMBER_OUT_OF_RANGE)
    return tuple(marks)
