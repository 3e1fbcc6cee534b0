"""The directory watcher of one route: the scan is the truth, hints only bring the next look forward."""

import time

import trio

from agent.config import Route
from agent.faults import Fault
from agent.log import get_logger
from agent.messages import BroadcasterInbox, Counted, Hint, Scan, SourceState, WatcherInbox
from agent.protocol import (
    ExamineSource,
    Finished,
    Listed,
    ListenToSource,
    ListingEnd,
    ListSource,
    PrepareSource,
    Reply,
    SourceFolder,
    Touched,
)
from agent.rules.agenda import Agenda, Task
from agent.rules.unreadable import Change, UnreadableFolders
from agent.terms import Entry, Unreadable
from agent.workers import Workers

log = get_logger(__name__)
LISTEN_AGAIN_S = 30.0


async def run(
    inbox: trio.MemoryReceiveChannel[WatcherInbox],
    scans: trio.MemorySendChannel[Scan],
    broadcaster: trio.MemorySendChannel[BroadcasterInbox],
    route: Route,
    workers: Workers,
) -> None:
    """Look when a look is due, and pass on what stands there."""
    agenda = Agenda(route.scan_s)
    unreadable = UnreadableFolders()
    error: str | None = None
    async with inbox, scans, broadcaster:
        await _prepare(route, workers)
        while True:
            with trio.move_on_at(agenda.due_s()):
                agenda.add(await inbox.receive())
            _take_all(inbox, agenda)
            task = agenda.next(trio.current_time())
            if task is None:
                continue
            try:
                scan = await _look(route, workers, task)
            except (Fault, trio.TooSlowError) as fault:
                trouble = str(fault) or f"source: no answer within {route.stall_timeout_s:g} s"
                if trouble != error:
                    log.warning("source cannot be read", route=route.name, error=trouble)
                error = trouble
                await broadcaster.send(SourceState(route.name, error, None, time.time()))
                continue
            error = None
            if scan.looked is None:
                _report(route, unreadable.scanned(scan.unseen))
            await scans.send(scan)


def _report(route: Route, change: Change) -> None:
    for each in change.begun:
        log.warning("folder cannot be read", route=route.name, folder=each.folder, error=each.reason)
    if change.more:
        log.warning("more folders cannot be read", route=route.name, folders=change.more)
    for folder in change.over:
        log.info("folder can be read again, or is gone", route=route.name, folder=folder)


async def _prepare(route: Route, workers: Workers) -> None:
    """A source that is missing at the start is made; one that goes later is a fault to be shown."""
    try:
        await workers.ask(PrepareSource(route.source), Finished, silence_s=route.stall_timeout_s)
    except (Fault, trio.TooSlowError) as error:
        log.warning("source cannot be made", route=route.name, error=str(error))


async def listen(
    watcher: trio.MemorySendChannel[WatcherInbox],
    broadcaster: trio.MemorySendChannel[BroadcasterInbox],
    route: Route,
    workers: Workers,
) -> None:
    """Pass the operating system's events on as hints, for as long as it gives any."""
    overflows = 0

    async def hear(reply: Reply) -> None:
        nonlocal overflows
        if not isinstance(reply, Touched):
            return
        if reply.overflows > overflows:
            overflows = reply.overflows
            await broadcaster.send(Counted("watch_overflow", route.name))
        await watcher.send(Hint(reply.paths))

    async with watcher, broadcaster:
        while True:
            try:
                request = ListenToSource(route.source)
                await workers.ask(request, Finished, silence_s=float("inf"), on_reply=hear)
            except Fault as fault:
                log.warning("no events from the source, scanning goes on", route=route.name, error=str(fault))
                overflows = 0
                await trio.sleep(LISTEN_AGAIN_S)
            else:
                log.info("the source gives no events, scanning alone", route=route.name)
                return


def _take_all(inbox: trio.MemoryReceiveChannel[WatcherInbox], agenda: Agenda) -> None:
    while True:
        try:
            agenda.add(inbox.receive_nowait())
        except trio.WouldBlock:
            return


async def _look(route: Route, workers: Workers, task: Task) -> Scan:
    """What stands in the source, or at the paths of the task.

    Raises:
        Fault: the source cannot be read. trio.TooSlowError: it does not answer.
    """
    source = SourceFolder(route.source, route.include, route.exclude)
    request = ListSource(source) if task.paths is None else ExamineSource(source, task.paths, task.closely)
    entries: list[Entry] = []

    async def hear(reply: Reply) -> None:
        await trio.lowlevel.checkpoint()
        if isinstance(reply, Listed):
            entries.extend(reply.entries)

    began_s = trio.current_time()
    end = await workers.ask(request, ListingEnd, silence_s=route.stall_timeout_s, on_reply=hear)
    entries.extend(end.entries)
    return Scan(
        entries=tuple(entries),
        began_s=began_s,
        ended_s=trio.current_time(),
        at=time.time(),
        free_bytes=end.free_bytes,
        looked=task.paths,
        unseen=tuple(Unreadable(*each) for each in end.unseen),
    )
