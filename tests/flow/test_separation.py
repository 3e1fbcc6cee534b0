"""A destination that is the source, seen through another mount: nothing is delivered, and nothing deleted."""

from pathlib import Path

from agent.model.transfer import Status
from tests.flow.running_agents import ClientView, contents, eventually, running, write_config, write_files
from tests.mounts.mounts import bound, in_memory, overlaid

FILES = {"clip.mxf": b"first", "day/clip.mxf": b"second"}


def _why(view: ClientView, path: str) -> str:
    file = view.find(path)
    return file.current.why if file else ""


async def test_a_destination_that_is_the_source_is_refused_until_it_is_another(tmp_path: Path) -> None:
    write_config(tmp_path, scan="60s")  # the route is tried again after a scan
    write_files(tmp_path / "source", FILES)
    with bound(tmp_path / "source", tmp_path / "nas"):
        async with running(tmp_path) as agent:
            await agent.until(lambda view: all("are one folder" in _why(view, name) for name in FILES))
    assert contents(tmp_path / "source") == FILES
    (tmp_path / "other").mkdir()
    with bound(tmp_path / "other", tmp_path / "nas"):
        async with running(tmp_path) as agent:
            for name in FILES:
                await agent.until_file(name, Status.COMPLETED)
            await eventually(lambda: contents(tmp_path / "source") == {})
    assert contents(tmp_path / "other") == FILES


async def test_a_file_that_is_seen_at_the_destination_through_a_mount_fails_and_stays(tmp_path: Path) -> None:
    write_config(tmp_path)
    write_files(tmp_path / "source", FILES)
    (tmp_path / "nas" / "day").mkdir()
    with bound(tmp_path / "source" / "day", tmp_path / "nas" / "day"):
        async with running(tmp_path) as agent:
            file = await agent.until_file("day/clip.mxf", Status.FAILED)
            assert "is the source file itself" in (file.current.error or "")
            await agent.until_file("clip.mxf", Status.COMPLETED)
        assert contents(tmp_path / "source") == {"day/clip.mxf": b"second"}


async def test_a_file_that_an_overlay_shows_at_the_destination_fails_and_stays(tmp_path: Path) -> None:
    with in_memory(tmp_path):
        (tmp_path / "upper").mkdir()
        write_config(tmp_path)
        write_files(tmp_path / "source", FILES)
        with overlaid(tmp_path / "source", tmp_path / "upper", tmp_path / "nas"):
            async with running(tmp_path) as agent:
                for name in FILES:
                    await agent.until_file(name, Status.FAILED)
            assert contents(tmp_path / "source") == FILES
