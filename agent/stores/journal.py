"""The journal: what we have done and have not finished. The disk is the truth about what exists.

Blocking, and one thread at a time for all but `history`, which may run beside the others.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from attrs import define
from sqlalchemy import (
    ColumnElement,
    Connection,
    MappingResult,
    RowMapping,
    delete,
    exists,
    insert,
    select,
    update,
)

from agent.protocol import BLOCK_BYTES
from agent.stores import block_table
from agent.stores.database import JournalError, clear_errors, open_reader, open_writer
from agent.stores.history_page import read_page
from agent.stores.records import CARRIED, SETTLED, TRANSFER
from agent.stores.schema import history, mounts, paused_routes, transfers
from agent.terms import Interim, Settled, Signature, SourceFile, Step, Transfer, VerifyLevel
from agent.views import HistoryPage, HistoryQuery, HistoryResult

__all__ = ["Journal", "JournalError"]


@define(eq=False)
class Journal:
    """The journal of one agent.

    Each operation is durable when it returns; inside `together`, when that ends.

    Raises, from every operation:
        JournalError: the journal cannot be read or written just now.
        LookupError: no running transfer has this id.
    """

    _writer: Connection
    _reader: Connection

    @classmethod
    def open(cls, folder: str) -> Self:
        """The journal in this folder, made or migrated if need be.

        A damaged or foreign file is set aside as `journal.db.damaged-<n>` and a fresh one made: work is
        repeated, no data is lost.

        Raises:
            JournalError: the folder cannot be written to.
        """
        path = Path(folder, "journal.db")
        with ExitStack() as undo:
            writer = undo.enter_context(open_writer(path))
            reader = undo.enter_context(open_reader(path))
            undo.pop_all()
        return cls(writer, reader)

    def close(self) -> None:
        # The last one to close folds the WAL into the file, and readers may not write.
        self._reader.close()
        self._writer.close()

    @contextmanager
    def together(self) -> Iterator[None]:
        """All operations inside are committed at once at its end; only one that raises leaves no trace."""
        with clear_errors(), self._writer.begin():
            yield

    def find(self, route: str, path: str) -> Transfer | None:
        """The running transfer of this file, whatever state of the file it is for."""
        with self._atomic() as db:
            row = _running(db, route, path).first()
            return None if row is None else Transfer(**row, blocks=block_table.read(db, row["id"]))

    def begin(
        self, file: SourceFile, source_root: str, destination: str, partial: str, at: float
    ) -> Transfer:
        """A new transfer. Raises: ValueError: this file has a running one."""
        with self._atomic() as db:
            if _running(db, file.route, file.path).first() is not None:
                raise ValueError(f"{file.path!r} has a running transfer on route {file.route}")
            db.execute(
                insert(transfers).values(
                    route=file.route,
                    path=file.path,
                    file_path=str(Path(source_root, file.path)),
                    signature=file.signature,
                    destination=destination,
                    step=Step.COPYING,
                    partial=partial,
                    already_there=False,
                    discovered_at=file.discovered_at,
                    started_at=at,
                )
            )
            return Transfer(**_running(db, file.route, file.path).one(), blocks=())

    def restart(self, transfer_id: int, partial: str) -> None:
        """Back to COPYING from nothing, under a fresh temporary name."""
        with self._atomic() as db:
            block_table.replace(db, transfer_id, 0, b"")
            fresh = {"name": None, "hash": None, "level": None, "already_there": False}
            _change(db, transfer_id, step=Step.COPYING, partial=partial, **fresh)

    def adopt(self, transfer_id: int, signature: Signature) -> None:
        """The transfer is now for this state of its file: it grew, and its blocks were checked against it."""
        with self._atomic() as db:
            _change(db, transfer_id, signature=signature)

    def checkpoint(self, transfer_id: int, first_block: int, digests: bytes) -> None:
        """These are the digests of the verified blocks from `first_block` to the end, 16 bytes each.

        Raises:
            ValueError: not whole digests, or a gap before `first_block`.
        """
        with self._atomic() as db:
            if db.scalar(select(transfers.c.id).where(transfers.c.id == transfer_id)) is None:
                raise _unknown(transfer_id)
            block_table.replace(db, transfer_id, first_block, digests)

    def intent(self, transfer_id: int, name: str, hash: str, level: VerifyLevel) -> None:  # noqa: A002  its word
        """Verified, and about to be given its final name."""
        with self._atomic() as db:
            _change(db, transfer_id, step=Step.INTENT, name=name, hash=hash, level=level)

    def published(self, transfer_id: int, name: str, already_there: bool) -> None:
        """Stands under its final name, durably."""
        with self._atomic() as db:
            _change(db, transfer_id, step=Step.PUBLISHED, name=name, already_there=already_there)

    def finish(
        self,
        transfer_id: int,
        result: HistoryResult,
        attempts: int,
        error: str | None,
        at: float,
        destination_path: str | None,
    ) -> None:
        """The transfer has ended: it moves to the history, its blocks go."""
        with self._atomic() as db:
            ended = db.execute(select(transfers).where(transfers.c.id == transfer_id)).mappings().first()
            if ended is None:
                raise _unknown(transfer_id)
            arrived = result != "failed"
            _unsettle(db, ended["route"], ended["path"])
            db.execute(
                insert(history).values(
                    **{name: ended[name] for name in CARRIED},
                    transfer_id=transfer_id,
                    ended_at=at,
                    result=result,
                    destination_path=destination_path if arrived else None,
                    verified_level=ended["level"] if arrived else None,
                    hash=ended["hash"] if arrived else None,
                    attempts=attempts,
                    error=error,
                    settles=result != "delivered",
                )
            )
            db.execute(delete(transfers).where(transfers.c.id == transfer_id))

    def fail_unstarted(
        self, file: SourceFile, source_root: str, destination: str, attempts: int, error: str, at: float
    ) -> None:
        """Given up before a transfer began. Raises: ValueError: this file has a running one."""
        with self._atomic():
            unstarted = self.begin(file, source_root, destination, partial="", at=at)
            self.finish(unstarted.id, "failed", attempts, error, at, destination_path=None)

    def drop(self, transfer_id: int) -> None:
        """Forget a running transfer without a trace: its source vanished, its partial has been removed."""
        with self._atomic() as db:
            if not db.execute(delete(transfers).where(transfers.c.id == transfer_id)).rowcount:
                raise _unknown(transfer_id)

    def running(self, destination: str) -> tuple[Transfer, ...]:
        """All running or interrupted transfers to this destination, oldest first, without their blocks."""
        chosen = select(*TRANSFER).where(transfers.c.destination == destination).order_by(transfers.c.id)
        with self._atomic() as db:
            return tuple(Transfer(**row, blocks=()) for row in db.execute(chosen).mappings())

    def interim(self) -> tuple[Interim, ...]:
        """How far each running or interrupted transfer has come."""
        with self._atomic() as db:
            blocks = block_table.counts(db)
            rows = db.execute(select(*TRANSFER)).mappings().all()
        return tuple(_interim(row, blocks.get(row["id"], 0)) for row in rows)

    def settled(self) -> tuple[Settled, ...]:
        """For each file whose newest end is kept or failed and that is not running: that end."""
        again = exists().where(transfers.c.route == history.c.route, transfers.c.path == history.c.path)
        chosen = select(*SETTLED).where(history.c.settles, ~again).order_by(history.c.id)
        with self._atomic() as db:
            return tuple(Settled(**row) for row in db.execute(chosen).mappings())

    def pardon(self, route: str, path: str) -> None:
        """A failed file is to be tried again; the history keeps its row."""
        with self._atomic() as db:
            _unsettle(db, route, path, history.c.result == "failed")

    def history(self, query: HistoryQuery) -> HistoryPage:
        """Ended transfers, newest first; may run in another thread than the rest."""
        with clear_errors(), self._reader.begin():
            return read_page(self._reader, query)

    def set_paused(self, route: str, paused: bool) -> None:
        """Remember whether the operator has paused this route."""
        with self._atomic() as db:
            db.execute(delete(paused_routes).where(paused_routes.c.route == route))
            if paused:
                db.execute(insert(paused_routes).values(route=route))

    def paused(self) -> frozenset[str]:
        """The routes that the operator has paused."""
        with self._atomic() as db:
            return frozenset(db.scalars(select(paused_routes.c.route)))

    def remember_mount(self, destination: str, mount_point: str) -> None:
        """The destination was found on this mount and accepted."""
        with self._atomic() as db:
            db.execute(delete(mounts).where(mounts.c.destination == destination))
            db.execute(insert(mounts).values(destination=destination, mount_point=mount_point))

    def mount_points(self) -> dict[str, str]:
        """Where each destination was mounted when it was last accepted."""
        with self._atomic() as db:
            return {row.destination: row.mount_point for row in db.execute(select(mounts))}

    @contextmanager
    def _atomic(self) -> Iterator[Connection]:
        db = self._writer
        with clear_errors(), db.begin_nested() if db.in_transaction() else db.begin():
            yield db


def _running(db: Connection, route: str, path: str) -> MappingResult:
    chosen = select(*TRANSFER).where(transfers.c.route == route, transfers.c.path == path)
    return db.execute(chosen).mappings()


def _interim(row: RowMapping, blocks: int) -> Interim:
    carried = {name: row[name] for name in ("route", "path", "signature", "destination")}
    return Interim(**carried, verified_bytes=blocks * BLOCK_BYTES)


def _unknown(transfer_id: int) -> LookupError:
    return LookupError(f"no running transfer has the id {transfer_id}")


def _change(db: Connection, transfer_id: int, **values: object) -> None:
    if not db.execute(update(transfers).where(transfers.c.id == transfer_id).values(values)).rowcount:
        raise _unknown(transfer_id)


def _unsettle(db: Connection, route: str, path: str, *only: ColumnElement[bool]) -> None:
    old = update(history).where(history.c.route == route, history.c.path == path, history.c.settles, *only)
    db.execute(old.values(settles=False))
