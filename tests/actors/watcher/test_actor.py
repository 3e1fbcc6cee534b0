import logging
from typing import Literal

import pytest
import trio
from attrs import evolve, field, frozen
from trio.testing import MockClock, wait_all_tasks_blocked

from agent.actors.watcher import actor as watcher
from agent.config.sections import Route, Uploads
from agent.config.uploads import upload_route
from agent.messages.broadcaster import CounterIncremented
from agent.messages.channels import BroadcasterInbox, DispatcherInbox
from agent.messages.dispatcher import SourceState
from agent.messages.stability_tracker import FoldersTried, ScanChunk, ScanResult, TrackerInbox
from agent.messages.watcher import (
    Examine,
    PutBack,
    RemoveFolders,
    WatcherInbox,
    WatchEvent,
    WatchStatus,
)
from agent.model.errors import Fault, FaultKind
from agent.model.names import removing_path
from agent.model.source_file import UnreadableFolder
from agent.model.upload import UploadJob, UploadState
from agent.protocol.replies import (
    Examining,
    Finished,
    FoldersRemoved,
    PathsChanged,
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
    SourceMount,
    WatchSource,
)
from agent.worker_pool import OnReply, StallTimeout
from tests.actors.samples import drained
from tests.fakes import SILENCE, FakeJournal, FakeWorkers, Says, lose_patience
from tests.samples import IDENTITY, ROUTE, an_entry

A_ROUTE = evolve(ROUTE, stall_timeout_s=30.0)
EMPTY = ScanEnd((), (), free_bytes=5)
LOCKED = UnreadableFolder("locked", "Permission denied")
UNREADABLE = Fault(FaultKind.SOURCE, "source: Permission denied")


@frozen
class Ends:
    """The other ends of a watcher's channels."""

    inbox: trio.MemorySendChannel[WatcherInbox]
    scans: trio.MemoryReceiveChannel[TrackerInbox]
    facts: trio.MemoryReceiveChannel[BroadcasterInbox]
    reaches: trio.MemoryReceiveChannel[DispatcherInbox]


async def scanned(ends: Ends) -> ScanResult:
    """The next scan, which comes in one part."""
    scan = await ends.scans.receive()
    assert isinstance(scan, ScanResult)
    return scan


def failures(ends: Ends) -> list[SourceState]:
    """What the dispatcher was sent."""
    return [message for message in drained(ends.reaches) if isinstance(message, SourceState)]


def watch(
    nursery: trio.Nursery,
    workers: FakeWorkers,
    route: Route = A_ROUTE,
    journal: FakeJournal | None = None,
    mount_point: str | None = None,
) -> Ends:
    inbox_in, inbox_out = trio.open_memory_channel[WatcherInbox](64)
    scans_in, scans_out = trio.open_memory_channel[TrackerInbox](0)
    facts_in, facts_out = trio.open_memory_channel[BroadcasterInbox](16)
    reaches_in, reaches_out = trio.open_memory_channel[DispatcherInbox](64)
    workers.script(PrepareSource, SourcePrepared(created=False))
    nursery.start_soon(lose_patience)
    mounts = {} if mount_point is None else {route.source: mount_point}
    source = (route, IDENTITY, workers, journal or FakeJournal(), mounts)
    nursery.start_soon(watcher.run, inbox_out, scans_in, reaches_in, facts_in, *source)
    return Ends(inbox_in, scans_out, facts_out, reaches_out)


async def test_the_whole_source_is_scanned_at_once_and_then_in_every_interval(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    workers = FakeWorkers(autojump_clock)
    workers.script(ListSource, EMPTY)
    ends = watch(nursery, workers)
    for _ in range(3):
        assert (await scanned(ends)).examined is None
    assert workers.times(ListSource) == [0, A_ROUTE.scan_s, 2 * A_ROUTE.scan_s]


async def test_the_folder_of_an_upload_job_is_never_made(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    job = UploadJob("j1", "/media", "archive", None, UploadState.PENDING, 1.0, 1.0)
    workers = FakeWorkers(autojump_clock)
    workers.script(ListSource, EMPTY)
    journal = FakeJournal()
    await watch(nursery, workers, upload_route(job, Uploads()), journal).scans.receive()
    assert workers.times(PrepareSource) == []
    assert journal.mounts == {}  # it is remembered as long as the job runs


@pytest.mark.parametrize(
    ("route", "mount_point"), [(A_ROUTE, "/"), (evolve(A_ROUTE, source_marker="here"), None)]
)
async def test_only_at_the_very_first_start_and_without_a_marker_is_a_missing_source_made(
    nursery: trio.Nursery, autojump_clock: MockClock, route: Route, mount_point: str | None
) -> None:
    workers = FakeWorkers(autojump_clock)
    workers.script(ListSource, EMPTY)
    await scanned(watch(nursery, workers, route, mount_point=mount_point))
    assert workers.times(PrepareSource) == []


async def test_the_mount_of_a_source_is_remembered_and_expected_of_all_later_scans(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    workers, journal = FakeWorkers(autojump_clock), FakeJournal()
    workers.script(ListSource, evolve(EMPTY, mount_point="/media/card"))
    workers.script(ExamineSource, evolve(EMPTY, mount_point="/"))
    ends = watch(nursery, workers, evolve(A_ROUTE, source_marker="here"), journal)
    await scanned(ends)
    await ends.inbox.send(WatchEvent(("a",)))
    await scanned(ends)
    await scanned(ends)
    asked = [each.source.mount for _, each in workers.asked if isinstance(each, ListSource | ExamineSource)]
    assert asked == [SourceMount(None, "here"), *[SourceMount("/media/card", "here")] * 2]
    assert journal.mounts == {A_ROUTE.source: "/media/card"}
    assert journal.diary == ["routes.remember_mount"]


async def test_a_mount_that_could_not_be_journaled_is_tried_again_after_the_next_scan(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    workers, journal = FakeWorkers(autojump_clock), FakeJournal()
    workers.script(ListSource, EMPTY)
    journal.fails_next.append("routes.remember_mount")
    ends = watch(nursery, workers, journal=journal)
    await scanned(ends)
    assert journal.mounts == {}
    await scanned(ends)
    assert journal.mounts == {A_ROUTE.source: "/"}


async def test_a_scan_is_passed_on_in_parts_and_its_end_says_what_could_not_be_seen(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    workers = FakeWorkers(autojump_clock)
    first, last = an_entry("a"), an_entry("b")
    end = ScanEnd((last,), (("locked", "Permission denied"),), free_bytes=7)
    workers.script(ListSource, Says(end, (ScanPart((first,)),)))
    scans = watch(nursery, workers).scans
    part, scan = await scans.receive(), await scans.receive()
    assert isinstance(part, ScanChunk)
    assert isinstance(scan, ScanResult)
    assert part.entries == (first,)
    assert (scan.entries, scan.unreadable, scan.free_bytes) == ((last,), (LOCKED,), 7)
    assert part.began_s == scan.began_s


@pytest.mark.parametrize(("after", "warnings"), [("delete", 1), ("keep", 0)])
async def test_it_is_said_before_the_first_file_that_sources_cannot_be_removed(
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
    after: Literal["delete", "keep"],
    warnings: int,
) -> None:
    workers = FakeWorkers(autojump_clock)
    workers.script(ListSource, evolve(EMPTY, may_remove=False))
    ends = watch(nursery, workers, evolve(A_ROUTE, after=after))
    for _ in range(2):
        await scanned(ends)
    assert sum("sources cannot be removed" in str(record.msg) for record in caplog.records) == warnings


async def test_what_a_scan_has_seen_before_it_failed_is_passed_on(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    workers = FakeWorkers(autojump_clock)
    workers.script(ListSource, Says(UNREADABLE, (ScanPart((an_entry("a"),)),)), EMPTY)
    ends = watch(nursery, workers)
    assert [type(await ends.scans.receive()) for _ in range(2)] == [ScanChunk, ScanResult]
    assert [state.error for state in failures(ends)] == [UNREADABLE.detail]


@pytest.mark.parametrize(("growing", "rest_s"), [(False, 60.0), (True, 0.0)])
async def test_after_a_long_scan_of_many_files_there_is_a_rest_unless_growth_is_to_be_seen(
    nursery: trio.Nursery, autojump_clock: MockClock, growing: bool, rest_s: float
) -> None:
    workers = FakeWorkers(autojump_clock)
    many = ScanEnd(tuple(an_entry(path=str(number)) for number in range(2000)), (), free_bytes=5)
    workers.script(ListSource, Says(many, took_s=1.0), EMPTY)
    ends = watch(nursery, workers, evolve(A_ROUTE, growing=growing))
    for _ in range(2):
        await ends.scans.receive()
    assert workers.times(ListSource) == [0, max(A_ROUTE.scan_s, 1.0 + rest_s)]


async def test_a_missing_source_is_made_once_and_failing_to_is_no_reason_to_give_up(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    workers = FakeWorkers(autojump_clock)
    workers.script(ListSource, EMPTY)
    ends = watch(nursery, workers)
    workers.script(PrepareSource, UNREADABLE)
    for _ in range(2):
        await ends.scans.receive()
    assert workers.times(PrepareSource) == [0]


async def test_hints_bring_a_look_at_what_they_name_forward(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    workers = FakeWorkers(autojump_clock)
    workers.script(ListSource, EMPTY)
    workers.script(ExamineSource, ScanEnd((an_entry("a"),), (), 5))
    ends = watch(nursery, workers)
    await ends.scans.receive()
    await trio.sleep(1)
    await ends.inbox.send(WatchEvent(("a",)))
    scan = await scanned(ends)
    assert (scan.examined, scan.entries) == (("a",), (an_entry("a"),))
    assert (scan.began_s, scan.ended_s) == (trio.current_time(), trio.current_time())
    assert workers.times(ExamineSource) == [1]


async def test_closes_are_passed_on_with_the_first_scan_after_them_that_succeeds(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    workers = FakeWorkers(autojump_clock)
    workers.script(ListSource, EMPTY, Says(EMPTY, (ScanPart((an_entry("a"),)),)))
    workers.script(ExamineSource, UNREADABLE, EMPTY)
    ends = watch(nursery, workers)
    assert (await scanned(ends)).closed == ()
    await ends.inbox.send(WatchEvent(("a",), (an_entry("a"),)))  # its examination fails
    part, rest = await ends.scans.receive(), await scanned(ends)
    assert isinstance(part, ScanChunk)
    assert (part.closed, rest.closed) == ((an_entry("a"),), ())
    await ends.inbox.send(WatchEvent(("b",), (an_entry("b"),)))
    assert (await scanned(ends)).closed == (an_entry("b"),)


async def test_a_hint_without_names_scans_everything_now(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    workers = FakeWorkers(autojump_clock)
    workers.script(ListSource, EMPTY)
    ends = watch(nursery, workers)
    await ends.scans.receive()
    await trio.sleep(1)
    await ends.inbox.send(WatchEvent())
    await ends.scans.receive()
    assert workers.times(ListSource) == [0, 1]


async def test_what_gathers_while_the_watcher_is_busy_becomes_one_look_closely_at_what_was_wished(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    workers = FakeWorkers(autojump_clock)
    workers.script(ListSource, EMPTY)
    workers.script(ExamineSource, EMPTY)
    ends = watch(nursery, workers)
    await wait_all_tasks_blocked()  # the first scan waits to be taken
    for message in (WatchEvent(("touched",)), Examine(("wished",)), Examine(("wished too",))):
        ends.inbox.send_nowait(message)
    await ends.scans.receive()
    await ends.scans.receive()
    [request] = [each for _, each in workers.asked if isinstance(each, ExamineSource)]
    assert set(request.paths) == {"touched", "wished", "wished too"}
    assert request.closely == {"wished", "wished too"}


async def test_a_source_in_trouble_is_shown_each_time_logged_once_and_scanned_on(
    nursery: trio.Nursery, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    workers = FakeWorkers(autojump_clock)
    workers.script(ListSource, UNREADABLE, UNREADABLE, SILENCE, EMPTY, UNREADABLE, EMPTY)
    ends = watch(nursery, workers)
    for _ in range(2):
        await ends.scans.receive()
    shown = [ends.facts.receive_nowait() for _ in range(4)]
    assert [fact.error for fact in shown if isinstance(fact, SourceState)] == [
        "source: Permission denied",
        "source: Permission denied",
        "source: no answer within 30 s",
        "source: Permission denied",
    ]
    assert len(caplog.records) == 3  # the first two are one trouble
    assert workers.times(ListSource) == [0, 4, 8, 38, 42, 46]


async def test_a_folder_that_cannot_be_read_is_logged_when_that_begins_and_when_it_is_over(
    nursery: trio.Nursery, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    workers = FakeWorkers(autojump_clock)
    closed = ScanEnd((), (("locked", "Permission denied"),), free_bytes=5)
    many = ScanEnd((), tuple((f"{number:02}", "denied") for number in range(22)), free_bytes=5)
    workers.script(ListSource, closed, closed, EMPTY, many, EMPTY)
    workers.script(ExamineSource, closed)
    ends = watch(nursery, workers)
    await ends.scans.receive()
    await ends.inbox.send(WatchEvent(("locked/a",)))
    for _ in range(4):
        await ends.scans.receive()
    said = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    events = [(line["level"], line["event"], line.get("folder"), line.get("error")) for line in said]
    assert events[:2] == [
        ("warning", "folder cannot be read", "locked", "Permission denied"),
        ("info", "folder can be read again, or is gone", "locked", None),
    ]
    assert len(events) == 2 + 20 + 1
    assert (said[-1]["event"], said[-1]["folders"]) == ("more folders cannot be read", 2)


PRIVATE = removing_path(IDENTITY, "day/a.mxf", ".a.partial")


async def test_a_removal_that_no_transfer_knows_is_undone_and_its_file_examined(
    nursery: trio.Nursery, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    workers = FakeWorkers(autojump_clock)
    workers.script(ListSource, ScanEnd((), (), 0, (PRIVATE,)))
    workers.script(PutBackSources, UNREADABLE, SourcesPutBack(("day/a.mxf",)))
    workers.script(ExamineSource, EMPTY)
    ends = watch(nursery, workers)
    assert (await scanned(ends)).private_paths == (PRIVATE,)
    for _ in range(2):
        await ends.inbox.send(PutBack((PRIVATE,)))
        assert (await scanned(ends)).examined == ("day/a.mxf",)
    [source] = {request.source for _, request in workers.asked if isinstance(request, ListSource)}
    assert source.identity == IDENTITY
    lines = [record.msg["event"] for record in caplog.records if isinstance(record.msg, dict)]
    assert lines == ["interrupted removal cannot be undone", "interrupted removal undone"]


async def test_empty_folders_are_removed_on_the_remembered_mount_and_the_tracker_learns_which(
    nursery: trio.Nursery, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    workers = FakeWorkers(autojump_clock)
    workers.script(ListSource, evolve(EMPTY, mount_point="/mnt"))
    workers.script(RemoveEmptyFolders, Says(FoldersRemoved(("day",)), took_s=1.0))
    ends = watch(nursery, workers)
    await scanned(ends)
    await ends.inbox.send(RemoveFolders(("day", "used")))
    assert await ends.scans.receive() == FoldersTried(("day", "used"), ("day",), 0.0, 1.0)
    [request] = [request for _, request in workers.asked if isinstance(request, RemoveEmptyFolders)]
    assert request == RemoveEmptyFolders(A_ROUTE.source, ("day", "used"), SourceMount("/mnt", None))
    lines = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    assert [(line["event"], line["folder"]) for line in lines] == [("folder removed", "day")]
    assert (await scanned(ends)).examined is None


async def test_a_source_that_is_out_of_reach_keeps_its_empty_folders(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    workers = FakeWorkers(autojump_clock)
    workers.script(ListSource, EMPTY)
    workers.script(RemoveEmptyFolders, Fault(FaultKind.SOURCE_OUTAGE, "not mounted"))
    ends = watch(nursery, workers)
    await scanned(ends)
    await ends.inbox.send(RemoveFolders(("day",)))
    assert (await scanned(ends)).examined is None


@frozen
class Heard:
    hints: trio.MemoryReceiveChannel[WatcherInbox]
    facts: trio.MemoryReceiveChannel[BroadcasterInbox]
    ended: trio.Event = field(factory=trio.Event)


def listen(nursery: trio.Nursery, workers: FakeWorkers) -> Heard:
    hints_in, hints_out = trio.open_memory_channel[WatcherInbox](64)
    facts_in, facts_out = trio.open_memory_channel[BroadcasterInbox](16)
    heard = Heard(hints_out, facts_out)

    async def run() -> None:
        await watcher.watch_events(hints_in, facts_in, A_ROUTE, IDENTITY, workers)
        heard.ended.set()

    nursery.start_soon(lose_patience)
    nursery.start_soon(run)
    return heard


async def test_events_become_hints_and_each_overflow_is_counted_once(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    workers = FakeWorkers(autojump_clock)
    closed = (an_entry("b"),)
    told = PathsChanged(("b",), 1, closed=closed)
    touched = (PathsChanged(("a",), 0), Finished(), PathsChanged((), 1), told)
    workers.script(WatchSource, Says(None, touched))
    heard = listen(nursery, workers)
    hints = [await heard.hints.receive() for _ in range(3)]
    assert hints == [WatchEvent(("a",)), WatchEvent(), WatchEvent(("b",), closed)]
    assert heard.facts.receive_nowait() == CounterIncremented("watch_overflow", "mxf")
    with pytest.raises(trio.WouldBlock):
        heard.facts.receive_nowait()
    await trio.sleep(86_400)  # silence is no fault of a source where nothing happens
    assert workers.times(WatchSource) == [0]


async def test_events_of_our_own_removals_concern_nobody(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    workers = FakeWorkers(autojump_clock)
    touched = (PathsChanged((PRIVATE,), 0), PathsChanged(("a", PRIVATE), 0))
    workers.script(WatchSource, Says(None, touched))
    heard = listen(nursery, workers)
    assert await heard.hints.receive() == WatchEvent(("a",))
    with pytest.raises(trio.WouldBlock):
        heard.hints.receive_nowait()


async def test_a_listener_that_fails_is_set_up_again_later(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    workers = FakeWorkers(autojump_clock)
    overflow = Says(UNREADABLE, (PathsChanged((), 1),))
    workers.script(WatchSource, overflow, overflow, SILENCE)
    heard = listen(nursery, workers)
    await trio.sleep(100)
    assert workers.times(WatchSource) == [0, watcher.WATCH_RETRY_S, 2 * watcher.WATCH_RETRY_S]
    assert heard.facts.statistics().current_buffer_used == 2  # a new queue counts from zero
    told = [heard.hints.receive_nowait() for _ in range(6)]
    assert told == 2 * [WatchEvent(), WatchStatus(active=False), WatchStatus(active=True)]


async def test_while_not_every_folder_is_watched_hints_come_but_no_rest_may_be_taken(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    workers = FakeWorkers(autojump_clock)
    lacking, enough = PathsChanged(("a",), 0, complete=False), PathsChanged((), 0)
    workers.script(WatchSource, Says(None, (lacking, lacking, enough, enough)))
    heard = listen(nursery, workers)
    told = [await heard.hints.receive() for _ in range(6)]
    assert told == [
        WatchStatus(active=False),
        *(WatchEvent(("a",)), WatchEvent(("a",))),
        WatchStatus(active=True),
        *(WatchEvent(), WatchEvent()),
    ]


async def test_where_there_are_no_events_the_listener_ends_quietly(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    workers = FakeWorkers(autojump_clock)
    workers.script(WatchSource, Finished())
    heard = listen(nursery, workers)
    await heard.ended.wait()
    assert workers.times(WatchSource) == [0]
    assert heard.hints.receive_nowait() == WatchStatus(active=False)


async def test_the_dispatcher_and_the_page_learn_of_every_failure(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    workers = FakeWorkers(autojump_clock)
    workers.script(ListSource, EMPTY, UNREADABLE, SILENCE, EMPTY)
    workers.script(ExamineSource, EMPTY)
    ends = watch(nursery, workers)
    assert (await scanned(ends)).examined is None
    await ends.inbox.send(Examine(("a.mxf",)))
    assert (await scanned(ends)).examined == ("a.mxf",)
    assert (await scanned(ends)).examined is None
    scan_s, stall_timeout_s = A_ROUTE.scan_s, A_ROUTE.stall_timeout_s
    states = failures(ends)
    assert [(state.error, state.began_s) for state in states] == [
        (UNREADABLE.detail, scan_s),
        ("source: no answer within 30 s", 2 * scan_s),
    ]
    assert drained(ends.facts) == states
    assert autojump_clock.current_time() == 2 * scan_s + stall_timeout_s


async def test_a_shortage_of_this_machine_says_nothing_about_the_source(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    workers = FakeWorkers(autojump_clock)
    shortage = Fault(FaultKind.SHORTAGE, "this machine is short of memory")
    workers.script(ListSource, shortage, shortage, EMPTY)
    ends = watch(nursery, workers)
    await scanned(ends)
    assert failures(ends) == []
    assert workers.times(ListSource) == [0, A_ROUTE.scan_s, 2 * A_ROUTE.scan_s]


RARELY_SCANNED = evolve(A_ROUTE, scan_s=6000.0)


def examined(workers: FakeWorkers) -> list[tuple[str, ...]]:
    return [request.paths for _, request in workers.asked if isinstance(request, ExamineSource)]


async def test_a_file_that_hangs_is_examined_alone_then_set_aside_and_the_others_go_on(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    workers = FakeWorkers(autojump_clock)
    workers.script(ListSource, EMPTY)
    begun = Examining("bad", (), ())
    workers.script(ExamineSource, Says(None, (begun,)), EMPTY, Says(None, (begun,)), EMPTY, EMPTY)
    ends = watch(nursery, workers, RARELY_SCANNED)
    await scanned(ends)
    await ends.inbox.send(Examine(("bad",)))
    first, second = await scanned(ends), await scanned(ends)
    assert (first.examined, first.hung) == ((), ())
    assert (second.examined, second.hung) == ((), ("bad",))
    assert examined(workers) == [("bad",), (), ("bad",), ()]
    times = workers.times(ExamineSource)
    assert times[1] - times[0] == watcher.BRIEFLY_S
    assert times[3] - times[2] == RARELY_SCANNED.stall_timeout_s
    assert failures(ends) == []
    await ends.inbox.send(Examine(("good",)))
    assert (await scanned(ends)).examined == ("good",)


async def test_what_was_examined_before_a_file_hung_is_reported_and_the_rest_has_its_turn(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    workers = FakeWorkers(autojump_clock)
    workers.script(ListSource, EMPTY)
    ends = watch(nursery, workers, RARELY_SCANNED)
    await scanned(ends)
    await ends.inbox.send(Examine(("a", "b", "c")))
    order: list[str] = []

    async def hang(request: Request, *_: object, on_reply: OnReply, **__: object) -> ScanEnd:
        if isinstance(request, ExamineSource) and len(request.paths) == 3:
            order.extend(request.paths)
            await on_reply(Examining(order[0], (), ()))
            await on_reply(Examining(order[1], (an_entry(order[0]),), (("gone", "EIO"),)))
            raise StallTimeout
        return EMPTY

    workers.ask = hang  # type: ignore[method-assign,assignment]
    scan = await scanned(ends)
    assert scan.examined == (order[0],)
    assert [entry.path for entry in scan.entries] == [order[0]]
    assert [each.folder for each in scan.unreadable] == ["gone"]
    assert (await scanned(ends)).examined == (order[2],)
    assert (await scanned(ends)).examined == (order[1],)


async def test_a_source_that_does_not_answer_either_is_an_outage_and_no_file_is_at_fault(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    workers = FakeWorkers(autojump_clock)
    workers.script(ListSource, EMPTY)
    workers.script(ExamineSource, Says(None, (Examining("a", (), ()),)), SILENCE)
    ends = watch(nursery, workers, RARELY_SCANNED)
    await scanned(ends)
    await ends.inbox.send(Examine(("a",)))
    await scanned(ends)
    assert [state.error for state in failures(ends)] == ["source: no answer within 30 s"]


async def test_a_source_that_answers_late_is_given_more_time(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    workers = FakeWorkers(autojump_clock)
    workers.script(ListSource, EMPTY)
    late = Says(EMPTY, took_s=2 * watcher.BRIEFLY_S)
    workers.script(ExamineSource, SILENCE, EMPTY, late)
    ends = watch(nursery, workers, RARELY_SCANNED)
    await scanned(ends)
    await ends.inbox.send(Examine(("a",)))
    results = [await scanned(ends), await scanned(ends)]
    assert [result.examined for result in results] == [(), ("a",)]
