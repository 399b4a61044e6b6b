"""Alarms of a stream, a line each."""

from hotspare.v1.alarm_feed_service_pb2 import FeedAlarm
from hotspare.v1.alarm_pb2 import Qualifier
from hotspare_cli.words import clock, word
from hotspare_rpc.text import printable

_LONGEST = 4096


def feed_line(alarm: FeedAlarm) -> str:
    """When, which, from where, what; and what a reader has to know about this delivery of it."""
    stored = alarm.stored
    what = stored.alarm
    words = [
        clock(stored.receive_time),
        f"#{stored.number}" if stored.number else "test",
        f"account {stored.account_number}",
        what.device_id or "-",
        f"{what.code} ({word(Qualifier.DESCRIPTOR, what.qualifier or Qualifier.QUALIFIER_NEW)})",
        f"partition {what.partition} zone {what.zone}",
    ]
    if what.text:
        words.append(what.text)
    if alarm.attempt > 1:
        words.append(f"[delivery {alarm.attempt}]")
    return printable("  ".join(words), _LONGEST) + "\n"
