"""The dispatcher: spends the credits of every destination; the schedule decides, this actor only carries."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, suppress

import trio

from agent.actors.dispatcher.job_table import SchedulerEvent
from agent.actors.dispatcher.scheduler import Scheduler
from agent.messages.broadcaster import StatusChanged, StatusesChanged
from agent.messages.channels import BroadcasterInbox, ConnectDestination, DispatcherInbox
from agent.messages.copier_pool import CopierPoolInbox
from agent.messages.dispatcher import AddDestination, RemoveDestination
from agent.messages.storage_monitor import ProbeNow


async def run(
    inbox: trio.MemoryReceiveChannel[DispatcherInbox],
    lanes: Mapping[str, trio.MemorySendChannel[CopierPoolInbox]],
    monitors: Mapping[str, trio.MemorySendChannel[ProbeNow]],
    broadcaster: trio.MemorySendChannel[BroadcasterInbox],
    schedule: Scheduler,
) -> None:
    """Receive, ask the schedule, send. `lanes` and `monitors` by destination."""
    lanes, monitors = dict(lanes), dict(monitors)
    async with AsyncExitStack() as ends:
        for end in (inbox, broadcaster, *lanes.values(), *monitors.values()):
            await ends.enter_async_context(end)
        while True:
            effects = schedule.take()
            for fact in _grouped(effects.events):
                await broadcaster.send(fact)
            for destination, order in effects.commands:
                lanes[destination].send_nowait(order)  # credits: a lane cannot be full
            for destination, fault in effects.probe_requests:
                with suppress(trio.WouldBlock):  # never wait for a higher rank, which has one to look into
                    monitors[destination].send_nowait(ProbeNow(fault))
            message: DispatcherInbox | None = None
            with trio.move_on_at(schedule.due_s()):
                message = await inbox.receive()
            if isinstance(message, ConnectDestination):
                destination = message.plan.destination
                lanes[destination] = await ends.enter_async_context(message.copier_pool)
                monitors[destination] = await ends.enter_async_context(message.storage_monitor)
                message = AddDestination(message.plan)
            elif isinstance(message, RemoveDestination):
                await lanes.pop(message.destination).aclose()
                await monitors.pop(message.destination).aclose()
            schedule.handle(message, trio.current_time(), time.time())


def _grouped(facts: Iterable[SchedulerEvent]) -> Iterator[SchedulerEvent]:
    """What follows one upon the other about files is told at once."""
    moved: list[StatusChanged] = []
    for fact in facts:
        if isinstance(fact, StatusChanged):
            moved.append(fact)
            continue
        yield from _one_message(moved)
        moved = []
        yield fact
    yield from _one_message(moved)


def _one_message(moved: list[StatusChanged]) -> list[StatusChanged] | list[StatusesChanged]:
    return [StatusesChanged(tuple(moved))] if len(moved) > 1 else moved
