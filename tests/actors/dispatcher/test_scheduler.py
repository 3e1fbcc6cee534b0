import math

from agent.actors.dispatcher.decisions import SchedulerDecisions
from agent.actors.dispatcher.scheduler import Scheduler
from agent.messages.broadcaster import CounterIncremented, RouteState, StatusChanged, Untracked
from agent.messages.copier_pool import AbortTransfer, CancelCopies, Copy, RecoverDestination
from agent.messages.dispatcher import Aborted, Cancel, Gone, Ready
from agent.model.errors import Fault, FaultKind, OutageReason
from agent.model.transfer import Status
from tests.actors.dispatcher.schedulers import (
    FILE,
    ONE,
    OTHER,
    THIRD,
    URGENT,
    changes_of,
    commands,
    copied,
    decide,
    done,
    failed,
    interrupted,
    opened,
    progress,
    published_states,
)
from tests.samples import NAS, OUTAGE, SOURCE_FAULT, STALL, a_config, a_delivery, a_file, unusable, usable


def test_the_paused_routes_are_published_at_the_start() -> None:
    scheduler = Scheduler.start(a_config(ONE, URGENT), ["mxf"])
    assert scheduler.take().events == [RouteState("mxf", paused=True), RouteState("urgent", paused=False)]
    assert scheduler.due_s() == math.inf


def test_nothing_is_copied_before_the_destination_was_reached() -> None:
    scheduler = Scheduler.start(a_config(ONE), ())
    decisions = decide(scheduler, Ready(FILE, 1.0))
    assert commands(decisions) == []
    assert [(event.status, event.why) for event in changes_of(decisions)] == [
        (Status.READY, "finished: waits for its turn"),
        (Status.PAUSED, "the destination has not been reached yet"),
    ]


def test_a_destination_that_opens_is_recovered_before_the_first_copy() -> None:
    scheduler = Scheduler.start(a_config(ONE), ())
    decisions = decide(scheduler, Ready(FILE, 1.0), usable(device=42))
    assert decisions.commands == [(NAS, RecoverDestination(42)), (NAS, Copy(FILE, attempt=1, device=42))]
    assert [event.status for event in changes_of(decisions)] == [Status.IN_QUEUE, Status.COPYING]


def test_an_object_store_has_no_device() -> None:
    scheduler = Scheduler.start(a_config(ONE), ())
    assert commands(decide(scheduler, usable(device=None))) == [RecoverDestination(0)]


def test_the_biggest_priority_goes_first_and_then_the_oldest() -> None:
    urgent = a_file(route="urgent")
    scheduler = opened(FILE, OTHER, THIRD, urgent)
    assert copied(decide(scheduler, done())) == [urgent]
    assert copied(decide(scheduler, done(urgent))) == [OTHER]


def test_an_interrupted_copy_keeps_its_turn() -> None:
    scheduler = opened(FILE, OTHER)
    decide(scheduler, unusable(began_s=1.0), interrupted(None), now_s=1.0)
    assert copied(decide(scheduler, usable(began_s=2.0), now_s=2.0)) == [FILE]


def test_a_delivery_is_published_with_its_proof() -> None:
    decisions = decide(opened(FILE), done())
    assert decisions.events == [
        StatusChanged(FILE.id, Status.COMPLETED, 1.0, FILE, "delivered", attempts=0, delivery=a_delivery())
    ]


def test_a_failed_attempt_is_repeated_after_the_delay() -> None:
    scheduler = opened(FILE)
    decisions = decide(scheduler, failed(), now_s=1.0)
    assert decisions.events == [
        CounterIncremented("retry_local", "mxf"),
        StatusChanged(
            FILE.id,
            Status.IN_QUEUE,
            1001.0,
            FILE,
            "attempt 1 of 3 failed",
            until_at=1006.0,
            attempts=1,
            error=SOURCE_FAULT.detail,
        ),
    ]
    assert scheduler.due_s() == 6.0
    assert commands(decide(scheduler, None, now_s=5.9)) == []
    assert commands(decide(scheduler, None, now_s=6.0)) == [Copy(FILE, attempt=2, device=7)]


def test_the_last_attempt_gives_the_file_up_and_aborts_its_transfer() -> None:
    scheduler = opened(FILE)
    for now_s in (0.0, 10.0):
        decide(scheduler, failed(), None, now_s=now_s)
        decide(scheduler, None, now_s=now_s + 5.0)
    decisions = decide(scheduler, failed(), now_s=20.0)
    assert commands(decisions) == [AbortTransfer(FILE, 3, SOURCE_FAULT.detail, 7)]
    assert [(event.status, event.attempts, event.error) for event in changes_of(decisions)] == [
        (Status.FAILED, 3, SOURCE_FAULT.detail)
    ]
    assert decide(scheduler, Aborted(FILE, 1.0), now_s=21.0) == SchedulerDecisions()


def test_a_cleanup_that_fails_again_and_again_goes_slower_even_without_a_retry_delay() -> None:
    scheduler = opened(FILE, retry_delay_s=0.0)
    decide(scheduler, failed(Fault(FaultKind.CONFLICT, "the name is taken")))
    waits, now_s = [], 0.0
    for _ in range(6):
        assert commands(decide(scheduler, failed(), now_s=now_s)) == []
        waits.append(scheduler.due_s() - now_s)
        now_s = scheduler.due_s()
        [abort] = commands(decide(scheduler, None, now_s=now_s))
        assert isinstance(abort, AbortTransfer)
    assert waits == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_an_interruption_that_costs_no_attempt_is_not_tried_again_at_once() -> None:
    stuck = Fault(FaultKind.BUSY, "a worker that cannot be killed")
    scheduler = opened(FILE, retry_delay_s=0.0)
    shown = changes_of(decide(scheduler, interrupted(stuck)))
    assert ([event.until_at for event in shown], scheduler.due_s()) == ([1001.0], 1.0)
    assert commands(decide(scheduler, None, now_s=1.0)) == [Copy(FILE, attempt=1, device=7)]
    assert copied(decide(scheduler, failed(), now_s=1.0)) == [FILE]  # a counted one has the route's delay


def test_no_attempt_helps_against_a_conflict() -> None:
    decisions = decide(opened(FILE), failed(Fault(FaultKind.CONFLICT, "the name is taken")))
    assert commands(decisions) == [AbortTransfer(FILE, 1, "the name is taken", 7)]


def test_a_source_that_only_seemed_to_be_gone_is_tried_again() -> None:
    scheduler = opened(FILE)
    decide(scheduler, failed(Fault(FaultKind.SOURCE_GONE, "source: No such file")))
    assert copied(decide(scheduler, None, now_s=5.0)) == [FILE]


def test_a_source_that_is_gone_is_forgotten_and_what_arrived_of_it_removed() -> None:
    scheduler = opened(FILE)
    decide(scheduler, failed(Fault(FaultKind.SOURCE_GONE, "source: No such file")))
    decisions = decide(scheduler, Gone(FILE, 1.0, changed=False))
    assert commands(decisions) == [AbortTransfer(FILE, 1, None, 7)]
    assert decisions.events == [Untracked((FILE.id,))]
    assert decide(scheduler, Aborted(FILE, 1.0)) == SchedulerDecisions()


def test_a_stall_pauses_its_destination_at_once() -> None:
    scheduler = opened(FILE, OTHER, THIRD, workers=2)
    decisions = decide(scheduler, interrupted(STALL), now_s=1.0)
    assert commands(decisions) == [CancelCopies()]
    assert CounterIncremented("retry_outage", "mxf") in decisions.events
    why = "outage: hung: nothing moved for 30 s"
    assert [(event.status, event.why, event.attempts) for event in changes_of(decisions)] == [
        (Status.PAUSED, why, 0)
    ]
    assert [event.status for event in changes_of(decisions, THIRD)] == [Status.PAUSED]
    assert commands(decide(scheduler, interrupted(None, OTHER), now_s=1.0)) == []
    assert commands(decide(scheduler, usable(began_s=1.0), now_s=2.0)) == []  # it began before the fault
    decisions = decide(scheduler, usable(began_s=1.1), now_s=2.0)
    assert commands(decisions) == [RecoverDestination(7), Copy(FILE, 1, 7), Copy(OTHER, 1, 7)]


def test_an_outage_lasts_since_its_first_sign() -> None:
    scheduler = opened(FILE, OTHER, THIRD, workers=3)
    first = decide(scheduler, interrupted(STALL), now_s=1.0)
    second = decide(scheduler, interrupted(OUTAGE, OTHER), now_s=2.0)  # the third still runs, and was stopped
    assert [(event.reason, event.since_at) for event in published_states(first)] == [
        (OutageReason.HUNG, 1001.0)
    ]
    assert [(event.reason, event.since_at) for event in published_states(second)] == [
        (OutageReason.IO_ERROR, 1001.0)
    ]
    assert CancelCopies() not in commands(second)


def test_a_probe_that_fails_stops_what_runs_and_shows_why() -> None:
    scheduler = opened(FILE, OTHER)
    decisions = decide(scheduler, unusable())
    assert commands(decisions) == [CancelCopies()]
    assert [event.why for event in changes_of(decisions, OTHER)] == ["outage: hung: no answer"]
    assert decide(scheduler, unusable()) == SchedulerDecisions()


def test_an_outage_without_copies_stops_nothing() -> None:
    assert commands(decide(opened(), unusable())) == []


def test_a_journal_that_cannot_be_written_is_waited_for_without_an_attempt() -> None:
    scheduler = opened(FILE)
    journal = Fault(FaultKind.JOURNAL, "journal: disk full")
    decisions = decide(scheduler, interrupted(journal))
    assert [(event.attempts, event.error) for event in changes_of(decisions)] == [(0, "journal: disk full")]
    assert commands(decide(scheduler, None, now_s=5.0)) == [Copy(FILE, 1, 7)]
    decide(scheduler, Cancel(FILE.id), interrupted(None), now_s=6.0)
    assert (
        commands(decide(scheduler, interrupted(journal), now_s=6.0)) == []
    )  # nor is it aborted in a hot loop
    assert commands(decide(scheduler, None, now_s=11.0)) == [
        AbortTransfer(FILE, 0, "cancelled by the operator", 7)
    ]


def test_a_file_that_does_not_fit_waits_and_a_smaller_one_passes() -> None:
    scheduler = opened(free_bytes=150, workers=2)
    assert copied(decide(scheduler, Ready(FILE, 1.0))) == [FILE]
    decisions = decide(scheduler, Ready(OTHER, 1.0))
    assert [event.why for event in changes_of(decisions, OTHER)] == [
        "finished: waits for its turn",
        "waits for a free slot of the destination",
        "does not fit: needs 100 bytes",
    ]
    small = a_file("small.mxf", size_bytes=50)
    assert copied(decide(scheduler, Ready(small, 1.0))) == [small]
    assert decide(scheduler, done(small)).events[1:] == []  # published once that it does not fit
    assert copied(decide(scheduler, usable(free_bytes=250))) == [OTHER]


def test_what_a_running_copy_has_written_is_not_promised_again_once_a_probe_saw_it() -> None:
    scheduler = opened(FILE, OTHER, free_bytes=150, workers=2)
    assert copied(decide(scheduler, progress(FILE, 80))) == []
    assert copied(decide(scheduler, usable(free_bytes=70))) == []  # 20 are promised
    assert copied(decide(scheduler, usable(free_bytes=120))) == [OTHER]


def test_a_resumed_copy_needs_only_what_is_missing() -> None:
    scheduler = opened(FILE, free_bytes=100)
    decide(scheduler, progress(FILE, 80), interrupted(STALL))
    assert copied(decide(scheduler, usable(began_s=1.0, free_bytes=20))) == [FILE]


def test_a_resumed_copy_promises_only_what_is_missing() -> None:
    scheduler = opened(FILE, free_bytes=120, workers=2)
    decide(scheduler, progress(FILE, 80), interrupted(STALL), Ready(OTHER, 1.0))
    assert copied(decide(scheduler, usable(began_s=1.0, free_bytes=120))) == [FILE, OTHER]


def test_a_copy_that_wrote_more_than_its_file_holds_makes_no_room() -> None:
    scheduler = opened(FILE, OTHER, free_bytes=150, workers=2)
    assert copied(decide(scheduler, progress(FILE, 180), usable(free_bytes=50))) == []


def test_aborting_a_transfer_needs_no_space() -> None:
    scheduler = opened(FILE, OTHER, free_bytes=100, workers=2)
    decisions = decide(scheduler, failed(Fault(FaultKind.CONFLICT, "the name is taken")))
    assert commands(decisions) == [AbortTransfer(FILE, 1, "the name is taken", 7), Copy(OTHER, 1, 7)]
