"""The journal's part about files that are carried together: as if each had been written down alone."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from attrs import evolve

from agent.journal.carried_state import TransferLost
from agent.journal.journal import Journal
from agent.model.source_file import FileVersion
from agent.model.transfer import TransferPhase, TransferResult
from agent.model.views import HistoryQuery
from tests.journal.journal_samples import HASH, NOT_UTF8, a_file, begun

FILES = {f".{name}.partial": a_file(name) for name in ("a.mxf", NOT_UTF8, "day/c.mxf")}
PATHS = [file.path for file in FILES.values()]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with closing(Journal.open(str(tmp_path))) as journal:
        yield journal


def begun_together(journal: Journal, files: dict[str, FileVersion] = FILES) -> dict[str, int]:
    return journal.lots.begin(files, "/src", "/nas", at=20.25)


def ended_together(journal: Journal, ids: dict[str, int], result: str = "delivered") -> None:
    journal.lots.finish(
        [
            TransferResult(transfer_id, result, 1, None, 30.0, f"/nas/{path}")  # type: ignore[arg-type]
            for path, transfer_id in ids.items()
        ]
    )


def test_each_is_begun_as_it_would_be_alone(journal: Journal) -> None:
    ids = begun_together(journal)
    alone = begun(journal, "alone.mxf")
    for partial, file in FILES.items():
        expected = evolve(alone, id=ids[file.path], path=file.path, partial=partial, signature=file.signature)
        assert journal.find("mxf", file.path) == expected


def test_those_that_are_known_are_left_as_they_are(journal: Journal) -> None:
    known = begun(journal, "a.mxf")
    assert sorted(begun_together(journal)) == sorted(PATHS[1:])
    assert journal.find("mxf", "a.mxf") == known
    assert begun_together(journal) == {}


def test_the_same_path_on_another_route_is_another_file(journal: Journal) -> None:
    begun(journal, "a.mxf", route="wav")
    assert sorted(begun_together(journal)) == sorted(PATHS)


def test_each_step_is_that_of_all_of_them(journal: Journal) -> None:
    ids = begun_together(journal)
    journal.lots.mark_verified([(ids[path], path, HASH, "read_back") for path in PATHS])
    for path in PATHS:
        found = journal.find("mxf", path)
        assert found is not None
        assert (found.phase, found.name, found.hash, found.level) == (
            TransferPhase.VERIFIED,
            path,
            HASH,
            "read_back",
        )
    journal.lots.mark_published([(ids[path], f"{path}_1", path == "a.mxf") for path in PATHS])
    for path in PATHS:
        found = journal.find("mxf", path)
        assert found is not None
        assert (found.phase, found.name) == (TransferPhase.PUBLISHED, f"{path}_1")
        assert (found.level, found.already_present) == ("read_back", path == "a.mxf")


@pytest.mark.parametrize("result", ["delivered", "kept"])
def test_they_move_to_the_history(journal: Journal, result: str) -> None:
    ids = begun_together(journal)
    journal.lots.mark_verified([(ids[path], path, HASH, "read_back") for path in PATHS])
    ended_together(journal, ids, result)
    rows = journal.history(HistoryQuery()).rows
    assert sorted(row.path for row in rows) == sorted(PATHS)
    assert {(row.result, row.hash, row.verified_level) for row in rows} == {(result, HASH, "read_back")}
    assert {row.destination_path for row in rows} == {f"/nas/{path}" for path in PATHS}
    assert all(journal.find("mxf", path) is None for path in PATHS)
    settled = sorted(item.path for item in journal.prior_results("mxf", tuple(PATHS)))
    assert settled == (sorted(PATHS) if result == "kept" else [])


def test_the_newest_end_of_a_file_is_the_one_that_counts(journal: Journal) -> None:
    ended_together(journal, begun_together(journal), "kept")
    ended_together(journal, begun_together(journal), "delivered")
    assert journal.prior_results("mxf", tuple(PATHS)) == ()


@pytest.mark.parametrize("operation", ["intend", "published", "finish"])
def test_one_that_is_not_running_stops_all(journal: Journal, operation: str) -> None:
    ids = begun_together(journal)
    before = [journal.find("mxf", path) for path in PATHS]
    with pytest.raises(LookupError):
        act(journal, operation, {**ids, "unknown": 999})
    assert [journal.find("mxf", path) for path in PATHS] == before
    assert journal.history(HistoryQuery()).rows == ()


@pytest.mark.parametrize("operation", ["intend", "published", "finish"])
def test_those_of_a_journal_that_was_set_aside_are_lost(
    journal: Journal, tmp_path: Path, operation: str
) -> None:
    ids = begun_together(journal)
    journal.recreate("damaged")
    with pytest.raises(TransferLost):
        act(journal, operation, ids)
    assert (tmp_path / "journal.db").exists()
    with closing(sqlite3.connect(tmp_path / "journal.db")) as db:
        assert db.execute("SELECT count(*) FROM transfers").fetchone() == (0,)


def act(journal: Journal, operation: str, ids: dict[str, int]) -> None:
    match operation:
        case "intend":
            journal.lots.mark_verified([(each, path, HASH, "hash") for path, each in ids.items()])
        case "published":
            journal.lots.mark_published([(each, path, False) for path, each in ids.items()])
        case _:
            ended_together(journal, ids)
