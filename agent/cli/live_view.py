"""`watch`: follows the agent over its WebSocket, and comes back whenever the connection ends."""

import json
import signal
from collections.abc import Callable
from urllib.parse import urlsplit

import trio
from attrs import define, field
from trio_websocket import ConnectionClosed, ConnectionRejected, WebSocketConnection, wrap_client_stream

from agent.cli.live_state import Body, LiveState
from agent.model.errors import first_error

DRAW_EVERY_S = 0.25
LINE_EVERY_S = 1.0
RETRY_S = 1.0
PATIENCE_S = 5.0
PING_EVERY_S = 10.0
BUFFER_BYTES = 1 << 16
FEED = "/ws?window=250"  # more than fits on a terminal
MESSAGE_BYTES = 1 << 26

LOST = (ConnectionClosed, OSError, trio.BrokenResourceError, trio.TooSlowError)

Locate = Callable[[], str]
Paint = Callable[[LiveState], None]


def run(*, locate: Locate, token: str | None, paint: Paint, every_s: float) -> str | None:
    """Paint what the agent at `locate()` says, every `every_s` at most, until INT or TERM.

    `locate` is asked again for every connection: an agent that was started again may stand elsewhere.

    Returns:
        None, or why the agent will not let us in.

    Raises:
        BrokenPipeError: nobody reads what is painted.
    """
    return trio.run(LiveView(locate, token, paint, every_s).live)


@define(eq=False)
class LiveView:
    """The view and the tasks around it; `refusal` and `broken` are why it ended by itself."""

    _locate: Locate
    _token: str | None
    _paint: Paint
    _every_s: float
    picture: LiveState = field(factory=LiveState, init=False)
    refusal: str | None = field(default=None, init=False)
    broken: BrokenPipeError | None = field(default=None, init=False)
    _news: trio.Event = field(factory=trio.Event, init=False)

    async def live(self) -> str | None:
        async with trio.open_nursery() as nursery:
            await nursery.start(self._obey_signals, nursery.cancel_scope)
            nursery.start_soon(self._keep_painting, nursery.cancel_scope)
            await self._follow()
            nursery.cancel_scope.cancel()
        if self.broken is not None:
            raise self.broken
        return self.refusal

    async def _obey_signals(
        self, life: trio.CancelScope, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGWINCH) as signals:
            task_status.started()
            async for number in signals:
                if number == signal.SIGWINCH:
                    self._news.set()
                else:
                    life.cancel()

    async def _keep_painting(self, life: trio.CancelScope) -> None:
        while True:
            self._news = trio.Event()
            try:
                self._paint(self.picture)
            except BrokenPipeError as error:
                self.broken = error
                life.cancel()
            await trio.sleep(self._every_s)
            await self._news.wait()

    async def _follow(self) -> None:
        while self.refusal is None:
            url = self._locate()
            try:
                await _visit(url, self._token, self._hear)
            except* ConnectionRejected as group:
                self._refused(url, first_error(group))
            except* LOST as group:
                self._lost(f"no connection to {url} ({_reason(first_error(group))}), trying again")
            await trio.sleep(RETRY_S)

    def _hear(self, message: Body) -> bool:
        self._news.set()
        return self.picture.apply(message)

    def _refused(self, url: str, error: BaseException) -> None:
        status = getattr(error, "status_code", 0)
        reason = f"{url} refused the connection with status {status}"
        if 400 <= status < 500:  # noqa: PLR2004  our fault, RFC 9110 section 15.5: it will not get better
            self.refusal = reason
        else:
            self._lost(f"{reason}, trying again")

    def _lost(self, trouble: str) -> None:
        self.picture.problem = trouble
        self._news.set()


async def _visit(url: str, token: str | None, hear: Callable[[Body], bool]) -> None:
    """One connection; returns when `hear` asks for another one, and raises when it ends.

    The stream is ours, because the library leaves that of a broken connection open.
    """
    place = urlsplit(url)
    headers = [(b"Authorization", f"Bearer {token}".encode())] if token else []
    stream = await trio.open_tcp_stream(place.hostname or "", place.port or 0)
    async with stream, trio.open_nursery() as nursery:
        with trio.fail_after(PATIENCE_S):
            visit = await wrap_client_stream(
                nursery,
                stream,
                place.netloc,
                FEED,
                extra_headers=headers,
                max_message_size=MESSAGE_BYTES,
                receive_buffer_size=BUFFER_BYTES,
            )
        nursery.start_soon(_stay_in_touch, visit)
        while hear(json.loads(await visit.get_message())):
            pass
        nursery.cancel_scope.cancel()


async def _stay_in_touch(visit: WebSocketConnection) -> None:
    """A frozen agent says nothing, and so does one without news."""
    while True:
        await trio.sleep(PING_EVERY_S)
        with trio.fail_after(PATIENCE_S):
            await visit.ping()


def _reason(error: BaseException) -> str:
    match error:
        case ConnectionClosed():
            return f"closed with code {error.reason.code}" if error.reason else "closed"
        case trio.TooSlowError():
            return f"no answer in {PATIENCE_S:g} s"
        case _:
            return str(error)
