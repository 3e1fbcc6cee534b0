"""A journal that is damaged or cannot be written in mid-run: copies begin again or wait, nothing is lost."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio

from agent.journal import group_commit, transfers
from agent.journal.errors import JournalError
from agent.journal.journal import Journal
from agent.model.transfer import Status
from agent.model.views import HistoryQuery
from agent.runtime.supervisor import CannotStart
from tests.flow.running_agents import (
    LONG,
    TIMEOUT_S,
    ClientView,
    CopyHold,
    RunningAgent,
    contents,
    log_lines,
    on_written,
    run_once,
    running,
    running_with_clip,
    write_config,
    write_files,
)


def overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"garbage!" * (path.stat().st_size // 8))


def cut_off(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(4096)


def damage(agent: RunningAgent, spoil: Callable[[Path], None]) -> None:
    """The file and what leads to it; what is cached of it is forgotten, as in a long run."""
    database = agent.runtime.journal._journal
    for connection in (database.writer, database.reader):
        raw = connection.connection.driver_connection
        assert raw is not None
        if connection is database.writer:
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            spoil(agent.folder / "state" / "journal.db")
        raw.execute("PRAGMA shrink_memory")


def damaged_events(view: ClientView) -> list[str]:
    return [event.text for event in view.events if "damaged" in event.text]


@pytest.mark.parametrize("spoil", [overwrite, cut_off])
async def test_a_copy_whose_journal_is_damaged_starts_over_and_is_delivered(
    tmp_path: Path, copy_hold: CopyHold, caplog: pytest.LogCaptureFixture, spoil: Callable[[Path], None]
) -> None:
    async with running_with_clip(tmp_path, LONG, max_attempts=1) as agent:
        await copy_hold.until_checkpoint()
        damage(agent, spoil)
        copy_hold.release()
        file = await agent.until_file("clip.mxf", Status.COMPLETED)
        view = await agent.until(lambda view: bool(damaged_events(view)))
        snapshot = await agent.control.snapshot()
    assert file.current.attempts == 0
    assert contents(tmp_path / "nas")["clip.mxf"] == LONG
    assert contents(tmp_path / "source") == {}
    assert (tmp_path / "state" / "journal.db.damaged-1").exists()
    assert len(damaged_events(view)) == 1
    assert view.restarts() == []
    assert snapshot.journal_error is None
    assert len(log_lines(caplog, "journal set aside, a fresh one is made")) == 1
    assert log_lines(caplog, "interrupted") == []  # nothing more about each file


async def test_a_journal_damaged_between_two_runs_is_replaced_and_the_copy_starts_over(
    tmp_path: Path, copy_hold: CopyHold
) -> None:
    async with running_with_clip(tmp_path, LONG):
        await copy_hold.until_checkpoint()
    overwrite(tmp_path / "state" / "journal.db")
    copy_hold.release()
    async with running(tmp_path) as agent:
        await agent.until_file("clip.mxf", Status.COMPLETED)
    assert contents(tmp_path / "nas")["clip.mxf"] == LONG


@pytest.fixture
def examination(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """The check of the journal at the start ends only when this is set."""
    check, over = Journal.check_integrity, threading.Event()

    def patiently(journal: Journal) -> None:
        over.wait(TIMEOUT_S)
        check(journal)

    monkeypatch.setattr(Journal, "check_integrity", patiently)
    yield over
    over.set()


async def test_clients_are_served_but_nothing_is_moved_while_the_journal_is_examined(
    tmp_path: Path, examination: threading.Event
) -> None:
    async with running_with_clip(tmp_path, b"content") as agent:
        snapshot = await agent.control.snapshot()
        assert (snapshot.files, snapshot.routes) == ((), ())
        assert (await agent.control.history(HistoryQuery())).rows == ()
        assert contents(tmp_path / "source") == {"clip.mxf": b"content"}
        examination.set()
        await agent.until_file("clip.mxf", Status.COMPLETED)


async def test_an_agent_that_examines_its_journal_stops_at_once(
    tmp_path: Path, examination: threading.Event
) -> None:
    write_config(tmp_path)
    async with running(tmp_path) as agent:
        await agent.control.snapshot()
        assert await agent.stop() == 0
        assert not examination.is_set()


async def test_an_unusable_journal_ends_the_start_with_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: Journal) -> None:
        raise JournalError("the journal cannot be used: disk I/O error")

    monkeypatch.setattr(Journal, "check_integrity", refused)
    write_config(tmp_path)
    with pytest.raises(CannotStart, match="disk I/O error"):
        await run_once(tmp_path)


STEPS = ("begin_or_resume", "checkpoint", "mark_verified", "mark_published", "finish")


@pytest.mark.parametrize("step", STEPS)
async def test_no_source_is_removed_before_its_delivery_is_in_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The journal refuses this step a few times; what the source folder held then is looked at each time."""
    write_config(tmp_path, max_attempts=1)
    write_files(tmp_path / "source", {"clip.mxf": LONG})
    write = getattr(transfers, step)
    stood: list[bool] = []

    def refuse(*values: object) -> object:
        if len(stood) < 3:
            stood.append((tmp_path / "source" / "clip.mxf").exists())
            raise JournalError("the journal cannot be used: database or disk is full")
        return write(*values)

    monkeypatch.setattr(transfers, step, refuse)
    async with running(tmp_path) as agent:
        await agent.until(lambda view: any("copies wait" in event.text for event in view.events))
        trouble = (await agent.control.snapshot()).journal_error
        file = await agent.until_file("clip.mxf", Status.COMPLETED)
    assert trouble == "the journal cannot be used: database or disk is full"
    assert file.current.attempts == 0
    assert stood == [True] * 3 if step != "finish" else [False]  # its delivery is written down already
    assert contents(tmp_path / "nas") == {"clip.mxf": LONG}
    assert contents(tmp_path / "source") == {}


async def test_a_commit_that_fails_removes_no_source(
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
    write_files(tmp_path / "source", {"clip.mxf": b"content"})
    async with running(tmp_path) as agent:
        await agent.until_file("clip.mxf", Status.COMPLETED)
    assert refused == [True] * 3
    assert contents(tmp_path / "nas") == {"clip.mxf": b"content"}
    assert len(log_lines(caplog, "nothing can be written down, copies wait")) == 1


async def test_a_delivered_file_is_completed_and_its_history_written_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_config(tmp_path)
    write_files(tmp_path / "source", {"clip.mxf": b"content"})

    def full(*_: object) -> None:
        raise JournalError("the journal cannot be used: database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(transfers, "finish", full)
        async with running(tmp_path) as agent:
            await agent.until_file("clip.mxf", Status.COMPLETED)
    async with running(tmp_path) as agent:
        while not (rows := (await agent.control.history(HistoryQuery())).rows):  # noqa: ASYNC110  recovery sets no event
            await trio.sleep(0.01)
    assert [(row.path, row.result) for row in rows] == [("clip.mxf", "delivered")]
