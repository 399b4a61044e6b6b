"""The schema of a receiver's database, as migrations: each runs once, in the order of this file, then the
journal's.

A migration that was released is never changed: a later one changes what it made. Databases know their
migrations by name, and refuse to be opened by a version that lacks one of them.
"""

from sqlite_utils import Database, Migrations

from hotspare_receiver.store.records import rebuild

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


@migrations(name="desk_3")
def _derived(db: Database) -> None:
    """What is derived from the records: digests by bucket, references, what lists filter by; and who changed each."""
    for statement in _DESK_3:
        db.execute(statement)
    rebuild(db.conn)


@migrations(name="desk_4")
def _copies(db: Database) -> None:
    """A copy that follows a host, what arrives of it, a lineage that begins anew, and wishes that were granted."""
    for statement in _DESK_4:
        db.execute(statement)


@migrations(name="desk_goodbye")
def _goodbye(db: Database) -> None:
    """A goodbye that is heard late still tells who said it (S5)."""
    db.execute("ALTER TABLE goodbye ADD COLUMN operator TEXT NOT NULL DEFAULT ''")


@migrations(name="desk_feed")
def _feed(db: Database) -> None:
    """What the subscribers of stream outputs were told and acknowledged; see store/feed.py."""
    for statement in _DESK_FEED:
        db.execute(statement)


@migrations(name="desk_supervision")
def _supervision(db: Database) -> None:
    """When devices of the direct path were heard last, and what the ARC is told of it; see store/direct_lives.py."""
    db.execute(
        """
        CREATE TABLE direct_life (
            device_id TEXT PRIMARY KEY,
            last_seen REAL NOT NULL,
            told INTEGER NOT NULL,
            alarm_id TEXT NOT NULL,
            silent INTEGER NOT NULL,
            at REAL NOT NULL
        ) STRICT, WITHOUT ROWID
        """
    )


@migrations(name="desk_direct")
def _direct(db: Database) -> None:
    """Alarms that a host took while it was cut off, and those that the cloud may have; see store/direct.py."""
    for statement in _DESK_DIRECT:
        db.execute(statement)


_DESK_FEED = (
    """
    CREATE TABLE feed (
        cursor INTEGER PRIMARY KEY,
        subscription TEXT NOT NULL,
        scope TEXT NOT NULL,
        number INTEGER NOT NULL,
        alarm_id TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        acknowledged INTEGER,
        UNIQUE (subscription, scope, number, alarm_id)
    ) STRICT
    """,
    "CREATE INDEX feed_subscription ON feed (subscription, cursor)",
)

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

_DESK_4 = (
    # Whether the copy was synced from a host (X1), and the release of the host that stored it (V1). An own edit
    # replaces the row, and both go back to what a host's own copy has.
    "ALTER TABLE copy ADD COLUMN synced INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE copy ADD COLUMN software_version TEXT NOT NULL DEFAULT ''",
    # Whether the cloud said that it has this revision: then there is nothing here that is not there (B8).
    "ALTER TABLE push ADD COLUMN stored INTEGER NOT NULL DEFAULT 0",
    # The lineage that an operator began here and that the cloud does not have yet (B7).
    "CREATE TABLE lineage_begun (lineage TEXT PRIMARY KEY) STRICT, WITHOUT ROWID",
    # A transfer as it comes (B5), with all that the tables of the configuration derive from its records: applying it
    # is then one short transaction.
    """
    CREATE TABLE incoming (
        kind INTEGER NOT NULL,
        id TEXT NOT NULL,
        bucket INTEGER NOT NULL,
        record BLOB,
        revision INTEGER NOT NULL,
        operator TEXT NOT NULL,
        PRIMARY KEY (kind, id)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX incoming_bucket ON incoming (kind, bucket)",
    """
    CREATE TABLE incoming_reference (
        kind INTEGER NOT NULL,
        id TEXT NOT NULL,
        to_kind INTEGER NOT NULL,
        to_id TEXT NOT NULL,
        PRIMARY KEY (kind, id, to_kind, to_id)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE incoming_lookup (
        kind INTEGER NOT NULL,
        value TEXT NOT NULL,
        id TEXT NOT NULL,
        PRIMARY KEY (kind, id, value)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE incoming_text (
        kind INTEGER NOT NULL,
        id TEXT NOT NULL,
        text TEXT NOT NULL,
        PRIMARY KEY (kind, id)
    ) STRICT, WITHOUT ROWID
    """,
    # Operators' wishes that were granted, by the id that the client gave them, so that asking again changes nothing.
    """
    CREATE TABLE wish (
        request_id TEXT PRIMARY KEY,
        method TEXT NOT NULL,
        time TEXT NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
)

_DESK_3 = (
    "ALTER TABLE record ADD COLUMN operator TEXT NOT NULL DEFAULT ''",
    """
    CREATE TABLE bucket (
        kind INTEGER NOT NULL,
        bucket INTEGER NOT NULL,
        count INTEGER NOT NULL,
        sha256 BLOB NOT NULL,
        PRIMARY KEY (kind, bucket)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE reference (
        kind INTEGER NOT NULL,
        id TEXT NOT NULL,
        to_kind INTEGER NOT NULL,
        to_id TEXT NOT NULL,
        PRIMARY KEY (kind, id, to_kind, to_id)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX reference_to ON reference (to_kind, to_id)",
    """
    CREATE TABLE lookup (
        kind INTEGER NOT NULL,
        value TEXT NOT NULL,
        id TEXT NOT NULL,
        PRIMARY KEY (kind, value, id)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX lookup_id ON lookup (kind, id)",
    """
    CREATE TABLE record_text (
        kind INTEGER NOT NULL,
        id TEXT NOT NULL,
        text TEXT NOT NULL,
        PRIMARY KEY (kind, id)
    ) STRICT, WITHOUT ROWID
    """,
)

_DESK_DIRECT = (
    # Times are microseconds since 1970, UTC. A number is never given twice, also when the newest row has gone.
    """
    CREATE TABLE direct_alarm (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        scope TEXT NOT NULL,
        device_id TEXT NOT NULL,
        alarm_id TEXT NOT NULL,
        account_number TEXT NOT NULL,
        submission BLOB NOT NULL,
        received INTEGER NOT NULL,
        confirmed INTEGER,
        wire_sequence TEXT NOT NULL DEFAULT '',
        answer BLOB NOT NULL DEFAULT x'',
        UNIQUE (scope, device_id, alarm_id)
    ) STRICT
    """,
    """
    CREATE TABLE direct_doubt (
        device_id TEXT NOT NULL,
        alarm_id TEXT NOT NULL,
        since INTEGER NOT NULL,
        PRIMARY KEY (device_id, alarm_id)
    ) STRICT, WITHOUT ROWID
    """,
)
