"""WebSocket messages that many are told: the frame is made once, and goes out to each of them as it is."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from attrs import frozen
from quart import Websocket

CONNECTION = "connection"  # under this name the state in a request's scope holds what carries it
TEXT = 0x81  # a whole text message, RFC 6455 section 5.2
SHORT, MIDDLE = 126, 1 << 16


class RawConnection(Protocol):
    """What sends bytes to one client."""

    async def post(self, frame: bytes) -> None: ...


@frozen(eq=False)
class EncodedFrame:
    """A text for WebSockets, as the frame that carries it from a server, which is never masked."""

    frame: bytes
    _head_bytes: int

    @property
    def text(self) -> str:
        return self.frame[self._head_bytes :].decode()


def encode_frame(pieces: Sequence[bytes]) -> EncodedFrame:
    """The text comes in pieces of UTF-8."""
    head = _head(sum(map(len, pieces)))
    return EncodedFrame(b"".join((head, *pieces)), len(head))


def _head(length: int) -> bytes:
    if length < SHORT:
        return bytes((TEXT, length))
    if length < MIDDLE:
        return bytes((TEXT, 126)) + length.to_bytes(2, "big")
    return bytes((TEXT, 127)) + length.to_bytes(8, "big")


def sender_for(visitor: Websocket) -> Callable[[EncodedFrame], Awaitable[None]]:
    """How an accepted visitor is told: past Quart, Hypercorn and wsproto where the server is ours."""
    carrier: RawConnection | None = visitor.scope.get("state", {}).get(CONNECTION)
    if carrier is None:
        return lambda message: visitor.send(message.text)
    return lambda message: carrier.post(message.frame)
