"""The copier pool alone: one outcome for each order, whatever happens."""

from collections.abc import Callable
from typing import Concatenate

import pytest
import trio
from trio.testing import MockClock

from agent.actors.copier_pool.decisions import NON_COUNTING
from agent.journal.journal import Transaction
from agent.messages.broadcaster import Recovered, TransferProgress
from agent.messages.copier_pool import AbortTransfer, CancelCopies, Copy, CopyBatch, RecoverDestination
from agent.messages.dispatcher import AttemptFailed, BytesWritten, Delivered, Interrupted
from agent.messages.stability_tracker import FilesRemoved
from agent.model.errors import Fault, FaultKind
from agent.model.transfer import BLOCK_BYTES
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
    CopyFile,
    CopySmallFiles,
    DiscardPartial,
    FindOrphans,
    LookUpSource,
    PublishFiles,
    RemoveSources,
)
from tests.actors.copier_pool.pools import COPY, HELD_UP, ORPHAN, OTHER, Bench
from tests.actors.samples import COPIED, FILE, PLAN, drained
from tests.fakes import SILENCE, Ended, FakeJournal, P, Says, T, operation_name
from tests.samples import NAS, OUTAGE, SOURCE_FAULT


async def test_a_copy_waits_until_the_lane_was_swept(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock, FakeJournal(None, ORPHAN))
    bench.workers.script(LookUpSource, SILENCE)
    await bench.order(RecoverDestination(7), COPY)
    assert bench.journal.diary == ["running", "LookUpSource"]
    assert isinstance(await bench.outcomes.receive(), Delivered)
    assert autojump_clock.current_time() == PLAN.stall_timeout_s


async def test_a_copy_that_arrives_is_done_once(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    bench = Bench.open(nursery, autojump_clock)
    await bench.order(RecoverDestination(7), Copy(FILE, attempt=2, device=7))
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
    await bench.order(RecoverDestination(7), COPY)
    [outcome] = drained(bench.outcomes)
    assert isinstance(outcome, AttemptFailed)
    assert (outcome.file, outcome.fault) == (FILE, fault)


async def test_an_outage_interrupts_and_says_how_much_was_verified(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock)
    bench.workers.script(CopyFile, Says(OUTAGE, HELD_UP.streamed))
    await bench.order(RecoverDestination(7), COPY)
    [outcome] = drained(bench.outcomes)
    assert isinstance(outcome, Interrupted)
    assert (outcome.fault, outcome.verified_bytes) == (OUTAGE, 2 * BLOCK_BYTES)


@pytest.mark.parametrize("order", [COPY, AbortTransfer(FILE, 3, "unreadable", 7)])
async def test_a_journal_that_cannot_be_written_interrupts(
    nursery: trio.Nursery, autojump_clock: MockClock, order: Copy | AbortTransfer
) -> None:
    bench = Bench.open(nursery, autojump_clock)
    bench.journal.broken |= {"begin_or_resume", "record_failure"}
    await bench.order(RecoverDestination(7), order)
    [outcome] = drained(bench.outcomes)
    assert isinstance(outcome, Interrupted)
    assert outcome.fault is not None
    assert (outcome.fault.kind, outcome.fault.detail) == (FaultKind.JOURNAL, "disk full")


async def test_a_halt_kills_the_worker_of_the_copy_that_it_names_and_of_no_other(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock)
    bench.workers.script(CopyFile, HELD_UP)
    await bench.order(RecoverDestination(7), COPY, Copy(OTHER, 1, 7))
    await bench.order(CancelCopies((FILE.id, "unknown")))
    [outcome] = drained(bench.outcomes)
    assert isinstance(outcome, Interrupted)
    assert (outcome.file, outcome.fault, outcome.verified_bytes) == (FILE, None, 2 * BLOCK_BYTES)
    assert [each.path for each in bench.workers.killed if isinstance(each, CopyFile)] == [FILE.path]


async def test_a_halt_for_all_stops_all_that_runs_and_those_that_wait(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock)
    bench.workers.script(CopyFile, HELD_UP)
    await bench.order(RecoverDestination(7), COPY)
    await bench.order(Copy(OTHER, 1, 7), CancelCopies())
    outcomes = drained(bench.outcomes)
    stopped = {each.file.path: each.verified_bytes for each in outcomes if isinstance(each, Interrupted)}
    assert stopped == {"a.mxf": 2 * BLOCK_BYTES, "b.mxf": 0}


async def test_a_halted_file_can_be_ordered_again(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    bench = Bench.open(nursery, autojump_clock)
    bench.workers.script(CopyFile, SILENCE, COPIED)
    await bench.order(RecoverDestination(7), COPY)
    await bench.order(CancelCopies())
    await bench.order(COPY)
    assert [type(outcome) for outcome in drained(bench.outcomes)] == [Interrupted, Delivered]


class HaltedAtTheEnd(FakeJournal):
    """A halt comes in while the last step of a delivery is being written down."""

    bench: Bench

    async def write(
        self, operation: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        if operation_name(operation) == "finish":
            await self.bench.lane.send(CancelCopies())
            await trio.sleep(1)
        return await super().write(operation, *args, **kwargs)


async def test_a_halt_that_comes_too_late_does_not_hide_that_the_file_has_arrived(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    journal = HaltedAtTheEnd()
    journal.bench = bench = Bench.open(nursery, autojump_clock, journal)
    await bench.order(RecoverDestination(7), COPY)
    assert isinstance(await bench.outcomes.receive(), Delivered)
    assert bench.lane.statistics().current_buffer_used == 0
    assert [ended.result for ended in journal.ended] == ["delivered"]


async def test_progress_goes_to_visitors_and_to_the_gate_for_free_space(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock)
    bench.workers.script(CopyFile, Says(COPIED, (Copying(60, 40),)))
    await bench.order(RecoverDestination(7), COPY)
    assert drained(bench.outcomes)[0] == BytesWritten(FILE.id, 60)
    [progress] = [fact for fact in drained(bench.facts) if isinstance(fact, TransferProgress)]
    assert (progress.file_id, progress.copied_bytes, progress.verified_bytes) == (FILE.id, 60, 40)


async def test_progress_holds_no_copy_up_when_nobody_takes_it(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock, capacity=0)
    bench.workers.script(CopyFile, Says(COPIED, (Copying(60, 40),) * 10))
    await bench.order(RecoverDestination(7), COPY)
    assert isinstance(await bench.outcomes.receive(), Delivered)


async def test_a_sweep_that_an_outage_held_up_does_not_go_on_beside_the_next_one(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock, FakeJournal(None, ORPHAN))
    bench.workers.script(LookUpSource, SILENCE, SourceExists(exists=False))
    await bench.order(RecoverDestination(7))
    await bench.order(RecoverDestination(8), COPY)
    assert [type(each) for each in bench.workers.killed] == [LookUpSource]
    assert bench.journal.diary.count("drop") == 1
    assert [type(outcome) for outcome in drained(bench.outcomes)] == [Delivered]


async def test_a_leftover_that_hangs_holds_no_copy_up(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock, FakeJournal(None, ORPHAN))
    bench.workers.script(LookUpSource, SourceExists(exists=False))
    bench.workers.script(DiscardPartial, SILENCE)
    await bench.order(RecoverDestination(7), COPY)
    assert [type(outcome) for outcome in drained(bench.outcomes)] == [Delivered]
    assert autojump_clock.current_time() == 0
    assert bench.journal.orphans == [(NAS, ORPHAN.partial)]


async def test_a_search_of_the_whole_destination_holds_no_copy_up(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock)
    bench.journal.scanned = []
    bench.workers.script(FindOrphans, SILENCE)
    await bench.order(RecoverDestination(7), COPY)
    assert [type(outcome) for outcome in drained(bench.outcomes)] == [Delivered]
    assert autojump_clock.current_time() == 0


async def test_a_sweep_is_told_when_it_has_ended(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    bench = Bench.open(nursery, autojump_clock, FakeJournal(None, ORPHAN))
    bench.workers.script(LookUpSource, SILENCE, SourceExists(exists=False))
    await bench.order(RecoverDestination(7))
    assert drained(bench.facts) == []
    await bench.order(RecoverDestination(8))
    assert drained(bench.facts) == [Recovered(PLAN.destination)]


async def test_a_lane_that_closes_lets_what_runs_come_to_its_end(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock)
    await bench.lane.send(RecoverDestination(7))
    await bench.lane.send(COPY)
    bench.lane.close()
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
    await bench.order(RecoverDestination(7), COPY)
    await bench.order(CopyBatch((FILE, OTHER), 7))
    assert drained(bench.tracker) == [FilesRemoved((FILE,), 0.0), FilesRemoved((FILE,), 0.0)]


async def test_of_a_kept_source_and_of_a_failed_attempt_the_tracker_hears_nothing(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock)
    bench.workers.script(RemoveSources, RemovedSources((SourceRemoved("it changed"),)))
    await bench.order(RecoverDestination(7), COPY)
    bench.workers.script(CopyFile, SOURCE_FAULT)
    await bench.order(Copy(OTHER, 1, 7))
    assert [type(outcome) for outcome in drained(bench.outcomes)] == [Delivered, AttemptFailed]
    assert drained(bench.tracker) == []


async def test_a_copy_that_outlives_the_tracker_of_its_route_is_reported_all_the_same(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock)
    bench.tracker.close()
    await bench.order(RecoverDestination(7), COPY)
    assert [type(outcome) for outcome in drained(bench.outcomes)] == [Delivered]
