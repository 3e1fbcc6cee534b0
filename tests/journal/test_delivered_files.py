"""What the history says of delivered files, read beside the agent that writes it."""

import os
from pathlib import Path

import pytest
from attrs import evolve

from agent.journal import delivered_files, routes, transfers
from agent.journal.delivered_files import Deliveries
from agent.journal.errors import JournalError
from agent.journal.journal import Journal
from agent.model.transfer import DeliveredFile, TransferResult, VerifiedTransfer
from agent.model.views import HistoryResult
from tests.journal.journal_samples import HASH, NOT_UTF8, STATE, a_file, begin, ended
from tests.samples import but

RECORD = DeliveredFile("mxf", "/nas", "/nas/a.mxf", STATE.size_bytes, HASH)


def read(folder: Path, since_at: float | None = None, route: str | None = None) -> list[DeliveredFile]:
    with Deliveries.open(str(folder), since_at, route) as opened:
        return [record for place in opened.destinations() for record in opened.to(place)]


def delivered(journal: Journal, path: str, destination: str, hash_: str = HASH, route: str = "mxf") -> None:
    size_bytes = int(hash_[-1], 16)
    file = a_file(path, route, but(STATE, size_bytes=size_bytes))
    transfer = begin(journal, file, destination)
    journal.write(transfers.mark_verified, [VerifiedTransfer(transfer.id, path, hash_, "read_back")])
    journal.write(
        transfers.finish, [TransferResult(transfer.id, "delivered", 1, None, 30.0, f"{destination}/{path}")]
    )


@pytest.mark.parametrize("result", ["delivered", "kept"])
def test_delivered_files_are_found_while_the_journal_is_in_use(
    journal: Journal, tmp_path: Path, result: HistoryResult
) -> None:
    ended(journal, "a.mxf", result)
    assert read(tmp_path) == [RECORD]


def test_delivered_files_are_found_while_the_journal_is_not_in_use(tmp_path: Path) -> None:
    journal = Journal.open(str(tmp_path))
    ended(journal, NOT_UTF8, "delivered")
    journal.close()
    before = (tmp_path / "journal.db").read_bytes()
    assert read(tmp_path) == [evolve(RECORD, destination_path=f"/nas/{NOT_UTF8}")]
    assert (tmp_path / "journal.db").read_bytes() == before


def test_failed_transfers_are_left_out(journal: Journal, tmp_path: Path) -> None:
    ended(journal, "a.mxf", "failed")
    assert read(tmp_path) == []


def test_of_several_deliveries_to_one_path_the_newest_counts(journal: Journal, tmp_path: Path) -> None:
    for digit in "123":
        delivered(journal, "a.mxf", "/nas", HASH[:-1] + digit)
    (record,) = read(tmp_path)
    assert (record.hash, record.size_bytes) == (HASH[:-1] + "3", 3)


def test_only_what_ended_since_then_and_only_that_route(journal: Journal, tmp_path: Path) -> None:
    ended(journal, "old.mxf", "delivered", at=10.0)
    ended(journal, "new.mxf", "delivered", at=20.0)
    ended(journal, "new.wav", "kept", at=20.0, route="wav")
    assert [each.destination_path for each in read(tmp_path, 20.0)] == ["/nas/new.mxf", "/nas/new.wav"]
    assert [each.destination_path for each in read(tmp_path, 20.0, "wav")] == ["/nas/new.wav"]


def test_a_path_whose_newest_delivery_is_too_old_is_left_out(journal: Journal, tmp_path: Path) -> None:
    ended(journal, "a.mxf", "delivered", at=10.0)
    assert read(tmp_path, since_at=10.5) == []


def test_destinations_come_one_after_the_other_in_pages(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivered_files, "ROWS_AT_ONCE", 2)
    for number in range(5):
        delivered(journal, f"{number}", "/z")
        delivered(journal, f"{number}", "/a")
    assert [each.destination_path for each in read(tmp_path)] == [f"/{d}/{n}" for d in "az" for n in range(5)]


def test_the_agent_goes_on_writing_while_it_is_read_and_what_it_adds_is_left_out(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivered_files, "ROWS_AT_ONCE", 1)
    for name in "ab":
        ended(journal, name, "delivered")
    with Deliveries.open(str(tmp_path), None, None) as opened:
        found = []
        for record in opened.to("/nas"):
            found.append(record.destination_path)
            ended(journal, f"later than {record.destination_path[-1]}", "delivered")
    assert found == ["/nas/a", "/nas/b"]
    assert len(read(tmp_path)) == 4


def test_mounts_are_remembered(journal: Journal, tmp_path: Path) -> None:
    journal.write(routes.remember_mount, "/nas", "/")
    with Deliveries.open(str(tmp_path), None, None) as opened:
        assert opened.mount_points() == {"/nas": "/"}


def test_a_missing_journal_is_one_clear_line_and_none_is_made(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match=r"^there is no journal in .*: nothing is known to have been"):
        read(tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("content", [b"no database at all, but some other file\n" * 200, b""])
def test_a_foreign_file_is_one_clear_line_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "journal.db").write_bytes(content)
    with pytest.raises(JournalError, match=r"^the journal cannot be used: (file is not a|no such table)"):
        read(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"journal.db": content}
