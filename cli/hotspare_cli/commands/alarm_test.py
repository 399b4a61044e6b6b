"""`alarm test`: an alarm of the receiver's own that goes the whole way."""

from typing import TYPE_CHECKING

import click

from hotspare_cli.hints import THROUGH_RECEIVER
from hotspare_cli.options import OutputForm, Target, output_option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hotspare.v1.alarm_feed_service_pb2 import SendTestAlarmResponse
    from hotspare_cli.layout import Part

_LONGEST = 10.0
"""Seconds that the contract gives it."""


@click.command("test")
@click.option("--code", default="", metavar="EEE", help="Contact ID code. Without it: 602, the periodic test.")
@click.option("--text", default="", help="A text for the ARC's people.")
@output_option
@click.pass_obj
def test(target: Target, code: str, text: str, output: OutputForm) -> None:
    """Send a test alarm the whole way: cloud, receiver, ARC.

    It is an alarm as any other, under the receiver's own account number (hotspare settings set --own-account), and the
    receiver that works forwards it. hotspare output test tries one output alone.
    """
    import uuid

    from hotspare.v1.alarm_feed_service_pb2 import SendTestAlarmRequest
    from hotspare_cli.emit import emit
    from hotspare_cli.session import ask

    request = SendTestAlarmRequest(alarm_id=str(uuid.uuid4()), code=code, text=text)
    response = ask(
        target,
        lambda session: session.call(session.feed.SendTestAlarm, request, timeout=target.deadline(_LONGEST)),
        hints=THROUGH_RECEIVER,
    )
    emit(response, output, lambda answer: _view(answer))


def _view(response: "SendTestAlarmResponse") -> "Iterator[Part]":
    from hotspare_cli.layout import Cell, Lines, Tone
    from hotspare_cli.words import duration, number

    took = duration(response.round_trip)
    sent = f"The cloud has the test alarm, after {took}: it is alarm {number(response.number)} of the group."
    told = f"hotspare alarm show {response.number}, at the receiver that works, tells what comes of it."
    yield Lines((Cell(sent, Tone.GOOD), told))
