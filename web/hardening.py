"""Serves one connection with Hypercorn 0.18, in place of its own connection handler.

With Hypercorn's handler a client that does not read blocks a send, and the server's stop, for ever. An
unexpected error in one connection ends the server. Some malformed handshakes and oversized messages leave
a connection open. Compression of WebSockets cannot be switched off. Hypercorn has no settings for any of
this, so its classes are subclassed here, and each override says which behaviour it replaces. The cases
are in tests/web/test_server.py.
"""

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
RECEIVE_S = 60.0  # for a client to send something, at least a pong, and for the application to take it
SEND_S = 5.0  # for a client to receive one piece
LINGER_S = 1.0  # for a client to read the end of the last response
PIECE_BYTES = 64 * 1024
RECEIVE_BYTES = 16 * 1024

BAD_REQUEST = 400
VERSION_NOT_SUPPORTED = 505

logger = logging.getLogger("web")


class CancellableApp(ASGIWrapper):
    """An ASGI application whose every send is a checkpoint, and so can be cancelled.

    Hypercorn discards messages for a WebSocket that is closing, without a checkpoint. A handler that only
    sends would never learn of the end, and would block the event loop.
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


@define
class ConnectionLimit:
    """Serves at most `most` connections at a time, so that readers leave descriptors to the agent itself.

    Others are closed at once. The log says so when it begins, and again after half of them were free.
    """

    most: int
    _open: int = field(default=0, init=False)
    _is_reported: bool = field(default=False, init=False)

    async def handle(
        self,
        app: AppWrapper,
        config: Config,
        context: WorkerContext,
        state: ConnectionState,
        stream: trio.SocketStream,
    ) -> None:
        """Serve one client until its connection ends; replaces `hypercorn.trio.tcp_server.TCPServer`."""
        if self._open >= self.most:
            self._report()
            await trio.aclose_forcefully(stream)
            return
        self._open += 1
        try:
            await _Connection(app, config, context, state, stream).run()
        finally:
            self._open -= 1
            self._is_reported &= self._open > self.most // 2

    def _report(self) -> None:
        if not self._is_reported:
            self._is_reported = True
            logger.warning("%d connections are open, further ones are refused", self._open)


def _idle_scope() -> trio.CancelScope:
    return trio.CancelScope(deadline=trio.current_time() + IDLE_S)


@define
class _Connection:
    """One client's connection; cancelling `_scope` is the only way in which it ends.

    It differs from Hypercorn 0.18's `TCPServer`: a send has a time limit and is not shielded from a stop. An
    error ends this connection alone. Closing and idling begin without a checkpoint, because Quart-Trio
    cancels the request's task as soon as its response was sent.
    """

    _app: AppWrapper
    _config: Config
    _context: WorkerContext
    _state: ConnectionState
    _stream: trio.SocketStream
    _scope: trio.CancelScope = field(factory=_idle_scope, init=False)
    _sending: trio.Lock = field(factory=trio.Lock, init=False)

    async def run(self) -> None:
        try:
            with self._scope:
                await self._serve()
        except* (OSError, trio.BrokenResourceError, trio.TooSlowError):
            pass  # the client has disconnected, or does not react
        except* Exception as errors:
            logger.exception("a connection was closed because of an error", exc_info=errors)
        finally:
            await self._close()

    async def _serve(self) -> None:
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
                send=self._on_event,
            )
            tasks.spawn(self._close_when_idle)
            await self._receive(protocol)
            self._scope.cancel()

    @property
    def _idle(self) -> bool:
        return self._scope.deadline < inf

    async def _close_when_idle(self) -> None:
        """A server that stops does not wait for requests that an idle connection may still send."""
        await self._context.terminated.wait()
        if self._idle:
            self._scope.cancel()

    async def _receive(self, protocol: H11Protocol) -> None:
        data = b"not empty"
        while data:
            with trio.fail_after(RECEIVE_S):
                data = bytes(await self._stream.receive_some(RECEIVE_BYTES))
                await protocol.handle(RawData(data))

    async def _on_event(self, event: Event) -> None:
        """Do what Hypercorn's protocol asks of the connection: send bytes, be idle or not, close."""
        if isinstance(event, RawData):
            await self._send(event.data)
        elif isinstance(event, Updated):
            self._scope.deadline = trio.current_time() + IDLE_S if event.idle else inf
        else:
            self._scope.cancel()

    async def write_frame(self, frame: bytes) -> None:
        """Send a frame; without a checkpoint if the socket's buffer has room for all of it."""
        sent = 0
        if not self._sending.locked():
            with suppress(OSError):  # no room, or disconnected: `_send` meets the same error
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
            self._scope.cancel()
        except trio.Cancelled:
            self._scope.cancel()  # half a message was sent: the connection cannot be used any more
            raise

    async def _close(self) -> None:
        """Close in stages (RFC 9112 section 9.6): a reset, caused by unread bytes, would lose the response.

        A connection that idles when the server stops has no response to lose.
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
    """HTTP/1.1 and WebSocket without compression; requests that break Hypercorn 0.18 are refused."""

    async def handle(self, event: Event) -> None:
        await super().handle(event)
        if isinstance(self.stream, WSStream) and _must_close(self.stream):
            await self.send(Closed())

    async def stream_send(self, event: StreamEvent) -> None:
        if isinstance(event, StreamClosed) and isinstance(self.stream, WSStream):
            # Hypercorn would first wait for the handler to take this event, for ever if it does not receive.
            await self.send(Closed())
        else:
            await super().stream_send(event)

    async def _send_h11_event(self, event: H11SendableEvent) -> None:
        """Not after the connection was cancelled, perhaps in the middle of a response: h11 would raise."""
        await trio.lowlevel.checkpoint_if_cancelled()
        await super()._send_h11_event(event)

    async def _check_protocol(self, event: h11.Request) -> None:
        """Ignore upgrades to HTTP/2, as a server may (RFC 9110 section 7.8)."""

    async def _create_stream(self, request: h11.Request) -> None:
        refusal = _refusal(request, early=bool(self.connection.trailing_data[0]))
        if refusal is None:
            await super()._create_stream(_without_extensions(request))
        else:
            await self._send_error_response(refusal)
            await self.send(Closed())


def _refusal(request: h11.Request, *, early: bool) -> int | None:
    """The status with which to refuse a request, None: serve it. `early`: more bytes came with its head."""
    if request.http_version not in (b"1.0", b"1.1"):
        return VERSION_NOT_SUPPORTED
    for name, value in request.headers:
        if name == b"upgrade" and value.lower() == b"websocket" and early:
            return BAD_REQUEST  # RFC 6455 section 4.1: frames come after the handshake
        if name in (b"connection", b"sec-websocket-protocol") and not value.isascii():
            return BAD_REQUEST
    return None


def _without_extensions(request: h11.Request) -> h11.Request:
    """Without the offer of compression, which takes five times the memory and three times the work."""
    return h11.Request(
        method=request.method,
        target=request.target,
        headers=[header for header in request.headers if header[0] != b"sec-websocket-extensions"],
        http_version=request.http_version,
    )


def _must_close(stream: WSStream) -> bool:
    """Refused, or its message is too large: Hypercorn would keep both connections open."""
    return stream.closed or stream.buffer.length > stream.buffer.max_length
