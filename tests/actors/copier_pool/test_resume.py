import pytest
from attrs import evolve

from agent.actors.copier_pool.resume import ResumeAction, resume_action
from agent.model.transfer import TransferPhase
from tests.samples import NAS, a_file, a_transfer, but


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (TransferPhase.COPYING, ResumeAction.RESUME),
        (TransferPhase.VERIFIED, ResumeAction.PUBLISH),
        (TransferPhase.PUBLISHED, ResumeAction.REMOVE_SOURCE),
    ],
)
def test_a_remembered_transfer_goes_on_where_it_was(step: TransferPhase, expected: ResumeAction) -> None:
    assert resume_action(a_transfer(step), a_file(), NAS) is expected


@pytest.mark.parametrize("step", list(TransferPhase))
def test_what_is_remembered_of_another_file_or_destination_is_of_no_use(step: TransferPhase) -> None:
    transfer = a_transfer(step)
    for changed in ("device", "inode"):
        state = but(transfer.signature, **{changed: 99})
        assert resume_action(transfer, evolve(a_file(), signature=state), NAS) is ResumeAction.START_OVER
    assert resume_action(transfer, a_file(), "/elsewhere") is ResumeAction.START_OVER


@pytest.mark.parametrize("changed", ["size_bytes", "mtime_ns", "ctime_ns"])
def test_a_half_done_copy_of_an_earlier_state_is_revised_and_a_whole_one_is_of_no_use(changed: str) -> None:
    state = but(a_transfer().signature, **{changed: 99})
    file = evolve(a_file(), signature=state)
    assert resume_action(a_transfer(TransferPhase.COPYING), file, NAS) is ResumeAction.RECONCILE
    for step in (TransferPhase.VERIFIED, TransferPhase.PUBLISHED):
        assert resume_action(a_transfer(step), file, NAS) is ResumeAction.START_OVER
