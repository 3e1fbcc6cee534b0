"""An upload manager alone: its journal, its routes, and the other ends of its channels."""

import math
from typing import cast

import trio
from attrs import define, evolve, field

from agent.actors.upload_manager import actor as upload_manager
from agent.config.sections import DestinationPlan, Uploads
from agent.config.uploads import UploadRoute, upload_route
from agent.journal import schema, uploads
from agent.messages.broadcaster import RouteRemoved
from agent.messages.channels import BroadcasterInbox, ConnectDestination, DispatcherInbox
from agent.messages.copier_pool import CopierPoolInbox
from agent.messages.dispatcher import SourceState
from agent.messages.storage_monitor import ProbeNow
from agent.messages.upload_manager import UploadManagerInbox
from agent.model.upload import UploadJob, UploadState
from agent.model.views import UploadsQuery
from agent.protocol.replies import FolderResolved
from agent.protocol.requests import Request, ResolveFolder
from agent.worker_pool import OnReply, R, ignore
from tests.fakes import FakeJournal, FakeWorkers, lose_patience
from tests.samples import ROUTE, a_config

CONFIG = a_config(ROUTE)


def a_job(name: str = "j1", bucket: str = "archive") -> UploadJob:
    return UploadJob(name, f"/media/{name}", bucket, None, UploadState.PENDING, 1.0, 1.0)


def route_of(job: UploadJob) -> UploadRoute:
    return upload_route(job, Uploads())


def scanned(job: UploadJob, began_s: float) -> SourceState:
    return SourceState(route_of(job).name, None, began_s, 1.0, 5)


class UploadJournal(FakeJournal):
    """With upload jobs."""

    def add(self, *jobs: UploadJob) -> None:
        for job in jobs:
            self._journal.write(uploads.add, job)

    def stop(self, job: UploadJob) -> None:
        self._journal.write(uploads.stop, job.id, "stopped", 1.0)

    def reopen(self, job: UploadJob) -> None:
        """It is read as it was before it was closed."""
        self._replace(schema.upload_jobs, [])
        self.add(job)

    def lose_jobs(self) -> None:
        """As with a journal that is set aside."""
        self._replace(schema.upload_files, [])
        self._replace(schema.upload_jobs, [])

    @property
    def jobs(self) -> dict[str, UploadJob]:
        """By their ids."""
        return {job.id: job for job in self._journal.read(uploads.page, UploadsQuery()).jobs}

    @property
    def closed(self) -> list[str]:
        return [row["id"] for row in self._rows(schema.upload_jobs) if row["cleaned_up"]]

    def paths(self, job: UploadJob) -> list[str]:
        """Of the job's files."""
        return [file.path for file in self._journal.write(uploads.files, job.id)]


class FolderWorkers(FakeWorkers):
    """Every folder is there and may be read, unless the script says otherwise."""

    async def ask(
        self, request: Request, expected: type[R], *, stall_timeout_s: float, on_reply: OnReply = ignore
    ) -> R:
        if isinstance(request, ResolveFolder) and ResolveFolder not in self._scripts:
            self.asked.append((self.clock.current_time(), request))
            await trio.lowlevel.checkpoint()
            return cast("R", FolderResolved(request.path, is_allowed=True))
        return await super().ask(request, expected, stall_timeout_s=stall_timeout_s, on_reply=on_reply)


@define(eq=False)
class FakeRoutes:
    """Sets up nothing; notes what it was asked for. `configured`: places that configured routes have."""

    configured: tuple[str, ...] = ()
    added: list[str] = field(factory=list)
    watched: list[str] = field(factory=list)
    _ends: list[object] = field(factory=list)

    def route_of(self, job: UploadJob) -> UploadRoute:
        return route_of(job)

    def plan_of(self, route: UploadRoute) -> DestinationPlan:
        return CONFIG.plan([route])

    def has_route_for(self, destination: str) -> bool:
        return destination in self.configured

    def add_route(self, route: UploadRoute) -> None:
        self.added.append(route.name)

    def remove_route(self, route: UploadRoute) -> None:
        self.added.remove(route.name)

    def start_destination(self, nursery: trio.Nursery, plan: DestinationPlan) -> ConnectDestination:
        del nursery
        lane_in, lane_out = trio.open_memory_channel[CopierPoolInbox](1)
        doubts_in, doubts_out = trio.open_memory_channel[ProbeNow](1)
        self._ends += [lane_out, doubts_out]
        return ConnectDestination(plan, lane_in, doubts_in)

    def watch(self, nursery: trio.Nursery, route: UploadRoute) -> None:
        async def watched() -> None:
            self.watched.append(route.name)
            try:
                await trio.sleep_forever()
            finally:
                self.watched.remove(route.name)

        nursery.start_soon(watched)


@define(eq=False)
class RunningManager:
    """An upload manager that runs, and the other ends of its channels."""

    journal: UploadJournal
    routes: FakeRoutes
    workers: FakeWorkers
    inbox: trio.MemorySendChannel[UploadManagerInbox]
    to_dispatcher: trio.MemoryReceiveChannel[DispatcherInbox]
    to_broadcaster: trio.MemoryReceiveChannel[BroadcasterInbox]

    async def send(self, *events: UploadManagerInbox) -> None:
        for event in events:
            await self.inbox.send(event)
        await trio.testing.wait_all_tasks_blocked()

    def examinations(self, job: UploadJob) -> int:
        """How often its folder was examined."""
        folders = [each for _, each in self.workers.asked if isinstance(each, ResolveFolder)]
        return sum(each.path == job.source_folder for each in folders)

    async def complete(self, job: UploadJob) -> None:
        """Its folder is empty."""
        await self.send(scanned(job, 100.0), scanned(job, 200.0))

    async def route_removed(self, job: UploadJob) -> None:
        await self.send(RouteRemoved(route_of(job).name))


async def manager_of(
    nursery: trio.Nursery, clock: trio.testing.MockClock, *jobs: UploadJob, routes: FakeRoutes | None = None
) -> RunningManager:
    """An upload manager that has started these jobs."""
    events, inbox = trio.open_memory_channel[UploadManagerInbox](math.inf)
    dispatcher, to_dispatcher = trio.open_memory_channel[DispatcherInbox](64)
    broadcaster, to_broadcaster = trio.open_memory_channel[BroadcasterInbox](64)
    workers = FolderWorkers(clock)
    journal, routes = UploadJournal(), routes or FakeRoutes()
    journal.add(*jobs)
    nursery.start_soon(lose_patience)
    nursery.start_soon(
        upload_manager.run, events, inbox, dispatcher, broadcaster, routes, journal, workers, ("/media",)
    )
    await trio.testing.wait_all_tasks_blocked()
    return RunningManager(journal, routes, workers, events.clone(), to_dispatcher, to_broadcaster)


def stopped(job: UploadJob) -> UploadJob:
    return evolve(job, state=UploadState.FAILED, error="stopped")
