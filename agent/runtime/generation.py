"""One generation of the house: every channel and every actor that a configuration asks for."""

import math
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
from agent.messages.copier_pool import CopierPoolInbox
from agent.messages.stability_tracker import TrackerInbox
from agent.messages.storage_monitor import ProbeNow
from agent.messages.upload_manager import UploadManagerInbox
from agent.messages.watcher import WatcherInbox
from agent.model.upload import UploadJob
from agent.worker_pool import WorkerPool

DISPATCHER_CAPACITY = 64
WATCHER_CAPACITY = 64


@frozen
class CommandChannels:
    """The ends on which the desk passes orders into a generation."""

    dispatcher: trio.MemorySendChannel[DispatcherInbox]
    uploads: trio.MemorySendChannel[UploadManagerInbox]


@define(eq=False)
class RouteWiring:
    """Sets up lanes and routes, those of the configuration and those of upload jobs.

    `mounts`: where each destination was mounted when it was last accepted. The routes of each destination are
    shared with its lane, so that one may join while the lane runs.
    """

    config: Config
    journal: JournalClient
    workers: WorkerPool
    inbox: trio.MemorySendChannel[DispatcherInbox]
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
        self._routes.setdefault(route.destination, {})[route.name] = route

    def remove_route(self, route: Route) -> None:
        del self._routes[route.destination][route.name]
        self._trackers.pop(route.name).close()

    def start_destination(self, nursery: trio.Nursery, plan: DestinationPlan) -> ConnectDestination:
        """The pool of copies and the monitor of a destination."""
        place = plan.destination
        # Each credit, to copy or to follow, may be out with its halt; one Halt for all and one Sweep on top.
        lane_in, lane_out = trio.open_memory_channel[CopierPoolInbox](4 * plan.workers + 2)
        doubts_in, doubts_out = trio.open_memory_channel[ProbeNow](1)
        routes = self._routes.setdefault(place, {})
        inbox, facts = self.inbox, self.broadcaster
        pool = copier_pool.CopierPool(
            plan, routes, self._trackers, self.journal, self.workers, inbox.clone(), facts.clone()
        )
        nursery.start_soon(copier_pool.run, lane_out, pool)
        reach = AvailabilityTracker(place, plan.marker is not None, plan.probe_s, self.mounts.get(place))
        nursery.start_soon(
            storage_monitor.run, doubts_out, inbox.clone(), plan, reach, self.journal, self.workers
        )
        return ConnectDestination(plan, lane_in, doubts_in)

    def watch(self, nursery: trio.Nursery, route: Route) -> None:
        """The watcher and the stability tracker of a route.

        An upload job has no listener: a hundred of them would be a hundred processes, and it scans anyway.
        """
        scans_in, scans_out = trio.open_memory_channel[TrackerInbox](0)
        watcher_in, watcher_out = trio.open_memory_channel[WatcherInbox](WATCHER_CAPACITY)
        self._trackers[route.name] = scans_in.clone()
        inbox, facts = self.inbox, self.broadcaster
        rule = StabilityTracker(route)
        looks, orders = watcher_in.clone(), inbox.clone()
        nursery.start_soon(stability_tracker.run, scans_out, looks, orders, facts.clone(), rule, self.journal)
        nursery.start_soon(
            watcher.run, watcher_out, scans_in, inbox.clone(), facts.clone(), route, self.workers
        )
        if route.upload_id is None:
            nursery.start_soon(watcher.watch_events, watcher_in, facts.clone(), route, self.workers)
        else:
            watcher_in.close()


@define(eq=False)
class Generation:
    """The wiring of one configuration; `start` brings its actors to life in the nursery it is given."""

    config: Config
    journal: JournalClient
    workers: WorkerPool
    broadcaster: trio.MemorySendChannel[BroadcasterInbox]

    async def start(self, nursery: trio.Nursery) -> CommandChannels:
        """Raises: JournalError."""
        config, journal = self.config, self.journal
        paused = await journal.write(routes.paused)
        schedule = Scheduler.start(config, paused, await journal.write(transfers.resume_points))
        inbox_in, inbox_out = trio.open_memory_channel[DispatcherInbox](DISPATCHER_CAPACITY)
        mounts = await journal.write(routes.mount_points)
        crew = RouteWiring(config, journal, self.workers, inbox_in.clone(), self.broadcaster, mounts)
        for job in await journal.write(uploads.needing_cleanup):
            if not job.state.is_end:
                crew.add_route(crew.route_of(job))  # before anything is swept
        await self.broadcaster.send(GenerationStarted(config.routes, time.time()))
        for route in config.routes:
            crew.add_route(route)
        lanes: dict[str, trio.MemorySendChannel[CopierPoolInbox]] = {}
        doubts: dict[str, trio.MemorySendChannel[ProbeNow]] = {}
        for plan in config.destinations():
            opened = crew.start_destination(nursery, plan)
            lanes[plan.destination], doubts[plan.destination] = opened.copier_pool, opened.storage_monitor
        for route in config.routes:
            crew.watch(nursery, route)
        nursery.start_soon(dispatcher.run, inbox_out, lanes, doubts, self.broadcaster.clone(), schedule)
        return CommandChannels(inbox_in, self._start_upload_manager(nursery, crew))

    def _start_upload_manager(
        self, nursery: trio.Nursery, crew: RouteWiring
    ) -> trio.MemorySendChannel[UploadManagerInbox]:
        # Without a bound: nobody may have to wait for the keeper, which only notes what it hears.
        uploads_in, uploads_out = trio.open_memory_channel[UploadManagerInbox](math.inf)
        ear, inbox, facts = uploads_in.clone(), crew.inbox.clone(), self.broadcaster.clone()
        roots = self.config.uploads.roots
        nursery.start_soon(
            upload_manager.run, ear, uploads_out, inbox, facts, crew, self.journal, self.workers, roots
        )
        return uploads_in
