"""Orphans: temporary files of ours that no transfer will come back for, and the scans that find them.

A partial becomes an orphan when its transfer restarts or ends without it, or when a scan finds it at a
destination after a journal was lost. One that a running transfer uses is never returned as an orphan.
"""

from collections.abc import Iterable

from sqlalchemy import Connection, delete, exists, insert, select

from agent.journal.journal import Transaction
from agent.journal.schema import orphan_scans, orphans, transfers
from agent.model.names import split_path

EVERYWHERE = ""  # in place of a destination


def add(tx: Transaction, destination: str, partials: Iterable[str]) -> None:
    """These were found there and are ours: orphans, unless a running transfer has them as its partials.

    Its partial may have been moved, and is known by its name in whatever folder.
    """
    in_use = {split_path(partial)[1] for partial in tx.db.scalars(select(transfers.c.partial))}
    for partial in partials:
        if split_path(partial)[1] not in in_use:
            _put(tx.db, destination, partial)


def add_of_transfer(tx: Transaction, transfer_id: int) -> None:
    """The partial of a transfer that is about to lose it; a transfer without a partial has none."""
    chosen = select(transfers.c.destination, transfers.c.partial).where(
        transfers.c.id == transfer_id, transfers.c.partial != ""
    )
    for row in tx.db.execute(chosen):
        _put(tx.db, row.destination, row.partial)


def at_destination(tx: Transaction, destination: str) -> tuple[str, ...]:
    """The orphans there, in alphabetical order."""
    in_use = exists().where(transfers.c.partial == orphans.c.partial)
    chosen = select(orphans.c.partial).where(orphans.c.destination == destination, ~in_use)
    return tuple(tx.db.scalars(chosen.order_by(orphans.c.partial)))


def forget(tx: Transaction, destination: str, partial: str) -> None:
    """It has been removed, or is nowhere to be found."""
    _delete(tx.db, destination, partial)


def is_scan_done(tx: Transaction, identity: str, destination: str) -> bool:
    """Whether no partial made there under this installation id can be unknown to this journal."""
    destinations = (EVERYWHERE, destination)
    chosen = exists().where(orphan_scans.c.identity == identity, orphan_scans.c.destination.in_(destinations))
    return bool(tx.db.scalar(select(chosen)))


def mark_scan_done(tx: Transaction, identity: str, destination: str = EVERYWHERE) -> None:
    """All partials made there under this id so far have been found, or are in this journal."""
    if not is_scan_done(tx, identity, destination):
        tx.db.execute(insert(orphan_scans).values(identity=identity, destination=destination))


def _put(db: Connection, destination: str, partial: str) -> None:
    _delete(db, destination, partial)
    db.execute(insert(orphans).values(destination=destination, partial=partial))


def _delete(db: Connection, destination: str, partial: str) -> None:
    db.execute(delete(orphans).where(orphans.c.destination == destination, orphans.c.partial == partial))
