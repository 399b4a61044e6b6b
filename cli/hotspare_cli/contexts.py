"""Contexts: named servers with the files that belong to them, so that nobody types these at night.

They stand in one file of mode 0600 below XDG_CONFIG_HOME. It holds addresses and names of files, never a secret (S1).
"""

import json
import os
import re
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hotspare_cli.errors import CliError, ExitCode, usage_error
from hotspare_rpc.address import Address, AddressError, parse_address

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LONGEST_FILE = 1024 * 1024
_FILES = ("token_file", "tls_ca", "tls_cert", "tls_key")


@dataclass(frozen=True)
class Context:
    """A server, and the files for calling it."""

    server: Address
    token_file: Path | None = None
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None

    def as_plain(self) -> dict[str, str]:
        """What is written and listed."""
        files = {name: str(path) for name in _FILES if (path := getattr(self, name)) is not None}
        return {"server": str(self.server), **files}


@dataclass(frozen=True)
class Contexts:
    """All contexts of this user, and which is in use."""

    every: Mapping[str, Context] = field(default_factory=dict)
    current: str | None = None

    def named(self, name: str) -> Context:
        """The context of that name. Raises CliError where there is none."""
        found = self.every.get(name)
        if found is None:
            there = ", ".join(sorted(self.every))
            raise CliError(
                f"There is no context {name!r}.",
                f"There are: {there}." if there else "Make one: hotspare context add NAME --server HOST:PORT.",
                exit_code=ExitCode.NOT_FOUND,
            )
        return found

    def with_one(self, name: str, context: Context, *, use: bool) -> "Contexts":
        """These and another one, which is in use then where that is wished, or where none was."""
        return Contexts({**self.every, name: context}, name if use or self.current is None else self.current)

    def without(self, name: str) -> "Contexts":
        """These but that one."""
        self.named(name)
        left = {other: context for other, context in self.every.items() if other != name}
        return Contexts(left, None if self.current == name else self.current)

    def using(self, name: str) -> "Contexts":
        """These, with that one in use."""
        self.named(name)
        return replace(self, current=name)


def path() -> Path:
    """Where they are kept."""
    home = os.environ.get("XDG_CONFIG_HOME", "")
    # The base directory specification: a relative one is to be ignored.
    base = Path(home) if home.startswith("/") else Path.home() / ".config"
    return base / "hotspare" / "contexts.json"


def load() -> Contexts:
    """Read them; none where there is no file.

    Raises:
        CliError: the file is another's, open to others' writing, or damaged.
    """
    file = path()
    try:
        with file.open("rb") as opened:
            _check_owner(file, os.fstat(opened.fileno()))
            text = opened.read(_LONGEST_FILE)
    except FileNotFoundError:
        return Contexts()
    except OSError as problem:
        raise usage_error(f"{file} can't be read: {problem.strerror}.", "Check its owner and its mode.") from None
    try:
        return _read(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError, AddressError):
        raise usage_error(
            f"{file} holds no contexts: it is damaged, or of a newer release.",
            "Mend it, or move it away and add the contexts anew: hotspare context add.",
        ) from None


def save(contexts: Contexts) -> None:
    """Write them whole, or leave the file as it was. Raises CliError where that can't be done."""
    file = path()
    plain = {"current": contexts.current, "contexts": {name: one.as_plain() for name, one in contexts.every.items()}}
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Of mode 0600 from its first byte on.
        descriptor, fresh = tempfile.mkstemp(dir=file.parent, prefix=".contexts-")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
                opened.write(f"{json.dumps(plain, indent=2)}\n")
                opened.flush()
                os.fsync(opened.fileno())
            os.replace(fresh, file)
        except BaseException:
            Path(fresh).unlink(missing_ok=True)
            raise
    except OSError as problem:
        raise CliError(
            f"{file} can't be written: {problem.strerror}.", "Nothing was changed. Check disk and mode."
        ) from None


def _check_owner(file: Path, status: os.stat_result) -> None:
    """Who may write it chooses where our tokens go."""
    if status.st_uid not in (os.geteuid(), 0) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise usage_error(
            f"{file} may be written by others, who could choose where your tokens are sent.",
            f"Look at it, then keep it to yourself: chmod 600 {file}",
        )


def _read(plain: Any) -> Contexts:
    every = {}
    for name, one in plain["contexts"].items():
        if NAME.fullmatch(name) is None:
            raise ValueError(name)
        files = {key: Path(one[key]) for key in _FILES if key in one}
        every[name] = Context(parse_address(one["server"]), **files)
    current = plain["current"]
    return Contexts(every, current if current in every else None)
