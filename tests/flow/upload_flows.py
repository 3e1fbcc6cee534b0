"""Upload jobs of a whole agent, into folders in place of buckets, with durations of milliseconds."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import frozen

from agent.actors.upload_manager import actor, upload_job
from agent.config import uploads as jobs
from agent.journal import transfers
from agent.journal import uploads as journal_uploads
from agent.model.upload import CreateUpload, UploadFile, UploadFileState, UploadJob, UploadState
from agent.model.views import UploadFilesQuery
from tests.flow.running_agents import (
    POLL_S,
    TIMEOUT_S,
    ClientView,
    RunningAgent,
    running,
    write_config,
    write_files,
)

BUCKET = "archive"


def shorten_durations(monkeypatch: pytest.MonkeyPatch) -> None:
    with_short_durations = partial(
        jobs.UploadRoute, scan_s=0.05, probe_s=0.05, probe_timeout_s=5.0, retry_delay_s=0.05, max_attempts=2
    )
    monkeypatch.setattr(jobs, "UploadRoute", with_short_durations)
    monkeypatch.setattr(jobs, "STABLE_S", 0.05)
    monkeypatch.setattr(jobs, "STABLE_CLOSED_S", None)
    monkeypatch.setattr(actor, "WRITE_EVERY_S", 0.02)
    monkeypatch.setattr(actor, "RETRY_S", 0.05)
    monkeypatch.setattr(upload_job, "GONE_AFTER_S", 0.2)


def configure(folder: Path, more: str = "", **keys: Any) -> None:  # noqa: ANN401  as in TOML
    """Jobs may read below `media`; the folder `archive` takes the place of a bucket."""
    for name in ("media", BUCKET):
        (folder / name).mkdir(exist_ok=True)
    write_config(folder, f"[uploads]\nroots = {json.dumps([str(folder / 'media')])}\n{more}", **keys)


@asynccontextmanager
async def uploading(
    folder: Path, files: dict[str, bytes], source: str = ""
) -> AsyncIterator[tuple["Uploads", str]]:
    """Run an agent with these files below `media` and one job for `media` or this folder in it; its id."""
    configure(folder)
    write_files(folder / "media", files)
    async with running(folder) as agent:
        uploads = Uploads(agent)
        yield uploads, await uploads.add(source)


@frozen
class Uploads:
    """The upload jobs of a running agent, as its API shows them."""

    agent: RunningAgent

    async def add(self, folder: str = "", pattern: str | None = None, bucket: str = BUCKET) -> str:
        await self.agent.until(ClientView.is_scanned)
        source = str(self.agent.folder / "media" / folder).rstrip("/")
        return await self.agent.control.uploads.add(CreateUpload(source, bucket, pattern))

    async def until(self, upload_id: str, holds: Callable[[UploadJob], bool]) -> UploadJob:
        with trio.fail_after(TIMEOUT_S):
            while not holds(job := await self.agent.control.uploads.find(upload_id)):  # noqa: ASYNC110  as clients do
                await trio.sleep(POLL_S)
        return job

    async def until_state(self, upload_id: str, state: UploadState) -> UploadJob:
        return await self.until(upload_id, lambda job: job.state is state)

    async def files(self, upload_id: str) -> dict[str, UploadFile]:
        page = await self.agent.control.uploads.files(UploadFilesQuery(upload_id))
        return {file.path: file for file in page.files}

    async def until_file(
        self, upload_id: str, path: str, state: UploadFileState, holds: Callable[[UploadFile], bool]
    ) -> UploadFile:
        with trio.fail_after(TIMEOUT_S):
            while True:
                file = (await self.files(upload_id)).get(path)
                if file is not None and file.state is state and holds(file):
                    return file
                await trio.sleep(POLL_S)

    async def until_checkpoint(self, path: str) -> None:
        """Wait until a part of this file is verified at its destination."""
        with trio.fail_after(TIMEOUT_S):
            while True:
                found = await self.agent.runtime.journal.write(transfers.resume_points)
                if any(each.path == path and each.verified_bytes for each in found):
                    return
                await trio.sleep(POLL_S)

    async def until_closed(self) -> None:
        """Wait until every ended job is cleaned up."""
        with trio.fail_after(TIMEOUT_S):
            journal = self.agent.runtime.journal
            while await journal.write(journal_uploads.needing_cleanup):  # noqa: ASYNC110  no event is sent
                await trio.sleep(POLL_S)
