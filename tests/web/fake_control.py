"""A `Control` without an agent behind it, and views to show."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from quart_trio.testing import TrioClient

from agent.control.service import Control
from agent.control.uploads import UploadControl
from agent.model.errors import OutageReason
from agent.model.source_file import Signature
from agent.model.transfer import Status
from agent.model.upload import CreateUpload, UploadFile, UploadFileState, UploadJob, UploadState
from agent.model.views import (
    Event,
    Feed,
    FileStatus,
    FileView,
    HistoryPage,
    HistoryQuery,
    HistoryRow,
    Outage,
    RouteView,
    Snapshot,
    Update,
    UploadFilesPage,
    UploadFilesQuery,
    UploadsPage,
    UploadsQuery,
)
from tests.samples import shown_as
from web.app import create_app
from web.auth import Access

GIB = 1 << 30
NEW_YEAR_AT = 1_767_225_600.0  # 2026-01-01T00:00:00Z
FOREIGN_PEER = {"client": ("203.0.113.9", 40_000)}

A_FILE = FileView(
    id="f1",
    path="day1/a.mxf",
    signature=Signature(1, 1, 300, int(NEW_YEAR_AT) * 10**9, 1),
    discovered_at=NEW_YEAR_AT + 1,
    current=FileStatus(
        route="mxf",
        source="/src",
        status=Status.COPYING,
        copied_bytes=200,
        verified_bytes=100,
        started_at=NEW_YEAR_AT + 2.5,
        why="copying",
    ),
)
COMPLETED = shown_as(
    A_FILE,
    id="f0",
    path="done.mxf",
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
    recovered=True,
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


A_JOB = UploadJob(
    id="0b8e1c52-6f7a-4d3c-9a41-2f5f5f3f7d10",
    source_folder="/media/day1",
    destination_bucket="archive",
    pattern="*.mxf",
    state=UploadState.IN_PROGRESS,
    created_at=NEW_YEAR_AT,
    updated_at=NEW_YEAR_AT + 2,
    progress=0.25,
    total_files=4,
    completed_files=1,
    error="outage: hung: no answer",
)
A_JOB_FILE = UploadFile(
    path="card/a.mxf",
    state=UploadFileState.UPLOADED,
    size_bytes=300,
    mtime_ns=int(NEW_YEAR_AT) * 10**9,
    created_at=NEW_YEAR_AT,
    updated_at=NEW_YEAR_AT + 1,
    key="0b8e1c52-6f7a-4d3c-9a41-2f5f5f3f7d10/card/a.mxf",
)


class FakeUploadControl(UploadControl):
    """Answers with the jobs and files it holds; raises `refusal`, if there is one, instead."""

    def __init__(self) -> None:  # without the journal and the workers of the real one
        self.jobs = UploadsPage((A_JOB,), None)
        self.job_files = UploadFilesPage((A_JOB_FILE,), None)
        self.refusal: Exception | None = None
        self.created: list[CreateUpload] = []
        self.stopped: list[str] = []
        self.queries: list[UploadsQuery | UploadFilesQuery] = []

    async def add(self, create: CreateUpload) -> str:
        self._answer()
        self.created.append(create)
        return A_JOB.id

    async def find(self, upload_id: str) -> UploadJob:
        self._answer()
        assert upload_id == A_JOB.id
        return A_JOB

    async def page(self, query: UploadsQuery) -> UploadsPage:
        self._answer()
        self.queries.append(query)
        return self.jobs

    async def files(self, query: UploadFilesQuery) -> UploadFilesPage:
        self._answer()
        self.queries.append(query)
        return self.job_files

    async def stop(self, upload_id: str) -> None:
        self._answer()
        self.stopped.append(upload_id)

    def _answer(self) -> None:
        if self.refusal is not None:
            raise self.refusal


class FakeControl(Control):
    """Answers with what it holds and notes what it is asked; raises `refusal`, if there is one, instead."""

    def __init__(  # without the channels of the real one
        self,
        files: tuple[FileView, ...] = (A_FILE, COMPLETED),
        routes: tuple[RouteView, ...] = (A_ROUTE,),
        *,
        page: HistoryPage | None = None,
        journal_error: str | None = None,
        refusal: Exception | None = None,
    ) -> None:
        self.files, self.routes, self.journal_error, self.refusal = files, routes, journal_error, refusal
        self.page = page or HistoryPage((A_ROW,), None)
        self.seq = 1
        self.commands: list[tuple[str, ...]] = []
        self.queries: list[HistoryQuery] = []
        self.subscribers: list[trio.MemorySendChannel[Feed]] = []
        self.feed_closed = trio.Event()
        self._fake_uploads = FakeUploadControl()

    @property
    def uploads(self) -> FakeUploadControl:
        return self._fake_uploads

    @asynccontextmanager
    async def feed(self) -> AsyncIterator[trio.MemoryReceiveChannel[Feed]]:
        self._answer()
        feed_in, feed_out = trio.open_memory_channel[Feed](16)
        self.subscribers.append(feed_in)
        await feed_in.send(await self.snapshot())
        try:
            async with feed_out:
                yield feed_out
        finally:
            self.feed_closed.set()

    async def snapshot(self) -> Snapshot:
        self._answer()
        return Snapshot(self.seq, self.files, self.routes, (AN_EVENT,), self.journal_error)

    async def history(self, query: HistoryQuery) -> HistoryPage:
        self._answer()
        self.queries.append(query)
        return self.page

    def render_metrics(self) -> bytes:
        self._answer()
        return b"transfer_agent_websocket_clients 0.0\n"

    async def pause(self, route: str) -> str:
        return self._take("pause", route)

    async def resume(self, route: str) -> str:
        return self._take("resume", route)

    async def retry(self, file_id: str) -> str:
        return self._take("retry", file_id)

    async def retry_all(self) -> str:
        return self._take("retry_all")

    async def cancel(self, file_id: str) -> str:
        return self._take("cancel", file_id)

    async def reload(self) -> str:
        return self._take("reload")

    def _take(self, *command: str) -> str:
        self._answer()
        self.commands.append(command)
        return " ".join(("done:", *command))

    def _answer(self) -> None:
        if self.refusal is not None:
            raise self.refusal


def client_of(control: FakeControl, access: Access | None = None) -> TrioClient:
    return TrioClient(create_app(control, access or Access(loopback=True)), use_cookies=False)
