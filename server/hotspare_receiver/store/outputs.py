"""The outputs of a receiver, as rows: its own, never backed up or synced."""

import hashlib
import json
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from hotspare_model.errors import HotspareError, Reason
from hotspare_model.surgard import Width
from hotspare_receiver.snapshot import Dc09Config, Dc09Form, OutputConfig, StreamConfig, SurgardConfig, Transport
from hotspare_rpc.address import parse_address
from hotspare_store.database import Database

SIA_DC09, SURGARD, STREAM = 1, 2, 3
"""Kinds; the numbers are those of output.proto."""


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
            HotspareError: RESOURCE_EXISTS, when one of that name is there and differs, or another one has the
                subscription.
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
            HotspareError: RESOURCE_NOT_FOUND; RESOURCE_EXISTS, when another one has the subscription.
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
                _check_subscription(connection, kept.config)
                connection.execute(
                    "INSERT OR REPLACE INTO output VALUES (?, ?, ?, ?, ?)",
                    (
                        name,
                        kind_of(kept.config),
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


def kind_of(config: OutputConfig) -> int:
    """What an output speaks; the number is that of output.proto."""
    if config.stream is not None:
        return STREAM
    return SIA_DC09 if config.surgard is None else SURGARD


def _check_subscription(connection: sqlite3.Connection, config: OutputConfig) -> None:
    """Of two outputs with one subscription nobody could tell which a subscriber means."""
    if config.stream is None:
        return
    others = connection.execute("SELECT * FROM output WHERE kind = ? AND name <> ?", (STREAM, config.name)).fetchall()
    holder = next((row["name"] for row in others if _stored(row).config.stream == config.stream), None)
    if holder is not None:
        raise HotspareError(
            Reason.RESOURCE_EXISTS,
            f"the output {holder} has the subscription {config.stream.subscription}",
            kind="subscription",
            id=config.stream.subscription,
        )


def _options(config: OutputConfig) -> str:
    """All but name and key, as JSON."""
    common = {
        "addresses": [str(address) for address in config.addresses],
        "required": config.required,
        "paused": config.paused,
    }
    if config.stream is not None:
        own: dict[str, object] = {"subscription": config.stream.subscription}
    elif config.surgard is not None:
        own = _surgard_options(config.surgard)
    else:
        own = _dc09_options(config.dc09)
    return json.dumps(common | own, sort_keys=True)


def _dc09_options(dc09: Dc09Config) -> dict[str, object]:
    return {
        "receiver_number": dc09.receiver_number,
        "line_number": dc09.line_number,
        "answer_timeout": dc09.answer_timeout.total_seconds(),
        "heartbeat": dc09.heartbeat.total_seconds(),
        "transport": int(dc09.transport),
        "form": int(dc09.form),
    }


def _surgard_options(surgard: SurgardConfig) -> dict[str, object]:
    return {
        "width": int(surgard.width),
        "receiver_number": surgard.receiver_number,
        "line_number": surgard.line_number,
        "answer_timeout": surgard.answer_timeout.total_seconds(),
        "heartbeat": surgard.heartbeat.total_seconds(),
        "attempts": surgard.attempts,
    }


def _stored(row: sqlite3.Row) -> StoredOutput:
    options = json.loads(row["options"])
    config = OutputConfig(
        name=row["name"],
        addresses=tuple(parse_address(text) for text in options["addresses"]),
        required=options["required"],
        paused=options.get("paused", False),
    )
    if row["kind"] == STREAM:
        config = replace(config, stream=StreamConfig(options["subscription"]))
    elif row["kind"] == SURGARD:
        config = replace(config, surgard=_read_surgard(options))
    else:
        config = replace(config, dc09=_read_dc09(options, row["key"] or None))
    return StoredOutput(config, datetime.fromisoformat(row["created"]))


def _read_dc09(options: Mapping[str, Any], key: bytes | None) -> Dc09Config:
    """Releases without UDP and SIA-DCS stored neither of the two."""
    return Dc09Config(
        receiver_number=options["receiver_number"],
        line_number=options["line_number"],
        key=key,
        answer_timeout=timedelta(seconds=options["answer_timeout"]),
        heartbeat=timedelta(seconds=options["heartbeat"]),
        transport=Transport(options.get("transport", Transport.TCP)),
        form=Dc09Form(options.get("form", Dc09Form.ADM_CID)),
    )


def _read_surgard(options: Mapping[str, Any]) -> SurgardConfig:
    return SurgardConfig(
        width=Width(options["width"]),
        receiver_number=options["receiver_number"],
        line_number=options["line_number"],
        answer_timeout=timedelta(seconds=options["answer_timeout"]),
        heartbeat=timedelta(seconds=options["heartbeat"]),
        attempts=options["attempts"],
    )
