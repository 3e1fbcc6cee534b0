"""The journal: what we have done and have not finished. The disk is the truth about what exists.

Blocking, and one thread at a time for all but `history` and `examine`, which may run beside the others.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from attrs import define
from sqlalchemy import (
    Connection,
    RowMapping,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from agent.journal import block_table, orphan_table, prior_results, transfer_table
from agent.journal.batch_journal import BatchJournal
from agent.journal.connections import Connections
from agent.journal.database import changes, check, examine
from agent.journal.history import read_page
from agent.journal.schema import TRANSFER_COLUMNS, history, mounts, paused_routes, transfers
from agent.journal.upload_journal import UploadJournal
from agent.model.source_file import FileVersion, Signature
from agent.model.transfer import (
    BLOCK_BYTES,
    PriorResult,
    ResumePoint,
    Transfer,
    TransferPhase,
    TransferResult,
    VerifyLevel,
)
from agent.model.views import HistoryPage, HistoryQuery, HistoryResult

NO_ROUTE = ""  # no route can have this name

_PARDON = (
    update(history)
    .where(
        history.c.route == bindparam("its_route"),
        history.c.path == bindparam("its_path"),
        history.c.suppresses_retry,
        history.c.error.is_not(None),
    )
    .values(suppresses_retry=False)
)


@define(eq=False)  # noqa: PLR0904  one for each statement that the agent makes
class Journal:
    """The journal of one agent.

    Each operation is durable when it returns; inside `together`, when that ends.

    Raises, from every operation:
        JournalError: the journal cannot be read or written just now.
        JournalDamaged: its file is damaged; `recreate` is the way on.
        TransferLost: the transfer was in a file that has been set aside.
        LookupError: no running transfer has this id.
    """

    _db: Connections

    @classmethod
    def open(cls, folder: str) -> Self:
        """The journal in this folder, made or migrated if need be.

        What can be seen to be damaged or foreign is set aside as `journal.db.damaged-<n>` and a fresh one
        made: work is repeated, no data is lost. Only `examine` sees all damage.

        Raises:
            JournalError: the folder cannot be written to.
        """
        return cls(Connections.open(Path(folder, "journal.db")))

    def close(self) -> None:
        self._db.close()

    def recreate(self, damage: str) -> None:
        """Set the damaged file aside and go on with a fresh one; transfers that somebody holds are lost.

        Raises:
            JournalError: that is not possible just now; the next operation tries again.
        """
        self._db.recreate(damage)

    @contextmanager
    def together(self) -> Iterator[None]:
        """All operations inside are committed at once at its end; only one that raises leaves no trace."""
        with self._db.transaction():
            yield

    @property
    def changes(self) -> int:
        """Rises with everything that is written."""
        return changes(self._db.writer)

    def check_writable(self) -> None:
        """Write something that leaves no trace."""
        self.set_paused(NO_ROUTE, paused=True)
        self.set_paused(NO_ROUTE, paused=False)

    def examine(self) -> None:
        """Read all of the file, which takes as long as it is large; may run in another thread than the rest.

        Raises:
            JournalDamaged: its structure is not sound.
        """
        examine(self._db.path)

    def check(self) -> None:
        """Raises: JournalDamaged: the file's structure is not sound."""
        with self._atomic() as db:
            check(db)

    @property
    def uploads(self) -> UploadJournal:
        """The upload jobs."""
        return UploadJournal(self._db)

    @property
    def lots(self) -> BatchJournal:
        """Small files that are carried together."""
        return BatchJournal(self._db)

    def find(self, route: str, path: str) -> Transfer | None:
        """The running transfer of this file, whatever state of the file it is for."""
        with self._atomic() as db:
            row = transfer_table.running(db, route, [path]).first()
            if row is None:
                return None
            return self._noted(Transfer(**row, blocks=block_table.read(db, row["id"])))

    def begin(
        self, file: FileVersion, source_root: str, destination: str, partial: str, at: float
    ) -> Transfer:
        """A new transfer. Raises: ValueError: this file has a running one."""
        with self._atomic() as db:
            if transfer_table.running(db, file.route, [file.path]).first() is not None:
                raise ValueError(f"{file.path!r} has a running transfer on route {file.route}")
            transfer_table.begin(db, {partial: file}, source_root, destination, at)
            row = transfer_table.running(db, file.route, [file.path]).one()
            return self._noted(Transfer(**row, blocks=()))

    def restart(self, transfer_id: int, partial: str) -> None:
        """Back to COPYING from nothing, under a fresh temporary name; the old one is a leftover."""
        with self._atomic() as db:
            orphan_table.add_of_transfer(db, transfer_id)
            block_table.replace(db, transfer_id, 0, b"")
            fresh = {"name": None, "hash": None, "level": None, "already_present": False}
            self._change(db, transfer_id, phase=TransferPhase.COPYING, partial=partial, **fresh)

    def allocate_partial(self, transfer_id: int, partial: str) -> None:
        """The bytes are about to be written under this name at the destination, none of them were before."""
        with self._atomic() as db:
            self._change(db, transfer_id, partial=partial)

    def rebase(self, transfer_id: int, signature: Signature) -> None:
        """The transfer is now for this state of its file: it grew, and its blocks were checked against it."""
        with self._atomic() as db:
            self._change(db, transfer_id, signature=signature)

    def checkpoint(self, transfer_id: int, first_block: int, digests: bytes) -> None:
        """These are the digests of the verified blocks from `first_block` to the end, 16 bytes each.

        Raises:
            ValueError: not whole digests, or a gap before `first_block`.
        """
        with self._atomic() as db:
            self._require(db, transfer_id)
            block_table.replace(db, transfer_id, first_block, digests)

    def patch(self, transfer_id: int, block: int, digest: bytes) -> None:
        """This one block stands verified with another content. Raises: ValueError: it never stood there."""
        with self._atomic() as db:
            self._require(db, transfer_id)
            block_table.patch(db, transfer_id, block, digest)

    def mark_verified(self, transfer_id: int, name: str, hash: str, level: VerifyLevel) -> None:  # noqa: A002  its word
        """Verified, and about to be given its final name."""
        with self._atomic() as db:
            self._change(db, transfer_id, phase=TransferPhase.VERIFIED, name=name, hash=hash, level=level)

    def mark_published(
        self, transfer_id: int, name: str, already_present: bool, level: VerifyLevel | None = None
    ) -> None:
        """Stands under its final name, durably; `level`: it was verified there, to this one."""
        reached = {} if level is None else {"level": level}
        with self._atomic() as db:
            self._change(
                db,
                transfer_id,
                phase=TransferPhase.PUBLISHED,
                name=name,
                already_present=already_present,
                **reached,
            )

    def finish(
        self,
        transfer_id: int,
        result: HistoryResult,
        attempts: int,
        error: str | None,
        at: float,
        destination_path: str | None,
        leftover: bool = False,
    ) -> None:
        """The transfer has ended: it moves to the history. `leftover`: its partial may still stand."""
        with self._atomic() as db:
            ending = TransferResult(transfer_id, result, attempts, error, at, destination_path, leftover)
            transfer_table.end(db, self._db.carried, [ending])

    def record_failure(
        self, file: FileVersion, source_root: str, destination: str, attempts: int, error: str, at: float
    ) -> int:
        """Given up before a transfer began. Returns the id that it has in the history.

        Raises:
            ValueError: this file has a running transfer.
        """
        with self._atomic():
            unstarted = self.begin(file, source_root, destination, partial="", at=at)
            self.finish(unstarted.id, "failed", attempts, error, at, destination_path=None)
            return unstarted.id

    def drop(self, transfer_id: int, leftover: bool = False) -> None:
        """Forget a running transfer, whose source vanished. `leftover`: its partial may still stand."""
        with self._atomic() as db:
            if leftover:
                orphan_table.add_of_transfer(db, transfer_id)
            if not transfer_table.forget(db, transfer_id):
                raise self._db.carried.unknown(transfer_id)

    def running(self, destination: str) -> tuple[Transfer, ...]:
        """All running or interrupted transfers to this destination, oldest first, without their blocks."""
        chosen = (
            select(*TRANSFER_COLUMNS).where(transfers.c.destination == destination).order_by(transfers.c.id)
        )
        with self._atomic() as db:
            return tuple(self._noted(Transfer(**row, blocks=())) for row in db.execute(chosen).mappings())

    def resume_points(self) -> tuple[ResumePoint, ...]:
        """How far each running or interrupted transfer has come."""
        with self._atomic() as db:
            blocks = block_table.counts(db)
            rows = db.execute(select(*TRANSFER_COLUMNS)).mappings().all()
        return tuple(_interim(row, blocks.get(row["id"], 0)) for row in rows)

    def add_orphans(self, destination: str, partials: tuple[str, ...]) -> None:
        """These were found there and are ours: orphans, unless a running transfer has them."""
        with self._atomic() as db:
            orphan_table.add(db, destination, partials)

    def orphans(self, destination: str) -> tuple[str, ...]:
        """The temporary files at this destination that nobody will come back for."""
        with self._atomic() as db:
            return orphan_table.read(db, destination)

    def forget_orphan(self, destination: str, partial: str) -> None:
        """It has been removed."""
        with self._atomic() as db:
            orphan_table.forget(db, destination, partial)

    def is_orphan_scan_done(self, identity: str, destination: str) -> bool:
        """Whether nothing made there under this installation id can be unknown to this journal."""
        with self._atomic() as db:
            return orphan_table.is_scan_done(db, identity, destination)

    def mark_orphan_scan_done(self, identity: str, destination: str = orphan_table.EVERYWHERE) -> None:
        """All that was made there under this id so far has been found, or was written down here."""
        with self._atomic() as db:
            orphan_table.mark_scan_done(db, identity, destination)

    def prior_results(self, route: str, paths: tuple[str, ...]) -> tuple[PriorResult, ...]:
        """Of each of these files whose newest end is kept or failed and that is not running: that end."""
        with self._atomic() as db:
            return prior_results.read(db, route, paths)

    def clear_failure(self, route: str, path: str) -> None:
        """A file that was given up, delivered or not, is to be tried again; the history keeps its row."""
        with self._atomic() as db:
            db.execute(_PARDON, {"its_route": route, "its_path": path})

    def history(self, query: HistoryQuery) -> HistoryPage:
        """Ended transfers, newest first; may run in another thread than the rest."""
        with self._db.read_only() as db:
            return read_page(db, query)

    def set_paused(self, route: str, paused: bool) -> None:
        """Remember whether the operator has paused this route."""
        with self._atomic() as db:
            db.execute(delete(paused_routes).where(paused_routes.c.route == route))
            if paused:
                db.execute(insert(paused_routes).values(route=route))
        (self._db.carried.paused.add if paused else self._db.carried.paused.discard)(route)

    def paused(self) -> frozenset[str]:
        """The routes that the operator has paused."""
        with self._atomic() as db:
            self._db.carried.paused = set(db.scalars(select(paused_routes.c.route)))
        return frozenset(self._db.carried.paused)

    def remember_mount(self, destination: str, mount_point: str) -> None:
        """The destination was found on this mount and accepted."""
        with self._atomic() as db:
            db.execute(delete(mounts).where(mounts.c.destination == destination))
            db.execute(insert(mounts).values(destination=destination, mount_point=mount_point))
        self._db.carried.mount_points[destination] = mount_point

    def mount_points(self) -> dict[str, str]:
        """Where each destination was mounted when it was last accepted."""
        with self._atomic() as db:
            self._db.carried.mount_points = {
                row.destination: row.mount_point for row in db.execute(select(mounts))
            }
        return dict(self._db.carried.mount_points)

    @contextmanager
    def _atomic(self) -> Iterator[Connection]:
        with self._db.atomic() as db:
            yield db

    def _noted(self, transfer: Transfer) -> Transfer:
        self._db.carried.newest_id = max(self._db.carried.newest_id, transfer.id)
        return transfer

    def _require(self, db: Connection, transfer_id: int) -> None:
        if not transfer_table.is_known(db, transfer_id):
            raise self._db.carried.unknown(transfer_id)

    def _change(self, db: Connection, transfer_id: int, **values: object) -> None:
        transfer_table.change(db, self._db.carried, [{"its_id": transfer_id, **values}])


def _interim(row: RowMapping, blocks: int) -> ResumePoint:
    carried = {name: row[name] for name in ("route", "path", "signature", "destination")}
    return ResumePoint(**carried, verified_bytes=blocks * BLOCK_BYTES)
