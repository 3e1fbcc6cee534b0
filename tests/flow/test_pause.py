"""The commands of the operator: pause and resume a route, cancel and retry a file."""

from pathlib import Path

import pytest
import trio

from agent.control.errors import Conflict
from agent.journal import transfers
from agent.model.transfer import Status
from agent.model.views import HistoryQuery
from tests.flow.running_agents import (
    LONG,
    TIMEOUT_S,
    ClientView,
    CopyHold,
    contents,
    eventually,
    on_written,
    running,
    running_with_clip,
    write_config,
    write_files,
)

PAUSED = "paused by the operator"
CANCELLED = "cancelled by the operator"


async def test_files_of_a_paused_route_wait_until_it_is_resumed(tmp_path: Path) -> None:
    write_config(tmp_path)
    async with running(tmp_path) as agent:
        await agent.until(ClientView.is_scanned)
        await agent.control.pause("mxf")
        write_files(tmp_path / "source", {"clip.mxf": b"content"})
        file = await agent.until_file("clip.mxf", Status.PAUSED)
        assert file.current.why == PAUSED
        assert contents(tmp_path / "nas") == {}
        await agent.control.resume("mxf")
        view = await agent.until(lambda view: view.status("clip.mxf") is Status.COMPLETED)
    assert not view.routes["mxf"].paused


async def test_a_pause_survives_a_restart(tmp_path: Path) -> None:
    write_config(tmp_path)
    async with running(tmp_path) as agent:
        await agent.until(ClientView.is_scanned)
        await agent.control.pause("mxf")
    write_files(tmp_path / "source", {"clip.mxf": b"content"})
    async with running(tmp_path) as agent:
        await agent.until_file("clip.mxf", Status.PAUSED)
        assert (await agent.control.snapshot()).routes[0].paused
        await agent.control.resume("mxf")
        await agent.until_file("clip.mxf", Status.COMPLETED)
    async with running(tmp_path) as agent:
        await agent.until(ClientView.is_scanned)
        assert not (await agent.control.snapshot()).routes[0].paused


async def test_a_pause_stops_what_runs_and_it_goes_on_where_it_was(
    tmp_path: Path, copy_hold: CopyHold
) -> None:
    async with running_with_clip(tmp_path, LONG, max_attempts=1) as agent:
        await copy_hold.until_checkpoint()
        await agent.control.pause("mxf")
        file = await agent.until_file("clip.mxf", Status.PAUSED)
        assert (file.current.why, file.current.attempts) == (PAUSED, 0)
        copy_hold.release()
        await agent.control.resume("mxf")
        file = await agent.until_file("clip.mxf", Status.COMPLETED)
    assert file.current.attempts == 0
    assert contents(tmp_path / "nas") == {"clip.mxf": LONG}


async def test_a_cancelled_copy_fails_leaves_no_partial_and_can_be_retried(
    tmp_path: Path, copy_hold: CopyHold
) -> None:
    async with running_with_clip(tmp_path, LONG) as agent:
        await copy_hold.until_checkpoint()
        file_id = await agent.file_id("clip.mxf")
        assert await agent.control.cancel(file_id) == "the copy of clip.mxf is being stopped"
        file = await agent.until_file("clip.mxf", Status.FAILED)
        assert file.current.error == CANCELLED
        with pytest.raises(Conflict, match="nothing to cancel"):
            await agent.control.cancel(file_id)
        await eventually(lambda: contents(tmp_path / "nas") == {})
        assert contents(tmp_path / "source") == {"clip.mxf": LONG}
        copy_hold.release()
        await agent.control.retry(file_id)
        await agent.until_file("clip.mxf", Status.COMPLETED)
        with pytest.raises(Conflict, match="is Completed: there is nothing to cancel"):
            await agent.control.cancel(file_id)
        rows = (await agent.control.history(HistoryQuery())).rows
    assert [(row.result, row.error) for row in rows] == [("delivered", None), ("failed", CANCELLED)]
    assert contents(tmp_path / "nas") == {"clip.mxf": LONG}


async def test_a_failed_file_stays_failed_after_a_restart_until_someone_retries_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = trio.Event()
    on_written(monkeypatch, transfers.finish, recorded.set)
    write_files(tmp_path / "nas", {"clip.mxf": b"other"})
    async with running_with_clip(tmp_path, b"ours!", conflict="fail") as agent:
        await agent.until_file("clip.mxf", Status.FAILED)
        with trio.fail_after(TIMEOUT_S):
            await recorded.wait()  # the page shows it before the journal has it
    (tmp_path / "nas/clip.mxf").unlink()
    async with running(tmp_path) as agent:
        file = await agent.until_file("clip.mxf", Status.FAILED)
        assert "other content" in str(file.current.error)
        await agent.control.retry_all()
        await agent.until_file("clip.mxf", Status.COMPLETED)
    assert contents(tmp_path / "nas") == {"clip.mxf": b"ours!"}


async def test_a_failed_file_is_tried_again_when_it_changes(tmp_path: Path) -> None:
    write_files(tmp_path / "nas", {"clip.mxf": b"other"})
    async with running_with_clip(tmp_path, b"ours!", conflict="fail") as agent:
        await agent.until_file("clip.mxf", Status.FAILED)
        (tmp_path / "nas/clip.mxf").unlink()
        write_files(tmp_path / "source", {"clip.mxf": b"changed"})
        await agent.until_file("clip.mxf", Status.COMPLETED)
    assert contents(tmp_path / "nas") == {"clip.mxf": b"changed"}
