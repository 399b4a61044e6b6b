"""Cuts the power at many places of a record, in many ways, and looks what is left with plain SQLite."""

import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.power.disk import Replay, Survival
from tests.power.recorder import Recorder
from tests.power.stories import Story


@dataclass
class Hunt:
    """What came of it."""

    disks: int = 0
    harmed: int = 0
    """Of these, how many lacked something that was written and not synced."""
    facts: int = 0
    """Answers that were to be found, of all disks together."""
    problems: list[str] = field(default_factory=list)


def hunt(story: Story, recorder: Recorder, folder: Path, cuts: int, seed: int) -> Hunt:
    """Cut at so many places, and at each in every way. `folder`: for the disks, one after the other."""
    random, found = Random(seed), Hunt()
    folder.mkdir()
    places = sorted({*random.sample(range(len(recorder.log) + 1), min(cuts, len(recorder.log))), len(recorder.log)})
    replay = Replay(recorder.base, recorder.log)
    for place in places:
        replay.advance(place)
        whole = replay.disk(Survival.ALL, random)
        for survival in Survival:
            files = replay.disk(survival, random)
            found.disks += 1
            found.harmed += files != whole
            found.facts += len(replay.facts)
            problems = look(story, files, folder, replay.facts)
            where = f"seed {seed}, cut after {place} of {len(recorder.log)}, {survival.value} survived"
            found.problems += [f"{where}: {problem}" for problem in problems]
    return found


def look(story: Story, files: dict[str, bytes], folder: Path, facts: list[object]) -> list[str]:
    """What is wrong with a disk: a database that is damaged, or lacks what was answered."""
    for old in folder.iterdir():
        old.unlink()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    connection = sqlite3.connect(folder / story.database, isolation_level=None)
    try:
        # Of the look itself nothing need be durable.
        connection.execute("PRAGMA synchronous = OFF")
        problems = [row[0] for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
        problems += [f"a reference to nothing: {tuple(row)}" for row in connection.execute("PRAGMA foreign_key_check")]
        return problems or story.missing(connection, facts)
    except sqlite3.DatabaseError as error:
        return [f"the database can't be read: {error}"]
    finally:
        connection.close()
