"""A copy meets a fault: whether it is the destination's, the source's or its own, and what that costs."""

import pytest

from agent.actors.dispatcher.scheduler import Scheduler
from agent.actors.dispatcher.setbacks import FORGOTTEN_AFTER_S
from agent.actors.dispatcher.transitions import JobState
from agent.messages.broadcaster import CounterIncremented
from agent.messages.copier_pool import AbortTransfer, CancelCopies, Copy, RecoverDestination
from agent.messages.dispatcher import Cancel, Gone, Ready, SourceState
from agent.model.errors import Fault, FaultKind, OutageReason
from agent.model.transfer import Status
from tests.actors.dispatcher.schedulers import (
    FILE,
    OTHER,
    THIRD,
    changes_of,
    commands,
    copied,
    decide,
    done,
    failed,
    interrupted,
    opened,
    published_states,
)
from tests.samples import NAS, OUTAGE, SOURCE_FAULT, STALL, unusable, usable

DENIED = Fault.outage(OutageReason.DENIED, "destination: Permission denied (folder/a.mxf)")


def meet(scheduler: Scheduler, at_s: float, fault: Fault = DENIED, verified_bytes: int = 0) -> None:
    """The copy meets this fault, and a probe that begins later is good; the retry delay of 5 s passes."""
    assert scheduler.jobs[FILE.id].state is JobState.COPYING
    decide(scheduler, interrupted(fault, verified_bytes=verified_bytes), now_s=at_s)
    decide(scheduler, usable(began_s=at_s + 0.1), now_s=at_s + 0.2)
    decide(scheduler, None, now_s=at_s + 9.0)


def test_a_fault_of_the_destination_stops_nobody_until_a_probe_has_told_whose_it_is() -> None:
    scheduler = opened(FILE, OTHER, THIRD, workers=2)
    decisions = decide(scheduler, interrupted(DENIED), now_s=1.0)
    assert (decisions.commands, decisions.probe_requests) == ([], [(NAS, None)])
    assert published_states(decisions) == []
    [shown] = changes_of(decisions)
    assert (shown.status, shown.attempts, shown.error) == (Status.IN_QUEUE, 0, DENIED.detail)
    assert shown.why == "waits for a probe that tells whether the destination is at fault"
    assert commands(decide(scheduler, usable(began_s=0.9), now_s=1.1)) == []  # it began before the fault
    decisions = decide(scheduler, usable(began_s=1.0), now_s=1.2)
    assert copied(decisions) == [THIRD]
    [shown] = changes_of(decisions)
    assert (shown.why, shown.attempts) == ("interrupted; no attempt was counted", 0)
    assert decide(scheduler, done(OTHER), now_s=6.1).commands == []
    assert copied(decide(scheduler, None, now_s=6.2)) == [FILE]


@pytest.mark.parametrize("began_s", [0.5, 1.5])
def test_what_the_monitor_met_too_is_an_outage_and_nobodys_fault(began_s: float) -> None:
    scheduler = opened(FILE, OTHER, workers=2)
    for _ in range(5):
        assert scheduler.jobs[FILE.id].state is JobState.COPYING
        decide(scheduler, interrupted(DENIED), now_s=1.0)
        decisions = decide(scheduler, unusable(began_s=began_s), now_s=2.0)
        assert CounterIncremented("retry_outage", "mxf") in decisions.events
        assert CancelCopies() in commands(decisions)
        assert changes_of(decisions)[-1].status is Status.PAUSED
        decisions = decide(scheduler, interrupted(None, OTHER), usable(began_s=3.0), now_s=3.0)
        assert RecoverDestination(7) in commands(decisions)
        assert set(copied(decisions)) == {FILE, OTHER}
    assert scheduler.jobs[FILE.id].attempts == 0


def test_the_same_fault_again_after_a_good_probe_is_the_files_attempt() -> None:
    scheduler = opened(FILE)
    shown = []
    for number in range(3):
        meet(scheduler, at_s=10.0 * number)
        shown.append(scheduler.jobs[FILE.id].attempts)
    decide(scheduler, interrupted(DENIED), now_s=40.0)
    decisions = decide(scheduler, usable(began_s=41.0), now_s=41.0)
    assert shown == [0, 1, 2]
    assert commands(decisions) == [AbortTransfer(FILE, 3, DENIED.detail, 7)]
    assert changes_of(decisions)[-1].status is Status.FAILED


def test_another_fault_or_progress_or_a_good_while_between_costs_nothing() -> None:
    scheduler = opened(FILE)
    meet(scheduler, at_s=0.0)
    meet(scheduler, at_s=10.0, fault=OUTAGE)
    meet(scheduler, at_s=20.0, verified_bytes=1)
    meet(scheduler, at_s=FORGOTTEN_AFTER_S + 21.0, verified_bytes=1)
    assert scheduler.jobs[FILE.id].attempts == 0
    meet(scheduler, at_s=FORGOTTEN_AFTER_S + 31.0, verified_bytes=1)
    assert scheduler.jobs[FILE.id].attempts == 1


def test_what_came_before_an_outage_that_the_monitor_met_is_forgotten() -> None:
    scheduler = opened(FILE)
    meet(scheduler, at_s=0.0)
    decide(scheduler, interrupted(DENIED), unusable(began_s=11.0), now_s=11.0)
    decide(scheduler, usable(began_s=12.0), now_s=12.0)
    meet(scheduler, at_s=20.0)
    assert scheduler.jobs[FILE.id].attempts == 0


def test_progress_resets_the_attempts() -> None:
    scheduler = opened(FILE)
    for number in range(5):
        decide(scheduler, failed(verified_bytes=number), now_s=10.0 * number)
        assert scheduler.jobs[FILE.id].attempts == 1
        assert commands(decide(scheduler, None, now_s=10.0 * number + 5.0)) == [Copy(FILE, 2, 7)]


def test_a_stall_of_another_copy_ends_the_wait_for_a_probe() -> None:
    scheduler = opened(FILE, OTHER, workers=2)
    decide(scheduler, interrupted(DENIED), now_s=1.0)
    decisions = decide(scheduler, interrupted(STALL, OTHER), now_s=1.0)
    assert changes_of(decisions)[-1].why == f"outage: hung: {STALL.detail}"
    assert set(copied(decide(scheduler, usable(began_s=2.0), now_s=2.0))) == {FILE, OTHER}


def test_a_file_that_is_cancelled_or_gone_while_it_waits_for_a_probe_is_cleaned_up_at_once() -> None:
    for message, error in ((Cancel(FILE.id), "cancelled by the operator"), (Gone(FILE, 1.0, False), None)):
        scheduler = opened(FILE)
        decide(scheduler, interrupted(DENIED), now_s=1.0)
        assert commands(decide(scheduler, message, now_s=2.0)) == [AbortTransfer(FILE, 0, error, 7)]


def stalls(scheduler: Scheduler, *verified_bytes: int) -> list[int | None]:
    """One after the other, each time with another file delivered before; the attempts shown for each."""
    shown = []
    for begun_s, each in enumerate(verified_bytes, 10):
        decide(scheduler, Ready(OTHER, 1.0), usable(began_s=begun_s), done(OTHER), now_s=begun_s)
        decisions = decide(scheduler, interrupted(STALL, verified_bytes=each))
        shown += [event.attempts for event in changes_of(decisions)]
    return shown


def set_back() -> Scheduler:
    """A file that has stalled twice, so that others go before it."""
    scheduler = opened(FILE)
    decide(scheduler, interrupted(STALL), usable(began_s=1.0), interrupted(STALL))
    return scheduler


def test_a_file_that_stalls_again_and_again_while_others_are_delivered_is_charged_in_the_end() -> None:
    assert stalls(set_back(), 0, 0, 0) == [0, 0, 1]


def test_a_stall_after_progress_costs_nothing() -> None:
    scheduler = set_back()
    assert stalls(scheduler, 0, 0, 1) == [0, 0, 0]
    decide(scheduler, usable(began_s=20.0), interrupted(STALL, verified_bytes=1))
    assert stalls(scheduler, 1) == [0]


def test_a_destination_that_crawls_for_all_costs_nobody_an_attempt() -> None:
    scheduler = opened(FILE)
    for number in range(10):
        assert copied(decide(scheduler, interrupted(STALL), usable(began_s=number + 1.0))) == [FILE]
    assert scheduler.jobs[FILE.id].attempts == 0


def test_a_file_that_keeps_meeting_outages_lets_the_others_pass() -> None:
    scheduler = opened(FILE)
    decide(scheduler, Ready(OTHER, 1.0), Ready(THIRD, 1.0))
    assert copied(decide(scheduler, interrupted(STALL), usable(began_s=1.0))) == [
        FILE
    ]  # once may be bad luck
    assert copied(decide(scheduler, interrupted(STALL), usable(began_s=2.0), now_s=1.0)) == [OTHER]
    assert copied(decide(scheduler, done(OTHER))) == [THIRD]
    assert copied(decide(scheduler, done(THIRD))) == [FILE]
    decide(scheduler, Ready(OTHER, 1.0), interrupted(STALL, verified_bytes=1), now_s=3.0)
    assert copied(decide(scheduler, usable(began_s=4.0))) == [FILE]  # it got further


@pytest.mark.parametrize("kind", [FaultKind.SOURCE, FaultKind.SOURCE_GONE])
def test_a_fault_of_the_source_that_the_scan_met_too_costs_no_attempt(kind: FaultKind) -> None:
    scheduler = opened(FILE)
    for number in range(4):
        decide(scheduler, SourceState("mxf", "source: Input/output error", 1.0, 1.0), now_s=2.0 * number)
        decide(scheduler, failed(Fault(kind, "source: Input/output error")), now_s=2.0 * number)
        readable = SourceState("mxf", None, began_s=2.0 * number + 1.0, at=1.0)
        assert copied(decide(scheduler, readable, now_s=2.0 * number + 1.0)) == [FILE]
    assert scheduler.jobs[FILE.id].attempts == 0
    decide(scheduler, failed(SOURCE_FAULT), now_s=20.0)
    assert scheduler.jobs[FILE.id].attempts == 1
