import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from agent.journal.journal import Journal
from agent.model.transfer import BLOCK_BYTES, ResumePoint, Transfer, TransferPhase
from agent.model.views import HistoryQuery
from tests.journal.journal_samples import HASH, NOT_UTF8, STATE, a_file, begun, digests, ended
from tests.samples import but


def test_a_begun_transfer_is_found_with_all_that_was_said_about_it(journal: Journal) -> None:
    begun_transfer = journal.begin(a_file(NOT_UTF8), "/src", "/nas", ".p.partial", at=20.25)
    assert begun_transfer == Transfer(
        id=1,
        route="mxf",
        path=NOT_UTF8,
        signature=STATE,
        destination="/nas",
        phase=TransferPhase.COPYING,
        partial=".p.partial",
        name=None,
        blocks=(),
        hash=None,
        level=None,
        already_present=False,
        discovered_at=10.5,
        started_at=20.25,
    )
    assert journal.find("mxf", NOT_UTF8) == begun_transfer
    assert journal.find("other", NOT_UTF8) is None
    assert journal.find("mxf", "b.mxf") is None


def test_beginning_replaces_nothing(journal: Journal) -> None:
    first = begun(journal)
    with pytest.raises(ValueError, match=r"'a\.mxf' has a running transfer on route mxf"):
        journal.begin(a_file(signature=but(STATE, size_bytes=9)), "/src", "/nas", "x", at=21.0)
    with pytest.raises(ValueError, match="has a running transfer"):
        journal.record_failure(a_file(), "/src", "/nas", 3, "unreadable", at=21.0)
    assert journal.find("mxf", "a.mxf") == first


def test_a_transfer_goes_through_its_steps_and_survives_reopening(tmp_path: Path) -> None:
    journal = Journal.open(str(tmp_path))
    transfer = begun(journal)
    grown = but(STATE, size_bytes=6_000)
    journal.checkpoint(transfer.id, 0, digests(1, 2))
    journal.rebase(transfer.id, grown)
    journal.mark_verified(transfer.id, "a.mxf", HASH, "read_back")
    meant = evolve(
        transfer,
        phase=TransferPhase.VERIFIED,
        signature=grown,
        name="a.mxf",
        hash=HASH,
        level="read_back",
        blocks=(digests(1), digests(2)),
    )
    journal.close()

    journal = Journal.open(str(tmp_path))
    assert journal.find("mxf", "a.mxf") == meant
    journal.mark_published(transfer.id, "a_1.mxf", already_present=True)
    journal.close()

    journal = Journal.open(str(tmp_path))
    assert journal.find("mxf", "a.mxf") == evolve(
        meant, phase=TransferPhase.PUBLISHED, name="a_1.mxf", already_present=True
    )
    journal.close()


def test_a_restart_forgets_all_but_the_file(journal: Journal) -> None:
    transfer = begun(journal)
    journal.checkpoint(transfer.id, 0, digests(1))
    journal.mark_verified(transfer.id, "a.mxf", HASH, "hash")
    journal.mark_published(transfer.id, "a.mxf", already_present=True)
    journal.restart(transfer.id, ".fresh.partial")
    assert journal.find("mxf", "a.mxf") == evolve(transfer, partial=".fresh.partial")


@pytest.mark.parametrize("bad", [b"", b"\0" * 17, b"\0" * 15])
@pytest.mark.parametrize("first_block", [-1, 1])
def test_blocks_never_have_gaps(journal: Journal, bad: bytes, first_block: int) -> None:
    transfer = begun(journal)
    with pytest.raises(ValueError, match=r"whole digests|right before block"):
        journal.checkpoint(transfer.id, first_block, bad)
    assert journal.find("mxf", "a.mxf") == transfer


_ids = itertools.count()


RESTART = None
_checkpoints = st.tuples(st.integers(-1, 6), st.integers(0, 5))  # blocks back from the end, new blocks


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.one_of(_checkpoints, _checkpoints, st.just(RESTART)), max_size=15))
def test_blocks_equal_those_of_a_list(journal: Journal, steps: list[tuple[int, int] | None]) -> None:
    transfer = begun(journal, f"{next(_ids)}.mxf")  # the journal serves all examples
    model: list[bytes] = []
    with journal.together():
        for number, step in enumerate(steps):
            if step is RESTART:
                journal.restart(transfer.id, "p")
                model = []
                continue
            first = max(0, len(model) - step[0])
            new = [digests(number * 100 + each) for each in range(step[1])]
            if first > len(model):
                with pytest.raises(ValueError, match="right before"):
                    journal.checkpoint(transfer.id, first, b"".join(new))
            else:
                journal.checkpoint(transfer.id, first, b"".join(new))
                model[first:] = new
    found = journal.find("mxf", transfer.path)
    assert found is not None
    assert list(found.blocks) == model


def test_a_checkpoint_may_replace_a_part_of_an_earlier_one(journal: Journal) -> None:
    transfer = begun(journal)
    journal.checkpoint(transfer.id, 0, digests(1, 2, 3))
    journal.checkpoint(transfer.id, 3, digests(4, 5))
    journal.checkpoint(transfer.id, 1, digests(9))
    assert journal.find("mxf", "a.mxf") == evolve(transfer, blocks=(digests(1), digests(9)))


def test_one_block_may_be_given_another_digest_and_the_others_stay(journal: Journal) -> None:
    transfer = begun(journal)
    journal.checkpoint(transfer.id, 0, digests(0, 1))
    journal.checkpoint(transfer.id, 2, digests(2, 3))
    for block in (0, 3):
        journal.patch(transfer.id, block, digests(90 + block))
    found = journal.find("mxf", "a.mxf")
    assert found is not None
    assert b"".join(found.blocks) == digests(90, 1, 2, 93)
    with pytest.raises(ValueError, match="block 4 is not in the table"):
        journal.patch(transfer.id, 4, digests(4))


def test_operations_on_a_transfer_that_is_not_running_are_refused(journal: Journal) -> None:
    gone = ended(journal, "a.mxf", "delivered")
    operations: list[Callable[[], None]] = [
        lambda: journal.restart(gone, "p"),
        lambda: journal.rebase(gone, STATE),
        lambda: journal.checkpoint(gone, 0, digests(1)),
        lambda: journal.mark_verified(gone, "a", HASH, "hash"),
        lambda: journal.mark_published(gone, "a", already_present=False),
        lambda: journal.finish(gone, "kept", 1, None, 1.0, None),
        lambda: journal.drop(gone),
    ]
    for operation in operations:
        with pytest.raises(LookupError, match=f"no running transfer has the id {gone}"):
            operation()


def test_a_dropped_transfer_leaves_no_trace(journal: Journal) -> None:
    transfer = begun(journal)
    journal.checkpoint(transfer.id, 0, digests(1))
    journal.drop(transfer.id)
    assert journal.find("mxf", "a.mxf") is None
    assert journal.history(HistoryQuery()).rows == ()
    assert journal._db.writer.scalar(text("SELECT count(*) FROM blocks")) == 0
    journal._db.writer.rollback()


def test_what_loses_its_transfer_is_a_leftover_unless_it_is_known_to_be_gone(journal: Journal) -> None:
    restarted, dropped, failed, gone, delivered = [begun(journal, name) for name in "abcde"]
    journal.restart(restarted.id, ".a.fresh")
    journal.restart(restarted.id, ".a.fresher")
    journal.drop(dropped.id, leftover=True)
    journal.finish(failed.id, "failed", 3, "unreadable", 1.0, None, leftover=True)
    journal.drop(gone.id)
    journal.finish(delivered.id, "delivered", 1, None, 1.0, "/nas/e")
    journal.record_failure(a_file("f"), "/src", "/nas", 3, "unreadable", at=1.0)
    assert journal.orphans("/nas") == (".a.fresh", ".a.partial", ".b.partial", ".c.partial")
    assert journal.orphans("/elsewhere") == ()
    journal.forget_orphan("/nas", ".a.partial")
    journal.forget_orphan("/elsewhere", ".b.partial")
    assert journal.orphans("/nas") == (".a.fresh", ".b.partial", ".c.partial")


def test_what_a_running_transfer_has_is_no_leftover_wherever_it_was_found(journal: Journal) -> None:
    transfer = begun(journal)
    for destination in ("/nas", "/the/same/under/another/name"):
        journal.add_orphans(destination, (transfer.partial, NOT_UTF8))
        journal.add_orphans(destination, (NOT_UTF8,))
        assert journal.orphans(destination) == (NOT_UTF8,)
    journal.restart(transfer.id, transfer.partial)
    assert journal.orphans("/nas") == (NOT_UTF8,)


def test_what_was_searched_is_remembered_for_each_installation(tmp_path: Path) -> None:
    journal = Journal.open(str(tmp_path))
    for _ in range(2):
        journal.mark_orphan_scan_done("one", "/nas")
        journal.mark_orphan_scan_done("two")
    journal.close()
    journal = Journal.open(str(tmp_path))
    places = [(identity, where) for identity in ("one", "two", "") for where in ("/nas", "/other")]
    searched = [place for place in places if journal.is_orphan_scan_done(*place)]
    assert searched == [("one", "/nas"), ("two", "/nas"), ("two", "/other")]
    journal.close()


def test_the_sweep_sees_the_running_transfers_of_its_destination(journal: Journal) -> None:
    first, second = begun(journal, "a"), begun(journal, "b", route="other")
    journal.begin(a_file("c"), "/src", "/elsewhere", "p", at=1.0)
    journal.checkpoint(first.id, 0, digests(1))
    assert journal.running("/nas") == (first, second)


def test_how_much_of_each_interrupted_transfer_stands_verified_is_known(journal: Journal) -> None:
    some, none = begun(journal), begun(journal, "b.mxf")
    journal.checkpoint(some.id, 0, digests(1, 2))
    journal.checkpoint(some.id, 2, digests(3))
    assert journal.resume_points() == (
        ResumePoint(some.route, some.path, some.signature, some.destination, 3 * BLOCK_BYTES),
        ResumePoint(none.route, none.path, none.signature, none.destination, 0),
    )


def test_paused_routes_are_remembered(tmp_path: Path) -> None:
    journal = Journal.open(str(tmp_path))
    for route, paused in (("a", True), ("a", True), ("b", True), ("b", False), ("c", False)):
        journal.set_paused(route, paused)
    journal.close()
    journal = Journal.open(str(tmp_path))
    assert journal.paused() == {"a"}
    journal.close()
