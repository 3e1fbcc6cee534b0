"""The copier pool alone: one outcome for each order, whatever happens."""

from typing import Self

import pytest
import trio
from attrs import evolve, frozen
from trio.testing import MockClock, wait_all_tasks_blocked

from agent.actors import copier
from agent.faults import Fault, FaultKind
from agent.messages import (
    Abandon,
    Abandoned,
    Advanced,
    BroadcasterInbox,
    Copy,
    DispatcherInbox,
    Done,
    Failed,
    Halt,
    Interrupted,
    LaneMessage,
    Progress,
    Sweep,
)
from agent.protocol import (
    BLOCK_BYTES,
    Checkpoint,
    CopyFile,
    Copying,
    DiscardPartial,
    Finished,
    LookUpSource,
    Presence,
    Published,
    PublishFile,
    SettleSource,
    SourceSettled,
)
from agent.views import HistoryResult
from tests.actors.samples import COPIED, COPYING, DIGEST, FILE, PLAN, drained
from tests.fakes import SILENCE, Ended, FakeLedger, FakeWorkers, Says
from tests.rules.samples import OUTAGE, ROUTE, SOURCE_FAULT, a_file

COPY = Copy(FILE, attempt=1, device=7)
OTHER = a_file("b.mxf")
ORPHAN = evolve(COPYING, id=9, path="orphan.mxf")
HELD_UP = Says(None, (Checkpoint(0, DIGEST * 2),))


@frozen
class Bench:
    """A pool and the other ends of its channels; its workers carry everything over at once."""

    lane: trio.MemorySendChannel[LaneMessage]
    outcomes: trio.MemoryReceiveChannel[DispatcherInbox]
    facts: trio.MemoryReceiveChannel[BroadcasterInbox]
    ledger: FakeLedger
    workers: FakeWorkers

    @classmethod
    def open(
        cls, nursery: trio.Nursery, clock: MockClock, ledger: FakeLedger | None = None, capacity: int = 64
    ) -> Self:
        ledger = ledger or FakeLedger()
        workers = FakeWorkers(clock, ledger.diary)
        workers.script(CopyFile, COPIED)
        workers.script(PublishFile, Published("a.mxf", already_there=False))
        workers.script(SettleSource, SourceSettled(None))
        workers.script(DiscardPartial, Finished())
        workers.script(LookUpSource, Presence(exists=True))
        lane_in, lane_out = trio.open_memory_channel[LaneMessage](8)
        outcomes_in, outcomes_out = trio.open_memory_channel[DispatcherInbox](capacity)
        facts_in, facts_out = trio.open_memory_channel[BroadcasterInbox](64)
        pool = copier.Pool(PLAN, {"mxf": ROUTE}, ledger, workers, outcomes_in, facts_in)
        nursery.start_soon(copier.run, lane_out, pool)
        return cls(lane_in, outcomes_out, facts_out, ledger, workers)

    async def order(self, *messages: LaneMessage) -> None:
        for message in messages:
            await self.lane.send(message)
        await wait_all_tasks_blocked()


async def test_a_copy_waits_until_the_lane_was_swept(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock, FakeLedger(None, ORPHAN))
    bench.workers.script(LookUpSource, SILENCE)
    await bench.order(Sweep(7), COPY)
    assert bench.ledger.diary == ["running", "LookUpSource"]
    assert isinstance(await bench.outcomes.receive(), Done)
    assert autojump_clock.current_time() == PLAN.stall_timeout_s


async def test_a_copy_that_arrives_is_done_once(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    bench = Bench.open(nursery, autojump_clock)
    await bench.order(Sweep(7), Copy(FILE, attempt=2, device=7))
    [outcome] = drained(bench.outcomes)
    assert isinstance(outcome, Done)
    assert (outcome.file, outcome.delivery.destination_path) == (FILE, "/nas/a.mxf")
    assert bench.ledger.ended == [Ended("a.mxf", "delivered", 2, None, "/nas/a.mxf")]


@pytest.mark.parametrize("kind", [kind for kind in FaultKind if kind not in copier.PAUSING])
async def test_a_fault_of_the_files_own_is_a_failed_attempt(
    nursery: trio.Nursery, autojump_clock: MockClock, kind: FaultKind
) -> None:
    bench = Bench.open(nursery, autojump_clock)
    fault = Fault(kind, "trouble")
    bench.workers.script(CopyFile, fault)
    await bench.order(Sweep(7), COPY)
    [outcome] = drained(bench.outcomes)
    assert isinstance(outcome, Failed)
    assert (outcome.file, outcome.fault) == (FILE, fault)


async def test_an_outage_interrupts_and_says_how_much_was_verified(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock)
    bench.workers.script(CopyFile, Says(OUTAGE, HELD_UP.streamed))
    await bench.order(Sweep(7), COPY)
    [outcome] = drained(bench.outcomes)
    assert isinstance(outcome, Interrupted)
    assert (outcome.fault, outcome.verified_bytes) == (OUTAGE, 2 * BLOCK_BYTES)


@pytest.mark.parametrize("order", [COPY, Abandon(FILE, 3, "unreadable", 7)])
async def test_a_journal_that_cannot_be_written_interrupts(
    nursery: trio.Nursery, autojump_clock: MockClock, order: Copy | Abandon
) -> None:
    bench = Bench.open(nursery, autojump_clock)
    bench.ledger.broken |= {"begin", "fail_unstarted"}
    await bench.order(Sweep(7), order)
    [outcome] = drained(bench.outcomes)
    assert isinstance(outcome, Interrupted)
    assert outcome.fault is not None
    assert (outcome.fault.kind, outcome.fault.detail) == (FaultKind.JOURNAL, "disk full")


async def test_a_halt_kills_the_worker_of_the_copy_that_it_names_and_of_no_other(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock)
    bench.workers.script(CopyFile, HELD_UP)
    await bench.order(Sweep(7), COPY, Copy(OTHER, 1, 7))
    await bench.order(Halt((FILE.id, "unknown")))
    [outcome] = drained(bench.outcomes)
    assert isinstance(outcome, Interrupted)
    assert (outcome.file, outcome.fault, outcome.verified_bytes) == (FILE, None, 2 * BLOCK_BYTES)
    assert [each.path for each in bench.workers.killed if isinstance(each, CopyFile)] == [FILE.path]


async def test_a_halt_for_all_stops_all_that_runs_and_those_that_wait(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock)
    bench.workers.script(CopyFile, HELD_UP)
    await bench.order(Sweep(7), COPY)
    await bench.order(Copy(OTHER, 1, 7), Halt())
    outcomes = drained(bench.outcomes)
    stopped = {each.file.path: each.verified_bytes for each in outcomes if isinstance(each, Interrupted)}
    assert stopped == {"a.mxf": 2 * BLOCK_BYTES, "b.mxf": 0}


async def test_a_halted_file_can_be_ordered_again(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    bench = Bench.open(nursery, autojump_clock)
    bench.workers.script(CopyFile, SILENCE, COPIED)
    await bench.order(Sweep(7), COPY)
    await bench.order(Halt())
    await bench.order(COPY)
    assert [type(outcome) for outcome in drained(bench.outcomes)] == [Interrupted, Done]


class HaltedAtTheEnd(FakeLedger):
    """A halt comes in while the last step of a delivery is being written down."""

    bench: Bench

    async def finish(
        self,
        transfer_id: int,
        result: HistoryResult,
        attempts: int,
        error: str | None,
        at: float,
        destination_path: str | None,
    ) -> None:
        await self.bench.lane.send(Halt())
        await trio.sleep(1)
        await super().finish(transfer_id, result, attempts, error, at, destination_path)


async def test_a_halt_that_comes_too_late_does_not_hide_that_the_file_has_arrived(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    ledger = HaltedAtTheEnd()
    ledger.bench = bench = Bench.open(nursery, autojump_clock, ledger)
    await bench.order(Sweep(7), COPY)
    assert isinstance(await bench.outcomes.receive(), Done)
    assert bench.lane.statistics().current_buffer_used == 0
    assert [ended.result for ended in ledger.ended] == ["delivered"]


async def test_progress_goes_to_visitors_and_to_the_gate_for_free_space(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock)
    bench.workers.script(CopyFile, Says(COPIED, (Copying(60, 40),)))
    await bench.order(Sweep(7), COPY)
    assert drained(bench.outcomes)[0] == Advanced(FILE.id, 60)
    [progress] = [fact for fact in drained(bench.facts) if isinstance(fact, Progress)]
    assert (progress.file_id, progress.copied_bytes, progress.verified_bytes) == (FILE.id, 60, 40)


async def test_progress_holds_no_copy_up_when_nobody_takes_it(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock, capacity=0)
    bench.workers.script(CopyFile, Says(COPIED, (Copying(60, 40),) * 10))
    await bench.order(Sweep(7), COPY)
    assert isinstance(await bench.outcomes.receive(), Done)


async def test_what_is_given_up_is_put_away_and_logged_as_failed(
    nursery: trio.Nursery, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench.open(nursery, autojump_clock, FakeLedger(None, COPYING))
    await bench.order(Sweep(7), Abandon(FILE, 3, "unreadable", 7))
    assert [type(outcome) for outcome in drained(bench.outcomes)] == [Abandoned]
    assert bench.ledger.ended == [Ended("a.mxf", "failed", 3, "unreadable", None)]
    [record] = caplog.records
    assert record.levelname == "ERROR"


async def test_what_is_forgotten_is_put_away_without_a_word(
    nursery: trio.Nursery, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench.open(nursery, autojump_clock, FakeLedger(None, COPYING))
    await bench.order(Sweep(7), Abandon(FILE, 0, None, 7))
    assert [type(outcome) for outcome in drained(bench.outcomes)] == [Abandoned]
    assert (bench.ledger.transfers, bench.ledger.ended, caplog.records) == ({}, [], [])


async def test_putting_away_waits_for_the_end_of_an_outage(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock, FakeLedger(None, COPYING))
    bench.workers.script(DiscardPartial, OUTAGE)
    await bench.order(Sweep(7), Abandon(FILE, 3, "unreadable", 7))
    [outcome] = drained(bench.outcomes)
    assert isinstance(outcome, Interrupted)
    assert outcome.fault == OUTAGE


async def test_a_partial_that_cannot_be_removed_is_left_to_the_next_sweep(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock, FakeLedger(None, COPYING))
    bench.workers.script(DiscardPartial, SOURCE_FAULT)
    await bench.order(Sweep(7), Abandon(FILE, 3, "unreadable", 7))
    assert [type(outcome) for outcome in drained(bench.outcomes)] == [Abandoned]
    assert list(bench.ledger.transfers.values()) == [COPYING]


async def test_a_sweep_that_an_outage_held_up_does_not_go_on_beside_the_next_one(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock, FakeLedger(None, ORPHAN))
    bench.workers.script(LookUpSource, SILENCE, Presence(exists=False))
    await bench.order(Sweep(7))
    await bench.order(Sweep(8), COPY)
    assert [type(each) for each in bench.workers.killed] == [LookUpSource]
    assert bench.ledger.diary.count("drop") == 1
    assert [type(outcome) for outcome in drained(bench.outcomes)] == [Done]


async def test_a_lane_that_closes_lets_what_runs_come_to_its_end(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock)
    await bench.lane.send(Sweep(7))
    await bench.lane.send(COPY)
    bench.lane.close()
    assert isinstance(await bench.outcomes.receive(), Done)
    with pytest.raises(trio.EndOfChannel):
        await bench.outcomes.receive()
