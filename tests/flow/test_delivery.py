"""Files go through the whole agent, from finished to delivered."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.model.transfer import Status
from agent.model.views import HistoryQuery
from tests.flow.running_agents import (
    LONG,
    ClientView,
    CopyHold,
    contents,
    eventually,
    running,
    running_with_clip,
    write_config,
    write_files,
)

TREE = {
    "clip.mxf": b"one",
    "card/CLIPS001/-dash.mxf": b"two",
    "card/two\nlines.mov": b"three",
    os.fsdecode(b"card/caf\xe9.wav"): b"four",
    "card/" + "n" * 251 + ".mp4": b"five",
}


async def test_a_tree_arrives_with_its_names_contents_and_times_and_leaves_the_source(tmp_path: Path) -> None:
    write_config(tmp_path)
    write_files(tmp_path / "source", TREE)
    os.utime(tmp_path / "source/clip.mxf", ns=(1, 1_234_567_890_123_456_789))
    async with running(tmp_path) as agent:
        view = await agent.until(
            lambda view: len(view.files) == len(TREE) and view.all_have(Status.COMPLETED)
        )
    assert contents(tmp_path / "nas") == TREE
    assert contents(tmp_path / "source") == {}
    assert (tmp_path / "nas/clip.mxf").stat().st_mtime_ns == 1_234_567_890_123_456_789
    clip = view.find("clip.mxf")
    assert clip is not None
    assert clip.current.destination_path == f"{tmp_path}/nas/clip.mxf"
    assert clip.current.verified_level in (
        "read_back",
        "read_back_cached",
    )  # tmpfs has no storage behind its cache


async def test_a_delivered_file_is_in_history_and_metrics(tmp_path: Path) -> None:
    write_config(tmp_path)
    async with running(tmp_path) as agent:
        await agent.until(ClientView.is_scanned)
        write_files(tmp_path / "source", {"clip.mxf": b"content"})
        file = await agent.until_file("clip.mxf", Status.COMPLETED)
        [row] = (await agent.control.history(HistoryQuery())).rows
        exposition = agent.control.render_metrics().decode()
    assert (row.path, row.result, row.hash, row.attempts) == ("clip.mxf", "delivered", file.current.hash, 1)
    assert 'transfer_agent_files_total{result="delivered",route="mxf"} 1.0' in exposition
    assert 'transfer_agent_bytes_total{route="mxf"} 7.0' in exposition


async def test_another_file_of_that_name_is_left_alone_and_ours_gets_the_next_name(tmp_path: Path) -> None:
    write_files(tmp_path / "nas", {"clip.mxf": b"other"})
    async with running_with_clip(tmp_path, b"ours!") as agent:
        file = await agent.until_file("clip.mxf", Status.COMPLETED)
    assert file.current.destination_path == f"{tmp_path}/nas/clip_1.mxf"
    assert contents(tmp_path / "nas") == {"clip.mxf": b"other", "clip_1.mxf": b"ours!"}
    assert contents(tmp_path / "source") == {}


async def test_the_same_content_under_that_name_counts_as_delivered(tmp_path: Path) -> None:
    write_files(tmp_path / "nas", {"clip.mxf": b"same"})
    async with running_with_clip(tmp_path, b"same") as agent:
        file = await agent.until_file("clip.mxf", Status.COMPLETED)
    assert file.current.destination_path == f"{tmp_path}/nas/clip.mxf"
    assert contents(tmp_path / "nas") == {"clip.mxf": b"same"}
    assert contents(tmp_path / "source") == {}


async def test_where_conflicts_fail_a_taken_name_needs_no_second_attempt(tmp_path: Path) -> None:
    write_files(tmp_path / "nas", {"clip.mxf": b"other"})
    async with running_with_clip(tmp_path, b"ours!", conflict="fail") as agent:
        file = await agent.until_file("clip.mxf", Status.FAILED)
    assert file.current.attempts == 1
    assert "exists at the destination with other content" in str(file.current.error)
    assert contents(tmp_path / "nas") == {"clip.mxf": b"other"}
    assert contents(tmp_path / "source") == {"clip.mxf": b"ours!"}


async def test_a_kept_source_is_delivered_once_and_after_a_restart_not_again(tmp_path: Path) -> None:
    async with running_with_clip(tmp_path, b"content", after="keep") as agent:
        await agent.until_file("clip.mxf", Status.COMPLETED)
    (tmp_path / "nas/clip.mxf").unlink()
    async with running(tmp_path) as agent:
        file = await agent.until_file("clip.mxf", Status.COMPLETED)
        rows = (await agent.control.history(HistoryQuery())).rows
    assert file.current.why == "delivered before and kept"
    assert [row.result for row in rows] == ["kept"]
    assert contents(tmp_path / "source") == {"clip.mxf": b"content"}
    assert contents(tmp_path / "nas") == {}


def _link_and_unlink(clip: Path) -> None:
    clip.with_name("link").hardlink_to(clip)
    clip.with_name("link").unlink()


def _set_an_attribute(clip: Path) -> None:
    os.setxattr(clip, "user.take", b"1")


def _renumber(clip: Path) -> None:
    """As a card does that is mounted again: the same file has another inode."""
    shutil.copy2(clip, clip.with_name("copy.tmp"))
    clip.with_name("copy.tmp").rename(clip)


def _allow_less(clip: Path) -> None:
    clip.chmod(0o600)


@pytest.mark.parametrize("touch", [_allow_less, _link_and_unlink, _set_an_attribute, _renumber])
async def test_a_kept_source_that_has_other_attributes_is_not_delivered_again(
    tmp_path: Path, touch: Callable[[Path], None]
) -> None:
    async with running_with_clip(tmp_path, b"content", after="keep") as agent:
        await agent.until_file("clip.mxf", Status.COMPLETED)
    (tmp_path / "nas/clip.mxf").unlink()  # somebody has fetched it
    touch(tmp_path / "source/clip.mxf")
    for _ in range(2):
        async with running(tmp_path) as agent:
            await agent.until_file("clip.mxf", Status.COMPLETED)
            rows = (await agent.control.history(HistoryQuery())).rows
        assert [row.result for row in rows] == ["kept"]
        assert contents(tmp_path / "nas") == {}


async def test_an_archived_source_moves_to_its_folder(tmp_path: Path) -> None:
    write_config(tmp_path, after="archive:archive")
    write_files(tmp_path / "source", {"card/clip.mxf": b"content"})
    async with running(tmp_path) as agent:
        await agent.until_file("card/clip.mxf", Status.COMPLETED)
    assert contents(tmp_path / "source") == {}
    assert contents(tmp_path / "archive") == contents(tmp_path / "nas") == {"card/clip.mxf": b"content"}


async def test_only_files_that_the_globs_select_are_listed(tmp_path: Path) -> None:
    write_config(tmp_path, include=["*.mxf"], exclude=["trash/*"])
    unwanted = {"notes.txt": b"-", "trash/clip.mxf": b"-", "._clip.mxf": b"-"}
    write_files(tmp_path / "source", unwanted | {"clip.MXF": b"content"})
    async with running(tmp_path) as agent:
        view = await agent.until(lambda view: view.status("clip.MXF") is Status.COMPLETED)
    assert [file.path for file in view.files.values()] == ["clip.MXF"]
    assert contents(tmp_path / "nas") == {"clip.MXF": b"content"}
    assert contents(tmp_path / "source") == unwanted


async def test_both_names_of_a_hard_linked_file_arrive(tmp_path: Path) -> None:
    write_config(tmp_path)
    write_files(tmp_path / "source", {"a.mxf": b"content"})
    os.link(tmp_path / "source/a.mxf", tmp_path / "source/b.mxf")
    async with running(tmp_path):
        # Deleting one changes the other's ctime, which may cost it a second turn.
        await eventually(lambda: contents(tmp_path / "source") == {})
    assert contents(tmp_path / "nas") == {"a.mxf": b"content", "b.mxf": b"content"}


async def test_a_file_written_to_while_it_is_copied_arrives_in_its_last_state(
    tmp_path: Path, copy_hold: CopyHold
) -> None:
    async with running_with_clip(tmp_path, LONG) as agent:
        await copy_hold.until_checkpoint()
        with (tmp_path / "source/clip.mxf").open("r+b") as file:
            file.write(b"a new head")
        copy_hold.release()
        await agent.until_file("clip.mxf", Status.COMPLETED)
    assert contents(tmp_path / "nas") == {"clip.mxf": b"a new head" + LONG[10:]}
    assert contents(tmp_path / "source") == {}


async def test_a_file_that_vanishes_leaves_the_list_and_its_partial_is_removed(
    tmp_path: Path, copy_hold: CopyHold
) -> None:
    async with running_with_clip(tmp_path, LONG) as agent:
        await copy_hold.until_checkpoint()
        (tmp_path / "source/clip.mxf").unlink()
        copy_hold.release()
        await agent.until(lambda view: not view.files)
        await eventually(lambda: contents(tmp_path / "nas") == {})
