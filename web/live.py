"""/ws: the live feed, a snapshot and then what changes."""

from contextlib import suppress

import trio
from attrs import define, field
from quart import Blueprint, websocket

from agent.control.errors import Unavailable
from agent.model.views import Feed, Snapshot
from web import query
from web.agent_api import AgentApi
from web.auth import SUBPROTOCOL
from web.encoded_frames import sender_for
from web.message_cache import MessageCache

TRY_AGAIN_LATER = 1013  # WebSocket close codes: IANA registry, RFC 6455 section 7.4
POLICY_VIOLATION = 1008
MESSAGES_BORNE = 100


def blueprint(desk: AgentApi) -> Blueprint:
    found = Blueprint("live", __name__)
    found.websocket("/ws")(_Live(desk).feed)
    return found


@define
class _Live:
    _desk: AgentApi
    _press: MessageCache = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._press = MessageCache(self._desk.snapshot)

    async def feed(self) -> None:
        """Serve one visitor; with `?window=N` no message holds more than N files.

        The feed ends alike when the visitor was too slow and when the house closes: 1013 in both cases,
        come back for a snapshot.
        """
        limit = query.limit(websocket.args, None, "window")
        offered = websocket.requested_subprotocols
        async with self._desk.feed() as feed:
            await websocket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None)
            code = TRY_AGAIN_LATER
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._tell, feed, limit, nursery.cancel_scope)
                await _listen()
                code = POLICY_VIOLATION
                nursery.cancel_scope.cancel()
        await websocket.close(code)

    async def _tell(
        self, feed: trio.MemoryReceiveChannel[Feed], limit: int | None, visit: trio.CancelScope
    ) -> None:
        """Without the updates whose news a snapshot has told already, in place of an earlier one."""
        send, seq = sender_for(websocket), 0
        with suppress(Unavailable):
            async for news in feed:
                if isinstance(news, Snapshot) or news.seq > seq:
                    printed = await self._press.printed(news, limit)
                    seq = printed.seq
                    await send(printed.message)
        visit.cancel()


async def _listen() -> None:
    """Visitors have nothing to say here, but unread messages would hide that one has left."""
    for _ in range(MESSAGES_BORNE):
        await websocket.receive()
