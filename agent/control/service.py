"""Control: the only part of the agent that the web uses; it answers questions and passes commands on."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import trio
from attrs import define, field

from agent.control.errors import Conflict, InvalidConfig, NotFound, Unavailable
from agent.messages.channels import AskScheduler, BroadcasterInbox, DispatcherInbox, GetSnapshot, Subscribe
from agent.messages.dispatcher import (
    ONLY_FAILED,
    Cancel,
    Command,
    CommandResult,
    PauseRoute,
    Refusal,
    ResumeRoute,
    Retry,
    RetryAll,
)
from agent.model.transfer import Status
from agent.model.views import Feed, FileView, HistoryPage, HistoryQuery, Snapshot

if TYPE_CHECKING:  # they load the database, which the first answers of the page do without
    from agent.control.journal import JournalControl
    from agent.control.uploads import UploadControl

FEED_CAPACITY = 16
SEND_TIMEOUT_S = 2.0
COMMAND_TIMEOUT_S = 5.0  # the answer comes after all that the command does, to 100,000 files perhaps

T = TypeVar("T")
M = TypeVar("M")


@define  # noqa: PLR0904  one for each question and command
class Control:
    """Raises `Unavailable` instead of waiting long, and for what `use` has not brought yet."""

    _broadcaster: trio.MemorySendChannel[BroadcasterInbox]
    _reloads: trio.MemorySendChannel[None]
    _render_metrics: Callable[[], bytes]
    _check_config: Callable[[], tuple[str, ...]]
    _journal: "JournalControl | None" = field(default=None, init=False)
    _uploads: "UploadControl | None" = field(default=None, init=False)
    _dispatcher: trio.MemorySendChannel[DispatcherInbox] | None = field(default=None, init=False)
    _journaled_commands: trio.Lock = field(factory=trio.Lock, init=False)

    def use(self, journal: "JournalControl", uploads: "UploadControl") -> None:
        """Answer from the journal, and take upload jobs, from now on."""
        self._journal, self._uploads = journal, uploads

    @property
    def uploads(self) -> "UploadControl":
        """Raises: Unavailable."""
        return _required(self._uploads)

    def connect(self, dispatcher: trio.MemorySendChannel[DispatcherInbox] | None) -> None:
        """Send commands to this generation's dispatcher from now on; None: none runs."""
        if self._dispatcher is not None:
            self._dispatcher.close()
        self._dispatcher = dispatcher

    def close(self) -> None:
        """Every later question or command raises `Unavailable`."""
        self.connect(None)
        if self._uploads is not None:
            self._uploads.close()
        self._broadcaster.close()
        self._reloads.close()

    @asynccontextmanager
    async def feed(self) -> AsyncIterator[trio.MemoryReceiveChannel[Feed]]:
        """A live feed: a Snapshot, then Updates; it ends when the client is too slow or the agent stops.

        Raises:
            Unavailable: the broadcaster did not take the subscription in time.
        """
        feed_in, feed_out = trio.open_memory_channel[Feed](FEED_CAPACITY)
        async with feed_out:
            await _send_with_timeout(self._broadcaster, Subscribe(feed_in))
            yield feed_out

    async def snapshot(self) -> Snapshot:
        """The files, routes and events as of now. Raises: Unavailable."""
        return await _ask(self._broadcaster, GetSnapshot, SEND_TIMEOUT_S)

    async def history(self, query: HistoryQuery) -> HistoryPage:
        """Ended transfers from the journal, newest first. Raises: Unavailable: it cannot be read just now."""
        return await _required(self._journal).history(query)

    def render_metrics(self) -> bytes:
        """The metrics in Prometheus text format 0.0.4."""
        return self._render_metrics()

    async def pause(self, route: str) -> str:
        """Returns what was done. Raises: NotFound: no such route. Unavailable."""
        return await self._set_paused(route, paused=True)

    async def resume(self, route: str) -> str:
        """Returns what was done. Raises: NotFound: no such route. Unavailable."""
        return await self._set_paused(route, paused=False)

    async def _set_paused(self, route: str, *, paused: bool) -> str:
        """The journal is written first: a generation that starts in between begins with what it says.

        The lock keeps the journal and the scheduler in the same order when two clients pause and resume.
        """
        _required(self._dispatcher)
        journal = _required(self._journal)
        async with self._journaled_commands:
            if route not in {view.name for view in (await self.snapshot()).routes}:
                raise NotFound(f"no route is named {route!r}")
            await journal.set_paused(route, paused=paused)
            try:
                return await self._execute(PauseRoute(route) if paused else ResumeRoute(route))
            except NotFound:  # removed meanwhile: leave nothing of it in the journal
                await journal.set_paused(route, paused=False)
                raise

    async def retry(self, file_id: str) -> str:
        """Try a failed file again, or the removal of a delivered file's source; returns what was done.

        The failure is cleared in the journal first. Afterwards it could clear a failure of the new attempt.

        Raises:
            NotFound: no such file. Conflict: it has not failed, nor was its source kept. Unavailable.
        """
        _required(self._dispatcher)
        async with self._journaled_commands:
            file = await self._find(file_id)
            current = file.current
            if current.status is not Status.FAILED and current.kept_because is None:
                raise Conflict(f"{file.path} is {current.status.value}: {ONLY_FAILED}")
            await _required(self._journal).clear_failure(current.route, file.path)
            return await self._execute(Retry(file_id))

    async def retry_all(self) -> str:
        """Try every failed file again; returns what was done. Raises: Unavailable."""
        return await self._execute(RetryAll())

    async def cancel(self, file_id: str) -> str:
        """Give a file up: it becomes Failed and is tried again when it changes or someone retries it.

        Returns what was done.

        Raises:
            NotFound: no such file. Conflict: it is not under way. Unavailable.
        """
        try:
            return await self._execute(Cancel(file_id))
        except NotFound:  # the scheduler knows no file that is not ready yet, or delivered
            file = await self._find(file_id)
            why = f"{file.path} is {file.current.status.value}: there is nothing to cancel"
            raise Conflict(why) from None

    async def reload(self) -> str:
        """Read the configuration again and, if it is valid, start the next generation.

        Returns what was done.

        Raises:
            InvalidConfig: the old configuration stays. Unavailable: the agent is stopping.
        """
        reasons = await trio.to_thread.run_sync(self._check_config)
        if reasons:
            raise InvalidConfig(reasons)
        self.ask_for_reload()
        return "the configuration is valid; the actors restart with it"

    def ask_for_reload(self) -> None:
        """As `reload`, without a check beforehand. Raises: Unavailable: the agent is stopping."""
        try:
            self._reloads.send_nowait(None)
        except trio.WouldBlock:
            return  # one is pending already and will read the same file
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise Unavailable from error

    async def _find(self, file_id: str) -> FileView:
        for file in (await self.snapshot()).files:
            if file.id == file_id:
                return file
        raise NotFound(f"no tracked file has the id {file_id!r}")

    async def _execute(self, command: Command) -> str:
        """The scheduler's answer. Raises: NotFound, Conflict: its refusal. Unavailable."""
        ask = partial(AskScheduler, command)
        result: CommandResult = await _ask(_required(self._dispatcher), ask, COMMAND_TIMEOUT_S)
        if result.refusal is Refusal.NOT_FOUND:
            raise NotFound(result.detail)
        if result.refusal is Refusal.WRONG_STATE:
            raise Conflict(result.detail)
        return result.detail


def _required(part: T | None) -> T:
    """Raises: Unavailable: this part of the agent does not run."""
    if part is None:
        raise Unavailable
    return part


async def _ask(
    channel: trio.MemorySendChannel[M],
    message: Callable[[trio.MemorySendChannel[T]], M],
    timeout_s: float,
) -> T:
    """Send a message that carries a channel, and return the answer that comes back on it.

    Raises:
        Unavailable: the message was not taken, or not answered within `timeout_s`.
    """
    answer_in, answer_out = trio.open_memory_channel[T](1)
    with answer_in, answer_out:
        await _send_with_timeout(channel, message(answer_in))
        with trio.move_on_after(timeout_s):
            return await answer_out.receive()
    raise Unavailable


async def _send_with_timeout(channel: trio.MemorySendChannel[T], message: T) -> None:
    try:
        with trio.fail_after(SEND_TIMEOUT_S):
            await channel.send(message)
    except (trio.TooSlowError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise Unavailable from error
