"""The journal: what we have done and have not finished. The disk is the truth about what exists.

An operation on it is a function of a module named after what it is about: `transfers`, `orphans`, `history`,
`routes`, `uploads`. One that writes takes a `Transaction` first, one that only reads a `Connection`.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Concatenate, ParamSpec, Self, TypeVar

from attrs import define, field, frozen
from sqlalchemy import Connection, delete, insert
from sqlalchemy.exc import DBAPIError

from agent.journal import database
from agent.journal.database import clear_errors, open_reader, open_writer, quarantine
from agent.journal.errors import JournalError
from agent.journal.schema import mounts, paused_routes, transfers

P = ParamSpec("P")
T = TypeVar("T")


class TransferLost(JournalError):  # noqa: N818  a state of affairs, not a mistake
    """The transfer was in a journal that has been set aside: it begins again."""


@define
class Remembered:
    """The part of the journal that is also kept in memory, so that the loss of the file does not lose it.

    Transfers up to `lost_id` were in a file that was set aside; `newest_id` was the last to be returned.
    """

    newest_id: int = 0
    lost_id: int = 0
    paused: set[str] = field(factory=set)
    mount_points: dict[str, str] = field(factory=dict)

    def lose_transfers(self) -> None:
        """No transfer that was returned so far is in the journal any more."""
        self.lost_id = self.newest_id

    def write_to(self, fresh: Connection) -> None:
        """Without its mount points, a fresh journal would let a folder below a lost mount be filled."""
        if self.lost_id:
            database.count_on(fresh, transfers.name, self.lost_id)
        fresh.execute(delete(paused_routes))
        fresh.execute(delete(mounts))
        for route in self.paused:
            fresh.execute(insert(paused_routes).values(route=route))
        for destination, mount_point in self.mount_points.items():
            fresh.execute(insert(mounts).values(destination=destination, mount_point=mount_point))


@frozen
class Transaction:
    """The writer's connection inside a transaction, which ends when the operation has returned."""

    db: Connection
    remembered: Remembered

    def unknown(self, transfer_id: int) -> Exception:
        """The exception to raise: TransferLost, or LookupError: no running transfer has this id."""
        if transfer_id <= self.remembered.lost_id:
            return TransferLost("the journal was damaged and has been set aside: the transfer begins again")
        return LookupError(f"no running transfer has the id {transfer_id}")


@define(eq=False)
class Journal:
    """The journal of one agent: one connection that writes, one that reads.

    Blocking. One thread at a time may use it, except that one other thread may `read`, and any thread may
    `check_integrity`: a lock keeps the reader's connection from being replaced while it is in use.
    """

    path: Path
    writer: Connection
    reader: Connection
    remembered: Remembered = field(factory=Remembered, init=False)
    _damage: str = field(default="", init=False)
    _reading: threading.Lock = field(factory=threading.Lock, init=False)

    @classmethod
    def open(cls, folder: str) -> Self:
        """The journal in this folder, made or migrated if need be.

        A file that is visibly damaged or foreign is set aside as `journal.db.damaged-<n>` and a fresh one
        made: work is repeated, no data is lost. Only `check_integrity` finds all damage.

        Raises:
            JournalError: the folder cannot be written to.
        """
        path = Path(folder, "journal.db")
        with ExitStack() as undo:
            writer = undo.enter_context(open_writer(path))
            reader = undo.enter_context(open_reader(path))
            undo.pop_all()
        return cls(path, writer, reader)

    def close(self) -> None:
        # The last one to close folds the WAL into the file, and readers may not write.
        self.reader.close()
        self.writer.close()

    def write(
        self, operation: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run an operation that writes, or that must see everything written before it.

        It is durable when this returns; inside `transaction`, when that ends, and there an operation that
        raises leaves no trace while the others stay.

        Raises:
            JournalError: the journal cannot be read or written just now.
            JournalDamaged: its file is damaged; `recreate` replaces it.
        """
        with self._atomic() as db:
            return operation(Transaction(db, self.remembered), *args, **kwargs)

    def read(
        self, operation: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run an operation that only reads what is committed; one other thread may do so at any time.

        Raises:
            JournalError: the journal cannot be read just now.
            JournalDamaged: its file is damaged.
        """
        with self._reading:
            if self.reader.closed:
                raise JournalError("the journal is being set up afresh")
            with clear_errors(), self.reader.begin():
                return operation(self.reader, *args, **kwargs)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All operations inside are committed at once at its end. Raises: JournalError."""
        if self.writer.closed:
            self._reopen()
        with clear_errors(), self.writer.begin():
            yield

    def recreate(self, damage: str) -> None:
        """Set the damaged file aside and go on with a fresh one; transfers returned before are lost.

        Raises:
            JournalError: that is not possible just now; the next transaction tries again.
        """
        self._damage = damage
        self.remembered.lose_transfers()
        with self._reading, suppress(DBAPIError):
            self.close()
        self._reopen()

    def check_integrity(self) -> None:
        """Read all of the file, which takes as long as it is large.

        Raises:
            JournalDamaged: its structure is not sound.
            JournalError: it cannot be read.
        """
        database.check_integrity(self.path)

    @property
    def changes(self) -> int:
        """The number of rows written so far; 0 while the file is closed."""
        return database.changes(self.writer)

    @contextmanager
    def _atomic(self) -> Iterator[Connection]:
        """A transaction of its own, or a savepoint in the one that is open."""
        if self.writer.in_transaction():
            with clear_errors(), self.writer.begin_nested():
                yield self.writer
        else:
            with self.transaction():
                yield self.writer

    def _reopen(self) -> None:
        if self._damage:
            quarantine(self.path, self._damage)
            self._damage = ""
        with ExitStack() as undo:
            writer = undo.enter_context(open_writer(self.path))
            with clear_errors(), writer.begin():
                self.remembered.write_to(writer)
            reader = undo.enter_context(open_reader(self.path))
            undo.pop_all()
        with self._reading:
            self.writer, self.reader = writer, reader
