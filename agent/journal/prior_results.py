"""Reads why files are not to be transferred again."""

from sqlalchemy import Connection, bindparam, exists, select

from agent.journal.schema import PRIOR_RESULT_COLUMNS, history, transfers
from agent.model.transfer import PriorResult

_RUNS = exists().where(transfers.c.route == history.c.route, transfers.c.path == history.c.path)
_CHOSEN = (
    select(*PRIOR_RESULT_COLUMNS)
    .where(
        history.c.route == bindparam("its_route"),
        history.c.path.in_(bindparam("paths", expanding=True)),
        history.c.suppresses_retry,
        ~_RUNS,
    )
    .order_by(history.c.id)
)


def read(db: Connection, route: str, paths: tuple[str, ...]) -> tuple[PriorResult, ...]:
    """Of those among these files of which the newest end is kept or failed, and that are not running."""
    rows = db.execute(_CHOSEN, {"its_route": route, "paths": paths})
    return tuple(PriorResult(*row) for row in rows)
