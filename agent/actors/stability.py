"""The stability tracker of one route: hears what stands in the source, says what is ready."""

import trio

from agent.messages import BroadcasterInbox, DispatcherInbox, Look, Several, StabilityInbox, WatcherInbox
from agent.rules.stability import StabilityRule

SAID_AT_ONCE = 250  # files; others want to do something in between


async def run(
    inbox: trio.MemoryReceiveChannel[StabilityInbox],
    watcher: trio.MemorySendChannel[WatcherInbox],
    dispatcher: trio.MemorySendChannel[DispatcherInbox],
    broadcaster: trio.MemorySendChannel[BroadcasterInbox],
    rule: StabilityRule,
) -> None:
    """Facts go out before orders, so that visitors never hear of a copy before they know the file."""
    async with inbox, watcher, dispatcher, broadcaster:
        while True:
            scan: StabilityInbox | None = None
            with trio.move_on_at(rule.due_s()):
                scan = await inbox.receive()
            if scan is not None:
                decisions = rule.scanned(scan)
                for fact in decisions.facts:
                    await broadcaster.send(fact)
                for start in range(0, len(decisions.orders), SAID_AT_ONCE):
                    some = decisions.orders[start : start + SAID_AT_ONCE]
                    await dispatcher.send(Several(some) if len(some) > 1 else some[0])
            paths = rule.looks(trio.current_time())
            if paths:
                try:
                    watcher.send_nowait(Look(paths))
                except trio.WouldBlock:
                    continue  # never wait for a higher rank; the rule asks again after the next scan
