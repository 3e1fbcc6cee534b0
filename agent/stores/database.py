"""Opens the journal's database: connections, damage check, migration. All that is particular to SQLite.

Exactly one connection writes: SQLite up to 3.51.2 can corrupt a WAL that two connections write or checkpoint
at once (sqlite.org/wal.html, "WAL-reset bug"), so a reader neither writes nor checkpoints.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import cast
from urllib.parse import quote

import structlog
from sqlalchemy import Connection, NullPool, create_engine, event, inspect, text
from sqlalchemy.exc import DBAPIError

from agent.stores.schema import REVISION

_WRITING = ("synchronous=FULL", "foreign_keys=ON")
_READING = ("query_only=ON", "wal_autocheckpoint=0")
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_PARTS = ("-wal", "-shm", "")  # the file itself last: a fresh one must never meet an old one's WAL

_log = structlog.get_logger("journal")


class JournalError(Exception):
    """Our own memory cannot be used; the message is one line for people."""


class _Unusable(Exception):  # noqa: N818  decided here, never seen outside
    """What stands there is damaged, or not a journal of ours."""


def open_writer(path: Path) -> Connection:
    """The one connection that writes, to a sound and up-to-date journal; what is not one is set aside.

    Raises:
        JournalError: the file can be neither read nor made.
    """
    try:
        return _open_sound(path)
    except _Unusable as reason:
        _log.warning(
            "journal set aside, a fresh one is made", moved_to=str(_set_aside(path)), reason=str(reason)
        )
        return _open_sound(path)


def open_reader(path: Path) -> Connection:
    """A connection that only reads, and neither waits for the writer nor holds it up; it makes no file.

    Raises:
        JournalError: the file cannot be read.
    """
    with clear_errors():
        return _connect(path, _READING, "BEGIN", "ro")


@contextmanager
def clear_errors() -> Iterator[None]:
    """Turns what the database reports into a `JournalError`."""
    try:
        yield
    except DBAPIError as error:
        raise JournalError(f"the journal cannot be used: {error.orig}") from error


def _open_sound(path: Path) -> Connection:
    with clear_errors(), _damage_noticed(), ExitStack() as undo:
        writer = undo.enter_context(_connect(path, _WRITING, "BEGIN IMMEDIATE", "rwc"))
        with writer.begin():
            revision = _revision(writer)
        if revision != REVISION:
            _migrate(writer)
        undo.pop_all()
    return writer


@contextmanager
def _damage_noticed() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        # The low byte is the primary code (sqlite.org/rescode.html, section 2).
        if getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in _DAMAGE:
            raise _Unusable(str(error.orig)) from error
        raise


def _connect(path: Path, pragmas: tuple[str, ...], begin: str, mode: str) -> Connection:
    place = f"file:{quote(os.fsencode(path))}?mode={mode}"

    def connect() -> sqlite3.Connection:
        # isolation_level: SQLAlchemy and we say when a transaction begins, not the driver.
        with ExitStack() as undo:
            raw = sqlite3.connect(place, uri=True, isolation_level=None, check_same_thread=False)
            undo.callback(raw.close)
            for pragma in pragmas:
                raw.execute(f"PRAGMA {pragma}")
            undo.pop_all()
        return raw

    def still_open(connection: Connection, *_: object) -> None:
        # SQLite may roll a whole transaction back on its own (disk full, I/O error), and the driver's
        # commit() would then do nothing and call it a success.
        raw = cast("sqlite3.Connection", connection.connection.driver_connection)
        if not raw.in_transaction:
            raise JournalError("the journal cannot be used: the transaction was rolled back")

    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    event.listen(engine, "savepoint", still_open)
    event.listen(engine, "commit", still_open)
    return engine.connect()


def _revision(writer: Connection) -> str | None:
    """The schema's revision, None for an empty file. Raises: _Unusable: damaged, or no journal."""
    verdict = writer.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
    if verdict != "ok":
        raise _Unusable(verdict)
    tables = inspect(writer).get_table_names()
    if "alembic_version" in tables:
        revision: str | None = writer.scalar(text("SELECT version_num FROM alembic_version"))
        return revision
    if tables:
        raise _Unusable("not a journal of ours")
    return None


def _migrate(writer: Connection) -> None:
    from alembic import command, config, util  # noqa: PLC0415  slow to import, and most starts need none

    cast("sqlite3.Connection", writer.connection.driver_connection).execute("PRAGMA journal_mode=WAL")
    script = config.Config(attributes={"connection": writer})
    script.set_main_option("script_location", "agent.stores:migrations")
    try:
        with writer.begin():
            command.upgrade(script, "head")
    except util.CommandError as error:
        raise _Unusable(str(error)) from error


def _set_aside(path: Path) -> Path:
    number = 1
    while any(_part(path, f".damaged-{number}{part}").exists() for part in _PARTS):
        number += 1
    for part in _PARTS:
        if (found := _part(path, part)).exists():
            found.rename(_part(path, f".damaged-{number}{part}"))
    return _part(path, f".damaged-{number}")


def _part(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
