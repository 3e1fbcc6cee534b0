"""The journal for actors: operations as coroutines, committed in groups.

An operation that is called during a commit waits for the next one, which carries out all that wait in one
transaction: a hundred tasks pay for one fsync.
"""

import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import Any, Concatenate, NoReturn, ParamSpec, Self, TypeVar

import trio
from attrs import define, field, frozen
from sqlalchemy import Connection

from agent.journal import database, orphans, routes
from agent.journal.errors import JournalDamaged, JournalError, JournalRefused
from agent.journal.group_commit import CommitResult, PendingWrite, commit, not_started
from agent.journal.journal import Journal, Transaction, TransferLost
from agent.journal.state_folder import StateLock, read_or_make_identity
from agent.log import get_logger
from agent.messages.broadcaster import JournalReplaced, JournalState
from agent.model.errors import shortage

CALM_S = 15.0  # a disk that is nearly full takes one write and refuses the next
PROBE_S = 5.0

P = ParamSpec("P")
T = TypeVar("T")
Notify = Callable[[JournalState | JournalReplaced], Awaitable[None]]

log = get_logger(__name__)


@define
class JournalHealth:
    """`error` is the first since the journal could last be written; None: it can be written."""

    error: str | None = field(default=None, init=False)
    _failed_s: float = field(default=-math.inf, init=False)

    def failed(self, error: str, now_s: float) -> bool:
        """An operation failed. Returns whether it is the first to."""
        is_first = self.error is None
        self.error = self.error or error
        self._failed_s = now_s
        return is_first

    def wrote(self, now_s: float) -> bool:
        """Something was written durably. Returns whether that ends the trouble."""
        if self.error is None or now_s - self._failed_s < CALM_S:
            return False
        self.error = None
        return True


async def _notify_nobody(_: JournalState | JournalReplaced) -> None:
    await trio.lowlevel.checkpoint()


def _one_thread() -> trio.CapacityLimiter:
    return trio.CapacityLimiter(1)


@frozen
class OpenJournal:
    """A state folder that is held, the journal in it, and the installation's identity."""

    journal: Journal
    identity: str
    _undo: ExitStack

    @classmethod
    def open(cls, folder: str) -> Self:
        """Raises: JournalError."""
        with ExitStack() as undo:
            lock = StateLock(folder)
            undo.callback(lock.release)
            identity, is_new = read_or_make_identity(folder)
            journal = Journal.open(folder)
            undo.callback(journal.close)
            if is_new:  # nothing made under it can be unknown to this journal
                journal.write(orphans.mark_scan_done, identity)
            return cls(journal, identity, undo.pop_all())

    def close(self) -> None:
        self._undo.close()


@define(eq=False)
class JournalClient:
    """The journal of this process, shared by all its tasks.

    One writer thread at a time uses the writer's connection, and one reader thread the reader's, so SQLite
    sees exactly one writer. `_waiting` and `_committing` change only in the event loop's thread.

    A journal that is found damaged is set aside and a fresh one begun; operations on transfers that were
    returned before raise TransferLost from then on.

    `unopened`: why the state folder could not be used at the start; None: it is in use. Until `wait_opened`
    has returned, every operation raises JournalError.
    """

    _folder: str
    _notify: Notify = _notify_nobody
    unopened: str | None = field(default=None, init=False)
    _open: OpenJournal | None = field(default=None, init=False)
    _health: JournalHealth = field(factory=JournalHealth, init=False)
    _waiting: list[PendingWrite[Any]] = field(factory=list, init=False)
    _committing: bool = field(default=False, init=False)
    _waiters: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)
    _writing: trio.CapacityLimiter = field(factory=_one_thread, init=False)
    _reading: trio.CapacityLimiter = field(factory=_one_thread, init=False)

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: str, notify: Notify = _notify_nobody) -> AsyncIterator[Self]:
        """Hold this state folder, made if missing, and the journal in it; `notify` gets its troubles.

        A folder that cannot be used just now is tried again by `wait_opened`.

        Raises:
            JournalRefused: another agent holds it, or waiting will not help for another reason.
        """
        client = cls(folder, notify)
        await client._try_to_open()
        try:
            yield client
        finally:
            with trio.CancelScope(shield=True):
                if client._open is not None:
                    await trio.to_thread.run_sync(client._open.close)

    async def wait_opened(self) -> None:
        """Return as soon as the state folder can be used; it is tried every `PROBE_S`.

        Raises:
            JournalRefused: as `open`.
        """
        if self.unopened is None:
            return
        error = self._health.error = self.unopened
        log.warning("nothing is done until the state folder can be used", error=error)
        await self._notify(JournalState(error, time.time()))
        while self._open is None:
            await trio.sleep(PROBE_S)
            await self._try_to_open()
        self._health = JournalHealth()
        log.info("the state folder can be used")
        await self._notify(JournalState(None, time.time()))

    @property
    def identity(self) -> str:
        """The installation's: temporary names that carry it are ours.

        Raises:
            JournalError: it is not known yet.
        """
        return self._opened.identity

    @property
    def _journal(self) -> Journal:
        return self._opened.journal

    @property
    def _opened(self) -> OpenJournal:
        if self._open is None:
            raise JournalError(self.unopened or "the state folder is not open")
        return self._open

    async def _try_to_open(self) -> None:
        """Raises: JournalRefused."""
        try:
            self._open = await trio.to_thread.run_sync(OpenJournal.open, self._folder)
            self.unopened = None
        except JournalRefused:
            raise
        except JournalError as error:
            self.unopened = str(error)

    async def write(
        self, operation: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run an operation in the next commit, in the order of the calls; durable when this returns.

        A cancelled one may have been applied or not.

        Raises: what the operation raises, and
            JournalError: the journal cannot be read or written just now; nothing was recorded.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        journal = self._journal
        job = PendingWrite(lambda: journal.write(operation, *args, **kwargs))
        self._waiting.append(job)
        while not job.ended:
            if self._committing:
                await self._wait(job)
            else:
                await self._commit_all()
        return job.answer()

    async def read_latest(
        self, operation: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Read after every write that was called before, cancelled ones too: for answers that are acted upon.

        A cancelled write may still be in the commit under way, which `read` would not see.

        Raises: as `write`.
        """
        return await self.write(operation, *args, **kwargs)

    async def read(
        self, operation: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run an operation on what is committed; it waits for no writer.

        Raises: what the operation raises, and
            JournalError: the journal cannot be read just now.
        """
        journal = self._journal
        try:
            return await trio.to_thread.run_sync(
                lambda: journal.read(operation, *args, **kwargs), limiter=self._reading
            )
        except RuntimeError as error:
            raise JournalError(_shortage(error)) from error
        except JournalDamaged:
            await self.write(_check)  # the file that was read may have been set aside meanwhile
            raise

    async def check_integrity(self) -> None:
        """Set the journal aside if any of it is damaged; nothing in it may be acted on before.

        Raises:
            JournalError: it can be neither read nor set aside.
        """
        try:
            await trio.to_thread.run_sync(self._journal.check_integrity, abandon_on_cancel=True)
        except JournalDamaged as damage:
            with suppress(TransferLost):  # nobody holds one yet
                await self.write(_raise, damage)

    async def probe_until_writable(self) -> None:
        """For ever: after trouble, write something from time to time, even if nobody else has to."""
        while True:
            await trio.sleep(PROBE_S)
            if self._health.error is not None:
                with suppress(JournalError):
                    await self.write(routes.check_writable)

    async def _wait(self, job: PendingWrite[Any]) -> None:
        try:
            await self._waiters.park()
        except trio.Cancelled:
            if job in self._waiting:
                self._waiting.remove(job)
            raise

    async def _commit_all(self) -> None:
        jobs, self._waiting = self._waiting, []
        self._committing = True
        # Others depend on this commit, so our own cancellation has to wait for it.
        with trio.CancelScope(shield=True):
            try:
                committed = await trio.to_thread.run_sync(commit, self._journal, jobs, limiter=self._writing)
            except RuntimeError as error:
                committed = not_started(jobs, _shortage(error))
            finally:
                for job in jobs:
                    job.ended = True
                self._committing = False
                self._waiters.unpark_all()
            await self._report_commit(committed)

    async def _report_commit(self, committed: CommitResult) -> None:
        if committed.damage is not None:
            await self._notify(JournalReplaced(committed.damage, time.time()))
        if committed.obstacle is not None:
            if self._health.failed(committed.obstacle, trio.current_time()):
                log.warning("nothing can be written down, copies wait", error=committed.obstacle)
                await self._notify(JournalState(committed.obstacle, time.time()))
        elif committed.wrote and self._health.wrote(trio.current_time()):
            log.info("the journal can be written again")
            await self._notify(JournalState(None, time.time()))


def _shortage(error: RuntimeError) -> str:
    """Why no thread can be started; any other error is a bug and raised."""
    fault = shortage(error)
    if fault is None:
        raise error
    return fault.detail


def _check(tx: Transaction) -> None:
    database.check(tx.db)


def _raise(_: Transaction, damage: JournalDamaged) -> NoReturn:
    raise damage
