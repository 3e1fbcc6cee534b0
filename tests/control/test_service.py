"""Reception: what a visitor is told, and what becomes of a command."""

from collections.abc import Callable
from typing import Self

import pytest
import trio
from attrs import frozen
from trio.testing import MockClock

from agent.control.errors import Conflict, InvalidConfig, NotFound, Unavailable
from agent.control.service import SEND_TIMEOUT_S, Control
from agent.control.uploads import UploadControl
from agent.messages.channels import BroadcasterInbox, DispatcherInbox, GetSnapshot, Subscribe
from agent.messages.dispatcher import Cancel, PauseRoute, ResumeRoute, Retry
from agent.messages.runtime import Reload
from agent.model.transfer import Status
from agent.model.views import FileStatus, FileView, HistoryPage, HistoryQuery, Snapshot, Update
from agent.worker_pool import WorkerPool
from tests.fakes import FakeJournal
from tests.samples import STATE, a_route_view

UPDATE = Update(2, (), (), (), ())
WAITING_FOR_PROOF = (Status.DISCOVERED, Status.GROWING, Status.HELD)
ENDED = (Status.COMPLETED, Status.FAILED)


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
    journal: FakeJournal

    @classmethod
    def open(cls, reasons: Callable[[], tuple[str, ...]] = tuple, capacity: int = 8) -> Self:
        facts_in, facts_out = trio.open_memory_channel[BroadcasterInbox](capacity)
        reloads_in, reloads_out = trio.open_memory_channel[Reload](1)
        orders_in, orders_out = trio.open_memory_channel[DispatcherInbox](capacity)
        journal = FakeJournal()
        desk = Control(
            facts_in, reloads_in, journal, lambda: b"metrics", reasons, UploadControl(journal, WorkerPool(""))
        )
        desk.connect(orders_in)
        return cls(desk, facts_out, reloads_out, orders_out, journal)

    async def receive_visitors(self, snapshot: Snapshot) -> None:
        async for fact in self.facts:
            if isinstance(fact, GetSnapshot):
                fact.answer.send_nowait(snapshot)
                continue
            assert isinstance(fact, Subscribe)
            for news in (snapshot, UPDATE):
                fact.feed.send_nowait(news)
            fact.feed.close()


def opened(nursery: trio.Nursery, snapshot: Snapshot = SNAPSHOT) -> House:
    house = House.open()
    nursery.start_soon(house.receive_visitors, snapshot)
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
    query = HistoryQuery(before_id=5)
    assert await house.desk.history(query) == HistoryPage((), None)
    assert house.journal.calls == [("history.page", query)]
    assert house.desk.render_metrics() == b"metrics"


async def test_a_pause_is_in_the_journal_before_it_is_ordered(nursery: trio.Nursery) -> None:
    house = opened(nursery)
    await house.desk.pause("mxf")
    assert house.journal.paused_routes == {"mxf"}
    assert await house.orders.receive() == PauseRoute("mxf")
    await house.desk.resume("mxf")
    assert house.journal.paused_routes == set()
    assert await house.orders.receive() == ResumeRoute("mxf")


async def test_a_route_that_nobody_knows_cannot_be_paused_or_resumed(nursery: trio.Nursery) -> None:
    house = opened(nursery)
    for command in (house.desk.pause, house.desk.resume):
        with pytest.raises(NotFound, match="no route is named 'wav'"):
            await command("wav")
    assert house.journal.diary == []


async def test_a_failed_file_is_pardoned_and_tried_again(nursery: trio.Nursery) -> None:
    house = opened(nursery, a_snapshot(Status.FAILED))
    await house.desk.retry("f1")
    assert house.journal.calls == [("history.clear_failure", "mxf", "a.mxf")]
    assert await house.orders.receive() == Retry("f1")


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.FAILED])
async def test_only_a_failed_file_can_be_tried_again(nursery: trio.Nursery, status: Status) -> None:
    house = opened(nursery, a_snapshot(status))
    with pytest.raises(Conflict, match=f"a.mxf is {status.value}: only a Failed file can be retried"):
        await house.desk.retry("f1")
    assert house.journal.diary == []


async def test_all_failed_files_can_be_tried_again_at_once() -> None:
    house = House.open()
    await house.desk.retry_all()
    assert await house.orders.receive() == Retry(None)


@pytest.mark.parametrize("status", [status for status in Status if status not in WAITING_FOR_PROOF + ENDED])
async def test_a_file_under_way_can_be_cancelled(nursery: trio.Nursery, status: Status) -> None:
    house = opened(nursery, a_snapshot(status))
    await house.desk.cancel("f1")
    assert await house.orders.receive() == Cancel("f1")


@pytest.mark.parametrize("status", WAITING_FOR_PROOF + ENDED)
async def test_where_nothing_is_under_way_there_is_nothing_to_cancel(
    nursery: trio.Nursery, status: Status
) -> None:
    house = opened(nursery, a_snapshot(status))
    with pytest.raises(Conflict, match=f"a.mxf is {status.value}: there is nothing to cancel"):
        await house.desk.cancel("f1")


async def test_a_file_that_nobody_tracks_can_be_neither_retried_nor_cancelled(nursery: trio.Nursery) -> None:
    house = opened(nursery)
    for command in (house.desk.retry, house.desk.cancel):
        with pytest.raises(NotFound, match="no tracked file has the id 'f2'"):
            await command("f2")


async def test_a_journal_that_cannot_be_used_just_now_means_come_back(nursery: trio.Nursery) -> None:
    house = opened(nursery, a_snapshot(Status.FAILED))
    house.journal.broken |= {"routes.set_paused", "history.clear_failure", "history.page"}
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


async def test_between_two_generations_commands_have_to_come_back(nursery: trio.Nursery) -> None:
    house = opened(nursery)
    house.desk.connect(None)
    with pytest.raises(Unavailable):
        await house.desk.pause("mxf")
    with pytest.raises(trio.EndOfChannel):
        await house.orders.receive()


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
