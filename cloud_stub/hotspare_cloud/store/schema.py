"""The schema of the cloud's SQLite database, as migrations that are never changed once released."""

import contextlib
import json

import sqlite_utils

from hotspare_model.digest import RecordKind, bucket_digest, bucket_of
from hotspare_model.errors import HotspareError
from hotspare_rpc.records import watched_of

MIGRATIONS = sqlite_utils.Migrations("hotspare-cloud")


@MIGRATIONS()
def m0001_accounts_and_groups(db: sqlite_utils.Database) -> None:
    """Accounts, groups, members, epochs, tokens."""
    db.table("account").create({"arc_id": str, "key_sha256": bytes, "created_at": float}, pk="arc_id", strict=True)
    db.table("grp").create(
        {
            "group_id": int,
            "arc_id": str,
            "sub_account": str,
            "settings": str,
            "generation": int,
            "last_number": int,
            "lineage": str,
            "revision": int,
            "backup_version": str,
            "backup_digests": str,
            "backup_at": float,
        },
        pk="group_id",
        not_null={"arc_id", "sub_account", "settings", "generation", "last_number", "revision"},
        foreign_keys=[("arc_id", "account")],
        strict=True,
    )
    db.table("grp").create_index(["arc_id", "sub_account"], unique=True)
    db.table("member").create(
        {
            "group_id": int,
            "receiver_id": str,
            "role": int,
            "generation": int,
            "name": str,
            "machine_id": str,
            "address": str,
            "software_version": str,
            "dual_connection": int,
            "own_account_number": str,
            "joined_at": float,
            "incarnation": str,
            "superseded": str,
            "last_seen": float,
        },
        pk=("group_id", "receiver_id"),
        strict=True,
    )
    db.table("member").create_index(["group_id", "role"], unique=True)
    db.table("departed").create(
        {"group_id": int, "receiver_id": str, "ended": int}, pk=("group_id", "receiver_id"), strict=True
    )
    db.table("epoch").create(
        {
            "group_id": int,
            "epoch": int,
            "receiver_id": str,
            "incarnation": str,
            "machine_id": str,
            "role": int,
            "reason": str,
            "previous": str,
            "gap": float,
            "started_at": float,
            "ended_at": float,
            "held": int,
        },
        pk=("group_id", "epoch"),
        strict=True,
    )
    db.table("token").create(
        {
            "name": str,
            "role": int,
            "sha256": bytes,
            "created_at": float,
            "expires_at": float,
            "revoked_at": float,
        },
        strict=True,
    )
    db.table("token").create_index(["sha256"], unique=True)


@MIGRATIONS()
def m0002_alarms(db: sqlite_utils.Database) -> None:
    """Alarms and deliveries. Written by hand where sqlite-utils has no word for it (WITHOUT ROWID, partial index)."""
    db.execute(
        """
        CREATE TABLE alarm (
            group_id INTEGER NOT NULL,
            number INTEGER NOT NULL,
            alarm_id BLOB NOT NULL,
            device_id TEXT NOT NULL,
            account_number TEXT NOT NULL,
            account_sequence INTEGER NOT NULL,
            received_at REAL NOT NULL,
            payload BLOB NOT NULL,
            state INTEGER NOT NULL,
            deliveries INTEGER NOT NULL,
            confirmed_at REAL,
            confirmed_by TEXT,
            PRIMARY KEY (group_id, number)
        ) STRICT, WITHOUT ROWID
        """
    )
    # UUIDv7 begins with the time: with it in front the index grows at its end, where the pages are in memory.
    db.execute("CREATE UNIQUE INDEX alarm_identity ON alarm (group_id, alarm_id, device_id)")
    db.execute("CREATE INDEX alarm_waiting ON alarm (group_id, number) WHERE state = 0")
    db.execute(
        """
        CREATE TABLE account_line (
            group_id INTEGER NOT NULL,
            account_number TEXT NOT NULL,
            last_sequence INTEGER NOT NULL,
            PRIMARY KEY (group_id, account_number)
        ) STRICT, WITHOUT ROWID
        """
    )
    db.execute(
        """
        CREATE TABLE delivery (
            group_id INTEGER NOT NULL,
            epoch INTEGER NOT NULL,
            number INTEGER NOT NULL,
            PRIMARY KEY (group_id, epoch, number)
        ) STRICT, WITHOUT ROWID
        """
    )


@MIGRATIONS()
def m0003_records(db: sqlite_utils.Database) -> None:
    """The cloud's copies of configurations, and what is looked up at each call of a device."""
    db.execute(
        """
        CREATE TABLE record (
            group_id INTEGER NOT NULL,
            kind INTEGER NOT NULL,
            id TEXT NOT NULL,
            payload BLOB NOT NULL,
            revision INTEGER NOT NULL,
            PRIMARY KEY (group_id, kind, id)
        ) STRICT, WITHOUT ROWID
        """
    )
    db.execute(
        """
        CREATE TABLE device (
            group_id INTEGER NOT NULL,
            device_id TEXT NOT NULL,
            key_sha256 BLOB NOT NULL,
            account_number TEXT NOT NULL,
            PRIMARY KEY (group_id, device_id)
        ) STRICT, WITHOUT ROWID
        """
    )


@MIGRATIONS()
def m0004_starts(db: sqlite_utils.Database) -> None:
    """Which start of a receiver attends, and from which data folder."""
    db.execute("ALTER TABLE member ADD COLUMN start INTEGER NOT NULL DEFAULT 0")
    db.execute("ALTER TABLE member ADD COLUMN folder_id TEXT NOT NULL DEFAULT ''")


@MIGRATIONS()
def m0005_moves(db: sqlite_utils.Database) -> None:
    """What operators wished and what stands of it; the history of moves; ids of wishes that were carried out."""
    db.execute("ALTER TABLE grp ADD COLUMN standing TEXT NOT NULL DEFAULT '{}'")
    # Where the line of a new account number begins: in a restored database far behind all that was given out.
    db.execute("ALTER TABLE grp ADD COLUMN sequence_base INTEGER NOT NULL DEFAULT 0")
    db.execute(
        """
        CREATE TABLE history (
            group_id INTEGER NOT NULL,
            number INTEGER NOT NULL,
            kind TEXT NOT NULL,
            at REAL NOT NULL,
            from_receiver_id TEXT NOT NULL,
            from_role INTEGER,
            to_receiver_id TEXT NOT NULL,
            to_role INTEGER,
            reason TEXT,
            detail TEXT NOT NULL,
            operator TEXT NOT NULL,
            epoch INTEGER NOT NULL,
            gap REAL NOT NULL,
            planned INTEGER NOT NULL,
            PRIMARY KEY (group_id, number)
        ) STRICT, WITHOUT ROWID
        """
    )
    db.execute(
        """
        CREATE TABLE request (
            group_id INTEGER NOT NULL,
            request_id TEXT NOT NULL,
            at REAL NOT NULL,
            PRIMARY KEY (group_id, request_id)
        ) STRICT, WITHOUT ROWID
        """
    )


@MIGRATIONS()
def m0006_revisions(db: sqlite_utils.Database) -> None:
    """Revisions of configurations with what changed in each, digests by bucket, and transfers that are under way."""
    # The newest is the copy itself; a group without any has none.
    db.execute(
        """
        CREATE TABLE revision (
            group_id INTEGER NOT NULL,
            revision INTEGER NOT NULL,
            lineage TEXT NOT NULL,
            stored_at REAL NOT NULL,
            receiver_id TEXT NOT NULL,
            operator TEXT NOT NULL,
            software_version TEXT NOT NULL,
            kinds TEXT NOT NULL,
            change_count INTEGER NOT NULL,
            restored_from INTEGER NOT NULL,
            base_revision INTEGER NOT NULL,
            base_lineage TEXT NOT NULL,
            PRIMARY KEY (group_id, revision)
        ) STRICT, WITHOUT ROWID
        """
    )
    _copy_heads(db)
    db.execute("ALTER TABLE record RENAME TO record_before")
    # `revision`: the stored one in which it got these contents; `changed`: the host's own number of that. An empty
    # payload is a record that is gone, kept for those who ask what changed since.
    db.execute(
        """
        CREATE TABLE record (
            group_id INTEGER NOT NULL,
            kind INTEGER NOT NULL,
            id TEXT NOT NULL,
            bucket INTEGER NOT NULL,
            payload BLOB NOT NULL,
            revision INTEGER NOT NULL,
            changed INTEGER NOT NULL,
            operator TEXT NOT NULL,
            PRIMARY KEY (group_id, kind, id)
        ) STRICT, WITHOUT ROWID
        """
    )
    _copy_records(db)
    db.execute("DROP TABLE record_before")
    db.execute("CREATE INDEX record_bucket ON record (group_id, kind, bucket)")
    db.execute("CREATE INDEX record_revision ON record (group_id, kind, revision)")
    db.execute("CREATE INDEX record_gone ON record (group_id, revision) WHERE payload = x''")
    # What a record was before: from `revision` on, and no longer from `until` on.
    db.execute(
        """
        CREATE TABLE record_version (
            group_id INTEGER NOT NULL,
            kind INTEGER NOT NULL,
            id TEXT NOT NULL,
            revision INTEGER NOT NULL,
            until INTEGER NOT NULL,
            payload BLOB NOT NULL,
            changed INTEGER NOT NULL,
            operator TEXT NOT NULL,
            PRIMARY KEY (group_id, kind, id, revision)
        ) STRICT, WITHOUT ROWID
        """
    )
    db.execute("CREATE INDEX version_until ON record_version (group_id, until)")
    db.execute(
        """
        CREATE TABLE bucket (
            group_id INTEGER NOT NULL,
            kind INTEGER NOT NULL,
            bucket INTEGER NOT NULL,
            count INTEGER NOT NULL,
            sha256 BLOB NOT NULL,
            PRIMARY KEY (group_id, kind, bucket)
        ) STRICT, WITHOUT ROWID
        """
    )
    _digest_records(db)
    db.execute(
        """
        CREATE TABLE incoming (
            transfer_id INTEGER NOT NULL,
            kind INTEGER NOT NULL,
            bucket INTEGER NOT NULL,
            id TEXT NOT NULL,
            payload BLOB NOT NULL,
            changed INTEGER NOT NULL,
            operator TEXT NOT NULL,
            key_sha256 BLOB,
            account_number TEXT,
            PRIMARY KEY (transfer_id, kind, bucket, id)
        ) STRICT, WITHOUT ROWID
        """
    )
    for column in ("lineage", "revision", "backup_version", "backup_digests", "backup_at"):
        db.execute(f"ALTER TABLE grp DROP COLUMN {column}")


def _copy_heads(db: sqlite_utils.Database) -> None:
    """The copies of before, each as its group's first revision."""
    rows = db.execute(
        "SELECT group_id, revision, lineage, backup_version, backup_digests, backup_at FROM grp"
    ).fetchall()
    for group_id, revision, lineage, version, digests, at in rows:
        if lineage:
            kinds = [[kind, count, sha256, revision if count else 0, at] for kind, count, sha256 in json.loads(digests)]
            db.execute(
                "INSERT INTO revision VALUES (?, ?, ?, ?, '', '', ?, ?, 0, 0, 0, '')",
                (group_id, revision, lineage, at, version, json.dumps(kinds)),
            )


def _copy_records(db: sqlite_utils.Database) -> None:
    db.conn.create_function("bucket_of", 1, bucket_of, deterministic=True)
    columns = "group_id, kind, id, bucket_of(id), payload, revision, revision, ''"
    db.execute(f"INSERT INTO record SELECT {columns} FROM record_before")


def _digest_records(db: sqlite_utils.Database) -> None:
    """The digest of each bucket; one kind of one group in memory at a time."""
    for group_id, kind in db.execute("SELECT DISTINCT group_id, kind FROM record").fetchall():
        found: dict[int, list[tuple[bytes, bytes]]] = {}
        rows = db.execute("SELECT bucket, id, payload FROM record WHERE group_id = ? AND kind = ?", (group_id, kind))
        for bucket, record_id, payload in rows:
            found.setdefault(bucket, []).append((record_id.encode(), payload))
        for bucket, records in found.items():
            db.execute(
                "INSERT INTO bucket VALUES (?, ?, ?, ?, ?)",
                (group_id, kind, bucket, len(records), bucket_digest(records)),
            )


@MIGRATIONS()
def m0007_keys(db: sqlite_utils.Database) -> None:
    """The old key of an account while it is rotated, and which receivers showed the new one last."""
    db.execute("ALTER TABLE account ADD COLUMN old_key_sha256 BLOB")
    db.execute("ALTER TABLE account ADD COLUMN old_key_expires_at REAL")
    db.execute(
        """
        CREATE TABLE changed_over (
            arc_id TEXT NOT NULL,
            receiver_id TEXT NOT NULL,
            PRIMARY KEY (arc_id, receiver_id)
        ) STRICT, WITHOUT ROWID
        """
    )


@MIGRATIONS()
def m0008_set_aside(db: sqlite_utils.Database) -> None:
    """Alarms that were set aside (A5), and how often the working receiver was lost with each."""
    db.execute("ALTER TABLE alarm ADD COLUMN losses INTEGER NOT NULL DEFAULT 0")
    db.execute("CREATE INDEX alarm_set_aside ON alarm (group_id, number) WHERE state = 2")
    # The last time of each. It stays when the alarm is sent again, and tells who wished that.
    db.execute(
        """
        CREATE TABLE set_aside (
            group_id INTEGER NOT NULL,
            number INTEGER NOT NULL,
            epoch INTEGER NOT NULL,
            cause INTEGER NOT NULL,
            reason TEXT NOT NULL,
            at REAL NOT NULL,
            frame BLOB NOT NULL,
            answer BLOB NOT NULL,
            replayed_at REAL,
            replayed_by TEXT NOT NULL,
            PRIMARY KEY (group_id, number)
        ) STRICT, WITHOUT ROWID
        """
    )


@MIGRATIONS(name="cloud_direct")
def _direct(db: sqlite_utils.Database) -> None:
    """What gateways tell (D2), and how copies of alarms on the other path are known (D3)."""
    db.execute(
        """
        CREATE TABLE gateway_report (
            group_id INTEGER NOT NULL,
            number INTEGER NOT NULL,
            alarm_id BLOB NOT NULL,
            receiver_id TEXT NOT NULL,
            reported_at REAL NOT NULL,
            report BLOB NOT NULL,
            PRIMARY KEY (group_id, number, alarm_id)
        ) STRICT, WITHOUT ROWID
        """
    )
    # Alarms that were known as copies: by this id too the alarm with that number is meant.
    db.execute(
        """
        CREATE TABLE twin (
            group_id INTEGER NOT NULL,
            alarm_id BLOB NOT NULL,
            device_id TEXT NOT NULL,
            number INTEGER NOT NULL,
            PRIMARY KEY (group_id, alarm_id, device_id)
        ) STRICT, WITHOUT ROWID
        """
    )
    # Alarms whose copy on the other path has not come. `id` grows with the time, so that the oldest are found first.
    db.execute(
        """
        CREATE TABLE sighting (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            group_id INTEGER NOT NULL,
            device_id TEXT NOT NULL,
            content BLOB NOT NULL,
            side INTEGER NOT NULL,
            occurred REAL NOT NULL,
            number INTEGER NOT NULL,
            seen_at REAL NOT NULL
        ) STRICT
        """
    )
    db.execute("CREATE INDEX sighting_open ON sighting (group_id, device_id, content, side, occurred)")


@MIGRATIONS(name="cloud_supervision")
def _supervision(db: sqlite_utils.Database) -> None:
    """How devices are supervised (A9), when they were heard last, and what the ARC was told of it."""
    db.execute("ALTER TABLE device ADD COLUMN supervision REAL NOT NULL DEFAULT 180.0")
    db.execute("ALTER TABLE device ADD COLUMN disabled INTEGER NOT NULL DEFAULT 0")
    db.execute("ALTER TABLE incoming ADD COLUMN supervision REAL")
    db.execute("ALTER TABLE incoming ADD COLUMN disabled INTEGER")
    found = "SELECT group_id, id, payload FROM record WHERE kind = ? AND payload != x''"
    change = "UPDATE device SET supervision = ?, disabled = ? WHERE group_id = ? AND device_id = ?"
    for group_id, device_id, payload in db.execute(found, (int(RecordKind.DEVICE),)).fetchall():
        with contextlib.suppress(HotspareError):  # one that is damaged keeps the default
            watched = watched_of(payload)
            db.execute(change, (watched.interval, int(watched.disabled), group_id, device_id))
    db.execute(
        """
        CREATE TABLE device_life (
            group_id INTEGER NOT NULL,
            device_id TEXT NOT NULL,
            last_seen REAL NOT NULL,
            told INTEGER NOT NULL,
            PRIMARY KEY (group_id, device_id)
        ) STRICT, WITHOUT ROWID
        """
    )


@MIGRATIONS(name="cloud_expiry")
def _expiry(db: sqlite_utils.Database) -> None:
    """What is kept of alarms, and how far it was counted (A8); when alarms were delivered."""
    db.execute(
        """
        CREATE TABLE kept_size (
            group_id INTEGER PRIMARY KEY,
            alarms INTEGER NOT NULL,
            bytes INTEGER NOT NULL,
            through INTEGER NOT NULL
        ) STRICT
        """
    )
    # When the clean-up last believed the wall clock: one that has jumped deletes nothing.
    db.execute("CREATE TABLE expiry (one INTEGER PRIMARY KEY CHECK (one = 1), believed_at REAL NOT NULL) STRICT")
    db.execute("INSERT INTO expiry VALUES (1, 0)")
    # Of a delivery from before this release nobody knows when it was.
    db.execute("ALTER TABLE delivery ADD COLUMN at REAL")
    db.execute("CREATE INDEX twin_of ON twin (group_id, number)")


@MIGRATIONS(name="cloud_replays")
def _replays(db: sqlite_utils.Database) -> None:
    """After how many deliveries an alarm was put back (A5): refusals of those are of before."""
    db.execute("ALTER TABLE set_aside ADD COLUMN replayed_after INTEGER NOT NULL DEFAULT 0")
