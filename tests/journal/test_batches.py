"""Operations on several transfers at once: as if each had been written alone, and all or none of them."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
from attrs import evolve

from agent.journal import history, transfers
from agent.journal.journal import Journal, TransferLost
from agent.model.source_file import FileVersion
from agent.model.transfer import PublishedTransfer, Transfer, TransferPhase, TransferResult, VerifiedTransfer
from agent.model.verification import VerifyLevel
from agent.model.views import HistoryQuery, HistoryResult
from tests.journal.journal_samples import HASH, NOT_UTF8, STATE, a_file, begin, begun, digests, find
from tests.samples import but

FILES = {f".{name}.partial": a_file(name) for name in ("a.mxf", NOT_UTF8, "day/c.mxf")}
PATHS = [file.path for file in FILES.values()]
OPERATIONS = ("mark_verified", "mark_published", "finish")


def opened(journal: Journal, files: Mapping[str, FileVersion] = FILES) -> dict[str, Transfer]:
    return journal.write(transfers.begin_or_resume, files, "/src", "/nas", at=20.25)


def ids_of(begun: Mapping[str, Transfer]) -> dict[str, int]:
    return {path: transfer.id for path, transfer in begun.items()}


def verify(journal: Journal, ids: Mapping[str, int], level: VerifyLevel = "read_back") -> None:
    verified = [VerifiedTransfer(each, path, HASH, level) for path, each in ids.items()]
    journal.write(transfers.mark_verified, verified)


def publish(journal: Journal, ids: Mapping[str, int], suffix: str = "") -> None:
    published = [PublishedTransfer(each, path + suffix, path == "a.mxf") for path, each in ids.items()]
    journal.write(transfers.mark_published, published)


def finish(journal: Journal, ids: Mapping[str, int], result: HistoryResult = "delivered") -> None:
    results = [TransferResult(each, result, 1, None, 30.0, f"/nas/{path}") for path, each in ids.items()]
    journal.write(transfers.finish, results)


def act(journal: Journal, operation: str, ids: Mapping[str, int]) -> None:
    {"mark_verified": verify, "mark_published": publish, "finish": finish}[operation](journal, ids)  # type: ignore[operator]


def test_each_is_begun_as_it_would_be_alone(journal: Journal) -> None:
    together = opened(journal)
    alone = begun(journal, "alone.mxf")
    for partial, file in FILES.items():
        expected = evolve(
            alone, id=together[file.path].id, path=file.path, partial=partial, signature=file.signature
        )
        assert together[file.path] == expected
        assert find(journal, file.path) == expected


def test_those_that_run_are_returned_with_their_blocks_and_left_as_they_are(journal: Journal) -> None:
    running = begun(journal, "a.mxf")
    journal.write(transfers.checkpoint, running.id, 0, digests(1, 2))
    journal.write(transfers.checkpoint, running.id, 2, digests(3))
    again = opened(journal, {f"{partial}.again": file for partial, file in FILES.items()})
    assert again["a.mxf"] == evolve(running, blocks=(digests(1), digests(2), digests(3)))
    assert {path: again[path].partial for path in PATHS[1:]} == {
        file.path: f"{partial}.again" for partial, file in FILES.items() if file.path != "a.mxf"
    }
    assert opened(journal) == again


def test_one_that_runs_is_returned_whatever_state_and_destination_it_is_for(journal: Journal) -> None:
    running = begin(journal, a_file(signature=but(STATE, size_bytes=9)), "/elsewhere", ".old")
    assert opened(journal, {".new": a_file()}) == {"a.mxf": running}


def test_blocks_stay_with_their_own_transfer(journal: Journal) -> None:
    for number, transfer in enumerate(opened(journal).values()):
        journal.write(transfers.checkpoint, transfer.id, 0, digests(number))
    found = journal.write(transfers.find, "mxf", PATHS)
    assert [found[path].blocks for path in PATHS] == [(digests(number),) for number in range(3)]


def test_the_same_path_on_another_route_is_another_file(journal: Journal) -> None:
    other = begun(journal, "a.mxf", route="wav")
    assert sorted(opened(journal)) == sorted(PATHS)
    assert find(journal, "a.mxf", "wav") == other


def test_each_step_is_that_of_all_of_them(journal: Journal) -> None:
    ids = ids_of(opened(journal))
    verify(journal, ids)
    for path in PATHS:
        found = find(journal, path)
        assert found is not None
        assert (found.phase, found.name) == (TransferPhase.VERIFIED, path)
        assert (found.hash, found.level) == (HASH, "read_back")
    publish(journal, ids, "_1")
    for path in PATHS:
        found = find(journal, path)
        assert found is not None
        assert (found.phase, found.name) == (TransferPhase.PUBLISHED, f"{path}_1")
        assert (found.level, found.already_present) == ("read_back", path == "a.mxf")


def test_a_level_that_is_reached_under_the_final_name_replaces_the_one_before(journal: Journal) -> None:
    ids = ids_of(opened(journal))
    verify(journal, ids, "hash")
    levels: dict[str, VerifyLevel | None] = dict(zip(PATHS, ("read_back", None, "size"), strict=True))
    published = [PublishedTransfer(ids[path], path, False, level) for path, level in levels.items()]
    journal.write(transfers.mark_published, published)
    found = journal.write(transfers.find, "mxf", PATHS)
    assert [found[path].level for path in PATHS] == ["read_back", "hash", "size"]


@pytest.mark.parametrize("result", ["delivered", "kept"])
def test_they_move_to_the_history(journal: Journal, result: HistoryResult) -> None:
    ids = ids_of(opened(journal))
    verify(journal, ids)
    finish(journal, ids, result)
    rows = journal.read(history.page, HistoryQuery()).rows
    assert sorted(row.path for row in rows) == sorted(PATHS)
    assert {(row.result, row.hash, row.verified_level) for row in rows} == {(result, HASH, "read_back")}
    assert {row.destination_path for row in rows} == {f"/nas/{path}" for path in PATHS}
    assert journal.write(transfers.find, "mxf", PATHS) == {}
    not_again = sorted(item.path for item in journal.write(history.prior_results, "mxf", PATHS))
    assert not_again == (sorted(PATHS) if result == "kept" else [])


def test_the_newest_end_of_a_file_is_the_one_that_counts(journal: Journal) -> None:
    finish(journal, ids_of(opened(journal)), "kept")
    finish(journal, ids_of(opened(journal)), "delivered")
    assert journal.write(history.prior_results, "mxf", PATHS) == ()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_one_that_is_not_running_stops_all(journal: Journal, operation: str) -> None:
    before = opened(journal)
    with pytest.raises(LookupError, match="no running transfer has the id 999"):
        act(journal, operation, {**ids_of(before), "unknown": 999})
    assert journal.write(transfers.find, "mxf", PATHS) == before
    assert journal.read(history.page, HistoryQuery()).rows == ()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_those_of_a_journal_that_was_set_aside_are_lost(
    journal: Journal, tmp_path: Path, operation: str
) -> None:
    ids = ids_of(opened(journal))
    journal.recreate("damaged")
    with pytest.raises(TransferLost):
        act(journal, operation, ids)
    assert (tmp_path / "journal.db").exists()
    with closing(sqlite3.connect(tmp_path / "journal.db")) as db:
        assert db.execute("SELECT count(*) FROM transfers").fetchone() == (0,)
