"""What the operator says at the desk."""

from pathlib import Path

import pytest

from agent.control.errors import Conflict
from agent.model.transfer import Status
from agent.model.views import HistoryQuery
from tests.flow.running_agents import LONG, Brake, Picture, contents, eventually, fill, running, write_config

PAUSED = "paused by the operator"
CANCELLED = "cancelled by the operator"


async def test_files_of_a_paused_route_wait_until_it_is_resumed(tmp_path: Path) -> None:
    write_config(tmp_path)
    async with running(tmp_path) as house:
        await house.until(Picture.is_scanned)
        await house.control.pause("mxf")
        fill(tmp_path / "source", {"clip.mxf": b"content"})
        file = await house.until_file("clip.mxf", Status.PAUSED)
        assert file.current.why == PAUSED
        assert contents(tmp_path / "nas") == {}
        await house.control.resume("mxf")
        picture = await house.until(lambda seen: seen.status("clip.mxf") is Status.COMPLETED)
    assert not picture.routes["mxf"].paused


async def test_a_pause_survives_a_restart(tmp_path: Path) -> None:
    write_config(tmp_path)
    async with running(tmp_path) as house:
        await house.until(Picture.is_scanned)
        await house.control.pause("mxf")
    fill(tmp_path / "source", {"clip.mxf": b"content"})
    async with running(tmp_path) as house:
        await house.until_file("clip.mxf", Status.PAUSED)
        assert (await house.control.snapshot()).routes[0].paused
        await house.control.resume("mxf")
        await house.until_file("clip.mxf", Status.COMPLETED)
    async with running(tmp_path) as house:
        await house.until(Picture.is_scanned)
        assert not (await house.control.snapshot()).routes[0].paused


async def test_a_pause_stops_what_runs_and_it_goes_on_where_it_was(tmp_path: Path, brake: Brake) -> None:
    write_config(tmp_path, max_attempts=1)
    fill(tmp_path / "source", {"clip.mxf": LONG})
    async with running(tmp_path) as house:
        await brake.until_checkpoint()
        await house.control.pause("mxf")
        file = await house.until_file("clip.mxf", Status.PAUSED)
        assert (file.current.why, file.current.attempts) == (PAUSED, 0)
        brake.release()
        await house.control.resume("mxf")
        file = await house.until_file("clip.mxf", Status.COMPLETED)
    assert file.current.attempts == 0
    assert contents(tmp_path / "nas") == {"clip.mxf": LONG}


async def test_a_cancelled_copy_has_failed_leaves_nothing_behind_and_can_be_tried_again(
    tmp_path: Path, brake: Brake
) -> None:
    write_config(tmp_path)
    fill(tmp_path / "source", {"clip.mxf": LONG})
    async with running(tmp_path) as house:
        await brake.until_checkpoint()
        file_id = await house.file_id("clip.mxf")
        assert await house.control.cancel(file_id) == "the copy of clip.mxf is being stopped"
        file = await house.until_file("clip.mxf", Status.FAILED)
        assert file.current.error == CANCELLED
        with pytest.raises(Conflict, match="nothing to cancel"):
            await house.control.cancel(file_id)
        await eventually(lambda: contents(tmp_path / "nas") == {})
        assert contents(tmp_path / "source") == {"clip.mxf": LONG}
        brake.release()
        await house.control.retry(file_id)
        await house.until_file("clip.mxf", Status.COMPLETED)
        with pytest.raises(Conflict, match="is Completed: there is nothing to cancel"):
            await house.control.cancel(file_id)
        rows = (await house.control.history(HistoryQuery())).rows
    assert [(row.result, row.error) for row in rows] == [("delivered", None), ("failed", CANCELLED)]
    assert contents(tmp_path / "nas") == {"clip.mxf": LONG}


async def test_a_failed_file_stays_failed_after_a_restart_until_someone_retries_all(tmp_path: Path) -> None:
    write_config(tmp_path, conflict="fail")
    fill(tmp_path / "nas", {"clip.mxf": b"other"})
    fill(tmp_path / "source", {"clip.mxf": b"ours!"})
    async with running(tmp_path) as house:
        await house.until_file("clip.mxf", Status.FAILED)
    (tmp_path / "nas/clip.mxf").unlink()
    async with running(tmp_path) as house:
        file = await house.until_file("clip.mxf", Status.FAILED)
        assert "other content" in str(file.current.error)
        await house.control.retry_all()
        await house.until_file("clip.mxf", Status.COMPLETED)
    assert contents(tmp_path / "nas") == {"clip.mxf": b"ours!"}


async def test_a_failed_file_is_tried_again_when_it_changes(tmp_path: Path) -> None:
    write_config(tmp_path, conflict="fail")
    fill(tmp_path / "nas", {"clip.mxf": b"other"})
    fill(tmp_path / "source", {"clip.mxf": b"ours!"})
    async with running(tmp_path) as house:
        await house.until_file("clip.mxf", Status.FAILED)
        (tmp_path / "nas/clip.mxf").unlink()
        fill(tmp_path / "source", {"clip.mxf": b"changed"})
        await house.until_file("clip.mxf", Status.COMPLETED)
    assert contents(tmp_path / "nas") == {"clip.mxf": b"changed"}
