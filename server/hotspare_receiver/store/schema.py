"""The schema of a receiver's database, as migrations: each runs once, in the order of this file, then the
journal's.

A migration that was released is never changed: a later one changes what it made. Databases know their
migrations by name, and refuse to be opened by a version that lacks one of them.
"""

from sqlite_utils import Database, Migrations

migrations = Migrations("hotspare_receiver")


@migrations(name="desk_1")
def _desk(db: Database) -> None:
    """Settings, role, outputs, tokens; the configuration with its revisions; a goodbye that the cloud has to hear."""
    for statement in _DESK_1:
        db.execute(statement)


@migrations(name="desk_2")
def _starts(db: Database) -> None:
    """Starts of the process are counted: of two, the cloud has to know the later one."""
    db.execute("ALTER TABLE identity ADD COLUMN starts INTEGER NOT NULL DEFAULT 0")


_DESK_1 = (
    # One value a row, as JSON: a setting that has its default has no row.
    "CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
    """
    CREATE TABLE identity (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        receiver_id TEXT NOT NULL,
        role INTEGER,
        generation INTEGER NOT NULL DEFAULT 0
    ) STRICT
    """,
    """
    CREATE TABLE output (
        name TEXT PRIMARY KEY,
        kind INTEGER NOT NULL,
        options TEXT NOT NULL,
        key BLOB NOT NULL,
        created TEXT NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE token (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        role INTEGER NOT NULL,
        sha256 BLOB NOT NULL UNIQUE,
        created TEXT NOT NULL,
        expires TEXT,
        revoked TEXT,
        last_used TEXT,
        subscriptions TEXT NOT NULL
    ) STRICT
    """,
    # A revoked token stays as a fact; its name may be given again.
    "CREATE UNIQUE INDEX token_name ON token (name) WHERE revoked IS NULL",
    # A deleted record stays as a row without contents, so that its deletion can be sent (B3).
    """
    CREATE TABLE record (
        kind INTEGER NOT NULL,
        id TEXT NOT NULL,
        bucket INTEGER NOT NULL,
        record BLOB,
        revision INTEGER NOT NULL,
        PRIMARY KEY (kind, id)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX record_bucket ON record (kind, bucket)",
    "CREATE INDEX record_revision ON record (revision)",
    """
    CREATE TABLE copy (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        lineage TEXT NOT NULL,
        revision INTEGER NOT NULL,
        operator TEXT NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE kind_update (
        kind INTEGER PRIMARY KEY,
        revision INTEGER NOT NULL,
        time TEXT NOT NULL
    ) STRICT
    """,
    # What was sent, or is on its way, to the cloud: by it a push whose answer was lost is known again (B7).
    "CREATE TABLE push (revision INTEGER PRIMARY KEY, digests TEXT NOT NULL) STRICT",
    """
    CREATE TABLE goodbye (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        cloud_address TEXT NOT NULL,
        cloud_tls INTEGER NOT NULL,
        cloud_ca_pem TEXT NOT NULL,
        arc_id TEXT NOT NULL,
        generation INTEGER NOT NULL,
        released_through INTEGER NOT NULL,
        detail TEXT NOT NULL
    ) STRICT
    """,
)
