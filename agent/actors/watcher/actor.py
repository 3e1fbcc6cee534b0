"""The directory watcher of one route: the scan is the truth, hints only bring the next look forward."""

import time

import trio
from attrs import define, field

from agent.actors.watcher.scan_planner import ScanPlanner, ScanTask
from agent.actors.watcher.unreadable_folders import UnreadableChange, UnreadableFolders
from agent.config.sections import Route
from agent.log import get_logger
from agent.messages.broadcaster import CounterIncremented
from agent.messages.channels import BroadcasterInbox, DispatcherInbox
from agent.messages.dispatcher import SourceState
from agent.messages.stability_tracker import ScanChunk, ScanResult, TrackerInbox
from agent.messages.watcher import WatcherInbox, WatchEvent, WatchStatus
from agent.model.errors import Fault, FaultKind
from agent.model.source_file import UnreadableFolder
from agent.protocol.replies import Finished, PathsChanged, Reply, ScanBatch, ScanEnd
from agent.protocol.requests import (
    ExamineSource,
    ListSource,
    PrepareSource,
    Request,
    SourceFolder,
    WatchSource,
)
from agent.worker_pool import OnReply, R, StallTimeout, UnkillableWorkers, WorkerPool, ignore

log = get_logger(__name__)
WATCH_RETRY_S = 30.0


async def run(
    inbox: trio.MemoryReceiveChannel[WatcherInbox],
    scans: trio.MemorySendChannel[TrackerInbox],
    dispatcher: trio.MemorySendChannel[DispatcherInbox],
    broadcaster: trio.MemorySendChannel[BroadcasterInbox],
    route: Route,
    workers: WorkerPool,
) -> None:
    """Look when a look is due, and pass on what stands there, or that nothing can be seen."""
    # No event tells of growth, and nobody listens for an upload job.
    agenda = ScanPlanner(route.scan_s, rests=not route.growing and route.upload_id is None)
    eyes = SourceScanner(route, workers, scans)
    unreadable = UnreadableFolders()
    error = ""
    async with inbox, scans, dispatcher, broadcaster:
        if route.upload_id is None:
            await eyes.prepare()
        while True:
            with trio.move_on_at(agenda.due_s()):
                agenda.add(await inbox.receive())
            _take_all(inbox, agenda)
            task = agenda.next(trio.current_time())
            if task is None:
                continue
            began_s = trio.current_time()
            seen = await eyes.look(task)
            error = _report(route, seen if isinstance(seen, str) else "", error)
            if isinstance(seen, str):
                state = SourceState(route.name, seen, began_s, time.time())
                await broadcaster.send(state)
                await dispatcher.send(state)
                continue
            if task.paths is None:
                agenda.scanned(eyes.files, seen.ended_s)
                _report_folders(route, unreadable.scanned(seen.unreadable))
            await scans.send(seen)


def _report(route: Route, error: str, before: str) -> str:
    """Log a change; the error as of now."""
    if error and error != before:
        log.warning("source cannot be read", route=route.name, error=error)
    elif before and not error:
        log.info("source can be read again", route=route.name)
    return error


def _report_folders(route: Route, change: UnreadableChange) -> None:
    for each in change.begun:
        log.warning("folder cannot be read", route=route.name, folder=each.folder, error=each.reason)
    if change.more:
        log.warning("more folders cannot be read", route=route.name, folders=change.more)
    for folder in change.over:
        log.info("folder can be read again, or is gone", route=route.name, folder=folder)


def _report_watches(route: Route, complete: bool) -> None:
    if complete:
        log.info("events come from all of the source again", route=route.name)
    else:
        log.warning("too few watches for all folders of the source, scanning goes on", route=route.name)


async def watch_events(
    watcher: trio.MemorySendChannel[WatcherInbox],
    broadcaster: trio.MemorySendChannel[BroadcasterInbox],
    route: Route,
    workers: WorkerPool,
) -> None:
    """Pass the operating system's events on as hints, for as long as it gives any."""
    overflows, complete = 0, True

    async def hear(reply: Reply) -> None:
        nonlocal overflows, complete
        if not isinstance(reply, PathsChanged):
            return
        if reply.overflows > overflows:
            overflows = reply.overflows
            await broadcaster.send(CounterIncremented("watch_overflow", route.name))
        if reply.complete is not complete:
            complete = reply.complete
            _report_watches(route, complete)
            await watcher.send(WatchStatus(active=complete))
        await watcher.send(WatchEvent(reply.paths))

    async with watcher, broadcaster:
        while True:
            try:
                request = WatchSource(route.source)
                await workers.ask(request, Finished, stall_timeout_s=float("inf"), on_reply=hear)
            except Fault as fault:
                log.warning("no events from the source, scanning goes on", route=route.name, error=str(fault))
                overflows, complete = 0, True
                await watcher.send(WatchStatus(active=False))
                await trio.sleep(WATCH_RETRY_S)
                await watcher.send(WatchStatus(active=True))
            else:
                log.info("the source gives no events, scanning alone", route=route.name)
                await watcher.send(WatchStatus(active=False))
                return


def _take_all(inbox: trio.MemoryReceiveChannel[WatcherInbox], agenda: ScanPlanner) -> None:
    while True:
        try:
            agenda.add(inbox.receive_nowait())
        except trio.WouldBlock:
            return


@define(eq=False)
class SourceScanner:
    """Looks at one source through a worker; a source that does not answer is not asked again and again.

    A whole scan is passed on while it lasts: nobody ever holds all the files of a source at once. `files`:
    how many the last look has found.
    """

    _route: Route
    _workers: WorkerPool
    _scans: trio.MemorySendChannel[TrackerInbox]
    files: int = field(default=0, init=False)
    _stuck: UnkillableWorkers = field(factory=UnkillableWorkers, init=False)

    async def prepare(self) -> None:
        """A source that is missing at the start is made; one that goes later is a fault to be shown."""
        try:
            await self._ask(PrepareSource(self._route.source), Finished)
        except Fault as fault:
            log.warning("source cannot be made", route=self._route.name, error=str(fault))

    async def look(self, task: ScanTask) -> ScanResult | str:
        """What stands at the paths of the task, or the last part of what stands in all of the source.

        Else why that cannot be said; what has been passed on until then stood there all the same.
        """
        await self._stuck.wait_until_few()
        source = SourceFolder(self._route.source, self._route.include, self._route.exclude)
        request: ListSource | ExamineSource = ListSource(source)
        if task.paths is not None:
            request = ExamineSource(source, task.paths, task.closely)
        began_s = trio.current_time()
        self.files = 0

        async def hear(reply: Reply) -> None:
            await trio.lowlevel.checkpoint()
            if isinstance(reply, ScanBatch):
                self.files += len(reply.entries)
                await self._scans.send(ScanChunk(reply.entries, began_s, trio.current_time(), time.time()))

        try:
            end = await self._ask(request, ScanEnd, hear)
        except Fault as fault:
            return str(fault)
        self.files += len(end.entries)
        return ScanResult(
            entries=end.entries,
            began_s=began_s,
            ended_s=trio.current_time(),
            at=time.time(),
            free_bytes=end.free_bytes,
            examined=task.paths,
            unreadable=tuple(UnreadableFolder(*each) for each in end.unreadable),
        )

    async def _ask(self, request: Request, expected: type[R], on_reply: OnReply = ignore) -> R:
        """Raises: Fault: silence is one too."""
        timeout_s = self._route.stall_timeout_s
        try:
            return await self._workers.ask(request, expected, stall_timeout_s=timeout_s, on_reply=on_reply)
        except StallTimeout as silence:
            self._stuck.add(silence)
            detail = f"source: no answer within {timeout_s:g} s"
            raise Fault(FaultKind.SOURCE_OUTAGE, detail) from silence
