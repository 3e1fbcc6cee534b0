"""The live feed from the broadcaster to the socket: many subscribers, and one that never reads."""

import json
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from attrs import define, evolve, field
from wsproto.connection import Connection, ConnectionType
from wsproto.events import Ping, TextMessage

from agent.actors.broadcaster import actor as broadcaster
from agent.actors.broadcaster.metrics import Metrics
from agent.actors.broadcaster.status_model import StatusModel
from agent.control.journal import JournalControl
from agent.control.service import Control
from agent.control.uploads import UploadControl
from agent.messages.broadcaster import GenerationStarted, StatusChanged, StatusesChanged
from agent.messages.channels import BroadcasterInbox
from agent.model.transfer import Status
from agent.model.views import FileView
from agent.worker_pool import WorkerPool
from tests.fakes import FakeJournal
from tests.samples import ROUTE, a_file
from tests.web.harness import SOON_S, ask, connect, leave, open_websocket, read_until, running
from tests.web.hostile import get, upgrade
from web import hardening, schemas
from web.app import create_app
from web.auth import Access
from web.file_list import FileQuery
from web.shared_answers import AT_ONCE, SharedAnswers

FILES = tuple(evolve(a_file(f"take{number:03}.mxf"), route=ROUTE.name) for number in range(150))
VISITORS = 8
READERS = 40
UPDATES = 50


@asynccontextmanager
async def web_server() -> AsyncIterator[tuple[str, trio.MemorySendChannel[BroadcasterInbox]]]:
    """The address of its page, and the broadcaster's inbox."""
    events_in, events_out = trio.open_memory_channel[BroadcasterInbox](256)
    reloads_in, _ = trio.open_memory_channel[None](1)
    view, journal = StatusModel(), FakeJournal()
    control = Control(events_in, reloads_in, bytes, tuple)
    control.use(JournalControl(journal), UploadControl(journal, WorkerPool("")))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(broadcaster.run, events_out, view, Metrics(view, "1.0"))
        await events_in.send(GenerationStarted((ROUTE,), 1.0))
        await events_in.send(
            StatusesChanged(tuple(StatusChanged(file.id, Status.READY, 1.0, file) for file in FILES))
        )
        async with running(create_app(control, Access(loopback=True))) as address:
            yield address, events_in
        nursery.cancel_scope.cancel()


async def deaf_visitor(address: str) -> trio.SocketStream:
    """One with little room for what it does not read."""
    sock = trio.socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    host, _, port = address.rpartition(":")
    await sock.connect((host, int(port)))
    stream = trio.SocketStream(sock)
    await stream.send_all(upgrade())
    return stream


@define
class FeedClient:
    """Receives a snapshot and then one update after the other, until all files wait for this reason."""

    until: str
    seq: int | None = None
    whys: dict[str, str] = field(factory=dict)
    client: Connection = field(factory=lambda: Connection(ConnectionType.CLIENT))
    text: str = ""

    async def receive_all(self, address: str, path: bytes, *, task_status: trio.TaskStatus[None]) -> None:
        async with await open_websocket(address, path) as stream:
            await read_until(stream, b"\r\n\r\n", at_once=1)
            task_status.started()
            while list(self.whys.values()) != [self.until] * len(FILES):
                self.client.receive_data(bytes(await stream.receive_some()))
                for event in self.client.events():
                    if not isinstance(event, Ping):
                        assert isinstance(event, TextMessage)
                        self.hear(event)

    def hear(self, event: TextMessage) -> None:
        self.text += event.data
        if event.message_finished:
            self.note(json.loads(self.text))
            self.text = ""

    def note(self, message: dict[str, Any]) -> None:
        assert message["type"] == "snapshot" if self.seq is None else message["seq"] == self.seq + 1
        self.seq = message["seq"]
        self.whys |= {file["id"]: file["why"] for file in message.get("changed", [])}


@pytest.mark.parametrize("path", [b"/ws", b"/ws?window=200"])
async def test_every_subscriber_receives_every_update_though_one_never_reads(
    path: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcaster, "UPDATE_EVERY_S", 0.01)
    monkeypatch.setattr(broadcaster, "PER_SUBSCRIBER_S", 0.0)
    monkeypatch.setattr(hardening, "SEND_S", 1000.0)  # it is not patience that runs out
    with trio.fail_after(SOON_S * 3):
        async with web_server() as (address, events):
            deaf = await deaf_visitor(address)
            async with deaf, trio.open_nursery() as subscribers:
                for _ in range(VISITORS):
                    await subscribers.start(FeedClient(str(UPDATES)).receive_all, address, path)
                for number in range(1, UPDATES + 1):
                    moved = (StatusChanged(file.id, Status.READY, 1.0, why=str(number)) for file in FILES)
                    await events.send(StatusesChanged(tuple(moved)))
                    await trio.sleep(0.02)
                received = b"".join([bytes(data) async for data in deaf])
    assert 0 < received.count(b'"type":"update"') < UPDATES
    assert received.endswith(b"\x88\x02\x03\xf5")  # 1013: come back


@define
class CountedBodies:
    """Counts the bodies of /api/files; the first ones are held until `READERS` requests have arrived."""

    asked: int = 0
    made: int = 0
    all_asked: threading.Event = field(factory=threading.Event)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        get_answer, body = SharedAnswers.get, FileQuery.body

        async def counted_get(
            answers: SharedAnswers, question: FileQuery, make: Callable[[], Awaitable[bytes]]
        ) -> bytes:
            self.asked += 1
            if self.asked == READERS:
                self.all_asked.set()
            return await get_answer(answers, question, make)

        def counted_body(file_query: FileQuery, files: Sequence[FileView]) -> schemas.FilesBody:
            self.made += 1
            assert self.all_asked.wait(SOON_S)
            return body(file_query, files)

        monkeypatch.setattr(SharedAnswers, "get", counted_get)
        monkeypatch.setattr(FileQuery, "body", counted_body)


READ_FILES = get(b"Connection: close", target=b"/api/files")


async def test_a_crowd_that_reads_all_files_at_once_shares_few_bodies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bodies, answers = CountedBodies(), list[bytes]()
    bodies.install(monkeypatch)

    async def read(address: str) -> None:
        answers.append(await ask(address, READ_FILES))

    async with web_server() as (address, _), trio.open_nursery() as readers:
        for _ in range(READERS):
            readers.start_soon(read, address)
    assert [answer.count(b'"file_path"') for answer in answers] == [len(FILES)] * READERS
    assert bodies.made <= AT_ONCE + 1


async def test_readers_that_leave_at_once_take_nothing_away_from_those_who_follow() -> None:
    async with web_server() as (address, _):
        for _ in range(READERS):
            stream = await connect(address)
            await leave(stream, READ_FILES, "RST")
        assert (await ask(address, READ_FILES)).count(b'"file_path"') == len(FILES)
