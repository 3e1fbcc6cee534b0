"""The dispatcher: spends the credits of every destination; the schedule decides, this actor only carries."""

import time
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress

import trio

from agent.messages import BroadcasterInbox, DispatcherInbox, Doubt, LaneMessage
from agent.rules.schedule import Schedule


async def run(
    inbox: trio.MemoryReceiveChannel[DispatcherInbox],
    lanes: Mapping[str, trio.MemorySendChannel[LaneMessage]],
    monitors: Mapping[str, trio.MemorySendChannel[Doubt]],
    broadcaster: trio.MemorySendChannel[BroadcasterInbox],
    schedule: Schedule,
) -> None:
    """Receive, ask the schedule, send. `lanes` and `monitors` by destination."""
    async with AsyncExitStack() as ends:
        for end in (inbox, broadcaster, *lanes.values(), *monitors.values()):
            await ends.enter_async_context(end)
        while True:
            message: DispatcherInbox | None = None
            effects = schedule.take()
            for fact in effects.facts:
                await broadcaster.send(fact)
            for destination, order in effects.orders:
                lanes[destination].send_nowait(order)  # credits: a lane cannot be full
            for destination, fault in effects.doubts:
                with suppress(trio.WouldBlock):  # never wait for a higher rank, which has one to look into
                    monitors[destination].send_nowait(Doubt(fault))
            with trio.move_on_at(schedule.due_s()):
                message = await inbox.receive()
            schedule.handle(message, trio.current_time(), time.time())
