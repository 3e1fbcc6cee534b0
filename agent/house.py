"""One generation of the house: every channel and every actor that a configuration asks for."""

import math
import time

import trio
from attrs import define, field, frozen

from agent.actors import copier, dispatcher, stability, storage_monitor, uploads, watcher
from agent.config import Config, DestinationPlan, Route, UploadRoute, upload_route
from agent.ledger import Ledger
from agent.messages import (
    BroadcasterInbox,
    DispatcherInbox,
    Doubt,
    GenerationStarted,
    LaneMessage,
    OpenLane,
    StabilityInbox,
    UploadsInbox,
    WatcherInbox,
)
from agent.rules.reach import Reach
from agent.rules.schedule import Schedule
from agent.rules.stability import StabilityRule
from agent.terms import UploadJob
from agent.workers import Workers

DISPATCHER_CAPACITY = 64
WATCHER_CAPACITY = 64


@frozen
class Doors:
    """The ends on which the desk passes orders into a generation."""

    dispatcher: trio.MemorySendChannel[DispatcherInbox]
    uploads: trio.MemorySendChannel[UploadsInbox]


@define(eq=False)
class Crew:
    """Sets up lanes and routes, those of the configuration and those of upload jobs.

    `mounts`: where each destination was mounted when it was last accepted. The routes of each destination are
    shared with its lane, so that one may join while the lane runs.
    """

    config: Config
    ledger: Ledger
    workers: Workers
    inbox: trio.MemorySendChannel[DispatcherInbox]
    broadcaster: trio.MemorySendChannel[BroadcasterInbox]
    mounts: dict[str, str]
    _routes: dict[str, dict[str, Route]] = field(factory=dict, init=False)

    def route_of(self, job: UploadJob) -> UploadRoute:
        return upload_route(job, self.config.uploads)

    def plan_of(self, route: UploadRoute) -> DestinationPlan:
        return self.config.plan([route])

    def hosts(self, destination: str) -> bool:
        return any(route.destination == destination for route in self.config.routes)

    def join(self, route: Route) -> None:
        self._routes.setdefault(route.destination, {})[route.name] = route

    def leave(self, route: Route) -> None:
        del self._routes[route.destination][route.name]

    def open_lane(self, nursery: trio.Nursery, plan: DestinationPlan) -> OpenLane:
        """The pool of copies and the monitor of a destination."""
        place = plan.destination
        # Each credit, to copy or to follow, may be out with its halt; one Halt for all and one Sweep on top.
        lane_in, lane_out = trio.open_memory_channel[LaneMessage](4 * plan.workers + 2)
        doubts_in, doubts_out = trio.open_memory_channel[Doubt](1)
        routes = self._routes.setdefault(place, {})
        inbox, facts = self.inbox, self.broadcaster
        pool = copier.Pool(plan, routes, self.ledger, self.workers, inbox.clone(), facts.clone())
        nursery.start_soon(copier.run, lane_out, pool)
        reach = Reach(place, plan.marker is not None, plan.probe_s, self.mounts.get(place))
        nursery.start_soon(
            storage_monitor.run, doubts_out, inbox.clone(), plan, reach, self.ledger, self.workers
        )
        return OpenLane(plan, lane_in, doubts_in)

    def watch(self, nursery: trio.Nursery, route: Route) -> None:
        """The watcher and the stability tracker of a route.

        An upload job has no listener: a hundred of them would be a hundred processes, and it scans anyway.
        """
        scans_in, scans_out = trio.open_memory_channel[StabilityInbox](0)
        watcher_in, watcher_out = trio.open_memory_channel[WatcherInbox](WATCHER_CAPACITY)
        inbox, facts = self.inbox, self.broadcaster
        rule = StabilityRule(route)
        looks, orders = watcher_in.clone(), inbox.clone()
        nursery.start_soon(stability.run, scans_out, looks, orders, facts.clone(), rule, self.ledger)
        nursery.start_soon(
            watcher.run, watcher_out, scans_in, inbox.clone(), facts.clone(), route, self.workers
        )
        if route.upload_id is None:
            nursery.start_soon(watcher.listen, watcher_in, facts.clone(), route, self.workers)
        else:
            watcher_in.close()


@define(eq=False)
class Generation:
    """The wiring of one configuration; `start` brings its actors to life in the nursery it is given."""

    config: Config
    ledger: Ledger
    workers: Workers
    broadcaster: trio.MemorySendChannel[BroadcasterInbox]

    async def start(self, nursery: trio.Nursery) -> Doors:
        """Raises: JournalError."""
        config, ledger = self.config, self.ledger
        schedule = Schedule.start(config, await ledger.paused(), await ledger.interim())
        inbox_in, inbox_out = trio.open_memory_channel[DispatcherInbox](DISPATCHER_CAPACITY)
        mounts = await ledger.mount_points()
        crew = Crew(config, ledger, self.workers, inbox_in.clone(), self.broadcaster, mounts)
        for job in await ledger.uploads.unclosed():
            if not job.state.is_end:
                crew.join(crew.route_of(job))  # before anything is swept
        await self.broadcaster.send(GenerationStarted(config.routes, time.time()))
        for route in config.routes:
            crew.join(route)
        lanes: dict[str, trio.MemorySendChannel[LaneMessage]] = {}
        doubts: dict[str, trio.MemorySendChannel[Doubt]] = {}
        for plan in config.destinations():
            opened = crew.open_lane(nursery, plan)
            lanes[plan.destination], doubts[plan.destination] = opened.lane, opened.doubts
        for route in config.routes:
            crew.watch(nursery, route)
        nursery.start_soon(dispatcher.run, inbox_out, lanes, doubts, self.broadcaster.clone(), schedule)
        return Doors(inbox_in, self._keep_uploads(nursery, crew))

    def _keep_uploads(self, nursery: trio.Nursery, crew: Crew) -> trio.MemorySendChannel[UploadsInbox]:
        # Without a bound: nobody may have to wait for the keeper, which only notes what it hears.
        uploads_in, uploads_out = trio.open_memory_channel[UploadsInbox](math.inf)
        ear, inbox, facts = uploads_in.clone(), crew.inbox.clone(), self.broadcaster.clone()
        roots = self.config.uploads.roots
        nursery.start_soon(
            uploads.run, ear, uploads_out, inbox, facts, crew, self.ledger, self.workers, roots
        )
        return uploads_in
