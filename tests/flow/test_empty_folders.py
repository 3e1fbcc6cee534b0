"""Folders of a source that the agent has emptied go, and no others."""

from pathlib import Path

import pytest

from agent.model.transfer import Status
from tests.flow.running_agents import (
    ClientView,
    contents,
    eventually,
    log_lines,
    route,
    running,
    write_config,
    write_files,
)

TREE = {"clip.mxf": b"0", "day/a.mxf": b"1", "day/card/one/b.mxf": b"2", "day/card/two/c.mxf": b"3"}

DAY = ["day", "day/card", "day/card/one", "day/card/two"]


def folders(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_dir()}


async def test_a_day_that_was_delivered_leaves_only_the_source_and_what_we_have_not_emptied(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_config(tmp_path, remove_empty_folders=True)
    source = tmp_path / "source"
    write_files(source, TREE | {"junk/d.mxf": b"4", "held/e.mxf": b"5", "held/empty.mxf": b""})
    write_files(source, {"junk/.DS_Store": b"x"})
    (source / "theirs/sub").mkdir(parents=True)

    def removed() -> list[str]:
        return [str(line["folder"]) for line in log_lines(caplog, "folder removed")]

    async with running(tmp_path):
        await eventually(lambda: sorted(removed()) == DAY)
        await eventually(lambda: set(contents(source)) == {"held/empty.mxf", "junk/.DS_Store"})
    assert removed()[-2:] == ["day/card", "day"]
    assert folders(source) == {"junk", "held", "theirs", "theirs/sub"}
    assert contents(source) == {"held/empty.mxf": b"", "junk/.DS_Store": b"x"}
    assert contents(tmp_path / "nas") == TREE | {"junk/d.mxf": b"4", "held/e.mxf": b"5"}


async def test_a_recorder_that_goes_on_in_an_emptied_folder_keeps_it_until_that_is_delivered_too(
    tmp_path: Path,
) -> None:
    write_config(tmp_path, remove_empty_folders=True, stable="500ms")
    source = tmp_path / "source"
    write_files(source, {"day/a.mxf": b"first"})
    async with running(tmp_path) as agent:
        await agent.until_file("day/a.mxf", Status.COMPLETED)
        with (source / "day/b.mxf").open("wb") as recording:
            recording.write(b"second")
            recording.flush()
            write_files(source, {"other/c.mxf": b"third"})
            await eventually(lambda: folders(source) == {"day"})
        await agent.until_file("day/b.mxf", Status.COMPLETED)
        await eventually(lambda: folders(source) == set())
    assert contents(tmp_path / "nas") == {
        "day/a.mxf": b"first",
        "day/b.mxf": b"second",
        "other/c.mxf": b"third",
    }


async def test_without_the_key_folders_stay(tmp_path: Path) -> None:
    write_config(tmp_path, route("on", source="on", remove_empty_folders=True))
    write_files(tmp_path / "source", {"day/a.mxf": b"1"})
    write_files(tmp_path / "on", {"day/b.mxf": b"2", "day/card/c.mxf": b"3"})
    async with running(tmp_path) as agent:
        await agent.until(lambda view: len(view.files) == 3 and view.all_have(Status.COMPLETED))
        await eventually(lambda: folders(tmp_path / "on") == set())
    assert folders(tmp_path / "source") == {"day"}


async def test_an_archive_keeps_its_folders(tmp_path: Path) -> None:
    write_config(tmp_path, remove_empty_folders=True, after="archive:done")
    write_files(tmp_path / "source", TREE)
    async with running(tmp_path) as agent:
        await agent.until(ClientView.is_scanned)
        await eventually(lambda: folders(tmp_path / "source") == set())
    assert contents(tmp_path / "done") == TREE
