"""`alarm tail`: the alarms of a stream output, as automation software gets them."""

import sys

import click

from hotspare_cli.options import OutputForm, Target, output_option


@click.command("tail")
@click.argument("subscription")
@click.option("--limit", type=click.IntRange(min=1), help="End after so many. Without it: follow until Ctrl-C.")
@output_option
@click.pass_obj
def tail(target: Target, subscription: str, limit: int | None, output: OutputForm) -> None:
    """Show the alarms of a subscription as they come.

    SUBSCRIPTION is that of a stream output of this receiver.

    An alarm that was shown is acknowledged, and counts as confirmed there. So give it an output of its own (hotspare
    output add console --kind stream --subscription console --best-effort): on the subscription of your automation
    software it would take that software's place. With json: a line an alarm.
    """
    from hotspare.v1.alarm_feed_service_pb2 import FeedAlarm
    from hotspare_cli.emit import as_json_line, as_yaml
    from hotspare_cli.session import Session, ask
    from hotspare_cli.tail import Tail
    from hotspare_cli.views.feed import feed_line

    def show(alarm: FeedAlarm) -> None:
        match output:
            case OutputForm.TABLE:
                sys.stdout.write(feed_line(alarm))
            case OutputForm.JSON:
                sys.stdout.write(as_json_line(alarm))
            case OutputForm.YAML:
                sys.stdout.write(f"---\n{as_yaml(alarm)}")
        # Before it is acknowledged: what nobody could read must come again.
        sys.stdout.flush()

    def tell(text: str) -> None:
        click.echo(text, err=True)

    async def work(session: Session) -> None:
        await Tail(session, subscription, show, tell, limit).follow()

    ask(target, work)
