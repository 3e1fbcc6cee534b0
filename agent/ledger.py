"""The journal for the house: its operations as coroutines, committed in groups.

Whoever comes while a commit is under way waits; then the first to wake carries out all that waits in one
transaction, so that a hundred tasks pay for one fsync. What each operation means stands in `Journal`.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import Any, Self, TypeVar, TypeVarTuple

import trio
from attrs import define, field

from agent.log import get_logger
from agent.lot_ledger import LotLedger
from agent.messages import JournalRenewed, JournalState
from agent.rules.trouble import Trouble
from agent.stores import identity as installation
from agent.stores.batch import Commit, Job, commit
from agent.stores.journal import Journal, JournalDamaged, JournalError, TransferLost
from agent.stores.lock import StateLock
from agent.terms import Interim, Settled, Signature, SourceFile, Transfer, VerifyLevel
from agent.upload_ledger import UploadLedger
from agent.views import HistoryPage, HistoryQuery, HistoryResult

log = get_logger(__name__)

TRY_AGAIN_S = 5.0
T = TypeVar("T")
Ts = TypeVarTuple("Ts")
Tell = Callable[[JournalState | JournalRenewed], Awaitable[None]]


async def _tell_nobody(_: JournalState | JournalRenewed) -> None:
    await trio.lowlevel.checkpoint()


def _one_thread() -> trio.CapacityLimiter:
    return trio.CapacityLimiter(1)


@define(eq=False)
class Ledger:
    """Each coroutine returns when what it did is durable; a cancelled one may have been applied or not.

    All but those that only read take effect in the order in which they were called. A journal that is found
    damaged is set aside and a fresh one begun; transfers that were handed out before raise from then on.
    `identity` is the installation's, which proves temporary names to be ours.

    Raises, from every operation, beside what `Journal` says:
        JournalError: the journal cannot be read or written just now; nothing was recorded.
    """

    _journal: Journal
    identity: str
    _tell: Tell = _tell_nobody
    _trouble: Trouble = field(factory=Trouble, init=False)
    _waiting: list[Job[Any]] = field(factory=list, init=False)
    _committing: bool = field(default=False, init=False)
    _lot: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)
    _writing: trio.CapacityLimiter = field(factory=_one_thread, init=False)
    _reading: trio.CapacityLimiter = field(factory=_one_thread, init=False)

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: str, tell: Tell = _tell_nobody) -> AsyncIterator[Self]:
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
        self, file: SourceFile, source_root: str, destination: str, partial: str, at: float
    ) -> Transfer:
        return await self._do(self._journal.begin, file, source_root, destination, partial, at)

    async def restart(self, transfer_id: int, partial: str) -> None:
        await self._do(self._journal.restart, transfer_id, partial)

    async def reserve(self, transfer_id: int, partial: str) -> None:
        await self._do(self._journal.reserve, transfer_id, partial)

    async def adopt(self, transfer_id: int, signature: Signature) -> None:
        await self._do(self._journal.adopt, transfer_id, signature)

    async def checkpoint(self, transfer_id: int, first_block: int, digests: bytes) -> None:
        await self._do(self._journal.checkpoint, transfer_id, first_block, digests)

    async def patch(self, transfer_id: int, block: int, digest: bytes) -> None:
        await self._do(self._journal.patch, transfer_id, block, digest)

    async def intent(self, transfer_id: int, name: str, hash: str, level: VerifyLevel) -> None:  # noqa: A002  its word
        await self._do(self._journal.intent, transfer_id, name, hash, level)

    async def published(
        self, transfer_id: int, name: str, already_there: bool, level: VerifyLevel | None = None
    ) -> None:
        await self._do(self._journal.published, transfer_id, name, already_there, level)

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

    async def fail_unstarted(
        self, file: SourceFile, source_root: str, destination: str, attempts: int, error: str, at: float
    ) -> None:
        await self._do(self._journal.fail_unstarted, file, source_root, destination, attempts, error, at)

    async def drop(self, transfer_id: int, leftover: bool = False) -> None:
        await self._do(self._journal.drop, transfer_id, leftover)

    async def running(self, destination: str) -> tuple[Transfer, ...]:
        return await self._do(self._journal.running, destination)

    async def interim(self) -> tuple[Interim, ...]:
        return await self._do(self._journal.interim)

    async def leave(self, destination: str, partials: tuple[str, ...]) -> None:
        await self._do(self._journal.leave, destination, partials)

    async def leftovers(self, destination: str) -> tuple[str, ...]:
        return await self._do(self._journal.leftovers, destination)

    async def forget_leftover(self, destination: str, partial: str) -> None:
        await self._do(self._journal.forget_leftover, destination, partial)

    async def is_searched(self, destination: str) -> bool:
        return await self._do(self._journal.is_searched, self.identity, destination)

    async def note_search(self, destination: str) -> None:
        await self._do(self._journal.note_search, self.identity, destination)

    async def settled(self, route: str, paths: tuple[str, ...]) -> tuple[Settled, ...]:
        return await self._do(self._journal.settled, route, paths)

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

    @property
    def uploads(self) -> UploadLedger:
        """The upload jobs."""
        return UploadLedger(self._journal.uploads, self._do, self._read)

    @property
    def lots(self) -> LotLedger:
        """Files that are carried together."""
        return LotLedger(self._journal.lots, self._do)

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
                await self._do(_met, damage)

    async def keep_trying(self) -> None:
        """Find out by itself when trouble is over, even if nobody has anything to write."""
        while True:
            await trio.sleep(TRY_AGAIN_S)
            if self._trouble.error is not None:
                with suppress(JournalError):
                    await self._do(self._journal.prove_writable)

    async def _do(self, operation: Callable[[*Ts], T], *values: *Ts) -> T:
        await trio.lowlevel.checkpoint_if_cancelled()
        job = Job(lambda: operation(*values))
        self._waiting.append(job)
        while not job.ended:
            if self._committing:
                await self._wait(job)
            else:
                await self._commit_all()
        return job.answer()

    async def _wait(self, job: Job[Any]) -> None:
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
                went = await trio.to_thread.run_sync(commit, self._journal, jobs, limiter=self._writing)
            finally:
                for job in jobs:
                    job.ended = True
                self._committing = False
                self._lot.unpark_all()
            await self._judge(went)

    async def _judge(self, went: Commit) -> None:
        if went.damage is not None:
            await self._tell(JournalRenewed(went.damage, time.time()))
        if went.obstacle is not None:
            if self._trouble.failed(went.obstacle, trio.current_time()):
                log.warning("nothing can be written down, copies wait", error=went.obstacle)
                await self._tell(JournalState(went.obstacle, time.time()))
        elif went.wrote and self._trouble.wrote(trio.current_time()):
            log.info("the journal can be written again")
            await self._tell(JournalState(None, time.time()))


def _met(damage: JournalDamaged) -> None:
    raise damage


def _open(folder: str) -> tuple[Journal, str, ExitStack]:
    with ExitStack() as undo:
        lock = StateLock(folder)
        undo.callback(lock.release)
        identity, is_new = installation.read_or_make(folder)
        journal = Journal.open(folder)
        undo.callback(journal.close)
        if is_new:  # nothing can have been made under it that this journal does not know
            journal.note_search(identity)
        return journal, identity, undo.pop_all()
