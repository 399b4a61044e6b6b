"""The services of deploy/container/compose.yaml as processes on loopback, and a `docker` that runs commands in them.

What a container is to its commands is replaced in their words: its folders, its names on the network, its ports.
"""

import json
import re
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.acceptance.harness.process import Server
from tools.protos import ROOT

COMPOSE = ROOT / "deploy" / "container" / "compose.yaml"

_DOCKER = '''#!{python}
"""Stands in for docker: see tests/acceptance/harness/containers.py."""
import json, os, re, sys

known = json.loads(open({file!r}).read())
words = sys.argv[1:]
if words[:2] == ["compose", "build"]:
    sys.exit(0)
if words[:3] == ["compose", "exec", "-T"]:
    service, *command = words[3:]
    replaced, environment = known["replaced"][service], known["environments"][service]
elif words[:3] == ["run", "--rm", "--volume"] and words[4] == "hotspare":
    outside, inside = words[3].split(":")
    command, replaced, environment = words[5:], [[inside, outside]], {{}}
else:
    sys.exit("docker: not expected here: " + " ".join(words))
# All in one pass: what was put in place of something is not looked at again.
pattern, instead = re.compile("|".join(re.escape(old) for old, _ in replaced)), dict(replaced)
command = [pattern.sub(lambda found: instead[found[0]], word) for word in command]
os.execvpe(command[0], command, dict(os.environ, **environment))
'''


@dataclass(frozen=True)
class Service:
    """One service of the compose file, as a process will have it."""

    name: str
    command: list[str]
    environment: dict[str, str]
    replaced: list[tuple[str, str]]
    """What stands in place of what, in words of its commands."""


class Containers:
    """All services of the compose file, with their volumes in a folder."""

    def __init__(self, folder: Path, ports: dict[str, str]) -> None:
        """`ports`: what stands in place of each port of the file."""
        self.folder = folder
        self._file: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
        self._ports = ports
        self.services = {name: self._service(name) for name in self._file["services"]}

    def _service(self, name: str) -> Service:
        told = self._file["services"][name]
        replaced = [(f"{other}:{port}", f"localhost:{free}") for other in self._file["services"]
                    for port, free in self._ports.items()]  # fmt: skip
        replaced += [(f"0.0.0.0:{port}", f"127.0.0.1:{free}") for port, free in self._ports.items()]
        for volume in told["volumes"]:
            if isinstance(volume, str):
                source, target = volume.split(":")
                place = self.folder / "volumes" / source
                place.mkdir(mode=0o700, parents=True, exist_ok=True)
            elif volume["target"] == "/etc/machine-id":
                continue
            else:
                target, place = volume["target"], self.folder / volume["source"]
            replaced.append((target, str(place)))
        temporary = self.folder / "tmp" / name
        temporary.mkdir(parents=True)
        replaced.append(("/tmp/", f"{temporary}/"))
        image = {"HOTSPARE_TOKEN_FILE": "/var/lib/hotspare/admin.token"}
        environment = {key: _replace(value, replaced) for key, value in (image | told["environment"]).items()}
        return Service(name, [_replace(word, replaced) for word in told["command"]], environment, replaced)

    def docker(self) -> Path:
        """Make a folder with a command `docker`, which knows these services. Returns it."""
        bin_folder = self.folder / "bin"
        bin_folder.mkdir()
        known = {
            "replaced": {name: asdict(one)["replaced"] for name, one in self.services.items()},
            "environments": {name: one.environment for name, one in self.services.items()},
        }
        file = self.folder / "docker.json"
        file.write_text(json.dumps(known))
        program = bin_folder / "docker"
        program.write_text(_DOCKER.format(python=sys.executable, file=str(file)))
        program.chmod(0o755)
        return bin_folder

    def server(self, name: str) -> Server:
        """The server of a service, not started."""
        return Server(name, self.services[name].command, self.folder)


def _replace(text: str, replaced: list[tuple[str, str]]) -> str:
    """In one pass, as the stand-in for docker does it."""
    instead = dict(replaced)
    return re.sub("|".join(re.escape(old) for old in instead), lambda found: instead[found[0]], text)
