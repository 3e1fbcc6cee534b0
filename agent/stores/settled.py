"""Reads why files are not to be transferred again."""

from sqlalchemy import Connection, bindparam, exists, select

from agent.stores.records import SETTLED
from agent.stores.schema import history, transfers
from agent.terms import Settled

_RUNS = exists().where(transfers.c.route == history.c.route, transfers.c.path == history.c.path)
_CHOSEN = (
    select(*SETTLED)
    .where(
        history.c.route == bindparam("its_route"),
        history.c.path.in_(bindparam("paths", expanding=True)),
        history.c.settles,
        ~_RUNS,
    )
    .order_by(history.c.id)
)


def read(db: Connection, route: str, paths: tuple[str, ...]) -> tuple[Settled, ...]:
    """Of those among these files of which the newest end is kept or failed, and that are not running."""
    rows = db.execute(_CHOSEN, {"its_route": route, "paths": paths})
    return tuple(Settled(*row) for row in rows)
