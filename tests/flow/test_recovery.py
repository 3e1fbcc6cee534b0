"""Nothing of ours is left lying about at a destination, and nobody else's file is touched."""

from pathlib import Path

import pytest
import trio

from agent.journal import transfers
from agent.journal.client import JournalClient
from agent.model.names import partial_path, probe_path, removing_path
from agent.model.transfer import Status
from tests.flow.fault_script import FaultScript
from tests.flow.running_agents import (
    LONG,
    TIMEOUT_S,
    WINDOW_BYTES,
    CopyHold,
    contents,
    eventually,
    log_lines,
    on_written,
    running,
    running_with_clip,
    write_config,
    write_files,
)
from tests.samples import IDENTITY, a_file

SCANNING = "scanning for the orphans of a lost journal"
LOOK_ALIKES = {
    ".clip.mxf.0123456789abcdef.partial": b"one digit of it would have to be another",
    "day/.clip.mxf.fedcba9876543210.partial": b"likewise",
    ".transfer-agent.0123456789abcdef.partial": b"probe",
    ".transfer-agent.0123456789abcdef0123456789abcdef.partial": b"probe of an older kind",
    partial_path(IDENTITY, a_file("clip.mxf"), "clip.mxf", "take"): b"of another agent",
    probe_path(IDENTITY, "take"): b"probe of another agent",
    ".clip.mxf.partial": b"of another program",
    "clip.mxf.partial": b"of another program",
    "clip_1.mxf": b"somebody's",
    "empty.mxf": b"",
}


async def installed(folder: Path) -> str:
    """An agent was there before, and has its identity."""
    async with JournalClient.open(str(folder / "state")) as journal:
        return journal.identity


def lose_journal(folder: Path) -> None:
    for part in (folder / "state").glob("journal.db*"):
        part.unlink()


def standing(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Inode, time and content of every file below."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {
        str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes())
        for path in paths
    }


async def interrupted_copy(folder: Path, copy_hold: CopyHold) -> str:
    """Run the agent until a copy is in its middle, and stop it there; the partial."""
    before = set(standing(folder / "nas"))
    async with running(folder):
        await copy_hold.until_checkpoint()
    (partial,) = set(standing(folder / "nas")) - before
    assert (folder / "nas" / partial).stat().st_size >= WINDOW_BYTES
    return partial


@pytest.mark.parametrize("name", ["clip.mxf", "day/card a/clip.mxf", "n" * 255, "day/caf\udce9\n.mxf"])
async def test_after_a_lost_journal_our_partial_is_removed_and_no_other_file(
    tmp_path: Path, copy_hold: CopyHold, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    write_config(tmp_path)
    write_files(tmp_path / "source", {name: LONG})
    write_files(tmp_path / "nas", LOOK_ALIKES)
    foreign = standing(tmp_path / "nas")
    partial = await interrupted_copy(tmp_path, copy_hold)
    assert not log_lines(caplog, SCANNING)
    lose_journal(tmp_path)
    copy_hold.release()
    caplog.clear()
    async with running(tmp_path) as agent:
        await agent.until_file(name, Status.COMPLETED)
        await eventually(lambda: bool(log_lines(caplog, "recovered")))
    after = standing(tmp_path / "nas")
    assert after.pop(name)[2] == LONG
    assert partial not in after
    assert after == foreign
    assert len(log_lines(caplog, SCANNING)) == 1
    [recovered] = log_lines(caplog, "recovered")
    assert (recovered["finished"], recovered["removed"], recovered["left"]) == (0, 1, 0)
    caplog.clear()
    async with running(tmp_path):
        await eventually(lambda: bool(log_lines(caplog, "recovered")))
    assert not log_lines(caplog, SCANNING)
    assert {path: each for path, each in standing(tmp_path / "nas").items() if path != name} == foreign


async def test_the_partial_of_a_running_copy_is_not_taken_for_an_orphan(
    tmp_path: Path, copy_hold: CopyHold, caplog: pytest.LogCaptureFixture
) -> None:
    await installed(tmp_path)
    lose_journal(tmp_path)
    async with running_with_clip(tmp_path, LONG):
        await copy_hold.until_checkpoint()
        [partial] = standing(tmp_path / "nas")
        await eventually(lambda: bool(log_lines(caplog, "recovered")))
        assert log_lines(caplog, SCANNING)
        assert set(standing(tmp_path / "nas")) == {partial}
    copy_hold.release()
    async with running(tmp_path) as agent:
        await agent.until_file("clip.mxf", Status.COMPLETED)
    assert [line["resumed_bytes"] for line in log_lines(caplog, "copied")] == [WINDOW_BYTES]
    assert partial not in standing(tmp_path / "nas")


async def test_two_agents_on_one_destination_leave_each_others_partials_alone(
    tmp_path: Path, copy_hold: CopyHold, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    write_config(one)
    write_config(other, destination=str(one / "nas"))
    write_files(one / "source", {"clip.mxf": LONG})
    partial = await interrupted_copy(one, copy_hold)
    before = standing(one / "nas")[partial]
    await installed(other)
    lose_journal(other)
    caplog.clear()
    async with running(other):
        await eventually(lambda: bool(log_lines(caplog, "recovered")))
    assert log_lines(caplog, SCANNING)
    assert standing(one / "nas") == {partial: before}
    copy_hold.release()
    async with running(one) as agent:
        await agent.until_file("clip.mxf", Status.COMPLETED)
    assert [line["resumed_bytes"] for line in log_lines(caplog, "copied")] == [WINDOW_BYTES]
    assert contents(one / "nas") == {"clip.mxf": LONG}


async def test_a_probe_that_was_killed_is_removed_at_the_next_start(tmp_path: Path) -> None:
    write_config(tmp_path)
    left = probe_path(await installed(tmp_path), "take")
    write_files(tmp_path / "nas", LOOK_ALIKES)
    foreign = standing(tmp_path / "nas")
    write_files(tmp_path / "nas", {left: b"probe"})
    async with running(tmp_path):
        await eventually(lambda: not (tmp_path / "nas" / left).exists())
    assert standing(tmp_path / "nas") == foreign


async def test_the_old_partial_of_a_restarted_copy_is_removed_while_copies_run(
    tmp_path: Path, copy_hold: CopyHold
) -> None:
    write_config(tmp_path)
    write_files(tmp_path / "source", {"clip.mxf": LONG})
    old = await interrupted_copy(tmp_path, copy_hold)
    async with JournalClient.open(str(tmp_path / "state")) as journal:
        (transfer,) = await journal.write(transfers.running, str(tmp_path / "nas"))
        file = a_file("clip.mxf")
        fresh = partial_path(journal.identity, file, "clip.mxf", "another take")
        await journal.write(transfers.restart, transfer.id, fresh)
    async with running(tmp_path) as agent:  # its copy waits for the copy_hold
        await eventually(lambda: set(contents(tmp_path / "nas")) == {fresh})
        copy_hold.release()
        await agent.until_file("clip.mxf", Status.COMPLETED)
    assert old != fresh
    assert contents(tmp_path / "nas") == {"clip.mxf": LONG}


async def test_nothing_is_searched_or_removed_outside_the_destination(
    tmp_path: Path, copy_hold: CopyHold, caplog: pytest.LogCaptureFixture
) -> None:
    write_config(tmp_path)
    write_files(tmp_path / "source", {"day/clip.mxf": LONG})
    partial = await interrupted_copy(tmp_path, copy_hold)
    copy_hold.release()
    (tmp_path / "nas/day").rename(tmp_path / "outside")
    (tmp_path / "nas/day").symlink_to(tmp_path / "outside")
    (tmp_path / "source/day/clip.mxf").unlink()
    before = standing(tmp_path / "outside")
    assert list(before) == [partial.removeprefix("day/")]
    lose_journal(tmp_path)
    caplog.clear()
    async with running(tmp_path):
        await eventually(lambda: bool(log_lines(caplog, "recovered")))
    assert log_lines(caplog, SCANNING)
    assert standing(tmp_path / "outside") == before


async def test_what_the_destination_lost_before_its_source_was_removed_is_delivered_again(
    tmp_path: Path, faults: FaultScript, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = trio.Event()
    on_written(monkeypatch, transfers.mark_published, published.set)
    faults.add("settle", effect="hang")
    async with running_with_clip(tmp_path, b"content"):
        with trio.fail_after(TIMEOUT_S):
            await published.wait()
    (tmp_path / "nas" / "clip.mxf").unlink()
    faults.heal()
    async with running(tmp_path) as agent:
        await agent.until_file("clip.mxf", Status.COMPLETED)
    assert contents(tmp_path / "nas") == {"clip.mxf": b"content"}
    assert contents(tmp_path / "source") == {}


@pytest.mark.parametrize("is_taken", [False, True])
async def test_a_source_that_had_its_private_name_when_the_journal_was_lost_is_put_back_and_delivered(
    tmp_path: Path, is_taken: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Another agent's private name is a file like any other."""
    write_config(tmp_path)
    private = removing_path(await installed(tmp_path), "day/clip.mxf", ".clip.partial")
    foreign = removing_path(IDENTITY, "day/clip.mxf", ".clip.partial")
    others = {"day/clip.mxf": b"second take"} if is_taken else {}
    write_files(tmp_path / "source", {private: b"content", foreign: b"foreign", **others})
    lose_journal(tmp_path)
    name = "day/clip_1.mxf" if is_taken else "day/clip.mxf"
    expected = {name: b"content", foreign: b"foreign", **others}
    async with running(tmp_path):
        await eventually(lambda: contents(tmp_path / "nas") == expected)
        await eventually(lambda: contents(tmp_path / "source") == {})
    [line] = log_lines(caplog, "interrupted removal undone")
    assert line["file"] == name
