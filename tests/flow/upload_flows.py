"""Upload jobs of a whole house, into folders that stand for buckets, with durations of milliseconds."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import frozen

from agent.actors.upload_manager import actor as keeping
from agent.actors.upload_manager import upload_job
from agent.config import uploads as jobs
from agent.control.uploads import CreateUpload
from agent.journal import transfers, uploads
from agent.model.upload import UploadFile, UploadFileState, UploadJob, UploadState
from agent.model.views import UploadFilesQuery
from tests.flow.running_agents import PATIENCE_S, POLL_S, Picture, Running, write_config

BUCKET = "archive"


def quicken(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = partial(
        jobs.UploadRoute, scan_s=0.05, probe_s=0.05, probe_timeout_s=5.0, retry_delay_s=0.05, max_attempts=2
    )
    monkeypatch.setattr(jobs, "UploadRoute", quick)
    monkeypatch.setattr(jobs, "STABLE_S", 0.05)
    monkeypatch.setattr(jobs, "STABLE_CLOSED_S", None)
    monkeypatch.setattr(keeping, "WRITE_EVERY_S", 0.02)
    monkeypatch.setattr(keeping, "RETRY_S", 0.05)
    monkeypatch.setattr(upload_job, "GONE_AFTER_S", 0.2)


def configure(folder: Path, more: str = "", **keys: Any) -> None:  # noqa: ANN401  as in TOML
    """Jobs may read below `media`; `archive` stands for a bucket."""
    for name in ("media", BUCKET):
        (folder / name).mkdir(exist_ok=True)
    write_config(folder, f"[uploads]\nroots = {json.dumps([str(folder / 'media')])}\n{more}", **keys)


@frozen
class Uploads:
    """The jobs of a running house, as a visitor knows them."""

    house: Running

    async def add(self, folder: str = "", pattern: str | None = None, bucket: str = BUCKET) -> str:
        await self.house.until(Picture.is_scanned)
        source = str(self.house.folder / "media" / folder).rstrip("/")
        return await self.house.control.uploads.add(CreateUpload(source, bucket, pattern))

    async def until(self, upload_id: str, is_so: Callable[[UploadJob], bool]) -> UploadJob:
        with trio.fail_after(PATIENCE_S):
            while not is_so(job := await self.house.control.uploads.find(upload_id)):  # noqa: ASYNC110  as visitors do
                await trio.sleep(POLL_S)
        return job

    async def until_state(self, upload_id: str, state: UploadState) -> UploadJob:
        return await self.until(upload_id, lambda job: job.state is state)

    async def files(self, upload_id: str) -> dict[str, UploadFile]:
        page = await self.house.control.uploads.files(UploadFilesQuery(upload_id))
        return {file.path: file for file in page.files}

    async def until_file(
        self, upload_id: str, path: str, state: UploadFileState, is_so: Callable[[UploadFile], bool]
    ) -> UploadFile:
        with trio.fail_after(PATIENCE_S):
            while True:
                file = (await self.files(upload_id)).get(path)
                if file is not None and file.state is state and is_so(file):
                    return file
                await trio.sleep(POLL_S)

    async def until_checkpoint(self, path: str) -> None:
        """A part of this file stands verified at its destination."""
        with trio.fail_after(PATIENCE_S):
            while True:
                found = await self.house.runtime.journal.write(transfers.resume_points)
                if any(each.path == path and each.verified_bytes for each in found):
                    return
                await trio.sleep(POLL_S)

    async def until_closed(self) -> None:
        """Nothing is left to do for any job."""
        with trio.fail_after(PATIENCE_S):
            journal = self.house.runtime.journal
            while await journal.write(uploads.needing_cleanup):  # noqa: ASYNC110  it sets no event
                await trio.sleep(POLL_S)
