"""The command `hotspare-sim`: the other ends of the system, for trials and tests.

Imports little at the top, so that `--help` is instant and each subcommand loads only what it needs.
"""

import asyncio
from datetime import timedelta
from pathlib import Path

import click

from hotspare_rpc.address import Address
from hotspare_rpc.cli_args import ADDRESS

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_LOG = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)
_POSITIVE = click.FloatRange(min=0, min_open=True)
_FAULTS = ("mute", "rubbish", "close", "nak", "duh", "half", "late", "twice", "wrong-sequence")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hotspare")
def main() -> None:
    """Simulate an ARC's automation software and alarm devices, or run the whole demo."""


@main.command()
@click.option(
    "--kind", type=click.Choice(("dc09", "surgard")), default="dc09", show_default=True, help="What to speak."
)
@click.option("--listen", type=ADDRESS, required=True, help="Where to take alarms over TCP. Port 0 picks one.")
@click.option("--key-file", type=_FILE, help="AES key of all accounts, 32, 48 or 64 hex digits.")
@click.option(
    "--account-key",
    "account_keys",
    multiple=True,
    metavar="ACCOUNT=FILE",
    help="AES key of one account, instead of that of --key-file. May be repeated.",
)
@click.option("--log", type=_LOG, help="Append a line of JSON for each frame, before it is acknowledged.")
@click.option("--delay", type=click.FloatRange(min=0), default=0.0, help="Seconds before each answer.")
@click.option("--fault", type=click.Choice(_FAULTS), help="Misbehave in this way.")
@click.option("--fault-count", type=click.IntRange(min=1), help="Alarms that meet the fault. Default: all.")
@click.option(
    "--late",
    type=click.FloatRange(min=0),
    default=6.0,
    show_default=True,
    help="Seconds; for `--fault late`.",
)
def arc(
    kind: str,
    listen: Address,
    key_file: Path | None,
    account_keys: tuple[str, ...],
    log: Path | None,
    delay: float,
    fault: str | None,
    fault_count: int | None,
    late: float,
) -> None:
    """Be an ARC's automation software: take alarms over TCP and acknowledge them, until SIGTERM."""
    from hotspare_sim.arc import Behaviour
    from hotspare_sim.arc_command import read_keys, run_arc
    from hotspare_sim.core.answers import Fault

    if fault_count is not None and fault is None:
        raise click.UsageError("--fault-count goes with --fault")
    behaviour = Behaviour(
        timedelta(seconds=delay), Fault(fault) if fault else None, fault_count, timedelta(seconds=late)
    )
    asyncio.run(run_arc(kind, listen, read_keys(key_file, account_keys), behaviour, log))


@main.command()
@click.option("--cloud", type=ADDRESS, required=True, help="gRPC address of the cloud.")
@click.option("--tls-ca", type=_FILE, help="Speak TLS, and trust these certificates (PEM).")
@click.option("--arc-id", required=True, help="The ARC account of the devices.")
@click.option("--keys", type=_FILE, required=True, help="JSON object of device keys by device id; mode 0600.")
@click.option("--rate", type=_POSITIVE, default=10.0, show_default=True, help="Alarms a second, in all.")
@click.option("--count", type=click.IntRange(min=1), help="Alarms in all. Default: until SIGTERM.")
@click.option("--seed", type=int, help="Make the same events every time.")
@click.option("--log", type=_LOG, help="Append a line of JSON for each alarm, after it was answered.")
@click.option("--stream", is_flag=True, help="Publish in batches over a stream, instead of one by one.")
@click.option("--no-beat", is_flag=True, help="Say nothing but alarms: who has none falls silent.")
@click.option("--numbered", is_flag=True, help="Partition and zone of each alarm are its device's number of it.")
@click.option("--direct", type=ADDRESS, help="Speak DC-09 to the host here; to the cloud where it does not answer.")
@click.option("--panels", type=_FILE, help="For --direct: JSON of account and AES key by device id; mode 0600.")
@click.option("--stop-timeout", type=_POSITIVE, default=10.0, show_default=True, help="Seconds for the last answers.")
def devices(
    cloud: Address,
    tls_ca: Path | None,
    arc_id: str,
    keys: Path,
    rate: float,
    count: int | None,
    seed: int | None,
    log: Path | None,
    stream: bool,
    no_beat: bool,
    numbered: bool,
    direct: Address | None,
    panels: Path | None,
    stop_timeout: float,
) -> None:
    """Be alarm devices: publish alarms to a cloud, each until it is answered.

    SIGTERM ends it once what is under way was answered; the exit status is 1 when something was not.
    """
    from hotspare_sim.devices import Plan
    from hotspare_sim.devices_command import read_device_keys, read_panels, run

    if (direct is None) != (panels is None):
        raise click.UsageError("--direct and --panels go together")
    if direct is not None and stream:
        raise click.UsageError("--direct and --stream contradict each other")
    known = read_device_keys(keys)
    access = {} if direct is None or panels is None else read_panels(panels, direct)
    plan = Plan(arc_id, known, rate, count, seed, stream, beat=not no_beat, numbered=numbered, direct=access)
    run(str(cloud), tls_ca, plan, log, timedelta(seconds=stop_timeout))


@main.command()
@click.option("--once", is_flag=True, help="End after one round; exit status 0 only if nothing was lost.")
@click.option("--dir", "folder", type=_FOLDER, help="Keep all data and logs in this new folder.")
@click.option("--rate", type=_POSITIVE, default=20.0, show_default=True, help="Alarms a second, in all.")
@click.option("--devices", "device_count", type=click.IntRange(1, 1000), default=16, show_default=True)
@click.option("--plain", is_flag=True, help="Print plain lines, also on a terminal.")
@click.option(
    "--output",
    type=click.Choice(("sia-dc09", "sur-gard")),
    default="sia-dc09",
    show_default=True,
    help="What the ARCs speak.",
)
@click.option("--direct", is_flag=True, help="Panels speak DC-09 to the host, and to the cloud where that is gone.")
@click.option("--prometheus", is_flag=True, help="Run Debian's Prometheus beside it, with the rules of deploy/.")
def demo(
    once: bool,
    folder: Path | None,
    rate: float,
    device_count: int,
    plain: bool,
    output: str,
    direct: bool,
    prometheus: bool,
) -> None:
    """Run a cloud, four receivers, their ARCs and devices; kill the working receiver, and watch.

    It goes on until Ctrl-C, and then prints the balance.
    """
    from hotspare_sim.demo.cast import Scale
    from hotspare_sim.demo.run import Options, run_demo
    from hotspare_sim.demo.ways import ArcKind, Ways

    ways = Ways(ArcKind(output), direct)
    options = Options(once, folder, Scale(device_count, rate), plain, ways, prometheus)
    raise SystemExit(asyncio.run(run_demo(options)))
