"""The broadcaster: takes in every fact, and tells every visitor what changed; it waits for none of them."""

import math
import time
from contextlib import suppress

import trio
from attrs import define, field

from agent.messages import (
    BroadcasterInbox,
    Counted,
    GenerationStarted,
    Glance,
    Overhear,
    RouteClosed,
    Subscribe,
    UploadFact,
    UploadsInbox,
    ViewFact,
)
from agent.rules.metrics import Metrics
from agent.rules.view import View
from agent.views import Feed, Snapshot

UPDATE_EVERY_S = 0.25
LONGEST_S = 0.33  # so that hardly any news are half a second old when they arrive
EACH_VISITOR_S = 0.0024  # a message takes some 60 µs of the processor: all of them a fortieth of it


@define(eq=False)
class Ear:
    """Through it the keeper of upload jobs overhears what may be about one; it outlives a broadcaster."""

    _channel: trio.MemorySendChannel[UploadsInbox] | None = None

    def lend(self, channel: trio.MemorySendChannel[UploadsInbox]) -> None:
        if self._channel is not None:
            self._channel.close()  # that of the generation before
        self._channel = channel

    def tell(self, fact: ViewFact) -> None:
        if self._channel is not None and isinstance(fact, UploadFact):
            with suppress(trio.BrokenResourceError):  # its generation has ended
                self._channel.send_nowait(fact)


@define(eq=False)
class Audience:
    """The live feeds; one that is full is closed, and its visitor comes back for a fresh snapshot.

    `snapshot` is for all who come before the next update, which follows on it whatever has happened since.
    """

    metrics: Metrics
    ear: Ear = field(factory=Ear)
    snapshot: Snapshot | None = field(default=None, init=False)
    feeds: list[trio.MemorySendChannel[Feed]] = field(factory=list, init=False)

    def tell(self, news: Feed) -> None:
        for feed in tuple(self.feeds):
            self._tell_one(feed, news)

    def join(self, feed: trio.MemorySendChannel[Feed], view: View) -> None:
        self.snapshot = self.snapshot or view.snapshot(time.time())
        self.feeds.append(feed)
        self.metrics.clients(len(self.feeds))
        self._tell_one(feed, self.snapshot)

    def _tell_one(self, feed: trio.MemorySendChannel[Feed], news: Feed) -> None:
        try:
            feed.send_nowait(news)
        except (trio.WouldBlock, trio.BrokenResourceError):
            self.leave(feed)

    def leave(self, feed: trio.MemorySendChannel[Feed]) -> None:
        feed.close()
        self.feeds.remove(feed)
        self.metrics.clients(len(self.feeds))

    def close(self) -> None:
        for feed in tuple(self.feeds):
            self.leave(feed)

    @property
    def pause_s(self) -> float:
        """From one update to the next: the more visitors, the fewer."""
        return min(LONGEST_S, max(UPDATE_EVERY_S, len(self.feeds) * EACH_VISITOR_S))


async def run(
    inbox: trio.MemoryReceiveChannel[BroadcasterInbox], view: View, metrics: Metrics, ear: Ear | None = None
) -> None:
    """Until every sender is gone; then the last news go out and the feeds are closed."""
    audience = Audience(metrics, ear or Ear())
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


def _take_in(fact: BroadcasterInbox, view: View, audience: Audience) -> None:
    match fact:
        case Subscribe(feed):
            audience.join(feed, view)
        case Glance(answer):
            with suppress(trio.WouldBlock, trio.BrokenResourceError):  # who asked has gone
                answer.send_nowait(view.snapshot(time.time()))
        case Overhear(channel):
            audience.ear.lend(channel)
        case GenerationStarted() | RouteClosed():
            _flush(view, audience)
            _apply(fact, view, audience)
            view.flush(time.time())  # routes may be gone, which an update cannot say: a snapshot does
            audience.tell(view.snapshot(time.time()))
        case Counted():
            audience.metrics.count(fact)
        case _:
            _apply(fact, view, audience)


def _apply(fact: ViewFact, view: View, audience: Audience) -> None:
    audience.ear.tell(fact)
    audience.metrics.count(fact)
    view.apply(fact)


def _flush(view: View, audience: Audience) -> float:
    """Tell the news; when to look again: rates fall even when nothing happens."""
    update = view.flush(time.time())
    audience.snapshot = None
    if update is not None:
        audience.tell(update)
    return trio.current_time() + audience.pause_s if update is not None else math.inf
