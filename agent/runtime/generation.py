"""One generation: all actors that a configuration asks for.

Start order:
1. Routes of unfinished upload jobs are known, so that recovery takes none of their transfers for an orphan.
2. The broadcaster shows the routes of the configuration.
3. Each destination gets its copier pool and storage monitor.
4. Each route gets its stability tracker and watcher.
5. The dispatcher starts, then the upload manager, which adds routes and destinations while it runs.

It stops when its nursery is cancelled: workers are killed, and what they have reached is in the journal.
"""

import time

import trio
from attrs import define, field, frozen

from agent.actors.copier_pool import actor as copier_pool
from agent.actors.dispatcher import actor as dispatcher
from agent.actors.dispatcher.scheduler import Scheduler
from agent.actors.stability_tracker import actor as stability_tracker
from agent.actors.stability_tracker.tracker import StabilityTracker
from agent.actors.storage_monitor import actor as storage_monitor
from agent.actors.storage_monitor.availability import AvailabilityTracker
from agent.actors.upload_manager import actor as upload_manager
from agent.actors.watcher import actor as watcher
from agent.config.sections import Config, DestinationPlan, Route
from agent.config.uploads import UploadRoute, upload_route
from agent.journal import routes, transfers, uploads
from agent.journal.client import JournalClient
from agent.messages.broadcaster import GenerationStarted
from agent.messages.channels import BroadcasterInbox, ConnectDestination, DispatcherInbox
from agent.messages.stability_tracker import TrackerInbox
from agent.messages.upload_manager import UploadManagerInbox
from agent.model.upload import UploadJob
from agent.runtime.channels import (
    open_copier_pool_inbox,
    open_dispatcher_inbox,
    open_storage_monitor_inbox,
    open_tracker_inbox,
    open_upload_manager_inbox,
    open_watcher_inbox,
)
from agent.worker_pool import WorkerPool


@frozen
class CommandChannels:
    """The channels on which control sends commands into a generation."""

    dispatcher: trio.MemorySendChannel[DispatcherInbox]
    uploads: trio.MemorySendChannel[UploadManagerInbox]


@define(eq=False)
class ActorStarter:
    """Starts the actors of routes and destinations, those of the configuration and those of upload jobs.

    `mounts`: where each source and destination was mounted when it was last accepted; watchers add to it, and
    recoveries look there. The routes of a destination and the inboxes of the trackers are shared with copier
    pools that run, so that a route may be added later.
    """

    config: Config
    journal: JournalClient
    workers: WorkerPool
    dispatcher: trio.MemorySendChannel[DispatcherInbox]
    broadcaster: trio.MemorySendChannel[BroadcasterInbox]
    mounts: dict[str, str]
    _routes: dict[str, dict[str, Route]] = field(factory=dict, init=False)
    _trackers: dict[str, trio.MemorySendChannel[TrackerInbox]] = field(factory=dict, init=False)

    def route_of(self, job: UploadJob) -> UploadRoute:
        return upload_route(job, self.config.uploads)

    def plan_of(self, route: UploadRoute) -> DestinationPlan:
        return self.config.plan([route])

    def has_route_for(self, destination: str) -> bool:
        return any(route.destination == destination for route in self.config.routes)

    def add_route(self, route: Route) -> None:
        if route.upload_id is not None:
            self.workers.roots[route.source] = route.source  # without links since the job was created
        self._routes.setdefault(route.destination, {})[route.name] = route

    def remove_route(self, route: Route) -> None:
        del self._routes[route.destination][route.name]
        self._trackers.pop(route.name).close()

    def start_destination(self, nursery: trio.Nursery, plan: DestinationPlan) -> ConnectDestination:
        """Start the copier pool and the storage monitor of a destination."""
        destination = plan.destination
        pool_in, pool_out = open_copier_pool_inbox(plan)
        monitor_in, monitor_out = open_storage_monitor_inbox()
        pool = copier_pool.CopierPool(
            plan,
            self._routes.setdefault(destination, {}),
            self._trackers,
            self.journal,
            self.workers,
            self.dispatcher.clone(),
            self.broadcaster.clone(),
            self.mounts,
        )
        availability = AvailabilityTracker(
            destination, plan.marker is not None, plan.probe_s, self.mounts.get(destination), plan.mounted
        )
        monitor = (monitor_out, self.dispatcher.clone(), plan, availability, self.journal, self.workers)
        nursery.start_soon(copier_pool.run, pool_out, pool)
        nursery.start_soon(storage_monitor.run, *monitor)
        return ConnectDestination(plan, pool_in, monitor_in)

    def watch(self, nursery: trio.Nursery, route: Route) -> None:
        """Start the stability tracker and the watcher of a route.

        An upload job has no listener for events: a hundred jobs would be a hundred processes, and it scans
        often enough.
        """
        tracker_in, tracker_out = open_tracker_inbox()
        watcher_in, watcher_out = open_watcher_inbox()
        self._trackers[route.name] = tracker_in.clone()
        dispatcher, broadcaster, tracker = self.dispatcher, self.broadcaster, StabilityTracker(route)
        source = (route, self.journal.identity, self.workers)
        watcher_args = (
            tracker_in,
            dispatcher.clone(),
            broadcaster.clone(),
            *source,
            self.journal,
            self.mounts,
        )
        tracker_args = (watcher_in.clone(), dispatcher.clone(), broadcaster.clone(), tracker, self.journal)
        nursery.start_soon(watcher.run, watcher_out, *watcher_args)
        nursery.start_soon(stability_tracker.run, tracker_out, *tracker_args)
        if route.upload_id is None:
            nursery.start_soon(watcher.watch_events, watcher_in, broadcaster.clone(), *source)
        else:
            watcher_in.close()


@define(eq=False)
class Generation:
    """The actors of one configuration. `broadcaster`: its inbox, which outlives the generation."""

    config: Config
    journal: JournalClient
    workers: WorkerPool
    broadcaster: trio.MemorySendChannel[BroadcasterInbox]

    async def start(self, nursery: trio.Nursery) -> CommandChannels:
        """Start all actors in the nursery. Raises: JournalError."""
        config, journal = self.config, self.journal
        paused = await journal.read_latest(routes.paused)
        scheduler = Scheduler.start(config, paused, await journal.read_latest(transfers.resume_points))
        dispatcher_in, dispatcher_out = open_dispatcher_inbox()
        mounts = await journal.read_latest(routes.mount_points)
        starter = ActorStarter(config, journal, self.workers, dispatcher_in.clone(), self.broadcaster, mounts)
        for job in await journal.read_latest(uploads.needing_cleanup):
            if not job.state.is_end:
                starter.add_route(starter.route_of(job))
        await self.broadcaster.send(GenerationStarted(config.routes, time.time()))
        for route in config.routes:
            starter.add_route(route)
        started = [starter.start_destination(nursery, plan) for plan in config.destinations()]
        for route in config.routes:
            starter.watch(nursery, route)
        pools = {each.plan.destination: each.copier_pool for each in started}
        monitors = {each.plan.destination: each.storage_monitor for each in started}
        nursery.start_soon(
            dispatcher.run, dispatcher_out, pools, monitors, self.broadcaster.clone(), scheduler
        )
        return CommandChannels(dispatcher_in, self._start_upload_manager(nursery, starter))

    def _start_upload_manager(
        self, nursery: trio.Nursery, starter: ActorStarter
    ) -> trio.MemorySendChannel[UploadManagerInbox]:
        uploads_in, uploads_out = open_upload_manager_inbox()
        channels = (uploads_in.clone(), uploads_out, starter.dispatcher.clone(), self.broadcaster.clone())
        roots = self.config.uploads.roots
        nursery.start_soon(upload_manager.run, *channels, starter, self.journal, self.workers, roots)
        return uploads_in
