"""A journal that is damaged or cannot be written in mid-run: copies begin again or wait, nothing is lost."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio

from agent.journal import group_commit, transfers
from agent.journal.database import JournalError
from agent.journal.journal import Journal
from agent.model.transfer import Status
from agent.model.views import HistoryQuery
from agent.runtime.supervisor import CannotStart
from tests.flow.running_agents import (
    LONG,
    PATIENCE_S,
    Brake,
    Picture,
    Running,
    contents,
    fill,
    lines,
    on_written,
    run_once,
    running,
    write_config,
)


def overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"garbage!" * (path.stat().st_size // 8))


def cut_off(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(4096)


def damage(house: Running, spoil: Callable[[Path], None]) -> None:
    """The file and what leads to it; what is cached of it is forgotten, as in a long run."""
    database = house.runtime.journal._journal
    for connection in (database.writer, database.reader):
        raw = connection.connection.driver_connection
        assert raw is not None
        if connection is database.writer:
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            spoil(house.folder / "state" / "journal.db")
        raw.execute("PRAGMA shrink_memory")


def damaged_events(picture: Picture) -> list[str]:
    return [event.text for event in picture.events if "damaged" in event.text]


@pytest.mark.parametrize("spoil", [overwrite, cut_off])
async def test_a_copy_whose_journal_is_damaged_begins_again_and_arrives(
    tmp_path: Path, brake: Brake, caplog: pytest.LogCaptureFixture, spoil: Callable[[Path], None]
) -> None:
    write_config(tmp_path, max_attempts=1)
    fill(tmp_path / "source", {"clip.mxf": LONG})
    async with running(tmp_path) as house:
        await brake.until_checkpoint()
        damage(house, spoil)
        brake.release()
        file = await house.until_file("clip.mxf", Status.COMPLETED)
        picture = await house.until(lambda seen: bool(damaged_events(seen)))
        snapshot = await house.control.snapshot()
    assert file.current.attempts == 0
    assert contents(tmp_path / "nas")["clip.mxf"] == LONG
    assert contents(tmp_path / "source") == {}
    assert (tmp_path / "state" / "journal.db.damaged-1").exists()
    assert len(damaged_events(picture)) == 1
    assert picture.restarts() == []
    assert snapshot.journal_error is None
    assert len(lines(caplog, "journal set aside, a fresh one is made")) == 1
    assert lines(caplog, "interrupted") == []  # nothing more about each file


async def test_what_is_damaged_between_two_runs_is_set_aside_and_the_copy_begins_again(
    tmp_path: Path, brake: Brake
) -> None:
    write_config(tmp_path)
    fill(tmp_path / "source", {"clip.mxf": LONG})
    async with running(tmp_path):
        await brake.until_checkpoint()
    overwrite(tmp_path / "state" / "journal.db")
    brake.release()
    async with running(tmp_path) as house:
        await house.until_file("clip.mxf", Status.COMPLETED)
    assert contents(tmp_path / "nas")["clip.mxf"] == LONG


@pytest.fixture
def examination(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """The examination of the journal at the start ends only when this is set."""
    examine, over = Journal.examine, threading.Event()

    def patiently(journal: Journal) -> None:
        over.wait(PATIENCE_S)
        examine(journal)

    monkeypatch.setattr(Journal, "examine", patiently)
    yield over
    over.set()


async def test_visitors_are_received_while_the_journal_is_examined_and_nothing_is_moved_before(
    tmp_path: Path, examination: threading.Event
) -> None:
    write_config(tmp_path)
    fill(tmp_path / "source", {"clip.mxf": b"content"})
    async with running(tmp_path) as house:
        snapshot = await house.control.snapshot()
        assert (snapshot.files, snapshot.routes) == ((), ())
        assert (await house.control.history(HistoryQuery())).rows == ()
        assert contents(tmp_path / "source") == {"clip.mxf": b"content"}
        examination.set()
        await house.until_file("clip.mxf", Status.COMPLETED)


async def test_a_house_that_examines_its_journal_stops_at_once(
    tmp_path: Path, examination: threading.Event
) -> None:
    write_config(tmp_path)
    async with running(tmp_path) as house:
        await house.control.snapshot()
        assert await house.stop() == 0
        assert not examination.is_set()


async def test_a_journal_that_can_be_neither_read_nor_set_aside_ends_the_start_with_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: Journal) -> None:
        raise JournalError("the journal cannot be used: disk I/O error")

    monkeypatch.setattr(Journal, "examine", refused)
    write_config(tmp_path)
    with pytest.raises(CannotStart, match="disk I/O error"):
        await run_once(tmp_path)


STEPS = ("begin_or_resume", "checkpoint", "mark_verified", "mark_published", "finish")


@pytest.mark.parametrize("step", STEPS)
async def test_no_source_goes_before_its_delivery_is_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The journal refuses this step a few times; what the source folder held then is looked at each time."""
    write_config(tmp_path, max_attempts=1)
    fill(tmp_path / "source", {"clip.mxf": LONG})
    write = getattr(transfers, step)
    stood: list[bool] = []

    def refuse(*values: object) -> object:
        if len(stood) < 3:
            stood.append((tmp_path / "source" / "clip.mxf").exists())
            raise JournalError("the journal cannot be used: database or disk is full")
        return write(*values)

    monkeypatch.setattr(transfers, step, refuse)
    async with running(tmp_path) as house:
        await house.until(lambda seen: any("copies wait" in event.text for event in seen.events))
        trouble = (await house.control.snapshot()).journal_error
        file = await house.until_file("clip.mxf", Status.COMPLETED)
    assert trouble == "the journal cannot be used: database or disk is full"
    assert file.current.attempts == 0
    assert stood == [True] * 3 if step != "finish" else [False]  # its delivery is written down already
    assert contents(tmp_path / "nas") == {"clip.mxf": LONG}
    assert contents(tmp_path / "source") == {}


async def test_a_commit_that_fails_lets_no_source_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each operation succeeds, but nothing of it can be stored."""
    write_config(tmp_path)
    refused: list[bool] = []
    commit = group_commit.commit

    def refuse(journal: Journal, jobs: group_commit.PendingWrites) -> group_commit.CommitResult:
        def lost() -> None:
            refused.append((tmp_path / "source" / "clip.mxf").exists())
            journal.writer.exec_driver_sql("ROLLBACK")

        if armed and len(refused) < 3:
            return commit(journal, [*jobs, group_commit.PendingWrite(lost)])
        return commit(journal, jobs)

    armed: list[bool] = []

    monkeypatch.setattr("agent.journal.client.commit", refuse)
    on_written(monkeypatch, transfers.mark_verified, lambda: armed.append(True))
    fill(tmp_path / "source", {"clip.mxf": b"content"})
    async with running(tmp_path) as house:
        await house.until_file("clip.mxf", Status.COMPLETED)
    assert refused == [True] * 3
    assert contents(tmp_path / "nas") == {"clip.mxf": b"content"}
    assert len(lines(caplog, "nothing can be written down, copies wait")) == 1


async def test_a_delivered_file_is_completed_and_its_history_written_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_config(tmp_path)
    fill(tmp_path / "source", {"clip.mxf": b"content"})

    def full(*_: object) -> None:
        raise JournalError("the journal cannot be used: database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(transfers, "finish", full)
        async with running(tmp_path) as house:
            await house.until_file("clip.mxf", Status.COMPLETED)
    async with running(tmp_path) as house:
        while not (rows := (await house.control.history(HistoryQuery())).rows):  # noqa: ASYNC110  a sweep sets no event
            await trio.sleep(0.01)
    assert [(row.path, row.result) for row in rows] == [("clip.mxf", "delivered")]
