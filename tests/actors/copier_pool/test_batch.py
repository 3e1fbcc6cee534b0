"""Small files in one transfer: what is in the journal when, and the outcome of each."""

from collections.abc import Iterable

import pytest
import trio
from attrs import define, evolve, field
from trio.testing import MockClock, wait_all_tasks_blocked

from agent.actors.copier_pool.task import Notification
from agent.actors.copier_pool.transfer import DeliverTask
from agent.actors.copier_pool.worker_client import WorkerClient
from agent.config.sections import Route
from agent.messages.broadcaster import CounterIncremented, StatusChanged
from agent.messages.dispatcher import (
    AttemptFailed,
    Delivered,
    FoundUnfinished,
    Interrupted,
    Outcome,
    TransferProgress,
)
from agent.messages.stability_tracker import FilesRemoved, FilesUnfinished
from agent.model.errors import Fault, FaultKind, Side
from agent.model.names import has_our_tag
from agent.model.source_file import ContainerState, FileVersion, FinishEvidence, FinishRule, WriterState
from agent.model.transfer import TransferPhase
from agent.protocol.replies import (
    CopiedFiles,
    NotBatchable,
    Published,
    PublishedFiles,
    RemovedSources,
    ScanEnd,
    SourceHashed,
    SourceRemoved,
    Unfinished,
)
from agent.protocol.requests import CopySmallFiles, ExamineSource, HashSource, PublishFiles, RemoveSources
from tests.actors.samples import COPIED as COPIED_WHOLE
from tests.actors.samples import CORRUPT, DIGEST, HASH, PLACE
from tests.fakes import SILENCE, Ended, FakeJournal, FakeWorkers, Says
from tests.samples import IDENTITY, NAS, OUTAGE, ROUTE, SOURCE_FAULT, a_file, but, kept_before

FILES = tuple(a_file(name) for name in ("a.mxf", "b.mxf", "c.mxf"))
COPIED = evolve(COPIED_WHOLE, repaired_blocks=0)
PUBLISHED = tuple(Published(file.path, already_present=False) for file in FILES)
GONE = SourceRemoved(None)
ALL_STEPS = [
    "begin_or_resume",
    "CopySmallFiles",
    "mark_verified",
    "PublishFiles",
    "mark_published",
    "RemoveSources",
    "finish",
]
DIED = Fault(FaultKind.WORKER, "worker process 7 died")


@define
class Bench:
    """A batch whose workers do everything at once, unless the test says otherwise."""

    clock: MockClock
    route: Route = ROUTE
    files: tuple[FileVersion, ...] = FILES
    journal: FakeJournal = field(factory=FakeJournal)
    workers: FakeWorkers = field(init=False)
    events: list[StatusChanged | TransferProgress | CounterIncremented] = field(factory=list)
    unfinished: list[FilesUnfinished] = field(factory=list)
    removed: list[tuple[tuple[FileVersion, ...], str]] = field(factory=list)  # and the step before

    def __attrs_post_init__(self) -> None:
        self.workers = FakeWorkers(self.clock, self.journal.diary)
        self.workers.script(CopySmallFiles, CopiedFiles((COPIED,) * 3))
        self.workers.script(PublishFiles, PublishedFiles(PUBLISHED))
        self.workers.script(RemoveSources, RemovedSources((GONE,) * 3))
        self.workers.script(ExamineSource, ScanEnd((), (), 5))

    def task(self) -> DeliverTask:
        async def notify(event: Notification) -> None:
            await trio.lowlevel.checkpoint()
            if isinstance(event, FilesUnfinished):
                self.unfinished.append(event)
            elif isinstance(event, FilesRemoved):
                self.removed.append((event.files, self.journal.diary[-1]))
            else:
                self.events.append(event)

        worker = WorkerClient(self.workers, 30.0)
        return DeliverTask(
            self.files, self.route, PLACE, self.journal, worker, notify, {}, {"mxf"}, set(), {}, attempt=1
        )

    async def outcomes(self) -> tuple[Outcome, ...]:
        task = self.task()
        await task.run()
        return task.outcomes()

    def meets(self, request_kind: type, fault: Fault) -> None:
        """The second file has this fault when it is published, or when its source is removed."""
        if request_kind is PublishFiles:
            self.workers.script(PublishFiles, PublishedFiles((PUBLISHED[0], fault, PUBLISHED[2])))
            self.workers.script(RemoveSources, RemovedSources((GONE,) * 2))
        else:
            self.workers.script(RemoveSources, RemovedSources((GONE, fault, GONE)))

    def step(self, file: FileVersion) -> TransferPhase | None:
        transfer = self.journal.transfers.get((file.route, file.path))
        return None if transfer is None else transfer.phase


@pytest.fixture
def bench(autojump_clock: MockClock) -> Bench:
    return Bench(autojump_clock)


def kinds_of(outcomes: Iterable[object]) -> set[FaultKind | None]:
    """What interrupted them."""
    assert all(isinstance(outcome, Interrupted) for outcome in outcomes)
    faults = [outcome.fault for outcome in outcomes if isinstance(outcome, Interrupted)]
    return {None if fault is None else fault.kind for fault in faults}


def goes_back(outcome: object) -> bool:
    return kinds_of([outcome]) == {None}


async def test_every_step_is_in_the_journal_before_the_next_begins_for_anybody(bench: Bench) -> None:
    outcomes = await bench.outcomes()
    assert bench.journal.diary == ALL_STEPS
    assert bench.journal.ended == [
        Ended(file.path, "delivered", 1, None, f"{NAS}/{file.path}") for file in FILES
    ]
    for file, outcome in zip(FILES, outcomes, strict=True):
        assert isinstance(outcome, Delivered)
        assert outcome.file == file
        delivery = outcome.delivery
        assert (delivery.destination_path, delivery.hash) == (f"{NAS}/{file.path}", HASH)
        assert (delivery.level, delivery.size_bytes) == ("read_back", file.signature.size_bytes)
        assert (delivery.already_present, delivery.kept) == (False, False)
        assert delivery.started_at is not None


async def test_the_tracker_learns_of_removed_sources_before_the_journal_and_of_kept_ones_never(
    bench: Bench,
) -> None:
    bench.workers.script(RemoveSources, RemovedSources((GONE, SourceRemoved("it changed"), GONE)))
    await bench.outcomes()
    assert bench.removed == [((FILES[0], FILES[2]), "RemoveSources")]


async def test_each_partial_is_journaled_under_a_name_of_ours(bench: Bench) -> None:
    bench.workers.script(CopySmallFiles, OUTAGE)
    await bench.outcomes()
    [(_, request)] = bench.workers.asked
    assert isinstance(request, CopySmallFiles)
    partials = [each.partial for each in request.files]
    assert partials == [transfer.partial for transfer in bench.journal.transfers.values()]
    assert all(has_our_tag(IDENTITY, partial) for partial in partials)
    assert len(set(partials)) == 3


async def test_a_file_that_the_journal_has_already_is_left_to_be_copied_alone(bench: Bench) -> None:
    for file in FILES:
        bench.journal.begin(file, ".old.partial")
    assert all(map(goes_back, await bench.outcomes()))
    assert bench.journal.diary == ["begin_or_resume"]
    assert {transfer.partial for transfer in bench.journal.transfers.values()} == {".old.partial"}


async def test_a_file_that_is_not_batchable_is_left_and_the_others_are_delivered(bench: Bench) -> None:
    bench.workers.script(CopySmallFiles, CopiedFiles((COPIED, NotBatchable(), COPIED)))
    bench.workers.script(PublishFiles, PublishedFiles((PUBLISHED[0], PUBLISHED[2])))
    bench.workers.script(RemoveSources, RemovedSources((GONE,) * 2))
    one, declined, another = await bench.outcomes()
    assert isinstance(one, Delivered)
    assert isinstance(another, Delivered)
    assert goes_back(declined)
    assert bench.step(FILES[1]) is TransferPhase.COPYING


@pytest.mark.parametrize("fault", [SOURCE_FAULT, CORRUPT])
async def test_a_files_own_fault_fails_an_attempt_of_it_alone(bench: Bench, fault: Fault) -> None:
    bench.workers.script(CopySmallFiles, CopiedFiles((COPIED, fault, COPIED)))
    bench.workers.script(PublishFiles, PublishedFiles((PUBLISHED[0], PUBLISHED[2])))
    bench.workers.script(RemoveSources, RemovedSources((GONE,) * 2))
    one, failed, another = await bench.outcomes()
    assert isinstance(one, Delivered)
    assert isinstance(another, Delivered)
    assert isinstance(failed, AttemptFailed)
    assert failed.fault == fault
    altered = [event for event in bench.events if event == CounterIncremented("verify_failure", ROUTE.name)]
    assert len(altered) == (fault is CORRUPT)


async def test_a_source_that_does_not_answer_any_more_is_asked_once_for_a_batch(
    bench: Bench, autojump_clock: MockClock
) -> None:
    bench.workers.script(CopySmallFiles, CopiedFiles((SOURCE_FAULT,) * 3))
    bench.workers.script(ExamineSource, SILENCE)
    assert kinds_of(await bench.outcomes()) == {FaultKind.SOURCE_OUTAGE}
    assert autojump_clock.current_time() == 30.0


async def test_what_arrived_altered_at_first_is_counted(bench: Bench) -> None:
    bench.workers.script(CopySmallFiles, CopiedFiles((COPIED, evolve(COPIED, repaired_blocks=1), COPIED)))
    await bench.outcomes()
    assert bench.events == [CounterIncremented("verify_failure", ROUTE.name)]


@pytest.mark.parametrize("request_kind", [CopySmallFiles, PublishFiles, RemoveSources])
async def test_an_outage_interrupts_all_that_are_not_delivered(bench: Bench, request_kind: type) -> None:
    bench.workers.script(request_kind, OUTAGE)
    outcomes = await bench.outcomes()
    assert all(isinstance(outcome, Interrupted) and outcome.fault == OUTAGE for outcome in outcomes)
    assert not bench.journal.ended
    reached = {
        CopySmallFiles: TransferPhase.COPYING,
        PublishFiles: TransferPhase.VERIFIED,
        RemoveSources: TransferPhase.PUBLISHED,
    }
    assert {bench.step(file) for file in FILES} == {reached[request_kind]}


@pytest.mark.parametrize("request_kind", [PublishFiles, RemoveSources])
async def test_an_outage_that_one_file_meets_interrupts_that_one(bench: Bench, request_kind: type) -> None:
    bench.meets(request_kind, OUTAGE)
    one, interrupted, another = await bench.outcomes()
    assert isinstance(one, Delivered)
    assert isinstance(another, Delivered)
    assert isinstance(interrupted, Interrupted)
    assert interrupted.fault == OUTAGE


@pytest.mark.parametrize("request_kind", [PublishFiles, RemoveSources])
async def test_another_fault_of_one_file_is_left_to_be_met_when_it_is_copied_alone(
    bench: Bench, request_kind: type
) -> None:
    bench.meets(request_kind, SOURCE_FAULT)
    _, back, _ = await bench.outcomes()
    assert goes_back(back)


@pytest.mark.parametrize(
    ("request_kind", "kind"),
    [
        (CopySmallFiles, FaultKind.DESTINATION),
        (PublishFiles, FaultKind.DESTINATION),
        (RemoveSources, FaultKind.SOURCE_OUTAGE),
    ],
)
async def test_whoever_does_not_answer_has_the_outage(
    bench: Bench, autojump_clock: MockClock, request_kind: type, kind: FaultKind
) -> None:
    bench.workers.script(request_kind, Says(None))
    outcomes = await bench.outcomes()
    assert {
        outcome.fault.kind for outcome in outcomes if isinstance(outcome, Interrupted) and outcome.fault
    } == {kind}
    assert autojump_clock.current_time() == 30.0


async def test_a_source_that_does_not_answer_while_it_is_read_has_the_outage(
    bench: Bench, autojump_clock: MockClock
) -> None:
    bench.workers.script(CopySmallFiles, Says(None, silent_side=Side.SOURCE))
    bench.workers.script(ExamineSource, SILENCE)
    assert kinds_of(await bench.outcomes()) == {FaultKind.SOURCE_OUTAGE}
    assert autojump_clock.current_time() == 60.0


async def test_one_file_that_hangs_costs_no_other_file_of_its_batch_an_attempt(
    bench: Bench, autojump_clock: MockClock
) -> None:
    bench.workers.script(CopySmallFiles, Says(None, silent_side=Side.SOURCE))
    bench.workers.script(ExamineSource, ScanEnd((), (), 5))
    assert all(map(goes_back, await bench.outcomes()))
    assert autojump_clock.current_time() == 30.0


@pytest.mark.parametrize("request_kind", [CopySmallFiles, PublishFiles])
async def test_a_workers_death_costs_nobody_an_attempt(bench: Bench, request_kind: type) -> None:
    bench.workers.script(request_kind, DIED)
    assert all(map(goes_back, await bench.outcomes()))


async def test_a_worker_that_died_over_the_sources_is_asked_again(bench: Bench) -> None:
    bench.workers.script(RemoveSources, DIED, RemovedSources((GONE,) * 3))
    assert all(isinstance(outcome, Delivered) for outcome in await bench.outcomes())


async def test_a_source_that_changed_is_kept_with_the_reason(bench: Bench) -> None:
    bench.workers.script(RemoveSources, RemovedSources((GONE, SourceRemoved("it was written to"), GONE)))
    _, kept, _ = await bench.outcomes()
    assert isinstance(kept, Delivered)
    assert kept.delivery.kept
    assert bench.journal.ended[1] == Ended("b.mxf", "kept", 1, "it was written to", f"{NAS}/b.mxf")


async def test_what_the_route_keeps_is_no_error(bench: Bench) -> None:
    bench.route = evolve(ROUTE, after="keep")
    bench.workers.script(RemoveSources, RemovedSources((SourceRemoved("the route keeps its sources"),) * 3))
    await bench.outcomes()
    assert {(end.result, end.error) for end in bench.journal.ended} == {("kept", None)}


@pytest.mark.parametrize("operation", ["begin_or_resume", "mark_verified", "mark_published"])
async def test_nothing_is_done_that_could_not_be_written_down_before(bench: Bench, operation: str) -> None:
    bench.journal.broken.add(operation)
    outcomes = await bench.outcomes()
    assert bench.journal.diary == ALL_STEPS[: ALL_STEPS.index(operation) + 1]
    assert {
        outcome.fault.kind for outcome in outcomes if isinstance(outcome, Interrupted) and outcome.fault
    } == {FaultKind.JOURNAL}


async def test_sources_that_are_gone_are_delivered_even_if_that_cannot_be_written_down(
    bench: Bench,
) -> None:
    bench.journal.broken.add("finish")
    bench.workers.script(RemoveSources, RemovedSources((GONE, SourceRemoved("it was written to"), GONE)))
    one, kept, another = await bench.outcomes()
    assert isinstance(one, Delivered)
    assert isinstance(another, Delivered)
    assert kinds_of([kept]) == {FaultKind.JOURNAL}


async def test_a_cancelled_batch_leaves_all_its_files_to_be_copied_again(
    bench: Bench, nursery: trio.Nursery
) -> None:
    bench.workers.script(CopySmallFiles, Says(CopiedFiles((COPIED,) * 3), took_s=5.0))
    task, scope = bench.task(), trio.CancelScope()

    async def run() -> None:
        with scope:
            await task.run()

    nursery.start_soon(run)
    await wait_all_tasks_blocked()
    scope.cancel()
    await wait_all_tasks_blocked()
    assert [type(request) for request in bench.workers.killed] == [CopySmallFiles]
    assert all(map(goes_back, task.outcomes()))


async def test_kept_files_of_a_batch_with_other_attributes_are_not_delivered_again(bench: Bench) -> None:
    bench.route = evolve(ROUTE, after="keep")
    touched = evolve(FILES[0], signature=but(FILES[0].signature, inode=99))
    bench.journal.remember_result(evolve(kept_before(touched), hash=HASH))
    bench.workers.script(HashSource, SourceHashed(DIGEST))
    bench.workers.script(CopySmallFiles, CopiedFiles((COPIED,) * 2))
    bench.workers.script(PublishFiles, PublishedFiles(PUBLISHED[1:]))
    bench.workers.script(RemoveSources, RemovedSources((SourceRemoved("the route keeps its sources"),) * 2))
    outcomes = await bench.outcomes()
    assert [type(outcome) for outcome in outcomes] == [Delivered] * 3
    assert [each.path for each in bench.journal.ended] == [file.path for file in FILES]


# Files that were not examined before


async def test_those_that_their_copy_finds_unfinished_are_the_trackers_again_and_the_others_delivered(
    bench: Bench,
) -> None:
    evidence = FinishEvidence(WriterState.OPEN, ContainerState.UNKNOWN)
    results = (COPIED, Unfinished(evidence), Unfinished(None))
    bench.workers.script(CopySmallFiles, CopiedFiles(results))
    bench.workers.script(PublishFiles, PublishedFiles(PUBLISHED[:1]))
    bench.workers.script(RemoveSources, RemovedSources((GONE,)))
    began_s = trio.current_time()
    delivered, *unfinished = await bench.outcomes()
    assert isinstance(delivered, Delivered)
    assert [outcome.file for outcome in unfinished if isinstance(outcome, FoundUnfinished)] == list(FILES[1:])
    [found] = bench.unfinished
    assert found.files == ((FILES[1], evidence), (FILES[2], None))
    assert began_s <= found.began_s < trio.current_time()
    assert bench.journal.transfers == {}
    assert bench.journal.diary == [*ALL_STEPS[:2], "withdraw", *ALL_STEPS[2:]]


async def test_a_batch_that_was_not_examined_is_examined_by_its_copy(bench: Bench) -> None:
    rule = FinishRule(frozenset(), frozenset())
    bench.files = tuple(evolve(file, finish_rule=rule) for file in FILES)
    await bench.outcomes()
    [request] = [request for _, request in bench.workers.asked if isinstance(request, CopySmallFiles)]
    assert [file.finish_rule for file in request.files] == [rule] * 3
