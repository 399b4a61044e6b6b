"""`alarm replay`: alarms that were set aside go out again, one, several, or all of them."""

from typing import TYPE_CHECKING

import click

from hotspare_cli.alarm_keys import number_and_id
from hotspare_cli.consent import NOBODY_TO_ASK
from hotspare_cli.errors import usage_error
from hotspare_cli.hints import THROUGH_RECEIVER
from hotspare_cli.options import OutputForm, Target, confirm, on_terminal, output_option, yes_option

if TYPE_CHECKING:
    from hotspare.v1.alarm_pull_service_pb2 import ReplayAlarmResponse

_MAY_BE_SENT = "It may be on its way all the same: hotspare alarm rejected lists it no more then."


@click.command("replay")
@click.argument("keys", metavar="[NUMBER|ID]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All that are set aside now.")
@click.option("--device", "device_id", default="", metavar="ID", help="With --all: only those of this device.")
@yes_option
@output_option
@click.pass_obj
def replay(target: Target, keys: tuple[str, ...], every: bool, device_id: str, yes: bool, output: OutputForm) -> None:
    """Send alarms again that were set aside.

    Each goes out at its place by number, to all outputs, and is the same alarm to the ARC. An alarm that is not set
    aside is refused. Your name is recorded. With --all you are told how many they are, and asked.
    """
    from hotspare_cli.replaying import number_of, replay_one, set_aside
    from hotspare_cli.session import Session, ask

    if every == bool(keys) or (device_id and not every):
        raise usage_error(
            "Either alarms are named, or --all is.", "Name numbers or ids (hotspare alarm rejected), or say --all."
        )
    named = [number_and_id(key) for key in keys]
    if every:
        whose = f" of the device {device_id}" if device_id else ""
        if not yes and not on_terminal():
            raise usage_error(f"This sends all alarms{whose} again that are set aside.", NOBODY_TO_ASK)
        found = ask(target, lambda session: set_aside(session, device_id), hints=THROUGH_RECEIVER)
        if found:
            count = "1 alarm" if len(found) == 1 else f"{len(found):,} alarms"
            confirm(f"This sends {count}{whose} again that the ARC refused, or that nobody could deliver.", yes=yes)
        named = [(one, "") for one in found]

    async def work(session: Session) -> "list[ReplayAlarmResponse]":
        if len(named) == 1:
            return [await replay_one(session, await number_of(session, *named[0]))]
        from hotspare_cli.replaying import replay_all

        return await replay_all(session, named, as_listed=every)

    hints = {**THROUGH_RECEIVER, "DEADLINE_EXCEEDED": _MAY_BE_SENT}
    _show(ask(target, work, hints=hints) if named else [], output)


def _show(responses: "list[ReplayAlarmResponse]", output: OutputForm) -> None:
    """One answer as always; of several a line each, or how many they are."""
    from hotspare_cli.emit import as_json_line, as_yaml, emit
    from hotspare_cli.views.alarms import replayed_view

    if len(responses) == 1:
        emit(responses[0], output, replayed_view)
        return
    for response in responses if output is not OutputForm.TABLE else ():
        click.echo(as_json_line(response) if output is OutputForm.JSON else f"---\n{as_yaml(response)}", nl=False)
    if output is OutputForm.TABLE:
        count = f"{len(responses):,} alarms are in the queue again." if responses else "No alarm is set aside."
        click.echo(count)
