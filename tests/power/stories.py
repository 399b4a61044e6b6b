"""What the stores do while the power is on, and what they answer: that has to be there after any cut.

Both stories run the product's own stores; only the SQLite below them is the recorder's.
"""

import asyncio
import sqlite3
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from hotspare_cloud.core.state import BeginEpoch
from hotspare_cloud.core.state import Reason as Move
from hotspare_cloud.store.base import AccountRow, NewAlarm, Step
from hotspare_cloud.store.sqlite import SqliteStore
from hotspare_model.group import Role
from hotspare_receiver.core.forwarder import Delivered
from hotspare_receiver.journal import Journal, Unstored
from hotspare_receiver.store.direct import DirectStore, KeptAlarm
from hotspare_receiver.store.schema import migrations
from hotspare_store.database import Database
from tests.integration.path_fakes import stored_alarm
from tests.power.recorder import Recorder

RECEIVER = "r1"
EPOCH = 1
SCOPE = "north/default"


@dataclass(frozen=True)
class Answered:
    """A device has the receipt of an alarm (A1)."""

    alarm_id: str
    number: int
    sequence: int
    payload: bytes


@dataclass(frozen=True)
class Confirmed:
    """A receiver was told that its confirmations are stored (A4)."""

    numbers: tuple[int, ...]


@dataclass(frozen=True)
class Told:
    """The journal has told the path that a confirmation is durable (timing 3)."""

    number: int
    alarm_id: str


@dataclass(frozen=True)
class Kept:
    """A device has the answer of an isolated host (D4)."""

    number: int
    alarm_id: str


@dataclass(frozen=True)
class Forgotten:
    """The cloud has an alarm that an isolated host kept: it may go."""

    number: int


@dataclass(frozen=True)
class Story:
    """A store: how its folder is made, what happens in it, and how to look for what was answered."""

    database: str
    prepare: Callable[[Path], object]
    tell: Callable[[Path, Recorder, int, Random], object]
    missing: Callable[[sqlite3.Connection, Sequence[object]], list[str]]


# The cloud: alarms come, go out, and are confirmed.


def _nothing(error: BaseException) -> None:
    raise AssertionError(error)


async def prepare_cloud(folder: Path) -> None:
    """A group with an epoch, before the recording."""
    store = SqliteStore.open(folder, _nothing)
    await store.create_account(AccountRow("arc", b"k" * 32, 1000.5), ["north"])
    begun = BeginEpoch(EPOCH, RECEIVER, "incarnation", "machine", Move.FIRST, None, 1.5)
    await store.save_step((await store.groups())[0].group_id, Step(begun=begun, role=Role.HOST))
    store.close()


async def tell_cloud(folder: Path, recorder: Recorder, rounds: int, random: Random) -> None:
    """Devices publish one by one and in batches, while the working receiver takes and confirms."""
    store = SqliteStore.open(folder, _nothing)
    group = (await store.groups())[0].group_id

    async def publish(count: int) -> None:
        alarms = [_alarm(random) for _ in range(count)]
        for alarm, kept in zip(alarms, await store.store_alarms(group, alarms), strict=True):
            recorder.said(Answered(alarm.alarm_id, kept.number, kept.account_sequence, alarm.payload))

    async def forward() -> None:
        waiting = [one.number for one in await store.waiting_alarms(group, 0, random.randint(1, 20))]
        if waiting:
            await store.note_delivery(group, EPOCH, waiting)
            done = waiting[: random.randint(1, len(waiting))]
            result = await store.confirm(group, EPOCH, RECEIVER, [(number, number) for number in done], 5.0)
            recorder.said(Confirmed(tuple(result.known)))

    for _ in range(rounds):
        publishing = (publish(random.choice((1, 1, 1, 2, 10))) for _ in range(random.randint(1, 4)))
        await asyncio.gather(*publishing, forward())
    store.close()


def _alarm(random: Random) -> NewAlarm:
    alarm_id = str(uuid.UUID(int=random.getrandbits(128), version=4))
    return NewAlarm(
        alarm_id, f"panel-{random.randrange(5)}", "1234", 2000.25, random.randbytes(random.randint(20, 300))
    )


def missing_in_cloud(connection: sqlite3.Connection, facts: Sequence[object]) -> list[str]:
    """What was answered and is not there, in words."""
    columns = "number, account_sequence, payload, state"
    rows = {bytes(row[0]): row[1:] for row in connection.execute(f"SELECT alarm_id, {columns} FROM alarm")}
    state = {row[0]: row[3] for row in rows.values()}
    problems = []
    for fact in facts:
        match fact:
            case Answered(alarm_id, number, sequence, payload):
                if rows.get(uuid.UUID(alarm_id).bytes, ())[:3] != (number, sequence, payload):
                    problems.append(f"alarm {number} was answered and is lost")
            case Confirmed(numbers):
                problems += [f"alarm {one} was confirmed and is not" for one in numbers if state.get(one) != 1]
            case _:
                raise AssertionError(fact)
    last = connection.execute("SELECT last_number FROM grp").fetchone()[0]
    if state and last < max(state):
        problems.append(f"the number {max(state)} would be given again after {last}")
    return problems


# The receiver: its journal, and what it keeps while it is cut off.


async def prepare_receiver(folder: Path) -> None:
    """An empty database, before the recording."""
    Database.open(folder / "receiver.db", migrations).close()


async def tell_receiver(folder: Path, recorder: Recorder, rounds: int, random: Random) -> None:
    """Alarms come and are confirmed by the ARC; an isolated host keeps others."""
    database = Database.open(folder / "receiver.db", migrations, _nothing)
    journal, direct = Journal(database), DirectStore(database)

    def told(scope: str, confirmations: Iterable[Unstored]) -> None:
        for one in confirmations:
            recorder.said(Told(one.number, one.alarm_id))

    async def keep() -> None:
        alarm_id = str(uuid.UUID(int=random.getrandbits(128), version=4))
        made = KeptAlarm(0, SCOPE, (f"panel-{random.randrange(3)}", alarm_id), "1234", b"submission", datetime.now(UTC))
        kept, _ = await direct.keep(made)
        recorder.said(Kept(kept.number, alarm_id))
        if random.random() < 0.5:
            await direct.confirm(kept.number, datetime.now(UTC), "0001", b"ACK")
        if random.random() < 0.3:
            recorder.said(Forgotten(kept.number))
            await direct.forget(kept.number)

    journal.listen(told)
    number = 0
    for _ in range(rounds):
        came = range(number + 1, number + random.randint(2, 12))
        number = came[-1]
        alarms = [Delivered(stored_alarm(each), EPOCH, 1, False, random.randbytes(100)) for each in came]
        journal.note_epoch(SCOPE, EPOCH)
        journal.note_delivered(SCOPE, alarms)
        for alarm in random.sample(alarms, random.randint(1, len(alarms))):
            journal.confirm(SCOPE, [alarm])
        await asyncio.gather(journal.flush(), *(keep() for _ in range(random.randint(0, 3))))
    await journal.close()
    database.close()


def missing_in_receiver(connection: sqlite3.Connection, facts: Sequence[object]) -> list[str]:
    """What was answered and is not there, in words."""
    confirmed = {
        (number, alarm_id)
        for number, alarm_id in connection.execute("SELECT number, alarm_id FROM alarm WHERE confirmed IS NOT NULL")
    }
    kept = {(number, alarm_id) for number, alarm_id in connection.execute("SELECT number, alarm_id FROM direct_alarm")}
    may_go = {fact.number for fact in facts if isinstance(fact, Forgotten)}
    problems = []
    for fact in facts:
        match fact:
            case Told(number, alarm_id) if (number, alarm_id) not in confirmed:
                problems.append(f"the confirmation of {number} was told and is lost")
            case Kept(number, alarm_id) if number not in may_go and (number, alarm_id) not in kept:
                problems.append(f"the direct alarm {number} was answered and is lost")
            case _:
                pass  # It is there, or may be gone.
    return problems


STORIES = {
    "cloud": Story("cloud.db", prepare_cloud, tell_cloud, missing_in_cloud),
    "receiver": Story("receiver.db", prepare_receiver, tell_receiver, missing_in_receiver),
}
