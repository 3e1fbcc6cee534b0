"""One generation of the house: every channel and every actor that a configuration asks for."""

import time

import trio
from attrs import define

from agent.actors import copier, dispatcher, stability, storage_monitor, watcher
from agent.config import Config, DestinationPlan, Route
from agent.ledger import Ledger
from agent.messages import (
    BroadcasterInbox,
    DispatcherInbox,
    Doubt,
    GenerationStarted,
    LaneMessage,
    StabilityInbox,
    WatcherInbox,
)
from agent.rules.reach import Reach
from agent.rules.schedule import Schedule
from agent.rules.stability import StabilityRule
from agent.workers import Workers

DISPATCHER_CAPACITY = 64
WATCHER_CAPACITY = 64


@define(eq=False)
class Generation:
    """The wiring of one configuration; `start` brings its actors to life in the nursery it is given."""

    config: Config
    ledger: Ledger
    workers: Workers
    broadcaster: trio.MemorySendChannel[BroadcasterInbox]

    async def start(self, nursery: trio.Nursery) -> trio.MemorySendChannel[DispatcherInbox]:
        """Returns the end on which the desk sends commands. Raises: JournalError."""
        config, ledger = self.config, self.ledger
        memory = (await ledger.paused(), await ledger.settled(), await ledger.interim())
        schedule = Schedule.start(config, *memory)
        mounts = await ledger.mount_points()
        await self.broadcaster.send(GenerationStarted(config.routes, time.time()))
        inbox_in, inbox_out = trio.open_memory_channel[DispatcherInbox](DISPATCHER_CAPACITY)
        lanes: dict[str, trio.MemorySendChannel[LaneMessage]] = {}
        doubts: dict[str, trio.MemorySendChannel[Doubt]] = {}
        for plan in config.destinations():
            place = plan.destination
            lanes[place] = self._open_lane(nursery, plan, inbox_in)
            reach = Reach(place, plan.marker is not None, plan.probe_s, mounts.get(place))
            doubts[place], doubts_out = trio.open_memory_channel[Doubt](1)
            nursery.start_soon(
                storage_monitor.run, doubts_out, inbox_in.clone(), plan, reach, ledger, self.workers
            )
        for route in config.routes:
            self._open_route(nursery, route, inbox_in)
        nursery.start_soon(dispatcher.run, inbox_out, lanes, doubts, self._clone(), schedule)
        return inbox_in

    def _open_lane(
        self, nursery: trio.Nursery, plan: DestinationPlan, inbox: trio.MemorySendChannel[DispatcherInbox]
    ) -> trio.MemorySendChannel[LaneMessage]:
        # Each credit, to copy or to follow, may be out with its halt; one Halt for all and one Sweep on top.
        lane_in, lane_out = trio.open_memory_channel[LaneMessage](4 * plan.workers + 2)
        routes = {route.name: route for route in self.config.routes if route.name in plan.routes}
        pool = copier.Pool(plan, routes, self.ledger, self.workers, inbox.clone(), self._clone())
        nursery.start_soon(copier.run, lane_out, pool)
        return lane_in

    def _open_route(
        self, nursery: trio.Nursery, route: Route, inbox: trio.MemorySendChannel[DispatcherInbox]
    ) -> None:
        scans_in, scans_out = trio.open_memory_channel[StabilityInbox](0)
        watcher_in, watcher_out = trio.open_memory_channel[WatcherInbox](WATCHER_CAPACITY)
        rule = StabilityRule(route)
        nursery.start_soon(stability.run, scans_out, watcher_in.clone(), inbox.clone(), self._clone(), rule)
        nursery.start_soon(watcher.listen, watcher_in, self._clone(), route, self.workers)
        nursery.start_soon(
            watcher.run, watcher_out, scans_in, inbox.clone(), self._clone(), route, self.workers
        )

    def _clone(self) -> trio.MemorySendChannel[BroadcasterInbox]:
        return self.broadcaster.clone()
