"""The history: transfers that have ended, and the files that it keeps from being transferred again."""

from collections.abc import Sequence
from typing import Any

from attrs import fields
from sqlalchemy import Connection, RowMapping, Select, bindparam, exists, or_, select, update

from agent.journal.journal import Transaction
from agent.journal.schema import history, transfers
from agent.model.source_file import FileVersion
from agent.model.transfer import PriorResult
from agent.model.views import HistoryPage, HistoryQuery, HistoryRow

_RENAMED = ("size_bytes", "completed_at")
_PAGE_COLUMNS = [
    history.c.id,
    history.c.signature,
    history.c.ended_at.label("completed_at"),
    *(history.c[each.name] for each in fields(HistoryRow) if each.name not in _RENAMED),
]
_IS_RUNNING = exists().where(transfers.c.route == history.c.route, transfers.c.path == history.c.path)
_PRIOR_RESULTS = (
    select(*(history.c[each.name] for each in fields(PriorResult)))
    .where(
        history.c.route == bindparam("its_route"),
        history.c.path.in_(bindparam("paths", expanding=True)),
        history.c.suppresses_retry,
        ~_IS_RUNNING,
    )
    .order_by(history.c.id)
)
_CLEAR_FAILURE = (
    update(history)
    .where(
        history.c.route == bindparam("its_route"),
        history.c.path == bindparam("its_path"),
        history.c.suppresses_retry,
        history.c.result == "failed",
    )
    .values(suppresses_retry=False)
)


_REMEMBER_KEPT = (
    update(history)
    .where(
        history.c.route == bindparam("its_route"),
        history.c.path == bindparam("its_path"),
        history.c.suppresses_retry,
    )
    .values(signature=bindparam("now"))
)


def page(db: Connection, query: HistoryQuery) -> HistoryPage:
    """Ended transfers, newest first; one row more is read to know whether others follow."""
    rows = db.execute(_chosen(query)).mappings().all()
    shown = rows[: query.limit]
    following = shown[-1]["id"] if len(rows) > len(shown) else None
    return HistoryPage(tuple(map(_row, shown)), following)


def prior_results(tx: Transaction, route: str, paths: Sequence[str]) -> tuple[PriorResult, ...]:
    """The newest result of each of these files that was kept or failed, and that is not running now."""
    rows = tx.db.execute(_PRIOR_RESULTS, {"its_route": route, "paths": paths})
    return tuple(PriorResult(*row) for row in rows)


def remember_kept(tx: Transaction, file: FileVersion) -> None:
    """A kept file has the content that was delivered, and from now on these attributes."""
    values = {"its_route": file.route, "its_path": file.path, "now": file.signature}
    tx.db.execute(_REMEMBER_KEPT, values)


def clear_failure(tx: Transaction, route: str, path: str) -> None:
    """A file that failed is to be tried again; the history keeps its row."""
    tx.db.execute(_CLEAR_FAILURE, {"its_route": route, "its_path": path})


def _chosen(query: HistoryQuery) -> Select[Any]:
    chosen = select(*_PAGE_COLUMNS).order_by(history.c.id.desc()).limit(query.limit + 1)
    if query.since_at is not None:
        chosen = chosen.where(history.c.ended_at >= query.since_at)
    if query.until_at is not None:
        chosen = chosen.where(history.c.ended_at < query.until_at)
    if query.route is not None:
        chosen = chosen.where(history.c.route == query.route)
    if query.path is not None:
        chosen = chosen.where(or_(history.c.file_path == query.path, history.c.path == query.path))
    if query.before_id is not None:
        chosen = chosen.where(history.c.id < query.before_id)
    return chosen


def _row(row: RowMapping) -> HistoryRow:
    columns = dict(row)
    del columns["id"]
    return HistoryRow(size_bytes=columns.pop("signature").size_bytes, **columns)
