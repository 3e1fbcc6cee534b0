import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
from attrs import evolve
from sqlalchemy import Connection, event
from trio.testing import wait_all_tasks_blocked

from agent.journal import history, orphans, routes, transfers, uploads
from agent.journal.client import JournalClient
from agent.journal.errors import JournalError
from agent.journal.journal import Journal
from agent.journal.state_folder import StateLock, StateLocked
from agent.model.source_file import FileVersion, Signature
from agent.model.transfer import PublishedTransfer, TransferPhase, TransferResult, VerifiedTransfer
from agent.model.upload import UploadFile, UploadFileState, UploadJob, UploadState
from agent.model.views import HistoryQuery, UploadFilesQuery, UploadsQuery
from tests.journal.journal_samples import begin_on, make_newer
from tests.samples import but

STATE = Signature(1, 2, 3, 4, 5)
HASH = "xxh128:" + "0" * 32


def a_file(path: str = "a.mxf") -> FileVersion:
    return FileVersion(id=path, route="mxf", path=path, signature=STATE, discovered_at=1.0)


def names_in(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[JournalClient]:
    async with JournalClient.open(str(tmp_path / "state")) as opened:
        yield opened


@contextmanager
def commits_counted(journal: JournalClient) -> Iterator[list[Connection]]:
    seen: list[Connection] = []
    note = seen.append
    event.listen(journal._journal.writer.engine, "commit", note)
    yield seen
    event.remove(journal._journal.writer.engine, "commit", note)


class HeldWriter:
    """An operation that keeps the writer's thread busy until it is released."""

    def __init__(self, journal: JournalClient) -> None:
        self._journal = journal
        self._released = threading.Event()

    async def hold(self) -> None:
        await self._journal.write(lambda _: self._released.wait())

    def release(self) -> None:
        self._released.set()


async def failure_of(operation: Callable[[], Awaitable[object]], failures: list[Exception]) -> None:
    try:
        await operation()
    except Exception as error:  # noqa: BLE001  the test looks at all of them
        failures.append(error)


async def test_every_operation_reaches_the_journal(journal: JournalClient) -> None:
    first = await begin_on(journal, a_file())
    await journal.write(transfers.restart, first.id, "q")
    await journal.write(transfers.update_signature, first.id, but(STATE, size_bytes=9))
    await journal.write(transfers.checkpoint, first.id, 0, b"0123456789abcdef")
    await journal.write(transfers.mark_verified, [VerifiedTransfer(first.id, "a.mxf", HASH, "read_back")])
    await journal.write(
        transfers.mark_published, [PublishedTransfer(first.id, "a_1.mxf", already_present=True)]
    )
    now = evolve(
        first,
        partial="q",
        signature=but(STATE, size_bytes=9),
        name="a_1.mxf",
        hash=HASH,
        level="read_back",
        phase=TransferPhase.PUBLISHED,
        already_present=True,
    )
    assert await journal.write(transfers.running, "/nas") == (now,)
    assert await journal.write(transfers.find, "mxf", ["a.mxf"]) == {
        "a.mxf": evolve(now, blocks=(b"0123456789abcdef",))
    }
    await journal.write(transfers.finish, [TransferResult(first.id, "kept", 1, None, 3.0, "/nas/a_1.mxf")])
    await journal.write(transfers.record_failure, a_file("b"), "/src", "/nas", 3, "unreadable", 4.0)
    assert [each.path for each in await journal.write(history.prior_results, "mxf", ("a.mxf", "b", "c"))] == [
        "a.mxf",
        "b",
    ]
    await journal.write(history.clear_failure, "mxf", "b")
    assert [each.path for each in await journal.write(history.prior_results, "mxf", ("a.mxf", "b", "c"))] == [
        "a.mxf"
    ]
    await journal.write(transfers.drop, (await begin_on(journal, a_file("c"))).id)
    await journal.write(routes.set_paused, "mxf", paused=True)
    assert await journal.write(routes.paused) == {"mxf"}
    assert [row.path for row in (await journal.read(history.page, HistoryQuery())).rows] == ["b", "a.mxf"]


async def test_orphans_reach_the_journal(journal: JournalClient) -> None:
    begun = [await begin_on(journal, a_file(name), f".{name}") for name in "abc"]
    await journal.write(transfers.restart, begun[0].id, ".fresh")
    await journal.write(transfers.drop, begun[1].id, leaves_orphan=True)
    await journal.write(
        transfers.finish,
        [TransferResult(begun[2].id, "failed", 3, "unreadable", 3.0, None, leaves_orphan=True)],
    )
    await journal.write(orphans.add, "/nas", (".fresh", ".stray"))
    assert await journal.write(orphans.at_destination, "/nas") == (".a", ".b", ".c", ".stray")
    await journal.write(orphans.forget, "/nas", ".b")
    assert await journal.write(orphans.at_destination, "/nas") == (".a", ".c", ".stray")


async def test_upload_jobs_reach_the_journal(journal: JournalClient) -> None:
    job = UploadJob("j1", "/media", "archive", None, UploadState.PENDING, 1.0, 1.0)
    file = UploadFile("a.mxf", UploadFileState.PENDING, 5, 1, 1.0, 1.0)
    await journal.write(uploads.add, job)
    assert await journal.write(uploads.needing_cleanup) == (job,)
    assert await journal.write(uploads.upsert, job, (file,), ("gone",))
    assert await journal.write(uploads.files, "j1") == (file,)
    assert (await journal.read(uploads.files_page, UploadFilesQuery("j1"))).files == (file,)
    assert (await journal.read(uploads.page, UploadsQuery())).jobs == (job,)
    assert await journal.write(uploads.stop, "j1", "stopped", 2.0)
    stopped = await journal.read(uploads.find, "j1")
    assert stopped is not None
    assert stopped.error == "stopped"
    await journal.write(uploads.add_orphans, "upload:j1")
    await journal.write(uploads.mark_cleaned, "j1", "upload:j1")
    assert await journal.write(uploads.needing_cleanup) == ()


async def test_only_a_journal_younger_than_the_installation_needs_an_orphan_scan(tmp_path: Path) -> None:
    async with JournalClient.open(str(tmp_path)) as journal:
        identity = journal.identity
        assert await journal.write(orphans.is_scan_done, journal.identity, "/nas")
    async with JournalClient.open(str(tmp_path)) as journal:
        assert await journal.write(orphans.is_scan_done, journal.identity, "/nas")
    (tmp_path / "journal.db").unlink()
    async with JournalClient.open(str(tmp_path)) as journal:
        assert journal.identity == identity
        assert not await journal.write(orphans.is_scan_done, journal.identity, "/nas")
        await journal.write(orphans.mark_scan_done, journal.identity, "/nas")
    async with JournalClient.open(str(tmp_path)) as journal:
        assert await journal.write(orphans.is_scan_done, journal.identity, "/nas")
        assert not await journal.write(orphans.is_scan_done, journal.identity, "/other")
    (tmp_path / "identity").unlink()
    async with JournalClient.open(str(tmp_path)) as journal:
        assert journal.identity != identity
        assert await journal.write(orphans.is_scan_done, journal.identity, "/other")


async def test_a_write_that_returned_is_there_after_reopening(tmp_path: Path) -> None:
    async with JournalClient.open(str(tmp_path)) as journal:
        transfer = await begin_on(journal, a_file())
    assert names_in(tmp_path) == {"identity", "journal.db", "lock"}  # closed, its WAL folded in
    async with JournalClient.open(str(tmp_path)) as journal:
        assert await journal.write(transfers.find, "mxf", ["a.mxf"]) == {"a.mxf": transfer}


async def test_all_that_wait_are_committed_at_once_and_only_the_wrong_ones_fail(
    journal: JournalClient,
) -> None:
    failures: list[Exception] = []
    with commits_counted(journal) as commits:
        async with trio.open_nursery() as nursery:
            for number in range(30):
                nursery.start_soon(begin_on, journal, a_file(str(number)))
                nursery.start_soon(failure_of, lambda: journal.write(transfers.drop, 999), failures)
    assert len(commits) == 2  # the first to come, and all who came meanwhile
    assert len(await journal.write(transfers.running, "/nas")) == 30
    assert [type(each) for each in failures] == [LookupError] * 30


async def test_a_commit_that_fails_fails_for_all_and_the_next_one_works(journal: JournalClient) -> None:
    failures: list[Exception] = []
    writer = HeldWriter(journal)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.hold)
        await wait_all_tasks_blocked()
        nursery.start_soon(failure_of, lambda: journal.write(routes.set_paused, "a", paused=True), failures)
        spoil = journal._journal.writer.exec_driver_sql
        nursery.start_soon(failure_of, lambda: journal.write(lambda _: spoil("ROLLBACK")), failures)
        nursery.start_soon(failure_of, lambda: journal.write(routes.set_paused, "b", paused=True), failures)
        await wait_all_tasks_blocked()
        writer.release()
    assert [type(each) for each in failures] == [JournalError] * 3
    assert await journal.write(routes.paused) == set()


async def test_a_task_that_is_cancelled_already_does_nothing(journal: JournalClient) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await journal.write(routes.set_paused, "mxf", paused=True)
    assert scope.cancelled_caught
    assert await journal.write(routes.paused) == set()


async def test_a_task_cancelled_while_it_waits_has_written_nothing(journal: JournalClient) -> None:
    writer = HeldWriter(journal)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.hold)
        await wait_all_tasks_blocked()
        with trio.CancelScope() as scope:
            nursery.start_soon(cancel_when_blocked, scope)
            await journal.write(routes.set_paused, "mxf", paused=True)
        assert scope.cancelled_caught
        writer.release()
    assert await journal.write(routes.paused) == set()


async def cancel_when_blocked(scope: trio.CancelScope) -> None:
    await wait_all_tasks_blocked()
    scope.cancel()


async def test_a_task_cancelled_when_its_turn_comes_still_commits_for_all(journal: JournalClient) -> None:
    writer, scope = HeldWriter(journal), trio.CancelScope()

    async def first() -> None:
        await writer.hold()
        scope.cancel()  # the one below has been woken, but has not run yet

    async def second() -> None:
        with scope:
            await journal.write(routes.set_paused, "second", paused=True)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(first)
        await wait_all_tasks_blocked()
        nursery.start_soon(second)
        await wait_all_tasks_blocked()
        writer.release()
    assert await journal.write(routes.paused) == {"second"}


async def test_a_read_through_write_sees_the_commit_that_a_cancelled_task_left_in_flight(
    journal: JournalClient,
) -> None:
    writers = HeldWriter(journal), HeldWriter(journal)
    passed, scope = trio.Event(), trio.CancelScope()

    async def leader() -> None:
        await writers[0].hold()
        passed.set()
        await writers[1].hold()

    async def follower() -> None:
        with scope:
            await journal.write(routes.set_paused, "follower", paused=True)

    async def asker() -> None:
        assert await journal.write(routes.paused) == {"follower"}

    async with trio.open_nursery() as nursery:
        nursery.start_soon(leader)
        await wait_all_tasks_blocked()
        nursery.start_soon(follower)
        await wait_all_tasks_blocked()
        writers[0].release()
        await passed.wait()
        await wait_all_tasks_blocked()
        scope.cancel()
        await wait_all_tasks_blocked()
        nursery.start_soon(asker)
        await wait_all_tasks_blocked()
        writers[1].release()
    assert scope.cancelled_caught


async def test_without_a_thread_no_write_returns(
    journal: JournalClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_thread(*_: object, **__: object) -> None:
        await trio.lowlevel.checkpoint()
        raise RuntimeError("can't start new thread")

    failures: list[Exception] = []
    writer = HeldWriter(journal)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.hold)
        await wait_all_tasks_blocked()
        for route in "ab":
            nursery.start_soon(failure_of, partial(journal.write, routes.set_paused, route, True), failures)
        await wait_all_tasks_blocked()
        monkeypatch.setattr(trio.to_thread, "run_sync", no_thread)
        writer.release()
    monkeypatch.undo()
    assert list(map(str, failures)) == ["this machine is short of processes and threads"] * 2
    assert await journal.write(routes.paused) == set()


async def test_history_waits_for_no_writer(journal: JournalClient) -> None:
    await journal.write(transfers.record_failure, a_file(), "/src", "/nas", 3, "unreadable", 4.0)
    writer = HeldWriter(journal)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.hold)
        await wait_all_tasks_blocked()
        assert len((await journal.read(history.page, HistoryQuery())).rows) == 1
        writer.release()


async def test_a_second_agent_is_kept_out_until_the_first_has_left(tmp_path: Path) -> None:
    folder = str(tmp_path / "state")
    async with JournalClient.open(folder):
        with pytest.raises(StateLocked) as refused:
            async with JournalClient.open(folder):
                pass
    assert str(refused.value) == (
        f"the state folder {folder!r} is in use by another agent (pid {os.getpid()})"
    )
    async with JournalClient.open(folder):
        pass


async def test_a_journal_that_cannot_be_opened_leaves_the_folder_free(tmp_path: Path) -> None:
    Journal.open(str(tmp_path)).close()
    make_newer(tmp_path / "journal.db")
    with pytest.raises(JournalError, match="newer version"):
        async with JournalClient.open(str(tmp_path)):
            pass
    StateLock(str(tmp_path)).release()
