"""Orphans in the journal, and where they were scanned for."""

from pathlib import Path

from agent.journal import orphans, transfers
from agent.journal.journal import Journal
from agent.model.transfer import (
    TransferResult,
)
from tests.journal.journal_samples import NOT_UTF8, a_file, begun


def test_a_partial_that_loses_its_transfer_is_an_orphan_unless_known_to_be_gone(
    journal: Journal,
) -> None:
    restarted, dropped, failed, gone, delivered = [begun(journal, name) for name in "abcde"]
    journal.write(transfers.restart, restarted.id, ".a.fresh")
    journal.write(transfers.restart, restarted.id, ".a.fresher")
    journal.write(transfers.drop, dropped.id, leaves_orphan=True)
    journal.write(
        transfers.finish,
        [TransferResult(failed.id, "failed", 3, "unreadable", 1.0, None, leaves_orphan=True)],
    )
    journal.write(transfers.drop, gone.id)
    journal.write(transfers.finish, [TransferResult(delivered.id, "delivered", 1, None, 1.0, "/nas/e")])
    journal.write(transfers.record_failure, a_file("f"), "/src", "/nas", 3, "unreadable", at=1.0)
    assert journal.write(orphans.at_destination, "/nas") == (
        ".a.fresh",
        ".a.partial",
        ".b.partial",
        ".c.partial",
    )
    assert journal.write(orphans.at_destination, "/elsewhere") == ()
    journal.write(orphans.forget, "/nas", ".a.partial")
    journal.write(orphans.forget, "/elsewhere", ".b.partial")
    assert journal.write(orphans.at_destination, "/nas") == (".a.fresh", ".b.partial", ".c.partial")


def test_the_partial_of_a_running_transfer_is_no_orphan_wherever_it_was_found(journal: Journal) -> None:
    transfer = begun(journal)
    for destination in ("/nas", "/the/same/under/another/name"):
        journal.write(orphans.add, destination, (transfer.partial, NOT_UTF8))
        journal.write(orphans.add, destination, (NOT_UTF8,))
        assert journal.write(orphans.at_destination, destination) == (NOT_UTF8,)
    journal.write(transfers.restart, transfer.id, transfer.partial)
    assert journal.write(orphans.at_destination, "/nas") == (NOT_UTF8,)


def test_the_partial_of_a_running_transfer_is_no_orphan_in_a_renamed_folder(journal: Journal) -> None:
    transfer = begun(journal, "day/clip.mxf")
    moved = "day_ok/" + transfer.partial.rpartition("/")[2]
    journal.write(orphans.add, "/nas", (moved,))
    assert journal.write(orphans.at_destination, "/nas") == ()
    journal.write(transfers.drop, transfer.id)
    journal.write(orphans.add, "/nas", (moved,))
    assert journal.write(orphans.at_destination, "/nas") == (moved,)


def test_a_partial_that_was_moved_goes_on_where_it_is_now(journal: Journal) -> None:
    transfer = begun(journal, "day/clip.mxf")
    journal.write(transfers.move, transfer.id, "day_ok/.clip.partial", "day_ok/clip.mxf")
    found = journal.write(transfers.find, transfer.route, ["day/clip.mxf"])["day/clip.mxf"]
    assert (found.partial, found.name) == ("day_ok/.clip.partial", "day_ok/clip.mxf")


def test_orphan_scans_are_remembered_for_each_installation(tmp_path: Path) -> None:
    journal = Journal.open(str(tmp_path))
    for _ in range(2):
        journal.write(orphans.mark_scan_done, "one", "/nas")
        journal.write(orphans.mark_scan_done, "two")
    journal.close()
    journal = Journal.open(str(tmp_path))
    places = [(identity, where) for identity in ("one", "two", "") for where in ("/nas", "/other")]
    searched = [place for place in places if journal.write(orphans.is_scan_done, *place)]
    assert searched == [("one", "/nas"), ("two", "/nas"), ("two", "/other")]
    journal.close()
