"""What the processes share: options, the line that announces, signals, version, names of codes, quiet imports."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import grpc
import pytest
from click.testing import CliRunner

from hotspare_rpc.address import Address
from hotspare_rpc.cli_args import ADDRESS, announce, tls_options
from hotspare_rpc.metrics import code_name
from hotspare_rpc.stop import install_stop_signals
from hotspare_rpc.tls import ServerTls
from hotspare_rpc.version import SOFTWARE_VERSION

taken: list[tuple[Any, Any]] = []


@click.command()
@click.option("--listen", type=ADDRESS, required=True)
@tls_options
def serve(listen: Address, tls: ServerTls | None) -> None:
    """Serve."""
    taken.append((listen, tls))


@pytest.mark.parametrize(
    ("arguments", "tls"),
    [
        ([], None),
        (["--tls-cert", "c", "--tls-key", "k"], ServerTls(Path("c"), Path("k"))),
        (
            ["--tls-cert", "c", "--tls-key", "k", "--tls-client-ca", "a"],
            ServerTls(Path("c"), Path("k"), Path("a")),
        ),
    ],
)
def test_the_options_of_tls_become_one_argument(arguments: list[str], tls: ServerTls | None) -> None:
    result = CliRunner().invoke(serve, ["--listen", "127.0.0.1:0", *arguments])
    assert result.exit_code == 0, result.output
    assert taken.pop() == (Address("127.0.0.1", 0), tls)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--listen", "nonsense"], "the port is missing"),
        (["--listen", "127.0.0.1:0", "--tls-cert", "c"], "--tls-cert and --tls-key go together"),
        (["--listen", "127.0.0.1:0", "--tls-client-ca", "c"], "needs both"),
    ],
)
def test_wrong_options_are_a_usage_error(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(serve, arguments)
    assert result.exit_code == 2
    assert message in result.output


def test_the_line_that_announces_names_the_grpc_address_first(capsys: pytest.CaptureFixture[str]) -> None:
    announce(grpc="127.0.0.1:7000", metrics="127.0.0.1:7001")
    announce(grpc="[::1]:7000")
    assert capsys.readouterr().out == ("serving grpc=127.0.0.1:7000 metrics=127.0.0.1:7001\nserving grpc=[::1]:7000\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_sets_the_event_and_a_second_changes_nothing(number: signal.Signals) -> None:
    stop = install_stop_signals()
    try:
        assert not stop.is_set()
        for _ in range(2):
            os.kill(os.getpid(), number)
            await asyncio.wait_for(stop.wait(), 5)
    finally:
        for each in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().remove_signal_handler(each)


def test_v1_the_version_is_that_of_the_distribution() -> None:
    from importlib.metadata import version

    assert version("hotspare") == SOFTWARE_VERSION


def test_codes_are_spelled_as_in_go() -> None:
    spelled = """
        OK Canceled Unknown InvalidArgument DeadlineExceeded NotFound AlreadyExists PermissionDenied ResourceExhausted
        FailedPrecondition Aborted OutOfRange Unimplemented Internal Unavailable DataLoss Unauthenticated
    """
    assert {code_name(code) for code in grpc.StatusCode} == set(spelled.split())


@pytest.mark.parametrize("module", ["address", "cli_args", "credentials", "logs", "stop", "text", "version"])
def test_a_command_line_that_needs_no_grpc_imports_none(module: str) -> None:
    program = f"import sys, hotspare_rpc.{module}; sys.exit('grpc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_c_core_of_grpc_is_quiet() -> None:
    program = (
        "import asyncio, hotspare_rpc, grpc\n"
        "async def main():\n"
        "    grpc.aio.server(options=(('grpc.so_reuseport', 0),)).add_insecure_port('192.0.2.1:1')\n"
        "asyncio.run(main())\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "GRPC_VERBOSITY"}
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False
    )
    assert "Failed to bind" in ended.stderr
    assert "add_port.cc" not in ended.stderr
