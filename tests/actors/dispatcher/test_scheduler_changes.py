"""Commands of the operator, files that leave or change, and prior results."""

import pytest
from attrs import evolve

from agent.actors.dispatcher.decisions import SchedulerDecisions
from agent.actors.dispatcher.job import shown_ready
from agent.actors.dispatcher.scheduler import Scheduler
from agent.messages.broadcaster import RouteState, StatusChanged, Untracked
from agent.messages.copier_pool import AbortTransfer, CancelCopies, Copy, RecoverDestination
from agent.messages.dispatcher import Aborted, Cancel, Gone, PauseRoute, Ready, ResumeRoute, Retry, RetryAll
from agent.model.errors import Fault, FaultKind
from agent.model.transfer import Delivery, Status
from tests.actors.dispatcher.schedulers import (
    FILE,
    ONE,
    OTHER,
    changes_of,
    commands,
    copied,
    decide,
    done,
    failed,
    interrupted,
    opened,
)
from tests.samples import (
    HASH,
    NAS,
    STALL,
    a_config,
    a_file,
    but,
    failed_before,
    kept_before,
    unusable,
    usable,
)


def test_a_paused_route_stops_its_copies_and_the_others_go_on() -> None:
    urgent = a_file(route="urgent")
    scheduler = opened(FILE, OTHER, urgent, workers=2)
    decisions = decide(scheduler, PauseRoute("mxf"))
    assert decisions.events == [RouteState("mxf", paused=True)]
    assert commands(decisions) == [CancelCopies((FILE.id, OTHER.id))]
    decisions = decide(scheduler, interrupted(None))
    assert copied(decisions) == [urgent]
    assert [event.why for event in changes_of(decisions)] == ["paused by the operator"]
    decide(scheduler, interrupted(None, OTHER))
    decisions = decide(scheduler, ResumeRoute("mxf"))
    assert decisions.events[0] == RouteState("mxf", paused=False)
    assert copied(decisions) == [FILE]


def test_a_cancelled_copy_is_stopped_and_aborted_as_failed() -> None:
    scheduler = opened(FILE)
    assert commands(decide(scheduler, Cancel(FILE.id))) == [CancelCopies((FILE.id,))]
    decisions = decide(scheduler, interrupted(None))
    assert commands(decisions) == [AbortTransfer(FILE, 0, "cancelled by the operator", 7)]
    assert [(event.status, event.error) for event in changes_of(decisions)] == [
        (Status.FAILED, "cancelled by the operator")
    ]


def test_a_cancelled_copy_that_fails_or_arrives_first_has_that_end() -> None:
    scheduler = opened(FILE)
    decide(scheduler, Cancel(FILE.id))
    assert changes_of(decide(scheduler, failed()))[0].error == "cancelled by the operator"
    scheduler = opened(FILE)
    decide(scheduler, Cancel(FILE.id))
    assert [event.status for event in changes_of(decide(scheduler, done()))] == [Status.COMPLETED]


def test_a_waiting_file_can_be_cancelled_and_an_unknown_one_does_no_harm() -> None:
    scheduler = opened(FILE, OTHER)
    assert changes_of(decide(scheduler, Cancel(OTHER.id)), OTHER)[0].status is Status.FAILED
    assert decide(scheduler, Cancel("unknown")) == SchedulerDecisions()
    assert decide(scheduler, Cancel(OTHER.id)) == SchedulerDecisions()  # it is being aborted already
    assert commands(decide(scheduler, done())) == [AbortTransfer(OTHER, 0, "cancelled by the operator", 7)]


def test_a_failed_file_is_tried_afresh_when_someone_asks() -> None:
    scheduler = opened(FILE, OTHER)
    conflict = Fault(FaultKind.CONFLICT, "the name is taken")
    decide(scheduler, failed(conflict), Aborted(FILE, 1.0), failed(conflict, OTHER), Aborted(OTHER, 1.0))
    assert commands(decide(scheduler, Retry(OTHER.id))) == [Copy(OTHER, 1, 7)]
    assert commands(decide(scheduler, RetryAll(), done(OTHER))) == [Copy(FILE, 1, 7)]


def test_a_retry_that_comes_while_the_failure_is_aborted_is_kept_in_mind() -> None:
    scheduler = opened(FILE)
    decide(scheduler, failed(Fault(FaultKind.CONFLICT, "the name is taken")), Retry(FILE.id))
    assert commands(decide(scheduler, Aborted(FILE, 1.0))) == [Copy(FILE, 1, 7)]


def test_a_waiting_file_that_left_the_source_is_never_ordered() -> None:
    scheduler = opened(FILE, OTHER)
    assert decide(scheduler, Gone(OTHER, 1.0, changed=False)).events == [Untracked((OTHER.id,))]
    assert commands(decide(scheduler, done())) == []


def test_a_waiting_file_that_changed_is_copied_once_in_its_new_state() -> None:
    scheduler = opened(FILE, OTHER)
    again = a_file("b.mxf", version=2)
    assert decide(scheduler, Gone(OTHER, 1.0, changed=True)).events == []
    decide(scheduler, Ready(again, 1.0))
    assert commands(decide(scheduler, done())) == [Copy(again, 1, 7)]
    assert commands(decide(scheduler, done(again))) == []


def test_a_blocked_file_that_left_the_source_is_never_copied() -> None:
    scheduler = opened(FILE, free_bytes=0)
    decide(scheduler, Gone(FILE, 1.0, changed=False))
    assert commands(decide(scheduler, usable(free_bytes=1000))) == []


def test_a_running_copy_of_a_file_that_changed_gives_way_to_the_new_state() -> None:
    scheduler = opened(FILE)
    again = a_file(version=2)
    decisions = decide(scheduler, Gone(FILE, 1.0, changed=True), Ready(again, 1.0))
    assert decisions == SchedulerDecisions([shown_ready(Ready(again, 1.0))])
    assert commands(decide(scheduler, failed())) == [AbortTransfer(FILE, 0, None, 7)]
    assert commands(decide(scheduler, Aborted(FILE, 1.0))) == [Copy(again, 1, 7)]


def test_a_running_copy_of_a_file_that_vanished_decides_what_is_published() -> None:
    gone = Gone(FILE, 1.0, changed=False)
    assert decide(opened(FILE), gone).commands == []
    assert changes_of(decide(opened(FILE), gone, done()))[0].status is Status.COMPLETED
    assert decide(opened(FILE), gone, failed()).events == [Untracked((FILE.id,))]


def test_a_file_that_vanished_and_is_ready_again_is_not_forgotten() -> None:
    scheduler = opened(FILE)
    again = a_file(version=2)
    decisions = decide(scheduler, Gone(FILE, 1.0, changed=False), Ready(again, 1.0), failed())
    assert Untracked((FILE.id,)) not in decisions.events


def test_a_file_that_vanished_while_it_waited_to_resume_is_aborted() -> None:
    scheduler = opened(FILE)
    decisions = decide(scheduler, interrupted(STALL), Gone(FILE, 1.0, changed=False))
    assert decisions.events == [Untracked((FILE.id,))]
    assert commands(decide(scheduler, usable(began_s=1.0))) == [
        RecoverDestination(7),
        AbortTransfer(FILE, 0, None, 7),
    ]
    assert commands(decide(scheduler, unusable())) == [CancelCopies()]
    assert commands(decide(scheduler, interrupted(None), usable(began_s=2.0))) == [
        RecoverDestination(7),
        AbortTransfer(FILE, 0, None, 7),
    ]


def test_a_failed_file_that_vanished_is_forgotten() -> None:
    scheduler = opened(FILE)
    decide(scheduler, failed(Fault(FaultKind.CONFLICT, "the name is taken")))
    assert decide(scheduler, Gone(FILE, 1.0, changed=False)).events == [Untracked((FILE.id,))]
    assert decide(scheduler, Aborted(FILE, 1.0), Retry(FILE.id)) == SchedulerDecisions()


def test_a_file_that_was_kept_before_is_not_copied_again() -> None:
    scheduler = Scheduler.start(a_config(ONE), ())
    decisions = decide(scheduler, usable(), Ready(FILE, 1.0, kept_before(FILE)))
    delivery = Delivery(f"{NAS}/a.mxf", "read_back", HASH, 100, already_present=False, kept=True)
    assert changes_of(decisions)[1:] == [
        StatusChanged(FILE.id, Status.COMPLETED, 500.0, FILE, "delivered before and kept", delivery=delivery)
    ]
    decisions = decide(scheduler, Ready(OTHER, 1.0, kept_before(OTHER, None)))
    assert [event.delivery for event in changes_of(decisions, OTHER)] == [None, None]


def test_what_was_given_up_before_waits_until_someone_asks() -> None:
    scheduler = Scheduler.start(a_config(ONE), ())
    decisions = decide(scheduler, usable(), Ready(FILE, 1.0, failed_before(FILE)))
    assert commands(decisions) == []
    assert [(event.status, event.attempts, event.error) for event in changes_of(decisions)] == [
        (Status.READY, None, None),
        (Status.FAILED, 3, "unreadable"),
    ]
    assert commands(decide(scheduler, Retry(FILE.id))) == [Copy(FILE, 1, 7)]


WHY = "source: Read-only file system"


def test_a_source_that_could_not_be_removed_stays_until_someone_asks_also_after_a_restart() -> None:
    before = opened(FILE)
    after = Scheduler.start(a_config(ONE), ())
    prior = evolve(kept_before(FILE), error=WHY)
    for scheduler, decisions in (
        (before, decide(before, done(kept_because=WHY))),
        (after, decide(after, usable(), Ready(FILE, 1.0, prior))),
    ):
        assert commands(decisions) == []
        shown = changes_of(decisions)[-1]
        assert (shown.status, shown.error) == (Status.COMPLETED, None)
        assert shown.delivery is not None
        assert shown.delivery.kept_because == WHY
        assert commands(decide(scheduler, RetryAll())) == [Copy(FILE, 1, 7)]
        assert changes_of(decide(scheduler, done()))[0].status is Status.COMPLETED
        assert scheduler.jobs == {}


def test_the_removal_of_a_kept_source_needs_no_space() -> None:
    scheduler = Scheduler.start(a_config(ONE), ())
    prior = evolve(kept_before(FILE), error=WHY)
    decide(scheduler, usable(free_bytes=0), Ready(FILE, 1.0, prior))
    assert commands(decide(scheduler, Retry(FILE.id))) == [Copy(FILE, 1, 7)]


@pytest.mark.parametrize("changed", [True, False])
def test_a_kept_source_that_changed_or_is_gone_needs_no_cleanup(changed: bool) -> None:
    scheduler = opened(FILE)
    decide(scheduler, done(kept_because=WHY))
    decisions = decide(scheduler, Gone(FILE, 1.0, changed=changed))
    assert (commands(decisions), scheduler.jobs) == ([], {})
    assert decisions.events == ([] if changed else [Untracked((FILE.id,))])


def test_a_kept_source_that_changed_while_it_was_copied_is_copied_again() -> None:
    scheduler = opened(FILE)
    again = a_file(version=2)
    decide(scheduler, Gone(FILE, 1.0, changed=True), Ready(again, 1.0))
    decisions = decide(scheduler, done(kept_because=WHY))
    [delivered] = [each for each in changes_of(decisions) if each.delivery]
    assert delivered.delivery is not None
    assert delivered.delivery.kept_because is None  # of that state nothing is left to be removed
    assert commands(decisions) == [Copy(again, 1, 7)]


def test_what_is_remembered_of_a_share_that_was_mounted_again_counts() -> None:
    again = evolve(FILE, signature=but(FILE.signature, device=99))
    for prior in (kept_before(FILE), failed_before(FILE)):
        scheduler = Scheduler.start(a_config(ONE), ())
        assert copied(decide(scheduler, usable(), Ready(again, 1.0, prior))) == []


def test_what_is_remembered_of_another_state_counts_for_nothing() -> None:
    changed = a_file(version=2)
    for prior in (kept_before(FILE), failed_before(FILE)):
        scheduler = Scheduler.start(a_config(ONE), ())
        assert copied(decide(scheduler, usable(), Ready(changed, 1.0, prior))) == [changed]
