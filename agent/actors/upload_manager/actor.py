"""The keeper of upload jobs: each is a route that comes when it is asked for, and goes when it has ended.

The journal says which jobs there are; what becomes of their files is overheard from what visitors are told.
The loop waits for nobody, so the broadcaster need not either; tasks of a job may send up, like copy tasks.
"""

import time
from collections import Counter
from collections.abc import Iterable
from typing import Protocol, assert_never

import trio
from attrs import define, field

from agent.actors.upload_manager.upload_job import UploadJobEvent, UploadJobTracker
from agent.config.sections import DestinationPlan
from agent.config.uploads import UploadRoute
from agent.journal.client import JournalClient
from agent.journal.database import JournalError
from agent.log import get_logger
from agent.messages.broadcaster import (
    RouteAdded,
    RouteRemoved,
    StatusChanged,
    StatusesChanged,
    TransferProgress,
    Untracked,
)
from agent.messages.channels import BroadcasterInbox, ConnectDestination, DispatcherInbox, SubscribeEvents
from agent.messages.dispatcher import AddRoute, DestinationState, RemoveDestination, RemoveRoute, SourceState
from agent.messages.upload_manager import UploadEvent, UploadJobsChanged, UploadManagerInbox
from agent.model.errors import Fault, FaultKind
from agent.model.source_file import FileVersion
from agent.model.upload import UploadJob
from agent.protocol.replies import FolderResolved
from agent.protocol.requests import ResolveFolder
from agent.worker_pool import StallTimeout, WorkerPool

WRITE_EVERY_S = 0.5
RETRY_S = 5.0
log = get_logger(__name__)


class RouteManager(Protocol):
    """What a house can set up while it runs."""

    def route_of(self, job: UploadJob) -> UploadRoute: ...
    def plan_of(self, route: UploadRoute) -> DestinationPlan: ...
    def has_route_for(self, destination: str) -> bool:
        """Whether a configured route has a lane there, which jobs then share."""

    def add_route(self, route: UploadRoute) -> None:
        """From now on its transfers are known at its destination, and no sweep takes them for orphans."""

    def remove_route(self, route: UploadRoute) -> None: ...
    def start_destination(self, nursery: trio.Nursery, plan: DestinationPlan) -> ConnectDestination: ...
    def watch(self, nursery: trio.Nursery, route: UploadRoute) -> None: ...


@define(eq=False)
class RunningUpload:
    """A job under way: `watching` holds its watcher, `left` says that none of its copies is left."""

    upload: UploadJobTracker
    watching: trio.CancelScope = field(factory=trio.CancelScope)
    left: trio.Event = field(factory=trio.Event)
    writing: trio.Lock = field(factory=trio.Lock)
    being_examined: bool = False


@define(eq=False)
class UploadManager:
    """The jobs by route name, and what they need. `roots`: where jobs may read."""

    routes: RouteManager
    journal: JournalClient
    workers: WorkerPool
    roots: tuple[str, ...]
    dispatcher: trio.MemorySendChannel[DispatcherInbox]
    broadcaster: trio.MemorySendChannel[BroadcasterInbox]
    nursery: trio.Nursery
    jobs: dict[str, RunningUpload] = field(factory=dict, init=False)
    _closed: set[str] = field(factory=set, init=False)
    _storage: dict[str, DestinationState] = field(factory=dict, init=False)
    _busy: Counter[str] = field(factory=Counter, init=False)
    _woken: trio.Event = field(factory=trio.Event, init=False)
    _changed: trio.Event = field(factory=trio.Event, init=False)

    def on_event(self, fact: UploadEvent) -> None:
        """Note it; whatever follows is done by tasks."""
        if isinstance(fact, StatusesChanged):
            for each in fact.moved:
                self.on_event(each)
            return
        if isinstance(fact, DestinationState):
            self._storage[fact.destination] = fact
        for kept in self._affected(fact):
            if isinstance(fact, RouteRemoved):
                kept.left.set()
            else:
                kept.upload.on_event(fact, trio.current_time(), time.time())
                self._check(kept)

    def _affected(self, fact: UploadJobEvent | RouteRemoved) -> Iterable[RunningUpload]:
        """One job where the fact names its route, so that a scan of 100,000 files costs what it has to."""
        match fact:
            case (
                StatusChanged(file=FileVersion(route=route)) | SourceState(route=route) | RouteRemoved(route)
            ):
                return (self.jobs[route],) if route in self.jobs else ()
            case _:
                return tuple(self.jobs.values())

    def wake(self) -> None:
        self._woken.set()

    async def reconcile(self) -> None:
        """For ever: whenever jobs were added or stopped, make it so."""
        while True:
            await self._woken.wait()
            self._woken = trio.Event()
            try:
                for job in await self.journal.uploads.needing_cleanup():
                    await self._start(job)
            except JournalError as error:
                log.debug("upload jobs not read", error=str(error))
                await trio.sleep(RETRY_S)
                self._woken.set()

    async def write_changes(self) -> None:
        """For ever: what has become of the jobs, into the journal."""
        while True:
            await self._changed.wait()
            self._changed = trio.Event()
            for kept in tuple(self.jobs.values()):
                if not await self._write_one(kept):
                    self._changed.set()
            await trio.sleep(WRITE_EVERY_S)

    async def _start(self, job: UploadJob) -> None:
        route = self.routes.route_of(job)
        kept = self.jobs.get(route.name)
        if kept is not None:
            if job.state.is_end:
                kept.upload.stop(job.error or "", time.time())
                self._check(kept)
            return
        if job.id in self._closed:
            return  # since it was read
        upload = UploadJobTracker.resumed(job, route, await self.journal.uploads.files(job.id))
        if route.destination in self._storage:
            upload.on_event(self._storage[route.destination], trio.current_time(), time.time())
        self.jobs[route.name] = kept = RunningUpload(upload)
        self.nursery.start_soon(self._run, kept)

    async def _run(self, kept: RunningUpload) -> None:
        """A job from its beginning to its end."""
        upload = kept.upload
        route, job = upload.route, upload.job
        place = route.destination
        self._busy[place] += 1
        if self._busy[place] == 1 and not self.routes.has_route_for(place):
            await self.dispatcher.send(
                self.routes.start_destination(self.nursery, self.routes.plan_of(route))
            )
        if not upload.has_ended:
            await self._watch_route(kept)
        while not await self._is_cleaned_up(kept):  # noqa: ASYNC110  the sweep tells nobody
            await trio.sleep(RETRY_S)
        self._closed.add(job.id)
        del self.jobs[route.name]
        self._busy[place] -= 1
        if not self._busy[place] and not self.routes.has_route_for(place):
            self._storage.pop(place, None)
            await self.dispatcher.send(RemoveDestination(place))
        log.info("upload job closed", upload_id=job.id)

    async def _watch_route(self, kept: RunningUpload) -> None:
        """Visitors hear of the route first and last; in between its files are moved like any others."""
        upload, route = kept.upload, kept.upload.route
        log.info("upload job begins", upload_id=upload.job.id, source=route.source, to=route.destination)
        self.routes.add_route(route)
        await self.broadcaster.send(RouteAdded(route))
        await self.dispatcher.send(AddRoute(route))
        self._begin_examination(kept)
        with kept.watching:
            async with trio.open_nursery() as watching:
                self.routes.watch(watching, route)
        job = upload.job
        log.info("upload job ends", upload_id=job.id, state=job.state.value, error=job.error)
        await self.dispatcher.send(RemoveRoute(route.name))
        await kept.left.wait()
        self.routes.remove_route(route)

    async def _is_cleaned_up(self, kept: RunningUpload) -> bool:
        """Whether nothing that its copies had begun stands in the bucket any more; the sweep removes it."""
        upload, route = kept.upload, kept.upload.route
        if not await self._write_one(kept):
            return False
        try:
            await self.journal.uploads.add_orphans(route.name)
            if await self.journal.orphans(route.destination):
                return False
            await self.journal.uploads.mark_cleaned(upload.job.id, route.name)
        except JournalError as error:
            log.debug("upload job not closed", upload_id=upload.job.id, error=str(error))
            return False
        return True

    async def _write_one(self, kept: RunningUpload) -> bool:
        """Whether all that was known of it is written down; nothing may overtake what cannot be."""
        async with kept.writing:
            if not kept.upload.is_dirty:
                return True
            changes = kept.upload.drain(time.time())
            try:
                known = await self.journal.uploads.upsert(changes.job, changes.files, changes.gone)
            except JournalError:
                kept.upload.requeue(changes)
                return False
            if not known:
                kept.upload.write_all()
            return not kept.upload.is_dirty

    def _check(self, kept: RunningUpload) -> None:
        upload = kept.upload
        if upload.is_dirty:
            self._changed.set()
        if upload.has_ended:
            kept.watching.cancel()
        elif upload.is_suspect(trio.current_time()):
            self._begin_examination(kept)

    def _begin_examination(self, kept: RunningUpload) -> None:
        if not kept.being_examined:
            kept.being_examined = True
            self.nursery.start_soon(self._examine, kept)

    async def _examine(self, kept: RunningUpload) -> None:
        """Its folder may have gone, or may not be read under a new configuration."""
        upload = kept.upload
        silence_s = upload.route.stall_timeout_s
        reason = ""
        try:
            request = ResolveFolder(upload.route.source, self.roots)
            found = await self.workers.ask(request, FolderResolved, silence_s=silence_s)
        except Fault as fault:
            if fault.kind is FaultKind.SOURCE_GONE and upload.is_suspect(trio.current_time()):
                reason = f"the source folder is gone: {fault.detail}"
        except StallTimeout:
            pass  # an outage, which the job shows
        else:
            if not found.is_allowed or found.path != upload.route.source:
                reason = "the source folder does not lie below one of the [uploads] roots any more"
        if reason:
            upload.stop(reason, time.time())
            self._check(kept)
        kept.being_examined = False


async def run(
    ear: trio.MemorySendChannel[UploadManagerInbox],
    inbox: trio.MemoryReceiveChannel[UploadManagerInbox],
    dispatcher: trio.MemorySendChannel[DispatcherInbox],
    broadcaster: trio.MemorySendChannel[BroadcasterInbox],
    crew: RouteManager,
    ledger: JournalClient,
    workers: WorkerPool,
    roots: tuple[str, ...],
) -> None:
    """Take up what the journal says is unfinished, and whatever is asked for from then on."""
    async with inbox, dispatcher, broadcaster, trio.open_nursery() as nursery:
        keeper = UploadManager(crew, ledger, workers, roots, dispatcher, broadcaster, nursery)
        await broadcaster.send(SubscribeEvents(ear))
        nursery.start_soon(keeper.reconcile)
        nursery.start_soon(keeper.write_changes)
        keeper.wake()
        async for message in inbox:
            match message:
                case UploadJobsChanged():
                    keeper.wake()
                case (
                    StatusChanged()
                    | StatusesChanged()
                    | Untracked()
                    | TransferProgress()
                    | DestinationState()
                    | SourceState()
                    | RouteRemoved()
                ):
                    keeper.on_event(message)
                case _ as never:
                    assert_never(never)
