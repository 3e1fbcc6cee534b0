import pytest
from attrs import evolve

from agent.rules.lifecycle import Next, opening
from agent.terms import Step
from tests.rules.samples import NAS, a_file, a_transfer, but


def test_a_file_of_which_nothing_is_remembered_begins() -> None:
    assert opening(None, a_file(), NAS) is Next.BEGIN


@pytest.mark.parametrize(
    ("step", "expected"),
    [(Step.COPYING, Next.RESUME), (Step.INTENT, Next.PUBLISH), (Step.PUBLISHED, Next.SETTLE)],
)
def test_a_remembered_transfer_goes_on_where_it_was(step: Step, expected: Next) -> None:
    assert opening(a_transfer(step), a_file(), NAS) is expected


@pytest.mark.parametrize("step", list(Step))
def test_what_is_remembered_of_another_file_or_destination_is_of_no_use(step: Step) -> None:
    transfer = a_transfer(step)
    for changed in ("device", "inode"):
        state = but(transfer.signature, **{changed: 99})
        assert opening(transfer, evolve(a_file(), signature=state), NAS) is Next.START_OVER
    assert opening(transfer, a_file(), "/elsewhere") is Next.START_OVER


@pytest.mark.parametrize("changed", ["size_bytes", "mtime_ns", "ctime_ns"])
def test_a_half_done_copy_of_an_earlier_state_is_revised_and_a_whole_one_is_of_no_use(changed: str) -> None:
    state = but(a_transfer().signature, **{changed: 99})
    file = evolve(a_file(), signature=state)
    assert opening(a_transfer(Step.COPYING), file, NAS) is Next.REVISE
    for step in (Step.INTENT, Step.PUBLISHED):
        assert opening(a_transfer(step), file, NAS) is Next.START_OVER
