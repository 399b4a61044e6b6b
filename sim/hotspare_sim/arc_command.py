"""`hotspare-sim arc`: the ARC's automation software as a process."""

from pathlib import Path

import click

from hotspare_model.dc09_crypto import KEY_LENGTHS
from hotspare_rpc.address import Address, ListenError
from hotspare_rpc.stop import install_stop_signals
from hotspare_sim.arc import ArcServer, Behaviour, Keys
from hotspare_sim.arc_surgard import FAULTS, SurgardServer
from hotspare_sim.line_log import LineLog
from hotspare_sim.secret_files import read_private


async def run_arc(kind: str, listen: Address, keys: Keys, behaviour: Behaviour, log: Path | None) -> None:
    """Serve until SIGTERM or SIGINT, then print the counts. Raises ClickException when it can't.

    `kind`: `dc09` or `surgard`, which has no keys.
    """
    stop = install_stop_signals()
    try:
        lines = LineLog(log)
    except OSError as problem:
        raise click.ClickException(f"cannot write {log}: {problem.strerror or problem}") from problem
    server = _server(kind, keys, behaviour, lines)
    try:
        address = await server.start(listen)
    except ListenError as problem:
        raise click.ClickException(str(problem)) from problem
    click.echo(f"serving {kind}={address}")
    await stop.wait()
    await server.stop()
    lines.close()
    click.echo(f"stopped {server.counts}")


def _server(kind: str, keys: Keys, behaviour: Behaviour, log: LineLog) -> ArcServer | SurgardServer:
    def complain(problem: str) -> None:
        click.echo(problem, err=True)

    if kind != "surgard":
        return ArcServer(keys=keys, behaviour=behaviour, log=log, complain=complain)
    if behaviour.fault is not None and behaviour.fault not in FAULTS:
        raise click.BadParameter(f"Sur-Gard has no fault {behaviour.fault}", param_hint="--fault")
    if keys.default is not None or keys.accounts:
        raise click.UsageError("Sur-Gard has no encryption: leave the keys out")
    return SurgardServer(behaviour=behaviour, log=log, complain=complain)


def read_keys(key_file: Path | None, account_keys: tuple[str, ...]) -> Keys:
    """Read the files of the options; each of `account_keys` is `ACCOUNT=FILE`. Raises ClickException."""
    accounts: dict[str, bytes] = {}
    for text in account_keys:
        account, separator, file = text.partition("=")
        if not separator or not account or not file:
            raise click.BadParameter(f"{text!a} is not ACCOUNT=FILE", param_hint="--account-key")
        accounts[account.upper()] = _read_key(Path(file))
    return Keys(None if key_file is None else _read_key(key_file), accounts)


def _read_key(file: Path) -> bytes:
    try:
        key = bytes.fromhex(read_private(file))
    except ValueError:
        raise click.ClickException(f"{file} holds no key: expected hex digits") from None
    if len(key) not in KEY_LENGTHS:
        raise click.ClickException(f"{file} holds a key of {len(key)} bytes, AES takes 16, 24 or 32")
    return key
