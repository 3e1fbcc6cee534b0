"""A journal that is damaged, or cannot be written, while the agent uses it."""

import os
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from attrs import define, field
from structlog.testing import capture_logs

from agent.journal import client, history, routes, transfers
from agent.journal import journal as journal_module
from agent.journal.client import JournalClient
from agent.journal.errors import JournalDamaged, JournalError
from agent.journal.journal import Journal, TransferLost
from agent.messages.broadcaster import JournalReplaced, JournalState
from agent.model.source_file import FileVersion, Signature
from agent.model.transfer import PublishedTransfer, TransferResult
from agent.model.views import HistoryQuery
from tests.journal.journal_samples import begin_on

GARBAGE = b"garbage!"
PATIENCE_S = 30.0


def a_file(path: str = "a.mxf") -> FileVersion:
    return FileVersion(path, "mxf", path, Signature(1, 2, 3, 4, 5), 1.0)


@define
class Bench:
    """A client of a journal that has been used before, and what it reports."""

    folder: Path
    journal: JournalClient
    reported: list[JournalReplaced | JournalState] = field(factory=list)

    def damage(self, spoil: Callable[[Path], None]) -> None:
        spoil(self.folder / "journal.db")
        self.forget_pages()

    def forget_pages(self) -> None:
        """What a long run would have pushed out of the cache has to be read from the file again."""
        for connection in (self.journal._journal.writer, self.journal._journal.reader):
            raw = connection.connection.driver_connection
            assert raw is not None
            raw.execute("PRAGMA shrink_memory")

    def limit_pages(self, count: int) -> None:
        writer = self.journal._journal.writer
        writer.exec_driver_sql(f"PRAGMA max_page_count={count}")
        writer.rollback()

    @property
    def set_aside(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("*.damaged-?"))


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Bench]:
    reported: list[JournalReplaced | JournalState] = []

    async def report(message: JournalReplaced | JournalState) -> None:
        await trio.lowlevel.checkpoint()
        reported.append(message)

    async with JournalClient.open(str(folder), report) as journal:
        yield Bench(folder, journal, reported)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with JournalClient.open(str(tmp_path)) as journal:
        for number in range(40):
            await journal.write(
                transfers.record_failure, a_file(str(number)), "/src", "/nas", 1, "x" * 50_000, 1.0
            )
    async with opened(tmp_path) as bench:
        yield bench


def overwrite_all(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(GARBAGE * (path.stat().st_size // len(GARBAGE)))


def overwrite_all_but_the_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(GARBAGE * ((path.stat().st_size - 4096) // len(GARBAGE)))


def overwrite_last_page(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(-4096, os.SEEK_END)
        file.write(GARBAGE * (4096 // len(GARBAGE)))


def cut_off(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(4096)


def empty(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(0)


@pytest.mark.parametrize("spoil", [overwrite_all, overwrite_all_but_the_header, cut_off, empty])
async def test_a_journal_that_is_damaged_meanwhile_is_set_aside_and_a_fresh_one_goes_on(
    bench: Bench, spoil: Callable[[Path], None]
) -> None:
    with capture_logs() as logs:
        bench.damage(spoil)
        with pytest.raises(TransferLost):
            await begin_on(bench.journal, a_file())
        transfer = await begin_on(bench.journal, a_file())
        await bench.journal.write(transfers.checkpoint, transfer.id, 0, bytes(16))
        assert len((await bench.journal.read(history.page, HistoryQuery())).rows) == 0
    assert bench.set_aside == ["journal.db.damaged-1"]
    assert [type(each) for each in bench.reported] == [JournalReplaced]
    assert [line["event"] for line in logs] == ["journal set aside, a fresh one is made"]


async def test_an_examination_finds_damage_that_no_operation_has_met(bench: Bench) -> None:
    await bench.journal.check_integrity()
    assert bench.set_aside == []
    bench.damage(overwrite_last_page)
    await bench.journal.write(transfers.running, "/nas")
    assert bench.set_aside == []
    await bench.journal.check_integrity()
    assert bench.set_aside == ["journal.db.damaged-1"]
    assert [type(each) for each in bench.reported] == [JournalReplaced]
    assert (await bench.journal.read(history.page, HistoryQuery())).rows == ()


async def test_an_examination_can_be_cancelled(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(Journal, "check_integrity", lambda _: over.wait(PATIENCE_S))
    with trio.fail_after(PATIENCE_S / 2), trio.move_on_after(0.1) as patience:
        await bench.journal.check_integrity()
    over.set()
    assert patience.cancelled_caught


async def test_the_fresh_journal_is_sound_and_found_at_the_next_start(bench: Bench, tmp_path: Path) -> None:
    bench.damage(overwrite_all)
    with pytest.raises(TransferLost):
        await bench.journal.write(transfers.running, "/nas")
    await begin_on(bench.journal, a_file())
    with sqlite3.connect(f"file:{tmp_path}/journal.db?mode=ro", uri=True) as other:
        assert other.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    other.close()


async def test_an_id_from_before_the_loss_never_reaches_another_transfer(bench: Bench) -> None:
    before = [await begin_on(bench.journal, a_file(name)) for name in "abc"]
    bench.damage(overwrite_all)
    while not bench.set_aside:  # pages that are in the WAL are still whole
        with pytest.raises(JournalError):
            await bench.journal.read(history.page, HistoryQuery())
    after = [await begin_on(bench.journal, a_file(name)) for name in "abc"]
    assert not {each.id for each in before} & {each.id for each in after}
    for transfer in before:
        with pytest.raises(TransferLost):
            await bench.journal.write(
                transfers.mark_published, [PublishedTransfer(transfer.id, "a", already_present=False)]
            )
        with pytest.raises(TransferLost):
            await bench.journal.write(
                transfers.finish, [TransferResult(transfer.id, "delivered", 1, None, 3.0, "/nas/a")]
            )
        with pytest.raises(TransferLost):
            await bench.journal.write(transfers.drop, transfer.id)
        with pytest.raises(TransferLost):
            await bench.journal.write(transfers.checkpoint, transfer.id, 0, bytes(16))
    with pytest.raises(LookupError):
        await bench.journal.write(transfers.drop, after[-1].id + 1)
    assert await bench.journal.write(transfers.running, "/nas") == tuple(after)
    assert [type(each) for each in bench.reported] == [JournalReplaced]  # a lost transfer is no trouble


async def test_mounts_and_paused_routes_survive_the_loss_of_the_file(bench: Bench) -> None:
    await bench.journal.write(routes.remember_mount, "/nas", "/mnt")
    await bench.journal.write(routes.set_paused, "mxf", paused=True)
    await bench.journal.write(routes.set_paused, "wav", paused=True)
    await bench.journal.write(routes.set_paused, "wav", paused=False)
    bench.journal._journal.recreate("damaged")
    assert await bench.journal.write(routes.mount_points) == {"/nas": "/mnt"}
    assert await bench.journal.write(routes.paused) == {"mxf"}


async def test_mounts_and_paused_routes_read_at_the_start_survive_too(tmp_path: Path) -> None:
    async with opened(tmp_path) as bench:
        await bench.journal.write(routes.remember_mount, "/nas", "/mnt")
        await bench.journal.write(routes.set_paused, "mxf", paused=True)
    async with opened(tmp_path) as bench:
        await bench.journal.write(routes.mount_points)
        await bench.journal.write(routes.paused)
        bench.journal._journal.recreate("damaged")
        assert await bench.journal.write(routes.mount_points) == {"/nas": "/mnt"}
        assert await bench.journal.write(routes.paused) == {"mxf"}


async def test_damage_that_only_a_reader_meets_is_found_too(bench: Bench) -> None:
    bench.damage(overwrite_all_but_the_header)
    with pytest.raises(JournalError):
        await bench.journal.read(history.page, HistoryQuery())
    assert (await bench.journal.read(history.page, HistoryQuery())).rows == ()
    assert bench.set_aside == ["journal.db.damaged-1"]


async def test_a_reader_that_is_wrong_about_the_damage_costs_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(*_: object) -> None:
        raise JournalDamaged("what was read has been set aside")

    with monkeypatch.context() as patch:
        patch.setattr(history, "page", damaged)
        with pytest.raises(JournalError):
            await bench.journal.read(history.page, HistoryQuery())
    assert len((await bench.journal.read(history.page, HistoryQuery(limit=100))).rows) == 40
    assert bench.set_aside == []


async def test_a_file_that_cannot_be_set_aside_is_tried_again_with_the_next_operation(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise JournalError("the damaged journal cannot be set aside: Read-only file system")

    bench.damage(overwrite_all)
    with monkeypatch.context() as patch:
        patch.setattr(journal_module, "quarantine", refused)
        for _ in range(2):
            with pytest.raises(JournalError, match="cannot be set aside"):
                await bench.journal.write(transfers.running, "/nas")
        with pytest.raises(JournalError, match="being set up afresh"):
            await bench.journal.read(history.page, HistoryQuery())
    assert await bench.journal.write(transfers.running, "/nas") == ()
    assert bench.set_aside == ["journal.db.damaged-1"]
    assert [type(each) for each in bench.reported] == [JournalReplaced, JournalState]


async def test_a_fresh_journal_that_cannot_be_made_is_tried_again_and_sets_nothing_else_aside(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Path) -> None:
        raise JournalError("the journal cannot be used: database or disk is full")

    bench.damage(overwrite_all)
    with monkeypatch.context() as patch:
        patch.setattr(journal_module, "open_reader", full)
        for _ in range(3):
            with pytest.raises(JournalError, match="full"):
                await bench.journal.write(transfers.running, "/nas")
    assert await bench.journal.write(transfers.running, "/nas") == ()
    assert bench.set_aside == ["journal.db.damaged-1"]


async def test_a_full_disk_is_reported_once_however_often_it_is_met(bench: Bench) -> None:
    with capture_logs() as logs:
        bench.limit_pages(1)
        for number in range(3):
            with pytest.raises(JournalError, match="full"):
                await bench.journal.write(
                    transfers.record_failure, a_file(f"n{number}"), "/s", "/n", 1, "x" * 50_000, 1.0
                )
            await bench.journal.write(routes.paused)  # what needs no room goes on, and is no sign of recovery
    (state,) = bench.reported
    assert isinstance(state, JournalState)
    assert state.error == "the journal cannot be used: database or disk is full"
    assert [line["event"] for line in logs] == ["nothing can be written down, copies wait"]


async def test_the_end_of_a_full_disk_is_found_without_any_other_write(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery
) -> None:
    monkeypatch.setattr(client, "CALM_S", 0.05)
    monkeypatch.setattr(client, "PROBE_S", 0.01)
    nursery.start_soon(bench.journal.probe_until_writable)
    bench.limit_pages(1)
    with pytest.raises(JournalError, match="full"):
        await bench.journal.write(transfers.record_failure, a_file(), "/s", "/n", 1, "x" * 50_000, 1.0)
    bench.limit_pages(1_000_000)
    with capture_logs() as logs, trio.fail_after(PATIENCE_S):
        while len(bench.reported) < 2:  # noqa: ASYNC110  no event is set
            await trio.sleep(0.01)
    assert [getattr(each, "error", "") for each in bench.reported][1:] == [None]
    assert [line["event"] for line in logs] == ["the journal can be written again"]
    assert await bench.journal.write(routes.paused) == frozenset()


async def test_a_shortage_of_threads_is_the_journals_trouble_and_no_bug(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_thread(*_: object, **__: object) -> None:
        await trio.lowlevel.checkpoint()
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as short:
        short.setattr(trio.to_thread, "run_sync", no_thread)
        with pytest.raises(JournalError):
            await bench.journal.write(routes.set_paused, "mxf", paused=True)
        with pytest.raises(JournalError, match="this machine is short of processes and threads"):
            await bench.journal.read(history.page, HistoryQuery())
    [state] = bench.reported
    assert isinstance(state, JournalState)
    assert state.error == "this machine is short of processes and threads"
    await bench.journal.write(routes.set_paused, "mxf", paused=True)
