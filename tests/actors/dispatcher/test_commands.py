"""A command is answered with what it did, or why it did nothing."""

import pytest

from agent.actors.dispatcher.scheduler import Scheduler
from agent.messages.dispatcher import (
    Aborted,
    Cancel,
    Command,
    CommandResult,
    Gone,
    Growing,
    PauseRoute,
    Refusal,
    ResumeRoute,
    Retry,
    RetryAll,
)
from agent.model.errors import Fault, FaultKind
from agent.model.source_file import FileVersion
from tests.actors.dispatcher.schedulers import FILE, OTHER, decide, done, failed, opened
from tests.samples import a_file, unusable

CONFLICT = Fault(FaultKind.CONFLICT, "the name is taken")
LIVE = a_file("live.mxf")


def answer(scheduler: Scheduler, command: Command) -> CommandResult:
    return scheduler.execute(command, 0.0, 1000.0)


def refused(scheduler: Scheduler, command: Command) -> CommandResult:
    """The answer to a command that changes nothing."""
    scheduler.take()
    result = answer(scheduler, command)
    decisions = scheduler.take()
    assert (decisions.events, decisions.commands, decisions.probe_requests) == ([], [], [])
    return result


def with_a_failed_file() -> Scheduler:
    scheduler = opened(FILE, OTHER)
    decide(scheduler, failed(CONFLICT), Aborted(FILE, 1.0))
    return scheduler


@pytest.mark.parametrize("command", [PauseRoute("wav"), ResumeRoute("wav")])
def test_a_route_that_does_not_exist_can_be_neither_paused_nor_resumed(command: Command) -> None:
    assert refused(opened(), command) == CommandResult("no route is named 'wav'", Refusal.NOT_FOUND)


def test_a_pause_counts_the_copies_that_it_stops() -> None:
    scheduler = opened(FILE, OTHER, workers=2)
    assert answer(scheduler, PauseRoute("mxf")) == CommandResult(
        "route mxf is paused; running copies being stopped: 2"
    )


def test_a_resume_says_whether_the_route_was_paused() -> None:
    scheduler = opened()
    assert answer(scheduler, ResumeRoute("mxf")).detail == "route mxf was not paused"
    answer(scheduler, PauseRoute("mxf"))
    assert answer(scheduler, ResumeRoute("mxf")) == CommandResult("route mxf is resumed")


@pytest.mark.parametrize("command", [Retry("f0"), Cancel("f0")])
def test_a_file_that_is_not_tracked_can_be_neither_retried_nor_cancelled(command: Command) -> None:
    result = CommandResult("no tracked file has the id 'f0'", Refusal.NOT_FOUND)
    assert refused(opened(FILE), command) == result


def test_a_failed_file_is_queued_again() -> None:
    assert answer(with_a_failed_file(), Retry(FILE.id)) == CommandResult("a.mxf is queued again")


def test_a_file_whose_failed_transfer_is_being_cleaned_up_is_queued_afterwards() -> None:
    scheduler = opened(FILE)
    decide(scheduler, failed(CONFLICT))
    for _ in range(2):
        result = answer(scheduler, Retry(FILE.id))
        assert result == CommandResult("a.mxf is queued again once its last transfer is cleaned up")


@pytest.mark.parametrize(("file", "status"), [(FILE, "Copying"), (OTHER, "InQueue"), (LIVE, "Growing")])
def test_a_file_that_has_not_failed_is_not_retried(file: FileVersion, status: str) -> None:
    scheduler = opened(FILE, OTHER)
    decide(scheduler, Growing(LIVE, 1.0))
    assert refused(scheduler, Retry(file.id)) == CommandResult(
        f"{file.path} is {status}: only a Failed file can be retried, or one whose source was kept",
        Refusal.WRONG_STATE,
    )


def test_of_a_kept_file_the_removal_is_tried_again() -> None:
    for command, said in (
        (Retry(FILE.id), "a.mxf is delivered; the removal of its source is queued again"),
        (RetryAll(), "failed files queued again: 0; delivered files whose source is to be removed: 1"),
    ):
        scheduler = opened(FILE)
        decide(scheduler, done(kept_because="read-only"))
        assert answer(scheduler, command) == CommandResult(said)


def test_a_kept_file_is_delivered_and_can_not_be_cancelled() -> None:
    scheduler = opened(FILE)
    decide(scheduler, done(kept_because="read-only"))
    said = "a.mxf is Completed: there is nothing to cancel"
    assert refused(scheduler, Cancel(FILE.id)) == CommandResult(said, Refusal.WRONG_STATE)


def test_a_failed_file_that_has_gone_meanwhile_is_not_retried() -> None:
    scheduler = with_a_failed_file()
    decide(scheduler, Gone(FILE, 1.0, changed=False))
    assert refused(scheduler, Retry(FILE.id)).refusal is Refusal.NOT_FOUND


def test_a_failed_file_that_changes_during_its_cleanup_is_not_retried_in_its_old_state() -> None:
    scheduler = opened(FILE)
    decide(scheduler, failed(CONFLICT), Gone(FILE, 1.0, changed=True))
    assert refused(scheduler, Retry(FILE.id)).refusal is Refusal.NOT_FOUND


def test_a_retry_of_all_counts_those_that_it_retries() -> None:
    scheduler = with_a_failed_file()
    decide(scheduler, failed(CONFLICT, OTHER))
    assert answer(scheduler, RetryAll()) == CommandResult("failed files queued again: 2")
    assert answer(opened(FILE), RetryAll()).detail == "no file has failed: there is nothing to retry"


def test_a_cancelled_copy_is_being_stopped_and_a_waiting_file_is_cancelled_at_once() -> None:
    scheduler = opened(FILE, OTHER)
    assert answer(scheduler, Cancel(FILE.id)) == CommandResult("the copy of a.mxf is being stopped")
    assert answer(scheduler, Cancel(OTHER.id)) == CommandResult("b.mxf is cancelled")
    decide(scheduler, unusable())
    assert refused(scheduler, Cancel(OTHER.id)) == CommandResult(
        "b.mxf is Failed: there is nothing to cancel", Refusal.WRONG_STATE
    )


def test_a_growing_file_cannot_be_cancelled() -> None:
    scheduler = opened()
    decide(scheduler, Growing(LIVE, 1.0))
    assert refused(scheduler, Cancel(LIVE.id)) == CommandResult(
        "live.mxf is Growing: there is nothing to cancel", Refusal.WRONG_STATE
    )


def test_a_cancel_that_comes_after_the_delivery_finds_nothing() -> None:
    scheduler = opened(FILE)
    decide(scheduler, done())
    assert refused(scheduler, Cancel(FILE.id)).refusal is Refusal.NOT_FOUND
