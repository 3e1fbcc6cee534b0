"""The broadcaster alone: every subscriber receives all that changed, in order; none holds it up."""

from typing import Self

import pytest
import trio
from attrs import frozen
from trio.testing import MockClock, wait_all_tasks_blocked

from agent.actors.broadcaster import actor as broadcaster
from agent.actors.broadcaster.metrics import Metrics
from agent.actors.broadcaster.status_model import StatusModel
from agent.messages.broadcaster import (
    CounterIncremented,
    GenerationStarted,
    RouteState,
    StatusChanged,
)
from agent.messages.channels import BroadcasterInbox, GetSnapshot, Subscribe
from agent.messages.dispatcher import TransferProgress
from agent.model.transfer import Status
from agent.model.views import Feed, Snapshot, Update
from tests.samples import ROUTE, a_file

FILE = a_file()
FOUND = StatusChanged(FILE.id, Status.DISCOVERED, 1.0, FILE)
COPYING = StatusChanged(FILE.id, Status.COPYING, 1.0)
BEATS = 20


def progress(copied_bytes: int) -> TransferProgress:
    return TransferProgress(FILE.id, copied_bytes, 0, 1.0)


@frozen
class Bench:
    inbox: trio.MemorySendChannel[BroadcasterInbox]
    metrics: Metrics

    @classmethod
    async def open(cls, nursery: trio.Nursery) -> Self:
        inbox_in, inbox_out = trio.open_memory_channel[BroadcasterInbox](256)
        view = StatusModel()
        metrics = Metrics(view, "1.0")
        nursery.start_soon(broadcaster.run, inbox_out, view, metrics)
        await inbox_in.send(GenerationStarted((ROUTE,), 1.0))
        return cls(inbox_in, metrics)

    async def subscribe(self, capacity: int = 16) -> trio.MemoryReceiveChannel[Feed]:
        feed_in, feed_out = trio.open_memory_channel[Feed](capacity)
        await self.inbox.send(Subscribe(feed_in))
        await wait_all_tasks_blocked()
        return feed_out

    async def send(self, *messages: BroadcasterInbox) -> None:
        for message in messages:
            await self.inbox.send(message)
        await wait_all_tasks_blocked()


async def update(feed: trio.MemoryReceiveChannel[Feed]) -> Update:
    news = await feed.receive()
    assert isinstance(news, Update)
    return news


async def test_a_visitor_gets_a_snapshot_of_all_that_is_known_and_then_numbered_updates(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = await Bench.open(nursery)
    await bench.send(FOUND)
    feed = await bench.subscribe()
    snapshot = await feed.receive()
    assert isinstance(snapshot, Snapshot)
    assert [file.current.status for file in snapshot.files] == [Status.DISCOVERED]
    assert [route.name for route in snapshot.routes] == ["mxf"]
    for number, paused in enumerate((True, False, True)):
        await bench.send(RouteState("mxf", paused))
        news = await update(feed)
        assert news.seq == snapshot.seq + 1 + number
        assert [route.paused for route in news.routes] == [paused]
    assert autojump_clock.current_time() > 0


async def test_no_more_than_four_updates_leave_in_a_second_and_progress_is_told_as_it_is_then(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = await Bench.open(nursery)
    feed = await bench.subscribe(capacity=64)
    await feed.receive()
    await bench.send(FOUND, COPYING)
    for beat in range(BEATS):
        await bench.send(progress(beat))
        await trio.sleep(1 / BEATS)
    await trio.sleep(1)
    assert autojump_clock.current_time() == pytest.approx(2)
    seen = []
    while feed.statistics().current_buffer_used:
        seen += [file.current.copied_bytes for file in (await update(feed)).changed]
    assert len(seen) in (4, 5)  # the first one may leave at the beginning of the second
    assert seen == sorted(seen)
    assert seen[-1] == BEATS - 1


async def test_nothing_is_said_when_nothing_has_changed(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = await Bench.open(nursery)
    feed = await bench.subscribe()
    await feed.receive()
    await bench.send(CounterIncremented("verify_failure", "mxf"))
    await trio.sleep(3600)
    assert feed.statistics().current_buffer_used == 0
    assert autojump_clock.current_time() == 3600


async def test_all_visitors_hear_the_same_and_who_comes_later_begins_with_a_fresh_snapshot(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = await Bench.open(nursery)
    first = await bench.subscribe()
    await bench.send(FOUND)
    second = await bench.subscribe()
    snapshots = [await first.receive(), await second.receive()]
    await bench.send(COPYING)
    updates = [await update(first), await update(second)]
    assert updates[0] is updates[1]
    assert [isinstance(news, Snapshot) for news in snapshots] == [True, True]
    assert snapshots[1].seq + 1 == updates[1].seq
    assert [file.current.status for file in updates[0].changed] == [Status.COPYING]
    assert autojump_clock.current_time() == pytest.approx(broadcaster.UPDATE_EVERY_S)


async def test_those_who_come_at_once_share_a_snapshot_and_cost_the_others_no_update(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = await Bench.open(nursery)
    first = await bench.subscribe()
    await first.receive()
    await bench.send(FOUND)
    crowd = []
    for copied_bytes in range(20):
        crowd.append(await bench.subscribe())
        await bench.send(progress(copied_bytes))
    snapshots = [await subscriber.receive() for subscriber in crowd]
    assert len({id(snapshot) for snapshot in snapshots}) == 1
    assert autojump_clock.current_time() == 0
    updates = {id(await update(subscriber)) for subscriber in (first, *crowd)}
    assert len(updates) == 1
    assert (await (await bench.subscribe()).receive()) is not snapshots[0]


async def test_a_glance_shows_this_moment_and_nobody_stays(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = await Bench.open(nursery)
    feed = await bench.subscribe()
    await feed.receive()
    answers_in, answers_out = trio.open_memory_channel[Snapshot](1)
    for message in (FOUND, COPYING):
        await bench.send(message, GetSnapshot(answers_in))
        assert [file.current.status for file in (await answers_out.receive()).files] == [message.status]
    assert exposed_clients(bench.metrics) == 1
    await bench.send(GetSnapshot(answers_in), GetSnapshot(answers_in))  # who asks twice and does not listen
    answers_out.close()
    await bench.send(GetSnapshot(answers_in))
    assert autojump_clock.current_time() == 0
    assert [file.current.status for file in (await update(feed)).changed] == [Status.COPYING]


async def test_a_visitor_that_does_not_keep_up_is_let_go_and_the_others_go_on(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = await Bench.open(nursery)
    slow, quick = await bench.subscribe(capacity=1), await bench.subscribe()
    assert exposed_clients(bench.metrics) == 2
    await bench.send(FOUND)
    await trio.sleep(1)
    assert isinstance(await slow.receive(), Snapshot)
    with pytest.raises(trio.EndOfChannel):
        await slow.receive()
    await quick.receive()
    await update(quick)
    assert exposed_clients(bench.metrics) == 1
    assert autojump_clock.current_time() == 1


async def test_a_visitor_that_has_left_is_forgotten(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    bench = await Bench.open(nursery)
    feed = await bench.subscribe()
    feed.close()
    await bench.send(FOUND)
    await trio.sleep(1)
    assert exposed_clients(bench.metrics) == 0
    assert autojump_clock.current_time() == 1


async def test_a_new_generation_gives_every_visitor_a_new_snapshot(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = await Bench.open(nursery)
    feed = await bench.subscribe()
    await feed.receive()
    await bench.send(FOUND, GenerationStarted((), 2.0))
    assert [file.id for file in (await update(feed)).changed] == [FILE.id]
    snapshot = await feed.receive()
    assert isinstance(snapshot, Snapshot)
    assert (snapshot.files, snapshot.routes) == ((), ())
    assert autojump_clock.current_time() == 0


async def test_at_the_end_the_last_news_are_told_and_the_feeds_closed(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        bench = await Bench.open(nursery)
        feed = await bench.subscribe()
        await feed.receive()
        await bench.inbox.send(FOUND)
        bench.inbox.close()
    assert [file.id for file in (await update(feed)).changed] == [FILE.id]
    with pytest.raises(trio.EndOfChannel):
        await feed.receive()
    assert autojump_clock.current_time() == 0


async def test_a_broadcaster_that_falls_closes_its_feeds(autojump_clock: MockClock) -> None:
    with pytest.RaisesGroup(KeyError):
        async with trio.open_nursery() as nursery:
            bench = await Bench.open(nursery)
            feed = await bench.subscribe()
            await bench.inbox.send(RouteState("unheard of", paused=True))
    await feed.receive()
    with pytest.raises(trio.EndOfChannel):
        await feed.receive()
    assert autojump_clock.current_time() == 0


def exposed_clients(metrics: Metrics) -> float:
    name = "transfer_agent_websocket_clients "
    [line] = [line for line in metrics.render(1.0).decode().splitlines() if line.startswith(name)]
    return float(line.removeprefix(name))


@pytest.mark.parametrize(
    ("subscribers", "pause_s"), [(0, 0.25), (1, 0.25), (100, 0.25), (130, 0.312), (1000, 0.33)]
)
async def test_many_visitors_are_told_less_often_but_within_half_a_second(
    subscribers: int, pause_s: float, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = await Bench.open(nursery)
    feeds = [await bench.subscribe() for _ in range(subscribers)]
    await trio.sleep(1)
    first = await bench.subscribe()
    await trio.sleep(1)
    began_s = autojump_clock.current_time()
    await first.receive()
    await bench.send(FOUND)
    await update(first)
    assert autojump_clock.current_time() - began_s == pytest.approx(pause_s, abs=0.003)
    assert len(feeds) == subscribers
