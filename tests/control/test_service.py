"""Control: what a client gets as an answer, and what becomes of a command."""

from collections.abc import Callable
from functools import partial
from typing import Self

import pytest
import trio
from attrs import evolve, field, frozen
from trio.testing import MockClock

from agent.control.errors import Conflict, InvalidConfig, NotFound, Unavailable
from agent.control.journal import JournalControl
from agent.control.service import COMMAND_TIMEOUT_S, SEND_TIMEOUT_S, Control
from agent.control.uploads import UploadControl
from agent.messages.channels import AskScheduler, BroadcasterInbox, DispatcherInbox, GetSnapshot, Subscribe
from agent.messages.dispatcher import (
    Cancel,
    Command,
    CommandResult,
    PauseRoute,
    Refusal,
    ResumeRoute,
    Retry,
    RetryAll,
)
from agent.model.transfer import Status
from agent.model.views import FileStatus, FileView, HistoryPage, HistoryQuery, Snapshot, Update
from agent.worker_pool import WorkerPool
from tests.fakes import FakeJournal
from tests.samples import STATE, a_route_view

UPDATE = Update(2, (), (), (), ())
DONE = CommandResult("done")
UNKNOWN = CommandResult("no tracked file has the id 'f1'", Refusal.NOT_FOUND)


def a_view(status: Status = Status.COPYING) -> FileView:
    return FileView("f1", "a.mxf", STATE, 1.0, FileStatus("mxf", "/src", status))


def a_snapshot(status: Status = Status.COPYING) -> Snapshot:
    return Snapshot(1, (a_view(status),), (a_route_view(),), ())


SNAPSHOT = a_snapshot()


@frozen
class Harness:
    """Control, and the receiving ends of its channels; the test answers as the actors do."""

    control: Control
    broadcaster: trio.MemoryReceiveChannel[BroadcasterInbox]
    reloads: trio.MemoryReceiveChannel[None]
    dispatcher: trio.MemoryReceiveChannel[DispatcherInbox]
    journal: FakeJournal
    commands: list[Command] = field(factory=list)

    @classmethod
    def open(cls, reasons: Callable[[], tuple[str, ...]] = tuple, capacity: int = 8) -> Self:
        events_in, events_out = trio.open_memory_channel[BroadcasterInbox](capacity)
        reloads_in, reloads_out = trio.open_memory_channel[None](1)
        dispatcher_in, dispatcher_out = trio.open_memory_channel[DispatcherInbox](capacity)
        journal = FakeJournal()
        control = Control(
            events_in,
            reloads_in,
            lambda: b"metrics",
            reasons,
        )
        control.use(JournalControl(journal), UploadControl(journal, WorkerPool("")))
        control.connect(dispatcher_in)
        return cls(control, events_out, reloads_out, dispatcher_out, journal)

    async def serve_broadcaster(self, snapshot: Snapshot) -> None:
        async for message in self.broadcaster:
            if isinstance(message, GetSnapshot):
                message.answer.send_nowait(snapshot)
                continue
            assert isinstance(message, Subscribe)
            for item in (snapshot, UPDATE):
                message.feed.send_nowait(item)
            message.feed.close()

    async def answer_commands(self, *results: CommandResult) -> None:
        """As the dispatcher does; the diary shows when a command came."""
        for result in results:
            asked = await self.dispatcher.receive()
            assert isinstance(asked, AskScheduler)
            self.commands.append(asked.command)
            self.journal.diary.append(type(asked.command).__name__)
            asked.answer.send_nowait(result)


def opened(nursery: trio.Nursery, snapshot: Snapshot = SNAPSHOT, *results: CommandResult) -> Harness:
    """`results`: the scheduler's answers to the next commands."""
    harness = Harness.open()
    nursery.start_soon(harness.serve_broadcaster, snapshot)
    nursery.start_soon(harness.answer_commands, *results)
    return harness


async def test_a_feed_brings_what_the_broadcaster_sends_until_it_closes(nursery: trio.Nursery) -> None:
    async with opened(nursery).control.feed() as feed:
        assert [item async for item in feed] == [SNAPSHOT, UPDATE]


async def test_a_snapshot_is_answered_without_a_feed(nursery: trio.Nursery) -> None:
    assert await opened(nursery).control.snapshot() is SNAPSHOT


@pytest.mark.parametrize("capacity", [0, 8])
async def test_nobody_waits_long_for_a_broadcaster_that_does_not_answer(
    capacity: int, autojump_clock: MockClock
) -> None:
    harness = Harness.open(capacity=capacity)
    with pytest.raises(Unavailable):
        await harness.control.snapshot()
    assert autojump_clock.current_time() == SEND_TIMEOUT_S


async def test_a_closed_control_answers_nobody() -> None:
    harness = Harness.open()
    harness.control.close()
    for ask in (harness.control.snapshot, harness.control.retry_all, harness.control.reload):
        with pytest.raises(Unavailable):
            await ask()
    for end in (harness.broadcaster, harness.dispatcher, harness.reloads):
        with pytest.raises(trio.EndOfChannel):
            await end.receive()


async def test_history_and_metrics_are_passed_through() -> None:
    harness = Harness.open()
    query = HistoryQuery(before_id=5)
    assert await harness.control.history(query) == HistoryPage((), None)
    assert harness.journal.calls == [("history.page", query)]
    assert harness.control.render_metrics() == b"metrics"


async def test_a_pause_is_in_the_journal_before_the_scheduler_gets_it(nursery: trio.Nursery) -> None:
    harness = opened(nursery, SNAPSHOT, DONE, DONE)
    assert await harness.control.pause("mxf") == "done"
    assert harness.journal.paused_routes == {"mxf"}
    assert await harness.control.resume("mxf") == "done"
    assert harness.journal.paused_routes == set()
    assert harness.commands == [PauseRoute("mxf"), ResumeRoute("mxf")]
    assert harness.journal.diary == ["routes.set_paused", "PauseRoute", "routes.set_paused", "ResumeRoute"]


async def test_the_journal_and_the_scheduler_get_pauses_and_resumes_in_the_same_order(
    nursery: trio.Nursery,
) -> None:
    harness = opened(nursery, SNAPSHOT, *[DONE] * 6)
    async with trio.open_nursery() as clients:
        for command in [harness.control.pause, harness.control.resume] * 3:
            clients.start_soon(command, "mxf")
    assert len(harness.commands) == 6
    assert harness.journal.diary[::2] == ["routes.set_paused"] * 6
    last = harness.commands[-1]
    assert harness.journal.paused_routes == ({"mxf"} if isinstance(last, PauseRoute) else set())


async def test_a_route_that_does_not_exist_can_be_neither_paused_nor_resumed(nursery: trio.Nursery) -> None:
    harness = opened(nursery)
    for command in (harness.control.pause, harness.control.resume):
        with pytest.raises(NotFound, match="no route is named 'wav'"):
            await command("wav")
    assert harness.journal.diary == []


async def test_a_route_that_is_removed_meanwhile_leaves_no_pause_in_the_journal(
    nursery: trio.Nursery,
) -> None:
    harness = opened(nursery, SNAPSHOT, CommandResult("no route is named 'mxf'", Refusal.NOT_FOUND))
    with pytest.raises(NotFound, match="no route is named 'mxf'"):
        await harness.control.pause("mxf")
    assert harness.journal.paused_routes == set()


async def test_a_failure_is_cleared_in_the_journal_before_the_file_is_tried_again(
    nursery: trio.Nursery,
) -> None:
    harness = opened(nursery, a_snapshot(Status.FAILED), DONE)
    assert await harness.control.retry("f1") == "done"
    assert harness.journal.calls == [("history.clear_failure", "mxf", "a.mxf")]
    assert harness.commands == [Retry("f1")]
    assert harness.journal.diary == ["history.clear_failure", "Retry"]


async def test_the_removal_of_a_delivered_files_source_can_be_tried_again(nursery: trio.Nursery) -> None:
    snapshot = a_snapshot(Status.COMPLETED)
    [file] = snapshot.files
    kept = evolve(file, current=evolve(file.current, kept_because="read-only"))
    harness = opened(nursery, evolve(snapshot, files=(kept,)), DONE)
    assert await harness.control.retry("f1") == "done"
    assert harness.commands == [Retry("f1")]


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.FAILED])
async def test_only_a_failed_file_can_be_tried_again(nursery: trio.Nursery, status: Status) -> None:
    harness = opened(nursery, a_snapshot(status), DONE)
    with pytest.raises(Conflict, match=f"a.mxf is {status.value}: only a Failed file can be retried"):
        await harness.control.retry("f1")
    assert harness.journal.diary == []


async def test_a_retry_of_a_file_that_has_meanwhile_gone_is_not_accepted(nursery: trio.Nursery) -> None:
    harness = opened(nursery, a_snapshot(Status.FAILED), UNKNOWN)
    with pytest.raises(NotFound, match="no tracked file has the id 'f1'"):
        await harness.control.retry("f1")
    assert harness.commands == [Retry("f1")]


async def test_a_retry_of_a_file_that_another_client_has_retried_is_a_conflict(
    nursery: trio.Nursery,
) -> None:
    why = "a.mxf is InQueue: only a Failed file can be retried"
    harness = opened(nursery, a_snapshot(Status.FAILED), CommandResult(why, Refusal.WRONG_STATE))
    with pytest.raises(Conflict, match=why):
        await harness.control.retry("f1")


async def test_all_failed_files_can_be_tried_again_at_once(nursery: trio.Nursery) -> None:
    harness = opened(nursery, SNAPSHOT, CommandResult("failed files queued again: 3"))
    assert await harness.control.retry_all() == "failed files queued again: 3"
    assert harness.commands == [RetryAll()]


async def test_a_cancel_is_answered_by_the_scheduler_alone(nursery: trio.Nursery) -> None:
    why = "a.mxf is Failed: there is nothing to cancel"
    harness = opened(nursery, SNAPSHOT, DONE, CommandResult(why, Refusal.WRONG_STATE))
    assert await harness.control.cancel("f1") == "done"
    with pytest.raises(Conflict, match=why):
        await harness.control.cancel("f1")
    assert harness.commands == [Cancel("f1")] * 2


@pytest.mark.parametrize(
    "status", [Status.DISCOVERED, Status.GROWING, Status.HELD, Status.READY, Status.COMPLETED]
)
async def test_a_cancel_of_a_file_that_the_scheduler_has_not_yet_or_no_longer_says_how_it_is(
    nursery: trio.Nursery, status: Status
) -> None:
    harness = opened(nursery, a_snapshot(status), UNKNOWN)
    with pytest.raises(Conflict, match=f"a.mxf is {status.value}: there is nothing to cancel"):
        await harness.control.cancel("f1")


async def test_a_file_that_is_not_tracked_can_be_neither_retried_nor_cancelled(
    nursery: trio.Nursery,
) -> None:
    unknown = CommandResult("no tracked file has the id 'f2'", Refusal.NOT_FOUND)
    harness = opened(nursery, SNAPSHOT, unknown)
    for command in (harness.control.retry, harness.control.cancel):
        with pytest.raises(NotFound, match="no tracked file has the id 'f2'"):
            await command("f2")
    assert harness.commands == [Cancel("f2")]


async def test_a_journal_that_cannot_be_used_just_now_means_come_back(nursery: trio.Nursery) -> None:
    harness = opened(nursery, a_snapshot(Status.FAILED))
    harness.journal.broken |= {"routes.set_paused", "history.clear_failure", "history.page"}
    for command, about in (
        (harness.control.pause, "mxf"),
        (harness.control.resume, "mxf"),
        (harness.control.retry, "f1"),
    ):
        with pytest.raises(Unavailable):
            await command(about)
    with pytest.raises(Unavailable):
        await harness.control.history(HistoryQuery())
    assert harness.dispatcher.statistics().current_buffer_used == 0


async def test_while_no_dispatcher_runs_every_command_has_to_come_back(nursery: trio.Nursery) -> None:
    harness = Harness.open()
    nursery.start_soon(harness.serve_broadcaster, a_snapshot(Status.FAILED))
    harness.control.connect(None)
    for command in (
        partial(harness.control.pause, "mxf"),
        partial(harness.control.resume, "mxf"),
        partial(harness.control.retry, "f1"),
        harness.control.retry_all,
        partial(harness.control.cancel, "f1"),
    ):
        with pytest.raises(Unavailable):
            await command()
    assert harness.journal.diary == []
    with pytest.raises(trio.EndOfChannel):
        await harness.dispatcher.receive()


async def test_a_command_that_a_dispatcher_takes_and_never_answers_has_to_come_back(
    autojump_clock: MockClock,
) -> None:
    harness = Harness.open()
    with pytest.raises(Unavailable):
        await harness.control.retry_all()
    assert autojump_clock.current_time() == COMMAND_TIMEOUT_S


async def test_a_dispatcher_that_takes_nothing_is_not_waited_for_long(autojump_clock: MockClock) -> None:
    harness = Harness.open(capacity=0)
    with pytest.raises(Unavailable):
        await harness.control.retry_all()
    assert autojump_clock.current_time() == SEND_TIMEOUT_S


async def test_an_invalid_configuration_is_rejected_with_every_reason() -> None:
    harness = Harness.open(reasons=lambda: ("no route", "bad key"))
    with pytest.raises(InvalidConfig, match="no route; bad key") as caught:
        await harness.control.reload()
    assert caught.value.reasons == ("no route", "bad key")
    assert harness.reloads.statistics().current_buffer_used == 0


async def test_a_reload_that_is_pending_stands_for_all_that_are_asked_for() -> None:
    harness = Harness.open()
    for _ in range(3):
        await harness.control.reload()
    assert harness.reloads.statistics().current_buffer_used == 1
