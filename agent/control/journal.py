"""What control asks of the journal. It loads the database, which the first answers of the page do without."""

from collections.abc import Awaitable
from typing import TypeVar

from attrs import frozen

from agent.control.errors import Unavailable
from agent.journal import history, routes
from agent.journal.client import JournalClient
from agent.journal.errors import JournalError
from agent.model.views import HistoryPage, HistoryQuery

T = TypeVar("T")


@frozen
class JournalControl:
    """Every method raises `Unavailable` when the journal cannot be read or written."""

    _journal: JournalClient

    async def history(self, query: HistoryQuery) -> HistoryPage:
        return await journaled(self._journal.read(history.page, query))

    async def set_paused(self, route: str, *, paused: bool) -> None:
        await journaled(self._journal.write(routes.set_paused, route, paused=paused))

    async def clear_failure(self, route: str, path: str) -> None:
        await journaled(self._journal.write(history.clear_failure, route, path))


async def journaled(operation: Awaitable[T]) -> T:
    """The result of a journal operation. Raises: Unavailable: the journal cannot be read or written."""
    try:
        return await operation
    except JournalError as error:
        raise Unavailable from error
