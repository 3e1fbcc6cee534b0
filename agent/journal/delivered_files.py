"""Delivered files as the history has them, read from outside the agent while it runs or without it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self

from attrs import define
from sqlalchemy import Connection, Select, func, select

from agent.journal.database import clear_errors, open_reader
from agent.journal.errors import JournalError
from agent.journal.schema import history, mounts
from agent.model.transfer import DeliveredFile

ROWS_AT_ONCE = 10_000


@define(eq=False)
class Deliveries:
    """The newest delivery to each destination path: of this `route`, and ended since `since_at`, if set.

    Deliveries after the opening are left out. No transaction outlives a call, so that the agent, which may
    be writing to the file, never waits.

    Raises, from every operation:
        JournalError: the journal cannot be read just now.
    """

    _reader: Connection
    _since_at: float | None
    _route: str | None
    _last_id: int

    @classmethod
    @contextmanager
    def open(cls, folder: str, since_at: float | None, route: str | None) -> Iterator[Self]:
        """The journal in this state folder; it is neither made nor altered, nor locked.

        Raises:
            JournalError: there is none, or it cannot be read.
        """
        path = Path(folder, "journal.db")
        if not path.exists():
            raise JournalError(f"there is no journal in {folder}: nothing is known to have been delivered")
        with closing(open_reader(path)) as reader:
            with clear_errors(), reader.begin():
                last_id = reader.scalar(select(func.max(history.c.id)))
            yield cls(reader, since_at, route, last_id or 0)

    def destinations(self) -> tuple[str, ...]:
        """The destinations of the deliveries, in alphabetical order."""
        with clear_errors(), self._reader.begin():
            return tuple(sorted(self._reader.scalars(self._chosen(history.c.destination).distinct())))

    def mount_points(self) -> dict[str, str]:
        """Where each destination was mounted when it was last accepted."""
        with clear_errors(), self._reader.begin():
            return {row.destination: row.mount_point for row in self._reader.execute(select(mounts))}

    def to(self, destination: str) -> Iterator[DeliveredFile]:
        """The files delivered there, oldest first; read a page at a time."""
        after_id = 0
        columns = (history.c[name] for name in ("id", "route", "destination_path", "signature", "hash"))
        chosen = self._chosen(*columns).where(history.c.destination == destination)
        while rows := self._page(chosen.where(history.c.id > after_id)):
            after_id = rows[-1].id
            for row in rows:
                yield DeliveredFile(
                    row.route, destination, row.destination_path, row.signature.size_bytes, row.hash
                )

    def _page(self, chosen: Select[Any]) -> list[Any]:
        with clear_errors(), self._reader.begin():
            return list(self._reader.execute(chosen.order_by(history.c.id).limit(ROWS_AT_ONCE)))

    def _chosen(self, *columns: Any) -> Select[Any]:  # noqa: ANN401  as SQLAlchemy types a column
        arrived = (history.c.result != "failed", history.c.hash.is_not(None))
        newest = select(func.max(history.c.id)).where(history.c.id <= self._last_id, *arrived)
        chosen = select(*columns).where(history.c.id.in_(newest.group_by(history.c.destination_path)))
        if self._since_at is not None:
            chosen = chosen.where(history.c.ended_at >= self._since_at)
        if self._route is not None:
            chosen = chosen.where(history.c.route == self._route)
        return chosen
