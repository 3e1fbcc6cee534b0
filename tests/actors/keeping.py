"""A keeper of upload jobs alone: its journal, its crew, and those who hear from it."""

import math
from collections.abc import Sequence
from typing import cast

import trio
from attrs import define, evolve, field

from agent.actors import uploads
from agent.config import DestinationPlan, UploadRoute, Uploads, upload_route
from agent.messages import (
    BroadcasterInbox,
    DispatcherInbox,
    Doubt,
    LaneMessage,
    OpenLane,
    Overhear,
    RouteClosed,
    SourceState,
    UploadsInbox,
)
from agent.protocol import FindFolder, FolderFound, Request
from agent.stores.journal import JournalError
from agent.terms import UploadFile, UploadJob, UploadState
from agent.upload_ledger import UploadLedger
from agent.workers import OnReply, R, ignore
from tests.fakes import FakeLedger, FakeWorkers, lose_patience
from tests.rules.samples import ROUTE, a_config

CONFIG = a_config(ROUTE)


def a_job(name: str = "j1", bucket: str = "archive") -> UploadJob:
    return UploadJob(name, f"/media/{name}", bucket, None, UploadState.PENDING, 1.0, 1.0)


def route_of(job: UploadJob) -> UploadRoute:
    return upload_route(job, Uploads())


def scanned(job: UploadJob, began_s: float) -> SourceState:
    return SourceState(route_of(job).name, None, 5, 1.0, (), began_s)


class FakeUploadLedger(UploadLedger):
    """Jobs and files in memory; operations named in `broken` fail, once each time they are in it."""

    def __init__(self, *jobs: UploadJob) -> None:
        self.__dict__.update(jobs={job.id: job for job in jobs}, rows={}, closed=[], left=[], broken=[])

    jobs: dict[str, UploadJob]
    rows: dict[str, dict[str, UploadFile]]
    closed: list[str]
    left: list[str]
    broken: list[str]

    async def unclosed(self) -> tuple[UploadJob, ...]:
        await self._note("unclosed")
        return tuple(job for job in self.jobs.values() if job.id not in self.closed)

    async def files(self, upload_id: str) -> tuple[UploadFile, ...]:
        await self._note("files")
        return tuple(self.rows.get(upload_id, {}).values())

    async def note(self, job: UploadJob, changed: Sequence[UploadFile], gone: Sequence[str]) -> bool:
        await self._note("note")
        known = job.id in self.jobs
        self.jobs[job.id] = job
        rows = self.rows.setdefault(job.id, {})
        rows |= {file.path: file for file in changed}
        for path in gone:
            rows.pop(path, None)
        return known

    async def leave(self, route: str) -> None:
        await self._note("leave")
        self.left.append(route)

    async def close(self, upload_id: str, route: str) -> None:
        del route
        await self._note("close")
        self.closed.append(upload_id)

    async def _note(self, operation: str) -> None:
        await trio.lowlevel.checkpoint()
        if operation in self.broken:
            self.broken.remove(operation)
            raise JournalError("disk full")


class KeptLedger(FakeLedger):
    """A journal in memory with upload jobs."""

    def __init__(self, *jobs: UploadJob) -> None:
        super().__init__()
        self._uploads = FakeUploadLedger(*jobs)

    @property
    def uploads(self) -> FakeUploadLedger:
        return self._uploads


class Finders(FakeWorkers):
    """Every folder is there and may be read, unless the script says otherwise."""

    async def ask(
        self, request: Request, expected: type[R], *, silence_s: float, on_reply: OnReply = ignore
    ) -> R:
        if isinstance(request, FindFolder) and FindFolder not in self._scripts:
            self.asked.append((self.clock.current_time(), request))
            await trio.lowlevel.checkpoint()
            return cast("R", FolderFound(request.path, is_allowed=True))
        return await super().ask(request, expected, silence_s=silence_s, on_reply=on_reply)


@define(eq=False)
class FakeCrew:
    """Sets up nothing; notes what it was asked for. `hosted`: places that configured routes have."""

    hosted: tuple[str, ...] = ()
    joined: list[str] = field(factory=list)
    watched: list[str] = field(factory=list)
    _ends: list[object] = field(factory=list)

    def route_of(self, job: UploadJob) -> UploadRoute:
        return route_of(job)

    def plan_of(self, route: UploadRoute) -> DestinationPlan:
        return CONFIG.plan([route])

    def hosts(self, destination: str) -> bool:
        return destination in self.hosted

    def join(self, route: UploadRoute) -> None:
        self.joined.append(route.name)

    def leave(self, route: UploadRoute) -> None:
        self.joined.remove(route.name)

    def open_lane(self, nursery: trio.Nursery, plan: DestinationPlan) -> OpenLane:
        del nursery
        lane_in, lane_out = trio.open_memory_channel[LaneMessage](1)
        doubts_in, doubts_out = trio.open_memory_channel[Doubt](1)
        self._ends += [lane_out, doubts_out]
        return OpenLane(plan, lane_in, doubts_in)

    def watch(self, nursery: trio.Nursery, route: UploadRoute) -> None:
        async def watched() -> None:
            self.watched.append(route.name)
            try:
                await trio.sleep_forever()
            finally:
                self.watched.remove(route.name)

        nursery.start_soon(watched)


@define(eq=False)
class Kept:
    """A keeper that runs, and what came of it."""

    ledger: KeptLedger
    crew: FakeCrew
    workers: FakeWorkers
    inbox: trio.MemorySendChannel[UploadsInbox]
    orders: trio.MemoryReceiveChannel[DispatcherInbox]
    facts: trio.MemoryReceiveChannel[BroadcasterInbox]

    async def hear(self, *facts: UploadsInbox) -> None:
        for fact in facts:
            await self.inbox.send(fact)
        await trio.testing.wait_all_tasks_blocked()

    async def complete(self, job: UploadJob) -> None:
        """Its folder is empty."""
        await self.hear(scanned(job, 100.0), scanned(job, 200.0))

    async def leaves(self, job: UploadJob) -> None:
        await self.hear(RouteClosed(route_of(job).name))


async def keeper_of(
    nursery: trio.Nursery, clock: trio.testing.MockClock, *jobs: UploadJob, crew: FakeCrew | None = None
) -> Kept:
    """A keeper that has taken up these jobs."""
    ear, inbox = trio.open_memory_channel[UploadsInbox](math.inf)
    orders_in, orders = trio.open_memory_channel[DispatcherInbox](64)
    facts_in, facts = trio.open_memory_channel[BroadcasterInbox](64)
    workers = Finders(clock)
    ledger, crew = KeptLedger(*jobs), crew or FakeCrew()
    nursery.start_soon(lose_patience)
    nursery.start_soon(uploads.run, ear, inbox, orders_in, facts_in, crew, ledger, workers, ("/media",))
    await trio.testing.wait_all_tasks_blocked()
    assert facts.receive_nowait() == Overhear(ear)
    return Kept(ledger, crew, workers, ear.clone(), orders, facts)


def stopped(job: UploadJob) -> UploadJob:
    return evolve(job, state=UploadState.FAILED, error="stopped")
