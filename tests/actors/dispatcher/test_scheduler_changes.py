"""The operator's word, files that leave or change, and what earlier runs remember."""

from attrs import evolve

from agent.actors.dispatcher.decisions import SchedulerDecisions
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
    copied,
    done,
    failed,
    interrupted,
    moved,
    opened,
    orders,
    tell,
)
from tests.samples import HASH, NAS, a_config, a_file, failed_before, kept_before, unusable, usable


def test_a_paused_route_halts_its_copies_and_the_others_go_on() -> None:
    urgent = a_file(route="urgent")
    scheduler = opened(FILE, OTHER, urgent, workers=2)
    effects = tell(scheduler, PauseRoute("mxf"))
    assert effects.events == [RouteState("mxf", paused=True)]
    assert orders(effects) == [CancelCopies((FILE.id, OTHER.id))]
    effects = tell(scheduler, interrupted(None))
    assert copied(effects) == [urgent]
    assert [fact.why for fact in moved(effects)] == ["paused by the operator"]
    tell(scheduler, interrupted(None, OTHER))
    effects = tell(scheduler, ResumeRoute("mxf"))
    assert effects.events[0] == RouteState("mxf", paused=False)
    assert copied(effects) == [FILE]


def test_a_cancelled_copy_is_halted_and_put_away_as_failed() -> None:
    scheduler = opened(FILE)
    assert orders(tell(scheduler, Cancel(FILE.id))) == [CancelCopies((FILE.id,))]
    effects = tell(scheduler, interrupted(None))
    assert orders(effects) == [AbortTransfer(FILE, 0, "cancelled by the operator", 7)]
    assert [(fact.status, fact.error) for fact in moved(effects)] == [
        (Status.FAILED, "cancelled by the operator")
    ]


def test_a_cancelled_copy_that_fails_or_arrives_first_has_that_end() -> None:
    scheduler = opened(FILE)
    tell(scheduler, Cancel(FILE.id))
    assert moved(tell(scheduler, failed()))[0].error == "cancelled by the operator"
    scheduler = opened(FILE)
    tell(scheduler, Cancel(FILE.id))
    assert [fact.status for fact in moved(tell(scheduler, done()))] == [Status.COMPLETED]


def test_a_waiting_file_can_be_cancelled_and_an_unknown_one_does_no_harm() -> None:
    scheduler = opened(FILE, OTHER)
    assert moved(tell(scheduler, Cancel(OTHER.id)), OTHER)[0].status is Status.FAILED
    assert tell(scheduler, Cancel("unknown")) == SchedulerDecisions()
    assert tell(scheduler, Cancel(OTHER.id)) == SchedulerDecisions()  # it is leaving already
    assert orders(tell(scheduler, done())) == [AbortTransfer(OTHER, 0, "cancelled by the operator", 7)]


def test_a_failed_file_is_tried_afresh_when_someone_asks() -> None:
    scheduler = opened(FILE, OTHER)
    conflict = Fault(FaultKind.CONFLICT, "the name is taken")
    tell(scheduler, failed(conflict), Aborted(FILE, 1.0), failed(conflict, OTHER), Aborted(OTHER, 1.0))
    assert orders(tell(scheduler, Retry(OTHER.id))) == [Copy(OTHER, 1, 7)]
    assert orders(tell(scheduler, RetryAll(), done(OTHER))) == [Copy(FILE, 1, 7)]


def test_a_retry_that_comes_while_the_failure_is_put_away_is_kept_in_mind() -> None:
    scheduler = opened(FILE)
    tell(scheduler, failed(Fault(FaultKind.CONFLICT, "the name is taken")), Retry(FILE.id))
    assert orders(tell(scheduler, Aborted(FILE, 1.0))) == [Copy(FILE, 1, 7)]


def test_a_waiting_file_that_left_the_source_is_never_ordered() -> None:
    scheduler = opened(FILE, OTHER)
    assert tell(scheduler, Gone(OTHER, 1.0, changed=False)).events == [Untracked((OTHER.id,))]
    assert orders(tell(scheduler, done())) == []


def test_a_waiting_file_that_changed_is_ordered_once_in_its_new_state() -> None:
    scheduler = opened(FILE, OTHER)
    again = a_file("b.mxf", version=2)
    assert tell(scheduler, Gone(OTHER, 1.0, changed=True)).events == []
    tell(scheduler, Ready(again, 1.0))
    assert orders(tell(scheduler, done())) == [Copy(again, 1, 7)]
    assert orders(tell(scheduler, done(again))) == []


def test_a_parked_file_that_left_the_source_is_never_ordered() -> None:
    scheduler = opened(FILE, free_bytes=0)
    tell(scheduler, Gone(FILE, 1.0, changed=False))
    assert orders(tell(scheduler, usable(free_bytes=1000))) == []


def test_a_running_copy_of_a_file_that_changed_gives_way_to_the_new_state() -> None:
    scheduler = opened(FILE)
    again = a_file(version=2)
    assert tell(scheduler, Gone(FILE, 1.0, changed=True), Ready(again, 1.0)) == SchedulerDecisions()
    assert orders(tell(scheduler, failed())) == [AbortTransfer(FILE, 0, None, 7)]
    assert orders(tell(scheduler, Aborted(FILE, 1.0))) == [Copy(again, 1, 7)]


def test_a_running_copy_of_a_file_that_vanished_decides_what_visitors_hear() -> None:
    gone = Gone(FILE, 1.0, changed=False)
    assert tell(opened(FILE), gone).commands == []
    assert moved(tell(opened(FILE), gone, done()))[0].status is Status.COMPLETED
    assert tell(opened(FILE), gone, failed()).events == [Untracked((FILE.id,))]


def test_a_file_that_vanished_and_is_ready_again_is_not_forgotten() -> None:
    scheduler = opened(FILE)
    again = a_file(version=2)
    effects = tell(scheduler, Gone(FILE, 1.0, changed=False), Ready(again, 1.0), failed())
    assert Untracked((FILE.id,)) not in effects.events


def test_a_file_that_vanished_while_it_waited_to_resume_is_put_away() -> None:
    scheduler = opened(FILE)
    effects = tell(scheduler, interrupted(), Gone(FILE, 1.0, changed=False))
    assert effects.events == [Untracked((FILE.id,))]
    assert orders(tell(scheduler, usable(began_s=1.0))) == [
        RecoverDestination(7),
        AbortTransfer(FILE, 0, None, 7),
    ]
    assert orders(tell(scheduler, unusable())) == [CancelCopies()]
    assert orders(tell(scheduler, interrupted(None), usable(began_s=2.0))) == [
        RecoverDestination(7),
        AbortTransfer(FILE, 0, None, 7),
    ]


def test_a_failed_file_that_vanished_is_forgotten() -> None:
    scheduler = opened(FILE)
    tell(scheduler, failed(Fault(FaultKind.CONFLICT, "the name is taken")))
    assert tell(scheduler, Gone(FILE, 1.0, changed=False)).events == [Untracked((FILE.id,))]
    assert tell(scheduler, Aborted(FILE, 1.0), Retry(FILE.id)) == SchedulerDecisions()


def test_what_was_kept_before_is_not_carried_again() -> None:
    scheduler = Scheduler.start(a_config(ONE), ())
    effects = tell(scheduler, usable(), Ready(FILE, 1.0, kept_before(FILE)))
    delivery = Delivery(f"{NAS}/a.mxf", "read_back", HASH, 100, already_present=False, kept=True)
    assert effects.events == [
        StatusChanged(FILE.id, Status.COMPLETED, 500.0, FILE, "delivered before and kept", delivery=delivery)
    ]
    assert moved(tell(scheduler, Ready(OTHER, 1.0, kept_before(OTHER, None))), OTHER)[0].delivery is None


def test_what_was_given_up_before_waits_until_someone_asks() -> None:
    scheduler = Scheduler.start(a_config(ONE), ())
    effects = tell(scheduler, usable(), Ready(FILE, 1.0, failed_before(FILE)))
    assert orders(effects) == []
    assert [(fact.status, fact.attempts, fact.error) for fact in moved(effects)] == [
        (Status.FAILED, 3, "unreadable")
    ]
    assert orders(tell(scheduler, Retry(FILE.id))) == [Copy(FILE, 1, 7)]


def test_what_was_delivered_but_could_not_leave_its_source_waits_until_someone_asks_as_well() -> None:
    memory = evolve(kept_before(FILE), error="source: Read-only file system", attempts=2)
    scheduler = Scheduler.start(a_config(ONE), ())
    effects = tell(scheduler, usable(), Ready(FILE, 1.0, memory))
    assert orders(effects) == []
    assert [(fact.status, fact.attempts, fact.error) for fact in moved(effects)] == [
        (Status.FAILED, 2, "source: Read-only file system")
    ]
    assert orders(tell(scheduler, RetryAll())) == [Copy(FILE, 1, 7)]


def test_what_is_remembered_of_another_state_counts_for_nothing() -> None:
    changed = a_file(version=2)
    for memory in (kept_before(FILE), failed_before(FILE)):
        scheduler = Scheduler.start(a_config(ONE), ())
        assert copied(tell(scheduler, usable(), Ready(changed, 1.0, memory))) == [changed]
