"""`hotspare-sim devices`: alarm devices as a process."""

import asyncio
import json
import logging
from datetime import timedelta
from pathlib import Path

import click

from hotspare_model.dc09_crypto import KEY_LENGTHS
from hotspare_rpc.address import Address, AddressError
from hotspare_rpc.channel import PlaintextError, open_channel
from hotspare_rpc.logs import setup_logging
from hotspare_rpc.stop import install_stop_signals
from hotspare_rpc.tls import ChannelTls, TlsError
from hotspare_sim.devices import Devices, Plan
from hotspare_sim.dual import DirectAccess
from hotspare_sim.line_log import LineLog
from hotspare_sim.secret_files import read_private


async def run_devices(cloud: str, tls_ca: Path | None, plan: Plan, log: Path | None, stop_timeout: timedelta) -> bool:
    """Publish until SIGTERM, SIGINT or the end of the plan, then print the counts.

    Returns whether every alarm that was given to the cloud was answered. Raises ClickException when it can't
    begin, or can't write the log.
    """
    setup_logging(level=logging.WARNING)
    stop = install_stop_signals()
    try:
        tls = None if tls_ca is None else ChannelTls.from_files(tls_ca)
        channel = open_channel(cloud, tls)
        lines = LineLog(log)
    except (TlsError, AddressError, PlaintextError) as problem:
        raise click.ClickException(str(problem)) from problem
    except OSError as problem:
        raise click.ClickException(f"cannot write {log}: {problem.strerror or problem}") from problem
    devices = Devices(plan, channel, lines, lambda problem: click.echo(problem, err=True))
    click.echo(f"publishing devices={len(plan.keys)} cloud={cloud}")
    try:
        await devices.run(stop, stop_timeout)
    except OSError as problem:
        raise click.ClickException(f"cannot write {log}: {problem.strerror or problem}") from problem
    finally:
        await channel.close()
        lines.close()
    click.echo(f"stopped {devices.counts}")
    return devices.counts.unanswered == 0


def read_device_keys(file: Path) -> dict[str, str]:
    """Read device keys by device id. Raises ClickException; what the file holds is never shown (S1)."""
    try:
        content = json.loads(read_private(file))
    except ValueError:
        raise click.ClickException(f"{file} is not JSON") from None
    if not isinstance(content, dict) or not content or not all(_is_secret(key) for key in content.values()):
        raise click.ClickException(f"{file} is no JSON object of device keys by device id")
    return content


def read_panels(file: Path, host: Address) -> dict[str, DirectAccess]:
    """Read how panels reach the host, by device id. Raises ClickException; what the file holds is never shown (S1)."""
    try:
        content = json.loads(read_private(file))
        return {device_id: _access(told, host) for device_id, told in content.items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        form = '{"panel-1": {"account": "1234", "key": "hex digits of an AES key, or nothing"}}'
        raise click.ClickException(f"{file} is no JSON object such as {form}") from None


def _access(told: dict[str, str], host: Address) -> DirectAccess:
    key = bytes.fromhex(told.get("key", ""))
    if key and len(key) not in KEY_LENGTHS:
        raise ValueError
    return DirectAccess(host, told["account"].upper(), key or None)


def _is_secret(key: object) -> bool:
    return isinstance(key, str) and key != "" and key.isascii() and key.isprintable()


def run(cloud: str, tls_ca: Path | None, plan: Plan, log: Path | None, stop_timeout: timedelta) -> None:
    """Run to the end. Exit status 1 when alarms stay unanswered."""
    if not asyncio.run(run_devices(cloud, tls_ca, plan, log, stop_timeout)):
        raise SystemExit(1)
