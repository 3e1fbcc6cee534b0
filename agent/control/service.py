"""Reception: the only thing that the web and the command line know of the house."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import trio
from attrs import define, field

from agent.control.errors import Conflict, InvalidConfig, NotFound, Unavailable
from agent.control.uploads import UploadControl, journaled
from agent.journal.client import JournalClient
from agent.messages.channels import BroadcasterInbox, DispatcherInbox, GetSnapshot, Subscribe
from agent.messages.dispatcher import Cancel, PauseRoute, ResumeRoute, Retry
from agent.messages.runtime import Reload
from agent.model.transfer import Status
from agent.model.views import Feed, FileView, HistoryPage, HistoryQuery, Snapshot

FEED_CAPACITY = 16
SEND_TIMEOUT_S = 2.0
ACTIVE = (Status.READY, Status.IN_QUEUE, Status.COPYING, Status.VERIFYING, Status.PAUSED)

T = TypeVar("T")
Command = Retry | Cancel | PauseRoute | ResumeRoute


@define  # noqa: PLR0904  one for each question and command
class Control:
    """Takes questions and commands to the house, and answers back; never waits long."""

    _broadcaster: trio.MemorySendChannel[BroadcasterInbox]
    _reloads: trio.MemorySendChannel[Reload]
    _journal: JournalClient
    _render_metrics: Callable[[], bytes]
    _check_config: Callable[[], tuple[str, ...]]
    uploads: UploadControl
    _dispatcher: trio.MemorySendChannel[DispatcherInbox] | None = field(default=None, init=False)

    def connect(self, dispatcher: trio.MemorySendChannel[DispatcherInbox] | None) -> None:
        """From now on commands go to this generation's dispatcher (None: there is none right now)."""
        if self._dispatcher is not None:
            self._dispatcher.close()
        self._dispatcher = dispatcher

    def close(self) -> None:
        """Nobody is received any more."""
        self.connect(None)
        self.uploads.close()
        self._broadcaster.close()
        self._reloads.close()

    @asynccontextmanager
    async def feed(self) -> AsyncIterator[trio.MemoryReceiveChannel[Feed]]:
        """A live feed: a Snapshot, then Updates; it ends when the visitor is too slow or the house closes.

        Raises:
            Busy: the broadcaster did not take the subscription in time.
        """
        feed_in, feed_out = trio.open_memory_channel[Feed](FEED_CAPACITY)
        async with feed_out:
            await _send_with_timeout(self._broadcaster, Subscribe(feed_in))
            yield feed_out

    async def snapshot(self) -> Snapshot:
        """What the house looks like now.

        Raises:
            Busy: no answer in time.
        """
        answer_in, answer_out = trio.open_memory_channel[Snapshot](1)
        with answer_in, answer_out:
            await _send_with_timeout(self._broadcaster, GetSnapshot(answer_in))
            with trio.move_on_after(SEND_TIMEOUT_S):
                return await answer_out.receive()
        raise Unavailable

    async def history(self, query: HistoryQuery) -> HistoryPage:
        """Ended transfers from the journal, newest first. Raises: Busy: it cannot be read just now."""
        return await journaled(self._journal.history(query))

    def render_metrics(self) -> bytes:
        """The metrics in Prometheus text format 0.0.4."""
        return self._render_metrics()

    async def pause(self, route: str) -> None:
        """Raises: Unknown: no such route. Busy."""
        await self._check_route(route)
        await journaled(self._journal.set_paused(route, paused=True))
        await self._command(PauseRoute(route))

    async def resume(self, route: str) -> None:
        """Raises: Unknown: no such route. Busy."""
        await self._check_route(route)
        await journaled(self._journal.set_paused(route, paused=False))
        await self._command(ResumeRoute(route))

    async def retry(self, file_id: str) -> None:
        """Try a failed file again.

        Raises:
            Unknown: no such file. Conflict: it has not failed. Busy.
        """
        file = await self._find(file_id)
        if file.current.status is not Status.FAILED:
            raise Conflict(f"{file.path} is {file.current.status.value}: only a Failed file can be retried")
        await journaled(self._journal.clear_failure(file.current.route, file.path))
        await self._command(Retry(file_id))

    async def retry_all(self) -> None:
        """Try every failed file again. Raises: Busy."""
        await self._command(Retry(None))

    async def cancel(self, file_id: str) -> None:
        """Give a file up: it becomes Failed and is tried again when it changes or someone retries it.

        Raises:
            Unknown: no such file. Conflict: it is not under way. Busy.
        """
        file = await self._find(file_id)
        if file.current.status not in ACTIVE:
            raise Conflict(f"{file.path} is {file.current.status.value}: there is nothing to cancel")
        await self._command(Cancel(file_id))

    async def reload(self) -> None:
        """Read the configuration again and, if it is valid, start the next generation.

        Raises:
            Rejected: the configuration is invalid; the old one goes on. Busy: the house is closing.
        """
        reasons = await trio.to_thread.run_sync(self._check_config)
        if reasons:
            raise InvalidConfig(reasons)
        self.ask_for_reload()

    def ask_for_reload(self) -> None:
        """As `reload`, for those who do not wait for a verdict. Raises: Busy: the house is closing."""
        try:
            self._reloads.send_nowait(Reload())
        except trio.WouldBlock:
            return  # one is pending already and will read the same file
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise Unavailable from error

    async def _check_route(self, route: str) -> None:
        if route not in {view.name for view in (await self.snapshot()).routes}:
            raise NotFound(f"no route is named {route!r}")

    async def _find(self, file_id: str) -> FileView:
        for file in (await self.snapshot()).files:
            if file.id == file_id:
                return file
        raise NotFound(f"no tracked file has the id {file_id!r}")

    async def _command(self, command: Command) -> None:
        if self._dispatcher is None:
            raise Unavailable
        await _send_with_timeout(self._dispatcher, command)


async def _send_with_timeout(channel: trio.MemorySendChannel[T], message: T) -> None:
    try:
        with trio.fail_after(SEND_TIMEOUT_S):
            await channel.send(message)
    except (trio.TooSlowError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise Unavailable from error
