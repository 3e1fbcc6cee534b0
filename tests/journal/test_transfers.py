"""Running transfers in the journal."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from agent.journal import history, orphans, transfers
from agent.journal.journal import Journal
from agent.model.transfer import (
    PublishedTransfer,
    ResumePoint,
    Transfer,
    TransferPhase,
    TransferResult,
    VerifiedTransfer,
)
from agent.model.verification import BLOCK_BYTES
from agent.model.views import HistoryQuery
from tests.journal.journal_samples import HASH, NOT_UTF8, STATE, a_file, begin, begun, digests, ended, find
from tests.samples import but


def test_a_begun_transfer_is_found_with_all_its_values(journal: Journal) -> None:
    begun_transfer = begin(journal, a_file(NOT_UTF8), "/nas", ".p.partial")
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
    assert find(journal, NOT_UTF8) == begun_transfer
    assert find(journal, NOT_UTF8, "other") is None
    assert find(journal, "b.mxf") is None


def test_a_failure_that_needs_no_transfer_replaces_none(journal: Journal) -> None:
    first = begun(journal)
    with pytest.raises(ValueError, match=r"'a\.mxf' has a running transfer on route mxf"):
        journal.write(transfers.record_failure, a_file(), "/src", "/nas", 3, "unreadable", at=21.0)
    assert find(journal, "a.mxf") == first


def test_a_transfer_goes_through_its_steps_and_survives_reopening(tmp_path: Path) -> None:
    journal = Journal.open(str(tmp_path))
    transfer = begun(journal)
    grown = but(STATE, size_bytes=6_000)
    journal.write(transfers.checkpoint, transfer.id, 0, digests(1, 2))
    journal.write(transfers.update_signature, transfer.id, grown)
    journal.write(
        transfers.mark_verified, [VerifiedTransfer(transfer.id, "a.mxf", HASH, "read_back", "of the partial")]
    )
    meant = evolve(
        transfer,
        phase=TransferPhase.VERIFIED,
        signature=grown,
        name="a.mxf",
        hash=HASH,
        level="read_back",
        blocks=(digests(1), digests(2)),
        file_identity="of the partial",
    )
    journal.close()

    journal = Journal.open(str(tmp_path))
    assert find(journal, "a.mxf") == meant
    published = PublishedTransfer(transfer.id, "a_1.mxf", True, file_identity="under its name")
    journal.write(transfers.mark_published, [published])
    journal.close()

    journal = Journal.open(str(tmp_path))
    assert find(journal, "a.mxf") == evolve(
        meant,
        phase=TransferPhase.PUBLISHED,
        name="a_1.mxf",
        already_present=True,
        file_identity="under its name",
    )
    journal.close()


def test_what_is_published_is_known_by_route_and_path(journal: Journal) -> None:
    for number, (path, route) in enumerate([("a", "mxf"), ("b", "mxf"), ("c", "mov"), ("d", "mxf")]):
        transfer = begin(journal, evolve(a_file(path), route=route), "/nas", f".{path}.partial")
        if number < 3:
            journal.write(transfers.mark_published, [PublishedTransfer(transfer.id, path, False)])
    assert journal.write(transfers.partials_of_published, "mxf") == {"a": ".a.partial", "b": ".b.partial"}


def test_a_restart_forgets_all_but_the_file(journal: Journal) -> None:
    transfer = begun(journal)
    journal.write(transfers.checkpoint, transfer.id, 0, digests(1))
    journal.write(transfers.mark_verified, [VerifiedTransfer(transfer.id, "a.mxf", HASH, "hash")])
    journal.write(transfers.mark_published, [PublishedTransfer(transfer.id, "a.mxf", already_present=True)])
    journal.write(transfers.restart, transfer.id, ".fresh.partial")
    assert find(journal, "a.mxf") == evolve(transfer, partial=".fresh.partial")


def test_a_restart_leaves_an_orphan_unless_something_else_has_the_partials_name(journal: Journal) -> None:
    transfer = begun(journal)
    journal.write(transfers.restart, transfer.id, ".second.partial", False)
    assert journal.write(orphans.at_destination, "/nas") == ()
    journal.write(transfers.restart, transfer.id, ".third.partial")
    assert journal.write(orphans.at_destination, "/nas") == (".second.partial",)


@pytest.mark.parametrize("bad", [b"", b"\0" * 17, b"\0" * 15])
@pytest.mark.parametrize("first_block", [-1, 1])
def test_blocks_never_have_gaps(journal: Journal, bad: bytes, first_block: int) -> None:
    transfer = begun(journal)
    with pytest.raises(ValueError, match=r"whole digests|right before block"):
        journal.write(transfers.checkpoint, transfer.id, first_block, bad)
    assert find(journal, "a.mxf") == transfer


_ids = itertools.count()


RESTART = None
_checkpoints = st.tuples(st.integers(-1, 6), st.integers(0, 5))  # blocks back from the end, new blocks


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.one_of(_checkpoints, _checkpoints, st.just(RESTART)), max_size=15))
def test_blocks_equal_those_of_a_list(journal: Journal, steps: list[tuple[int, int] | None]) -> None:
    transfer = begun(journal, f"{next(_ids)}.mxf")  # the journal serves all examples
    model: list[bytes] = []
    with journal.transaction():
        for number, step in enumerate(steps):
            if step is RESTART:
                journal.write(transfers.restart, transfer.id, "p")
                model = []
                continue
            first = max(0, len(model) - step[0])
            new = [digests(number * 100 + each) for each in range(step[1])]
            if first > len(model):
                with pytest.raises(ValueError, match="right before"):
                    journal.write(transfers.checkpoint, transfer.id, first, b"".join(new))
            else:
                journal.write(transfers.checkpoint, transfer.id, first, b"".join(new))
                model[first:] = new
    found = find(journal, transfer.path)
    assert found is not None
    assert list(found.blocks) == model


def test_a_checkpoint_may_replace_a_part_of_an_earlier_one(journal: Journal) -> None:
    transfer = begun(journal)
    journal.write(transfers.checkpoint, transfer.id, 0, digests(1, 2, 3))
    journal.write(transfers.checkpoint, transfer.id, 3, digests(4, 5))
    journal.write(transfers.checkpoint, transfer.id, 1, digests(9))
    assert find(journal, "a.mxf") == evolve(transfer, blocks=(digests(1), digests(9)))


def test_one_block_may_be_given_another_digest_and_the_others_stay(journal: Journal) -> None:
    transfer = begun(journal)
    journal.write(transfers.checkpoint, transfer.id, 0, digests(0, 1))
    journal.write(transfers.checkpoint, transfer.id, 2, digests(2, 3))
    for block in (0, 3):
        journal.write(transfers.patch, transfer.id, block, digests(90 + block))
    found = find(journal, "a.mxf")
    assert found is not None
    assert b"".join(found.blocks) == digests(90, 1, 2, 93)
    with pytest.raises(ValueError, match="block 4 is not in the table"):
        journal.write(transfers.patch, transfer.id, 4, digests(4))


def test_operations_on_a_transfer_that_is_not_running_are_refused(journal: Journal) -> None:
    gone = ended(journal, "a.mxf", "delivered")
    operations: list[Callable[[], None]] = [
        lambda: journal.write(transfers.restart, gone, "p"),
        lambda: journal.write(transfers.update_signature, gone, STATE),
        lambda: journal.write(transfers.checkpoint, gone, 0, digests(1)),
        lambda: journal.write(transfers.mark_verified, [VerifiedTransfer(gone, "a", HASH, "hash")]),
        lambda: journal.write(
            transfers.mark_published, [PublishedTransfer(gone, "a", already_present=False)]
        ),
        lambda: journal.write(transfers.finish, [TransferResult(gone, "kept", 1, None, 1.0, None)]),
        lambda: journal.write(transfers.drop, gone),
    ]
    for operation in operations:
        with pytest.raises(LookupError, match=f"no running transfer has the id {gone}"):
            operation()


def test_a_dropped_transfer_leaves_no_trace(journal: Journal) -> None:
    transfer = begun(journal)
    journal.write(transfers.checkpoint, transfer.id, 0, digests(1))
    journal.write(transfers.drop, transfer.id)
    assert find(journal, "a.mxf") is None
    assert journal.read(history.page, HistoryQuery()).rows == ()
    assert journal.writer.scalar(text("SELECT count(*) FROM blocks")) == 0
    journal.writer.rollback()


def test_running_transfers_are_those_of_one_destination(journal: Journal) -> None:
    first, second = begun(journal, "a"), begun(journal, "b", route="other")
    begin(journal, a_file("c"), "/elsewhere")
    journal.write(transfers.checkpoint, first.id, 0, digests(1))
    assert journal.write(transfers.running, "/nas") == (first, second)


def test_resume_points_count_the_verified_bytes_of_each_transfer(journal: Journal) -> None:
    some, none = begun(journal), begun(journal, "b.mxf")
    journal.write(transfers.checkpoint, some.id, 0, digests(1, 2))
    journal.write(transfers.checkpoint, some.id, 2, digests(3))
    assert journal.write(transfers.resume_points) == (
        ResumePoint(some.route, some.path, some.signature, some.destination, 3 * BLOCK_BYTES),
        ResumePoint(none.route, none.path, none.signature, none.destination, 0),
    )
