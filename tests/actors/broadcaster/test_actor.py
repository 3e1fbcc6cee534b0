"""What the broadcaster keeps when it is started again, and what it says of its subscribers."""

import math

import pytest
import trio
from attrs import evolve
from trio.testing import MockClock, wait_all_tasks_blocked

from agent.actors.broadcaster import actor as broadcaster
from agent.actors.broadcaster.metrics import Metrics
from agent.actors.broadcaster.status_model import StatusModel
from agent.messages.broadcaster import GenerationStarted, StatusChanged
from agent.messages.channels import (
    BroadcasterInbox,
    GetSnapshot,
    Subscribe,
    SubscribeEvents,
    UnsubscribeEvents,
)
from agent.messages.dispatcher import SourceState
from agent.messages.upload_manager import UploadManagerInbox
from agent.model.transfer import Status
from agent.model.views import Feed, Snapshot
from tests.actors.samples import FILE
from tests.samples import ROUTE, unusable


async def visited(
    nursery: trio.Nursery, view: StatusModel, metrics: Metrics, *messages: BroadcasterInbox
) -> trio.MemoryReceiveChannel[Feed]:
    """A broadcaster is started, receives these messages, and then has a subscriber."""
    inbox_in, inbox_out = trio.open_memory_channel[BroadcasterInbox](8)
    nursery.start_soon(broadcaster.run, inbox_out, view, metrics)
    feed_in, feed_out = trio.open_memory_channel[Feed](8)
    for message in (*messages, Subscribe(feed_in)):
        await inbox_in.send(message)
    await wait_all_tasks_blocked()
    return feed_out


async def test_a_broadcaster_that_is_started_again_keeps_its_picture_and_closes_the_old_feeds(
    autojump_clock: MockClock,
) -> None:
    view = StatusModel()
    metrics = Metrics(view, "1.0")
    discovered = StatusChanged(FILE.id, Status.DISCOVERED, 1.0, FILE)
    async with trio.open_nursery() as nursery:
        old = await visited(nursery, view, metrics, GenerationStarted((ROUTE,), 1.0), discovered)
        assert clients(metrics) == b"1.0"  # at once, though there was no news to tell
        nursery.cancel_scope.cancel()
    assert [type(news) async for news in old] == [Snapshot]
    assert clients(metrics) == b"0.0"
    async with trio.open_nursery() as nursery:
        feed = await visited(nursery, view, metrics)
        snapshot = await feed.receive()
        assert isinstance(snapshot, Snapshot)
        assert [file.id for file in snapshot.files] == [FILE.id]
        nursery.cancel_scope.cancel()
    assert autojump_clock.current_time() == 0


def clients(metrics: Metrics) -> bytes:
    name = b"transfer_agent_websocket_clients "
    (figure,) = (line for line in metrics.render(0.0).splitlines() if line.startswith(name))
    return figure.removeprefix(name)


async def test_the_upload_manager_gets_the_states_of_destinations_and_then_events_until_it_unsubscribes(
    autojump_clock: MockClock,
) -> None:
    view = StatusModel()
    events_in, events_out = trio.open_memory_channel[UploadManagerInbox](math.inf)
    discovered = StatusChanged(FILE.id, Status.DISCOVERED, 1.0, FILE)
    ready = evolve(discovered, status=Status.READY)
    async with trio.open_nursery() as nursery:
        started = (GenerationStarted((ROUTE, evolve(ROUTE, name="mov")), 1.0), unusable(), discovered)
        subscribed = (SubscribeEvents(events_in), ready, UnsubscribeEvents(), discovered)
        await visited(nursery, view, Metrics(view, "1.0"), *started, *subscribed)
        nursery.cancel_scope.cancel()
    assert [event async for event in events_out] == [unusable(), ready]
    assert autojump_clock.current_time() == 0


async def test_what_may_be_about_an_upload_job_is_passed_on_even_after_a_crash(
    autojump_clock: MockClock,
) -> None:
    view = StatusModel()
    metrics = Metrics(view, "1.0")
    ear = broadcaster.EventTap()
    first_in, first_out = trio.open_memory_channel[UploadManagerInbox](math.inf)
    second_in, second_out = trio.open_memory_channel[UploadManagerInbox](math.inf)
    discovered = StatusChanged(FILE.id, Status.DISCOVERED, 1.0, FILE)
    unknown = SourceState("nobody", None, 0.0, 1.0)  # which no view can take in
    inbox_in, inbox_out = trio.open_memory_channel[BroadcasterInbox](8)
    for message in (GenerationStarted((ROUTE,), 1.0), SubscribeEvents(first_in), discovered, unknown):
        await inbox_in.send(message)
    with pytest.raises(KeyError):
        await broadcaster.run(inbox_out.clone(), view, metrics, ear)
    await inbox_in.send(discovered)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(broadcaster.run, inbox_out, view, metrics, ear)
        await inbox_in.send(SubscribeEvents(second_in))
        await wait_all_tasks_blocked()
        assert [each async for each in first_out] == [discovered, unknown, discovered]
        await inbox_in.send(discovered)
        await wait_all_tasks_blocked()
        assert second_out.receive_nowait() == discovered
        second_out.close()  # its generation has ended
        for _ in range(2):
            await inbox_in.send(discovered)
        inbox_in.close()
    assert autojump_clock.current_time() == 0


@pytest.mark.parametrize("end", ["the asker's", "its own"])
async def test_whoever_asks_or_subscribes_may_go_away_before_the_broadcaster_gets_to_it(
    end: str, autojump_clock: MockClock
) -> None:
    """A request that is given up closes one end of its channel or both, at any moment."""
    answer_in, answer_out = trio.open_memory_channel[Snapshot](1)
    feed_in, feed_out = trio.open_memory_channel[Feed](1)
    events_in, events_out = trio.open_memory_channel[UploadManagerInbox](math.inf)
    for channel in (
        (answer_in, feed_in, events_in) if end == "its own" else (answer_out, feed_out, events_out)
    ):
        channel.close()
    view = StatusModel()
    discovered = StatusChanged(FILE.id, Status.DISCOVERED, 1.0, FILE)
    gone = (GetSnapshot(answer_in), Subscribe(feed_in), SubscribeEvents(events_in))
    async with trio.open_nursery() as nursery:
        messages = (GenerationStarted((ROUTE,), 1.0), unusable(), *gone, discovered)
        feed = await visited(nursery, view, Metrics(view, "1.0"), *messages)
        assert isinstance(feed.receive_nowait(), Snapshot)
        nursery.cancel_scope.cancel()
    assert autojump_clock.current_time() == 0
