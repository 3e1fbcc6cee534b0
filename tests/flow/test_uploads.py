"""Upload jobs beside the routes of a whole agent."""

import errno
import shutil
from pathlib import Path

import pytest
import trio

from agent.config import uploads as jobs
from agent.control.errors import Conflict, InvalidRequest, NotFound
from agent.control.uploads import STOPPED
from agent.journal import uploads as journal_uploads
from agent.model.transfer import Status
from agent.model.upload import CreateUpload, UploadFileState, UploadState
from agent.model.views import HistoryQuery, UploadFilesQuery, UploadsQuery
from tests.flow.fault_script import FaultScript
from tests.flow.running_agents import (
    LONG,
    WINDOW_BYTES,
    CopyHold,
    contents,
    eventually,
    log_lines,
    running,
    write_files,
)
from tests.flow.upload_flows import BUCKET, Uploads, configure, shorten_durations, uploading


@pytest.fixture(autouse=True)
def _into_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_durations(monkeypatch)
    monkeypatch.setattr(jobs, "bucket_url", lambda bucket: str(tmp_path / bucket))


async def test_a_job_sends_what_matches_under_its_own_name_and_keeps_the_source(tmp_path: Path) -> None:
    configure(tmp_path)
    wanted = {"day1/a.mxf": b"aaaa", "day1/card/b.MXF": b"bb"}
    write_files(tmp_path / "media", wanted | {"day1/notes.txt": b"no", "other.mxf": b"outside"})
    async with running(tmp_path) as agent:
        uploads = Uploads(agent)
        job = await uploads.add("day1", "*.mxf")
        ended = await uploads.until_state(job, UploadState.COMPLETED)
        files = await uploads.files(job)
        await uploads.until_closed()
        snapshot = await agent.control.snapshot()
    assert contents(tmp_path / BUCKET) == {f"{job}/a.mxf": b"aaaa", f"{job}/card/b.MXF": b"bb"}
    assert set(contents(tmp_path / "media")) == {*wanted, "day1/notes.txt", "other.mxf"}
    assert (ended.progress, ended.total_files, ended.completed_files, ended.error) == (1.0, 2, 2, None)
    assert {path: (file.state, file.key) for path, file in files.items()} == {
        "a.mxf": (UploadFileState.UPLOADED, f"{job}/a.mxf"),
        "card/b.MXF": (UploadFileState.UPLOADED, f"{job}/card/b.MXF"),
    }
    assert [route.name for route in snapshot.routes] == ["mxf"]


async def test_an_empty_folder_and_one_of_empty_files_complete(tmp_path: Path) -> None:
    configure(tmp_path)
    write_files(tmp_path / "media", {"empty/keep": b""})
    (tmp_path / "media/nothing").mkdir()
    async with running(tmp_path) as agent:
        uploads = Uploads(agent)
        added = [await uploads.add(folder) for folder in ("nothing", "empty")]
        for job in added:
            ended = await uploads.until_state(job, UploadState.COMPLETED)
            assert (ended.progress, ended.total_files, ended.error) == (1.0, 0, None)
        files = await uploads.files(added[1])
    assert files["keep"].error == "empty: a file of 0 bytes is not uploaded"
    assert contents(tmp_path / BUCKET) == {}


async def test_a_file_that_changes_is_sent_again_beside_what_was_delivered(
    tmp_path: Path, copy_hold: CopyHold
) -> None:
    async with uploading(tmp_path, {"a.mxf": b"one", "long.mxf": LONG}) as (uploads, job):
        await uploads.until_file(job, "a.mxf", UploadFileState.UPLOADED, lambda _: True)
        await uploads.until_checkpoint("long.mxf")
        write_files(tmp_path / "media", {"a.mxf": b"other", "late.mxf": b"late"})
        await uploads.until_file(
            job, "a.mxf", UploadFileState.UPLOADED, lambda file: file.key == f"{job}/a_1.mxf"
        )
        copy_hold.release()
        ended = await uploads.until_state(job, UploadState.COMPLETED)
    assert (ended.total_files, ended.completed_files) == (3, 3)
    assert contents(tmp_path / BUCKET) == {
        f"{job}/a.mxf": b"one",
        f"{job}/a_1.mxf": b"other",
        f"{job}/late.mxf": b"late",
        f"{job}/long.mxf": LONG,
    }


async def test_progress_counts_the_bytes_of_running_copies(tmp_path: Path, copy_hold: CopyHold) -> None:
    async with uploading(tmp_path, {"long.mxf": LONG, "short.mxf": b"x" * (WINDOW_BYTES - 1)}) as (
        uploads,
        job,
    ):
        await copy_hold.until_checkpoint()
        half = await uploads.until(job, lambda job: 0.4 < job.progress < 1 and job.completed_files == 1)
        assert (half.state, half.total_files) == (UploadState.IN_PROGRESS, 2)
        copy_hold.release()
        await uploads.until_state(job, UploadState.COMPLETED)


@pytest.mark.usefixtures("copy_hold")
async def test_a_stopped_job_keeps_its_delivered_files_and_removes_its_partials(tmp_path: Path) -> None:
    async with uploading(tmp_path, {"a.mxf": b"one", "long.mxf": LONG}) as (uploads, job):
        await uploads.until_file(job, "a.mxf", UploadFileState.UPLOADED, lambda _: True)
        await uploads.until_checkpoint("long.mxf")
        await uploads.agent.control.uploads.stop(job)
        stopped = await uploads.agent.control.uploads.find(job)
        assert (stopped.state, stopped.error) == (UploadState.FAILED, STOPPED)
        await uploads.until_closed()
        files = await uploads.files(job)
        with pytest.raises(Conflict, match="FAILED"):
            await uploads.agent.control.uploads.stop(job)
        await eventually(lambda: f"upload:{job}" not in uploads.agent.runtime.status.routes)
    assert contents(tmp_path / BUCKET) == {f"{job}/a.mxf": b"one"}
    assert files["a.mxf"].state is UploadFileState.UPLOADED
    assert (files["long.mxf"].state, files["long.mxf"].error) == (UploadFileState.FAILED, STOPPED)


async def test_jobs_that_start_and_end_do_not_disturb_other_routes(
    tmp_path: Path, copy_hold: CopyHold
) -> None:
    configure(tmp_path)
    write_files(tmp_path / "source", {"clip.mxf": LONG})
    write_files(tmp_path / "media", {"a/a.mxf": b"one", "b/b.mxf": b"two"})
    async with running(tmp_path) as agent:
        uploads = Uploads(agent)
        await copy_hold.until_checkpoint()
        [before] = [file for file in (await agent.control.snapshot()).files if file.path == "clip.mxf"]
        for folder in ("a", "b"):
            await uploads.until_state(await uploads.add(folder), UploadState.COMPLETED)
        await uploads.until_closed()
        [after] = [file for file in (await agent.control.snapshot()).files if file.path == "clip.mxf"]
        assert after == before
        copy_hold.release()
        await agent.until_file("clip.mxf", Status.COMPLETED)
    assert contents(tmp_path / "nas") == {"clip.mxf": LONG}


async def test_a_job_with_a_file_that_cannot_be_sent_fails_when_all_files_have_ended(
    tmp_path: Path, faults: FaultScript
) -> None:
    faults.add("source_read", number=errno.EIO)
    async with uploading(tmp_path, {"bad.mxf": b"content"}) as (uploads, job):
        ended = await uploads.until_state(job, UploadState.FAILED)
        files = await uploads.files(job)
        await uploads.until_closed()
    assert (ended.total_files, ended.completed_files, ended.progress) == (1, 0, 0.0)
    assert files["bad.mxf"].state is UploadFileState.FAILED
    assert ended.error == f"1 of 1 files failed, the first: bad.mxf: {files['bad.mxf'].error}"
    assert contents(tmp_path / BUCKET) == {}


async def test_a_job_whose_folder_is_gone_for_good_fails(tmp_path: Path, copy_hold: CopyHold) -> None:
    async with uploading(tmp_path, {"day/long.mxf": LONG}, "day") as (uploads, job):
        await copy_hold.until_checkpoint()
        shutil.rmtree(tmp_path / "media/day")
        ended = await uploads.until_state(job, UploadState.FAILED)
        await uploads.until_closed()
    assert ended.error is not None
    assert ended.error.startswith("the source folder is gone: ")
    assert contents(tmp_path / BUCKET) == {}
    assert not (tmp_path / "media/day").exists()


async def test_a_job_whose_folder_is_swapped_for_a_link_waits_until_it_is_back(
    tmp_path: Path, copy_hold: CopyHold
) -> None:
    write_files(tmp_path / "foreign", {"long.mxf": b"not ours", "secret.mxf": b"not ours"})
    async with uploading(tmp_path, {"day/long.mxf": LONG}, "day") as (uploads, job):
        await copy_hold.until_checkpoint()
        day, aside = tmp_path / "media/day", tmp_path / "aside"
        day.rename(aside)
        day.symlink_to(tmp_path / "foreign")
        await uploads.agent.until(lambda view: "leads to" in (view.source_error(f"upload:{job}") or ""))
        copy_hold.release()
        day.unlink()
        aside.rename(day)
        await uploads.until_state(job, UploadState.COMPLETED)
    assert contents(tmp_path / BUCKET) == {f"{job}/long.mxf": LONG}


async def test_behind_a_root_that_is_swapped_for_a_link_no_job_is_accepted(tmp_path: Path) -> None:
    configure(tmp_path)
    write_files(tmp_path / "foreign", {"day/secret.mxf": b"not ours"})
    async with running(tmp_path) as agent:
        await eventually(lambda: str(tmp_path / "media") in agent.runtime.workers.roots)
        (tmp_path / "media").rmdir()
        (tmp_path / "media").symlink_to(tmp_path / "foreign")
        for folder in ("day", ""):
            with pytest.raises(InvalidRequest, match="does not lie below"):
                await Uploads(agent).add(folder)


async def test_an_outage_shows_in_the_job_and_not_in_other_routes(
    tmp_path: Path, copy_hold: CopyHold
) -> None:
    async with uploading(tmp_path, {"long.mxf": LONG}) as (uploads, job):
        await copy_hold.until_checkpoint()
        (tmp_path / BUCKET).rename(tmp_path / "away")
        waits = await uploads.until(job, lambda job: job.error is not None)
        assert waits.state is UploadState.IN_PROGRESS
        assert waits.error is not None
        assert waits.error.startswith("outage: unmounted: ")
        shown = await uploads.agent.until(lambda view: any(each.outage for each in view.routes.values()))
        assert [name for name, route in shown.routes.items() if route.outage] == [f"upload:{job}"]
        (tmp_path / "away").rename(tmp_path / BUCKET)
        copy_hold.release()
        ended = await uploads.until_state(job, UploadState.COMPLETED)
    assert ended.error is None
    assert contents(tmp_path / BUCKET) == {f"{job}/long.mxf": LONG}


async def test_a_job_goes_on_where_it_was_after_a_reload(
    tmp_path: Path, copy_hold: CopyHold, caplog: pytest.LogCaptureFixture
) -> None:
    async with uploading(tmp_path, {"a.mxf": b"one", "long.mxf": LONG}) as (uploads, job):
        await uploads.until_file(job, "a.mxf", UploadFileState.UPLOADED, lambda _: True)
        await uploads.until_checkpoint("long.mxf")
        configure(tmp_path, max_attempts=1)
        await uploads.agent.control.reload()
        await uploads.agent.until(lambda view: view.routes["mxf"].rules["max_attempts"] == 1)
        copy_hold.release()
        await uploads.until_state(job, UploadState.COMPLETED)
    copied = {str(line["file"]): line for line in log_lines(caplog, "copied")}
    assert copied["long.mxf"]["resumed_bytes"] == WINDOW_BYTES
    assert [line["file"] for line in log_lines(caplog, "copied")].count("a.mxf") == 1
    assert contents(tmp_path / BUCKET) == {f"{job}/a.mxf": b"one", f"{job}/long.mxf": LONG}


async def test_a_job_stopped_in_the_journal_is_cleaned_up_at_the_next_start(
    tmp_path: Path, copy_hold: CopyHold
) -> None:
    async with uploading(tmp_path, {"long.mxf": LONG}) as (_, job):
        await copy_hold.until_checkpoint()
    async with running(tmp_path) as agent:
        await agent.runtime.journal.write(journal_uploads.stop, job, STOPPED, 1.0)
        await Uploads(agent).until_closed()
        assert (await agent.control.uploads.find(job)).error == STOPPED
    assert contents(tmp_path / BUCKET) == {}


async def test_a_folder_that_may_not_be_read_any_more_ends_its_job(
    tmp_path: Path, copy_hold: CopyHold
) -> None:
    async with uploading(tmp_path, {"day/long.mxf": LONG}, "day") as (uploads, job):
        await copy_hold.until_checkpoint()
        config = tmp_path / "agent.toml"
        config.write_text(config.read_text().replace(f"{tmp_path}/media", f"{tmp_path}/elsewhere"))
        await uploads.agent.control.reload()
        ended = await uploads.until_state(job, UploadState.FAILED)
    assert ended.error == "the source folder does not lie below one of the [uploads] roots any more"


async def test_what_cannot_be_uploaded_is_refused_with_the_reason(tmp_path: Path) -> None:
    configure(tmp_path)
    write_files(tmp_path / "media", {"day/a.mxf": b"one"})
    (tmp_path / "media/way-out").symlink_to(tmp_path / "source")
    (tmp_path / "way-in").symlink_to(tmp_path / "media/day")
    async with running(tmp_path) as agent:
        uploads = Uploads(agent)
        for folder, bucket, reason in (
            ("missing", BUCKET, "must be an existing folder"),
            ("day/a.mxf", BUCKET, "must be an existing folder"),
            ("way-out", BUCKET, "does not lie below the .uploads. roots"),
            ("../source", BUCKET, "does not lie below the .uploads. roots"),
            ("day", "no-such", "destination_bucket: .*name one that can be used"),
        ):
            with pytest.raises(InvalidRequest, match=reason):
                await uploads.add(folder, bucket=bucket)
        with pytest.raises(NotFound):
            await agent.control.uploads.find("nobody")
        with pytest.raises(NotFound):
            await agent.control.uploads.files(UploadFilesQuery("nobody"))
        with pytest.raises(NotFound):
            await agent.control.uploads.stop("nobody")
        assert (await agent.control.uploads.page(UploadsQuery())).jobs == ()
        job = await agent.control.uploads.add(CreateUpload(str(tmp_path / "way-in"), BUCKET))
        assert (await agent.control.uploads.find(job)).source_folder == str(tmp_path / "media/day")


async def test_without_roots_jobs_are_refused(tmp_path: Path) -> None:
    configure(tmp_path)
    config = tmp_path / "agent.toml"
    config.write_text(config.read_text().replace("[uploads]\nroots", "[uploads]\n# roots"))
    async with running(tmp_path) as agent:
        with pytest.raises(InvalidRequest, match="uploads are off"):
            await Uploads(agent).add()


async def test_jobs_are_listed_newest_first_and_the_history_names_their_route(tmp_path: Path) -> None:
    configure(tmp_path)
    write_files(tmp_path / "media", {"a/a.mxf": b"one", "b/b.mxf": b"two"})
    async with running(tmp_path) as agent:
        uploads = Uploads(agent)
        first, second = await uploads.add("a"), await uploads.add("b")
        for job in (first, second):
            await uploads.until_state(job, UploadState.COMPLETED)
        page = await agent.control.uploads.page(UploadsQuery(limit=1))
        assert [job.id for job in page.jobs] == [second]
        rest = await agent.control.uploads.page(UploadsQuery(limit=1, before_id=page.next_before_id))
        assert ([job.id for job in rest.jobs], rest.next_before_id) == ([first], None)
        rows = (await agent.control.history(HistoryQuery(route=f"upload:{first}"))).rows
        assert [(row.path, row.result) for row in rows] == [("a.mxf", "kept")]
        exposition = agent.control.render_metrics().decode()
    assert 'transfer_agent_files_total{result="kept",route="uploads"} 2.0' in exposition
    assert first not in exposition


async def test_all_jobs_to_one_bucket_share_its_workers(tmp_path: Path, copy_hold: CopyHold) -> None:
    configure(tmp_path, "workers = 2\n")
    write_files(tmp_path / "media", {f"{job}/{name}.mxf": LONG for job in "ab" for name in "12"})
    async with running(tmp_path) as agent:
        uploads = Uploads(agent)
        added = [await uploads.add("a"), await uploads.add("b")]
        ready = ("Copying", "Verifying", "InQueue")
        view = await agent.until(
            lambda view: (
                len(view.files) == 4 and all(f.current.status.value in ready for f in view.files.values())
            )
        )
        await copy_hold.until_checkpoint()
        with trio.move_on_after(0.3):
            await agent.until(
                lambda view: sum(f.current.status is Status.COPYING for f in view.files.values()) > 2
            )
            raise AssertionError(view)
        copy_hold.release()
        for job in added:
            await uploads.until_state(job, UploadState.COMPLETED)
    assert len(contents(tmp_path / BUCKET)) == 4
