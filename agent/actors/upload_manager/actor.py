"""The upload manager: each upload job is a route that is added when it starts and removed when it has ended.

The journal says which jobs there are. While any runs, the broadcaster passes on the events that may be
about one. The loop waits for nobody, so the broadcaster need not either; a job's task may send up, like a
copy task.
"""

import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from typing import Protocol

import trio
from attrs import define, field

from agent.actors.upload_manager.upload_job import UploadJobEvent, UploadJobTracker
from agent.config.sections import DestinationPlan
from agent.config.uploads import UploadRoute
from agent.journal import orphans, uploads
from agent.journal.client import JournalClient
from agent.journal.errors import JournalError
from agent.log import get_logger
from agent.messages.broadcaster import (
    RouteAdded,
    RouteRemoved,
    StatusChanged,
    StatusesChanged,
)
from agent.messages.channels import (
    BroadcasterInbox,
    ConnectDestination,
    DispatcherInbox,
    SubscribeEvents,
    UnsubscribeEvents,
)
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
ROOT_TIMEOUT_S = 10.0
log = get_logger(__name__)


class RouteManager(Protocol):
    """Adds and removes routes and destinations of the generation that runs."""

    def route_of(self, job: UploadJob) -> UploadRoute: ...
    def plan_of(self, route: UploadRoute) -> DestinationPlan: ...
    def has_route_for(self, destination: str) -> bool:
        """Whether a configured route has its copier pool there, which jobs then share."""

    def add_route(self, route: UploadRoute) -> None:
        """From now on its transfers are known at its destination: recovery takes none for an orphan."""

    def remove_route(self, route: UploadRoute) -> None: ...
    def start_destination(self, nursery: trio.Nursery, plan: DestinationPlan) -> ConnectDestination: ...
    def watch(self, nursery: trio.Nursery, route: UploadRoute) -> None: ...


@define(eq=False)
class RunningUpload:
    """A job under way: `watch_scope` ends its watcher, `removed` is set once none of its copies is left."""

    upload: UploadJobTracker
    watch_scope: trio.CancelScope = field(factory=trio.CancelScope)
    removed: trio.Event = field(factory=trio.Event)
    write_lock: trio.Lock = field(factory=trio.Lock)
    is_being_checked: bool = False


@define(eq=False)
class UploadManager:
    """The jobs by route name. `events` leads to the manager's own inbox, `roots`: where jobs may read."""

    events: trio.MemorySendChannel[UploadManagerInbox]
    routes: RouteManager
    journal: JournalClient
    workers: WorkerPool
    roots: tuple[str, ...]
    dispatcher: trio.MemorySendChannel[DispatcherInbox]
    broadcaster: trio.MemorySendChannel[BroadcasterInbox]
    nursery: trio.Nursery
    jobs: dict[str, RunningUpload] = field(factory=dict, init=False)
    _cleaned: set[str] = field(factory=set, init=False)  # ids
    _storage: dict[str, DestinationState] = field(factory=dict, init=False)
    _jobs_at: Counter[str] = field(factory=Counter, init=False)  # by destination
    _woken: trio.Event = field(factory=trio.Event, init=False)
    _changed: trio.Event = field(factory=trio.Event, init=False)

    def on_event(self, event: UploadEvent) -> None:
        """Take in an event; what follows from it is done by tasks."""
        if isinstance(event, StatusesChanged):
            for each in event.changes:
                self.on_event(each)
            return
        if isinstance(event, DestinationState):
            self._storage[event.destination] = event
        for running in self._affected(event):
            if isinstance(event, RouteRemoved):
                running.removed.set()
            else:
                running.upload.on_event(event, trio.current_time(), time.time())
                self._check(running)

    def _affected(self, event: UploadJobEvent | RouteRemoved) -> Iterable[RunningUpload]:
        """One job where the event names its route: a scan of 100,000 files does not go to all of them."""
        match event:
            case (
                StatusChanged(file=FileVersion(route=route)) | SourceState(route=route) | RouteRemoved(route)
            ):
                return (self.jobs[route],) if route in self.jobs else ()
            case _:
                return tuple(self.jobs.values())

    def wake(self) -> None:
        self._woken.set()

    async def find_roots(self) -> None:
        """Note where the roots lead before a job asks for a folder below them."""
        for root in self.roots:
            with suppress(Fault, StallTimeout):  # it is noted when it can be opened
                request = ResolveFolder(root, self.roots)
                await self.workers.ask(request, FolderResolved, stall_timeout_s=ROOT_TIMEOUT_S)

    async def reconcile(self) -> None:
        """For ever: start and stop what the journal says, whenever jobs were added or stopped."""
        while True:
            await self._woken.wait()
            self._woken = trio.Event()
            try:
                for job in await self.journal.read_latest(uploads.needing_cleanup):
                    await self._start(job)
            except JournalError as error:
                log.debug("upload jobs not read", error=str(error))
                await trio.sleep(RETRY_S)
                self._woken.set()

    async def write_changes(self) -> None:
        """For ever: write the state of the jobs into the journal."""
        while True:
            await self._changed.wait()
            self._changed = trio.Event()
            for running in tuple(self.jobs.values()):
                if not await self._write_one(running):
                    self._changed.set()
            await trio.sleep(WRITE_EVERY_S)

    async def _start(self, job: UploadJob) -> None:
        route = self.routes.route_of(job)
        running = self.jobs.get(route.name)
        if running is not None:
            if job.state.is_end:
                running.upload.stop(job.error or "", time.time())
                self._check(running)
            return
        if job.id in self._cleaned:
            return  # since the jobs were read
        upload = UploadJobTracker.resumed(job, route, await self.journal.read_latest(uploads.files, job.id))
        if route.destination in self._storage:
            upload.on_event(self._storage[route.destination], trio.current_time(), time.time())
        is_first = not self.jobs
        self.jobs[route.name] = running = RunningUpload(upload)  # from now on nobody unsubscribes
        if is_first:
            await self.broadcaster.send(SubscribeEvents(self.events.clone()))
        self.nursery.start_soon(self._run, running)

    async def _run(self, running: RunningUpload) -> None:
        """A job from its beginning to its end."""
        upload = running.upload
        route, job = upload.route, upload.job
        await self._open_destination(route)
        if not upload.has_ended:
            await self._watch_route(running)
        while not await self._is_cleaned_up(running):  # noqa: ASYNC110  recovery sends nothing to the manager
            await trio.sleep(RETRY_S)
        self._cleaned.add(job.id)
        del self.jobs[route.name]
        if not self.jobs:
            self._storage.clear()  # the next subscription begins with the state of every destination
            await self.broadcaster.send(UnsubscribeEvents())
        await self._close_destination(route)
        log.info("upload job closed", upload_id=job.id)

    async def _open_destination(self, route: UploadRoute) -> None:
        destination = route.destination
        self._jobs_at[destination] += 1
        if self._jobs_at[destination] == 1 and not self.routes.has_route_for(destination):
            plan = self.routes.plan_of(route)
            await self.dispatcher.send(self.routes.start_destination(self.nursery, plan))

    async def _close_destination(self, route: UploadRoute) -> None:
        destination = route.destination
        self._jobs_at[destination] -= 1
        if not self._jobs_at[destination] and not self.routes.has_route_for(destination):
            self._storage.pop(destination, None)
            await self.dispatcher.send(RemoveDestination(destination))

    async def _watch_route(self, running: RunningUpload) -> None:
        """The page learns of the route first; from then on its files are transferred like any others."""
        upload, route = running.upload, running.upload.route
        log.info("upload job begins", upload_id=upload.job.id, source=route.source, to=route.destination)
        self.routes.add_route(route)
        await self.broadcaster.send(RouteAdded(route))
        await self.dispatcher.send(AddRoute(route))
        self._begin_folder_check(running)
        with running.watch_scope:
            async with trio.open_nursery() as nursery:
                self.routes.watch(nursery, route)
        job = upload.job
        log.info("upload job ends", upload_id=job.id, state=job.state.value, error=job.error)
        await self.dispatcher.send(RemoveRoute(route.name))
        await running.removed.wait()
        self.routes.remove_route(route)

    async def _is_cleaned_up(self, running: RunningUpload) -> bool:
        """Whether its copies have left no partial in the bucket; recovery removes them."""
        upload, route = running.upload, running.upload.route
        if not await self._write_one(running):
            return False
        try:
            await self.journal.write(uploads.add_orphans, route.name)
            if await self.journal.read_latest(orphans.at_destination, route.destination):
                return False
            await self.journal.write(uploads.mark_cleaned, upload.job.id, route.name)
        except JournalError as error:
            log.debug("upload job not closed", upload_id=upload.job.id, error=str(error))
            return False
        return True

    async def _write_one(self, running: RunningUpload) -> bool:
        """Whether all that is known of the job is in the journal; writes of one job keep their order."""
        upload = running.upload
        async with running.write_lock:
            if not upload.is_dirty:
                return True
            changes = upload.drain(time.time())
            try:
                known = await self.journal.write(uploads.upsert, changes.job, changes.files, changes.gone)
            except JournalError:
                upload.requeue(changes)
                return False
            if not known:
                upload.write_all()
            return not upload.is_dirty

    def _check(self, running: RunningUpload) -> None:
        upload = running.upload
        if upload.is_dirty:
            self._changed.set()
        if upload.has_ended:
            running.watch_scope.cancel()
        elif upload.is_suspect(trio.current_time()):
            self._begin_folder_check(running)

    def _begin_folder_check(self, running: RunningUpload) -> None:
        if not running.is_being_checked:
            running.is_being_checked = True
            self.nursery.start_soon(self._check_folder, running)

    async def _check_folder(self, running: RunningUpload) -> None:
        """End the job if its folder is gone, or may not be read under a new configuration.

        One that leads to another folder now is an outage, which its scans report.
        """
        upload = running.upload
        stall_timeout_s = upload.route.stall_timeout_s
        reason = ""
        try:
            request = ResolveFolder(upload.route.source, self.roots)
            found = await self.workers.ask(request, FolderResolved, stall_timeout_s=stall_timeout_s)
        except Fault as fault:
            if fault.kind is FaultKind.SOURCE_GONE and upload.is_suspect(trio.current_time()):
                reason = f"the source folder is gone: {fault.detail}"
        except StallTimeout:
            pass  # an outage, which the page shows
        else:
            if not found.is_allowed and found.path == upload.route.source:
                reason = "the source folder does not lie below one of the [uploads] roots any more"
        if reason:
            upload.stop(reason, time.time())
            self._check(running)
        running.is_being_checked = False


async def run(
    events: trio.MemorySendChannel[UploadManagerInbox],
    inbox: trio.MemoryReceiveChannel[UploadManagerInbox],
    dispatcher: trio.MemorySendChannel[DispatcherInbox],
    broadcaster: trio.MemorySendChannel[BroadcasterInbox],
    routes: RouteManager,
    journal: JournalClient,
    workers: WorkerPool,
    roots: tuple[str, ...],
) -> None:
    """Resume the jobs that the journal says are unfinished, and start those that are added from then on.

    `events` is a send end of `inbox`, for the broadcaster.
    """
    async with events, inbox, dispatcher, broadcaster, trio.open_nursery() as nursery:
        manager = UploadManager(events, routes, journal, workers, roots, dispatcher, broadcaster, nursery)
        nursery.start_soon(manager.find_roots)
        nursery.start_soon(manager.reconcile)
        nursery.start_soon(manager.write_changes)
        manager.wake()
        async for message in inbox:
            if isinstance(message, UploadJobsChanged):
                manager.wake()
            else:
                manager.on_event(message)
