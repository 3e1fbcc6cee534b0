"""A destination that has too little room, and a source that does not answer: who waits, and who goes on."""

from agent.actors.dispatcher.decisions import SchedulerDecisions, SchedulerEvent
from agent.actors.dispatcher.scheduler import Scheduler
from agent.messages.broadcaster import StatusChanged, StatusesChanged
from agent.messages.dispatcher import Gone, PauseRoute, SourceState
from agent.model.errors import Fault, FaultKind, OutageReason
from agent.model.transfer import ResumePoint, Status
from tests.actors.dispatcher.schedulers import (
    FILE,
    ONE,
    OTHER,
    copied,
    done,
    interrupted,
    moved,
    opened,
    storage,
    tell,
)
from tests.samples import NAS, a_config, a_file, but, ready, usable

LARGE = a_file("large.mxf", 90)
SOURCE_OUTAGE = Fault(FaultKind.SOURCE_OUTAGE, "source: no answer")


def test_a_file_that_is_larger_than_the_free_space_is_an_outage_that_smaller_ones_pass() -> None:
    small = a_file("small.mxf", 40)
    scheduler = Scheduler.start(a_config(ONE), ())
    effects = tell(scheduler, usable(free_bytes=50), ready(LARGE))
    assert [(fact.status, fact.why) for fact in moved(effects, LARGE)][-1] == (
        Status.PAUSED,
        "outage: full: 90 bytes are still to be written, 50 are free",
    )
    [state] = storage(effects)
    assert (state.reason, state.since_at, state.free_bytes) == (OutageReason.FULL, 1000.0, 50)
    assert state.detail == "90 bytes are still to be written, 50 are free"
    assert copied(tell(scheduler, ready(small), now_s=1.0)) == [small]
    effects = tell(scheduler, done(small), usable(free_bytes=20, began_s=2.0), now_s=3.0)
    [state] = storage(effects)
    assert (state.reason, state.since_at) == (OutageReason.FULL, 1000.0)
    effects = tell(scheduler, usable(free_bytes=90, began_s=4.0), now_s=5.0)
    assert copied(effects) == [LARGE]
    assert [state.reason for state in storage(effects)] == [None]


def test_a_file_that_fits_once_others_are_through_is_no_outage() -> None:
    one, other = a_file("one.mxf", 40), a_file("other.mxf", 40)
    scheduler = opened(one, other, free_bytes=50, workers=2)
    assert scheduler.jobs[other.id].waits_for_space
    assert scheduler.destinations[NAS].space.smallest_blocked is None


def test_a_shortage_ends_with_the_file_that_met_it() -> None:
    scheduler = opened(LARGE, free_bytes=50)
    effects = tell(scheduler, Gone(LARGE, 1000.0, changed=False))
    assert [state.reason for state in storage(effects)] == [None]


def test_a_paused_route_wants_no_room() -> None:
    scheduler = opened(LARGE, free_bytes=50)
    effects = tell(scheduler, PauseRoute("mxf"))
    assert [state.reason for state in storage(effects)] == [None]
    assert moved(effects, LARGE)[-1].why == "paused by the operator"


def test_what_an_earlier_run_has_brought_over_needs_no_room_again() -> None:
    for verified_bytes, goes in ((60, True), (30, False)):
        half = ResumePoint("mxf", LARGE.path, LARGE.signature, NAS, verified_bytes)
        scheduler = Scheduler.start(a_config(ONE), (), [half])
        expected = [LARGE] if goes else []
        assert copied(tell(scheduler, usable(free_bytes=50), ready(LARGE))) == expected


def test_what_was_brought_over_of_another_file_or_to_another_place_does_not_count() -> None:
    other = but(LARGE.signature, inode=7)
    for signature, destination in ((other, NAS), (LARGE.signature, "/elsewhere")):
        half = ResumePoint("mxf", LARGE.path, signature, destination, 60)
        scheduler = Scheduler.start(a_config(ONE), (), [half])
        assert copied(tell(scheduler, usable(free_bytes=50), ready(LARGE))) == []


def test_a_source_that_does_not_answer_pauses_its_route_alone_and_costs_no_attempt() -> None:
    urgent = a_file(route="urgent")
    scheduler = opened(FILE, OTHER)
    tell(scheduler, ready(urgent))
    effects = tell(scheduler, interrupted(SOURCE_OUTAGE), now_s=1.0)
    assert copied(effects) == [urgent]
    for file in (FILE, OTHER):
        assert [(fact.status, fact.why, fact.attempts) for fact in moved(effects, file)][-1] == (
            Status.PAUSED,
            "source: no answer",
            0,
        )
    tell(scheduler, done(urgent))
    effects = tell(scheduler, SourceState("mxf", None, began_s=2.0, at=3.0), now_s=3.0)
    assert copied(effects) == [FILE]
    assert moved(effects, OTHER)[-1].status is Status.IN_QUEUE


def facts_of_files(effects: SchedulerDecisions) -> list[str]:
    """The ids of the files that visitors hear of, as often as they do."""
    facts: list[SchedulerEvent] = []
    for fact in effects.events:
        facts += fact.moved if isinstance(fact, StatusesChanged) else [fact]
    return [fact.file_id for fact in facts if isinstance(fact, StatusChanged)]


def test_on_a_full_destination_each_message_tells_of_its_own_file_alone() -> None:
    large = [a_file(f"large{number}.mxf", 900 + number) for number in range(20)]
    small = a_file("small.mxf", 40)
    scheduler = opened(free_bytes=50)
    told = [facts_of_files(tell(scheduler, ready(file))) for file in large]
    assert told[1:] == [[file.id, file.id] for file in large[1:]]  # it waits; it does not fit
    assert set(facts_of_files(tell(scheduler, ready(small)))) == {small.id}
    assert set(facts_of_files(tell(scheduler, done(small)))) == {small.id}


def test_all_that_have_room_again_go_on_and_the_others_are_told_nothing() -> None:
    large = [a_file(f"large{number}.mxf", 900 + number) for number in range(20)]
    scheduler = opened(*large, free_bytes=50, workers=3)
    effects = tell(scheduler, usable(free_bytes=905, began_s=2.0), now_s=3.0)
    assert copied(effects) == [large[0]]
    fitting = {file.id for file in large[:6]}
    assert set(facts_of_files(effects)) == fitting
    [state] = storage(effects)
    assert state.detail == "906 bytes are still to be written, 905 are free"


def test_the_smallest_that_lacks_room_is_what_the_outage_speaks_of_as_files_come_and_go() -> None:
    files = [a_file(f"{size}.mxf", size) for size in (70, 90, 60, 80)]
    scheduler = opened(free_bytes=50)
    spoken = [state.detail.split(" ")[0] for file in files for state in storage(tell(scheduler, ready(file)))]
    assert spoken == ["70", "60"]
    [state] = storage(tell(scheduler, Gone(files[2], 1000.0, changed=False)))
    assert state.detail == "70 bytes are still to be written, 50 are free"
    assert storage(tell(scheduler, Gone(files[1], 1000.0, changed=False))) == []
