"""Python's sqlite3 module, as far as the stores use it, on apsw and a VFS."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

Bindings = Any
SYNCHRONOUS = "synchronous"


class Module:
    """Stands in the place of the module `sqlite3` in hotspare_store.database."""

    def __init__(self, vfs: str, pragmas: Mapping[str, str] | None = None) -> None:
        """`pragmas`: set at the opening of each connection; that of `synchronous` in place of the product's own."""
        self._vfs = vfs
        self._pragmas = dict(pragmas or {})
        self.set: list[tuple[str, str]] = []
        """The pragmas that the product set, as it wanted them."""

    def __getattr__(self, name: str) -> Any:
        return getattr(sqlite3, name)

    def connect(self, path: Path, *, timeout: float, **_: Any) -> "Connection":
        """Open a file on the VFS."""
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        connection = apsw.Connection(str(path), flags=flags, vfs=self._vfs)
        connection.set_busy_timeout(int(timeout * 1000))
        return Connection(connection, self)

    def wanted(self, statement: str) -> str:
        """The statement, or another one in its place."""
        words = statement.replace("=", " ").split()
        if len(words) != 3 or words[0].upper() != "PRAGMA":
            return statement
        name, value = words[1].lower(), words[2]
        self.set.append((name, value))
        if name == "journal_mode":
            extra = [f"PRAGMA {each} = {other}" for each, other in self._pragmas.items() if each != SYNCHRONOUS]
            return "; ".join([statement, *extra])
        return f"PRAGMA {name} = {self._pragmas[name]}" if name == SYNCHRONOUS and name in self._pragmas else statement


class Connection:
    """A connection of the module."""

    def __init__(self, connection: apsw.Connection, module: Module) -> None:
        self._connection = connection
        self._module = module
        self.row_factory: Any = None

    @property
    def in_transaction(self) -> bool:
        """Whether one has begun and not ended."""
        return bool(self._connection.in_transaction)

    def cursor(self) -> "Cursor":
        """A cursor that makes rows as this connection does."""
        return Cursor(self._connection, self.row_factory)

    def execute(self, statement: str, bindings: Bindings = ()) -> "Cursor":
        """Run a statement on a cursor of its own."""
        return self.cursor().execute(self._module.wanted(statement), bindings)

    def executemany(self, statement: str, rows: Iterable[Bindings]) -> "Cursor":
        """Run a statement for each row."""
        return self.cursor().executemany(statement, rows)

    def close(self) -> None:
        """Close it."""
        with _translated():
            self._connection.close()


class Cursor:
    """A cursor of the module."""

    def __init__(self, connection: apsw.Connection, row_factory: Any) -> None:
        self._connection = connection
        self._cursor = connection.cursor()
        self.row_factory = row_factory
        self.rowcount = -1

    def execute(self, statement: str, bindings: Bindings = ()) -> "Cursor":
        """Run it."""
        before = self._connection.total_changes()
        self._cursor.row_trace = _row if self.row_factory is not None else None
        with _translated():
            self._cursor.execute(statement, bindings)
        changed = self._connection.total_changes() != before
        self.rowcount = self._connection.changes() if changed else 0
        return self

    def executemany(self, statement: str, rows: Iterable[Bindings]) -> "Cursor":
        """Run it for each row."""
        count = 0
        for row in rows:
            count += self.execute(statement, row).rowcount
        self.rowcount = count
        return self

    def fetchone(self) -> Any:
        """The next row, None at the end."""
        with _translated():
            return self._cursor.fetchone()

    def fetchall(self) -> list[Any]:
        """All rows that are left."""
        with _translated():
            return list(self._cursor.fetchall())

    def __iter__(self) -> Iterator[Any]:
        with _translated():
            yield from self._cursor


class Row(tuple[Any, ...]):
    """A row that is read by place and by name."""

    names: tuple[str, ...]

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(self.names.index(key) if isinstance(key, str) else key)

    def keys(self) -> list[str]:
        """Names of the columns."""
        return list(self.names)


def _row(cursor: apsw.Cursor, values: tuple[Any, ...]) -> Row:
    row = Row(values)
    row.names = tuple(column[0] for column in cursor.get_description())
    return row


@contextmanager
def _translated() -> Iterator[None]:
    """Raise the module's errors in place of apsw's."""
    try:
        yield
    except apsw.Error as error:
        kind = sqlite3.IntegrityError if isinstance(error, apsw.ConstraintError) else sqlite3.OperationalError
        ours = kind(str(error))
        ours.sqlite_errorcode = getattr(error, "extendedresult", 0)
        raise ours from error
