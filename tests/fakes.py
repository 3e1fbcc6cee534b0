"""Workers and a journal for actors alone: scripted answers, and a diary of what they were told."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import trio
from attrs import evolve, frozen
from trio.testing import MockClock

from agent.journal.batch_client import BatchJournalClient
from agent.journal.client import JournalClient
from agent.journal.database import JournalError
from agent.model.errors import Fault, Side
from agent.model.source_file import FileVersion, Signature
from agent.model.transfer import (
    PriorResult,
    ResumePoint,
    Transfer,
    TransferPhase,
    TransferResult,
    VerifyLevel,
)
from agent.model.views import HistoryPage, HistoryQuery, HistoryResult
from agent.protocol.replies import Reply
from agent.protocol.requests import Request
from agent.worker_pool import OnReply, R, StallTimeout, WorkerPool, ignore
from tests.samples import IDENTITY, NAS


@frozen
class Says:
    """What a worker streams, and its last word; None: it falls silent."""

    last: Reply | Fault | None
    streamed: tuple[Reply, ...] = ()
    silent_side: Side | None = None
    took_s: float = 0.0


SILENCE = Says(None)
TEN_DAYS_S = 864_000.0


async def lose_patience() -> None:
    """On a clock that jumps: when nobody moves any more, the test fails instead of hanging."""
    await trio.sleep(TEN_DAYS_S)
    raise AssertionError("nobody moves any more")


async def _fall_silent(stall_timeout_s: float, side: Side | None) -> None:
    await trio.sleep(stall_timeout_s)
    raise StallTimeout(side)


class FakeWorkers(WorkerPool):
    """Answers each kind of request from its script; the last line of a script is said again and again."""

    def __init__(self, clock: MockClock, diary: list[str] | None = None) -> None:
        super().__init__(lock_path="")
        self.clock = clock
        self.diary: list[str] = [] if diary is None else diary
        self.asked: list[tuple[float, Request]] = []
        self.killed: list[Request] = []
        self._scripts: dict[type[Request], list[Says]] = {}

    def script(self, kind: type[Request], *lines: Says | Reply | Fault) -> None:
        self._scripts[kind] = [line if isinstance(line, Says) else Says(line) for line in lines]

    def times(self, kind: type[Request]) -> list[float]:
        """When requests of this kind came, in seconds from the beginning."""
        return [at_s for at_s, request in self.asked if isinstance(request, kind)]

    async def ask(
        self, request: Request, expected: type[R], *, stall_timeout_s: float, on_reply: OnReply = ignore
    ) -> R:
        self.asked.append((self.clock.current_time(), request))
        self.diary.append(type(request).__name__)
        script = self._scripts[type(request)]
        line = script.pop(0) if len(script) > 1 else script[0]
        try:
            await trio.sleep(line.took_s)
            for reply in line.streamed:
                await on_reply(reply)
            if line.last is None:
                await _fall_silent(stall_timeout_s, line.silent_side)
        except BaseException:
            self.killed.append(request)
            raise
        if isinstance(line.last, Fault):
            raise line.last
        assert isinstance(line.last, expected)
        return line.last


@frozen
class Ended:
    """How a transfer went into the history."""

    path: str
    result: HistoryResult
    attempts: int
    error: str | None
    where: str | None


class FakeLedger(JournalClient):
    """A journal in memory; operations named in `broken` fail."""

    def __init__(self, diary: list[str] | None = None, *transfers: Transfer) -> None:
        self.diary: list[str] = [] if diary is None else diary
        self.transfers = {(each.route, each.path): each for each in transfers}
        self.identity = IDENTITY
        self.ended: list[Ended] = []
        self.left: list[tuple[str, str]] = []
        self.searched: list[str] = [NAS]
        self.mounts: dict[str, str] = {}
        self.paused_routes: set[str] = set()
        self.pardoned: list[tuple[str, str]] = []
        self.broken: set[str] = set()
        self._ids = 1000
        self.memories: dict[tuple[str, str], PriorResult] = {}

    @property
    def lots(self) -> "FakeLots":
        return FakeLots(self)

    async def prior_results(self, route: str, paths: tuple[str, ...]) -> tuple[PriorResult, ...]:
        await self.note("prior_results")
        return tuple(self.memories[route, path] for path in paths if (route, path) in self.memories)

    async def find(self, route: str, path: str) -> Transfer | None:
        await self.note("find")
        return self.transfers.get((route, path))

    async def begin(
        self, file: FileVersion, source_root: str, destination: str, partial: str, at: float
    ) -> Transfer:
        del source_root
        await self.note("begin")
        return self.begun(file, destination, partial, at)

    def begun(self, file: FileVersion, destination: str, partial: str, at: float) -> Transfer:
        self._ids += 1
        transfer = Transfer(
            id=self._ids,
            route=file.route,
            path=file.path,
            signature=file.signature,
            destination=destination,
            phase=TransferPhase.COPYING,
            partial=partial,
            name=None,
            blocks=(),
            hash=None,
            level=None,
            already_present=False,
            discovered_at=file.discovered_at,
            started_at=at,
        )
        self.transfers[file.route, file.path] = transfer
        return transfer

    async def restart(self, transfer_id: int, partial: str) -> None:
        await self.note("restart")
        self._leave(next(each for each in self.transfers.values() if each.id == transfer_id))
        self.change(
            transfer_id,
            lambda each: evolve(each, phase=TransferPhase.COPYING, partial=partial, name=None, blocks=()),
        )

    async def checkpoint(self, transfer_id: int, first_block: int, digests: bytes) -> None:
        await self.note("checkpoint")
        blocks = tuple(digests[at : at + 16] for at in range(0, len(digests), 16))
        self.change(transfer_id, lambda each: evolve(each, blocks=each.blocks[:first_block] + blocks))

    async def allocate_partial(self, transfer_id: int, partial: str) -> None:
        await self.note("allocate_partial")
        self.change(transfer_id, lambda each: evolve(each, partial=partial))

    async def rebase(self, transfer_id: int, signature: Signature) -> None:
        await self.note("rebase")
        self.change(transfer_id, lambda each: evolve(each, signature=signature))

    async def patch(self, transfer_id: int, block: int, digest: bytes) -> None:
        await self.note("patch")
        self.change(
            transfer_id,
            lambda each: evolve(each, blocks=(*each.blocks[:block], digest, *each.blocks[block + 1 :])),
        )

    async def mark_verified(self, transfer_id: int, name: str, hash: str, level: VerifyLevel) -> None:  # noqa: A002  its word
        await self.note("mark_verified")
        self.change(
            transfer_id,
            lambda each: evolve(each, phase=TransferPhase.VERIFIED, name=name, hash=hash, level=level),
        )

    async def mark_published(
        self, transfer_id: int, name: str, already_present: bool, level: VerifyLevel | None = None
    ) -> None:
        await self.note("mark_published")
        self.change(
            transfer_id,
            lambda each: evolve(
                each,
                phase=TransferPhase.PUBLISHED,
                name=name,
                already_present=already_present,
                level=level or each.level,
            ),
        )

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
        del at
        await self.note("finish")
        transfer = self.take(transfer_id)
        if leftover:
            self._leave(transfer)
        self.ended.append(Ended(transfer.path, result, attempts, error, destination_path))

    async def record_failure(
        self, file: FileVersion, source_root: str, destination: str, attempts: int, error: str, at: float
    ) -> int:
        del source_root, destination, at
        await self.note("record_failure")
        self.ended.append(Ended(file.path, "failed", attempts, error, None))
        self._ids += 1
        return self._ids

    async def drop(self, transfer_id: int, leftover: bool = False) -> None:
        await self.note("drop")
        transfer = self.take(transfer_id)
        if leftover:
            self._leave(transfer)

    async def running(self, destination: str) -> tuple[Transfer, ...]:
        await self.note("running")
        return tuple(each for each in self.transfers.values() if each.destination == destination)

    async def resume_points(self) -> tuple[ResumePoint, ...]:
        await self.note("resume_points")
        return ()

    async def add_orphans(self, destination: str, partials: tuple[str, ...]) -> None:
        await self.note("add_orphans")
        known = {each.partial for each in self.transfers.values()} | {partial for _, partial in self.left}
        self.left += [(destination, partial) for partial in partials if partial not in known]

    async def orphans(self, destination: str) -> tuple[str, ...]:
        await self.note("orphans")
        return tuple(partial for where, partial in self.left if where == destination)

    async def forget_orphan(self, destination: str, partial: str) -> None:
        await self.note("forget_orphan")
        self.left.remove((destination, partial))

    async def is_orphan_scan_done(self, destination: str) -> bool:
        await self.note("is_orphan_scan_done")
        return destination in self.searched

    async def mark_orphan_scan_done(self, destination: str) -> None:
        await self.note("mark_orphan_scan_done")
        self.searched.append(destination)

    async def remember_mount(self, destination: str, mount_point: str) -> None:
        await self.note("remember_mount")
        self.mounts[destination] = mount_point

    async def set_paused(self, route: str, paused: bool) -> None:
        await self.note("set_paused")
        (self.paused_routes.add if paused else self.paused_routes.discard)(route)

    async def clear_failure(self, route: str, path: str) -> None:
        await self.note("clear_failure")
        self.pardoned.append((route, path))

    async def history(self, query: HistoryQuery) -> HistoryPage:
        await self.note("history")
        return HistoryPage((), query.before_id)

    async def note(self, operation: str) -> None:
        await trio.lowlevel.checkpoint()
        self.diary.append(operation)
        if operation in self.broken:
            raise JournalError("disk full")

    def _leave(self, transfer: Transfer) -> None:
        self.left.append((transfer.destination, transfer.partial))

    def take(self, transfer_id: int) -> Transfer:
        for key, transfer in self.transfers.items():
            if transfer.id == transfer_id:
                del self.transfers[key]
                return transfer
        raise LookupError(f"no running transfer has the id {transfer_id}")

    def change(self, transfer_id: int, change: Callable[[Transfer], Transfer]) -> None:
        transfer = change(self.take(transfer_id))
        self.transfers[transfer.route, transfer.path] = transfer


class FakeLots(BatchJournalClient):
    """The part of a journal in memory that is about lots."""

    def __init__(self, ledger: FakeLedger) -> None:
        self._ledger = ledger

    async def begin(
        self, files: Mapping[str, FileVersion], source_root: str, destination: str, at: float
    ) -> dict[str, int]:
        del source_root
        await self._ledger.note("lots.begin")
        known = self._ledger.transfers
        return {
            file.path: self._ledger.begun(file, destination, partial, at).id
            for partial, file in files.items()
            if (file.route, file.path) not in known
        }

    async def mark_verified(self, verified: Sequence[tuple[int, str, str, VerifyLevel]]) -> None:
        await self._ledger.note("lots.mark_verified")
        for transfer_id, name, digest, level in verified:
            self._ledger.change(
                transfer_id,
                partial(evolve, phase=TransferPhase.VERIFIED, name=name, hash=digest, level=level),
            )

    async def mark_published(self, published: Sequence[tuple[int, str, bool]]) -> None:
        await self._ledger.note("lots.mark_published")
        for transfer_id, name, already_present in published:
            self._ledger.change(
                transfer_id,
                partial(evolve, phase=TransferPhase.PUBLISHED, name=name, already_present=already_present),
            )

    async def finish(self, endings: Sequence[TransferResult]) -> None:
        await self._ledger.note("lots.finish")
        for end in endings:
            path = self._ledger.take(end.transfer_id).path
            self._ledger.ended.append(Ended(path, end.result, end.attempts, end.error, end.destination_path))
