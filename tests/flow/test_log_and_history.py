"""The log's outcome lines and the history's rows can be joined by `transfer_id`."""

import logging
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
    Picture,
    Running,
    contents,
    eventually,
    fill,
    lines,
    running,
    write_config,
)
from tests.samples import a_file

CONTENT = b"content"
OUTCOMES = ("delivered", "kept", "failed")
MANY = {f"{number:02}.mxf": f"take {number}".encode() for number in range(30)}


@pytest.fixture(autouse=True)
def _everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


async def joined(house: Running, caplog: pytest.LogCaptureFixture) -> tuple[HistoryRow, ...]:
    """The history, after a proof that each of its rows has exactly one outcome line."""
    rows = (await house.control.history(HistoryQuery(limit=1000))).rows
    found = [line for event in OUTCOMES for line in lines(caplog, event)]
    logged = {(line["transfer_id"], line["event"], line["route"], line["file"]) for line in found}
    assert logged == {(row.transfer_id, row.result, row.route, row.path) for row in rows}
    assert len(found) == len(rows) > 0
    return rows


async def test_a_delivered_file_has_one_id_in_log_and_history(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_config(tmp_path)
    fill(tmp_path / "source", {"clip.mxf": CONTENT})
    async with running(tmp_path) as house:
        await house.until_file("clip.mxf", Status.COMPLETED)
        [row] = await joined(house, caplog)
    assert [line["transfer_id"] for line in lines(caplog, "copied")] == [row.transfer_id]


async def test_a_kept_file_has_one_id_in_log_and_history(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_config(tmp_path, after="keep")
    fill(tmp_path / "source", {"clip.mxf": CONTENT})
    async with running(tmp_path) as house:
        await house.until_file("clip.mxf", Status.COMPLETED)
        await joined(house, caplog)


async def test_each_file_of_a_lot_has_one_id_in_log_and_history(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_config(tmp_path)
    fill(tmp_path / "source", MANY)
    async with running(tmp_path) as house:
        await house.until(lambda seen: len(seen.files) == len(MANY) and seen.are(Status.COMPLETED))
        rows = await joined(house, caplog)
    assert {row.path for row in rows} == set(MANY)
    assert len(lines(caplog, "copied")) < len(MANY)  # some went in a lot, which logs no copy of its own


async def test_each_line_of_a_file_that_failed_has_the_id_of_its_history(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_config(tmp_path, conflict="fail")
    fill(tmp_path / "nas", {"clip.mxf": b"other"})
    fill(tmp_path / "source", {"clip.mxf": CONTENT})
    async with running(tmp_path) as house:
        await house.until_file("clip.mxf", Status.FAILED)
        await eventually(lambda: bool(lines(caplog, "failed")))
        [row] = await joined(house, caplog)
    assert [line["transfer_id"] for line in lines(caplog, "attempt failed")] == [row.transfer_id]


async def test_a_file_that_failed_before_its_transfer_began_has_the_id_of_its_history(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_config(tmp_path)
    async with running(tmp_path) as house:
        await house.until(Picture.is_scanned)
        await house.control.pause("mxf")
        fill(tmp_path / "source", {"clip.mxf": CONTENT})
        await house.until_file("clip.mxf", Status.PAUSED)
        await house.control.cancel(await house.file_id("clip.mxf"))
        await house.until_file("clip.mxf", Status.FAILED)
        await eventually(lambda: bool(lines(caplog, "failed")))
        await joined(house, caplog)


async def begun(journal: JournalClient, folder: Path, file: FileVersion) -> Transfer:
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
    ("standing", "is_published", "result"),
    [(".partial", False, "delivered"), ("clip.mxf", True, "delivered"), (None, False, "failed")],
)
async def test_what_a_sweep_ends_after_a_crash_has_one_id_in_log_and_history(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, standing: str | None, is_published: bool, result: str
) -> None:
    write_config(tmp_path)
    async with JournalClient.open(str(tmp_path / "state")) as journal:
        transfer = await begun(journal, tmp_path, a_file("clip.mxf", size_bytes=len(CONTENT)))
        if is_published:
            await publish(journal, transfer)
    fill(tmp_path / "nas", {standing: CONTENT} if standing else {})
    async with running(tmp_path) as house:
        await eventually(lambda: bool(lines(caplog, result)))
        [row] = await joined(house, caplog)
    assert (row.transfer_id, row.result) == (transfer.id, result)
    assert contents(tmp_path / "nas") == ({"clip.mxf": CONTENT} if standing else {})


async def test_a_source_that_changed_after_its_delivery_has_an_id_for_each_of_its_transfers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_config(tmp_path)
    fill(tmp_path / "nas", {"clip.mxf": CONTENT})
    fill(tmp_path / "source", {"clip.mxf": b"changed"})
    async with JournalClient.open(str(tmp_path / "state")) as journal:
        transfer = await begun(journal, tmp_path, a_file("clip.mxf"))
        await publish(journal, transfer)
    async with running(tmp_path) as house:
        await house.until_file("clip.mxf", Status.COMPLETED)
        delivered, kept = await joined(house, caplog)
    assert (kept.transfer_id, kept.result) == (transfer.id, "kept")
    assert (delivered.transfer_id > transfer.id, delivered.result) == (True, "delivered")
