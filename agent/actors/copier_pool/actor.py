"""The copier pool of one destination: a task, a cancel scope and a worker process for each running copy."""

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import assert_never

import trio
from attrs import define, field

from agent.actors.copier_pool.abort import AbortTask
from agent.actors.copier_pool.follow import FollowTask
from agent.actors.copier_pool.recovery import CopyGate, Recovery
from agent.actors.copier_pool.task import Notification, Task
from agent.actors.copier_pool.transfer import DeliverTask
from agent.actors.copier_pool.worker_client import WorkerClient
from agent.config.sections import DestinationPlan, Route
from agent.journal.client import JournalClient
from agent.messages.broadcaster import Recovered
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
from agent.messages.dispatcher import MessageGroup, TransferProgress
from agent.messages.stability_tracker import FilesRemoved, FilesUnfinished, TrackerInbox
from agent.protocol.requests import DestinationRef
from agent.worker_pool import WorkerPool


@define(eq=False)
class CopierPool:
    """The running tasks of one destination by file id, and what they need. `trackers`: inboxes by route.

    `trusted_blocks`: how many blocks of a followed partial were verified, and `separate_routes`: for which
    routes source and destination were shown to be two folders, since the destination last came back.
    `mounts`: where each source was mounted when it was last accepted.
    `logged_once`: what the log has said once of the destination.
    """

    plan: DestinationPlan
    routes: Mapping[str, Route]
    trackers: Mapping[str, trio.MemorySendChannel[TrackerInbox]]
    journal: JournalClient
    workers: WorkerPool
    dispatcher: trio.MemorySendChannel[DispatcherInbox]
    broadcaster: trio.MemorySendChannel[BroadcasterInbox]
    mounts: Mapping[str, str] = field(factory=dict)
    nursery: trio.Nursery = field(init=False)
    scopes: dict[str, trio.CancelScope] = field(factory=dict, init=False)
    recovery_scope: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    gate: CopyGate = field(factory=CopyGate, init=False)
    running: Counter[str] = field(factory=Counter, init=False)  # tasks past the gate, by route
    trusted_blocks: dict[str, int] = field(factory=dict, init=False)
    separate_routes: set[str] = field(factory=set, init=False)
    logged_once: set[str] = field(factory=set, init=False)

    def task(self, command: Copy | CopyBatch | Follow | AbortTransfer) -> Task:
        """The task that carries out the command."""
        files = command.files if isinstance(command, CopyBatch) else (command.file,)
        kind: Callable[..., Task]
        match command:
            case Copy(attempt=attempt):
                kind = partial(DeliverTask, attempt=attempt)
            case CopyBatch():
                kind = partial(DeliverTask, attempt=1)
            case Follow():
                kind = FollowTask
            case AbortTransfer(attempts=attempts, error=error):
                kind = partial(AbortTask, attempts=attempts, error=error)
            case _ as never:
                assert_never(never)
        return kind(
            files=files,
            route=self.routes[files[0].route],
            destination=self._destination_ref(command.device),
            journal=self.journal,
            worker=WorkerClient(self.workers, self.plan.stall_timeout_s),
            notify=self._notify,
            trusted_blocks=self.trusted_blocks,
            separate_routes=self.separate_routes,
            logged_once=self.logged_once,
            mounts=self.mounts,
        )

    async def run_task(self, task: Task, scope: trio.CancelScope) -> None:
        """Run the task and send exactly one outcome for each of its files."""
        route = task.route.name
        with scope:
            await self.gate.wait(route)
            self.running[route] += 1
            try:
                await task.run()
            finally:
                self.running[route] -= 1
        for file in task.files:
            del self.scopes[file.id]
        outcomes = task.outcomes()
        await self.dispatcher.send(MessageGroup(outcomes) if task.is_batch else outcomes[0])

    async def recover(self, device: int, scope: trio.CancelScope, gate: CopyGate) -> None:
        """Run recovery in this scope; the copies of a route wait only until the gate is open for it."""
        recovery = Recovery(
            self.plan,
            self._destination_ref(device),
            self.routes,
            self.journal,
            self.workers,
            self.mounts,
            gate,
            lambda route: not self.running[route],
        )
        with scope:
            await recovery.complete_published()
            await recovery.collect_orphans()
            await self.broadcaster.send(Recovered(self.plan.destination))
            await recovery.run_periodically()

    def _destination_ref(self, device: int) -> DestinationRef:
        return DestinationRef(self.plan.destination, device, self.plan.s3)

    async def _notify(self, event: Notification) -> None:
        if isinstance(event, FilesRemoved):
            self.nursery.start_soon(self._report_to_tracker, event.files[0].route, event)
        elif isinstance(event, FilesUnfinished):
            self.nursery.start_soon(self._report_to_tracker, event.files[0][0].route, event)
        elif isinstance(event, TransferProgress):
            with suppress(trio.WouldBlock):  # the next one says more
                self.broadcaster.send_nowait(event)
            with suppress(trio.WouldBlock):
                self.dispatcher.send_nowait(event)
            await trio.lowlevel.checkpoint()
        else:
            await self.broadcaster.send(event)

    async def _report_to_tracker(self, route: str, report: FilesRemoved | FilesUnfinished) -> None:
        """In a task of its own: no copy waits for a tracker, which need not find out by a scan."""
        tracker = self.trackers.get(route)
        if tracker is not None:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):  # the route has been removed
                await tracker.send(report)


async def run(inbox: trio.MemoryReceiveChannel[CopierPoolInbox], pool: CopierPool) -> None:
    """Carry out the dispatcher's commands until the inbox is closed; tasks send their outcomes themselves."""
    async with inbox, pool.dispatcher, pool.broadcaster, trio.open_nursery() as nursery:
        pool.nursery = nursery
        async for message in inbox:
            match message:
                case Copy() | CopyBatch() | Follow() | AbortTransfer():
                    task, scope = pool.task(message), trio.CancelScope()
                    pool.scopes.update((file.id, scope) for file in task.files)
                    nursery.start_soon(pool.run_task, task, scope)
                case CancelCopies(file_ids):
                    for file_id in tuple(pool.scopes) if file_ids is None else file_ids:
                        if file_id in pool.scopes:
                            pool.scopes[file_id].cancel()
                case RecoverDestination(device):
                    pool.trusted_blocks.clear()
                    pool.separate_routes.clear()
                    pool.recovery_scope.cancel()  # one that an outage held up must not go on beside this one
                    pool.recovery_scope, pool.gate = trio.CancelScope(), CopyGate()
                    nursery.start_soon(pool.recover, device, pool.recovery_scope, pool.gate)
                case _ as never:
                    assert_never(never)
        pool.recovery_scope.cancel()
