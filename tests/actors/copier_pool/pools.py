"""A copier pool for its tests, and the other ends of its channels."""

from typing import Self

import trio
from attrs import evolve, frozen
from trio.testing import MockClock, wait_all_tasks_blocked

from agent.actors.copier_pool import actor as copier_pool
from agent.messages.channels import BroadcasterInbox, DispatcherInbox
from agent.messages.copier_pool import CopierPoolInbox, Copy
from agent.messages.stability_tracker import TrackerInbox
from agent.protocol.replies import (
    Checkpoint,
    Finished,
    Published,
    PublishedFiles,
    RemovedSources,
    ScanEnd,
    SourceExists,
    SourceRemoved,
)
from agent.protocol.requests import (
    CheckSeparateRoots,
    CopyFile,
    DiscardPartial,
    ExamineSource,
    FindOrphans,
    LookUpSource,
    PublishFiles,
    RemoveSources,
)
from tests.actors.samples import COPIED, COPYING, DIGEST, DISCARDED, FILE, PLAN
from tests.fakes import FakeJournal, FakeWorkers, Says, lose_patience
from tests.samples import ROUTE, a_file

COPY = Copy(FILE, attempt=1, device=7)
OTHER = a_file("b.mxf")
ORPHAN = evolve(COPYING, id=9, path="orphan.mxf")
SILENT_COPY = Says(None, (Checkpoint(0, DIGEST * 2),))


@frozen
class Bench:
    """A pool and the other ends of its channels; its workers do everything at once."""

    inbox: trio.MemorySendChannel[CopierPoolInbox]
    outcomes: trio.MemoryReceiveChannel[DispatcherInbox]
    events: trio.MemoryReceiveChannel[BroadcasterInbox]
    tracker: trio.MemoryReceiveChannel[TrackerInbox]
    journal: FakeJournal
    workers: FakeWorkers

    @classmethod
    def open(
        cls, nursery: trio.Nursery, clock: MockClock, journal: FakeJournal | None = None, capacity: int = 64
    ) -> Self:
        journal = journal or FakeJournal()
        workers = FakeWorkers(clock, journal.diary)
        workers.script(CopyFile, COPIED)
        workers.script(PublishFiles, PublishedFiles((Published("a.mxf", already_present=False),)))
        workers.script(RemoveSources, RemovedSources((SourceRemoved(None),)))
        workers.script(DiscardPartial, DISCARDED)
        workers.script(FindOrphans, Finished())
        workers.script(CheckSeparateRoots, Finished())
        workers.script(LookUpSource, SourceExists(exists=True))
        workers.script(ExamineSource, ScanEnd((), (), 5))
        inbox_in, inbox_out = trio.open_memory_channel[CopierPoolInbox](8)
        outcomes_in, outcomes_out = trio.open_memory_channel[DispatcherInbox](capacity)
        events_in, events_out = trio.open_memory_channel[BroadcasterInbox](64)
        tracker_in, tracker_out = trio.open_memory_channel[TrackerInbox](64)
        pool = copier_pool.CopierPool(
            PLAN, {"mxf": ROUTE}, {"mxf": tracker_in}, journal, workers, outcomes_in, events_in
        )
        nursery.start_soon(lose_patience)
        nursery.start_soon(copier_pool.run, inbox_out, pool)
        return cls(inbox_in, outcomes_out, events_out, tracker_out, journal, workers)

    async def send(self, *messages: CopierPoolInbox) -> None:
        for message in messages:
            await self.inbox.send(message)
        await wait_all_tasks_blocked()
