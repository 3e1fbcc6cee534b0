"""/ws: the live feed, a snapshot and then what changes."""

from collections import deque

import trio
from attrs import define, field
from quart import Blueprint, websocket

from agent.desk import FEED_CAPACITY
from agent.views import Feed, Snapshot, Update
from web.guard import SUBPROTOCOL
from web.reception import Reception
from web.wire import encode, snapshot_message, update_message

TRY_AGAIN_LATER = 1013  # WebSocket close codes: IANA registry, RFC 6455 section 7.4
POLICY_VIOLATION = 1008
MESSAGES_BORNE = 100
MANY_FILES = 200  # from here on an update is written in a thread, lest all else waits


def blueprint(desk: Reception) -> Blueprint:
    found = Blueprint("live", __name__)
    found.websocket("/ws")(_Live(desk).feed)
    return found


@define
class _Live:
    """All visitors get the same updates, so each is written as JSON once, as long as a feed can hold it."""

    _desk: Reception
    _writing: trio.Lock = field(factory=trio.Lock, init=False)
    _written: deque[tuple[Update, str]] = field(factory=lambda: deque(maxlen=FEED_CAPACITY), init=False)

    async def feed(self) -> None:
        """Serve one visitor.

        The feed ends alike when the visitor was too slow and when the house closes: 1013 in both cases,
        come back for a snapshot.
        """
        offered = websocket.requested_subprotocols
        async with self._desk.feed() as feed:
            await websocket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None)
            code = TRY_AGAIN_LATER
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._tell, feed, nursery.cancel_scope)
                await _listen()
                code = POLICY_VIOLATION
                nursery.cancel_scope.cancel()
        await websocket.close(code)

    async def _tell(self, feed: trio.MemoryReceiveChannel[Feed], visit: trio.CancelScope) -> None:
        async for news in feed:
            if isinstance(news, Snapshot):
                await websocket.send(await trio.to_thread.run_sync(_write_all, news))
            else:
                await websocket.send(await self._write(news))
        visit.cancel()

    async def _write(self, news: Update) -> str:
        async with self._writing:
            for update, written in self._written:
                if update is news:
                    return written
            if len(news.changed) > MANY_FILES:
                written = await trio.to_thread.run_sync(_write_update, news)
            else:
                written = _write_update(news)
            self._written.append((news, written))
            return written


def _write_update(news: Update) -> str:
    return encode(update_message(news))


def _write_all(snapshot: Snapshot) -> str:
    """In a thread, since 100,000 files take more than a second."""
    return encode(snapshot_message(snapshot))


async def _listen() -> None:
    """Visitors have nothing to say here, but unread messages would hide that one has left."""
    for _ in range(MESSAGES_BORNE):
        await websocket.receive()
