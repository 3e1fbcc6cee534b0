"""The dispatcher: receives, lets the scheduler decide, sends what it decided."""

import time
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress

import trio
from attrs import define

from agent.actors.dispatcher.decisions import SchedulerDecisions
from agent.actors.dispatcher.scheduler import Scheduler
from agent.messages.channels import AskScheduler, BroadcasterInbox, ConnectDestination, DispatcherInbox, offer
from agent.messages.copier_pool import CopierPoolInbox
from agent.messages.dispatcher import AddDestination, RemoveDestination
from agent.messages.storage_monitor import ProbeNow


@define
class Outlets:
    """The channels that the dispatcher sends on; copier pools and storage monitors by destination."""

    copier_pools: dict[str, trio.MemorySendChannel[CopierPoolInbox]]
    monitors: dict[str, trio.MemorySendChannel[ProbeNow]]
    broadcaster: trio.MemorySendChannel[BroadcasterInbox]

    async def send(self, decisions: SchedulerDecisions) -> None:
        for event in decisions.grouped_events():
            await self.broadcaster.send(event)
        for destination, command in decisions.commands:
            self.copier_pools[destination].send_nowait(command)  # it has room for what all slots can get
        for destination, fault in decisions.probe_requests:
            with suppress(trio.WouldBlock):  # never wait for a higher rank; one request is pending there
                self.monitors[destination].send_nowait(ProbeNow(fault))

    async def remove(self, destination: str) -> None:
        await self.copier_pools.pop(destination).aclose()
        await self.monitors.pop(destination).aclose()


async def run(
    inbox: trio.MemoryReceiveChannel[DispatcherInbox],
    copier_pools: Mapping[str, trio.MemorySendChannel[CopierPoolInbox]],
    monitors: Mapping[str, trio.MemorySendChannel[ProbeNow]],
    broadcaster: trio.MemorySendChannel[BroadcasterInbox],
    scheduler: Scheduler,
) -> None:
    """Runs until it is cancelled. `copier_pools` and `monitors` by destination."""
    outlets = Outlets(dict(copier_pools), dict(monitors), broadcaster)
    async with AsyncExitStack() as ends:
        for end in (inbox, broadcaster, *copier_pools.values(), *monitors.values()):
            await ends.enter_async_context(end)
        await outlets.send(scheduler.take())
        while True:
            message: DispatcherInbox | None = None
            with trio.move_on_at(scheduler.due_s()):
                message = await inbox.receive()
            if isinstance(message, AskScheduler):
                result = scheduler.execute(message.command, trio.current_time(), time.time())
                await outlets.send(scheduler.take())
                offer(message.answer, result)  # last, so that a snapshot that is asked for next shows it all
                continue
            if isinstance(message, ConnectDestination):
                destination = message.plan.destination
                outlets.copier_pools[destination] = await ends.enter_async_context(message.copier_pool)
                outlets.monitors[destination] = await ends.enter_async_context(message.storage_monitor)
                message = AddDestination(message.plan)
            elif isinstance(message, RemoveDestination):
                await outlets.remove(message.destination)
            scheduler.handle(message, trio.current_time(), time.time())
            await outlets.send(scheduler.take())
