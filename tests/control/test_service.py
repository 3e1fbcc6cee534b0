"""Control: what a client gets as an answer, and what becomes of a command."""

from collections.abc import Callable
from functools import partial
from typing import Self

import pytest
import trio
from attrs import field, frozen
from trio.testing import MockClock

from agent.control.errors import Conflict, InvalidConfig, NotFound, Unavailable
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
from agent.messages.runtime import Reload
from agent.model.transfer import Status
from agent.model.views import FileStatus, FileView, HistoryQuery, Snapshot, Update
from agent.worker_pool import WorkerPool
from tests.fakes import FakeLedger
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
class House:
    """What stands behind a desk; `answer` is what a visitor's feed begins with."""

    desk: Control
    facts: trio.MemoryReceiveChannel[BroadcasterInbox]
    reloads: trio.MemoryReceiveChannel[Reload]
    orders: trio.MemoryReceiveChannel[DispatcherInbox]
    ledger: FakeLedger
    commands: list[Command] = field(factory=list)

    @classmethod
    def open(cls, reasons: Callable[[], tuple[str, ...]] = tuple, capacity: int = 8) -> Self:
        facts_in, facts_out = trio.open_memory_channel[BroadcasterInbox](capacity)
        reloads_in, reloads_out = trio.open_memory_channel[Reload](1)
        orders_in, orders_out = trio.open_memory_channel[DispatcherInbox](capacity)
        ledger = FakeLedger()
        desk = Control(
            facts_in, reloads_in, ledger, lambda: b"metrics", reasons, UploadControl(ledger, WorkerPool(""))
        )
        desk.connect(orders_in)
        return cls(desk, facts_out, reloads_out, orders_out, ledger)

    async def receive_visitors(self, snapshot: Snapshot) -> None:
        async for fact in self.facts:
            if isinstance(fact, GetSnapshot):
                fact.answer.send_nowait(snapshot)
                continue
            assert isinstance(fact, Subscribe)
            for news in (snapshot, UPDATE):
                fact.feed.send_nowait(news)
            fact.feed.close()

    async def answer_commands(self, *results: CommandResult) -> None:
        """As the dispatcher does; the diary shows when a command came."""
        for result in results:
            asked = await self.orders.receive()
            assert isinstance(asked, AskScheduler)
            self.commands.append(asked.command)
            self.ledger.diary.append(type(asked.command).__name__)
            asked.answer.send_nowait(result)


def opened(nursery: trio.Nursery, snapshot: Snapshot = SNAPSHOT, *results: CommandResult) -> House:
    """`results`: the scheduler's answers to the next commands."""
    house = House.open()
    nursery.start_soon(house.receive_visitors, snapshot)
    nursery.start_soon(house.answer_commands, *results)
    return house


async def test_a_feed_brings_what_the_broadcaster_says_until_it_closes(nursery: trio.Nursery) -> None:
    async with opened(nursery).desk.feed() as feed:
        assert [news async for news in feed] == [SNAPSHOT, UPDATE]


async def test_a_snapshot_is_to_be_had_without_a_feed(nursery: trio.Nursery) -> None:
    assert await opened(nursery).desk.snapshot() is SNAPSHOT


@pytest.mark.parametrize("capacity", [0, 8])
async def test_nobody_waits_long_for_a_house_that_does_not_answer(
    capacity: int, autojump_clock: MockClock
) -> None:
    house = House.open(capacity=capacity)
    with pytest.raises(Unavailable):
        await house.desk.snapshot()
    assert autojump_clock.current_time() == SEND_TIMEOUT_S


async def test_a_closed_desk_receives_nobody() -> None:
    house = House.open()
    house.desk.close()
    for ask in (house.desk.snapshot, house.desk.retry_all, house.desk.reload):
        with pytest.raises(Unavailable):
            await ask()
    for end in (house.facts, house.orders, house.reloads):
        with pytest.raises(trio.EndOfChannel):
            await end.receive()


async def test_history_and_metrics_are_handed_through() -> None:
    house = House.open()
    assert (await house.desk.history(HistoryQuery(before_id=5))).next_before_id == 5
    assert house.desk.render_metrics() == b"metrics"


async def test_a_pause_is_in_the_journal_before_the_scheduler_gets_it(nursery: trio.Nursery) -> None:
    house = opened(nursery, SNAPSHOT, DONE, DONE)
    assert await house.desk.pause("mxf") == "done"
    assert house.ledger.paused_routes == {"mxf"}
    assert await house.desk.resume("mxf") == "done"
    assert house.ledger.paused_routes == set()
    assert house.commands == [PauseRoute("mxf"), ResumeRoute("mxf")]
    assert house.ledger.diary == ["set_paused", "PauseRoute", "set_paused", "ResumeRoute"]


async def test_the_journal_and_the_scheduler_get_pauses_and_resumes_in_the_same_order(
    nursery: trio.Nursery,
) -> None:
    house = opened(nursery, SNAPSHOT, *[DONE] * 6)
    async with trio.open_nursery() as clients:
        for command in [house.desk.pause, house.desk.resume] * 3:
            clients.start_soon(command, "mxf")
    assert len(house.commands) == 6
    assert house.ledger.diary[::2] == ["set_paused"] * 6
    last = house.commands[-1]
    assert house.ledger.paused_routes == ({"mxf"} if isinstance(last, PauseRoute) else set())


async def test_a_route_that_does_not_exist_can_be_neither_paused_nor_resumed(nursery: trio.Nursery) -> None:
    house = opened(nursery)
    for command in (house.desk.pause, house.desk.resume):
        with pytest.raises(NotFound, match="no route is named 'wav'"):
            await command("wav")
    assert house.ledger.diary == []


async def test_a_route_that_is_removed_meanwhile_leaves_no_pause_in_the_journal(
    nursery: trio.Nursery,
) -> None:
    house = opened(nursery, SNAPSHOT, CommandResult("no route is named 'mxf'", Refusal.NOT_FOUND))
    with pytest.raises(NotFound, match="no route is named 'mxf'"):
        await house.desk.pause("mxf")
    assert house.ledger.paused_routes == set()


async def test_a_failure_is_cleared_in_the_journal_before_the_file_is_tried_again(
    nursery: trio.Nursery,
) -> None:
    house = opened(nursery, a_snapshot(Status.FAILED), DONE)
    assert await house.desk.retry("f1") == "done"
    assert house.ledger.pardoned == [("mxf", "a.mxf")]
    assert house.commands == [Retry("f1")]
    assert house.ledger.diary == ["clear_failure", "Retry"]


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.FAILED])
async def test_only_a_failed_file_can_be_tried_again(nursery: trio.Nursery, status: Status) -> None:
    house = opened(nursery, a_snapshot(status), DONE)
    with pytest.raises(Conflict, match=f"a.mxf is {status.value}: only a Failed file can be retried"):
        await house.desk.retry("f1")
    assert house.ledger.diary == []


async def test_a_retry_of_a_file_that_has_meanwhile_gone_is_not_accepted(nursery: trio.Nursery) -> None:
    house = opened(nursery, a_snapshot(Status.FAILED), UNKNOWN)
    with pytest.raises(NotFound, match="no tracked file has the id 'f1'"):
        await house.desk.retry("f1")
    assert house.commands == [Retry("f1")]


async def test_a_retry_of_a_file_that_another_client_has_retried_is_a_conflict(
    nursery: trio.Nursery,
) -> None:
    why = "a.mxf is InQueue: only a Failed file can be retried"
    house = opened(nursery, a_snapshot(Status.FAILED), CommandResult(why, Refusal.WRONG_STATE))
    with pytest.raises(Conflict, match=why):
        await house.desk.retry("f1")


async def test_all_failed_files_can_be_tried_again_at_once(nursery: trio.Nursery) -> None:
    house = opened(nursery, SNAPSHOT, CommandResult("failed files queued again: 3"))
    assert await house.desk.retry_all() == "failed files queued again: 3"
    assert house.commands == [RetryAll()]


async def test_a_cancel_is_answered_by_the_scheduler_alone(nursery: trio.Nursery) -> None:
    why = "a.mxf is Failed: there is nothing to cancel"
    house = opened(nursery, SNAPSHOT, DONE, CommandResult(why, Refusal.WRONG_STATE))
    assert await house.desk.cancel("f1") == "done"
    with pytest.raises(Conflict, match=why):
        await house.desk.cancel("f1")
    assert house.commands == [Cancel("f1")] * 2


@pytest.mark.parametrize(
    "status", [Status.DISCOVERED, Status.GROWING, Status.HELD, Status.READY, Status.COMPLETED]
)
async def test_a_cancel_of_a_file_that_the_scheduler_has_not_yet_or_no_longer_says_how_it_is(
    nursery: trio.Nursery, status: Status
) -> None:
    house = opened(nursery, a_snapshot(status), UNKNOWN)
    with pytest.raises(Conflict, match=f"a.mxf is {status.value}: there is nothing to cancel"):
        await house.desk.cancel("f1")


async def test_a_file_that_is_not_tracked_can_be_neither_retried_nor_cancelled(
    nursery: trio.Nursery,
) -> None:
    unknown = CommandResult("no tracked file has the id 'f2'", Refusal.NOT_FOUND)
    house = opened(nursery, SNAPSHOT, unknown)
    for command in (house.desk.retry, house.desk.cancel):
        with pytest.raises(NotFound, match="no tracked file has the id 'f2'"):
            await command("f2")
    assert house.commands == [Cancel("f2")]


async def test_a_journal_that_cannot_be_used_just_now_means_come_back(nursery: trio.Nursery) -> None:
    house = opened(nursery, a_snapshot(Status.FAILED))
    house.ledger.broken |= {"set_paused", "clear_failure", "history"}
    for command, about in (
        (house.desk.pause, "mxf"),
        (house.desk.resume, "mxf"),
        (house.desk.retry, "f1"),
    ):
        with pytest.raises(Unavailable):
            await command(about)
    with pytest.raises(Unavailable):
        await house.desk.history(HistoryQuery())
    assert house.orders.statistics().current_buffer_used == 0


async def test_while_no_dispatcher_runs_every_command_has_to_come_back(nursery: trio.Nursery) -> None:
    house = House.open()
    nursery.start_soon(house.receive_visitors, a_snapshot(Status.FAILED))
    house.desk.connect(None)
    for command in (
        partial(house.desk.pause, "mxf"),
        partial(house.desk.resume, "mxf"),
        partial(house.desk.retry, "f1"),
        house.desk.retry_all,
        partial(house.desk.cancel, "f1"),
    ):
        with pytest.raises(Unavailable):
            await command()
    assert house.ledger.diary == []
    with pytest.raises(trio.EndOfChannel):
        await house.orders.receive()


async def test_a_command_that_a_dispatcher_takes_and_never_answers_has_to_come_back(
    autojump_clock: MockClock,
) -> None:
    house = House.open()
    with pytest.raises(Unavailable):
        await house.desk.retry_all()
    assert autojump_clock.current_time() == COMMAND_TIMEOUT_S


async def test_a_dispatcher_that_takes_nothing_is_not_waited_for_long(autojump_clock: MockClock) -> None:
    house = House.open(capacity=0)
    with pytest.raises(Unavailable):
        await house.desk.retry_all()
    assert autojump_clock.current_time() == SEND_TIMEOUT_S


async def test_an_invalid_configuration_is_rejected_with_every_reason() -> None:
    house = House.open(reasons=lambda: ("no route", "bad key"))
    with pytest.raises(InvalidConfig, match="no route; bad key") as caught:
        await house.desk.reload()
    assert caught.value.reasons == ("no route", "bad key")
    assert house.reloads.statistics().current_buffer_used == 0


async def test_a_reload_that_is_pending_stands_for_all_that_are_asked_for() -> None:
    house = House.open()
    for _ in range(3):
        await house.desk.reload()
    assert house.reloads.statistics().current_buffer_used == 1
