"""Open the journal's database: connections, damage checks, migration; all that is particular to SQLite.

Exactly one connection writes: SQLite up to 3.51.2 can corrupt a WAL that two connections write or checkpoint
at once (sqlite.org/wal.html, "WAL-reset bug"), so a reader neither writes nor checkpoints.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import cast
from urllib.parse import quote

import structlog
from sqlalchemy import Connection, NullPool, create_engine, event, inspect, text
from sqlalchemy.exc import DBAPIError

from agent.fs.private_folder import FILE_MODE
from agent.journal.errors import JournalDamaged, JournalError, JournalNewer
from agent.journal.schema import REVISION

# On macOS fsync(2) stops at the drive's cache; the last two are without effect elsewhere.
_WRITING = ("synchronous=FULL", "foreign_keys=ON", "fullfsync=ON", "checkpoint_fullfsync=ON")
_READING = ("query_only=ON", "wal_autocheckpoint=0")
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_READ_BYTES = 1 << 20
_PARTS = ("-wal", "-shm", "")  # the file itself last: a fresh one must never meet an old one's WAL

_log = structlog.get_logger("journal")


def open_writer(path: Path) -> Connection:
    """The one connection that writes, to an up-to-date journal; a damaged or foreign file is set aside.

    Only the beginning of a file that needs no migration is read; `check_integrity` reads all of it.

    Raises:
        JournalNewer: this version cannot read the file; it is left as it is.
        JournalError: the file can be neither read nor made.
    """
    try:
        return _open_sound(path)
    except JournalDamaged as reason:
        quarantine(path, str(reason))
        return _open_sound(path)


def open_reader(path: Path) -> Connection:
    """A connection that only reads; it waits for no writer, delays none, and makes no file.

    Raises:
        JournalError: the file cannot be read.
    """
    with clear_errors():
        return _connect(path, _READING, "BEGIN", "ro")


@contextmanager
def clear_errors() -> Iterator[None]:
    """Turn a database error into a `JournalError`, and damage into a `JournalDamaged`."""
    try:
        yield
    except DBAPIError as error:
        first = _first(error).orig
        kind = JournalDamaged if _is_damage(first) else JournalError
        raise kind(f"the journal cannot be used: {first}") from error


def _first(error: DBAPIError) -> DBAPIError:
    """The first of the chain: when SQLite has rolled everything back, undoing a savepoint fails too."""
    first, earlier = error, error.__context__
    while earlier is not None:
        first = earlier if isinstance(earlier, DBAPIError) else first
        earlier = earlier.__context__
    return first


def _is_damage(error: BaseException | None) -> bool:
    # The low byte is the primary code (sqlite.org/rescode.html, section 2); an emptied file has no tables.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in _DAMAGE or str(error).startswith("no such table")


def quarantine(path: Path, reason: str) -> None:
    """Rename the file to `journal.db.damaged-<n>`, so that a fresh one can be made. Nobody may have it open.

    Raises:
        JournalError: it cannot be moved.
    """
    number = 1
    while any(_part(path, f".damaged-{number}{part}").exists() for part in _PARTS):
        number += 1
    try:
        for part in _PARTS:
            if (found := _part(path, part)).exists():
                found.rename(_part(path, f".damaged-{number}{part}"))
    except OSError as error:
        raise JournalError(f"the damaged journal cannot be set aside: {error.strerror}") from error
    moved_to = str(_part(path, f".damaged-{number}"))
    _log.warning("journal set aside, a fresh one is made", moved_to=moved_to, reason=reason)


def check_integrity(path: Path) -> None:
    """Read all of the file, on a connection of its own.

    Raises:
        JournalDamaged: its structure is not sound.
        JournalError: it cannot be read.
    """
    _read_once(path)
    with open_reader(path) as reader, clear_errors(), reader.begin():
        check(reader)


def _read_once(path: Path) -> None:
    """Read the file into the page cache: the check seeks, which is four times as slow on a cold disk."""
    with suppress(OSError), path.open("rb", buffering=0) as file:
        while file.read(_READ_BYTES):
            pass


def check(db: Connection) -> None:
    """Raises: JournalDamaged: the file's structure is not sound."""
    verdict = db.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
    if verdict != "ok":
        raise JournalDamaged(verdict)


def changes(writer: Connection) -> int:
    """The number of rows that this connection has changed; 0 when it is closed."""
    return 0 if writer.closed else _raw(writer).total_changes


def count_on(writer: Connection, table: str, last_id: int) -> None:
    """The next id of this table is higher than `last_id`."""
    writer.execute(text("DELETE FROM sqlite_sequence WHERE name = :name"), {"name": table})
    row = {"name": table, "seq": last_id}
    writer.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :seq)"), row)


def _open_sound(path: Path) -> Connection:
    _make_private(path)
    with clear_errors(), ExitStack() as undo:
        writer = undo.enter_context(_connect(path, _WRITING, "BEGIN IMMEDIATE", "rwc"))
        with writer.begin():
            revision = _revision(writer)
        if revision != REVISION:
            with writer.begin():
                check(writer)
            _migrate(writer, path)
        undo.pop_all()
    return writer


def _make_private(path: Path) -> None:
    """SQLite would let everybody read the file it makes; `-wal` and `-shm` get the file's own rights."""
    with suppress(OSError):  # SQLite meets the same error, and says so
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE))


def _connect(path: Path, pragmas: tuple[str, ...], begin: str, mode: str) -> Connection:
    uri = f"file:{quote(os.fsencode(path))}?mode={mode}"

    def connect() -> sqlite3.Connection:
        # isolation_level: SQLAlchemy and we say when a transaction begins, not the driver.
        with ExitStack() as undo:
            raw = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
            undo.callback(raw.close)
            for pragma in pragmas:
                raw.execute(f"PRAGMA {pragma}")
            undo.pop_all()
        return raw

    def still_open(connection: Connection, *_: object) -> None:
        # SQLite may roll a whole transaction back on its own (disk full, I/O error), and the driver's
        # commit() would then do nothing and call it a success.
        if not _raw(connection).in_transaction:
            raise JournalError("the journal cannot be used: the transaction was rolled back")

    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    event.listen(engine, "savepoint", still_open)
    event.listen(engine, "commit", still_open)
    return engine.connect()


def _revision(writer: Connection) -> str | None:
    """The schema's revision, None for an empty file. Raises: JournalDamaged: damaged, or no journal."""
    tables = inspect(writer).get_table_names()
    if "alembic_version" in tables:
        revision: str | None = writer.scalar(text("SELECT version_num FROM alembic_version"))
        return revision
    if tables:
        raise JournalDamaged("not a journal of ours")
    return None


def _migrate(writer: Connection, path: Path) -> None:
    """Raises: JournalNewer: no migration of this version leads from the file's schema to ours."""
    from alembic import command, config, util  # noqa: PLC0415  slow to import, and most starts need none

    _raw(writer).execute("PRAGMA journal_mode=WAL")
    script = config.Config(attributes={"connection": writer})
    script.set_main_option("script_location", "agent.journal:migrations")
    try:
        with writer.begin():
            command.upgrade(script, "head")
    except util.CommandError as error:
        raise JournalNewer(
            f"the journal {str(path)!r} was written by a newer version of transfer-agent: "
            "start that version, or name another folder as [agent] state_dir"
        ) from error


def _raw(connection: Connection) -> sqlite3.Connection:
    return cast("sqlite3.Connection", connection.connection.driver_connection)


def _part(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
