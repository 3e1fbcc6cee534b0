"""Peers at the agent's address that do not answer."""

import base64
import hashlib
import re

import trio


async def deaf(stream: trio.SocketStream) -> None:
    """Sends nothing at all."""
    async with stream:
        await trio.sleep_forever()


async def frozen(stream: trio.SocketStream) -> None:
    """Opens the WebSocket (RFC 6455, section 4.2.2), and then sends nothing."""
    async with stream:
        head = await stream.receive_some()
        found = re.search(rb"Sec-WebSocket-Key: (\S+)", head, re.IGNORECASE)
        assert found is not None
        accept = base64.b64encode(hashlib.sha1(found[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())  # noqa: S324  the RFC's
        await stream.send_all(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        await trio.sleep_forever()


async def rude(stream: trio.SocketStream) -> None:
    """Hangs up."""
    await stream.aclose()
