"""`doctor`: what usually goes wrong, looked at from this machine."""

import click

from hotspare_cli.errors import ExitCode
from hotspare_cli.options import OutputForm, Target, output_option


@click.command()
@output_option
@click.pass_obj
def doctor(target: Target, output: OutputForm) -> None:
    """Look for what usually goes wrong, and tell what to do.

    From this machine: the server's name, port and certificate, your token; on the receiver's own machine also those of
    its cloud. Then what the receiver tells: ARC key, clock, roles, outputs, disk, versions, settings. Nothing is
    changed. The exit status is 4 when something is wrong.
    """
    from hotspare_cli.checks import is_sound
    from hotspare_cli.examine import examine

    checks = examine(target)
    if output is OutputForm.TABLE:
        from hotspare_cli.screen import show
        from hotspare_cli.views.doctor import doctor_view

        show(doctor_view(checks))
    else:
        from hotspare_cli.plain_data import write

        rows = [
            {"name": str(one.name), "verdict": str(one.verdict), "told": one.told, "advice": one.advice}
            for one in checks
        ]
        write({"sound": is_sound(checks), "checks": rows}, output)
    if not is_sound(checks):
        raise SystemExit(ExitCode.NOT_HEALTHY)
