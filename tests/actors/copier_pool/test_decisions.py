"""Which running transfer can go on, and what it asks a worker for."""

from typing import Any

import pytest
from attrs import evolve

from agent.actors.copier_pool.decisions import (
    EXFAT_TIME_NS,
    is_as_journaled,
    is_kept_copy,
    may_be_resumed,
    publish_request,
)
from agent.model.source_file import Signature
from agent.model.transfer import Transfer, TransferPhase
from agent.model.verification import VerifyLevel
from agent.protocol.requests import VerifyMode
from tests.actors.samples import PLACE, VERIFIED
from tests.samples import NAS, ROUTE, STATE, a_file, a_transfer, but, kept_before

COPYING, VERIFIED_PHASE, PUBLISHED = TransferPhase
TOUCHED = but(STATE, ctime_ns=STATE.mtime_ns + 1)


AS_IT_WAS, COMPARED, OF_NO_USE = "as it was", "compared", "of no use"


def _resume(phase: TransferPhase, before: Signature, **changed: int) -> str:
    """How a transfer of that state goes on with the file as it is after the change."""
    transfer = evolve(a_transfer(phase), signature=before)
    file = evolve(a_file(), signature=but(before, **changed))
    if not may_be_resumed(transfer, file, NAS):
        return OF_NO_USE
    return AS_IT_WAS if is_as_journaled(transfer, file) else COMPARED


@pytest.mark.parametrize("phase", TransferPhase)
def test_a_transfer_of_this_very_state_goes_on_where_it_was(phase: TransferPhase) -> None:
    assert _resume(phase, TOUCHED) == AS_IT_WAS


@pytest.mark.parametrize("phase", TransferPhase)
def test_a_transfer_of_a_share_that_was_mounted_again_goes_on_where_it_was(phase: TransferPhase) -> None:
    assert _resume(phase, TOUCHED, device=99) == AS_IT_WAS


@pytest.mark.parametrize("phase", TransferPhase)
@pytest.mark.parametrize("later_ns", [0, -1])
def test_where_ctime_says_no_more_than_mtime_the_source_is_compared(
    phase: TransferPhase, later_ns: int
) -> None:
    assert _resume(phase, but(STATE, ctime_ns=STATE.mtime_ns + later_ns)) == COMPARED


@pytest.mark.parametrize("phase", TransferPhase)
def test_times_that_are_finer_than_those_of_a_card_prove_that_nothing_was_written(
    phase: TransferPhase,
) -> None:
    at_ns = EXFAT_TIME_NS + 1
    assert _resume(phase, but(STATE, mtime_ns=at_ns, ctime_ns=at_ns)) == AS_IT_WAS


@pytest.mark.parametrize("phase", TransferPhase)
@pytest.mark.parametrize("changed", ["inode", "ctime_ns"])
def test_a_file_with_other_attributes_is_compared(phase: TransferPhase, changed: str) -> None:
    assert _resume(phase, TOUCHED, **{changed: 99}) == COMPARED


@pytest.mark.parametrize("changed", ["size_bytes", "mtime_ns"])
def test_an_earlier_state_of_the_file_is_of_use_until_it_is_verified(changed: str) -> None:
    assert _resume(COPYING, TOUCHED, **{changed: 99}) == COMPARED
    for phase in (VERIFIED_PHASE, PUBLISHED):
        assert _resume(phase, TOUCHED, **{changed: 99}) == OF_NO_USE


@pytest.mark.parametrize("phase", TransferPhase)
def test_a_transfer_of_another_file_or_to_another_destination_is_of_no_use(phase: TransferPhase) -> None:
    assert not may_be_resumed(a_transfer(phase), a_file(), "/elsewhere")
    assert _resume(phase, TOUCHED, inode=99, mtime_ns=99) == OF_NO_USE


@pytest.mark.parametrize(
    ("changes", "is_copy"),
    [
        ({}, True),
        ({"hash": None}, False),
        ({"result": "failed"}, False),
        ({"error": "it was written to"}, False),
        ({"signature": but(STATE, inode=7, device=8, ctime_ns=9)}, True),
        ({"signature": but(STATE, size_bytes=7)}, False),
        ({"signature": but(STATE, mtime_ns=7)}, False),
    ],
)
def test_a_kept_file_is_known_by_size_and_mtime_and_then_by_its_hash(
    changes: dict[str, Any], *, is_copy: bool
) -> None:
    assert is_kept_copy(evolve(kept_before(a_file()), **changes), a_file()) is is_copy


@pytest.mark.parametrize(
    ("level", "verify", "read_back"),
    [("hash", "read_back", True), ("hash", "hash", False), ("read_back", "read_back", False)],
)
def test_a_file_is_read_back_under_its_name_only_if_its_partial_could_not_be(
    level: VerifyLevel, verify: VerifyMode, read_back: bool
) -> None:
    verified: Transfer = evolve(VERIFIED, level=level)
    [file] = publish_request(PLACE, evolve(ROUTE, verify=verify), [verified]).files
    assert file.read_back is read_back
