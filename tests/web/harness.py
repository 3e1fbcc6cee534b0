"""A small application behind the server under test, and clients that speak in bytes."""

import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from math import inf
from urllib.parse import urlsplit

import trio
from quart import request, websocket
from quart_trio import QuartTrio

from tests.web.hostile import get, upgrade
from web.encoded_frames import encode_frame, sender_for
from web.server import serve

SOON_S = 10.0  # far above what any of this takes
BIG = bytes(4_000_000)


class SampleApp:
    def __init__(self) -> None:
        self.flood_s = inf
        self.flood_ended = trio.Event()
        self.arrived = trio.Event()
        self.go_on = trio.Event()
        self.app = QuartTrio(__name__)
        self.app.config.update(MAX_CONTENT_LENGTH=64 * 1024, BODY_TIMEOUT=0.05)
        self.app.get("/")(self.alive)
        self.app.get("/big")(self.big)
        self.app.get("/bug")(self.bug)
        self.app.get("/slow")(self.slow)
        self.app.post("/echo")(self.echo)
        self.app.websocket("/ws")(self.flood)
        self.app.websocket("/ready")(self.flood_with_frames)
        self.app.websocket("/late")(self.slow)
        self.app.websocket("/quiet")(self.listen)
        self.app.websocket("/deaf")(self.ignore)

    async def alive(self) -> dict[str, str]:
        return {"status": "ok"}

    async def big(self) -> bytes:
        return BIG

    async def bug(self) -> str:
        raise ZeroDivisionError

    async def slow(self) -> str:
        self.arrived.set()
        await self.go_on.wait()
        return "at last"

    async def echo(self) -> bytes | str:
        return await request.get_data(as_text=False)

    async def flood(self) -> None:
        """Each message is cut short that takes longer than `flood_s`."""
        try:
            while True:
                with trio.move_on_after(self.flood_s):
                    await websocket.send("text " * 1000)
        finally:
            self.flood_ended.set()

    async def flood_with_frames(self) -> None:
        """The same with frames that are made once."""
        await websocket.accept()
        send, number = sender_for(websocket), 0
        try:
            while True:
                number += 1
                with trio.move_on_after(self.flood_s):
                    await send(encode_frame([b"%d " % number, b"x" * 7 ** (number % 8)]))
                    await trio.lowlevel.checkpoint()
        finally:
            self.flood_ended.set()

    async def listen(self) -> None:
        await websocket.accept()
        while await websocket.receive() != "bye":
            pass

    async def ignore(self) -> None:
        await websocket.accept()
        await self.go_on.wait()


@asynccontextmanager
async def running(app: QuartTrio, bind: str = "127.0.0.1:0", within_s: float = SOON_S) -> AsyncIterator[str]:
    """The address of the server, which is stopped, and has to end within `within_s`."""
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        url = await nursery.start(partial(serve, app, bind, stop=stop))
        yield urlsplit(url).netloc
        stop.set()
        nursery.cancel_scope.deadline = trio.current_time() + within_s
    assert not nursery.cancel_scope.cancelled_caught


async def connect(address: str) -> trio.SocketStream:
    host, _, port = address.rpartition(":")
    return await trio.open_tcp_stream(host.strip("[]"), int(port))


async def read_to_the_end(stream: trio.SocketStream) -> bytes:
    with trio.fail_after(SOON_S):
        return b"".join([bytes(data) async for data in stream])


async def read_until(stream: trio.SocketStream, wanted: bytes, at_once: int | None = None) -> bytes:
    received = b""
    with trio.fail_after(SOON_S):
        while wanted not in received:
            data = await stream.receive_some(at_once)
            assert data, received
            received += data
    return received


SWITCHING = b"HTTP/1.1 101"


async def ask(address: str, sent: bytes) -> bytes:
    """All that the server sends until it closes."""
    async with await connect(address) as stream:
        await stream.send_all(sent)
        return await read_to_the_end(stream)


async def open_websocket(address: str, path: bytes = b"/ws") -> trio.SocketStream:
    stream = await connect(address)
    try:
        await stream.send_all(upgrade().replace(b"/ws", path))
        with trio.fail_after(SOON_S):
            began = b""
            while len(began) < len(SWITCHING) and (
                data := await stream.receive_some(len(SWITCHING) - len(began))
            ):
                began += data
            assert began == SWITCHING
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return stream


async def leave(stream: trio.SocketStream, sent: bytes, ending: str) -> None:
    """Say it, and then: end, and wait for the server to end as well; reset; or just wait for it to end."""
    with suppress(trio.BrokenResourceError), trio.fail_after(SOON_S):  # it may have shown us the door
        await stream.send_all(sent)
        if ending == "RST":
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            if ending == "FIN":
                await stream.send_eof()
            await read_to_the_end(stream)
    await stream.aclose()


async def is_alive(address: str) -> bool:
    """Whether a request is answered; on a busy machine an impatient server may need a second one."""
    for _ in range(5):
        if (await ask(address, get(b"Connection: close"))).startswith(b"HTTP/1.1 200"):
            return True
    return False
