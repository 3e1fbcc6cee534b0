"""Reads ended transfers, a page at a time."""

from typing import Any

from attrs import fields
from sqlalchemy import Connection, RowMapping, Select, select

from agent.journal.schema import history
from agent.model.views import HistoryPage, HistoryQuery, HistoryRow

_ELSEWHERE = ("size_bytes", "completed_at")
_COLUMNS = [
    history.c.id,
    history.c.signature,
    history.c.ended_at.label("completed_at"),
    *(history.c[each.name] for each in fields(HistoryRow) if each.name not in _ELSEWHERE),
]


def read_page(db: Connection, query: HistoryQuery) -> HistoryPage:
    """The rows that `query` asks for, newest first; one row more is read to know whether others follow."""
    rows = db.execute(_chosen(query)).mappings().all()
    shown = rows[: query.limit]
    following = shown[-1]["id"] if len(rows) > len(shown) else None
    return HistoryPage(tuple(map(_row, shown)), following)


def _chosen(query: HistoryQuery) -> Select[Any]:
    chosen = select(*_COLUMNS).order_by(history.c.id.desc()).limit(query.limit + 1)
    if query.since_at is not None:
        chosen = chosen.where(history.c.ended_at >= query.since_at)
    if query.until_at is not None:
        chosen = chosen.where(history.c.ended_at < query.until_at)
    if query.route is not None:
        chosen = chosen.where(history.c.route == query.route)
    if query.before_id is not None:
        chosen = chosen.where(history.c.id < query.before_id)
    return chosen


def _row(row: RowMapping) -> HistoryRow:
    columns = dict(row)
    del columns["id"]
    return HistoryRow(size_bytes=columns.pop("signature").size_bytes, **columns)
