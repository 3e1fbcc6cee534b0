"""The journal for the house: its operations as coroutines, committed in groups.

Whoever comes while a commit is under way waits; then the first to wake carries out all that waits in one
transaction, so that a hundred tasks pay for one fsync. What each operation means stands in `Journal`.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from typing import Any, Generic, Self, TypeVar, TypeVarTuple, cast

import trio
from attrs import define, field

from agent.stores.journal import Journal, JournalError
from agent.stores.lock import StateLock
from agent.terms import Interim, Settled, Signature, SourceFile, Transfer, VerifyLevel
from agent.views import HistoryPage, HistoryQuery, HistoryResult

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


@define(eq=False)
class _Job(Generic[T]):
    """An operation that waits for its commit; it failed unless it is known to have succeeded."""

    operation: Callable[[], T]
    ended: bool = False
    result: T | None = None
    error: Exception | None = field(factory=lambda: JournalError("the journal was not written"))

    def run(self) -> None:
        try:
            self.result, self.error = self.operation(), None
        except Exception as error:  # noqa: BLE001  it belongs to whoever waits for this job
            self.error = error

    def answer(self) -> T:
        if self.error is not None:
            raise self.error
        return cast("T", self.result)


def _one_thread() -> trio.CapacityLimiter:
    return trio.CapacityLimiter(1)


@define(eq=False)
class Ledger:
    """Each coroutine returns when what it did is durable; a cancelled one may have been applied or not.

    All but `history` take effect in the order in which they were called.

    Raises, from every operation, beside what `Journal` says:
        JournalError: the journal cannot be read or written just now; nothing was recorded.
    """

    _journal: Journal
    _waiting: list[_Job[Any]] = field(factory=list, init=False)
    _committing: bool = field(default=False, init=False)
    _lot: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)
    _writing: trio.CapacityLimiter = field(factory=_one_thread, init=False)
    _reading: trio.CapacityLimiter = field(factory=_one_thread, init=False)

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: str) -> AsyncIterator[Self]:
        """Holds this state folder, made if missing, and the journal in it.

        Raises:
            StateLocked: another agent holds it.
            JournalError: it cannot be used.
        """
        journal, opened = await trio.to_thread.run_sync(_open, folder)
        try:
            yield cls(journal)
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(opened.close)

    async def find(self, route: str, path: str) -> Transfer | None:
        return await self._do(self._journal.find, route, path)

    async def begin(
        self, file: SourceFile, source_root: str, destination: str, partial: str, at: float
    ) -> Transfer:
        return await self._do(self._journal.begin, file, source_root, destination, partial, at)

    async def restart(self, transfer_id: int, partial: str) -> None:
        await self._do(self._journal.restart, transfer_id, partial)

    async def adopt(self, transfer_id: int, signature: Signature) -> None:
        await self._do(self._journal.adopt, transfer_id, signature)

    async def checkpoint(self, transfer_id: int, first_block: int, digests: bytes) -> None:
        await self._do(self._journal.checkpoint, transfer_id, first_block, digests)

    async def intent(self, transfer_id: int, name: str, hash: str, level: VerifyLevel) -> None:  # noqa: A002  its word
        await self._do(self._journal.intent, transfer_id, name, hash, level)

    async def published(self, transfer_id: int, name: str, already_there: bool) -> None:
        await self._do(self._journal.published, transfer_id, name, already_there)

    async def finish(
        self,
        transfer_id: int,
        result: HistoryResult,
        attempts: int,
        error: str | None,
        at: float,
        destination_path: str | None,
    ) -> None:
        await self._do(self._journal.finish, transfer_id, result, attempts, error, at, destination_path)

    async def fail_unstarted(
        self, file: SourceFile, source_root: str, destination: str, attempts: int, error: str, at: float
    ) -> None:
        await self._do(self._journal.fail_unstarted, file, source_root, destination, attempts, error, at)

    async def drop(self, transfer_id: int) -> None:
        await self._do(self._journal.drop, transfer_id)

    async def running(self, destination: str) -> tuple[Transfer, ...]:
        return await self._do(self._journal.running, destination)

    async def interim(self) -> tuple[Interim, ...]:
        return await self._do(self._journal.interim)

    async def settled(self) -> tuple[Settled, ...]:
        return await self._do(self._journal.settled)

    async def pardon(self, route: str, path: str) -> None:
        await self._do(self._journal.pardon, route, path)

    async def set_paused(self, route: str, paused: bool) -> None:
        await self._do(self._journal.set_paused, route, paused)

    async def paused(self) -> frozenset[str]:
        return await self._do(self._journal.paused)

    async def remember_mount(self, destination: str, mount_point: str) -> None:
        await self._do(self._journal.remember_mount, destination, mount_point)

    async def mount_points(self) -> dict[str, str]:
        return await self._do(self._journal.mount_points)

    async def history(self, query: HistoryQuery) -> HistoryPage:
        """Ended transfers, newest first; waits for no writer."""
        return await trio.to_thread.run_sync(self._journal.history, query, limiter=self._reading)

    async def _do(self, operation: Callable[[*Ts], T], *values: *Ts) -> T:
        await trio.lowlevel.checkpoint_if_cancelled()
        job = _Job(lambda: operation(*values))
        self._waiting.append(job)
        while not job.ended:
            if self._committing:
                await self._wait(job)
            else:
                await self._commit_all()
        return job.answer()

    async def _wait(self, job: _Job[Any]) -> None:
        try:
            await self._lot.park()
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
                await trio.to_thread.run_sync(_commit, self._journal, jobs, limiter=self._writing)
            finally:
                for job in jobs:
                    job.ended = True
                self._committing = False
                self._lot.unpark_all()


def _open(folder: str) -> tuple[Journal, ExitStack]:
    with ExitStack() as undo:
        lock = StateLock(folder)
        undo.callback(lock.release)
        journal = Journal.open(folder)
        undo.callback(journal.close)
        return journal, undo.pop_all()


def _commit(journal: Journal, jobs: list[_Job[Any]]) -> None:
    try:
        with journal.together():
            for job in jobs:
                job.run()
    except Exception as error:  # noqa: BLE001  every waiter must hear of it
        for job in jobs:
            job.error = JournalError(str(error))
