"""What outlives every transfer: the paused routes, and where their sources and destinations were mounted.

Both are kept in memory too, so that they survive the loss of a damaged file.
"""

from sqlalchemy import delete, insert, select

from agent.journal.journal import Transaction
from agent.journal.schema import mounts, paused_routes

NO_ROUTE = ""  # no route can have this name


def set_paused(tx: Transaction, route: str, paused: bool) -> None:
    """The operator has paused this route, or resumed it."""
    tx.db.execute(delete(paused_routes).where(paused_routes.c.route == route))
    if paused:
        tx.db.execute(insert(paused_routes).values(route=route))
    (tx.remembered.paused.add if paused else tx.remembered.paused.discard)(route)


def paused(tx: Transaction) -> frozenset[str]:
    """The routes that the operator has paused."""
    tx.remembered.paused = set(tx.db.scalars(select(paused_routes.c.route)))
    return frozenset(tx.remembered.paused)


def remember_mount(tx: Transaction, folder: str, mount_point: str) -> None:
    """The source or destination was found on this mount and accepted."""
    tx.db.execute(delete(mounts).where(mounts.c.destination == folder))
    tx.db.execute(insert(mounts).values(destination=folder, mount_point=mount_point))
    tx.remembered.mount_points[folder] = mount_point


def mount_points(tx: Transaction) -> dict[str, str]:
    """Where each source and destination was mounted when it was last accepted."""
    tx.remembered.mount_points = {row.destination: row.mount_point for row in tx.db.execute(select(mounts))}
    return dict(tx.remembered.mount_points)


def check_writable(tx: Transaction) -> None:
    """Write something that leaves no trace."""
    set_paused(tx, NO_ROUTE, paused=True)
    set_paused(tx, NO_ROUTE, paused=False)
