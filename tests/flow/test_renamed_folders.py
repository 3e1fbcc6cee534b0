"""Somebody renames a day's folder while we copy into it, or while we remove a source from it."""

from pathlib import Path

import pytest

from agent.journal import transfers
from agent.journal.client import JournalClient
from agent.model.names import removing_path
from agent.model.transfer import Status
from agent.model.views import HistoryQuery
from tests.flow.fault_script import FaultScript
from tests.flow.running_agents import (
    LONG,
    CopyHold,
    contents,
    eventually,
    log_lines,
    on_written,
    running,
    write_config,
    write_files,
)

CLIP = "day1/clip.mxf"


def configure(folder: Path, max_attempts: int = 3) -> None:
    write_config(folder, max_attempts=max_attempts)
    write_files(folder / "source", {CLIP: LONG})


def rename_day(folder: Path, at: str = "nas") -> None:
    (folder / at / "day1").rename(folder / at / "day1_ok")


async def test_a_copy_into_a_folder_that_is_renamed_arrives_at_once_and_its_old_partial_goes(
    tmp_path: Path, copy_hold: CopyHold, caplog: pytest.LogCaptureFixture
) -> None:
    configure(tmp_path, max_attempts=1)
    async with running(tmp_path) as agent:
        await copy_hold.until_checkpoint()
        rename_day(tmp_path)
        assert len(contents(tmp_path / "nas")) == 1
        copy_hold.release()
        await agent.until_file(CLIP, Status.COMPLETED)
        await eventually(lambda: contents(tmp_path / "nas") == {CLIP: LONG})
        [row] = (await agent.control.history(HistoryQuery())).rows
    assert (row.result, row.attempts) == ("delivered", 1)
    assert len(log_lines(caplog, "begun again in a fresh partial")) == 1
    assert contents(tmp_path / "source") == {}


async def test_the_partial_of_a_cancelled_copy_is_found_in_the_renamed_folder(
    tmp_path: Path, copy_hold: CopyHold, caplog: pytest.LogCaptureFixture
) -> None:
    configure(tmp_path)
    async with running(tmp_path) as agent:
        await copy_hold.until_checkpoint()
        rename_day(tmp_path)
        write_files(tmp_path / "nas", {"day1_ok/other.mxf": b"theirs"})
        await agent.control.cancel(await agent.file_id(CLIP))
        await eventually(lambda: contents(tmp_path / "nas") == {"day1_ok/other.mxf": b"theirs"})
    [line] = log_lines(caplog, "partial is not under its name, recovery looks for it")
    assert str(line["path"]).startswith(f"{tmp_path}/nas/day1/.clip.mxf.")
    copy_hold.release()


async def test_a_folder_that_was_renamed_while_the_agent_was_stopped_keeps_no_partial(
    tmp_path: Path, copy_hold: CopyHold
) -> None:
    configure(tmp_path)
    async with running(tmp_path):
        await copy_hold.until_checkpoint()
    rename_day(tmp_path)
    copy_hold.release()
    async with running(tmp_path) as agent:
        await agent.until_file(CLIP, Status.COMPLETED)
        await eventually(lambda: contents(tmp_path / "nas") == {CLIP: LONG})


async def test_the_only_copy_in_a_renamed_folder_is_published_there(
    tmp_path: Path,
    faults: FaultScript,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its source was removed by somebody else when all of it had arrived."""
    verified: list[bool] = []
    on_written(monkeypatch, transfers.mark_verified, lambda: verified.append(True))
    faults.add("publish", effect="hang")
    write_config(tmp_path)
    write_files(tmp_path / "source", {CLIP: b"content"})
    async with running(tmp_path):
        await eventually(lambda: bool(verified))
    rename_day(tmp_path)
    (tmp_path / "source" / CLIP).unlink()
    faults.heal()
    async with running(tmp_path) as agent:
        await eventually(lambda: bool(log_lines(caplog, "delivered")))
        [row] = (await agent.control.history(HistoryQuery())).rows
    assert (row.result, row.destination_path) == ("delivered", f"{tmp_path}/nas/day1_ok/clip.mxf")
    assert contents(tmp_path / "nas") == {"day1_ok/clip.mxf": b"content"}


async def test_a_source_whose_folder_is_renamed_while_it_has_its_private_name_is_put_back_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_config(tmp_path)
    async with JournalClient.open(str(tmp_path / "state")) as journal:
        private = removing_path(journal.identity, CLIP, ".clip.partial")
    write_files(tmp_path / "source", {private: b"content"})
    rename_day(tmp_path, "source")
    async with running(tmp_path):
        await eventually(lambda: contents(tmp_path / "nas") == {"day1_ok/clip.mxf": b"content"})
        await eventually(lambda: contents(tmp_path / "source") == {})
    [line] = log_lines(caplog, "interrupted removal undone")
    assert line["file"] == "day1_ok/clip.mxf"
