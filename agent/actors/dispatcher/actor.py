"""The dispatcher: receives, lets the scheduler decide, sends what it decided."""

import time
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress

import trio

from agent.actors.dispatcher.decisions import SchedulerDecisions
from agent.actors.dispatcher.scheduler import Scheduler
from agent.messages.channels import AskScheduler, BroadcasterInbox, ConnectDestination, DispatcherInbox
from agent.messages.copier_pool import CopierPoolInbox
from agent.messages.dispatcher import AddDestination, CommandResult, RemoveDestination
from agent.messages.storage_monitor import ProbeNow


async def run(
    inbox: trio.MemoryReceiveChannel[DispatcherInbox],
    copier_pools: Mapping[str, trio.MemorySendChannel[CopierPoolInbox]],
    monitors: Mapping[str, trio.MemorySendChannel[ProbeNow]],
    broadcaster: trio.MemorySendChannel[BroadcasterInbox],
    scheduler: Scheduler,
) -> None:
    """Runs until it is cancelled. `copier_pools` and `monitors` by destination."""
    pools, monitors = dict(copier_pools), dict(monitors)

    async def send(decisions: SchedulerDecisions) -> None:
        for event in decisions.grouped_events():
            await broadcaster.send(event)
        for destination, command in decisions.commands:
            pools[destination].send_nowait(command)  # it has room for what all slots can get
        for destination, fault in decisions.probe_requests:
            with suppress(trio.WouldBlock):  # never wait for a higher rank; one request is pending there
                monitors[destination].send_nowait(ProbeNow(fault))

    async with AsyncExitStack() as ends:
        for end in (inbox, broadcaster, *pools.values(), *monitors.values()):
            await ends.enter_async_context(end)
        await send(scheduler.take())
        while True:
            message: DispatcherInbox | None = None
            with trio.move_on_at(scheduler.due_s()):
                message = await inbox.receive()
            if isinstance(message, AskScheduler):
                result = scheduler.execute(message.command, trio.current_time(), time.time())
                await send(scheduler.take())
                _answer(message, result)
                continue
            if isinstance(message, ConnectDestination):
                destination = message.plan.destination
                pools[destination] = await ends.enter_async_context(message.copier_pool)
                monitors[destination] = await ends.enter_async_context(message.storage_monitor)
                message = AddDestination(message.plan)
            elif isinstance(message, RemoveDestination):
                await pools.pop(message.destination).aclose()
                await monitors.pop(message.destination).aclose()
            scheduler.handle(message, trio.current_time(), time.time())
            await send(scheduler.take())


def _answer(asked: AskScheduler, result: CommandResult) -> None:
    """After the status changes, so that a snapshot that is asked for next shows them."""
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError, trio.WouldBlock):  # the client has left
        asked.answer.send_nowait(result)
