"""The order of a transfer's steps: what is in the journal before the next one begins."""

from collections.abc import Callable
from functools import partial
from typing import Literal, TypeVar

import pytest
import trio
from attrs import define, evolve, field
from trio.testing import MockClock

from agent.actors.copier_pool.abort import AbortTask
from agent.actors.copier_pool.follow import FollowTask
from agent.actors.copier_pool.task import Notification, Task
from agent.actors.copier_pool.transfer import BUSY_RETRY_S, DeliverTask
from agent.actors.copier_pool.worker_client import WorkerClient
from agent.config.sections import Route
from agent.journal import history
from agent.messages.broadcaster import CounterIncremented, StatusChanged
from agent.messages.dispatcher import (
    Aborted,
    AttemptFailed,
    Delivered,
    FoundUnfinished,
    Interrupted,
    Outcome,
    TailIdle,
    TransferProgress,
)
from agent.messages.stability_tracker import FilesRemoved, FilesUnfinished
from agent.model.errors import Fault, FaultKind, OutageReason, Side
from agent.model.names import has_our_tag, removing_path
from agent.model.source_file import FileVersion, Signature
from agent.model.storage import BandwidthStep, S3Access
from agent.model.transfer import Delivery, Status, Transfer, TransferPhase
from agent.model.verification import BLOCK_BYTES, DIGEST_BYTES, VerifyLevel
from agent.protocol.replies import (
    BlockPatched,
    Checkpoint,
    Copying,
    Finished,
    Followed,
    Published,
    PublishedFiles,
    RemovedSources,
    Reply,
    ScanEnd,
    SourceExists,
    SourceHashed,
    SourceRemoved,
    TrustedBlocks,
    Unfinished,
    VerifyResult,
    VerifyVerdict,
)
from agent.protocol.requests import (
    AfterMode,
    Bandwidth,
    CheckSeparateFiles,
    CheckSeparateRoots,
    ConfirmDelivery,
    CopyFile,
    DiscardPartial,
    ExamineSource,
    FollowFile,
    HashSource,
    LookUpSource,
    PartialToPublish,
    PublishFiles,
    RemoveSources,
    SourceToRemove,
    VerifyFile,
)
from tests.actors.samples import (
    COPIED,
    COPYING,
    CORRUPT,
    DIGEST,
    DISCARDED,
    FILE,
    HASH,
    PARTIAL_GONE,
    PLACE,
    PUBLISHED,
    VERIFIED,
)
from tests.fakes import SILENCE, Ended, FakeJournal, FakeWorkers, Says
from tests.samples import IDENTITY, NAS, OUTAGE, ROUTE, SOURCE_FAULT, a_state, but, kept_before

OLDER = a_state(version=9)
HEAD = b"h" * DIGEST_BYTES
DISPLACED = Fault(FaultKind.DISPLACED, "another file has the name of the partial, and is left alone")
BUSY = Fault(FaultKind.BUSY, "a killed worker is still at work on the partial")

DIED = Fault(FaultKind.WORKER, "worker process 7 died")
BEGIN = [
    "begin_or_resume",
    "CopyFile",
    "mark_verified",
    "PublishFiles",
    "mark_published",
    "RemoveSources",
    "finish",
]

T = TypeVar("T", bound=Task)


@define
class Bench:
    """Tasks of one file, whose workers do everything at once, unless the test says otherwise."""

    clock: MockClock
    route: Route = ROUTE
    file: FileVersion = FILE
    journal: FakeJournal = field(factory=FakeJournal)
    workers: FakeWorkers = field(init=False)
    events: list[StatusChanged | TransferProgress | CounterIncremented] = field(factory=list)
    unfinished: list[FilesUnfinished] = field(factory=list)
    removed: list[tuple[tuple[FileVersion, ...], str]] = field(factory=list)  # and the step before
    trusted_blocks: dict[str, int] = field(factory=dict)
    separate_routes: set[str] = field(factory=lambda: {ROUTE.name})
    logged_once: set[str] = field(factory=set)
    mounts: dict[str, str] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.workers = FakeWorkers(self.clock, self.journal.diary)
        self.workers.script(CopyFile, COPIED)
        self.workers.script(PublishFiles, PublishedFiles((Published("a.mxf", already_present=False),)))
        self.workers.script(RemoveSources, RemovedSources((SourceRemoved(None),)))
        self.workers.script(DiscardPartial, DISCARDED)
        self.workers.script(CheckSeparateRoots, Finished())
        self.workers.script(CheckSeparateFiles, Finished())
        self.workers.script(ConfirmDelivery, VerifyResult("verified"))
        self.workers.script(LookUpSource, SourceExists(exists=True))
        self.workers.script(ExamineSource, ScanEnd((), (), 5))

    @property
    def diary(self) -> list[str]:
        return self.journal.diary

    @property
    def first_copy(self) -> CopyFile:
        return self.copies()[0]

    def copies(self) -> list[CopyFile]:
        return [request for _, request in self.workers.asked if isinstance(request, CopyFile)]

    def remember(self, transfer: Transfer) -> None:
        self.journal.remember(transfer)

    @property
    def left(self) -> Transfer:
        (transfer,) = self.journal.transfers.values()
        return transfer

    def task(self, attempt: int = 1) -> DeliverTask:
        return self._task(partial(DeliverTask, attempt=attempt))

    def _task(self, kind: Callable[..., T]) -> T:
        async def notify(event: Notification) -> None:
            await trio.lowlevel.checkpoint()
            if isinstance(event, FilesUnfinished):
                self.unfinished.append(event)
            elif isinstance(event, FilesRemoved):
                self.removed.append((event.files, self.diary[-1]))
            else:
                self.events.append(event)

        worker = WorkerClient(self.workers, 30.0)
        shared = (self.trusted_blocks, self.separate_routes, self.logged_once, self.mounts)
        return kind((self.file,), self.route, PLACE, self.journal, worker, notify, *shared)

    async def deliver(self, attempt: int = 1) -> Delivery:
        outcome = await outcome_of(self.task(attempt))
        assert isinstance(outcome, Delivered)
        return outcome.delivery

    async def fails(self, match: str = "") -> Fault:
        """The fault that a copy ends with."""
        return fault_of(await outcome_of(self.task()), match)

    async def follow(self) -> None:
        assert isinstance(await outcome_of(self._task(FollowTask)), TailIdle)

    async def abort(self, attempts: int, error: str | None) -> Outcome:
        return await outcome_of(self._task(partial(AbortTask, attempts=attempts, error=error)))


async def outcome_of(task: Task) -> Outcome:
    await task.run()
    [outcome] = task.outcomes()
    return outcome


def fault_of(outcome: Outcome, match: str = "") -> Fault:
    assert isinstance(outcome, Interrupted | AttemptFailed)
    assert outcome.fault is not None
    assert match in outcome.fault.detail
    return outcome.fault


@pytest.fixture
def bench(autojump_clock: MockClock) -> Bench:
    return Bench(autojump_clock)


# The way, from each place where it may begin


async def test_every_step_is_in_the_journal_before_the_next_begins(bench: Bench) -> None:
    delivery = await bench.deliver(2)
    assert bench.diary == BEGIN
    assert (delivery.destination_path, delivery.level, delivery.hash) == (f"{NAS}/a.mxf", "read_back", HASH)
    assert (delivery.size_bytes, delivery.already_present, delivery.kept) == (100, False, False)
    assert bench.journal.ended == [Ended("a.mxf", "delivered", 2, None, f"{NAS}/a.mxf")]
    assert bench.journal.transfers == {}


@pytest.mark.parametrize("kept", [None, "the route keeps its sources"])
async def test_a_source_that_is_gone_has_been_delivered_whether_or_not_its_history_can_be_written(
    bench: Bench, kept: str | None
) -> None:
    bench.workers.script(RemoveSources, RemovedSources((SourceRemoved(kept),)))
    bench.journal.broken.add("finish")
    if kept is None:
        assert not (await bench.deliver()).kept
    else:
        assert (await bench.fails()).kind is FaultKind.JOURNAL
    assert bench.left.phase is TransferPhase.PUBLISHED


async def test_the_worker_is_asked_for_what_the_route_says(bench: Bench) -> None:
    steps = (BandwidthStep(0, 5),)
    bench.route = evolve(
        ROUTE, after="archive", archive="/old", verify="hash", conflict="fail", bandwidth=steps
    )
    bench.remember(COPYING)
    await bench.deliver()
    state, partial, pace = FILE.signature, COPYING.partial, Bandwidth(steps, shares=ROUTE.workers)
    private = removing_path(IDENTITY, "a.mxf", partial)
    assert [request for _, request in bench.workers.asked] == [
        CopyFile("/src", "a.mxf", state, PLACE, "a.mxf", partial, (), "hash", "fail", pace),
        PublishFiles(PLACE, "fail", (PartialToPublish(partial, "a.mxf", 100, DIGEST),)),
        RemoveSources("/src", "archive", "/old", (SourceToRemove("a.mxf", state, private),)),
    ]


async def test_a_checkpoint_is_in_the_journal_while_the_copy_goes_on(bench: Bench) -> None:
    bench.workers.script(CopyFile, Says(SOURCE_FAULT, (Checkpoint(0, DIGEST), Checkpoint(1, DIGEST * 2))))
    task = bench.task()
    fault_of(await outcome_of(task), "Permission denied")
    assert bench.diary == ["begin_or_resume", "CopyFile", "checkpoint", "checkpoint", "ExamineSource"]
    assert bench.left.blocks == (DIGEST, DIGEST, DIGEST)
    assert task.verified_bytes == 3 * BLOCK_BYTES


async def test_an_interrupted_copy_goes_on_in_its_partial_from_its_verified_blocks(bench: Bench) -> None:
    bench.remember(evolve(COPYING, blocks=(DIGEST, DIGEST)))
    task = bench.task()
    await task.run()
    assert bench.diary == BEGIN
    request = bench.first_copy
    assert (request.partial, request.digests) == (COPYING.partial, (DIGEST, DIGEST))
    assert task.verified_bytes == 2 * BLOCK_BYTES


async def test_what_was_verified_is_published_without_being_copied_again(bench: Bench) -> None:
    bench.remember(VERIFIED)
    await bench.deliver()
    assert bench.diary == ["begin_or_resume", "PublishFiles", "mark_published", "RemoveSources", "finish"]
    assert bench.events == []


async def test_the_tracker_learns_of_a_removed_source_before_the_journal_and_of_a_kept_one_never(
    bench: Bench,
) -> None:
    bench.remember(VERIFIED)
    await bench.deliver()
    assert bench.removed == [((FILE,), "RemoveSources")]
    bench.remember(VERIFIED)
    bench.workers.script(RemoveSources, RemovedSources((SourceRemoved("it changed"),)))
    await bench.deliver()
    assert len(bench.removed) == 1


async def test_of_a_published_file_only_the_source_is_removed(bench: Bench) -> None:
    bench.remember(PUBLISHED)
    delivery = await bench.deliver()
    assert bench.diary == ["begin_or_resume", "ConfirmDelivery", "RemoveSources", "finish"]
    assert delivery.destination_path == f"{NAS}/a_1.mxf"


# Published, and looked at again before the source goes


@pytest.mark.parametrize(
    ("level", "digest"),
    [("read_back", DIGEST), ("read_back_cached", DIGEST), ("hash", None), ("size", None)],
)
async def test_a_published_file_is_looked_at_again_as_closely_as_when_it_was_delivered(
    bench: Bench, level: VerifyLevel, digest: bytes | None
) -> None:
    bench.remember(evolve(PUBLISHED, level=level))
    await bench.deliver()
    assert bench.workers.asked[0][1] == ConfirmDelivery(VerifyFile(PLACE, "a_1.mxf", 100, digest))


@pytest.mark.parametrize("verdict", ["missing", "altered", "unreadable"])
async def test_a_published_file_that_is_gone_is_copied_again_before_its_source_goes(
    bench: Bench, verdict: VerifyVerdict
) -> None:
    bench.remember(PUBLISHED)
    bench.workers.script(ConfirmDelivery, VerifyResult(verdict))
    await bench.deliver()
    looked = ["begin_or_resume", "ConfirmDelivery", "LookUpSource", "restart"]
    assert bench.diary == looked + BEGIN[1:]
    assert bench.first_copy.partial != PUBLISHED.partial


async def test_a_published_file_whose_source_was_removed_may_be_fetched_from_the_destination(
    bench: Bench,
) -> None:
    bench.remember(PUBLISHED)
    bench.workers.script(ConfirmDelivery, VerifyResult("missing"))
    bench.workers.script(LookUpSource, SourceExists(exists=False))
    await bench.deliver()
    assert bench.diary == ["begin_or_resume", "ConfirmDelivery", "LookUpSource", "RemoveSources", "finish"]


async def test_a_source_that_was_being_removed_gets_its_name_back_if_the_destination_has_lost_it(
    bench: Bench,
) -> None:
    bench.remember(PUBLISHED)
    bench.workers.script(ConfirmDelivery, VerifyResult("missing"))
    bench.workers.script(LookUpSource, SourceExists(exists=True, is_renamed=True))
    put_back = RemovedSources((SourceRemoved("it is not to be removed"),))
    bench.workers.script(RemoveSources, put_back, RemovedSources((SourceRemoved(None),)))
    await bench.deliver()
    looked = ["begin_or_resume", "ConfirmDelivery", "LookUpSource", "RemoveSources", "restart"]
    assert bench.diary == looked + BEGIN[1:]
    bench.diary.clear()
    bench.remember(PUBLISHED)
    bench.workers.script(RemoveSources, RemovedSources((SOURCE_FAULT,)))
    assert await bench.fails() == SOURCE_FAULT


async def test_a_source_that_is_being_removed_is_not_compared(bench: Bench) -> None:
    bench.remember(evolve(PUBLISHED, signature=TOUCHED.signature))
    bench.workers.script(HashSource, Fault(FaultKind.SOURCE_GONE, "renamed"))
    await bench.deliver()
    steps = [
        "begin_or_resume",
        "HashSource",
        "update_signature",
        "ConfirmDelivery",
        "RemoveSources",
        "finish",
    ]
    assert bench.diary == steps


async def test_an_outage_says_nothing_about_a_published_file(bench: Bench) -> None:
    bench.remember(PUBLISHED)
    bench.workers.script(ConfirmDelivery, OUTAGE)
    assert await bench.fails() == OUTAGE
    assert bench.left == PUBLISHED


# The destination may be the source


async def test_a_route_whose_two_sides_are_one_folder_moves_nothing(bench: Bench) -> None:
    bench.separate_routes.clear()
    same = Fault(FaultKind.SOURCE_OUTAGE, "one folder")
    bench.workers.script(CheckSeparateRoots, same)
    assert await bench.fails() == same
    assert bench.diary == ["CheckSeparateRoots"]


@pytest.mark.parametrize("died", [False, True])
async def test_what_a_check_leaves_that_was_cut_off_is_an_orphan(bench: Bench, *, died: bool) -> None:
    """The operator may cancel the file: then no next attempt removes it."""
    bench.separate_routes.clear()
    bench.workers.script(CheckSeparateRoots, Fault(FaultKind.WORKER, "it died") if died else SILENCE)
    with trio.move_on_after(1.0):
        await bench.task().run()
    [_, request] = bench.workers.asked[0]
    assert isinstance(request, CheckSeparateRoots)
    assert bench.journal.orphans == [(NAS, request.probe)]


async def test_the_two_sides_of_a_route_are_compared_once(bench: Bench) -> None:
    bench.separate_routes.clear()
    await bench.deliver()
    await bench.deliver()
    assert bench.diary == ["CheckSeparateRoots", *BEGIN, *BEGIN]
    [_, request] = bench.workers.asked[0]
    assert isinstance(request, CheckSeparateRoots)
    assert has_our_tag(IDENTITY, request.probe)
    assert request == CheckSeparateRoots(ROUTE.source, PLACE, request.probe)


async def test_after_an_outage_of_the_source_the_two_sides_are_compared_again(bench: Bench) -> None:
    bench.workers.script(CopyFile, Fault(FaultKind.SOURCE_OUTAGE, "not mounted"))
    await bench.fails()
    assert bench.separate_routes == set()


async def test_a_bucket_is_not_compared_with_the_source(bench: Bench) -> None:
    bench.separate_routes.clear()
    task = bench.task()
    task.destination = evolve(
        PLACE, s3=S3Access("", "", path_style=False, part_size_bytes=8 << 20, timeout_s=10.0)
    )
    await outcome_of(task)
    assert bench.diary == BEGIN


FOUND = Published("a_2.mxf", already_present=True)
SAME_FILE = Fault(FaultKind.CONFLICT, "it is the source file itself")


async def test_a_file_that_is_found_when_it_is_copied_may_be_the_source(bench: Bench) -> None:
    bench.workers.script(CopyFile, evolve(COPIED, published=FOUND))
    bench.workers.script(CheckSeparateFiles, SAME_FILE)
    assert await bench.fails() == SAME_FILE
    assert bench.diary == ["begin_or_resume", "CopyFile", "CheckSeparateFiles"]
    assert bench.left.phase is TransferPhase.COPYING


async def test_a_file_that_is_found_when_it_is_published_may_be_the_source(bench: Bench) -> None:
    bench.workers.script(PublishFiles, PublishedFiles((FOUND,)))
    bench.workers.script(CheckSeparateFiles, SAME_FILE)
    assert await bench.fails() == SAME_FILE
    assert bench.diary == [*BEGIN[:4], "CheckSeparateFiles"]
    assert bench.left.phase is TransferPhase.VERIFIED


async def test_a_file_that_was_found_before_a_restart_may_be_the_source(bench: Bench) -> None:
    bench.remember(evolve(PUBLISHED, already_present=True))
    bench.workers.script(CheckSeparateFiles, SAME_FILE)
    assert await bench.fails() == SAME_FILE
    assert bench.diary == ["begin_or_resume", "ConfirmDelivery", "CheckSeparateFiles"]


async def test_an_outage_while_a_found_file_is_compared_is_no_fault_of_it(bench: Bench) -> None:
    bench.workers.script(PublishFiles, PublishedFiles((FOUND,)))
    bench.workers.script(CheckSeparateFiles, OUTAGE)
    assert isinstance(await outcome_of(bench.task()), Interrupted)


@pytest.mark.parametrize(("after", "at_source"), [("delete", True), ("keep", False)])
async def test_nothing_is_created_in_a_source_that_is_kept(
    bench: Bench, after: AfterMode, *, at_source: bool
) -> None:
    bench.route = evolve(ROUTE, after=after)
    bench.workers.script(CopyFile, evolve(COPIED, published=FOUND))
    await bench.deliver()
    [request] = [each for _, each in bench.workers.asked if isinstance(each, CheckSeparateFiles)]
    assert has_our_tag(IDENTITY, request.temporary)
    assert request == CheckSeparateFiles(ROUTE.source, "a.mxf", PLACE, request.temporary, at_source)


@pytest.mark.parametrize(
    "older", [evolve(COPYING, signature=but(OLDER, inode=9)), evolve(VERIFIED, signature=OLDER)]
)
async def test_the_partial_of_another_state_goes_before_a_fresh_start(bench: Bench, older: Transfer) -> None:
    bench.remember(older)
    await bench.deliver()
    assert bench.diary == ["begin_or_resume", "DiscardPartial", "drop", *BEGIN]
    assert bench.workers.asked[0][1] == DiscardPartial(PLACE, COPYING.partial)
    assert bench.first_copy.partial != COPYING.partial


async def test_a_partial_on_another_destination_is_not_discarded_on_this_one(bench: Bench) -> None:
    bench.remember(evolve(COPYING, destination="/other"))
    await bench.deliver()
    assert bench.diary == ["begin_or_resume", "drop", *BEGIN]
    assert bench.journal.orphans == [("/other", COPYING.partial)]


@pytest.mark.parametrize("trouble", [OUTAGE, SILENCE])
async def test_a_partial_of_another_state_that_cannot_be_discarded_becomes_an_orphan(
    bench: Bench, autojump_clock: MockClock, trouble: Fault | Says
) -> None:
    bench.remember(evolve(VERIFIED, signature=OLDER))
    bench.workers.script(DiscardPartial, trouble)
    await bench.deliver()
    assert autojump_clock.current_time() == (30.0 if trouble is SILENCE else 0.0)
    assert bench.diary == ["begin_or_resume", "DiscardPartial", "drop", *BEGIN]
    assert bench.journal.orphans == [(NAS, COPYING.partial)]
    assert bench.first_copy.partial != COPYING.partial


async def test_a_delivery_of_another_state_stays_delivered(bench: Bench) -> None:
    bench.remember(evolve(PUBLISHED, signature=OLDER))
    await bench.deliver()
    assert bench.diary == ["begin_or_resume", "LookUpSource", "finish", *BEGIN]
    why = "the source changed after it had been delivered"
    assert bench.journal.ended == [
        Ended("a.mxf", "kept", 0, why, f"{NAS}/a_1.mxf"),
        Ended("a.mxf", "delivered", 1, None, f"{NAS}/a.mxf"),
    ]


@pytest.mark.parametrize(("destination", "after"), [(NAS, "delete"), ("/other", "keep")])
async def test_a_removal_of_another_state_that_was_cut_off_is_ended_first(
    bench: Bench, destination: str, after: AfterMode
) -> None:
    """It goes on, or is undone where the route has another destination now."""
    bench.remember(evolve(PUBLISHED, signature=OLDER, destination=destination))
    kept_because = None if after == "delete" else "it is not to be removed any more"
    bench.workers.script(LookUpSource, SourceExists(exists=True, is_renamed=True))
    removed = SourceRemoved(kept_because)
    bench.workers.script(RemoveSources, RemovedSources((removed,)), RemovedSources((SourceRemoved(None),)))
    await bench.deliver()
    looked = ["ConfirmDelivery"] if destination == NAS else []
    assert bench.diary == ["begin_or_resume", "LookUpSource", *looked, "RemoveSources", "finish", *BEGIN]
    [request, _] = [asked for _, asked in bench.workers.asked if isinstance(asked, RemoveSources)]
    private = removing_path(IDENTITY, "a.mxf", PUBLISHED.partial)
    assert request == RemoveSources("/src", after, None, (SourceToRemove("a.mxf", OLDER, private, True),))
    why = "the source changed after it had been delivered"
    assert [ended.error for ended in bench.journal.ended] == [why if kept_because else None, None]


async def test_a_removal_of_another_state_that_cannot_be_ended_is_tried_again(bench: Bench) -> None:
    bench.remember(evolve(PUBLISHED, signature=OLDER))
    bench.workers.script(LookUpSource, SourceExists(exists=True, is_renamed=True))
    bench.workers.script(RemoveSources, RemovedSources((SOURCE_FAULT,)))
    fault_of(await outcome_of(bench.task()), "Permission denied")
    assert bench.left.signature == OLDER


async def test_a_file_that_was_put_back_under_another_name_is_logged(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.workers.script(RemoveSources, RemovedSources((SourceRemoved(None, put_back_as="a_1.mxf"),)))
    await bench.deliver()
    [line] = [record.msg for record in caplog.records if record.levelname == "WARNING"]
    assert isinstance(line, dict)
    assert (line["event"], line["file"], line["now"]) == (
        "another file was put back under another name",
        "a.mxf",
        "a_1.mxf",
    )


async def test_content_that_is_there_already_is_not_published_again(bench: Bench) -> None:
    bench.workers.script(CopyFile, evolve(COPIED, published=Published("a_2.mxf", already_present=True)))
    bench.workers.script(RemoveSources, RemovedSources((SourceRemoved(None),)))
    delivery = await bench.deliver()
    assert bench.diary == [
        "begin_or_resume",
        "CopyFile",
        "CheckSeparateFiles",
        "mark_verified",
        "mark_published",
        "RemoveSources",
        "finish",
    ]
    assert (delivery.destination_path, delivery.already_present) == (f"{NAS}/a_2.mxf", True)
    assert (delivery.level, delivery.hash) == ("read_back", HASH)


async def test_a_name_that_was_taken_is_the_name_that_is_remembered(bench: Bench) -> None:
    bench.workers.script(CopyFile, COPIED)
    bench.workers.script(PublishFiles, PublishedFiles((Published("a_1.mxf", already_present=True),)))
    bench.workers.script(RemoveSources, SOURCE_FAULT)
    await bench.fails()
    left = bench.left
    assert (left.phase, left.name, left.already_present) == (TransferPhase.PUBLISHED, "a_1.mxf", True)


# The same file with other attributes

TOUCHED = evolve(FILE, signature=but(FILE.signature, inode=99, ctime_ns=99))
MOUNTED_AGAIN = but(FILE.signature, device=99)


@pytest.mark.parametrize("transfer", [VERIFIED, PUBLISHED])
async def test_a_file_with_other_attributes_goes_on_where_it_was_if_it_has_the_content(
    bench: Bench, transfer: Transfer
) -> None:
    bench.remember(evolve(transfer, signature=TOUCHED.signature))
    bench.workers.script(HashSource, SourceHashed(DIGEST))
    await bench.deliver()
    assert bench.diary[:3] == ["begin_or_resume", "HashSource", "update_signature"]
    assert bench.workers.asked[0][1] == HashSource(ROUTE.source, "a.mxf", FILE.signature)
    assert "CopyFile" not in bench.diary
    [request] = [each for _, each in bench.workers.asked if isinstance(each, RemoveSources)]
    private = removing_path(IDENTITY, "a.mxf", transfer.partial)
    assert request.files == (SourceToRemove("a.mxf", FILE.signature, private),)


async def test_a_file_with_other_attributes_and_other_content_is_another(bench: Bench) -> None:
    bench.remember(evolve(VERIFIED, signature=TOUCHED.signature))
    bench.workers.script(HashSource, SourceHashed(HEAD))
    await bench.deliver()
    assert bench.diary == ["begin_or_resume", "HashSource", "DiscardPartial", "drop", *BEGIN]


async def test_a_silent_source_while_it_is_hashed_is_an_outage_of_the_source(
    bench: Bench, autojump_clock: MockClock
) -> None:
    bench.remember(evolve(VERIFIED, signature=TOUCHED.signature))
    bench.workers.script(HashSource, SILENCE)
    assert (await bench.fails()).kind is FaultKind.SOURCE_OUTAGE
    assert autojump_clock.current_time() == 30.0


@pytest.mark.parametrize("transfer", [VERIFIED, PUBLISHED])
async def test_a_file_of_a_share_that_was_mounted_again_goes_on_unread(
    bench: Bench, transfer: Transfer
) -> None:
    bench.remember(evolve(transfer, signature=MOUNTED_AGAIN))
    await bench.deliver()
    assert bench.diary[:2] == ["begin_or_resume", "update_signature"]
    assert "HashSource" not in bench.diary


@pytest.mark.parametrize(
    ("signature", "is_compared"),
    [
        (FILE.signature, False),
        (MOUNTED_AGAIN, False),
        (TOUCHED.signature, True),
        (FILE.signature.placeholder(), True),
    ],
)
async def test_the_blocks_of_a_copy_are_compared_with_a_source_that_has_other_attributes(
    bench: Bench, signature: Signature, *, is_compared: bool
) -> None:
    bench.remember(evolve(COPYING, signature=signature, blocks=(DIGEST,)))
    await bench.deliver()
    assert bench.first_copy.source_changed is is_compared


async def test_the_blocks_of_a_copy_are_compared_where_ctime_says_no_more_than_mtime(bench: Bench) -> None:
    bench.file = evolve(FILE, signature=but(FILE.signature, ctime_ns=FILE.signature.mtime_ns))
    bench.remember(evolve(COPYING, signature=bench.file.signature, blocks=(DIGEST,)))
    await bench.deliver()
    assert bench.first_copy.source_changed


async def test_a_kept_file_with_other_attributes_is_not_delivered_again(bench: Bench) -> None:
    bench.route = evolve(ROUTE, after="keep")
    bench.journal.remember_result(evolve(kept_before(TOUCHED), hash=HASH))
    bench.workers.script(HashSource, SourceHashed(DIGEST))
    for _ in range(2):
        delivery = await bench.deliver()
        assert (delivery.destination_path, delivery.kept, delivery.hash) == (f"{NAS}/a.mxf", True, HASH)
    assert bench.diary == ["history.prior_results", "HashSource", "history.remember_kept"] * 2
    [known] = await bench.journal.write(history.prior_results, "mxf", ["a.mxf"])
    assert known.signature == FILE.signature


async def test_a_kept_file_with_other_content_is_delivered_again(bench: Bench) -> None:
    bench.route = evolve(ROUTE, after="keep")
    bench.journal.remember_result(evolve(kept_before(TOUCHED), hash=HASH))
    bench.workers.script(HashSource, SourceHashed(HEAD))
    bench.workers.script(RemoveSources, RemovedSources((SourceRemoved("the route keeps its sources"),)))
    await bench.deliver()
    assert bench.diary == ["history.prior_results", "HashSource", *BEGIN]


# Progress and counters


async def test_progress_is_reported_and_verifying_once(bench: Bench) -> None:
    bench.workers.script(CopyFile, Says(SOURCE_FAULT, (Copying(50, 0), Copying(100, 0), Copying(100, 60))))
    await bench.fails()
    shown = [
        (event.copied_bytes, event.verified_bytes) if isinstance(event, TransferProgress) else event.status
        for event in bench.events
        if not isinstance(event, CounterIncremented)
    ]
    assert shown == [(50, 0), Status.VERIFYING, (100, 0), (100, 60)]


async def test_a_copy_that_reported_nothing_shows_verifying_all_the_same(bench: Bench) -> None:
    await bench.deliver()
    assert [event.status for event in bench.events if isinstance(event, StatusChanged)] == [Status.VERIFYING]


async def test_each_repaired_block_counts_as_a_verify_failure(bench: Bench) -> None:
    bench.workers.script(CopyFile, evolve(COPIED, repaired_blocks=2))
    bench.workers.script(PublishFiles, SOURCE_FAULT)
    await bench.fails()
    assert bench.events.count(CounterIncremented("verify_failure", "mxf")) == 2


# What goes wrong


async def test_a_copy_that_arrives_corrupt_is_counted_and_can_be_resumed(
    bench: Bench,
) -> None:
    bench.remember(COPYING)
    bench.workers.script(CopyFile, CORRUPT)
    await bench.fails("altered")
    assert bench.diary == ["begin_or_resume", "CopyFile"]
    assert bench.events == [CounterIncremented("verify_failure", "mxf")]
    assert bench.left == COPYING


async def test_a_partial_found_corrupt_at_publishing_is_left_for_a_fresh_one(bench: Bench) -> None:
    bench.remember(evolve(VERIFIED, blocks=(DIGEST,)))
    bench.workers.script(PublishFiles, PublishedFiles((CORRUPT,)))
    await bench.fails("altered")
    assert bench.diary == ["begin_or_resume", "PublishFiles", "restart"]
    left = bench.left
    assert (left.phase, left.blocks) == (TransferPhase.COPYING, ())
    assert left.partial != VERIFIED.partial
    assert has_our_tag(IDENTITY, left.partial)
    assert bench.journal.orphans == [(NAS, VERIFIED.partial)]


async def test_a_partial_whose_only_name_is_taken_is_copied_again_into_a_fresh_one(bench: Bench) -> None:
    bench.remember(VERIFIED)
    taken = Fault(FaultKind.CONFLICT, "'a.mxf' was taken while it was being uploaded")
    published = Published("a_1.mxf", already_present=False)
    bench.workers.script(PublishFiles, PublishedFiles((taken,)), PublishedFiles((published,)))
    delivery = await bench.deliver()
    assert bench.diary == ["begin_or_resume", "PublishFiles", "restart", *BEGIN[1:]]
    assert delivery.destination_path == f"{NAS}/a_1.mxf"
    assert bench.first_copy.partial != VERIFIED.partial
    assert bench.journal.orphans == [(NAS, VERIFIED.partial)]


async def test_a_taken_name_that_the_route_refuses_leaves_the_verified_partial(bench: Bench) -> None:
    bench.route = evolve(ROUTE, conflict="fail")
    bench.remember(VERIFIED)
    taken = Fault(FaultKind.CONFLICT, "'a.mxf' exists at the destination with other content")
    bench.workers.script(PublishFiles, PublishedFiles((taken,)))
    assert await bench.fails() == taken
    assert bench.left == VERIFIED


async def test_a_publication_that_meets_an_outage_leaves_the_transfer_verified(bench: Bench) -> None:
    bench.remember(VERIFIED)
    bench.workers.script(PublishFiles, OUTAGE)
    await bench.fails()
    assert bench.left == VERIFIED


async def test_a_copy_in_which_nothing_moves_is_an_outage(bench: Bench, autojump_clock: MockClock) -> None:
    bench.workers.script(CopyFile, SILENCE)
    fault = await bench.fails("nothing moved for 30 s")
    assert (fault.kind, fault.reason) == (FaultKind.DESTINATION, OutageReason.HUNG)
    assert autojump_clock.current_time() == 30.0


async def test_a_worker_that_dies_may_have_removed_the_source_so_another_is_asked(
    bench: Bench,
) -> None:
    bench.remember(PUBLISHED)
    bench.workers.script(RemoveSources, DIED, RemovedSources((SourceRemoved(None),)))
    assert not (await bench.deliver()).kept
    steps = ["begin_or_resume", "ConfirmDelivery", "RemoveSources", "RemoveSources", "finish"]
    assert bench.diary == steps
    bench.remember(PUBLISHED)
    bench.workers.script(RemoveSources, DIED, DIED)
    await bench.fails("died")
    assert bench.left == PUBLISHED


async def test_a_source_that_cannot_be_removed_in_time_is_an_outage_of_the_source(
    bench: Bench, autojump_clock: MockClock
) -> None:
    bench.remember(PUBLISHED)
    bench.workers.script(RemoveSources, SILENCE)
    fault = await bench.fails("source: nothing moved for 30 s")
    assert fault.kind is FaultKind.SOURCE_OUTAGE
    assert autojump_clock.current_time() == 30.0
    assert bench.left == PUBLISHED


@pytest.mark.parametrize(("after", "error"), [("keep", None), ("delete", "a writer holds it open")])
async def test_a_source_that_stays_is_remembered_with_the_reason_unless_the_route_keeps_it(
    bench: Bench, after: Literal["delete", "keep"], error: str | None
) -> None:
    bench.remember(PUBLISHED)
    bench.route = evolve(ROUTE, after=after)
    bench.workers.script(RemoveSources, RemovedSources((SourceRemoved("a writer holds it open"),)))
    delivery = await bench.deliver(3)
    assert delivery.kept
    assert bench.journal.ended == [Ended("a.mxf", "kept", 3, error, f"{NAS}/a_1.mxf")]


async def test_a_source_that_cannot_be_removed_is_kept_after_the_last_attempt(bench: Bench) -> None:
    locked = Fault(FaultKind.SOURCE, "delivered, but a process holds the source open for writing")
    bench.remember(PUBLISHED)
    bench.workers.script(RemoveSources, RemovedSources((locked,)), RemovedSources((locked,)))
    assert await bench.fails() == locked
    delivery = await bench.deliver(ROUTE.max_attempts)
    assert (delivery.kept, delivery.kept_because) == (True, locked.detail)


async def test_a_delivered_file_goes_on_at_the_removal_of_its_source(bench: Bench) -> None:
    bench.journal.remember_result(evolve(kept_before(bench.file), hash=HASH, error="read-only"))
    assert not (await bench.deliver()).kept
    assert bench.diary == [
        "begin_or_resume",
        "ConfirmDelivery",
        "CheckSeparateFiles",
        "RemoveSources",
        "finish",
    ]


async def test_what_only_looks_like_a_delivered_file_is_copied(bench: Bench) -> None:
    before = evolve(bench.file, signature=but(bench.file.signature, inode=99))
    bench.journal.remember_result(evolve(kept_before(before), hash=HASH, error="read-only"))
    bench.workers.script(HashSource, SourceHashed(b"\1" * 16))
    bench.workers.script(LookUpSource, SourceExists(exists=True))
    await bench.deliver()
    assert "CopyFile" in bench.diary


# Giving up


async def test_a_file_given_up_before_its_transfer_began_is_in_the_history(bench: Bench) -> None:
    assert isinstance(await bench.abort(3, "unreadable"), Aborted)
    assert bench.diary == ["find", "record_failure"]
    assert bench.journal.ended == [Ended("a.mxf", "failed", 3, "unreadable", None)]


async def test_there_is_nothing_to_forget_of_what_never_began(bench: Bench) -> None:
    assert isinstance(await bench.abort(0, None), Aborted)
    assert bench.diary == ["find"]


async def test_a_source_that_is_looked_up_has_to_be_on_its_mount(bench: Bench) -> None:
    bench.remember(PUBLISHED)
    bench.mounts[ROUTE.source] = "/mnt/card"
    bench.workers.script(LookUpSource, SourceExists(exists=True))
    await bench.abort(3, "cannot be deleted")
    [(_, look_up)] = bench.workers.asked
    assert isinstance(look_up, LookUpSource)
    assert look_up.mount.point == "/mnt/card"


async def test_a_delivered_file_that_is_given_up_was_delivered_and_kept(bench: Bench) -> None:
    bench.remember(PUBLISHED)
    bench.workers.script(LookUpSource, SourceExists(exists=True))
    assert isinstance(await bench.abort(3, "cannot be deleted"), Aborted)
    assert bench.journal.ended == [Ended("a.mxf", "kept", 3, "cannot be deleted", f"{NAS}/a_1.mxf")]


async def test_a_delivered_file_whose_source_has_gone_by_then_was_delivered(bench: Bench) -> None:
    bench.remember(PUBLISHED)
    bench.workers.script(LookUpSource, SourceExists(exists=False))
    assert isinstance(await bench.abort(1, None), Aborted)
    assert bench.journal.ended == [Ended("a.mxf", "delivered", 1, None, f"{NAS}/a_1.mxf")]


@pytest.mark.parametrize("transfer", [COPYING, VERIFIED])
async def test_giving_up_removes_the_partial_first(bench: Bench, transfer: Transfer) -> None:
    bench.remember(transfer)
    assert isinstance(await bench.abort(3, "unreadable"), Aborted)
    assert bench.diary == ["find", "DiscardPartial", "finish"]
    assert bench.journal.ended == [Ended("a.mxf", "failed", 3, "unreadable", None)]


async def test_forgetting_leaves_neither_partial_nor_history(bench: Bench) -> None:
    bench.remember(COPYING)
    assert isinstance(await bench.abort(1, None), Aborted)
    assert bench.diary == ["find", "DiscardPartial", "drop"]
    assert (bench.journal.transfers, bench.journal.ended) == ({}, [])


async def test_a_whole_copy_whose_source_seems_gone_is_left_to_recovery(bench: Bench) -> None:
    bench.remember(VERIFIED)
    assert isinstance(await bench.abort(1, None), Aborted)
    assert bench.diary == ["find"]
    assert list(bench.journal.transfers.values()) == [VERIFIED]


async def test_a_copy_that_hangs_on_its_source_is_an_outage_of_the_source(
    bench: Bench, autojump_clock: MockClock
) -> None:
    bench.workers.script(CopyFile, Says(None, silent_side=Side.SOURCE))
    bench.workers.script(ExamineSource, SILENCE)
    fault = await bench.fails("source: nothing moved for 30 s")
    assert fault.kind is FaultKind.SOURCE_OUTAGE
    assert autojump_clock.current_time() == 60.0  # the source, too, was asked in vain


async def test_a_copy_that_hangs_while_its_source_answers_is_the_files_own_fault(
    bench: Bench, autojump_clock: MockClock
) -> None:
    bench.workers.script(CopyFile, Says(None, silent_side=Side.SOURCE))
    bench.workers.script(ExamineSource, ScanEnd((), (), 5))
    fault = await bench.fails("source: the file does not answer: nothing moved for 30 s")
    assert fault.kind is FaultKind.SOURCE
    assert autojump_clock.current_time() == 30.0


@pytest.mark.parametrize("kind", [FaultKind.SOURCE, FaultKind.SOURCE_GONE])
async def test_a_fault_that_the_whole_source_has_is_an_outage_of_the_source(
    bench: Bench, kind: FaultKind
) -> None:
    bench.workers.script(CopyFile, Fault(kind, "source: Input/output error (a.mxf)"))
    for why in (FaultKind.SOURCE_OUTAGE, FaultKind.SHORTAGE):
        bench.workers.script(ExamineSource, Fault(why, "source: Input/output error"))
        assert (await bench.fails("source: Input/output error")).kind is why


async def test_a_file_that_seems_gone_is_looked_for_on_the_mount_of_its_source(bench: Bench) -> None:
    bench.mounts[ROUTE.source] = "/mnt/card"
    bench.workers.script(CopyFile, Fault(FaultKind.SOURCE_GONE, "source: No such file or directory"))
    bench.workers.script(ExamineSource, Fault(FaultKind.SOURCE_OUTAGE, "/mnt/card is not mounted"))
    await bench.fails("/mnt/card is not mounted")
    [looked_at] = [request.source for _, request in bench.workers.asked if isinstance(request, ExamineSource)]
    assert looked_at.mount.point == "/mnt/card"


async def test_a_partial_that_a_stuck_worker_holds_is_waited_for_and_then_resumed(
    bench: Bench, autojump_clock: MockClock
) -> None:
    bench.remember(evolve(COPYING, blocks=(DIGEST,)))
    bench.workers.script(CopyFile, BUSY, BUSY, COPIED)
    await bench.deliver()
    assert [request.digests for request in bench.copies()] == 3 * [(DIGEST,)]
    assert len({request.partial for request in bench.copies()}) == 1
    assert autojump_clock.current_time() == 2 * BUSY_RETRY_S


async def test_after_the_stall_timeout_a_copy_begins_again_beside_a_partial_that_stays_held(
    bench: Bench, autojump_clock: MockClock
) -> None:
    bench.remember(evolve(COPYING, blocks=(DIGEST,)))
    bench.workers.script(CopyFile, *int(30.0 / BUSY_RETRY_S) * [BUSY], COPIED)
    await bench.deliver()
    *_, held, fresh = bench.copies()
    assert (held.partial, held.digests) == (COPYING.partial, (DIGEST,))
    assert fresh.partial != COPYING.partial
    assert fresh.digests == ()
    published = [request for _, request in bench.workers.asked if isinstance(request, PublishFiles)]
    assert [request.files[0].partial for request in published] == [fresh.partial]
    assert bench.journal.diary.count("restart") == 1
    assert autojump_clock.current_time() == 30.0


# Something else has the partial's name


async def test_a_copy_whose_partial_was_displaced_begins_again_in_a_fresh_one_at_once(bench: Bench) -> None:
    bench.remember(evolve(COPYING, blocks=(DIGEST,)))
    bench.workers.script(CopyFile, DISPLACED, COPIED)
    await bench.deliver()
    displaced, fresh = bench.copies()
    assert (displaced.partial, displaced.digests) == (COPYING.partial, (DIGEST,))
    assert fresh.partial != COPYING.partial
    assert fresh.digests == ()
    assert bench.journal.orphans == [], "what has its name is none of ours"


async def test_a_verified_partial_that_was_displaced_is_copied_again_at_once(bench: Bench) -> None:
    bench.remember(VERIFIED)
    published = PublishedFiles((Published("a.mxf", already_present=False),))
    bench.workers.script(PublishFiles, PublishedFiles((DISPLACED,)), published)
    bench.workers.script(CopyFile, COPIED)
    await bench.deliver()
    assert bench.first_copy.partial != VERIFIED.partial
    assert bench.journal.orphans == []


# The partial has lost its name: its folder was renamed


async def test_a_copy_whose_partial_is_gone_begins_again_at_once_and_leaves_an_orphan(
    bench: Bench, autojump_clock: MockClock
) -> None:
    bench.remember(evolve(COPYING, blocks=(DIGEST,)))
    late = Says(PARTIAL_GONE, took_s=3600.0)
    bench.workers.script(CopyFile, late, Says(COPIED))
    await bench.deliver()
    gone, fresh = bench.copies()
    assert gone.partial == COPYING.partial != fresh.partial
    assert fresh.digests == ()
    assert bench.journal.orphans == [(NAS, COPYING.partial)]
    assert autojump_clock.current_time() == 3600.0


async def test_a_verified_partial_that_is_gone_is_copied_again_at_once_and_leaves_an_orphan(
    bench: Bench,
) -> None:
    bench.remember(VERIFIED)
    published = PublishedFiles((Published("a.mxf", already_present=False),))
    bench.workers.script(PublishFiles, PublishedFiles((PARTIAL_GONE,)), published)
    bench.workers.script(CopyFile, COPIED)
    await bench.deliver()
    assert bench.first_copy.partial != VERIFIED.partial
    assert bench.journal.orphans == [(NAS, VERIFIED.partial)]


async def test_a_partial_that_is_gone_again_costs_an_attempt(bench: Bench) -> None:
    bench.workers.script(CopyFile, PARTIAL_GONE)
    outcome = await outcome_of(bench.task())
    assert isinstance(outcome, AttemptFailed)
    assert outcome.fault == PARTIAL_GONE
    assert len(bench.copies()) == 2


async def test_a_partial_that_is_displaced_again_and_again_waits_without_an_attempt(bench: Bench) -> None:
    bench.workers.script(CopyFile, DISPLACED)
    outcome = await outcome_of(bench.task())
    assert isinstance(outcome, Interrupted)
    assert outcome.fault == DISPLACED
    assert len(bench.copies()) == 2


@pytest.mark.parametrize("fault", [DISPLACED, PARTIAL_GONE])
async def test_a_followed_file_whose_partial_was_lost_is_followed_into_a_fresh_one(
    bench: Bench, fault: Fault
) -> None:
    bench.remember(evolve(COPYING, signature=OLDER.placeholder(), blocks=(DIGEST,)))
    bench.workers.script(FollowFile, fault, followed())
    await bench.follow()
    displaced, fresh = [request for _, request in bench.workers.asked if isinstance(request, FollowFile)]
    assert displaced.partial == COPYING.partial != fresh.partial
    assert fresh.digests == ()


async def test_the_identity_of_what_was_verified_is_journaled_and_then_that_of_what_was_published(
    bench: Bench,
) -> None:
    bench.workers.script(CopyFile, evolve(COPIED, file_identity="of the partial"))
    published = Published("a.mxf", already_present=False, file_identity="under its name")
    bench.workers.script(PublishFiles, PublishedFiles((published,)))
    bench.workers.script(RemoveSources, SOURCE_FAULT)
    await bench.fails()
    [request] = [request for _, request in bench.workers.asked if isinstance(request, PublishFiles)]
    assert request.files[0].file_identity == "of the partial"
    assert bench.left.file_identity == "under its name"


async def test_a_destination_that_refuses_times_is_told_once(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.workers.script(CopyFile, evolve(COPIED, is_time_set=False))
    for _ in range(2):
        await bench.deliver()
    assert [record.levelname for record in caplog.records if "times are not kept" in record.message] == [
        "WARNING"
    ]


# Growing files


def followed(*replies: Reply) -> Says:
    return Says(Followed(3), replies)


async def test_a_growing_file_is_followed_from_what_is_known_and_every_checkpoint_is_journaled(
    bench: Bench,
) -> None:
    bench.remember(evolve(COPYING, signature=OLDER, blocks=(DIGEST,)))
    bench.workers.script(FollowFile, followed(Checkpoint(1, DIGEST * 2), BlockPatched(0, HEAD)))
    await bench.follow()
    assert bench.diary == ["begin_or_resume", "update_signature", "FollowFile", "checkpoint", "patch"]
    assert bench.left.blocks == (HEAD, DIGEST, DIGEST)
    [request] = [request for _, request in bench.workers.asked if isinstance(request, FollowFile)]
    assert (request.partial, request.digests, request.trusted_blocks) == (COPYING.partial, (DIGEST,), 0)
    assert bench.trusted_blocks == {COPYING.partial: 3}


async def test_a_file_that_grows_after_it_was_ready_is_journaled_as_growing(bench: Bench) -> None:
    bench.remember(evolve(COPYING, blocks=(DIGEST,)))
    bench.workers.script(FollowFile, followed())
    await bench.follow()
    assert bench.diary == ["begin_or_resume", "update_signature", "FollowFile"]
    assert bench.left.signature == FILE.signature.placeholder()
    bench.diary.clear()
    await bench.follow()
    assert bench.diary == ["begin_or_resume", "FollowFile"]


async def test_a_growing_file_that_is_new_begins_and_another_file_of_its_name_goes_first(
    bench: Bench,
) -> None:
    bench.workers.script(FollowFile, followed())
    await bench.follow()
    assert bench.diary == ["begin_or_resume", "FollowFile"]
    bench.diary.clear()
    bench.remember(evolve(COPYING, signature=but(OLDER, inode=9)))
    await bench.follow()
    assert bench.diary == ["begin_or_resume", "DiscardPartial", "drop", "begin_or_resume", "FollowFile"]


@pytest.mark.parametrize("transfer", [VERIFIED, PUBLISHED])
async def test_what_was_delivered_in_this_very_state_is_not_followed(
    bench: Bench, transfer: Transfer
) -> None:
    bench.remember(transfer)
    await bench.follow()
    assert bench.diary == ["begin_or_resume"]


async def test_blocks_that_were_verified_while_the_file_grew_are_trusted_once(bench: Bench) -> None:
    bench.workers.script(FollowFile, followed(Checkpoint(0, DIGEST * 3)))
    bench.workers.script(CopyFile, BUSY, SOURCE_FAULT, COPIED)
    bench.remember(evolve(COPYING, signature=OLDER))
    await bench.follow()
    await bench.fails()
    await bench.deliver(2)
    asked = [(request.source_changed, request.trusted_blocks) for request in bench.copies()]
    assert asked == [(True, 3), (True, 3), (True, 0)], "the first one was kept waiting by a killed worker"


@pytest.mark.parametrize(
    ("replies", "trusted"),
    [
        ((), 0),
        ((TrustedBlocks(2),), 2),
        ((TrustedBlocks(0), Checkpoint(0, DIGEST * 3)), 3),
        ((TrustedBlocks(2), Checkpoint(3, DIGEST, past_cache=False)), 2),
    ],
    ids=["silence", "less than before", "verified anew", "read from the cache alone"],
)
async def test_only_blocks_that_the_last_follower_has_verified_itself_are_trusted(
    bench: Bench, replies: tuple[Reply, ...], trusted: int
) -> None:
    bench.remember(evolve(COPYING, signature=OLDER, blocks=(DIGEST,) * 3))
    bench.workers.script(FollowFile, followed(*replies))
    bench.trusted_blocks[COPYING.partial] = 3
    await bench.follow()
    assert bench.trusted_blocks.get(COPYING.partial, 0) == trusted


async def test_what_was_copied_while_it_grew_is_compared_even_if_it_grew_no_more(bench: Bench) -> None:
    bench.workers.script(FollowFile, followed(TrustedBlocks(0), Checkpoint(0, DIGEST)))
    await bench.follow()
    await bench.deliver()
    assert (bench.first_copy.source_changed, bench.first_copy.trusted_blocks) == (True, 1)


async def test_a_revised_copy_is_of_the_last_state_before_its_name_is_decided(bench: Bench) -> None:
    bench.remember(evolve(COPYING, signature=OLDER, blocks=(DIGEST,)))
    bench.workers.script(CopyFile, Says(COPIED, (BlockPatched(0, HEAD),)))
    await bench.deliver()
    assert bench.diary == ["begin_or_resume", "CopyFile", "patch", "update_signature", *BEGIN[2:]]


async def test_a_copy_of_the_state_that_is_remembered_is_not_revised(bench: Bench) -> None:
    bench.remember(evolve(COPYING, blocks=(DIGEST,)))
    await bench.deliver()
    assert not bench.first_copy.source_changed
    assert "update_signature" not in bench.diary


async def test_a_source_that_does_not_say_whether_a_delivered_file_is_gone_is_no_outage_of_the_destination(
    bench: Bench, autojump_clock: MockClock
) -> None:
    bench.remember(PUBLISHED)
    bench.workers.script(LookUpSource, SILENCE)
    fault = fault_of(await bench.abort(3, "a writer holds it open"))
    assert fault.kind is FaultKind.SOURCE_OUTAGE
    assert autojump_clock.current_time() == 30.0
    assert bench.left == PUBLISHED


# A small file that was not examined before


async def test_one_that_its_copy_finds_unfinished_is_the_trackers_again_and_leaves_nothing(
    bench: Bench,
) -> None:
    bench.workers.script(CopyFile, Unfinished(None))
    outcome = await outcome_of(bench.task())
    assert isinstance(outcome, FoundUnfinished)
    assert [found.files for found in bench.unfinished] == [((bench.file, None),)]
    assert bench.diary == ["begin_or_resume", "CopyFile", "DiscardPartial", "drop"]
    assert bench.journal.transfers == {}
    assert bench.journal.ended == []
