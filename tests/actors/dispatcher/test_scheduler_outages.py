"""A destination with too little space, and a source that does not answer: which files wait, which go on."""

from agent.actors.dispatcher.decisions import SchedulerDecisions, SchedulerEvent
from agent.actors.dispatcher.scheduler import Scheduler
from agent.messages.broadcaster import StatusChanged, StatusesChanged
from agent.messages.dispatcher import Gone, PauseRoute, SourceState
from agent.model.errors import Fault, FaultKind, OutageReason
from agent.model.source_file import FileVersion
from agent.model.transfer import ResumePoint, Status
from tests.actors.dispatcher.schedulers import (
    FILE,
    ONE,
    OTHER,
    changes_of,
    copied,
    decide,
    done,
    interrupted,
    opened,
    published_states,
)
from tests.samples import NAS, a_config, a_file, but, ready, usable

LARGE = a_file("large.mxf", 90)
SOURCE_OUTAGE = Fault(FaultKind.SOURCE_OUTAGE, "source: no answer")


def test_a_file_that_is_larger_than_the_free_space_is_an_outage_that_smaller_ones_pass() -> None:
    small = a_file("small.mxf", 40)
    scheduler = Scheduler.start(a_config(ONE), ())
    decisions = decide(scheduler, usable(free_bytes=50), ready(LARGE))
    assert [(event.status, event.why) for event in changes_of(decisions, LARGE)][-1] == (
        Status.PAUSED,
        "outage: full: 90 bytes are still to be written, 50 are free",
    )
    [state] = published_states(decisions)
    assert (state.reason, state.since_at, state.free_bytes) == (OutageReason.FULL, 1000.0, 50)
    assert state.detail == "90 bytes are still to be written, 50 are free"
    assert copied(decide(scheduler, ready(small), now_s=1.0)) == [small]
    decisions = decide(scheduler, done(small), usable(free_bytes=20, began_s=2.0), now_s=3.0)
    [state] = published_states(decisions)
    assert (state.reason, state.since_at) == (OutageReason.FULL, 1000.0)
    decisions = decide(scheduler, usable(free_bytes=90, began_s=4.0), now_s=5.0)
    assert copied(decisions) == [LARGE]
    assert [state.reason for state in published_states(decisions)] == [None]


def test_a_file_that_fits_once_others_are_through_is_no_outage() -> None:
    one, other = a_file("one.mxf", 40), a_file("other.mxf", 40)
    scheduler = opened(one, other, free_bytes=50, workers=2)
    assert scheduler.jobs[other.id].waits_for_space
    assert scheduler.destinations[NAS].space.smallest_blocked is None


def test_a_shortage_ends_with_the_file_that_met_it() -> None:
    scheduler = opened(LARGE, free_bytes=50)
    decisions = decide(scheduler, Gone(LARGE, 1000.0, changed=False))
    assert [state.reason for state in published_states(decisions)] == [None]


def test_a_paused_route_needs_no_space() -> None:
    scheduler = opened(LARGE, free_bytes=50)
    decisions = decide(scheduler, PauseRoute("mxf"))
    assert [state.reason for state in published_states(decisions)] == [None]
    assert changes_of(decisions, LARGE)[-1].why == "paused by the operator"


def test_bytes_that_an_earlier_run_has_copied_need_no_space_again() -> None:
    for verified_bytes, goes in ((60, True), (30, False)):
        half = ResumePoint("mxf", LARGE.path, LARGE.signature, NAS, verified_bytes)
        scheduler = Scheduler.start(a_config(ONE), (), [half])
        expected = [LARGE] if goes else []
        assert copied(decide(scheduler, usable(free_bytes=50), ready(LARGE))) == expected


def test_bytes_of_another_file_or_at_another_destination_do_not_count() -> None:
    other = but(LARGE.signature, inode=7, mtime_ns=7)
    for signature, destination in ((other, NAS), (LARGE.signature, "/elsewhere")):
        half = ResumePoint("mxf", LARGE.path, signature, destination, 60)
        scheduler = Scheduler.start(a_config(ONE), (), [half])
        assert copied(decide(scheduler, usable(free_bytes=50), ready(LARGE))) == []


def test_a_source_that_does_not_answer_pauses_its_route_alone_and_costs_no_attempt() -> None:
    urgent = a_file(route="urgent")
    scheduler = opened(FILE, OTHER)
    decide(scheduler, ready(urgent))
    decisions = decide(scheduler, interrupted(SOURCE_OUTAGE), now_s=1.0)
    assert copied(decisions) == [urgent]
    for file in (FILE, OTHER):
        assert [(event.status, event.why, event.attempts) for event in changes_of(decisions, file)][-1] == (
            Status.PAUSED,
            "source: no answer",
            0,
        )
    decide(scheduler, done(urgent))
    decisions = decide(scheduler, SourceState("mxf", None, began_s=2.0, at=3.0), now_s=3.0)
    assert copied(decisions) == [FILE]
    assert changes_of(decisions, OTHER)[-1].status is Status.IN_QUEUE


def test_a_file_whose_source_stops_it_again_without_progress_lets_the_others_go_first() -> None:
    scheduler = opened(FILE, OTHER)
    order: list[FileVersion] = []
    for number in range(4):  # each scan finds that the source can be read again
        held_up = interrupted(SOURCE_OUTAGE, (order or [FILE])[-1], verified_bytes=50)
        decide(scheduler, held_up, now_s=10.0 * number)
        readable = SourceState("mxf", None, began_s=10.0 * number + 1.0, at=1.0)
        order += copied(decide(scheduler, readable, now_s=10.0 * number + 2.0))
    assert order == [FILE, OTHER, OTHER, FILE]  # the first time each of them had got further


def published_ids(decisions: SchedulerDecisions) -> list[str]:
    """The ids of the files whose status is published, as often as it is."""
    events: list[SchedulerEvent] = []
    for event in decisions.events:
        events += event.changes if isinstance(event, StatusesChanged) else [event]
    return [event.file_id for event in events if isinstance(event, StatusChanged)]


def test_on_a_full_destination_each_message_publishes_its_own_file_alone() -> None:
    large = [a_file(f"large{number}.mxf", 900 + number) for number in range(20)]
    small = a_file("small.mxf", 40)
    scheduler = opened(free_bytes=50)
    published = [published_ids(decide(scheduler, ready(file))) for file in large]
    assert published[1:] == [[file.id] * 3 for file in large[1:]]  # ready; it waits; it does not fit
    assert set(published_ids(decide(scheduler, ready(small)))) == {small.id}
    assert set(published_ids(decide(scheduler, done(small)))) == {small.id}


def test_all_that_fit_again_go_on_and_nothing_is_published_of_the_others() -> None:
    large = [a_file(f"large{number}.mxf", 900 + number) for number in range(20)]
    scheduler = opened(*large, free_bytes=50, workers=3)
    decisions = decide(scheduler, usable(free_bytes=905, began_s=2.0), now_s=3.0)
    assert copied(decisions) == [large[0]]
    fitting = {file.id for file in large[:6]}
    assert set(published_ids(decisions)) == fitting
    [state] = published_states(decisions)
    assert state.detail == "906 bytes are still to be written, 905 are free"


def test_the_outage_names_the_smallest_file_that_does_not_fit_as_files_come_and_go() -> None:
    files = [a_file(f"{size}.mxf", size) for size in (70, 90, 60, 80)]
    scheduler = opened(free_bytes=50)
    named = [
        state.detail.split(" ")[0]
        for file in files
        for state in published_states(decide(scheduler, ready(file)))
    ]
    assert named == ["70", "60"]
    [state] = published_states(decide(scheduler, Gone(files[2], 1000.0, changed=False)))
    assert state.detail == "70 bytes are still to be written, 50 are free"
    assert published_states(decide(scheduler, Gone(files[1], 1000.0, changed=False))) == []
