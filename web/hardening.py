"""One connection: Hypercorn's HTTP/1.1 and WebSocket, so that no client can end, hang or fill the server."""

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from math import inf
from typing import Any

import h11
import trio
from attrs import define, field
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.events import StreamClosed
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.protocol.ws_stream import WSStream
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import (
    AppWrapper,
    ASGIReceiveCallable,
    ASGISendCallable,
    ASGISendEvent,
    ConnectionState,
    H11SendableEvent,
    Scope,
)
from hypercorn.utils import parse_socket_addr

from web.encoded_frames import CONNECTION

IDLE_S = 10.0  # for a whole request head to arrive, and between two requests
SILENCE_S = 60.0  # for a client to say something, if only to a ping, and for the application to listen
SEND_S = 5.0  # for a client to take one piece
LINGER_S = 1.0  # for a client to read our last words
PIECE_BYTES = 64 * 1024
RECEIVE_BYTES = 16 * 1024

BAD_REQUEST = 400
VERSION_NOT_SUPPORTED = 505

logger = logging.getLogger("web")


class CancellableApp(ASGIWrapper):
    """An application whose every send is a checkpoint.

    Hypercorn swallows what is sent on a WebSocket that is closing: a handler that only sends would never
    learn of the end, nor let anything else in the program run.
    """

    async def __call__(
        self,
        scope: Scope,
        receive: ASGIReceiveCallable,
        send: ASGISendCallable,
        sync_spawn: Callable[..., Any],
        call_soon: Callable[..., Any],
    ) -> None:
        async def send_and_yield(message: ASGISendEvent) -> None:
            await send(message)
            await trio.lowlevel.checkpoint()

        await super().__call__(scope, receive, send_and_yield, sync_spawn, call_soon)


async def handle_connection(
    app: AppWrapper, config: Config, context: WorkerContext, state: ConnectionState, stream: trio.SocketStream
) -> None:
    """Serve one client to the end of its connection; stands in for `hypercorn.trio.tcp_server.TCPServer`."""
    await _Connection(app, config, context, state, stream).run()


def _life_with_patience() -> trio.CancelScope:
    return trio.CancelScope(deadline=trio.current_time() + IDLE_S)


@define
class _Connection:
    """One client's connection, whose end, whatever the reason, is the end of `_life`.

    Differs from Hypercorn 0.18 in this: sends wait for a reader neither for ever nor shielded from a stop;
    an error of any kind ends this connection alone; ending and idling begin at once, without a checkpoint,
    because Quart-Trio cancels the request's task as soon as its answer is out.
    """

    _app: AppWrapper
    _config: Config
    _context: WorkerContext
    _state: ConnectionState
    _stream: trio.SocketStream
    _life: trio.CancelScope = field(factory=_life_with_patience, init=False)
    _sending: trio.Lock = field(factory=trio.Lock, init=False)

    async def run(self) -> None:
        try:
            with self._life:
                await self._talk()
        except* (OSError, trio.BrokenResourceError, trio.TooSlowError):
            pass  # the client is gone, or as good as gone
        except* Exception as errors:
            logger.exception("a connection was closed because of an error", exc_info=errors)
        finally:
            await self._close()

    async def _talk(self) -> None:
        sock = self._stream.socket
        client = parse_socket_addr(sock.family, sock.getpeername())
        server = parse_socket_addr(sock.family, sock.getsockname())
        async with TaskGroup() as tasks:
            protocol = _Http1(
                self._app,
                self._config,
                self._context,
                tasks,
                ConnectionState({**self._state, CONNECTION: self}),
                ssl=False,
                client=client,
                server=server,
                send=self._obey,
            )
            tasks.spawn(self._leave_when_idle)
            await self._listen(protocol)
            self._life.cancel()

    @property
    def _idle(self) -> bool:
        return self._life.deadline < inf

    async def _leave_when_idle(self) -> None:
        """A stop does not wait for requests that may come."""
        await self._context.terminated.wait()
        if self._idle:
            self._life.cancel()

    async def _listen(self, protocol: H11Protocol) -> None:
        data = b"to begin with"
        while data:
            with trio.fail_after(SILENCE_S):
                data = bytes(await self._stream.receive_some(RECEIVE_BYTES))
                await protocol.handle(RawData(data))

    async def _obey(self, event: Event) -> None:
        """What the protocol wants done with the connection."""
        if isinstance(event, RawData):
            await self._send(event.data)
        elif isinstance(event, Updated):
            self._life.deadline = trio.current_time() + IDLE_S if event.idle else inf
        else:
            self._life.cancel()

    async def post(self, frame: bytes) -> None:
        """Send a ready-made frame: at once and without a pause, where the client has room for it."""
        sent = 0
        if not self._sending.locked():
            with suppress(OSError):  # no room, or nobody there any more: the way below meets it again
                sent = os.write(self._stream.socket.fileno(), frame)
        if sent < len(frame):
            await self._send(memoryview(frame)[sent:])

    async def _send(self, data: bytes | memoryview) -> None:
        try:
            async with self._sending:
                for start in range(0, len(data), PIECE_BYTES):
                    with trio.fail_after(SEND_S):
                        await self._stream.send_all(data[start : start + PIECE_BYTES])
        except (trio.BrokenResourceError, trio.TooSlowError):
            self._life.cancel()
        except trio.Cancelled:
            self._life.cancel()  # after half a message nothing else makes sense
            raise

    async def _close(self) -> None:
        """Close in stages, or unread bytes would reset the connection and lose our answer.

        RFC 9112 section 9.6. Who waits for nothing when the server stops has no answer to lose.
        """
        try:
            if not (self._idle and self._context.terminated.is_set()):
                with trio.move_on_after(LINGER_S), suppress(trio.BrokenResourceError):
                    await self._stream.send_eof()
                    while await self._stream.receive_some(RECEIVE_BYTES):
                        pass
        finally:
            await trio.aclose_forcefully(self._stream)


class _Http1(H11Protocol):
    """HTTP/1.1 and WebSocket without compression; what Hypercorn 0.18 stumbles over is refused."""

    async def handle(self, event: Event) -> None:
        await super().handle(event)
        if isinstance(self.stream, WSStream) and _is_spent(self.stream):
            await self.send(Closed())

    async def stream_send(self, event: StreamEvent) -> None:
        if isinstance(event, StreamClosed) and isinstance(self.stream, WSStream):
            # Hypercorn would first tell the handler, and wait for ever where that does not listen.
            await self.send(Closed())
        else:
            await super().stream_send(event)

    async def _send_h11_event(self, event: H11SendableEvent) -> None:
        """Not after the connection's end, which may have come in the midst of an answer: h11 would object."""
        await trio.lowlevel.checkpoint_if_cancelled()
        await super()._send_h11_event(event)

    async def _check_protocol(self, event: h11.Request) -> None:
        """HTTP/2 is not spoken: a server may ignore an upgrade (RFC 9110 section 7.8)."""

    async def _create_stream(self, request: h11.Request) -> None:
        refusal = _refusal(request, early=bool(self.connection.trailing_data[0]))
        if refusal is None:
            await super()._create_stream(_without_extensions(request))
        else:
            await self._send_error_response(refusal)
            await self.send(Closed())


def _refusal(request: h11.Request, *, early: bool) -> int | None:
    """The status that turns a request away; `early`: more bytes came with its head."""
    if request.http_version not in (b"1.0", b"1.1"):
        return VERSION_NOT_SUPPORTED
    for name, value in request.headers:
        if name == b"upgrade" and value.lower() == b"websocket" and early:
            return BAD_REQUEST  # RFC 6455 section 4.1: frames come after the handshake
        if name in (b"connection", b"sec-websocket-protocol") and not value.isascii():
            return BAD_REQUEST
    return None


def _without_extensions(request: h11.Request) -> h11.Request:
    """The request without its offer to compress: five times the memory, three times the work, no switch."""
    return h11.Request(
        method=request.method,
        target=request.target,
        headers=[header for header in request.headers if header[0] != b"sec-websocket-extensions"],
        http_version=request.http_version,
    )


def _is_spent(stream: WSStream) -> bool:
    """Refused, or saying more in one message than we listen to: Hypercorn would keep both open."""
    return stream.closed or stream.buffer.length > stream.buffer.max_length
