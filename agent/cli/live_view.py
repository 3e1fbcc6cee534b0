"""`watch`: receives the agent's messages over its WebSocket, and reconnects when the connection ends."""

import json
import signal
from collections.abc import Callable
from urllib.parse import urlsplit

import trio
from attrs import define, field
from trio_websocket import ConnectionClosed, ConnectionRejected, WebSocketConnection, wrap_client_stream

from agent.cli.client import is_challenge
from agent.cli.live_state import Body, LiveState
from agent.model.errors import first_error

DRAW_EVERY_S = 0.25
LINE_EVERY_S = 1.0
RETRY_S = 1.0
TIMEOUT_S = 5.0
PING_EVERY_S = 10.0
BUFFER_BYTES = 1 << 16
FEED = "/ws?window=250"  # more than fits on a terminal
MESSAGE_BYTES = 1 << 26

CONNECTION_ERRORS = (ConnectionClosed, OSError, trio.BrokenResourceError, trio.TooSlowError)

Locate = Callable[[], str]
Draw = Callable[[LiveState], None]


def run(*, locate: Locate, token: str | None, draw: Draw, every_s: float) -> str | None:
    """Draw the state of the agent at `locate()`, at most once in `every_s`, until INT or TERM.

    `locate` is called for every connection: after a restart the agent may have another address.

    Returns:
        None, or why the agent refused the connection.

    Raises:
        BrokenPipeError: the output was closed.
    """
    return trio.run(LiveView(locate, token, draw, every_s).run)


@define(eq=False)
class LiveView:
    """The state and the tasks that update and draw it; `refusal` or `broken` is why it ended by itself."""

    _locate: Locate
    _token: str | None
    _draw: Draw
    _every_s: float
    state: LiveState = field(factory=LiveState, init=False)
    refusal: str | None = field(default=None, init=False)
    broken: BrokenPipeError | None = field(default=None, init=False)
    _changed: trio.Event = field(factory=trio.Event, init=False)

    async def run(self) -> str | None:
        async with trio.open_nursery() as nursery:
            await nursery.start(self._handle_signals, nursery.cancel_scope)
            nursery.start_soon(self._keep_drawing, nursery.cancel_scope)
            await self._keep_receiving()
            nursery.cancel_scope.cancel()
        if self.broken is not None:
            raise self.broken
        return self.refusal

    async def _handle_signals(
        self, scope: trio.CancelScope, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGWINCH) as signals:
            task_status.started()
            async for number in signals:
                if number == signal.SIGWINCH:
                    self._changed.set()
                else:
                    scope.cancel()

    async def _keep_drawing(self, scope: trio.CancelScope) -> None:
        while True:
            self._changed = trio.Event()
            try:
                self._draw(self.state)
            except BrokenPipeError as error:
                self.broken = error
                scope.cancel()
            await trio.sleep(self._every_s)
            await self._changed.wait()

    async def _keep_receiving(self) -> None:
        while self.refusal is None:
            url = self._locate()
            try:
                await self._receive(url)
            except* ConnectionRejected as group:
                self._on_refusal(url, first_error(group))
            except* CONNECTION_ERRORS as group:
                self._on_lost(f"no connection to {url} ({_reason(first_error(group))}), trying again")
            await trio.sleep(RETRY_S)

    async def _receive(self, url: str) -> None:
        """The token goes only to a server that asks for an agent's token, as in `Client`."""
        try:
            await _receive(url, None, self._on_message)
        except* ConnectionRejected as group:
            if self._token is None or not _asks_for_token(first_error(group)):
                raise
        else:
            return
        await _receive(url, self._token, self._on_message)

    def _on_message(self, message: Body) -> bool:
        self._changed.set()
        return self.state.apply(message)

    def _on_refusal(self, url: str, error: BaseException) -> None:
        status = getattr(error, "status_code", 0)
        reason = f"{url} refused the connection with status {status}"
        if 400 <= status < 500:  # noqa: PLR2004  our fault, RFC 9110 section 15.5: it will not get better
            self.refusal = reason
        else:
            self._on_lost(f"{reason}, trying again")

    def _on_lost(self, problem: str) -> None:
        self.state.problem = problem
        self._changed.set()


async def _receive(url: str, token: str | None, on_message: Callable[[Body], bool]) -> None:
    """One connection; returns when `on_message` returns False, and raises when it ends.

    The stream is opened here, because trio-websocket leaves its own open when the connection breaks.
    """
    address = urlsplit(url)
    headers = [(b"Authorization", f"Bearer {token}".encode())] if token else []
    stream = await trio.open_tcp_stream(address.hostname or "", address.port or 0)
    async with stream, trio.open_nursery() as nursery:
        with trio.fail_after(TIMEOUT_S):
            connection = await wrap_client_stream(
                nursery,
                stream,
                address.netloc,
                FEED,
                extra_headers=headers,
                max_message_size=MESSAGE_BYTES,
                receive_buffer_size=BUFFER_BYTES,
            )
        nursery.start_soon(_ping, connection)
        while on_message(json.loads(await connection.get_message())):
            pass
        nursery.cancel_scope.cancel()


def _asks_for_token(error: BaseException) -> bool:
    headers = error.headers if isinstance(error, ConnectionRejected) else ()
    return any(
        name.lower() == b"www-authenticate" and is_challenge(value.decode()) for name, value in headers
    )


async def _ping(connection: WebSocketConnection) -> None:
    """Detects an agent that hangs; one in which nothing changes sends no messages either."""
    while True:
        await trio.sleep(PING_EVERY_S)
        with trio.fail_after(TIMEOUT_S):
            await connection.ping()


def _reason(error: BaseException) -> str:
    match error:
        case ConnectionClosed():
            return f"closed with code {error.reason.code}" if error.reason else "closed"
        case trio.TooSlowError():
            return f"no answer in {TIMEOUT_S:g} s"
        case _:
            return str(error)
