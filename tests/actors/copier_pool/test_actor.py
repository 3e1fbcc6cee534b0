"""The copier pool alone: one outcome for each order, whatever happens."""

from collections.abc import Callable
from typing import Concatenate

import pytest
import trio
from trio.testing import MockClock

from agent.actors.copier_pool.decisions import NON_COUNTING
from agent.journal.journal import Transaction
from agent.messages.broadcaster import Recovered
from agent.messages.copier_pool import AbortTransfer, CancelCopies, Copy, CopyBatch, RecoverDestination
from agent.messages.dispatcher import AttemptFailed, Delivered, Interrupted, TransferProgress
from agent.messages.stability_tracker import FilesRemoved
from agent.model.errors import Fault, FaultKind
from agent.model.verification import BLOCK_BYTES
from agent.protocol.replies import (
    CopiedFiles,
    Copying,
    Published,
    PublishedFiles,
    RemovedSources,
    SourceExists,
    SourceRemoved,
)
from agent.protocol.requests import (
    CheckSeparateRoots,
    CopyFile,
    CopySmallFiles,
    DiscardPartial,
    FindOrphans,
    LookUpSource,
    PublishFiles,
    RemoveSources,
)
from tests.actors.copier_pool.pools import COPY, ORPHAN, OTHER, SILENT_COPY, Bench
from tests.actors.samples import COPIED, FILE, PLAN, drained
from tests.fakes import SILENCE, Ended, FakeJournal, P, Says, T, operation_name
from tests.samples import NAS, OUTAGE, SOURCE_FAULT


async def test_a_copy_waits_until_recovery_has_completed_what_was_published(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock, FakeJournal(None, ORPHAN))
    bench.workers.script(LookUpSource, SILENCE)
    await bench.send(RecoverDestination(7), COPY)
    assert bench.journal.diary == ["running", "LookUpSource"]
    assert isinstance(await bench.outcomes.receive(), Delivered)
    assert autojump_clock.current_time() == PLAN.stall_timeout_s


async def test_a_copy_that_arrives_is_done_once(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    bench = Bench.open(nursery, autojump_clock)
    await bench.send(RecoverDestination(7), Copy(FILE, attempt=2, device=7))
    [outcome] = drained(bench.outcomes)
    assert isinstance(outcome, Delivered)
    assert (outcome.file, outcome.delivery.destination_path) == (FILE, "/nas/a.mxf")
    assert bench.journal.ended == [Ended("a.mxf", "delivered", 2, None, "/nas/a.mxf")]


@pytest.mark.parametrize("kind", [kind for kind in FaultKind if kind not in NON_COUNTING])
async def test_a_fault_of_the_files_own_is_a_failed_attempt(
    nursery: trio.Nursery, autojump_clock: MockClock, kind: FaultKind
) -> None:
    bench = Bench.open(nursery, autojump_clock)
    fault = Fault(kind, "trouble")
    bench.workers.script(CopyFile, fault)
    await bench.send(RecoverDestination(7), COPY)
    [outcome] = drained(bench.outcomes)
    assert isinstance(outcome, AttemptFailed)
    assert (outcome.file, outcome.fault) == (FILE, fault)


async def test_an_outage_interrupts_and_says_how_much_was_verified(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock)
    bench.workers.script(CopyFile, Says(OUTAGE, SILENT_COPY.streamed))
    await bench.send(RecoverDestination(7), COPY)
    [outcome] = drained(bench.outcomes)
    assert isinstance(outcome, Interrupted)
    assert (outcome.fault, outcome.verified_bytes) == (OUTAGE, 2 * BLOCK_BYTES)


@pytest.mark.parametrize("order", [COPY, AbortTransfer(FILE, 3, "unreadable", 7)])
async def test_a_journal_that_cannot_be_written_interrupts(
    nursery: trio.Nursery, autojump_clock: MockClock, order: Copy | AbortTransfer
) -> None:
    bench = Bench.open(nursery, autojump_clock)
    bench.journal.broken |= {"begin_or_resume", "record_failure"}
    await bench.send(RecoverDestination(7), order)
    [outcome] = drained(bench.outcomes)
    assert isinstance(outcome, Interrupted)
    assert outcome.fault is not None
    assert (outcome.fault.kind, outcome.fault.detail) == (FaultKind.JOURNAL, "disk full")


async def test_cancelling_a_copy_kills_its_worker_and_no_other(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock)
    bench.workers.script(CopyFile, SILENT_COPY)
    await bench.send(RecoverDestination(7), COPY, Copy(OTHER, 1, 7))
    await bench.send(CancelCopies((FILE.id, "unknown")))
    [outcome] = drained(bench.outcomes)
    assert isinstance(outcome, Interrupted)
    assert (outcome.file, outcome.fault, outcome.verified_bytes) == (FILE, None, 2 * BLOCK_BYTES)
    assert [each.path for each in bench.workers.killed if isinstance(each, CopyFile)] == [FILE.path]


async def test_cancelling_all_copies_stops_those_that_run_and_those_that_wait(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock)
    bench.workers.script(CopyFile, SILENT_COPY)
    await bench.send(RecoverDestination(7), COPY)
    await bench.send(Copy(OTHER, 1, 7), CancelCopies())
    outcomes = drained(bench.outcomes)
    stopped = {each.file.path: each.verified_bytes for each in outcomes if isinstance(each, Interrupted)}
    assert stopped == {"a.mxf": 2 * BLOCK_BYTES, "b.mxf": 0}


async def test_a_cancelled_file_can_be_copied_again(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    bench = Bench.open(nursery, autojump_clock)
    bench.workers.script(CopyFile, SILENCE, COPIED)
    await bench.send(RecoverDestination(7), COPY)
    await bench.send(CancelCopies())
    await bench.send(COPY)
    assert [type(outcome) for outcome in drained(bench.outcomes)] == [Interrupted, Delivered]


class CancelledAtTheEnd(FakeJournal):
    """A cancellation comes while the last step of a delivery is written to the journal."""

    bench: Bench

    async def write(
        self, operation: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        if operation_name(operation) == "finish":
            await self.bench.inbox.send(CancelCopies())
            await trio.sleep(1)
        return await super().write(operation, *args, **kwargs)


async def test_a_cancellation_that_comes_too_late_does_not_hide_that_the_file_is_delivered(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    journal = CancelledAtTheEnd()
    journal.bench = bench = Bench.open(nursery, autojump_clock, journal)
    await bench.send(RecoverDestination(7), COPY)
    assert isinstance(await bench.outcomes.receive(), Delivered)
    assert bench.inbox.statistics().current_buffer_used == 0
    assert [ended.result for ended in journal.ended] == ["delivered"]


async def test_progress_goes_to_the_page_and_to_the_check_of_free_space(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock)
    bench.workers.script(CopyFile, Says(COPIED, (Copying(60, 40),)))
    await bench.send(RecoverDestination(7), COPY)
    [progress] = [event for event in drained(bench.events) if isinstance(event, TransferProgress)]
    assert (progress.file_id, progress.copied_bytes, progress.verified_bytes) == (FILE.id, 60, 40)
    assert drained(bench.outcomes)[0] == progress


async def test_progress_that_nobody_receives_delays_no_copy(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock, capacity=0)
    bench.workers.script(CopyFile, Says(COPIED, (Copying(60, 40),) * 10))
    await bench.send(RecoverDestination(7), COPY)
    assert isinstance(await bench.outcomes.receive(), Delivered)


async def test_a_recovery_that_an_outage_delayed_ends_when_the_next_one_begins(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock, FakeJournal(None, ORPHAN))
    bench.workers.script(LookUpSource, SILENCE, SourceExists(exists=False))
    await bench.send(RecoverDestination(7))
    await bench.send(RecoverDestination(8), COPY)
    assert [type(each) for each in bench.workers.killed] == [LookUpSource]
    assert bench.journal.diary.count("drop") == 1
    assert [type(outcome) for outcome in drained(bench.outcomes)] == [Delivered]


async def test_an_orphan_that_hangs_delays_no_copy(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    bench = Bench.open(nursery, autojump_clock, FakeJournal(None, ORPHAN))
    bench.workers.script(LookUpSource, SourceExists(exists=False))
    bench.workers.script(DiscardPartial, SILENCE)
    await bench.send(RecoverDestination(7), COPY)
    assert [type(outcome) for outcome in drained(bench.outcomes)] == [Delivered]
    assert autojump_clock.current_time() == 0
    assert bench.journal.orphans == [(NAS, ORPHAN.partial)]


async def test_a_scan_of_the_whole_destination_delays_no_copy(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock)
    bench.journal.scanned = []
    bench.workers.script(FindOrphans, SILENCE)
    await bench.send(RecoverDestination(7), COPY)
    assert [type(outcome) for outcome in drained(bench.outcomes)] == [Delivered]
    assert autojump_clock.current_time() == 0


async def test_the_end_of_a_recovery_is_broadcast(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    bench = Bench.open(nursery, autojump_clock, FakeJournal(None, ORPHAN))
    bench.workers.script(LookUpSource, SILENCE, SourceExists(exists=False))
    await bench.send(RecoverDestination(7))
    assert drained(bench.events) == []
    await bench.send(RecoverDestination(8))
    assert drained(bench.events) == [Recovered(PLAN.destination)]


async def test_a_pool_whose_inbox_is_closed_finishes_its_running_copies(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock)
    await bench.inbox.send(RecoverDestination(7))
    await bench.inbox.send(COPY)
    bench.inbox.close()
    assert isinstance(await bench.outcomes.receive(), Delivered)
    with pytest.raises(trio.EndOfChannel):
        await bench.outcomes.receive()


async def test_the_tracker_learns_which_sources_are_gone(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock)
    published, gone = Published("x", already_present=False), SourceRemoved(None)
    bench.workers.script(CopySmallFiles, CopiedFiles((COPIED,) * 2))
    bench.workers.script(PublishFiles, PublishedFiles((published,)), PublishedFiles((published,) * 2))
    kept = SourceRemoved("it changed")
    bench.workers.script(RemoveSources, RemovedSources((gone,)), RemovedSources((gone, kept)))
    await bench.send(RecoverDestination(7), COPY)
    await bench.send(CopyBatch((FILE, OTHER), 7))
    assert drained(bench.tracker) == [FilesRemoved((FILE,), 0.0), FilesRemoved((FILE,), 0.0)]


async def test_the_two_sides_of_a_route_are_compared_once_for_each_return_of_the_destination(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock)
    await bench.send(RecoverDestination(7), COPY)
    await bench.send(COPY)
    assert len(bench.workers.times(CheckSeparateRoots)) == 1
    await bench.send(RecoverDestination(7), COPY)
    assert len(bench.workers.times(CheckSeparateRoots)) == 2


async def test_a_kept_source_or_a_failed_attempt_is_not_reported_to_the_tracker(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock)
    bench.workers.script(RemoveSources, RemovedSources((SourceRemoved("it changed"),)))
    await bench.send(RecoverDestination(7), COPY)
    bench.workers.script(CopyFile, SOURCE_FAULT)
    await bench.send(Copy(OTHER, 1, 7))
    assert [type(outcome) for outcome in drained(bench.outcomes)] == [Delivered, AttemptFailed]
    assert drained(bench.tracker) == []


async def test_a_copy_that_outlives_the_tracker_of_its_route_is_reported_all_the_same(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock)
    bench.tracker.close()
    await bench.send(RecoverDestination(7), COPY)
    assert [type(outcome) for outcome in drained(bench.outcomes)] == [Delivered]
