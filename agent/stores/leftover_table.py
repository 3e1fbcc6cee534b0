"""Temporary files of ours that nobody will come back for, and where a lost journal's were searched for."""

from collections.abc import Iterable

from sqlalchemy import Connection, delete, exists, insert, select

from agent.stores.schema import leftovers, searched, transfers

EVERYWHERE = ""  # in place of a destination


def leave(db: Connection, destination: str, partials: Iterable[str]) -> None:
    """These are leftovers now, but for those that a running transfer to whatever destination has."""
    for partial in partials:
        taken = exists().where(transfers.c.partial == partial)
        if not db.scalar(select(taken)):
            forget(db, destination, partial)
            db.execute(insert(leftovers).values(destination=destination, partial=partial))


def leave_that_of(db: Connection, transfer_id: int) -> None:
    """The partial of a transfer that is about to have no more to do with it; one without has none."""
    chosen = select(transfers.c.destination, transfers.c.partial).where(
        transfers.c.id == transfer_id, transfers.c.partial != ""
    )
    for row in db.execute(chosen):
        forget(db, row.destination, row.partial)
        db.execute(insert(leftovers).values(destination=row.destination, partial=row.partial))


def read(db: Connection, destination: str) -> tuple[str, ...]:
    """Whatever else is written down: never one that a running transfer has."""
    taken = exists().where(transfers.c.partial == leftovers.c.partial)
    chosen = select(leftovers.c.partial).where(leftovers.c.destination == destination, ~taken)
    return tuple(db.scalars(chosen.order_by(leftovers.c.partial)))


def forget(db: Connection, destination: str, partial: str) -> None:
    one = (leftovers.c.destination == destination, leftovers.c.partial == partial)
    db.execute(delete(leftovers).where(*one))


def is_searched(db: Connection, identity: str, destination: str) -> bool:
    places = (EVERYWHERE, destination)
    chosen = exists().where(searched.c.identity == identity, searched.c.destination.in_(places))
    return bool(db.scalar(select(chosen)))


def note_search(db: Connection, identity: str, destination: str) -> None:
    if not is_searched(db, identity, destination):
        db.execute(insert(searched).values(identity=identity, destination=destination))
