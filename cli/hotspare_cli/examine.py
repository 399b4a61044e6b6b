"""The examination of `doctor`: what is asked and measured, in order; each failure is a check of its own."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from hotspare.v1.receiver_service_pb2 import GetSettingsRequest, GetStatusRequest, ReceiverSettings, ReceiverStatus
from hotspare.v1.role_service_pb2 import GetGroupSettingsRequest, GetGroupSettingsResponse
from hotspare.v1.version_service_pb2 import COMPONENT_RECEIVER, CheckVersionRequest, CheckVersionResponse
from hotspare_cli.checks import (
    Check,
    Verdict,
    fine,
    lease_check,
    skipped,
    status_checks,
    version_check,
    wrong,
)
from hotspare_cli.errors import CliError
from hotspare_cli.options import Target
from hotspare_cli.probe import Probe, speaks_tls
from hotspare_cli.session import Session, ask, channel_tls
from hotspare_cli.watching import ask_the_cloud
from hotspare_rpc.address import Address, AddressError, parse_address
from hotspare_rpc.tls import ChannelTls
from hotspare_rpc.version import SOFTWARE_VERSION

Response = TypeVar("Response")


@dataclass
class _Told:
    """What the server answered; a CliError in place of what it did not."""

    open_version: CheckVersionResponse | CliError
    status: ReceiverStatus | CliError
    settings: ReceiverSettings | CliError
    group: GetGroupSettingsResponse | CliError
    version: CheckVersionResponse | CliError


def examine(target: Target) -> list[Check]:
    """All checks, in the order in which one would look. Raises CliError where the command line is wrong."""
    target = target.resolved()
    address = target.address()
    probe = Probe("server", address, channel_tls(target, address), "--server", "--tls-ca", target.timeout)
    checks = probe.checks()
    if any(check.verdict is Verdict.WRONG for check in checks):
        return [
            *checks,
            skipped("token", "the server can't be reached"),
            skipped("all else", "the server can't be reached"),
        ]
    # Open to all, so that a wrong token is told from a server that is none of ours.
    opened = _or_error(lambda: ask(target, _open_version, metadata=()))
    if isinstance(opened, CliError):
        return [*checks, _no_answer(opened, target, address), skipped("all else", "the server does not answer")]
    token = _or_error(target.token)
    if isinstance(token, CliError):
        told = [wrong("token", token.what.rstrip("."), token.hint), skipped("all else", "they need a token")]
        return [*checks, *version_check(opened, SOFTWARE_VERSION), *told]
    if opened.component != COMPONENT_RECEIVER:
        advice = "Name a receiver: each is asked with its own token. `account` and `operator` go to a cloud."
        return [*checks, wrong("server", f"{address} is no receiver", advice)]
    told_all = ask(target, lambda session: _ask_all(session, opened))
    return [*checks, *_judge(told_all, target, address)]


def _judge(told: _Told, target: Target, address: Address) -> Iterator[Check]:
    if isinstance(told.status, CliError):
        yield wrong("token", told.status.what.rstrip("."), told.status.hint)
        yield skipped("all else", "the receiver does not tell it")
        return
    yield fine("token", "the receiver takes it")
    settings = told.settings if isinstance(told.settings, ReceiverSettings) else None
    yield from _cloud(told.status, settings, target, address)
    version = told.open_version if isinstance(told.version, CliError) else told.version
    due = list(version_check(version, SOFTWARE_VERSION)) if isinstance(version, CheckVersionResponse) else []
    for check in status_checks(told.status, settings, datetime.now(UTC)):
        if due and check.name == due[0].name and check.verdict in (Verdict.FINE, Verdict.SKIPPED):
            yield from due
        else:
            yield check
    if isinstance(told.group, CliError):
        yield skipped("settings", "the cloud can't be asked")
    else:
        yield lease_check(told.group.settings)


def _cloud(
    status: ReceiverStatus, settings: ReceiverSettings | None, target: Target, address: Address
) -> Iterator[Check]:
    """The receiver's cloud as this machine sees it: worth something only on the receiver's own."""
    if not status.cloud.address:
        return
    if not address.is_loopback:
        told = f"only the receiver's machine knows: there, hotspare --server localhost:{address.port} doctor"
        yield skipped("cloud name", told)
        return
    if settings is None:
        yield skipped("cloud name", "the receiver does not tell its settings")
        return
    try:
        cloud = parse_address(status.cloud.address)
    except AddressError as problem:
        yield wrong("cloud name", str(problem), "hotspare settings set --cloud-address HOST:PORT.")
        return
    ca = settings.cloud_ca_pem.encode()
    wanted = settings.cloud_tls if settings.HasField("cloud_tls") else bool(ca) or not cloud.is_loopback
    tls = ChannelTls(ca or None) if wanted else None
    yield from Probe(
        "cloud", cloud, tls, "hotspare settings set --cloud-address", "settings set --cloud-ca-file", target.timeout
    ).checks()


def _no_answer(problem: CliError, target: Target, address: Address) -> Check:
    plain = address.is_loopback and target.tls_ca is None and target.tls_cert is None
    if plain and speaks_tls(address, target.timeout):
        return wrong("server", f"{address} wants TLS", "Name its authority: --tls-ca FILE, or HOTSPARE_TLS_CA.")
    return wrong("server", f"{address} takes connections, and does not answer as ours do: {problem.what}", problem.hint)


async def _open_version(session: Session) -> CheckVersionResponse:
    return await session.call(session.versions.CheckVersion, CheckVersionRequest(software_version=SOFTWARE_VERSION))


async def _ask_all(session: Session, opened: CheckVersionResponse) -> _Told:
    async def status() -> ReceiverStatus:
        told = (await session.call(session.receiver.GetStatus, GetStatusRequest())).status
        await ask_the_cloud(session, told)
        return told

    async def settings() -> ReceiverSettings:
        return (await session.call(session.receiver.GetSettings, GetSettingsRequest())).settings

    async def group() -> GetGroupSettingsResponse:
        return await session.call(session.roles.GetGroupSettings, GetGroupSettingsRequest())

    first = await _caught(status())
    if isinstance(first, CliError):
        return _Told(opened, first, first, first, first)
    return _Told(
        opened, first, await _caught(settings()), await _caught(group()), await _caught(_open_version(session))
    )


async def _caught(call: Awaitable[Response]) -> Response | CliError:
    try:
        return await call
    except CliError as problem:
        return problem


def _or_error(work: Callable[[], Response]) -> Response | CliError:
    try:
        return work()
    except CliError as problem:
        return problem
