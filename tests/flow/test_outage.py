"""A destination that is gone pauses what goes there, and nothing else, until it is back."""

import shutil
from pathlib import Path

from agent.model.errors import OutageReason
from agent.model.transfer import Status
from tests.flow.running_agents import (
    LONG,
    ClientView,
    CopyHold,
    contents,
    route,
    running,
    running_with_clip,
    write_config,
    write_files,
)


def is_out(view: ClientView) -> bool:
    return "mxf" in view.routes and view.routes["mxf"].outage is not None


async def test_files_wait_for_a_missing_destination_which_is_not_created(
    tmp_path: Path,
) -> None:
    write_config(tmp_path)
    async with running(tmp_path) as agent:
        await agent.until(ClientView.is_scanned)
        (tmp_path / "nas").rename(tmp_path / "away")
        view = await agent.until(is_out)
        write_files(tmp_path / "source", {"clip.mxf": b"content"})
        waiting = await agent.until_file("clip.mxf", Status.PAUSED)
        assert not (tmp_path / "nas").exists()
        (tmp_path / "away").rename(tmp_path / "nas")
        file = await agent.until_file("clip.mxf", Status.COMPLETED)
        after = await agent.control.snapshot()
    outage = view.routes["mxf"].outage
    assert outage is not None
    assert outage.reason is OutageReason.UNMOUNTED
    assert "does not exist: mount the share, or make the folder" in outage.detail
    assert waiting.current.why.startswith("outage: unmounted: ")
    assert file.current.attempts == 0
    assert [view.outage for view in after.routes] == [None]
    assert contents(tmp_path / "nas") == {"clip.mxf": b"content"}


async def test_a_copy_that_an_outage_interrupts_goes_on_without_an_attempt_counted(
    tmp_path: Path, copy_hold: CopyHold
) -> None:
    async with running_with_clip(tmp_path, LONG, max_attempts=1) as agent:
        await copy_hold.until_checkpoint()
        (tmp_path / "nas").rename(tmp_path / "away")
        await agent.until_file("clip.mxf", Status.PAUSED)
        assert not (tmp_path / "nas").exists()
        copy_hold.release()
        (tmp_path / "away").rename(tmp_path / "nas")
        file = await agent.until_file("clip.mxf", Status.COMPLETED)
    assert file.current.attempts == 0
    assert contents(tmp_path / "nas") == {"clip.mxf": LONG}


async def test_a_destination_that_was_emptied_gets_the_whole_file_again(
    tmp_path: Path, copy_hold: CopyHold
) -> None:
    async with running_with_clip(tmp_path, LONG, max_attempts=1) as agent:
        await copy_hold.until_checkpoint()
        shutil.rmtree(tmp_path / "nas")
        await agent.until_file("clip.mxf", Status.PAUSED)
        copy_hold.release()
        (tmp_path / "nas").mkdir()
        await agent.until_file("clip.mxf", Status.COMPLETED)
    assert contents(tmp_path / "nas") == {"clip.mxf": LONG}


async def test_other_destinations_go_on(tmp_path: Path) -> None:
    (tmp_path / "nas2").mkdir()
    write_config(tmp_path, route("wav", source="source2", destination="nas2"))
    (tmp_path / "nas").rmdir()
    write_files(tmp_path / "source", {"clip.mxf": b"waits"})
    async with running(tmp_path) as agent:
        await agent.until_file("clip.mxf", Status.PAUSED)
        write_files(tmp_path / "source2", {"clip.wav": b"goes"})
        await agent.until_file("clip.wav", Status.COMPLETED)
        exposition = agent.control.render_metrics().decode()
    assert 'transfer_agent_destination_up{route="mxf"} 0.0' in exposition
    assert 'transfer_agent_destination_outage{reason="unmounted",route="mxf"} 1.0' in exposition
    assert 'transfer_agent_destination_up{route="wav"} 1.0' in exposition
    assert contents(tmp_path / "nas2") == {"clip.wav": b"goes"}


async def test_a_missing_source_is_reported_and_scanned_again_when_it_is_back(tmp_path: Path) -> None:
    write_config(tmp_path)
    async with running(tmp_path) as agent:
        await agent.until(ClientView.is_scanned)
        (tmp_path / "source").rename(tmp_path / "away")
        view = await agent.until(lambda view: view.source_error() is not None)
        write_files(tmp_path / "away", {"clip.mxf": b"content"})
        (tmp_path / "away").rename(tmp_path / "source")
        await agent.until_file("clip.mxf", Status.COMPLETED)
        await agent.until(lambda view: view.source_error() is None)
    assert "source does not exist: mount it, or make the folder" in str(view.source_error())
