"""A desk without a house behind it, and views to show."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from attrs import define, evolve, field
from quart_trio.testing import TrioClient

from agent.faults import OutageReason
from agent.terms import Status
from agent.views import (
    Event,
    Feed,
    FileView,
    HistoryPage,
    HistoryQuery,
    HistoryRow,
    Outage,
    RouteView,
    Snapshot,
    Update,
)
from web.app import create_app
from web.guard import Access

GIB = 1 << 30
NEW_YEAR_AT = 1_767_225_600.0  # 2026-01-01T00:00:00Z
FOREIGN_PEER = {"client": ("203.0.113.9", 40_000)}

A_FILE = FileView(
    id="f1",
    route="mxf",
    path="day1/a.mxf",
    file_path="/src/day1/a.mxf",
    status=Status.COPYING,
    size_bytes=300,
    mtime_at=NEW_YEAR_AT,
    discovered_at=NEW_YEAR_AT + 1,
    copied_bytes=200,
    verified_bytes=100,
    started_at=NEW_YEAR_AT + 2.5,
    why="copying",
)
COMPLETED = evolve(
    A_FILE,
    id="f0",
    path="done.mxf",
    file_path="/src/done.mxf",
    status=Status.COMPLETED,
    completed_at=NEW_YEAR_AT + 9,
    destination_path="/nas/done.mxf",
    verified_level="read_back",
    hash="xxh128:" + "0" * 32,
)
A_ROUTE = RouteView(
    name="mxf",
    source="/src",
    destination="/nas",
    rules={"stable_s": 120.0, "include": ["*.mxf"]},
    paused=False,
    counts={"Copying": 1},
    queue_bytes=300,
    rate_bytes_s=50.0,
    outage=None,
    checked=True,
    swept=True,
    scanned=True,
    source_error=None,
    source_free_bytes=512 * GIB + 5,
    destination_free_bytes=2048 * GIB - 1,
    destination_total_bytes=4096 * GIB,
    low_space_bytes=10 * GIB,
)
AN_OUTAGE = Outage(OutageReason.HUNG, NEW_YEAR_AT, "no answer in 10 s")
AN_EVENT = Event(NEW_YEAR_AT, "error", "an actor crashed")
A_ROW = HistoryRow(
    transfer_id=7,
    route="mxf",
    path="done.mxf",
    file_path="/src/done.mxf",
    result="delivered",
    size_bytes=300,
    destination_path="/nas/done.mxf",
    verified_level="read_back",
    hash="xxh128:" + "0" * 32,
    attempts=1,
    error=None,
    discovered_at=NEW_YEAR_AT,
    started_at=NEW_YEAR_AT + 1,
    completed_at=NEW_YEAR_AT + 2,
)
AN_UPDATE = Update(2, (A_FILE,), ("f9",), (A_ROUTE,), (AN_EVENT,))


@define
class FakeDesk:
    """Shows what it holds and notes what it is asked; `refusal` is raised instead of any answer."""

    files: tuple[FileView, ...] = (A_FILE, COMPLETED)
    routes: tuple[RouteView, ...] = (A_ROUTE,)
    page: HistoryPage = field(factory=lambda: HistoryPage((A_ROW,), None))
    journal_error: str | None = None
    refusal: Exception | None = None
    orders: list[tuple[str, ...]] = field(factory=list)
    queries: list[HistoryQuery] = field(factory=list)
    visitors: list[trio.MemorySendChannel[Feed]] = field(factory=list)
    left: trio.Event = field(factory=trio.Event)

    @asynccontextmanager
    async def feed(self) -> AsyncIterator[trio.MemoryReceiveChannel[Feed]]:
        self._answer()
        feed_in, feed_out = trio.open_memory_channel[Feed](16)
        self.visitors.append(feed_in)
        await feed_in.send(await self.snapshot())
        try:
            async with feed_out:
                yield feed_out
        finally:
            self.left.set()

    async def snapshot(self) -> Snapshot:
        self._answer()
        return Snapshot(1, self.files, self.routes, (AN_EVENT,), self.journal_error)

    async def history(self, query: HistoryQuery) -> HistoryPage:
        self._answer()
        self.queries.append(query)
        return self.page

    def exposition(self) -> bytes:
        self._answer()
        return b"transfer_agent_websocket_clients 0.0\n"

    async def pause(self, route: str) -> None:
        self._take("pause", route)

    async def resume(self, route: str) -> None:
        self._take("resume", route)

    async def retry(self, file_id: str) -> None:
        self._take("retry", file_id)

    async def retry_all(self) -> None:
        self._take("retry_all")

    async def cancel(self, file_id: str) -> None:
        self._take("cancel", file_id)

    async def reload(self) -> None:
        self._take("reload")

    def _take(self, *order: str) -> None:
        self._answer()
        self.orders.append(order)

    def _answer(self) -> None:
        if self.refusal is not None:
            raise self.refusal


def client_of(desk: FakeDesk, access: Access | None = None) -> TrioClient:
    return TrioClient(create_app(desk, access or Access(loopback=True)), use_cookies=False)
