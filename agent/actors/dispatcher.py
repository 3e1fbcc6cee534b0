"""The dispatcher: spends the credits of every destination; the schedule decides, this actor only carries."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, suppress

import trio

from agent.messages import (
    BroadcasterInbox,
    CloseLane,
    DispatcherInbox,
    Doubt,
    LaneMessage,
    Moved,
    Moves,
    OpenLane,
)
from agent.rules.roster import Fact
from agent.rules.schedule import Schedule


async def run(
    inbox: trio.MemoryReceiveChannel[DispatcherInbox],
    lanes: Mapping[str, trio.MemorySendChannel[LaneMessage]],
    monitors: Mapping[str, trio.MemorySendChannel[Doubt]],
    broadcaster: trio.MemorySendChannel[BroadcasterInbox],
    schedule: Schedule,
) -> None:
    """Receive, ask the schedule, send. `lanes` and `monitors` by destination."""
    lanes, monitors = dict(lanes), dict(monitors)
    async with AsyncExitStack() as ends:
        for end in (inbox, broadcaster, *lanes.values(), *monitors.values()):
            await ends.enter_async_context(end)
        while True:
            effects = schedule.take()
            for fact in _together(effects.facts):
                await broadcaster.send(fact)
            for destination, order in effects.orders:
                lanes[destination].send_nowait(order)  # credits: a lane cannot be full
            for destination, fault in effects.doubts:
                with suppress(trio.WouldBlock):  # never wait for a higher rank, which has one to look into
                    monitors[destination].send_nowait(Doubt(fault))
            message: DispatcherInbox | None = None
            with trio.move_on_at(schedule.due_s()):
                message = await inbox.receive()
            if isinstance(message, OpenLane):
                place = message.plan.destination
                lanes[place] = await ends.enter_async_context(message.lane)
                monitors[place] = await ends.enter_async_context(message.doubts)
            elif isinstance(message, CloseLane):
                await lanes.pop(message.destination).aclose()
                await monitors.pop(message.destination).aclose()
            schedule.handle(message, trio.current_time(), time.time())


def _together(facts: Iterable[Fact]) -> Iterator[Fact]:
    """What follows one upon the other about files is told at once."""
    moved: list[Moved] = []
    for fact in facts:
        if isinstance(fact, Moved):
            moved.append(fact)
            continue
        yield from _as_one(moved)
        moved = []
        yield fact
    yield from _as_one(moved)


def _as_one(moved: list[Moved]) -> list[Moved] | list[Moves]:
    return [Moves(tuple(moved))] if len(moved) > 1 else moved
