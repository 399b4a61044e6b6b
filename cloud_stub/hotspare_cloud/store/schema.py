"""The schema of the cloud's SQLite database, as migrations that are never changed once released."""

import sqlite_utils

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
