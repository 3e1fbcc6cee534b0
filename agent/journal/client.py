"""The journal for the house: its operations as coroutines, committed in groups.

Whoever comes while a commit is under way waits; then the first to wake carries out all that waits in one
transaction, so that a hundred tasks pay for one fsync. What each operation means stands in `Journal`.
"""

import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import Any, Self, TypeVar, TypeVarTuple

import trio
from attrs import define, field

from agent.journal import identity as installation
from agent.journal.batch_client import BatchJournalClient
from agent.journal.carried_state import TransferLost
from agent.journal.database import JournalDamaged, JournalError
from agent.journal.group_commit import CommitResult, PendingWrite, commit
from agent.journal.journal import Journal
from agent.journal.lock import StateLock
from agent.journal.upload_client import UploadJournalClient
from agent.log import get_logger
from agent.messages.broadcaster import JournalReplaced, JournalState
from agent.model.source_file import FileVersion, Signature
from agent.model.transfer import PriorResult, ResumePoint, Transfer, VerifyLevel
from agent.model.views import HistoryPage, HistoryQuery, HistoryResult

CALM_S = 15.0  # a disk that is nearly full takes one write and refuses the next


@define
class JournalHealth:
    """`error` is what was met first; None: the journal can be written."""

    error: str | None = field(default=None, init=False)
    _failed_s: float = field(default=-math.inf, init=False)

    def failed(self, error: str, now_s: float) -> bool:
        """An operation failed. Returns whether that is news."""
        is_news = self.error is None
        self.error = self.error or error
        self._failed_s = now_s
        return is_news

    def wrote(self, now_s: float) -> bool:
        """Something was written durably. Returns whether the trouble is over with that."""
        if self.error is None or now_s - self._failed_s < CALM_S:
            return False
        self.error = None
        return True


log = get_logger(__name__)


PROBE_S = 5.0


T = TypeVar("T")


Ts = TypeVarTuple("Ts")


Notify = Callable[[JournalState | JournalReplaced], Awaitable[None]]


async def _notify_nobody(_: JournalState | JournalReplaced) -> None:
    await trio.lowlevel.checkpoint()


def _one_thread() -> trio.CapacityLimiter:
    return trio.CapacityLimiter(1)


@define(eq=False)  # noqa: PLR0904  one for each operation of `Journal`
class JournalClient:
    """Each coroutine returns when what it did is durable; a cancelled one may have been applied or not.

    All but those that only read take effect in the order in which they were called. A journal that is found
    damaged is set aside and a fresh one begun; transfers that were handed out before raise from then on.
    `identity` is the installation's, which proves temporary names to be ours.

    Raises, from every operation, beside what `Journal` says:
        JournalError: the journal cannot be read or written just now; nothing was recorded.
    """

    _journal: Journal
    identity: str
    _notify: Notify = _notify_nobody
    _health: JournalHealth = field(factory=JournalHealth, init=False)
    _waiting: list[PendingWrite[Any]] = field(factory=list, init=False)
    _committing: bool = field(default=False, init=False)
    _waiters: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)
    _writing: trio.CapacityLimiter = field(factory=_one_thread, init=False)
    _reading: trio.CapacityLimiter = field(factory=_one_thread, init=False)

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: str, tell: Notify = _notify_nobody) -> AsyncIterator[Self]:
        """Holds this state folder, made if missing, and the journal in it; `tell` hears of trouble with it.

        Raises:
            StateLocked: another agent holds it.
            JournalError: it cannot be used.
        """
        journal, identity, opened = await trio.to_thread.run_sync(_open, folder)
        try:
            yield cls(journal, identity, tell)
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(opened.close)

    async def find(self, route: str, path: str) -> Transfer | None:
        return await self._do(self._journal.find, route, path)

    async def begin(
        self, file: FileVersion, source_root: str, destination: str, partial: str, at: float
    ) -> Transfer:
        return await self._do(self._journal.begin, file, source_root, destination, partial, at)

    async def restart(self, transfer_id: int, partial: str) -> None:
        await self._do(self._journal.restart, transfer_id, partial)

    async def allocate_partial(self, transfer_id: int, partial: str) -> None:
        await self._do(self._journal.allocate_partial, transfer_id, partial)

    async def rebase(self, transfer_id: int, signature: Signature) -> None:
        await self._do(self._journal.rebase, transfer_id, signature)

    async def checkpoint(self, transfer_id: int, first_block: int, digests: bytes) -> None:
        await self._do(self._journal.checkpoint, transfer_id, first_block, digests)

    async def patch(self, transfer_id: int, block: int, digest: bytes) -> None:
        await self._do(self._journal.patch, transfer_id, block, digest)

    async def mark_verified(self, transfer_id: int, name: str, hash: str, level: VerifyLevel) -> None:  # noqa: A002  its word
        await self._do(self._journal.mark_verified, transfer_id, name, hash, level)

    async def mark_published(
        self, transfer_id: int, name: str, already_present: bool, level: VerifyLevel | None = None
    ) -> None:
        await self._do(self._journal.mark_published, transfer_id, name, already_present, level)

    async def finish(
        self,
        transfer_id: int,
        result: HistoryResult,
        attempts: int,
        error: str | None,
        at: float,
        destination_path: str | None,
        leftover: bool = False,
    ) -> None:
        values = (transfer_id, result, attempts, error, at, destination_path, leftover)
        await self._do(self._journal.finish, *values)

    async def record_failure(
        self, file: FileVersion, source_root: str, destination: str, attempts: int, error: str, at: float
    ) -> int:
        values = (file, source_root, destination, attempts, error, at)
        return await self._do(self._journal.record_failure, *values)

    async def drop(self, transfer_id: int, leftover: bool = False) -> None:
        await self._do(self._journal.drop, transfer_id, leftover)

    async def running(self, destination: str) -> tuple[Transfer, ...]:
        return await self._do(self._journal.running, destination)

    async def resume_points(self) -> tuple[ResumePoint, ...]:
        return await self._do(self._journal.resume_points)

    async def add_orphans(self, destination: str, partials: tuple[str, ...]) -> None:
        await self._do(self._journal.add_orphans, destination, partials)

    async def orphans(self, destination: str) -> tuple[str, ...]:
        return await self._do(self._journal.orphans, destination)

    async def forget_orphan(self, destination: str, partial: str) -> None:
        await self._do(self._journal.forget_orphan, destination, partial)

    async def is_orphan_scan_done(self, destination: str) -> bool:
        return await self._do(self._journal.is_orphan_scan_done, self.identity, destination)

    async def mark_orphan_scan_done(self, destination: str) -> None:
        await self._do(self._journal.mark_orphan_scan_done, self.identity, destination)

    async def prior_results(self, route: str, paths: tuple[str, ...]) -> tuple[PriorResult, ...]:
        return await self._do(self._journal.prior_results, route, paths)

    async def clear_failure(self, route: str, path: str) -> None:
        await self._do(self._journal.clear_failure, route, path)

    async def set_paused(self, route: str, paused: bool) -> None:
        await self._do(self._journal.set_paused, route, paused)

    async def paused(self) -> frozenset[str]:
        return await self._do(self._journal.paused)

    async def remember_mount(self, destination: str, mount_point: str) -> None:
        await self._do(self._journal.remember_mount, destination, mount_point)

    async def mount_points(self) -> dict[str, str]:
        return await self._do(self._journal.mount_points)

    @property
    def uploads(self) -> UploadJournalClient:
        """The upload jobs."""
        return UploadJournalClient(self._journal.uploads, self._do, self._read)

    @property
    def lots(self) -> BatchJournalClient:
        """Files that are carried together."""
        return BatchJournalClient(self._journal.lots, self._do)

    async def history(self, query: HistoryQuery) -> HistoryPage:
        """Ended transfers, newest first; waits for no writer."""
        return await self._read(self._journal.history, query)

    async def _read(self, operation: Callable[[*Ts], T], *values: *Ts) -> T:
        try:
            return await trio.to_thread.run_sync(operation, *values, limiter=self._reading)
        except JournalDamaged:
            await self._do(self._journal.check)  # what it was read from may have been set aside meanwhile
            raise

    async def examine(self) -> None:
        """Set the journal aside if any of it is damaged; before that nothing that it says may be acted on."""
        try:
            await trio.to_thread.run_sync(self._journal.examine, abandon_on_cancel=True)
        except JournalDamaged as damage:
            with suppress(TransferLost):  # nobody holds one yet
                await self._do(_raise, damage)

    async def probe_until_writable(self) -> None:
        """Find out by itself when trouble is over, even if nobody has anything to write."""
        while True:
            await trio.sleep(PROBE_S)
            if self._health.error is not None:
                with suppress(JournalError):
                    await self._do(self._journal.check_writable)

    async def _do(self, operation: Callable[[*Ts], T], *values: *Ts) -> T:
        await trio.lowlevel.checkpoint_if_cancelled()
        job = PendingWrite(lambda: operation(*values))
        self._waiting.append(job)
        while not job.ended:
            if self._committing:
                await self._wait(job)
            else:
                await self._commit_all()
        return job.answer()

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
                went = await trio.to_thread.run_sync(commit, self._journal, jobs, limiter=self._writing)
            finally:
                for job in jobs:
                    job.ended = True
                self._committing = False
                self._waiters.unpark_all()
            await self._report_commit(went)

    async def _report_commit(self, went: CommitResult) -> None:
        if went.damage is not None:
            await self._notify(JournalReplaced(went.damage, time.time()))
        if went.obstacle is not None:
            if self._health.failed(went.obstacle, trio.current_time()):
                log.warning("nothing can be written down, copies wait", error=went.obstacle)
                await self._notify(JournalState(went.obstacle, time.time()))
        elif went.wrote and self._health.wrote(trio.current_time()):
            log.info("the journal can be written again")
            await self._notify(JournalState(None, time.time()))


def _raise(damage: JournalDamaged) -> None:
    raise damage


def _open(folder: str) -> tuple[Journal, str, ExitStack]:
    with ExitStack() as undo:
        lock = StateLock(folder)
        undo.callback(lock.release)
        identity, is_new = installation.read_or_make(folder)
        journal = Journal.open(folder)
        undo.callback(journal.close)
        if is_new:  # nothing can have been made under it that this journal does not know
            journal.mark_orphan_scan_done(identity)
        return journal, identity, undo.pop_all()
