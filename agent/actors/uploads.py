"""The keeper of upload jobs: each is a route that comes when it is asked for, and goes when it has ended.

The journal says which jobs there are; what becomes of their files is overheard from what visitors are told.
The loop waits for nobody, so the broadcaster need not either; tasks of a job may send up, like copy tasks.
"""

import time
from collections import Counter
from collections.abc import Iterable
from typing import Protocol, assert_never

import trio
from attrs import define, field

from agent.config import DestinationPlan, UploadRoute
from agent.faults import Fault, FaultKind
from agent.ledger import Ledger
from agent.log import get_logger
from agent.messages import (
    BroadcasterInbox,
    CloseLane,
    CloseRoute,
    DispatcherInbox,
    Forgotten,
    JobsChanged,
    Moved,
    Moves,
    OpenLane,
    OpenRoute,
    Overhear,
    Progress,
    RouteClosed,
    RouteOpened,
    SourceState,
    StorageState,
    UploadFact,
    UploadsInbox,
)
from agent.protocol import FindFolder, FolderFound
from agent.rules.upload_jobs import JobFact, Upload
from agent.stores.journal import JournalError
from agent.terms import SourceFile, UploadJob
from agent.workers import Silence, Workers

WRITE_EVERY_S = 0.5
LOOK_AGAIN_S = 5.0
log = get_logger(__name__)


class Crew(Protocol):
    """What a house can set up while it runs."""

    def route_of(self, job: UploadJob) -> UploadRoute: ...
    def plan_of(self, route: UploadRoute) -> DestinationPlan: ...
    def hosts(self, destination: str) -> bool:
        """Whether a configured route has a lane there, which jobs then share."""

    def join(self, route: UploadRoute) -> None:
        """From now on its transfers are known at its destination, and no sweep takes them for orphans."""

    def leave(self, route: UploadRoute) -> None: ...
    def open_lane(self, nursery: trio.Nursery, plan: DestinationPlan) -> OpenLane: ...
    def watch(self, nursery: trio.Nursery, route: UploadRoute) -> None: ...


@define(eq=False)
class Kept:
    """A job under way: `watching` holds its watcher, `left` says that none of its copies is left."""

    upload: Upload
    watching: trio.CancelScope = field(factory=trio.CancelScope)
    left: trio.Event = field(factory=trio.Event)
    writing: trio.Lock = field(factory=trio.Lock)
    being_examined: bool = False


@define(eq=False)
class Keeper:
    """The jobs by route name, and what they need. `roots`: where jobs may read."""

    crew: Crew
    ledger: Ledger
    workers: Workers
    roots: tuple[str, ...]
    dispatcher: trio.MemorySendChannel[DispatcherInbox]
    broadcaster: trio.MemorySendChannel[BroadcasterInbox]
    nursery: trio.Nursery
    jobs: dict[str, Kept] = field(factory=dict, init=False)
    _closed: set[str] = field(factory=set, init=False)
    _storage: dict[str, StorageState] = field(factory=dict, init=False)
    _busy: Counter[str] = field(factory=Counter, init=False)
    _asked: trio.Event = field(factory=trio.Event, init=False)
    _news: trio.Event = field(factory=trio.Event, init=False)

    def heard(self, fact: UploadFact) -> None:
        """Note it; whatever follows is done by tasks."""
        if isinstance(fact, Moves):
            for each in fact.moved:
                self.heard(each)
            return
        if isinstance(fact, StorageState):
            self._storage[fact.destination] = fact
        for kept in self._concerned(fact):
            if isinstance(fact, RouteClosed):
                kept.left.set()
            else:
                kept.upload.heard(fact, trio.current_time(), time.time())
                self._look_at(kept)

    def _concerned(self, fact: JobFact | RouteClosed) -> Iterable[Kept]:
        """One job where the fact names its route, so that a scan of 100,000 files costs what it has to."""
        match fact:
            case Moved(file=SourceFile(route=route)) | SourceState(route=route) | RouteClosed(route):
                return (self.jobs[route],) if route in self.jobs else ()
            case _:
                return tuple(self.jobs.values())

    def asked(self) -> None:
        self._asked.set()

    async def obey(self) -> None:
        """For ever: whenever jobs were added or stopped, make it so."""
        while True:
            await self._asked.wait()
            self._asked = trio.Event()
            try:
                for job in await self.ledger.uploads.unclosed():
                    await self._take_up(job)
            except JournalError as error:
                log.debug("upload jobs not read", error=str(error))
                await trio.sleep(LOOK_AGAIN_S)
                self._asked.set()

    async def write(self) -> None:
        """For ever: what has become of the jobs, into the journal."""
        while True:
            await self._news.wait()
            self._news = trio.Event()
            for kept in tuple(self.jobs.values()):
                if not await self._write_one(kept):
                    self._news.set()
            await trio.sleep(WRITE_EVERY_S)

    async def _take_up(self, job: UploadJob) -> None:
        route = self.crew.route_of(job)
        kept = self.jobs.get(route.name)
        if kept is not None:
            if job.state.is_end:
                kept.upload.stop(job.error or "", time.time())
                self._look_at(kept)
            return
        if job.id in self._closed:
            return  # since it was read
        upload = Upload.resumed(job, route, await self.ledger.uploads.files(job.id))
        if route.destination in self._storage:
            upload.heard(self._storage[route.destination], trio.current_time(), time.time())
        self.jobs[route.name] = kept = Kept(upload)
        self.nursery.start_soon(self._keep, kept)

    async def _keep(self, kept: Kept) -> None:
        """A job from its beginning to its end."""
        upload = kept.upload
        route, job = upload.route, upload.job
        place = route.destination
        self._busy[place] += 1
        if self._busy[place] == 1 and not self.crew.hosts(place):
            await self.dispatcher.send(self.crew.open_lane(self.nursery, self.crew.plan_of(route)))
        if not upload.has_ended:
            await self._live(kept)
        while not await self._is_put_away(kept):  # noqa: ASYNC110  the sweep tells nobody
            await trio.sleep(LOOK_AGAIN_S)
        self._closed.add(job.id)
        del self.jobs[route.name]
        self._busy[place] -= 1
        if not self._busy[place] and not self.crew.hosts(place):
            self._storage.pop(place, None)
            await self.dispatcher.send(CloseLane(place))
        log.info("upload job closed", upload_id=job.id)

    async def _live(self, kept: Kept) -> None:
        """Visitors hear of the route first and last; in between its files are moved like any others."""
        upload, route = kept.upload, kept.upload.route
        log.info("upload job begins", upload_id=upload.job.id, source=route.source, to=route.destination)
        self.crew.join(route)
        await self.broadcaster.send(RouteOpened(route))
        await self.dispatcher.send(OpenRoute(route))
        self._begin_examination(kept)
        with kept.watching:
            async with trio.open_nursery() as watching:
                self.crew.watch(watching, route)
        job = upload.job
        log.info("upload job ends", upload_id=job.id, state=job.state.value, error=job.error)
        await self.dispatcher.send(CloseRoute(route.name))
        await kept.left.wait()
        self.crew.leave(route)

    async def _is_put_away(self, kept: Kept) -> bool:
        """Whether nothing that its copies had begun stands in the bucket any more; the sweep removes it."""
        upload, route = kept.upload, kept.upload.route
        if not await self._write_one(kept):
            return False
        try:
            await self.ledger.uploads.leave(route.name)
            if await self.ledger.leftovers(route.destination):
                return False
            await self.ledger.uploads.close(upload.job.id, route.name)
        except JournalError as error:
            log.debug("upload job not closed", upload_id=upload.job.id, error=str(error))
            return False
        return True

    async def _write_one(self, kept: Kept) -> bool:
        """Whether all that was known of it is written down; nothing may overtake what cannot be."""
        async with kept.writing:
            if not kept.upload.is_dirty:
                return True
            changes = kept.upload.take(time.time())
            try:
                known = await self.ledger.uploads.note(changes.job, changes.files, changes.gone)
            except JournalError:
                kept.upload.take_back(changes)
                return False
            if not known:
                kept.upload.write_all()
            return not kept.upload.is_dirty

    def _look_at(self, kept: Kept) -> None:
        upload = kept.upload
        if upload.is_dirty:
            self._news.set()
        if upload.has_ended:
            kept.watching.cancel()
        elif upload.is_suspect(trio.current_time()):
            self._begin_examination(kept)

    def _begin_examination(self, kept: Kept) -> None:
        if not kept.being_examined:
            kept.being_examined = True
            self.nursery.start_soon(self._examine, kept)

    async def _examine(self, kept: Kept) -> None:
        """Its folder may have gone, or may not be read under a new configuration."""
        upload = kept.upload
        silence_s = upload.route.stall_timeout_s
        reason = ""
        try:
            request = FindFolder(upload.route.source, self.roots)
            found = await self.workers.ask(request, FolderFound, silence_s=silence_s)
        except Fault as fault:
            if fault.kind is FaultKind.SOURCE_GONE and upload.is_suspect(trio.current_time()):
                reason = f"the source folder is gone: {fault.detail}"
        except Silence:
            pass  # an outage, which the job shows
        else:
            if not found.is_allowed or found.path != upload.route.source:
                reason = "the source folder does not lie below one of the [uploads] roots any more"
        if reason:
            upload.stop(reason, time.time())
            self._look_at(kept)
        kept.being_examined = False


async def run(
    ear: trio.MemorySendChannel[UploadsInbox],
    inbox: trio.MemoryReceiveChannel[UploadsInbox],
    dispatcher: trio.MemorySendChannel[DispatcherInbox],
    broadcaster: trio.MemorySendChannel[BroadcasterInbox],
    crew: Crew,
    ledger: Ledger,
    workers: Workers,
    roots: tuple[str, ...],
) -> None:
    """Take up what the journal says is unfinished, and whatever is asked for from then on."""
    async with inbox, dispatcher, broadcaster, trio.open_nursery() as nursery:
        keeper = Keeper(crew, ledger, workers, roots, dispatcher, broadcaster, nursery)
        await broadcaster.send(Overhear(ear))
        nursery.start_soon(keeper.obey)
        nursery.start_soon(keeper.write)
        keeper.asked()
        async for message in inbox:
            match message:
                case JobsChanged():
                    keeper.asked()
                case (
                    Moved()
                    | Moves()
                    | Forgotten()
                    | Progress()
                    | StorageState()
                    | SourceState()
                    | RouteClosed()
                ):
                    keeper.heard(message)
                case _ as never:
                    assert_never(never)
