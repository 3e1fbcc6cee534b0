"""The broadcaster: takes in every fact, and tells every visitor what changed; it waits for none of them."""

import math
import time
from contextlib import suppress

import trio
from attrs import define, field

from agent.actors.broadcaster.metrics import Metrics
from agent.actors.broadcaster.status_model import StatusModel
from agent.messages.broadcaster import CounterIncremented, GenerationStarted, RouteRemoved, StatusEvent
from agent.messages.channels import BroadcasterInbox, GetSnapshot, Subscribe, SubscribeEvents
from agent.messages.upload_manager import UploadEvent, UploadManagerInbox
from agent.model.views import Feed, Snapshot

UPDATE_EVERY_S = 0.25
MAX_UPDATE_S = 0.33  # so that hardly any news are half a second old when they arrive
PER_SUBSCRIBER_S = 0.0024  # a message takes some 60 us of the processor: all of them a fortieth of it


@define(eq=False)
class EventTap:
    """Through it the keeper of upload jobs overhears what may be about one; it outlives a broadcaster."""

    _channel: trio.MemorySendChannel[UploadManagerInbox] | None = None

    def connect(self, channel: trio.MemorySendChannel[UploadManagerInbox]) -> None:
        if self._channel is not None:
            self._channel.close()  # that of the generation before
        self._channel = channel

    def publish(self, fact: StatusEvent) -> None:
        if self._channel is not None and isinstance(fact, UploadEvent):
            with suppress(trio.BrokenResourceError):  # its generation has ended
                self._channel.send_nowait(fact)


@define(eq=False)
class Subscribers:
    """The live feeds; one that is full is closed, and its visitor comes back for a fresh snapshot.

    `snapshot` is for all who come before the next update, which follows on it whatever has happened since.
    """

    metrics: Metrics
    tap: EventTap = field(factory=EventTap)
    snapshot: Snapshot | None = field(default=None, init=False)
    feeds: list[trio.MemorySendChannel[Feed]] = field(factory=list, init=False)

    def publish(self, news: Feed) -> None:
        for feed in tuple(self.feeds):
            self._publish_one(feed, news)

    def add(self, feed: trio.MemorySendChannel[Feed], view: StatusModel) -> None:
        self.snapshot = self.snapshot or view.snapshot(time.time())
        self.feeds.append(feed)
        self.metrics.clients(len(self.feeds))
        self._publish_one(feed, self.snapshot)

    def _publish_one(self, feed: trio.MemorySendChannel[Feed], news: Feed) -> None:
        try:
            feed.send_nowait(news)
        except (trio.WouldBlock, trio.BrokenResourceError):
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
        """From one update to the next: the more visitors, the fewer."""
        return min(MAX_UPDATE_S, max(UPDATE_EVERY_S, len(self.feeds) * PER_SUBSCRIBER_S))


async def run(
    inbox: trio.MemoryReceiveChannel[BroadcasterInbox],
    view: StatusModel,
    metrics: Metrics,
    ear: EventTap | None = None,
) -> None:
    """Until every sender is gone; then the last news go out and the feeds are closed."""
    audience = Subscribers(metrics, ear or EventTap())
    flush_s = math.inf
    async with inbox:
        try:
            while True:
                with trio.move_on_at(flush_s):
                    _take_in(await inbox.receive(), view, audience)
                    flush_s = min(flush_s, trio.current_time() + audience.pause_s)
                if trio.current_time() >= flush_s:
                    flush_s = _flush(view, audience)
        except trio.EndOfChannel:
            _flush(view, audience)
        finally:
            audience.close()


def _take_in(fact: BroadcasterInbox, view: StatusModel, audience: Subscribers) -> None:
    match fact:
        case Subscribe(feed):
            audience.add(feed, view)
        case GetSnapshot(answer):
            with suppress(trio.WouldBlock, trio.BrokenResourceError):  # who asked has gone
                answer.send_nowait(view.snapshot(time.time()))
        case SubscribeEvents(channel):
            audience.tap.connect(channel)
        case GenerationStarted() | RouteRemoved():
            _flush(view, audience)
            _apply(fact, view, audience)
            view.flush(time.time())  # routes may be gone, which an update cannot say: a snapshot does
            audience.publish(view.snapshot(time.time()))
        case CounterIncremented():
            audience.metrics.count(fact)
        case _:
            _apply(fact, view, audience)


def _apply(fact: StatusEvent, view: StatusModel, audience: Subscribers) -> None:
    audience.tap.publish(fact)
    audience.metrics.count(fact)
    view.apply(fact)


def _flush(view: StatusModel, audience: Subscribers) -> float:
    """Tell the news; when to look again: rates fall even when nothing happens."""
    update = view.flush(time.time())
    audience.snapshot = None
    if update is not None:
        audience.publish(update)
    return trio.current_time() + audience.pause_s if update is not None else math.inf
