"""The stability tracker of one route: hears what stands in the source, says what is ready."""

from collections.abc import Iterable

import trio
from attrs import evolve

from agent.ledger import Ledger
from agent.log import get_logger
from agent.messages import (
    BroadcasterInbox,
    DispatcherInbox,
    Gone,
    Growing,
    Look,
    Ready,
    Several,
    StabilityInbox,
    WatcherInbox,
)
from agent.rules.stability import StabilityRule
from agent.stores.journal import JournalError
from agent.terms import Settled

log = get_logger(__name__)
READ_AGAIN_S = 1.0
Order = Ready | Growing | Gone

SAID_AT_ONCE = 250  # files; others want to do something in between


async def run(
    inbox: trio.MemoryReceiveChannel[StabilityInbox],
    watcher: trio.MemorySendChannel[WatcherInbox],
    dispatcher: trio.MemorySendChannel[DispatcherInbox],
    broadcaster: trio.MemorySendChannel[BroadcasterInbox],
    rule: StabilityRule,
    ledger: Ledger,
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
                orders = await _with_memories(rule.route.name, decisions.orders, ledger)
                for start in range(0, len(orders), SAID_AT_ONCE):
                    some = tuple(orders[start : start + SAID_AT_ONCE])
                    await dispatcher.send(Several(some) if len(some) > 1 else some[0])
            paths = await _due(rule)
            if paths:
                try:
                    watcher.send_nowait(Look(paths))
                except trio.WouldBlock:
                    continue  # never wait for a higher rank; the rule asks again after the next scan


async def _due(rule: StabilityRule) -> tuple[str, ...]:
    """The files to examine now; where they are many, others have their turns in between."""
    now_s = trio.current_time()
    due: list[str] = []
    while some := rule.looks(now_s):
        due += some
        await trio.lowlevel.checkpoint()
    return tuple(due)


async def _with_memories(route: str, orders: Iterable[Order], ledger: Ledger) -> list[Order]:
    """With what the journal knows of the files that are ready: without that nothing may be moved."""
    ready = tuple(order.file.path for order in orders if isinstance(order, Ready))
    known = await _known(route, ready, ledger)
    return [
        evolve(order, memory=known.get(order.file.path)) if isinstance(order, Ready) else order
        for order in orders
    ]


async def _known(route: str, paths: tuple[str, ...], ledger: Ledger) -> dict[str, Settled]:
    said = False
    while paths:
        try:
            return {each.path: each for each in await ledger.settled(route, paths)}
        except JournalError as error:
            if not said:
                log.warning("the journal cannot be read, files wait", route=route, error=str(error))
            said = True
            await trio.sleep(READ_AGAIN_S)
    return {}
