"""/ws: the live feed, a snapshot and then the updates that follow it."""

from contextlib import suppress

import trio
from attrs import define, field
from quart import Blueprint, websocket

from agent.control.errors import Unavailable
from agent.control.service import Control
from agent.model.views import Feed, Snapshot
from web import query
from web.auth import SUBPROTOCOL
from web.encoded_frames import sender_for
from web.message_cache import MessageCache

TRY_AGAIN_LATER = 1013  # WebSocket close codes: IANA registry, RFC 6455 section 7.4
POLICY_VIOLATION = 1008
MAX_CLIENT_MESSAGES = 100


def blueprint(control: Control) -> Blueprint:
    found = Blueprint("live", __name__)
    found.websocket("/ws")(_Live(control).feed)
    return found


@define
class _Live:
    _control: Control
    _cache: MessageCache = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._cache = MessageCache(self._control.snapshot)

    async def feed(self) -> None:
        """Serve one client; with `?window=N` no message holds more than N files.

        The feed ends with close code 1013, "try again later", both when the client was too slow and when the
        agent stops: in either case the client needs a new snapshot.
        """
        limit = query.limit(websocket.args, None, "window")
        offered = websocket.requested_subprotocols
        async with self._control.feed() as feed:
            await websocket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None)
            code = TRY_AGAIN_LATER
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._send_feed, feed, limit, nursery.cancel_scope)
                await _receive_and_ignore()
                code = POLICY_VIOLATION
                nursery.cancel_scope.cancel()
        await websocket.close(code)

    async def _send_feed(
        self, feed: trio.MemoryReceiveChannel[Feed], limit: int | None, connection: trio.CancelScope
    ) -> None:
        """Skips updates that an earlier snapshot, sent in place of a large update, already contains."""
        send, seq = sender_for(websocket), 0
        with suppress(Unavailable):
            async for item in feed:
                if isinstance(item, Snapshot) or item.seq > seq:
                    message = await self._cache.encoded(item, limit)
                    seq = message.seq
                    await send(message.frame)
        connection.cancel()


async def _receive_and_ignore() -> None:
    """Clients have nothing to send, but only a receive notices that one has disconnected."""
    for _ in range(MAX_CLIENT_MESSAGES):
        await websocket.receive()
