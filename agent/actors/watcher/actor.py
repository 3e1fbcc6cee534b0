"""The directory watcher of one route: scans find everything, events only make the next one come earlier."""

import time
from collections.abc import Iterable
from contextlib import suppress

import trio
from attrs import define, evolve, field

from agent.actors.watcher.scan_planner import ScanPlanner, ScanTask
from agent.actors.watcher.unreadable_folders import UnreadableChange, UnreadableFolders
from agent.config.sections import Route
from agent.journal import routes
from agent.journal.client import JournalClient
from agent.journal.errors import JournalError
from agent.log import get_logger
from agent.messages.broadcaster import CounterIncremented
from agent.messages.channels import BroadcasterInbox, DispatcherInbox
from agent.messages.dispatcher import SourceState
from agent.messages.stability_tracker import FoldersTried, ScanChunk, ScanResult, TrackerInbox
from agent.messages.watcher import WatcherInbox, WatchEvent, WatchStatus
from agent.model.errors import Fault, FaultKind
from agent.model.names import REMOVING, has_our_tag
from agent.model.source_file import ScannedFile, UnreadableFolder
from agent.protocol.replies import (
    Examining,
    Finished,
    FoldersRemoved,
    PathsChanged,
    Reply,
    ScanEnd,
    ScanPart,
    SourcePrepared,
    SourcesPutBack,
)
from agent.protocol.requests import (
    ExamineSource,
    ListSource,
    PrepareSource,
    PutBackSources,
    RemoveEmptyFolders,
    Request,
    SourceFolder,
    SourceMount,
    WatchSource,
)
from agent.worker_pool import OnReply, R, StallTimeout, UnkillableWorkers, WorkerPool, ignore

log = get_logger(__name__)
WATCH_RETRY_S = 30.0
BRIEFLY_S = 5.0


async def run(
    inbox: trio.MemoryReceiveChannel[WatcherInbox],
    tracker: trio.MemorySendChannel[TrackerInbox],
    dispatcher: trio.MemorySendChannel[DispatcherInbox],
    broadcaster: trio.MemorySendChannel[BroadcasterInbox],
    route: Route,
    identity: str,
    workers: WorkerPool,
    journal: JournalClient,
    mounts: dict[str, str],
) -> None:
    """Scan or examine whenever that is due, and report what is there or why the source cannot be read.

    `mounts`: where each source was mounted when it was last accepted.
    """
    # Growth causes no event, and an upload job has no listener.
    planner = ScanPlanner(route.scan_s, rests=not route.growing and route.upload_id is None)
    mount = RememberedMount(route, journal, mounts)
    scanner = SourceScanner(route, identity, mount, workers, tracker)
    failures = SourceFailures(route.name, dispatcher, broadcaster)
    folders = UnreadableFolders()
    async with inbox, tracker, dispatcher, broadcaster:
        if route.upload_id is None and mount.is_first_start:
            await scanner.prepare()
        while True:
            task = await _next_task(inbox, planner)
            if task.empty_folders:
                await scanner.remove_folders(task.empty_folders)
                continue
            if task.private_paths:
                await scanner.put_back(task.private_paths)
            began_s = trio.current_time()
            try:
                result = await scanner.scan(task)
            except Fault:
                continue  # this machine is short of resources, which says nothing about the source
            await failures.report(result if isinstance(result, str) else None, began_s)
            if isinstance(result, str):
                continue
            planner.examined(task, scanner.left, scanner.suspect)
            for path in result.hung:
                log.warning("file does not answer, set aside", route=route.name, file=path)
            if task.paths is None:
                planner.scanned(scanner.files, result.ended_s)
                _report_folders(route, folders.scanned(result.unreadable))
            await tracker.send(result)


@define(eq=False)
class SourceFailures:
    """Reports every failure to read a source, and logs when failures begin and when they are over."""

    _route: str
    _dispatcher: trio.MemorySendChannel[DispatcherInbox]
    _broadcaster: trio.MemorySendChannel[BroadcasterInbox]
    _error: str | None = field(default=None, init=False)

    async def report(self, error: str | None, began_s: float) -> None:
        """`error` of the scan or examination that began then; None: the tracker reports its result."""
        if error is not None and error != self._error:
            log.warning("source cannot be read", route=self._route, error=error)
        elif error is None and self._error is not None:
            log.info("source can be read again", route=self._route)
        self._error = error
        if error is not None:
            state = SourceState(self._route, error, began_s, time.time())
            await self._broadcaster.send(state)
            await self._dispatcher.send(state)


def _report_folders(route: Route, change: UnreadableChange) -> None:
    for each in change.begun:
        log.warning("folder cannot be read", route=route.name, folder=each.folder, error=each.reason)
    if change.more:
        log.warning("more folders cannot be read", route=route.name, folders=change.more)
    for folder in change.over:
        log.info("folder can be read again, or is gone", route=route.name, folder=folder)


async def watch_events(
    watcher: trio.MemorySendChannel[WatcherInbox],
    broadcaster: trio.MemorySendChannel[BroadcasterInbox],
    route: Route,
    identity: str,
    workers: WorkerPool,
) -> None:
    """Pass on the operating system's events about the source, as long as it gives any."""
    async with watcher, broadcaster:
        while True:
            listener = EventListener(route.name, identity, watcher, broadcaster)
            try:
                request = WatchSource(route.source)
                await workers.ask(request, Finished, stall_timeout_s=float("inf"), on_reply=listener.on_reply)
            except Fault as fault:
                write = log.debug if fault.kind is FaultKind.SHORTAGE else log.warning
                write("no events from the source, scanning goes on", route=route.name, error=str(fault))
                await watcher.send(WatchStatus(active=False))
                await trio.sleep(WATCH_RETRY_S)
                await watcher.send(WatchStatus(active=True))
            else:
                log.info("the source gives no events, scanning alone", route=route.name)
                await watcher.send(WatchStatus(active=False))
                return


@define(eq=False)
class EventListener:
    """Turns the replies of one worker that watches a source into messages."""

    _route: str
    _identity: str
    _watcher: trio.MemorySendChannel[WatcherInbox]
    _broadcaster: trio.MemorySendChannel[BroadcasterInbox]
    _overflows: int = field(default=0, init=False)
    _complete: bool = field(default=True, init=False)

    async def on_reply(self, reply: Reply) -> None:
        if not isinstance(reply, PathsChanged):
            return
        if reply.overflows > self._overflows:
            self._overflows = reply.overflows
            await self._broadcaster.send(CounterIncremented("watch_overflow", self._route))
        if reply.complete is not self._complete:
            self._complete = reply.complete
            self._log_complete()
            await self._watcher.send(WatchStatus(active=reply.complete))
        # Those of our own removals concern nobody; no path at all asks for a scan.
        paths = tuple(path for path in reply.paths if not has_our_tag(self._identity, path, REMOVING))
        if paths or not reply.paths:
            await self._watcher.send(WatchEvent(paths, reply.closed))

    def _log_complete(self) -> None:
        if self._complete:
            log.info("events come from all of the source again", route=self._route)
        else:
            log.warning("too few watches for all folders of the source, scanning goes on", route=self._route)


async def _next_task(inbox: trio.MemoryReceiveChannel[WatcherInbox], planner: ScanPlanner) -> ScanTask:
    """Wait until a task is due; it covers all messages that have arrived until then."""
    while True:
        with trio.move_on_at(planner.due_s()):
            planner.add(await inbox.receive())
        with suppress(trio.WouldBlock):
            while True:
                planner.add(inbox.receive_nowait())
        task = planner.next(trio.current_time())
        if task is not None:
            return task


@define(eq=False)
class RememberedMount:
    """Where the source was mounted when it was last accepted: in the journal too, unless an upload job's."""

    _route: Route
    _journal: JournalClient
    _mounts: dict[str, str]
    _journaled: str | None = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._journaled = self._mounts.get(self._route.source)

    @property
    def is_first_start(self) -> bool:
        """Whether the source was never accepted, and has no marker that a new folder would lack."""
        return self._route.source not in self._mounts and self._route.source_marker is None

    @property
    def expected(self) -> SourceMount:
        return SourceMount(self._mounts.get(self._route.source), self._route.source_marker)

    async def accept(self, mount_point: str) -> None:
        """The source was scanned there. What cannot be journaled now is tried again after the next scan."""
        self._mounts[self._route.source] = mount_point
        if self._route.upload_id is not None or self._journaled == mount_point:
            return
        try:
            await self._journal.write(routes.remember_mount, self._route.source, mount_point)
        except JournalError as error:
            log.debug("mount not remembered", route=self._route.name, error=str(error))
        else:
            self._journaled = mount_point


@define(eq=False)
class Examination:
    """What is known of an examination while it runs. `current`: the file that is being examined."""

    paths: tuple[str, ...]
    current: str | None = field(default=None, init=False)
    entries: list[ScannedFile] = field(factory=list, init=False)
    unreadable: list[tuple[str, str]] = field(factory=list, init=False)

    async def on_reply(self, reply: Reply) -> None:
        await trio.lowlevel.checkpoint()
        if isinstance(reply, Examining):
            self.current = reply.path
            self.add(reply)

    def add(self, reply: Examining | ScanEnd) -> None:
        self.entries += reply.entries
        self.unreadable += reply.unreadable

    @property
    def unfinished(self) -> tuple[str, ...]:
        """The current path and those after it."""
        return self.paths if self.current is None else self.paths[self.paths.index(self.current) :]


def _result(
    entries: Iterable[ScannedFile], unreadable: Iterable[tuple[str, str]], began_s: float, free_bytes: int
) -> ScanResult:
    return ScanResult(
        entries=tuple(entries),
        began_s=began_s,
        ended_s=trio.current_time(),
        at=time.time(),
        free_bytes=free_bytes,
        unreadable=tuple(UnreadableFolder(*each) for each in unreadable),
    )


@define(eq=False)
class SourceScanner:
    """Scans one source through a worker; while stuck workers pile up, no further one is asked.

    A whole scan is passed on in parts, so that nobody ever holds all files of a source at once. `files`: how
    many the last scan found. `_closed`: not passed on yet. After an examination, `left`: paths whose turn
    comes again; `suspect`: the one that hung.
    """

    _route: Route
    _identity: str
    _mount: RememberedMount
    _workers: WorkerPool
    _tracker: trio.MemorySendChannel[TrackerInbox]
    files: int = field(default=0, init=False)
    _closed: tuple[ScannedFile, ...] = field(default=(), init=False)
    left: tuple[str, ...] = field(default=(), init=False)
    suspect: str | None = field(default=None, init=False)
    _may_remove: bool = field(default=True, init=False)
    _is_slow: bool = field(default=False, init=False)  # the source itself took longer than `BRIEFLY_S`
    _stuck: UnkillableWorkers = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._stuck = UnkillableWorkers(self._route.source)

    async def prepare(self) -> None:
        """Make a source that is missing at the very first start; later that is a fault."""
        route = self._route
        try:
            prepared = await self._ask(PrepareSource(route.source), SourcePrepared)
        except Fault as fault:
            log.warning("source folder not created", route=route.name, error=str(fault))
            return
        if prepared.created:
            log.warning("source folder was missing and is created", route=route.name, folder=route.source)

    def _warn_of_removal(self, *, may_remove: bool) -> None:
        """Warn when it begins that delivered files will stay."""
        route = self._route
        if self._may_remove and not may_remove and route.after != "keep":
            why = (
                f"this user may not remove files from {route.source}: they will be delivered and stay; "
                f'grant that, or set after = "keep"'
            )
            log.warning("sources cannot be removed", route=route.name, detail=why)
        self._may_remove = may_remove

    async def put_back(self, private_paths: tuple[str, ...]) -> None:
        """What cannot be put back now is found again by the next scan."""
        try:
            done = await self._ask(PutBackSources(self._route.source, private_paths), SourcesPutBack)
        except Fault as fault:
            log.warning("interrupted removal cannot be undone", route=self._route.name, error=str(fault))
            return
        for path in done.paths:
            log.warning("interrupted removal undone", route=self._route.name, file=path)

    async def remove_folders(self, folders: tuple[str, ...]) -> None:
        """Remove those that are empty. What cannot be tried now is due again after the next scan."""
        began_s, route = trio.current_time(), self._route
        request = RemoveEmptyFolders(route.source, folders, self._mount.expected)
        try:
            done = await self._ask(request, FoldersRemoved)
        except Fault as fault:
            log.debug("empty folders not removed", route=route.name, error=str(fault))
            return
        for folder in done.folders:
            log.info("folder removed", route=route.name, folder=folder)
        await self._tracker.send(FoldersTried(folders, done.folders, began_s, trio.current_time()))

    async def scan(self, task: ScanTask) -> ScanResult | str:
        """The files at the paths of the task, or the last part of a scan of the whole source.

        A string says why the source cannot be read; the parts that were passed on before are still valid.

        Raises:
            Fault: SHORTAGE: this machine lacks something, so the source could not even be asked.
        """
        await self._stuck.wait_until_few()
        self.files, self.left, self.suspect = 0, (), None
        self._closed += task.closed
        try:
            if task.paths is None:
                return await self._list()
            return await self._examine(task, task.paths)
        except Fault as fault:
            if fault.kind is FaultKind.SHORTAGE:
                raise
            return str(fault)

    async def _list(self) -> ScanResult:
        began_s = trio.current_time()

        async def pass_on(reply: Reply) -> None:
            await trio.lowlevel.checkpoint()
            if isinstance(reply, ScanPart):
                self.files += len(reply.entries)
                now_s, closed = trio.current_time(), self._take_closed()
                await self._tracker.send(ScanChunk(reply.entries, began_s, now_s, time.time(), closed))

        end = await self._ask(ListSource(self._source), ScanEnd, pass_on)
        await self._mount.accept(end.mount_point)
        self._warn_of_removal(may_remove=end.may_remove)
        self.files += len(end.entries)
        result = _result(end.entries, end.unreadable, began_s, end.free_bytes)
        return evolve(result, closed=self._take_closed(), private_paths=end.private_paths)

    async def _examine(self, task: ScanTask, paths: tuple[str, ...]) -> ScanResult:
        """As far as it goes in time. A file that hangs while the source answers is set aside.

        The first time it hangs the others wait for it only briefly, and it is examined again, alone.
        """
        began_s, examination = trio.current_time(), Examination(paths)
        longest_s, is_patient = self._route.stall_timeout_s, task.is_patient or self._is_slow
        timeout_s = longest_s if is_patient else min(BRIEFLY_S, longest_s)
        request, hung = ExamineSource(self._source, paths, task.closely), False
        try:
            end = await self._workers.ask(
                request, ScanEnd, stall_timeout_s=timeout_s, on_reply=examination.on_reply
            )
        except StallTimeout as stall:
            self._stuck.add(stall)
            end = await self._ask(ExamineSource(self._source, (), frozenset()), ScanEnd)
            self.suspect, hung = examination.current, timeout_s == longest_s
            self._is_slow = examination.current is None
            self.left = examination.unfinished[1:] if hung else examination.unfinished
        else:
            self._is_slow = False
            examination.add(end)
            self.left = end.left
        done = frozenset(paths).difference(self.left, () if self.suspect is None else (self.suspect,))
        result = _result(examination.entries, examination.unreadable, began_s, end.free_bytes)
        hung_paths = (self.suspect,) if hung and self.suspect is not None else ()
        return evolve(result, examined=tuple(done), hung=hung_paths, closed=self._take_closed())

    def _take_closed(self) -> tuple[ScannedFile, ...]:
        closed, self._closed = self._closed, ()
        return closed

    @property
    def _source(self) -> SourceFolder:
        route = self._route
        mount = self._mount.expected
        return SourceFolder(route.source, route.include, route.exclude, self._identity, mount)

    async def _ask(self, request: Request, expected: type[R], on_reply: OnReply = ignore) -> R:
        """Raises: Fault: also if the worker does not answer."""
        timeout_s = self._route.stall_timeout_s
        try:
            return await self._workers.ask(request, expected, stall_timeout_s=timeout_s, on_reply=on_reply)
        except StallTimeout as stall:
            self._stuck.add(stall)
            detail = f"source: no answer within {timeout_s:g} s"
            raise Fault(FaultKind.SOURCE_OUTAGE, detail) from stall
