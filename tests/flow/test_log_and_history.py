"""The log's outcome lines and the history's rows can be joined by `transfer_id`."""

from pathlib import Path

import pytest
import xxhash

from agent.actors.copier_pool.decisions import HASH_PREFIX
from agent.journal import transfers
from agent.journal.client import JournalClient
from agent.model.source_file import FileVersion
from agent.model.transfer import PublishedTransfer, Status, Transfer, VerifiedTransfer
from agent.model.views import HistoryQuery, HistoryRow
from tests.flow.running_agents import (
    ClientView,
    RunningAgent,
    contents,
    eventually,
    log_lines,
    running,
    running_with_clip,
    write_config,
    write_files,
)
from tests.samples import a_file

CONTENT = b"content"
OUTCOMES = ("delivered", "kept", "failed")
MANY = {f"{number:02}.mxf": f"take {number}".encode() for number in range(30)}


async def history_matching_the_log(
    agent: RunningAgent, caplog: pytest.LogCaptureFixture
) -> tuple[HistoryRow, ...]:
    """The rows of the history, after the check that each has exactly one outcome line in the log."""
    rows = (await agent.control.history(HistoryQuery(limit=1000))).rows
    found = [line for event in OUTCOMES for line in log_lines(caplog, event)]
    logged = {(line["transfer_id"], line["event"], line["route"], line["file"]) for line in found}
    assert logged == {(row.transfer_id, row.result, row.route, row.path) for row in rows}
    assert len(found) == len(rows) > 0
    return rows


async def test_a_delivered_file_has_one_id_in_log_and_history(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_with_clip(tmp_path, CONTENT) as agent:
        await agent.until_file("clip.mxf", Status.COMPLETED)
        [row] = await history_matching_the_log(agent, caplog)
    assert [line["transfer_id"] for line in log_lines(caplog, "copied")] == [row.transfer_id]


async def test_a_kept_file_has_one_id_in_log_and_history(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_with_clip(tmp_path, CONTENT, after="keep") as agent:
        await agent.until_file("clip.mxf", Status.COMPLETED)
        await history_matching_the_log(agent, caplog)


async def test_each_file_of_a_batch_has_one_id_in_log_and_history(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_config(tmp_path)
    write_files(tmp_path / "source", MANY)
    async with running(tmp_path) as agent:
        await agent.until(lambda view: len(view.files) == len(MANY) and view.all_have(Status.COMPLETED))
        rows = await history_matching_the_log(agent, caplog)
    assert {row.path for row in rows} == set(MANY)
    assert len(log_lines(caplog, "copied")) < len(MANY)  # files of a batch have no line `copied`


async def test_each_line_of_a_file_that_failed_has_the_id_of_its_history(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_files(tmp_path / "nas", {"clip.mxf": b"other"})
    async with running_with_clip(tmp_path, CONTENT, conflict="fail") as agent:
        await agent.until_file("clip.mxf", Status.FAILED)
        await eventually(lambda: bool(log_lines(caplog, "failed")))
        [row] = await history_matching_the_log(agent, caplog)
    assert [line["transfer_id"] for line in log_lines(caplog, "attempt failed")] == [row.transfer_id]


async def test_a_file_that_failed_before_its_transfer_began_has_the_id_of_its_history(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_config(tmp_path)
    async with running(tmp_path) as agent:
        await agent.until(ClientView.is_scanned)
        await agent.control.pause("mxf")
        write_files(tmp_path / "source", {"clip.mxf": CONTENT})
        await agent.until_file("clip.mxf", Status.PAUSED)
        await agent.control.cancel(await agent.file_id("clip.mxf"))
        await agent.until_file("clip.mxf", Status.FAILED)
        await eventually(lambda: bool(log_lines(caplog, "failed")))
        await history_matching_the_log(agent, caplog)


async def verified_transfer(journal: JournalClient, folder: Path, file: FileVersion) -> Transfer:
    """A verified copy of CONTENT under `.partial`, about to be published as `clip.mxf`."""
    digest = HASH_PREFIX + xxhash.xxh3_128(CONTENT).hexdigest()
    source, destination = str(folder / "source"), str(folder / "nas")
    begun = await journal.write(transfers.begin_or_resume, {".partial": file}, source, destination, 1.0)
    transfer = begun[file.path]
    verified = VerifiedTransfer(transfer.id, "clip.mxf", digest, "read_back")
    await journal.write(transfers.mark_verified, [verified])
    return transfer


async def publish(journal: JournalClient, transfer: Transfer) -> None:
    published = PublishedTransfer(transfer.id, "clip.mxf", already_present=False)
    await journal.write(transfers.mark_published, [published])


@pytest.mark.parametrize(
    ("existing", "is_published", "result"),
    [(".partial", False, "delivered"), ("clip.mxf", True, "delivered"), (None, False, "failed")],
)
async def test_a_transfer_that_recovery_ends_has_one_id_in_log_and_history(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, existing: str | None, is_published: bool, result: str
) -> None:
    write_config(tmp_path)
    async with JournalClient.open(str(tmp_path / "state")) as journal:
        transfer = await verified_transfer(journal, tmp_path, a_file("clip.mxf", size_bytes=len(CONTENT)))
        if is_published:
            await publish(journal, transfer)
    write_files(tmp_path / "nas", {existing: CONTENT} if existing else {})
    async with running(tmp_path) as agent:
        await eventually(lambda: bool(log_lines(caplog, result)))
        [row] = await history_matching_the_log(agent, caplog)
    assert (row.transfer_id, row.result) == (transfer.id, result)
    assert contents(tmp_path / "nas") == ({"clip.mxf": CONTENT} if existing else {})


async def test_a_source_that_changed_after_its_delivery_has_an_id_for_each_of_its_transfers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_config(tmp_path)
    write_files(tmp_path / "nas", {"clip.mxf": CONTENT})
    write_files(tmp_path / "source", {"clip.mxf": b"changed"})
    async with JournalClient.open(str(tmp_path / "state")) as journal:
        transfer = await verified_transfer(journal, tmp_path, a_file("clip.mxf"))
        await publish(journal, transfer)
    async with running(tmp_path) as agent:
        await agent.until_file("clip.mxf", Status.COMPLETED)
        delivered, kept = await history_matching_the_log(agent, caplog)
    assert (kept.transfer_id, kept.result) == (transfer.id, "kept")
    assert (delivered.transfer_id > transfer.id, delivered.result) == (True, "delivered")
