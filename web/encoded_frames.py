"""WebSocket frames that are built once and written to many connections as they are.

Quart's `websocket.send` takes a text; Hypercorn and wsproto then encode and frame it for each connection
again, with several task switches: a cost that grows with the number of subscribers. Frames of a
server are not masked (RFC 6455 section 5.1), so the same bytes suit every connection. `sender_for` writes
them to the socket where hardening.py serves the connection, and uses Quart elsewhere.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from attrs import frozen
from quart import Websocket

CONNECTION = "connection"  # the key in an ASGI scope's `state` under which hardening.py puts the connection
TEXT = 0x81  # a whole text message, RFC 6455 section 5.2
SHORT, MIDDLE = 126, 1 << 16


class RawConnection(Protocol):
    """Writes bytes to one client's socket."""

    async def write_frame(self, frame: bytes) -> None: ...


@frozen(eq=False)
class EncodedFrame:
    """One text message: `data` is the frame, its head included."""

    data: bytes
    _head_bytes: int

    @property
    def text(self) -> str:
        return self.data[self._head_bytes :].decode()


def encode_frame(pieces: Sequence[bytes]) -> EncodedFrame:
    """The pieces are consecutive parts of one text in UTF-8."""
    head = _head(sum(map(len, pieces)))
    return EncodedFrame(b"".join((head, *pieces)), len(head))


def _head(length: int) -> bytes:
    if length < SHORT:
        return bytes((TEXT, length))
    if length < MIDDLE:
        return bytes((TEXT, 126)) + length.to_bytes(2, "big")
    return bytes((TEXT, 127)) + length.to_bytes(8, "big")


def sender_for(client: Websocket) -> Callable[[EncodedFrame], Awaitable[None]]:
    """Sends frames to an accepted client: directly where the connection allows it, else through Quart."""
    connection: RawConnection | None = client.scope.get("state", {}).get(CONNECTION)
    if connection is None:
        return lambda frame: client.send(frame.text)
    return lambda frame: connection.write_frame(frame.data)
