from attrs import evolve

from agent.journal import history, transfers
from agent.journal.journal import Journal
from agent.model.source_file import Signature
from agent.model.transfer import PriorResult, TransferPhase, TransferResult, VerifiedTransfer
from agent.model.views import HistoryQuery, HistoryRow
from tests.journal.journal_samples import HASH, NOT_UTF8, STATE, a_file, begun, digests, ended, find


def test_an_ended_transfer_moves_to_the_history_and_its_id_is_not_used_again(journal: Journal) -> None:
    transfer = begun(journal, NOT_UTF8)
    journal.write(transfers.checkpoint, transfer.id, 0, digests(1))
    journal.write(transfers.mark_verified, [VerifiedTransfer(transfer.id, NOT_UTF8, HASH, "read_back")])
    journal.write(
        transfers.finish, [TransferResult(transfer.id, "delivered", 2, None, 30.5, "/nas/" + NOT_UTF8)]
    )
    assert find(journal, NOT_UTF8) is None
    assert journal.read(history.page, HistoryQuery()).rows == (
        HistoryRow(
            transfer_id=transfer.id,
            route="mxf",
            path=NOT_UTF8,
            file_path="/src/" + NOT_UTF8,
            result="delivered",
            size_bytes=STATE.size_bytes,
            destination_path="/nas/" + NOT_UTF8,
            verified_level="read_back",
            hash=HASH,
            attempts=2,
            error=None,
            discovered_at=10.5,
            started_at=20.25,
            completed_at=30.5,
        ),
    )
    again = begun(journal, NOT_UTF8)
    assert again.id != transfer.id
    assert again.blocks == ()
    assert journal.write(history.prior_results, "mxf", (NOT_UTF8,)) == ()


def test_a_file_that_failed_before_it_began_is_in_the_history_and_not_tried_again(journal: Journal) -> None:
    journal.write(transfers.record_failure, a_file(), "/src", "/nas", 3, f"unreadable {NOT_UTF8}", at=40.0)
    shown = "unreadable caf\\udce9/-\n\\udcff.mxf"
    (row,) = journal.read(history.page, HistoryQuery()).rows
    assert (row.result, row.error, row.attempts, row.file_path) == ("failed", shown, 3, "/src/a.mxf")
    assert (row.started_at, row.completed_at, row.destination_path) == (40.0, 40.0, None)
    assert journal.write(history.prior_results, "mxf", ("a.mxf",)) == (
        PriorResult(
            route="mxf",
            path="a.mxf",
            signature=STATE,
            result="failed",
            error=shown,
            attempts=3,
            ended_at=40.0,
            destination_path=None,
            verified_level=None,
            hash=None,
        ),
    )
    assert find(journal, "a.mxf") is None


def test_a_failed_transfer_claims_nothing_about_the_destination(journal: Journal) -> None:
    ended(journal, "a.mxf", "failed")
    (row,) = journal.read(history.page, HistoryQuery()).rows
    assert (row.destination_path, row.verified_level, row.hash) == (None, None, None)


def test_only_the_newest_result_of_a_file_is_its_prior_result(journal: Journal) -> None:
    ended(journal, "failed then kept", "failed")
    ended(journal, "failed then kept", "kept")
    ended(journal, "failed then delivered", "failed")
    ended(journal, "failed then delivered", "delivered")
    ended(journal, "delivered then failed", "delivered")
    ended(journal, "delivered then failed", "failed")
    ended(journal, "failed then running", "failed")
    running = begun(journal, "failed then running")
    ended(journal, "on two routes", "failed", route="one")
    ended(journal, "on two routes", "delivered", route="two")
    names = ("failed then kept", "failed then delivered", "delivered then failed", "failed then running")
    paths = (*names, "on two routes", "never heard of")
    assert {(each.path, each.result) for each in journal.write(history.prior_results, "mxf", paths)} == {
        ("failed then kept", "kept"),
        ("delivered then failed", "failed"),
    }
    assert [len(journal.write(history.prior_results, route, paths)) for route in ("one", "two")] == [1, 0]
    (kept,) = journal.write(history.prior_results, "mxf", ("failed then kept",))
    assert (kept.destination_path, kept.verified_level, kept.hash) == (
        "/nas/failed then kept",
        "read_back",
        HASH,
    )
    journal.write(transfers.drop, running.id)
    assert "failed then running" in {each.path for each in journal.write(history.prior_results, "mxf", paths)}


def test_a_kept_file_is_remembered_as_it_is_now(journal: Journal) -> None:
    for path in ("a.mxf", "b.mxf"):
        ended(journal, path, "kept")
    now = Signature(9, 9, STATE.size_bytes, STATE.mtime_ns, 9)
    journal.write(history.remember_kept, evolve(a_file(), signature=now))
    kept = {
        each.path: each.signature for each in journal.write(history.prior_results, "mxf", ("a.mxf", "b.mxf"))
    }
    assert kept == {"a.mxf": now, "b.mxf": STATE}


def test_a_cleared_failure_is_tried_again_and_stays_in_the_history(journal: Journal) -> None:
    for path, result in (("a", "failed"), ("b", "failed"), ("c", "kept")):
        ended(journal, path, result)  # type: ignore[arg-type]
    journal.write(history.clear_failure, "mxf", "a")
    journal.write(history.clear_failure, "mxf", "c")
    journal.write(history.clear_failure, "mxf", "never heard of")
    assert [each.path for each in journal.write(history.prior_results, "mxf", ("a", "b", "c"))] == ["b", "c"]
    assert [row.path for row in journal.read(history.page, HistoryQuery()).rows] == ["c", "b", "a"]


def unremoved(journal: Journal) -> None:
    """A file that was delivered as a_1.mxf, and whose source could not be removed."""
    transfer = begun(journal)
    journal.write(transfers.mark_verified, [VerifiedTransfer(transfer.id, "a_1.mxf", HASH, "read_back")])
    why = "source: Read-only file system"
    journal.write(transfers.finish, [TransferResult(transfer.id, "kept", 1, why, 30.0, "/nas/a_1.mxf")])


def test_a_delivered_file_whose_source_could_not_be_removed_goes_on_at_its_removal(journal: Journal) -> None:
    unremoved(journal)
    journal.write(history.clear_failure, "mxf", "a.mxf")
    again = begun(journal)
    assert (again.phase, again.name, again.hash) == (TransferPhase.PUBLISHED, "a_1.mxf", HASH)
    assert (again.signature, again.level, again.already_present) == (STATE, "read_back", True)


def test_what_is_another_file_or_at_another_place_is_copied(journal: Journal) -> None:
    unremoved(journal)
    longer = evolve(a_file(), signature=Signature(1, 1, STATE.size_bytes + 1, STATE.mtime_ns, 1))
    for file, destination, is_afresh in (
        (longer, "/nas", False),
        (a_file(), "/nas 2", False),
        (a_file(), "/nas", True),
    ):
        found = journal.write(transfers.begin_or_resume, {"p": file}, "/src", destination, 20.0, is_afresh)
        copied = found["a.mxf"]
        assert (copied.phase, copied.name) == (TransferPhase.COPYING, None)
        journal.write(transfers.drop, copied.id)


def test_a_delivered_file_whose_removal_is_cancelled_stays_delivered(journal: Journal) -> None:
    unremoved(journal)
    journal.write(transfers.record_failure, a_file(), "/src", "/nas", 0, "cancelled", at=40.0)
    [prior] = journal.write(history.prior_results, "mxf", ("a.mxf",))
    assert (prior.result, prior.error, prior.destination_path) == ("kept", "cancelled", "/nas/a_1.mxf")


def test_history_pages_run_newest_first_without_gap_or_repetition(journal: Journal) -> None:
    for number in range(7):
        ended(journal, str(number), "delivered")
    seen: list[str] = []
    query = HistoryQuery(limit=3)
    for expected in (3, 3, 1):
        page = journal.read(history.page, query)
        assert len(page.rows) == expected
        assert (page.next_before_id is None) == (expected == 1)
        seen += [row.path for row in page.rows]
        query = evolve(query, before_id=page.next_before_id)
    assert seen == list("6543210")
    assert journal.read(history.page, HistoryQuery(limit=7)).next_before_id is None


def test_history_can_be_asked_for_a_route_and_a_time(journal: Journal) -> None:
    for number in range(4):
        ended(journal, str(number), "delivered", at=float(number), route="ab"[number % 2])
    for query, expected in (
        (HistoryQuery(since_at=1.0), "321"),
        (HistoryQuery(until_at=2.0), "10"),
        (HistoryQuery(since_at=1.0, until_at=3.0), "21"),
        (HistoryQuery(route="a"), "20"),
        (HistoryQuery(path="3"), "3"),
        (HistoryQuery(path="/src/1"), "1"),
        (HistoryQuery(path="none"), ""),
    ):
        assert [row.path for row in journal.read(history.page, query).rows] == list(expected)
