"""`hotspare-sim demo`: sets the stage, plays, stops all in order, and tells the balance."""

import asyncio
import logging
import shlex
import shutil
import signal
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path

import click

from hotspare_rpc.logs import setup_logging
from hotspare_rpc.stop import install_stop_signals
from hotspare_sim.demo.balance import balance
from hotspare_sim.demo.books import MARGIN
from hotspare_sim.demo.cast import Cast, Scale
from hotspare_sim.demo.children import BIN, Child, DemoError
from hotspare_sim.demo.prometheus import Prometheus, find_program
from hotspare_sim.demo.screen import Screen, Tone, open_screen
from hotspare_sim.demo.stage import Stage
from hotspare_sim.demo.story import Outcome, go_on, play_round
from hotspare_sim.demo.ways import Ways

LAST_ANSWERS = 20.0
LAST_CONFIRMATIONS = 40.0
ORDERLY_STOP = 20.0
INTERRUPTED = 130


@dataclass(frozen=True)
class Options:
    """Of the command line."""

    once: bool
    folder: Path | None
    scale: Scale
    plain: bool
    ways: Ways = field(default_factory=Ways)
    prometheus: bool = False


async def run_demo(options: Options) -> int:
    """Run it; returns the exit status."""
    setup_logging(level=logging.CRITICAL)
    try:
        # Before anything is made: who lacks it is told at once.
        program = find_program() if options.prometheus else None
    except DemoError as problem:
        raise click.ClickException(str(problem)) from problem
    stop = install_stop_signals()
    # The terminal may be closed: that is no reason to leave anything behind.
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, stop.set)
    screen = open_screen(options.plain)
    folder = _folder(options.folder)
    try:
        prometheus = None if program is None else Prometheus(program, folder / "prometheus")
        return await _run_in(folder, options, screen, stop, prometheus)
    finally:
        screen.close()
        if options.folder is None:
            shutil.rmtree(folder, ignore_errors=True)


def _folder(wanted: Path | None) -> Path:
    if wanted is None:
        return Path(tempfile.mkdtemp(prefix="hotspare-demo-"))
    try:
        wanted.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(wanted.iterdir()):
            raise click.ClickException(f"{wanted} is not empty: the demo begins in a new folder")
    except OSError as problem:
        raise click.ClickException(f"cannot use {wanted}: {problem.strerror or problem}") from problem
    return wanted.resolve()


async def _run_in(
    folder: Path, options: Options, screen: Screen, stop: asyncio.Event, prometheus: Prometheus | None
) -> int:
    cast = Cast(folder, options.scale, options.ways)
    stage = Stage(cast, screen)
    outcome = Outcome()
    interrupted = problem = False
    try:
        try:
            interrupted = await _interruptible(_play(stage, outcome, options, prometheus), stop)
        except DemoError as error:
            problem = True
            screen.say(str(error), Tone.BAD)
        stop.clear()
        if interrupted:
            screen.say("Stopping all in order; Ctrl-C again stops at once.", Tone.MOVE)
        if await _interruptible(_stop_in_order(stage), stop):
            screen.say("Stopped at once: what was on its way is not counted.", Tone.BAD)
            return INTERRUPTED
    finally:
        if prometheus is not None:
            await prometheus.end()
        await cast.leave_nothing()
        await stage.close()
    screen.close()
    if stage.ledger.published:
        for line, tone in balance(stage.ledger, outcome, stage.books.by_way):
            screen.say(line, tone, timed=False)
    if problem or stage.ledger.waiting or stage.ledger.out_of_order:
        return 1
    if options.once and not outcome.done:
        return INTERRUPTED if interrupted else 1
    return 0


async def _interruptible(work: Coroutine[None, None, None], stop: asyncio.Event) -> bool:
    """Do the work; tell whether a signal interrupted it. What the work raises comes through."""
    task = asyncio.create_task(work)
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((task, stopped), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
            return False
        return True
    finally:
        for one in (task, stopped):
            one.cancel()
        await asyncio.gather(task, stopped, return_exceptions=True)


async def _play(stage: Stage, outcome: Outcome, options: Options, prometheus: Prometheus | None) -> None:
    cast, screen = stage.cast, stage.screen
    scale = cast.scale
    kept = "removed at the end" if options.folder is None else "kept"
    screen.say(
        f"A cloud, four receivers with an ARC each, {scale.devices} devices, {scale.rate:g} alarms a second; "
        f"all data is in {cast.folder} ({kept})."
    )
    await cast.start_servers()
    screen.say("All processes serve. Now the commands that a user would type:")
    _show(screen, await cast.create_account())
    for station in (cast.host, cast.spare1):
        for command in cast.settings_of(station):
            _show(screen, command)
    # The host first: as long as there is none, a receiver that knows its cloud works alone.
    await cast.set_up(cast.host)
    _show(screen, await cast.enable(cast.host))
    await cast.set_up_spares()
    for station in cast.spares:
        command = await cast.enable(station)
        if station.role == "spare1":
            _show(screen, command)
    screen.say("  … and the same for spare 2 and spare 3", Tone.COMMAND, timed=False)
    for command in cast.device_commands(next(iter(cast.accounts))):
        _show(screen, command)
    more = f" (and {len(cast.accounts) - 1} more)" if len(cast.accounts) > 1 else ""
    await cast.create_devices()
    screen.say(f"  … made by gRPC here{more}", Tone.COMMAND, timed=False)
    stage.watch.open()
    for line in _where_to_look(cast):
        screen.say(line, timed=False)
    if prometheus is not None:
        screen.say(await _start(prometheus, cast), Tone.GOOD)
    await cast.start_devices()
    await play_round(stage, outcome)
    if not options.once:
        await go_on(stage)


async def _start(prometheus: Prometheus, cast: Cast) -> str:
    """Start it; returns what to tell of it. Raises DemoError."""
    receivers = {role: station.receiver.addresses["metrics"] for role, station in cast.stations.items()}
    await prometheus.start(cast.cloud.addresses["metrics"], receivers)
    rules = (
        f"{len(prometheus.rules)} file(s) with rules" if prometheus.rules else "without rules: they are in the source"
    )
    return f"Prometheus: http://{prometheus.address} ({rules}); http://{prometheus.address}/alerts shows the alerts"


def _show(screen: Screen, command: list[str]) -> None:
    screen.say(f"  $ {shlex.join(command)}", Tone.COMMAND, timed=False)


def _where_to_look(cast: Cast) -> list[str]:
    """How to look at the demo meanwhile; spare 3 is the one that the demo never stops."""
    spare3 = cast.stations["spare3"]
    server = spare3.receiver.addresses["grpc"]
    lines = [
        "",
        "Look at it meanwhile, from another terminal:",
        f"  export HOTSPARE_SERVER={server} HOTSPARE_TOKEN_FILE={shlex.quote(str(spare3.token_file))}",
        f"  {shlex.quote(str(BIN / 'hotspare'))} members",
        f"  gRPC, by a client that knows reflection: grpcurl -plaintext {cast.cloud.addresses['grpc']} list",
        "  Prometheus: http://ADDRESS/metrics, with the addresses below",
        "",
        f"  {'':8}  {'gRPC':21}  {'metrics':21}  token",
    ]
    servers: list[tuple[str, Child, str]] = [("cloud", cast.cloud, "")]
    servers += [(one.title, one.receiver, str(one.token_file)) for one in cast.stations.values()]
    for title, child, token in servers:
        addresses = child.addresses
        lines.append(f"  {title:8}  {addresses['grpc']:21}  {addresses.get('metrics', '-'):21}  {token}")
    return [*lines, ""]


async def _stop_in_order(stage: Stage) -> None:
    """Devices first, then, once all that they published is confirmed, receivers, cloud, ARCs."""
    cast, screen = stage.cast, stage.screen
    is_whole = stage.revives or not any(child.has_died for child in cast.servers)
    try:
        if cast.devices.is_running and is_whole:
            stage.now = "the devices stop, and the last alarms are confirmed"
            cast.devices.terminate()
            await stage.until(lambda _: not cast.devices.is_running, LAST_ANSWERS, "the devices' last answers")
            await stage.wait(2 * MARGIN)
            await stage.until(lambda _: stage.ledger.waiting == 0, LAST_CONFIRMATIONS, "the last confirmations")
    except DemoError as problem:
        screen.say(str(problem), Tone.BAD)
    screen.close()
    spares = [one.receiver for one in cast.spares]
    # The spares first: a host that stops hands over to the next in order.
    arcs = [one.arc for one in cast.stations.values()]
    in_order = [[cast.devices], spares, [cast.host.receiver], [cast.cloud], arcs]
    # What has lost one of its parts has nothing left to be done in order.
    for group in in_order if is_whole else [[cast.devices, *cast.servers]]:
        await _stop(screen, group)
    stage.books.read(all_of_it=True)


async def _stop(screen: Screen, children: list[Child]) -> None:
    running = [child for child in children if child.is_running]
    for child in running:
        child.terminate()
    for child in running:
        if not await child.ended(ORDERLY_STOP):
            screen.say(f"{child.name} did not stop within {ORDERLY_STOP:g} s and is killed", Tone.BAD)
            await child.end()
        elif child.exit_status not in (0, -signal.SIGTERM):
            screen.say(f"{child.name} stopped with exit status {child.exit_status}:\n{child.tail()}", Tone.BAD)
