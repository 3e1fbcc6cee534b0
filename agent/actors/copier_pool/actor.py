"""The copier pool of one destination: a task, a cancel scope and a worker process for each running copy."""

import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import TypeVar, assert_never

import trio
from attrs import define, field

from agent.actors.copier_pool.abort import AbortTask
from agent.actors.copier_pool.batch import BatchTask
from agent.actors.copier_pool.follow import FollowTask
from agent.actors.copier_pool.recovery import Recovery
from agent.actors.copier_pool.task import Notification, Outcome, TransferTask, WorkerClient, outcome_of
from agent.actors.copier_pool.transfer import DeliverTask
from agent.config.sections import DestinationPlan, Route
from agent.journal.client import JournalClient
from agent.journal.database import JournalError
from agent.log import get_logger
from agent.messages.broadcaster import Recovered, TransferProgress
from agent.messages.channels import BroadcasterInbox, DispatcherInbox
from agent.messages.copier_pool import (
    AbortTransfer,
    CancelCopies,
    CopierPoolInbox,
    Copy,
    CopyBatch,
    Follow,
    RecoverDestination,
)
from agent.messages.dispatcher import Aborted, BytesWritten, Delivered, Interrupted, MessageBatch, TailIdle
from agent.messages.stability_tracker import FilesRemoved, TrackerInbox
from agent.model.errors import Fault, FaultKind
from agent.protocol.requests import DestinationRef
from agent.worker_pool import WorkerPool

log = get_logger(__name__)

E = TypeVar("E", bound=TransferTask)


@define(eq=False)
class CopierPool:
    """The running tasks of one destination by file id, and what they need. `trackers`: inboxes by route.

    `trusted_blocks`: how many blocks of a followed partial were verified since the destination last came
    back.
    """

    plan: DestinationPlan
    routes: Mapping[str, Route]
    trackers: Mapping[str, trio.MemorySendChannel[TrackerInbox]]
    journal: JournalClient
    workers: WorkerPool
    dispatcher: trio.MemorySendChannel[DispatcherInbox]
    broadcaster: trio.MemorySendChannel[BroadcasterInbox]
    nursery: trio.Nursery = field(init=False)
    scopes: dict[str, trio.CancelScope] = field(factory=dict, init=False)
    recovery_scope: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    recovered: trio.Event = field(factory=trio.Event, init=False)
    trusted_blocks: dict[str, int] = field(factory=dict, init=False)

    async def run_task(self, order: Copy | Follow | AbortTransfer, scope: trio.CancelScope) -> None:
        """One task of the pool: carry out the order and report exactly one outcome."""
        errand, work = self._task(order)
        outcome: Outcome | None = None
        with scope:
            await self.recovered.wait()
            outcome = await _outcome(errand, work, is_copy=isinstance(order, Copy))
        del self.scopes[order.file.id]
        await self.dispatcher.send(
            outcome or Interrupted(order.file, None, errand.verified_bytes, time.time())
        )

    async def run_batch(self, order: CopyBatch, scope: trio.CancelScope) -> None:
        """As `run_task`, for files that have one place together."""
        route, place = self.routes[order.files[0].route], self._destination_ref(order.device)
        lot = BatchTask(order.files, route, place, self.journal, self._worker_client, self._notify)
        with scope:
            await self.recovered.wait()
            await lot.deliver()
        for file in order.files:
            del self.scopes[file.id]
        await self.dispatcher.send(MessageBatch(lot.outcomes()))

    async def recover(self, device: int, scope: trio.CancelScope, done: trio.Event) -> None:
        """Copies wait only for its first half."""
        sweeper = Recovery(self.plan, self._destination_ref(device), self.routes, self.journal, self.workers)
        with scope:
            try:
                await sweeper.complete_published()
            finally:
                done.set()
            await sweeper.collect_orphans()
            await self.broadcaster.send(Recovered(self.plan.destination))
            await sweeper.run_periodically()

    def _task(
        self, order: Copy | Follow | AbortTransfer
    ) -> tuple[TransferTask, Callable[[], Awaitable[Outcome]]]:
        match order:
            case Copy():
                carrying = self._make(DeliverTask, order)
                return carrying, partial(_deliver, carrying, order.attempt)
            case Follow():
                following = self._make(FollowTask, order)
                return following, partial(_follow, following)
            case AbortTransfer():
                giving_up = self._make(AbortTask, order)
                return giving_up, partial(_abandon, giving_up, order)
            case _ as never:
                assert_never(never)

    def _make(self, kind: type[E], order: Copy | Follow | AbortTransfer) -> E:
        return kind(
            file=order.file,
            route=self.routes[order.file.route],
            destination=self._destination_ref(order.device),
            journal=self.journal,
            worker=self._worker_client,
            notify=self._notify,
            trusted_blocks=self.trusted_blocks,
        )

    @property
    def _worker_client(self) -> WorkerClient:
        return WorkerClient(self.workers, self.plan.stall_timeout_s)

    def _destination_ref(self, device: int) -> DestinationRef:
        return DestinationRef(self.plan.destination, device, self.plan.s3)

    async def _notify(self, fact: Notification) -> None:
        if isinstance(fact, FilesRemoved):
            self.nursery.start_soon(self._report_removed, fact)  # no copy waits for a tracker
            return
        if not isinstance(fact, TransferProgress):
            await self.broadcaster.send(fact)
            return
        for channel, figures in (
            (self.broadcaster, fact),
            (self.dispatcher, BytesWritten(fact.file_id, fact.copied_bytes)),
        ):
            try:
                channel.send_nowait(figures)  # type: ignore[arg-type]
            except trio.WouldBlock:
                await trio.lowlevel.checkpoint()

    async def _report_removed(self, removed: FilesRemoved) -> None:
        """The tracker of the route drops the files, so that no scan has to find them gone."""
        tracker = self.trackers.get(removed.files[0].route)
        if tracker is not None:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):  # the route has been removed
                await tracker.send(removed)


async def run(lane: trio.MemoryReceiveChannel[CopierPoolInbox], pool: CopierPool) -> None:
    """Start, halt and sweep as the dispatcher orders; its tasks report to it themselves."""
    async with lane, pool.dispatcher, pool.broadcaster, trio.open_nursery() as nursery:
        pool.nursery = nursery
        async for message in lane:
            match message:
                case Copy() | Follow() | AbortTransfer():
                    scope = pool.scopes[message.file.id] = trio.CancelScope()
                    nursery.start_soon(pool.run_task, message, scope)
                case CopyBatch(files):
                    scope = trio.CancelScope()
                    pool.scopes.update((file.id, scope) for file in files)
                    nursery.start_soon(pool.run_batch, message, scope)
                case CancelCopies(file_ids):
                    for file_id in tuple(pool.scopes) if file_ids is None else file_ids:
                        if file_id in pool.scopes:
                            pool.scopes[file_id].cancel()
                case RecoverDestination(device):
                    pool.trusted_blocks.clear()
                    pool.recovery_scope.cancel()  # one that an outage held up must not go on beside this one
                    pool.recovery_scope, pool.recovered = trio.CancelScope(), trio.Event()
                    nursery.start_soon(pool.recover, device, pool.recovery_scope, pool.recovered)
                case _ as never:
                    assert_never(never)
        pool.recovery_scope.cancel()


async def _outcome(errand: TransferTask, work: Callable[[], Awaitable[Outcome]], *, is_copy: bool) -> Outcome:
    try:
        return await work()
    except JournalError as error:
        fault = Fault(FaultKind.JOURNAL, str(error))
    except Fault as caught:
        fault = caught
    # Trouble with the journal meets every file on every attempt: the journal has logged it once for all.
    say = log.debug if fault.kind is FaultKind.JOURNAL else log.warning
    event = "attempt failed" if is_copy else "not followed any further"
    outcome = outcome_of(errand.file, fault, errand.verified_bytes)
    say("interrupted" if isinstance(outcome, Interrupted) else event, error=str(fault), **errand.log_context)
    return outcome


async def _deliver(errand: DeliverTask, attempt: int) -> Delivered:
    delivery = await errand.deliver(attempt)
    event = "kept" if delivery.kept else "delivered"
    log.info(event, to=delivery.destination_path, verified=delivery.level, **errand.log_context)
    return Delivered(errand.file, delivery, time.time())


async def _follow(errand: FollowTask) -> TailIdle:
    await errand.follow()
    return TailIdle(errand.file, time.time())


async def _abandon(errand: AbortTask, order: AbortTransfer) -> Aborted:
    await errand.abort(order.attempts, order.error)
    return Aborted(order.file, time.time())
