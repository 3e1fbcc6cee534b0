"""The journal's two connections, and how they pass from a damaged file to a fresh one."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Self

from attrs import define, field
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from agent.journal.carried_state import CarriedState
from agent.journal.database import JournalError, clear_errors, open_reader, open_writer, quarantine


@define(eq=False)
class Connections:
    """`carried` is what goes along when the file is left behind."""

    path: Path
    writer: Connection
    reader: Connection
    carried: CarriedState = field(factory=CarriedState, init=False)
    _damage: str = field(default="", init=False)
    _reading: threading.Lock = field(factory=threading.Lock, init=False)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Raises: JournalError: the file can be neither used nor made."""
        with ExitStack() as undo:
            writer = undo.enter_context(open_writer(path))
            reader = undo.enter_context(open_reader(path))
            undo.pop_all()
        return cls(path, writer, reader)

    def close(self) -> None:
        # The last one to close folds the WAL into the file, and readers may not write.
        self.reader.close()
        self.writer.close()

    def recreate(self, damage: str) -> None:
        """Set the damaged file aside, and go on with a fresh one.

        Raises:
            JournalError: that is not possible just now; the next transaction tries again.
        """
        self._damage = damage
        self.carried.lose()
        with self._reading, suppress(DBAPIError):
            self.close()
        self._reopen()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Committed at the end of the block. Raises: JournalError."""
        if self.writer.closed:
            self._reopen()
        with clear_errors(), self.writer.begin():
            yield self.writer

    @contextmanager
    def atomic(self) -> Iterator[Connection]:
        """A transaction of its own, or a part of the one that is open, which leaves no trace if it raises."""
        if self.writer.in_transaction():
            with clear_errors(), self.writer.begin_nested():
                yield self.writer
        else:
            with self.transaction() as db:
                yield db

    @contextmanager
    def read_only(self) -> Iterator[Connection]:
        """For one other thread, beside all the rest. Raises: JournalError."""
        with self._reading:
            if self.reader.closed:
                raise JournalError("the journal is being set up afresh")
            with clear_errors(), self.reader.begin():
                yield self.reader

    def _reopen(self) -> None:
        if self._damage:
            quarantine(self.path, self._damage)
            self._damage = ""
        with ExitStack() as undo:
            writer = undo.enter_context(open_writer(self.path))
            with clear_errors(), writer.begin():
                self.carried.carry_over(writer)
            reader = undo.enter_context(open_reader(self.path))
            undo.pop_all()
        with self._reading:
            self.writer, self.reader = writer, reader
