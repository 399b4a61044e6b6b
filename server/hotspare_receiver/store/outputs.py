"""The outputs of a receiver, as rows: its own, never backed up or synced."""

import hashlib
import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from hotspare_model.errors import HotspareError, Reason
from hotspare_receiver.snapshot import Dc09Config, OutputConfig
from hotspare_rpc.address import parse_address
from hotspare_store.database import Database

SIA_DC09 = 1
"""The one kind that is served yet; the number is that of output.proto."""


@dataclass(frozen=True, slots=True)
class StoredOutput:
    """An output with when it was made (aware UTC)."""

    config: OutputConfig
    created: datetime

    @property
    def etag(self) -> str:
        """Changes with every update, also with one of the key alone."""
        key = hashlib.sha256(self.config.dc09.key or b"").digest()
        return hashlib.sha256(_options(self.config).encode() + key).hexdigest()[:16]


def output_not_found(name: str) -> HotspareError:
    """The error for a name that no output has."""
    return HotspareError(Reason.RESOURCE_NOT_FOUND, f"there is no output {name}", kind="output", id=name)


class OutputStore:
    """Outputs in the database; all of them are kept here too, for they are few and asked for often."""

    def __init__(self, database: Database) -> None:
        self._database = database
        rows = database.read_now(lambda connection: connection.execute("SELECT * FROM output ORDER BY name").fetchall())
        self.outputs: dict[str, StoredOutput] = {row["name"]: _stored(row) for row in rows}

    @property
    def configs(self) -> tuple[OutputConfig, ...]:
        """All of them, by name."""
        return tuple(stored.config for _, stored in sorted(self.outputs.items()))

    async def create(self, config: OutputConfig, created: datetime) -> StoredOutput:
        """Keep a new output; an equal one that is there already is that one.

        Raises:
            HotspareError: RESOURCE_EXISTS, when one of that name is there and differs.
        """

        def decide(existing: StoredOutput | None) -> StoredOutput:
            if existing is None:
                return StoredOutput(config, created)
            if existing.config == config:
                return existing
            raise HotspareError(
                Reason.RESOURCE_EXISTS,
                f"there is an output {config.name}, with other settings",
                kind="output",
                id=config.name,
            )

        kept = await self._change(config.name, decide)
        assert kept is not None
        return kept

    async def update(self, name: str, change: Callable[[StoredOutput], OutputConfig]) -> StoredOutput:
        """Put what `change` makes of an output in its place. Errors of `change` are raised, and nothing
        changes.

        Raises:
            HotspareError: RESOURCE_NOT_FOUND.
        """

        def decide(existing: StoredOutput | None) -> StoredOutput:
            if existing is None:
                raise output_not_found(name)
            return StoredOutput(change(existing), existing.created)

        kept = await self._change(name, decide)
        assert kept is not None
        return kept

    async def delete(self, name: str, check: Callable[[StoredOutput], None]) -> None:
        """Delete an output, unless `check` raises.

        Raises:
            HotspareError: RESOURCE_NOT_FOUND.
        """

        def decide(existing: StoredOutput | None) -> None:
            if existing is None:
                raise output_not_found(name)
            check(existing)

        await self._change(name, decide)

    async def _change(
        self, name: str, decide: Callable[[StoredOutput | None], StoredOutput | None]
    ) -> StoredOutput | None:
        """Read, decide and write in one transaction, so that of two at once the second sees the first."""

        def work(connection: sqlite3.Connection) -> StoredOutput | None:
            row = connection.execute("SELECT * FROM output WHERE name = ?", (name,)).fetchone()
            kept = decide(None if row is None else _stored(row))
            if kept is None:
                connection.execute("DELETE FROM output WHERE name = ?", (name,))
            else:
                connection.execute(
                    "INSERT OR REPLACE INTO output VALUES (?, ?, ?, ?, ?)",
                    (
                        name,
                        SIA_DC09,
                        _options(kept.config),
                        kept.config.dc09.key or b"",
                        kept.created.isoformat(),
                    ),
                )
            return kept

        kept: StoredOutput | None = await self._database.write(work)
        if kept is None:
            self.outputs.pop(name, None)
        else:
            self.outputs[name] = kept
        return kept


def _options(config: OutputConfig) -> str:
    """All but name and key, as JSON."""
    dc09 = config.dc09
    return json.dumps(
        {
            "addresses": [str(address) for address in config.addresses],
            "required": config.required,
            "receiver_number": dc09.receiver_number,
            "line_number": dc09.line_number,
            "answer_timeout": dc09.answer_timeout.total_seconds(),
            "heartbeat": dc09.heartbeat.total_seconds(),
        },
        sort_keys=True,
    )


def _stored(row: sqlite3.Row) -> StoredOutput:
    options = json.loads(row["options"])
    config = OutputConfig(
        name=row["name"],
        addresses=tuple(parse_address(text) for text in options["addresses"]),
        required=options["required"],
        dc09=Dc09Config(
            receiver_number=options["receiver_number"],
            line_number=options["line_number"],
            key=row["key"] or None,
            answer_timeout=timedelta(seconds=options["answer_timeout"]),
            heartbeat=timedelta(seconds=options["heartbeat"]),
        ),
    )
    return StoredOutput(config, datetime.fromisoformat(row["created"]))
