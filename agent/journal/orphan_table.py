"""Temporary files of ours that nobody will come back for, and where a lost journal's were searched for."""

from collections.abc import Iterable

from sqlalchemy import Connection, delete, exists, insert, select

from agent.journal.schema import orphan_scans, orphans, transfers

EVERYWHERE = ""  # in place of a destination


def add(db: Connection, destination: str, partials: Iterable[str]) -> None:
    """These are orphans now, but for those that a running transfer to whatever destination has."""
    for partial in partials:
        taken = exists().where(transfers.c.partial == partial)
        if not db.scalar(select(taken)):
            forget(db, destination, partial)
            db.execute(insert(orphans).values(destination=destination, partial=partial))


def add_of_transfer(db: Connection, transfer_id: int) -> None:
    """The partial of a transfer that is about to have no more to do with it; one without has none."""
    chosen = select(transfers.c.destination, transfers.c.partial).where(
        transfers.c.id == transfer_id, transfers.c.partial != ""
    )
    for row in db.execute(chosen):
        forget(db, row.destination, row.partial)
        db.execute(insert(orphans).values(destination=row.destination, partial=row.partial))


def read(db: Connection, destination: str) -> tuple[str, ...]:
    """Whatever else is written down: never one that a running transfer has."""
    taken = exists().where(transfers.c.partial == orphans.c.partial)
    chosen = select(orphans.c.partial).where(orphans.c.destination == destination, ~taken)
    return tuple(db.scalars(chosen.order_by(orphans.c.partial)))


def forget(db: Connection, destination: str, partial: str) -> None:
    one = (orphans.c.destination == destination, orphans.c.partial == partial)
    db.execute(delete(orphans).where(*one))


def is_scan_done(db: Connection, identity: str, destination: str) -> bool:
    places = (EVERYWHERE, destination)
    chosen = exists().where(orphan_scans.c.identity == identity, orphan_scans.c.destination.in_(places))
    return bool(db.scalar(select(chosen)))


def mark_scan_done(db: Connection, identity: str, destination: str) -> None:
    if not is_scan_done(db, identity, destination):
        db.execute(insert(orphan_scans).values(identity=identity, destination=destination))
