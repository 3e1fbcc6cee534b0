"""The broadcaster: applies every event to the status model and sends what changed to every subscriber.

It waits for none of them.
"""

import math
import time
from collections.abc import Iterable

import trio
from attrs import define, field

from agent.actors.broadcaster.metrics import Metrics
from agent.actors.broadcaster.status_model import StatusModel
from agent.messages.broadcaster import CounterIncremented, GenerationStarted, RouteRemoved, StatusEvent
from agent.messages.channels import (
    BroadcasterInbox,
    GetSnapshot,
    Subscribe,
    SubscribeEvents,
    UnsubscribeEvents,
    offer,
)
from agent.messages.dispatcher import DestinationState
from agent.messages.upload_manager import UploadEvent, UploadManagerInbox
from agent.model.views import Feed, Snapshot

UPDATE_EVERY_S = 0.25
MAX_UPDATE_S = 0.33  # so that hardly any update is half a second old when it arrives
PER_SUBSCRIBER_S = 0.0024  # sending one takes some 60 us of the processor: all of them a fortieth of it


@define(eq=False)
class EventTap:
    """Passes events on to the upload manager while it is subscribed; it outlives a restarted broadcaster."""

    _channel: trio.MemorySendChannel[UploadManagerInbox] | None = None

    def connect(
        self, channel: trio.MemorySendChannel[UploadManagerInbox], now: Iterable[DestinationState]
    ) -> None:
        """Pass on the states of `now`, and every event from then on."""
        self.disconnect()
        self._channel = channel
        for state in now:
            self.publish(state)

    def disconnect(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def publish(self, event: StatusEvent) -> None:
        if self._channel is not None and isinstance(event, UploadEvent) and not offer(self._channel, event):
            self.disconnect()  # the manager's generation has ended


@define(eq=False)
class Subscribers:
    """The live feeds; one that is full is closed, and its subscriber reconnects for a fresh snapshot.

    `snapshot` serves all who subscribe before the next update, which follows on it whatever has happened
    since.
    """

    metrics: Metrics
    tap: EventTap = field(factory=EventTap)
    snapshot: Snapshot | None = field(default=None, init=False)
    feeds: list[trio.MemorySendChannel[Feed]] = field(factory=list, init=False)

    def publish(self, message: Feed) -> None:
        for feed in tuple(self.feeds):
            self._publish_one(feed, message)

    def add(self, feed: trio.MemorySendChannel[Feed], view: StatusModel) -> None:
        self.snapshot = self.snapshot or view.snapshot(time.time())
        self.feeds.append(feed)
        self.metrics.clients(len(self.feeds))
        self._publish_one(feed, self.snapshot)

    def _publish_one(self, feed: trio.MemorySendChannel[Feed], message: Feed) -> None:
        if not offer(feed, message):
            self.remove(feed)

    def remove(self, feed: trio.MemorySendChannel[Feed]) -> None:
        feed.close()
        self.feeds.remove(feed)
        self.metrics.clients(len(self.feeds))

    def close(self) -> None:
        for feed in tuple(self.feeds):
            self.remove(feed)

    @property
    def pause_s(self) -> float:
        """From one update to the next: the more subscribers, the longer."""
        return min(MAX_UPDATE_S, max(UPDATE_EVERY_S, len(self.feeds) * PER_SUBSCRIBER_S))


async def run(
    inbox: trio.MemoryReceiveChannel[BroadcasterInbox],
    view: StatusModel,
    metrics: Metrics,
    tap: EventTap | None = None,
) -> None:
    """Until every sender is closed; then the last update goes out and the feeds are closed."""
    subscribers = Subscribers(metrics, tap or EventTap())
    flush_s = math.inf
    async with inbox:
        try:
            while True:
                with trio.move_on_at(flush_s):
                    _take_in(await inbox.receive(), view, subscribers)
                    flush_s = min(flush_s, trio.current_time() + subscribers.pause_s)
                if trio.current_time() >= flush_s:
                    flush_s = _flush(view, subscribers)
        except trio.EndOfChannel:
            _flush(view, subscribers)
        finally:
            subscribers.close()


def _take_in(message: BroadcasterInbox, view: StatusModel, subscribers: Subscribers) -> None:
    match message:
        case Subscribe(feed):
            subscribers.add(feed, view)
        case GetSnapshot(answer):
            offer(answer, view.snapshot(time.time()))
        case SubscribeEvents(events):
            subscribers.tap.connect(events, view.destination_states())
        case UnsubscribeEvents():
            subscribers.tap.disconnect()
        case GenerationStarted() | RouteRemoved():
            _flush(view, subscribers)
            _apply(message, view, subscribers)
            view.flush(time.time())  # an update cannot remove routes: a snapshot does
            subscribers.publish(view.snapshot(time.time()))
        case CounterIncremented():
            subscribers.metrics.count(message)
        case _:
            _apply(message, view, subscribers)


def _apply(event: StatusEvent, view: StatusModel, subscribers: Subscribers) -> None:
    subscribers.tap.publish(event)
    subscribers.metrics.count(event)
    view.apply(event)


def _flush(view: StatusModel, subscribers: Subscribers) -> float:
    """Send what changed; when to flush again, since rates fall even when nothing happens."""
    update = view.flush(time.time())
    subscribers.snapshot = None
    if update is not None:
        subscribers.publish(update)
    return trio.current_time() + subscribers.pause_s if update is not None else math.inf
