"""deploy/ is held to the programs: options that exist, times that are long enough, paths and ports that agree."""

import re
import shlex
import tomllib
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from hotspare_cli.main import hotspare
from hotspare_cloud.app import STOP_GRACE as CLOUD_GRACE
from hotspare_cloud.app import TOKEN_FILE
from hotspare_cloud.main import main as cloud_main
from hotspare_cloud.store.sqlite import DATABASE_NAME
from hotspare_model.errors import HotspareError
from hotspare_model.group import GroupSettings
from hotspare_receiver.app import STOP_GRACE as RECEIVER_GRACE
from hotspare_receiver.main import main as receiver_main
from hotspare_rpc.spans import parse_span
from tools.layering import SOURCE_ROOTS
from tools.protos import ROOT

SYSTEMD = ROOT / "deploy" / "systemd"
CONTAINER = ROOT / "deploy" / "container"
COMMANDS = {"hotspare-cloud": cloud_main, "hotspare-receiver": receiver_main}
UNITS = {path.name: path for path in sorted(SYSTEMD.glob("*.service"))}
SERVERS = ("hotspare-cloud.service", "hotspare-receiver.service")
BEGUN = timedelta(seconds=10)
"""What a stop may take besides the hand-over: closing streams, databases and sockets."""


def parsed(words: Sequence[str]) -> click.Context:
    """Read a command line as its program would, without doing it. Raises click.UsageError for what it does not know."""
    program, verb, *rest = words
    command = COMMANDS[Path(program).name].commands[verb]
    return command.make_context(verb, list(rest))


def longest_drain() -> timedelta:
    """The largest `drain_timeout` that a group may have."""
    second = timedelta(seconds=1)
    longest = max(seconds for seconds in range(1, 600) if _allowed(seconds * second))
    return longest * second


def _allowed(drain: timedelta) -> bool:
    try:
        GroupSettings(drain_timeout=drain).checked()
    except HotspareError:
        return False
    return True


# systemd.


class Unit:
    """A unit file: keys that may stand several times."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: list[tuple[str, str]] = []
        section = ""
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("["):
                section = line.strip("[]")
            elif line and not line.startswith("#"):
                name, _, value = line.partition("=")
                self.found.append((f"{section}.{name}", value))

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.found if key == name]

    def one(self, name: str) -> str:
        (value,) = self.all(name)
        return value

    def span(self, name: str) -> timedelta:
        return parse_span(self.one(name))

    def command(self) -> list[str]:
        """ExecStart as the program gets it, with the options of its example of an environment file."""
        line = self.one("Service.ExecStart").replace("%S", "/var/lib")
        for file in self.all("Service.EnvironmentFile"):
            line = line.replace("$OPTIONS", options_of(SYSTEMD / Path(file).name))
        assert "$" not in line
        return shlex.split(line)


def options_of(env: Path) -> str:
    text = env.read_text(encoding="utf-8").replace("\\\n", " ")
    (options,) = re.findall(r'^OPTIONS="([^"]*)"$', text, re.MULTILINE)
    return str(options)


def made_by_systemd() -> tuple[dict[str, str], dict[str, str]]:
    """Users with their homes, and folders with their owners."""
    users, folders = {}, {}
    for line in (SYSTEMD / "hotspare.sysusers.conf").read_text().splitlines():
        if line.startswith("u "):
            _, name, _, _, home = shlex.split(line)
            users[name] = home
    for line in (SYSTEMD / "hotspare.tmpfiles.conf").read_text().splitlines():
        if line.startswith("d "):
            _, path, mode, user, group, _ = line.split()
            assert (user == "root" and mode == "0755") or (user == group and mode == "0700")
            folders[path] = user
    return users, folders


@pytest.mark.parametrize("name", UNITS)
def test_the_command_of_a_unit_is_one_that_its_program_takes(name: str) -> None:
    unit = Unit(UNITS[name])
    words = unit.command()
    assert words[0].startswith("/opt/hotspare/bin/hotspare-")
    parsed(words)
    state = unit.one("Service.StateDirectory")
    assert parsed(words).params["data"] == Path("/var/lib") / state
    users, folders = made_by_systemd()
    assert users[unit.one("Service.User")] == f"/var/lib/{state}"
    assert unit.one("Service.Group") == unit.one("Service.User")
    for path in re.findall(r"/etc/hotspare/\w+/|/var/backups/\S+", " ".join(words)):
        assert folders[path.rstrip("/")] == unit.one("Service.User")


def test_f5_a_server_is_not_killed_while_it_hands_over() -> None:
    receiver, cloud = Unit(UNITS["hotspare-receiver.service"]), Unit(UNITS["hotspare-cloud.service"])
    assert longest_drain() == timedelta(seconds=60)
    needed = longest_drain() + timedelta(seconds=RECEIVER_GRACE) + BEGUN
    assert receiver.span("Service.TimeoutStopSec") > needed
    assert cloud.span("Service.TimeoutStopSec") > timedelta(seconds=CLOUD_GRACE) + BEGUN
    for name, service in compose()["services"].items():
        grace = parse_span(service["stop_grace_period"])
        assert grace > (needed if name != "cloud" else timedelta(seconds=CLOUD_GRACE) + BEGUN)


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_is_started_again_whatever_happened_and_watched(name: str) -> None:
    unit = Unit(UNITS[name])
    assert unit.one("Service.Type") == "notify"
    assert unit.span("Service.WatchdogSec") >= timedelta(seconds=10)
    assert unit.one("Service.Restart") == "always"
    assert timedelta(seconds=1) <= unit.span("Service.RestartSec") <= timedelta(seconds=5)
    assert unit.one("Unit.StartLimitIntervalSec") == "0"
    # What click says to a command line that it does not understand.
    assert unit.one("Service.RestartPreventExitStatus") == str(click.UsageError.exit_code)
    assert int(unit.one("Service.OOMScoreAdjust")) < 0


@pytest.mark.parametrize("name", UNITS)
def test_s1_a_unit_has_no_privileges_and_writes_to_its_own_folder_alone(name: str) -> None:
    unit = Unit(UNITS[name])
    assert unit.one("Service.StateDirectoryMode") == "0700"
    for key in ("CapabilityBoundingSet", "AmbientCapabilities"):
        assert unit.one(f"Service.{key}") == ""
    assert unit.one("Service.ProtectSystem") == "strict"
    assert unit.all("Service.ReadWritePaths") == ([] if name in SERVERS else ["/var/backups/hotspare-cloud"])
    assert unit.one("Service.UMask") == "0077"
    assert unit.all("Service.SystemCallFilter") == ["@system-service", "~@privileged @resources"]
    assert unit.one("Service.LimitCORE") == "0"


def test_f11_the_timer_has_its_service_and_the_copies_are_limited_in_number() -> None:
    timer, service = Unit(SYSTEMD / "hotspare-cloud-backup.timer"), Unit(UNITS["hotspare-cloud-backup.service"])
    assert timer.one("Timer.Persistent") == "yes"
    assert timer.one("Timer.OnCalendar")
    words = parsed(service.command())
    assert words.params["keep"] >= 7
    assert words.params["data"] == Path("/var/lib/hotspare-cloud")
    assert service.one("Unit.ConditionPathExists") == f"%S/hotspare-cloud/{DATABASE_NAME}"


# Containers.


def compose() -> dict[str, Any]:
    text = (CONTAINER / "compose.yaml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def targets(service: dict[str, Any]) -> dict[str, str]:
    """Where a service's volumes are, and what they are."""
    found = {}
    for volume in service["volumes"]:
        if isinstance(volume, str):
            name, path = volume.split(":")
            found[path] = name
        else:
            assert volume["read_only"] is True
            assert volume["bind"] == {"create_host_path": False}, "else Docker makes a folder for whatever is missing"
            found[volume["target"]] = volume["source"]
    return found


SERVICES = compose()["services"]


def test_compose_has_a_cloud_and_a_whole_group() -> None:
    assert list(SERVICES) == ["cloud", "receiver1", "receiver2", "receiver3", "receiver4"]
    named = {name for service in SERVICES.values() for name in targets(service).values() if "/" not in name}
    assert named == set(compose()["volumes"])


@pytest.mark.parametrize("name", SERVICES)
def test_paths_ports_and_names_of_a_service_agree(name: str) -> None:
    service = SERVICES[name]
    options = parsed(service["command"]).params
    where = targets(service)
    assert where[str(options["data"])] == name
    assert where["/run/hotspare"] == f"./tls/{name}"
    assert (str(options["tls_cert"]), str(options["tls_key"])) == ("/run/hotspare/cert.pem", "/run/hotspare/key.pem")
    port = options["listen"].port
    assert options["listen"].host == "0.0.0.0"
    assert service["ports"] == [f"{port}:{port}"], "the address that it tells is the one by which others reach it"
    assert options["metrics"].port not in (port, 0)
    environment = service["environment"]
    assert environment["HOTSPARE_SERVER"] == f"{name}:{port}"
    assert environment["HOTSPARE_TLS_CA"] == "/run/hotspare/ca.pem"
    if name != "cloud":
        assert str(options["advertise"]) == f"{name}:{port}"
        assert where["/etc/machine-id"] == "/etc/machine-id", "G6: one machine, whatever containers come and go"
        assert service["command"][0] == "hotspare-receiver"
    else:
        assert environment["HOTSPARE_TOKEN_FILE"] == str(options["data"] / TOKEN_FILE)
    assert set(environment) <= variables(hotspare)
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert "privileged" not in service


def variables(command: click.Command) -> set[str]:
    """Of the environment, that a command reads."""
    return {str(one.envvar) for one in command.params if isinstance(one, click.Option) and one.envvar}


def test_no_two_services_share_a_port_a_volume_or_a_name() -> None:
    ports = [port for service in SERVICES.values() for port in service["ports"]]
    assert len(set(ports)) == len(ports)
    data = [targets(service)["/var/lib/hotspare"] for service in SERVICES.values()]
    assert len(set(data)) == len(data)


def dockerfile() -> Iterator[tuple[str, str]]:
    text = re.sub(r"\\\n", " ", (CONTAINER / "Dockerfile").read_text(encoding="utf-8"))
    for line in text.splitlines():
        if line and not line.startswith("#"):
            word, _, rest = line.partition(" ")
            yield word, rest.strip()


def test_the_image_is_made_of_all_that_the_wheel_needs_and_runs_as_nobody_special() -> None:
    lines = list(dockerfile())
    copied = {source for word, rest in lines if word == "COPY" and "--from" not in rest for source in rest.split()[:-1]}
    assert copied == {*SOURCE_ROOTS.values(), "generated", "requirements.lock", "pyproject.toml", "README.md"}
    assert all((ROOT / each).exists() for each in copied)
    ignore = (CONTAINER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert ignore.index("*") < min(ignore.index(f"!{each}") for each in copied)
    assert {line[1:] for line in ignore if line.startswith("!")} == copied
    words = [word for word, _ in lines]
    assert words.count("FROM") == 2
    assert all(re.match(r"python:\$\{PYTHON\}-slim( AS build)?$", rest) for word, rest in lines if word == "FROM")
    (user,) = [rest for word, rest in lines if word == "USER"]
    assert user == "hotspare"
    assert words.index("USER") < words.index("HEALTHCHECK")
    (check,) = [rest for word, rest in lines if word == "HEALTHCHECK"]
    asked = re.findall(r'"([^"]+)"', check)
    assert "HOTSPARE_SERVER" in variables(COMMANDS[asked[0]].commands[asked[1]])
    environment = next(rest for word, rest in lines if word == "ENV")
    assert set(re.findall(r"(HOTSPARE_\w+)=", environment)) <= variables(hotspare)


def test_the_image_has_the_versions_that_were_tested() -> None:
    """The line of sed makes constraints of the lock: a version for each package, nothing else."""
    (script,) = re.findall(r"sed -n '([^']+)'", (CONTAINER / "Dockerfile").read_text(encoding="utf-8"))
    assert script == r"s/ *\\$//; /==/p"
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    made = [line for line in (re.sub(r" *\\$", "", each) for each in lock.splitlines()) if "==" in line]
    assert all(re.fullmatch(r"[a-z0-9-]+==\S+( ; .+)?", line) for line in made)
    assert "grpcio" in {line.partition("==")[0] for line in made}


def test_the_extras_of_the_image_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (extras,) = re.findall(r"\.whl\)\[([a-z,]+)\]", (CONTAINER / "Dockerfile").read_text(encoding="utf-8"))
    assert set(extras.split(",")) <= set(project["optional-dependencies"])


# The pages.

PAGES = ("docs/deploy.md", "docs/security.md")
PROGRAMS = {**COMMANDS, "hotspare": hotspare}


def told_commands() -> Iterator[tuple[str, list[str]]]:
    """Each command of the pages' blocks of shell that is one of ours: its line, and its words."""
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            for name, value in re.findall(r"^([A-Z]+)=([\w.:-]+)$", block, re.MULTILINE):
                block = block.replace(f"${name}", value)
            for line in block.splitlines():
                for words in simple_commands(line):
                    # The name of an image, or of a user, is no command: the last one is meant.
                    places = [place for place, word in enumerate(words) if word in PROGRAMS]
                    if places and words[0] not in ("install", "ln", "systemctl", "ssh", "scp"):
                        yield line, words[places[-1] :]


def simple_commands(line: str) -> Iterator[list[str]]:
    """The commands of a line of shell, of a pipe one after the other."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|>;&")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in (*lexer, ";"):
        if set(word) <= set("|>;&"):
            yield words
            words = []
        else:
            words.append(word)


@pytest.mark.parametrize(("line", "words"), [pytest.param(*each, id=each[0].strip()[:60]) for each in told_commands()])
def test_a_command_of_the_pages_is_one_that_its_program_takes(line: str, words: list[str]) -> None:
    command: click.Command = PROGRAMS[words[0]]
    context = command.make_context(command.name, words[1:])
    while isinstance(command, click.Group):
        _, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert found is not None, line
        command = found
        # Under its parent: a command keeps the names of its help option from its first use on.
        context = command.make_context(command.name, rest, parent=context)


def test_the_pages_name_variables_and_files_that_exist() -> None:
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        assert set(re.findall(r"\b(HOTSPARE_(?!UID)[A-Z_]+)=", text)) <= variables(hotspare)
        for pattern in re.findall(r"\bdeploy/[\w./*-]+\.[\w*]+", text):
            assert list(ROOT.glob(pattern)), f"{page}: {pattern}"
    installed = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    for name in (*UNITS, "hotspare-cloud-backup.timer", "hotspare.sysusers.conf", "hotspare.tmpfiles.conf"):
        patterns = re.findall(r"deploy/systemd/([\w.*-]+)", installed)
        assert any(Path(name).match(pattern) for pattern in patterns), f"{name} is never installed"
