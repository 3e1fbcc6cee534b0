"""The table of job states, walked from end to end."""

from collections.abc import Iterable
from itertools import product

import pytest

from agent.actors.dispatcher.job import Job
from agent.actors.dispatcher.transitions import (
    ABORTING,
    COPY_RETURNS,
    COPY_WAITING,
    FOLLOW_WAITING,
    GROWING,
    IMPOSSIBLE,
    RETRIED_LATER,
    RUNNING,
    TRACKED,
    TRANSITIONS,
    Effect,
    JobEvent,
    JobState,
    Transition,
    _merged,
    _rows,
    transition,
)
from agent.model.transfer import Status
from tests.samples import ROUTE, a_file

PAIRS = set(product(JobState, JobEvent))
COMMANDS = (JobEvent.CANCEL, JobEvent.RETRY)
BEGINNINGS = {JobState.NEW, JobState.GROWING_NEW, JobState.FAILED, JobState.KEPT}
ENDS = {JobState.REMOVED, JobState.FAILED, JobState.KEPT}
# What a file can always come to, without the operator and without its source changing.
PROGRESS = set(JobEvent) - {*COMMANDS, JobEvent.CHANGED, JobEvent.GONE, JobEvent.ROUTE_REMOVED}


def changes() -> Iterable[tuple[JobState, JobEvent, Transition]]:
    """The transitions into another state."""
    for (state, event), found in TRANSITIONS.items():
        if found.next_state is not state:
            yield state, event, found


def reached_from(states: set[JobState], events: set[JobEvent]) -> set[JobState]:
    found: set[JobState] = set()
    while states - found:
        found |= states
        states = {
            after.next_state
            for (state, event), after in TRANSITIONS.items()
            if state in found and event in events
        }
    return found


def test_every_pair_of_state_and_event_is_either_in_the_table_or_impossible() -> None:
    assert TRANSITIONS.keys() | IMPOSSIBLE == PAIRS
    assert not TRANSITIONS.keys() & IMPOSSIBLE


@pytest.mark.parametrize(("state", "event"), sorted(IMPOSSIBLE, key=str))
def test_an_impossible_pair_is_a_bug_that_is_named(state: JobState, event: JobEvent) -> None:
    job = Job(a_file(), ROUTE, 0, state)
    with pytest.raises(RuntimeError, match=f"in state {state.name} has no transition for {event.name}"):
        job.on(event)
    assert job.state is state


def test_commands_and_the_source_may_come_in_every_state() -> None:
    always = {
        *COMMANDS,
        JobEvent.GREW,
        JobEvent.READY,
        JobEvent.CHANGED,
        JobEvent.GONE,
        JobEvent.ROUTE_REMOVED,
    }
    assert {(state, event) for state in TRACKED for event in always} <= TRANSITIONS.keys()


def test_every_state_is_reached() -> None:
    assert reached_from(BEGINNINGS, set(JobEvent)) == set(JobState)


@pytest.mark.parametrize("state", sorted(TRACKED - ENDS, key=str))
def test_from_every_state_a_file_comes_to_its_end_without_the_operator(state: JobState) -> None:
    assert reached_from({state}, PROGRESS) & ENDS


def test_only_commands_are_refused_and_then_nothing_changes() -> None:
    for (state, event), found in TRANSITIONS.items():
        if found.is_refused:
            assert event in COMMANDS
            assert (found.next_state, found.effects) == (state, ())


def test_a_job_that_begins_to_wait_is_in_the_queue_for_it() -> None:
    for state, event, found in changes():
        assert (Effect.QUEUE in found.effects) is (found.next_state in COPY_WAITING), (state, event)
        is_followed_again = found.next_state is JobState.GROWING_QUEUED
        assert (Effect.QUEUE_FOLLOW in found.effects) is is_followed_again, (state, event)
        is_delayed = found.next_state is JobState.RETRYING
        assert (Effect.DELAY in found.effects) is is_delayed, (state, event)


def test_a_transfer_is_queued_for_its_cleanup_exactly_once() -> None:
    for state, event, found in changes():
        begins = found.next_state in ABORTING and state not in ABORTING
        assert (Effect.QUEUE_ABORT in found.effects) is begins, (state, event)
    for state, event in product(ABORTING, JobEvent):
        after = TRANSITIONS.get((state, event))
        if after is not None and after.next_state in ABORTING:
            comes_back = event in COPY_RETURNS
            again = {Effect.QUEUE_ABORT, Effect.DELAY} & set(after.effects)
            assert len(again) == (comes_back or event is JobEvent.DELAY_OVER), (state, event)


def test_a_copy_that_returns_leaves_its_running_state() -> None:
    for (state, event), found in TRANSITIONS.items():
        if state in RUNNING and event in COPY_RETURNS:
            assert found.next_state not in RUNNING, (state, event)
        elif state in RUNNING:
            assert found.next_state in RUNNING, (state, event)
        else:
            starts = event is JobEvent.STARTED
            assert (found.next_state in RUNNING) is starts, (state, event)


def test_only_waiting_jobs_are_started() -> None:
    started = {state for state, event in TRANSITIONS if event is JobEvent.STARTED}
    assert started == COPY_WAITING | FOLLOW_WAITING


def test_a_job_is_removed_or_replaced_exactly_when_its_state_says_so() -> None:
    for (state, event), found in TRANSITIONS.items():
        ends = {Effect.REMOVE, Effect.START_OVER} & set(found.effects)
        assert len(ends) == (found.next_state is JobState.REMOVED), (state, event)


def test_only_what_was_never_begun_is_removed_without_a_cleanup() -> None:
    """So nothing of ours stays at the destination."""
    for state, event, found in changes():
        if found.next_state is JobState.REMOVED:
            is_clean = event in (JobEvent.DELIVERED, JobEvent.KEPT, JobEvent.UNFINISHED)
            assert state in BEGINNINGS | ABORTING or is_clean, (state, event)


def test_a_failure_is_published_once_on_the_way_to_failed() -> None:
    for state, event, found in changes():
        if Effect.TELL_FAILED in found.effects:
            assert found.next_state in ABORTING, (state, event)
            assert state not in ABORTING, (state, event)
        is_given_up = found.next_state is JobState.ABORTING and state not in ABORTING
        assert Effect.TELL_FAILED in found.effects or not is_given_up, (state, event)


def test_attempts_count_only_where_a_whole_file_is_copied_for_its_own_sake() -> None:
    counting = {state for (state, _), found in TRANSITIONS.items() if Effect.COUNT_ATTEMPT in found.effects}
    assert counting == {JobState.COPYING, JobState.FOLLOWING_ENDED, JobState.CHECKING}


@pytest.mark.parametrize(
    ("event", "refused"),
    [
        (JobEvent.CANCEL, GROWING | ABORTING | {JobState.FAILED, JobState.KEPT}),
        (JobEvent.RETRY, TRACKED - {JobState.FAILED, JobState.KEPT} - RETRIED_LATER),
    ],
)
def test_a_command_is_refused_where_it_would_do_nothing(
    event: JobEvent, refused: frozenset[JobState]
) -> None:
    assert {state for state in TRACKED if transition(state, event).is_refused} == refused


@pytest.mark.parametrize("state", sorted(TRACKED, key=str))
def test_a_new_state_of_the_file_is_never_lost(state: JobState) -> None:
    effects = TRANSITIONS[state, JobEvent.READY].effects
    assert (Effect.UPDATE_FILE in effects) is (state in GROWING)
    assert (Effect.KEEP_SUCCESSOR in effects) is (state not in GROWING)


def test_a_file_whose_follower_is_being_stopped_is_shown_as_ready() -> None:
    assert Job(a_file("a.mxf"), ROUTE, 1, JobState.FOLLOWING_ENDED).status is Status.READY


def test_a_pair_that_is_listed_twice_is_a_bug() -> None:
    row = _rows({JobState.NEW}, {JobEvent.STARTED}, JobState.COPYING)
    with pytest.raises(ValueError, match="listed twice"):
        _merged(row, row)
