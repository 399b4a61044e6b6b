"""`alarm`: what came through this receiver, what was set aside; and publishing, as a device does, at the cloud."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hotspare_cli.alarm_keys import canonical_id, number_and_id
from hotspare_cli.errors import CliError, usage_error
from hotspare_cli.files import read_secret
from hotspare_cli.groups import HelpfulGroup
from hotspare_cli.moments import moment
from hotspare_cli.options import FILE, Limit, OutputForm, Target, output_option, watch_option

if TYPE_CHECKING:
    from hotspare.v1.alarm_pb2 import Alarm

STATES = ("stored", "delivered", "held", "confirmed", "set-aside", "not-forwarded", "given-back")
_DEVICE_CREDENTIALS = (
    "Check --arc-id, --device and the key file. "
    "The cloud knows a new device a few seconds after it was created on the host."
)


@click.group(cls=HelpfulGroup)
def alarm() -> None:
    """Alarms: list and show them, or send some.

    `list` tells what came through this receiver, `show` all that it and the cloud know of one alarm, `rejected` what
    the whole group has set aside; `replay` sends such a one again. `send` publishes at the cloud, as a device does.
    """


@alarm.command("list")
@click.option("--device", "device_id", default="", metavar="ID", help="Only those of this device.")
@click.option("--state", type=click.Choice(STATES), help="Only those in this state.")
@click.option(
    "--since", metavar="TIME|SPAN", help="Only received from then on: 2026-11-22T16:04:26Z, or so long ago: 2h."
)
@click.option("--until", metavar="TIME|SPAN", help="Only received before then, given as for --since.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    help="Only the newest ones, so many. Without it: all; on a terminal 100.",
)
@watch_option
@output_option
@click.pass_obj
def list_(
    target: Target,
    device_id: str,
    state: str | None,
    since: str | None,
    until: str | None,
    limit: int | None,
    watch: bool,
    output: OutputForm,
) -> None:
    """List the alarms that this receiver had, newest first.

    The order is that of their receipt.
    """
    from hotspare.v1.alarm_feed_service_pb2 import ListAlarmsRequest, ListAlarmsResponse
    from hotspare.v1.alarm_pb2 import AlarmState
    from hotspare_cli import repeated
    from hotspare_cli.session import Session
    from hotspare_cli.views.alarms import alarms_view

    wanted = Limit.of(limit, output)
    request = ListAlarmsRequest(device_id=device_id, page_size=min(wanted.asked or 1000, 1000))
    if state is not None:
        request.state = AlarmState.Value(f"ALARM_STATE_{state.upper().replace('-', '_')}")
    now = datetime.now(UTC)
    start = moment(since, "--since", now) if since is not None else None
    end = moment(until, "--until", now) if until is not None else None
    if start is not None and end is not None and start >= end:
        raise usage_error("--since is not before --until, so nothing can lie between.", "Exchange the two.")
    if start is not None:
        request.start_time.FromDatetime(start)
    if end is not None:
        request.end_time.FromDatetime(end)

    def enough(merged: ListAlarmsResponse) -> bool:
        return wanted.enough(merged.alarms)

    async def work(session: Session) -> tuple[ListAlarmsResponse, bool]:
        request.page_token = ""
        response = await session.all_pages(session.feed.ListAlarms, request, enough)
        return response, wanted.cut(response.alarms)

    repeated.show(target, work, lambda seen: alarms_view(*seen), output, watch=watch)


@alarm.command("show")
@click.argument("key", metavar="NUMBER|ID")
@output_option
@click.pass_obj
def show(target: Target, key: str, output: OutputForm) -> None:
    """Show the whole life of one alarm.

    It is named by its number in the group, or by its id (a UUID). The history of this receiver is joined with what the
    cloud knows, through this receiver; each is told apart. While the cloud can't be reached, or where another receiver
    had the alarm, the rest is told.
    """
    from hotspare_cli.alarm_life import find_life
    from hotspare_cli.emit import emit
    from hotspare_cli.session import ask
    from hotspare_cli.views.alarm_life import life_view

    number, alarm_id = number_and_id(key)
    life = ask(target, lambda session: find_life(session, number, alarm_id))
    emit(life.response(), output, lambda _: life_view(life))


@alarm.command("rejected")
@click.option("--device", "device_id", default="", metavar="ID", help="Only those of this device.")
@click.option("--limit", type=click.IntRange(min=1), help="Only the oldest ones, so many. Without it: all.")
@watch_option
@output_option
@click.pass_obj
def rejected(target: Target, device_id: str, limit: int | None, watch: bool, output: OutputForm) -> None:
    """List the group's alarms that were set aside, oldest first.

    They are not confirmed: an output refused each again and again, or the working receiver was lost again and again
    while it had it. Of several outputs one may have it all the same, and one that is lost under it may have reached
    the ARC: hotspare alarm show NUMBER has each attempt.

    They hold up nobody, and are deleted after 90 days, if the cloud's operator chose nothing else. hotspare alarm
    replay sends them to all outputs again, under the same identity.
    """
    from hotspare.v1.alarm_pb2 import AlarmState
    from hotspare.v1.alarm_pull_service_pb2 import ListQueueRequest, ListQueueResponse
    from hotspare_cli import repeated
    from hotspare_cli.hints import THROUGH_RECEIVER
    from hotspare_cli.session import Session
    from hotspare_cli.views.alarms import rejected_view

    request = ListQueueRequest(
        state=AlarmState.ALARM_STATE_SET_ASIDE, device_id=device_id, page_size=min(limit or 1000, 1000)
    )

    def enough(merged: ListQueueResponse) -> bool:
        return limit is not None and len(merged.alarms) >= limit

    async def work(session: Session) -> ListQueueResponse:
        request.page_token = ""
        response = await session.all_pages(session.queue.ListQueue, request, enough)
        if limit is not None:
            del response.alarms[limit:]
        return response

    repeated.show(target, work, rejected_view, output, watch=watch, hints=THROUGH_RECEIVER)


@alarm.command("send")
@click.option("--arc-id", required=True, metavar="ID", help="The ARC account of the device.")
@click.option("--device", "device_id", required=True, metavar="ID", help="The device that publishes.")
@click.option("--key-file", type=FILE, required=True, help="The file with the device's key, of mode 0600.")
@click.option(
    "--code",
    required=True,
    metavar="QEEE",
    help="Contact ID: 1 (new), 3 (restore) or 6 (still there), then the code.",
)
@click.option("--partition", type=click.IntRange(0, 99), default=0, show_default=True, help="The partition (area).")
@click.option("--zone", type=click.IntRange(0, 999), default=0, show_default=True, help="The zone or user.")
@click.option(
    "--count",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="How many; each gets the next zone, and after 999 comes 0.",
)
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="At most so many a second.")
@click.option("--text", default="", help="A text for the ARC's people.")
@click.option(
    "--occurred",
    metavar="TIME",
    help="When it happened, as 2026-11-22T16:04:26Z. Without it: now.",
)
@click.option("--alarm-id", metavar="UUID", help="The id, to publish an alarm again. Without it: a new one for each.")
@click.pass_obj
def send(
    target: Target,
    arc_id: str,
    device_id: str,
    key_file: Path,
    code: str,
    partition: int,
    zone: int,
    count: int,
    rate: float | None,
    text: str,
    occurred: str | None,
    alarm_id: str | None,
) -> None:
    """Publish alarms, as a device does.

    They go to the cloud that --server names. One goes after the other, each under its own id, and
    is tried again under that id while the cloud cannot be reached or has no room, for --timeout seconds. An
    alarm that is answered is safe on the cloud's disk.
    """
    from hotspare_cli.progress import Progress
    from hotspare_cli.publish import Tally, numbered, publish
    from hotspare_cli.session import Session, ask
    from hotspare_model.errors import Reason
    from hotspare_rpc.credentials import DeviceCredentials

    if alarm_id is not None and count != 1:
        raise usage_error("--alarm-id names one alarm, and --count more.", "Leave one of the two out.")
    first = _alarm(code, partition, zone, text, occurred, alarm_id)
    first.device_id = _id(device_id, "--device")
    credentials = DeviceCredentials(_id(arc_id, "--arc-id"), device_id, read_secret(key_file, "device key"))
    tally = Tally(count)

    async def work(session: Session) -> None:
        try:
            with Progress("Publishing") as line:

                def told(done: int) -> None:
                    if count > 1:
                        line.show(done, count, "alarms")

                alarms = numbered(first, count)
                await publish(session, alarms, tally, rate=rate, patience=target.timeout, progress=told)
        finally:
            # Also when it is interrupted: what was answered is safe, and somebody wants to know how many.
            click.echo(str(tally))

    hints = {str(Reason.INVALID_CREDENTIALS): _DEVICE_CREDENTIALS}
    ask(target, work, metadata=credentials.metadata(), hints=hints)
    if tally.problem is not None:
        raise CliError(tally.problem.what, tally.problem.hint)


def _alarm(code: str, partition: int, zone: int, text: str, occurred: str | None, alarm_id: str | None) -> "Alarm":
    """What all alarms of the run have in common; id and time are left unset where they were not given."""
    from hotspare.v1.alarm_pb2 import Alarm, CodeFormat, Qualifier
    from hotspare_model.contact_id import ContactIdError, parse_code
    from hotspare_model.contact_id import Qualifier as Q

    try:
        q, event = parse_code(code)
    except ContactIdError as problem:
        raise usage_error(f"--code: {problem}.", "An example: --code 1130 (burglary, new).") from None
    qualifiers = {
        Q.NEW: Qualifier.QUALIFIER_NEW,
        Q.RESTORE: Qualifier.QUALIFIER_RESTORE,
        Q.STATUS: Qualifier.QUALIFIER_STATUS,
    }
    alarm = Alarm(
        alarm_id=canonical_id(alarm_id) if alarm_id is not None else "",
        qualifier=qualifiers[q],
        code_format=CodeFormat.CODE_FORMAT_CONTACT_ID,
        code=event,
        partition=partition,
        zone=zone,
        text=text,
    )
    if occurred is not None:
        alarm.occur_time.FromDatetime(_time(occurred))
    return alarm


def _id(text: str, option: str) -> str:
    """An id that can stand in the metadata of a call."""
    if re.fullmatch(r"[A-Za-z0-9._-]{1,64}", text) is None:
        raise usage_error(f"{option}: {text!r} is no id.", "An id is 1 to 64 characters of A-Z a-z 0-9 . _ -")
    return text


def _time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise usage_error(f"--occurred: {text!r} is no time.", "An example: --occurred 2026-11-22T16:04:26Z.") from None
    return moment.astimezone(UTC)
