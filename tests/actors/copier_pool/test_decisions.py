"""Which running transfer can go on, and what it asks a worker for."""

import pytest
from attrs import evolve

from agent.actors.copier_pool.decisions import can_resume, publish_request
from agent.model.transfer import Transfer, TransferPhase, VerifyLevel
from agent.protocol.requests import VerifyMode
from tests.actors.samples import PLACE, VERIFIED
from tests.samples import NAS, ROUTE, a_file, a_transfer, but


@pytest.mark.parametrize("phase", TransferPhase)
def test_a_transfer_of_this_very_state_goes_on_where_it_was(phase: TransferPhase) -> None:
    assert can_resume(a_transfer(phase), a_file(), NAS)


@pytest.mark.parametrize("phase", TransferPhase)
def test_a_transfer_of_another_file_or_to_another_destination_is_of_no_use(phase: TransferPhase) -> None:
    transfer = a_transfer(phase)
    assert not can_resume(transfer, a_file(), "/elsewhere")
    for changed in ("device", "inode"):
        signature = but(transfer.signature, **{changed: 99})
        assert not can_resume(transfer, evolve(a_file(), signature=signature), NAS)


@pytest.mark.parametrize("changed", ["size_bytes", "mtime_ns", "ctime_ns"])
def test_an_earlier_state_of_the_file_is_of_use_until_it_is_verified(changed: str) -> None:
    file = evolve(a_file(), signature=but(a_transfer().signature, **{changed: 99}))
    assert can_resume(a_transfer(TransferPhase.COPYING), file, NAS)
    for phase in (TransferPhase.VERIFIED, TransferPhase.PUBLISHED):
        assert not can_resume(a_transfer(phase), file, NAS)


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
