"""Upload jobs beside the routes of a whole house."""

from pathlib import Path

import pytest

from agent.config import uploads as jobs
from agent.terms import UploadFileState, UploadState
from tests.flow.houses import contents, fill, running
from tests.flow.uploading import BUCKET, Uploads, configure, quicken


@pytest.fixture(autouse=True)
def _into_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quicken(monkeypatch)
    monkeypatch.setattr(jobs, "place_of", lambda bucket: str(tmp_path / bucket))


async def test_a_job_sends_what_matches_under_its_own_name_and_keeps_the_source(tmp_path: Path) -> None:
    configure(tmp_path)
    wanted = {"day1/a.mxf": b"aaaa", "day1/card/b.MXF": b"bb"}
    fill(tmp_path / "media", wanted | {"day1/notes.txt": b"no", "other.mxf": b"outside"})
    async with running(tmp_path) as house:
        uploads = Uploads(house)
        job = await uploads.add("day1", "*.mxf")
        ended = await uploads.until_state(job, UploadState.COMPLETED)
        files = await uploads.files(job)
        await uploads.until_closed()
        snapshot = await house.desk.snapshot()
    assert contents(tmp_path / BUCKET) == {f"{job}/a.mxf": b"aaaa", f"{job}/card/b.MXF": b"bb"}
    assert set(contents(tmp_path / "media")) == {*wanted, "day1/notes.txt", "other.mxf"}
    assert (ended.progress, ended.total_files, ended.completed_files, ended.error) == (1.0, 2, 2, None)
    assert {path: (file.state, file.key) for path, file in files.items()} == {
        "a.mxf": (UploadFileState.UPLOADED, f"{job}/a.mxf"),
        "card/b.MXF": (UploadFileState.UPLOADED, f"{job}/card/b.MXF"),
    }
    assert [route.name for route in snapshot.routes] == ["mxf"]
