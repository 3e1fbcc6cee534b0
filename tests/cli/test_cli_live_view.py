"""`watch` draws what it receives, reconnects when the connection ends, and ends on a signal."""

import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from math import inf

import pytest
import trio
from attrs import define, field
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, serve_websocket

from agent.cli import live_view
from agent.cli.live_state import LiveState
from agent.cli.live_view import LiveView
from tests.cli.live_peers import deaf, frozen, rude

SOON_S = 30.0  # far above what any of this takes
Receive = Callable[[WebSocketRequest], Awaitable[None]]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_view, "RETRY_S", 0)


A_ROUTE: dict[str, object] = {
    "paused": False,
    "outage": None,
    "source_error": None,
    "counts": {},
    "rate_bytes_s": 0,
}


def snapshot(*names: str, seq: int = 1) -> str:
    routes = [{**A_ROUTE, "name": name, "destination_free_bytes": None} for name in names]
    return json.dumps({"type": "snapshot", "seq": seq, "files": [], "routes": routes, "events": []})


def update(seq: int, text: str) -> str:
    event = {"at": "2026-01-01T00:00:00.000Z", "level": "error", "text": text}
    return json.dumps(
        {"type": "update", "seq": seq, "changed": [], "removed": [], "routes": [], "events": [event]}
    )


@define(eq=False)
class Canvas:
    """Everything that was painted, and how to wait until something is."""

    frames: list[str] = field(factory=list)
    _painted: trio.Event = field(factory=trio.Event)

    def paint(self, picture: LiveState) -> None:
        self.frames.append("\n".join(picture.frame(200, 20)))
        self._painted.set()
        self._painted = trio.Event()

    async def shows(self, words: str) -> None:
        with trio.fail_after(SOON_S):
            while not any(words in frame for frame in self.frames):
                await self._painted.wait()


@define(eq=False)
class Following:
    canvas: Canvas
    watch: LiveView
    result: list[str | None] = field(factory=list)
    _ended: trio.Event = field(factory=trio.Event)

    async def live(self) -> None:
        self.result.append(await self.watch.run())
        self._ended.set()

    async def ends(self) -> str | None:
        with trio.fail_after(SOON_S):
            await self._ended.wait()
        return self.result[0]


@asynccontextmanager
async def following(
    locate: Callable[[], str], *, token: str | None = None, every_s: float = 0.0
) -> AsyncIterator[Following]:
    """A view that follows until this block ends."""
    canvas = Canvas()
    made = Following(canvas, LiveView(locate, token, canvas.paint, every_s))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.live)
        yield made
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def serving(receive: Receive) -> AsyncIterator[str]:
    """The address of a server that handles WebSockets so."""
    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(serve_websocket, receive, "127.0.0.1", 0, None))
        yield f"http://127.0.0.1:{server.port}"
        nursery.cancel_scope.cancel()


def saying(*visits: list[str]) -> Receive:
    """Sends these messages, another list to each client, and then waits until the client disconnects."""
    waiting = list(visits)

    async def receive(request: WebSocketRequest) -> None:
        connection = await request.accept()
        for message in waiting.pop(0):
            await connection.send_message(message)
        with pytest.raises(ConnectionClosed):
            await connection.get_message()

    return receive


async def test_it_draws_what_the_agent_sends() -> None:
    said = saying([snapshot("mxf"), update(2, "something happened")])
    async with serving(said) as url, following(lambda: url) as view:
        await view.canvas.shows("something happened")
        assert "mxf" in view.canvas.frames[-1]
        assert view.canvas.frames[0] == "transfer-agent: connecting"


async def test_however_much_is_sent_it_draws_once_per_interval() -> None:
    said = [snapshot("mxf"), *(update(number, f"event {number}") for number in range(2, 30))]
    async with serving(saying(said)) as url, following(lambda: url, every_s=inf) as view:
        with trio.fail_after(SOON_S):
            while "event 29" not in "".join(view.watch.state.frame(80, 20)):
                await trio.testing.wait_all_tasks_blocked(0.01)
        assert view.canvas.frames == ["transfer-agent: connecting"]


async def test_a_missed_update_makes_it_come_back_for_a_snapshot() -> None:
    first, second = [snapshot("old"), update(3, "too far")], [snapshot("new", seq=3), update(4, "in step")]
    async with serving(saying(first, second)) as url, following(lambda: url) as view:
        await view.canvas.shows("in step")
        assert "new" in view.canvas.frames[-1]
        assert not any("too far" in frame for frame in view.canvas.frames)


async def test_it_reconnects_when_the_agent_closes_and_shows_why_meanwhile() -> None:
    waits = saying([snapshot("new")])
    visits: list[WebSocketRequest] = []

    async def receive(request: WebSocketRequest) -> None:
        visits.append(request)
        if len(visits) > 1:
            return await waits(request)
        connection = await request.accept()
        await connection.send_message(snapshot("old"))
        return await connection.aclose(1013)

    async with serving(receive) as url, following(lambda: url) as view:
        await view.canvas.shows("new")
        await view.canvas.shows(f"no connection to {url} (closed with code 1013), trying again\nold")


async def test_it_looks_up_the_agents_address_for_every_connection() -> None:
    async with serving(saying([snapshot("mxf")])) as url:
        addresses = iter(["http://127.0.0.1:9", url])
        async with following(lambda: next(addresses)) as view:
            await view.canvas.shows("mxf")
            assert "no connection to http://127.0.0.1:9 (" in "".join(view.canvas.frames)


@pytest.mark.parametrize(
    ("challenge", "shown"),
    [
        ([(b"WWW-Authenticate", b'Bearer realm="transfer-agent"')], [b"Bearer s3cret"]),
        ([(b"WWW-Authenticate", b'Bearer realm="another"')], []),
        ([], []),
    ],
)
async def test_the_token_is_shown_to_an_agent_that_asks_for_it_and_to_nobody_else(
    challenge: list[tuple[bytes, bytes]], shown: list[bytes]
) -> None:
    got: list[bytes] = []

    async def receive(request: WebSocketRequest) -> None:
        got.extend(value for name, value in request.headers if name == b"authorization")
        await request.reject(401, extra_headers=challenge)

    async with serving(receive) as url, following(lambda: url, token="s3cret") as view:  # noqa: S106  a test's
        assert await view.ends() == f"{url} refused the connection with status 401"
    assert got == shown


async def test_an_unavailable_agent_is_asked_again() -> None:
    async def receive(request: WebSocketRequest) -> None:
        await request.reject(503, body=b"busy")

    async with serving(receive) as url, following(lambda: url) as view:
        await view.canvas.shows(f"{url} refused the connection with status 503, trying again")
        assert view.result == []


@pytest.mark.parametrize("receive", [deaf, frozen, rude])
async def test_an_agent_that_hangs_is_distinguished_from_one_without_changes(
    receive: Callable[[trio.SocketStream], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_view, "TIMEOUT_S", 0.1)
    monkeypatch.setattr(live_view, "PING_EVERY_S", 0)
    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, receive, 0, host="127.0.0.1"))
        url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        async with following(lambda: url) as view:
            await view.canvas.shows(f"no connection to {url} (no answer in 0.1 s), trying again")
        nursery.cancel_scope.cancel()


async def test_an_agent_that_answers_stays_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    pings: list[WebSocketConnection] = []
    enough = trio.Event()
    ping = WebSocketConnection.ping

    async def counted(connection: WebSocketConnection) -> None:
        await ping(connection)
        pings.append(connection)
        if len(pings) == 3:
            enough.set()

    monkeypatch.setattr(WebSocketConnection, "ping", counted)
    monkeypatch.setattr(live_view, "PING_EVERY_S", 0)
    async with serving(saying([snapshot("mxf")])) as url, following(lambda: url) as view:
        with trio.fail_after(SOON_S):
            await enough.wait()
        assert len(set(pings)) == 1
        assert not any("no connection" in frame for frame in view.canvas.frames)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_well(number: signal.Signals) -> None:
    async with serving(saying([snapshot("mxf")])) as url, following(lambda: url) as view:
        await view.canvas.shows("mxf")
        os.kill(os.getpid(), number)
        assert await view.ends() is None


async def test_another_size_of_the_terminal_is_painted_at_once() -> None:
    async with serving(saying([snapshot("mxf")])) as url, following(lambda: url) as view:
        await view.canvas.shows("mxf")
        await trio.testing.wait_all_tasks_blocked(0.01)
        view.canvas.frames.clear()
        os.kill(os.getpid(), signal.SIGWINCH)
        await view.canvas.shows("mxf")


def test_it_ends_when_its_output_is_closed() -> None:
    def paint(_: LiveState) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    with pytest.raises(BrokenPipeError):
        live_view.run(locate=lambda: "http://127.0.0.1:9", token=None, draw=paint, every_s=0.0)
