"""A job's states, the events that change them, and the effects of each change: one table."""

import enum
from collections.abc import Iterable

from attrs import frozen


class JobState(enum.Enum):
    NEW = "queued; nothing of it was written"
    QUEUED = "queued again; a part of it may be written"
    RETRYING = "an attempt failed; the retry delay runs"
    CHECKING = "it met a fault of the destination; a probe is to tell whether that is its own"
    GROWING_NEW = "growing; queued, and never followed so far"
    GROWING_QUEUED = "growing; queued to be followed further"
    GROWING_IDLE = "growing; copied as far as it goes"
    GROWING_UNFOLLOWED = "growing; following failed, so it waits for its end"
    FOLLOWING = "growing; its tail is copied as it comes"
    FOLLOWING_ENDED = "it has stopped growing; its follower is being stopped"
    COPYING = "copying"
    COPYING_CANCELLED = "copying, until the worker has stopped; then it fails"
    COPYING_CHANGED = "copying; its source has changed"
    COPYING_GONE = "copying; its source has gone"
    COPYING_UNROUTED = "copying, until the worker has stopped; its route is being removed"
    ABORTING = "the transfer is being cleaned up; then it has failed"
    ABORTING_TO_RETRY = "the transfer is being cleaned up; then it is queued afresh"
    ABORTING_TO_REMOVE = "the transfer is being cleaned up; then the job is removed"
    FAILED = "given up until the file changes or someone retries it"
    KEPT = "delivered; its source could not be removed, and stays until someone retries that"
    REMOVED = "no longer tracked; a queue may still hold it"


class JobEvent(enum.Enum):
    STARTED = "a slot was free and the file fits"
    DELAY_OVER = "the retry delay has passed"
    GREW = "tracker: it is growing"
    READY = "tracker: it is complete"
    CHANGED = "tracker: its source has changed"
    GONE = "tracker: its source has gone"
    DELIVERED = "copy: delivered"
    KEPT = "copy: delivered, but the source could not be removed"
    TAIL_IDLE = "follower: copied as far as it goes"
    STOPPED = "worker stopped by us"
    OUTAGE = "interrupted by an outage of the destination or the source"
    UNCLEAR = "interrupted by a fault of the destination that may be its own"
    DELAYED = "interrupted by something that needs time: the journal, a worker that cannot be killed"
    ATTEMPT_FAILED = "an attempt failed, and more are left"
    YIELDED = "its partial is given up, so that another file has room"
    UNFINISHED = "copy: it is not finished, and nothing of it is left"
    GIVEN_UP = "the last attempt failed, or no further one can help"
    ABORTED = "the transfer is cleaned up"
    CANCEL = "operator: cancel"
    RETRY = "operator: retry"
    ROUTE_REMOVED = "its route is being removed"


class Effect(enum.Enum):
    """What a transition does beside the change of state, in the order of its row."""

    # To the job's own data
    UPDATE_FILE = "it is in this newer state"
    KEEP_SUCCESSOR = "the next state of the file waits for the end of this job"
    DROP_SUCCESSOR = "no next state of the file waits"
    COUNT_ATTEMPT = "one attempt more"
    RESET_ATTEMPTS = "none so far"
    SET_ERROR = "why it failed"
    CLEAR_ERROR = "it has not failed"
    # To its surroundings
    QUEUE = "into the queue for copies"
    QUEUE_FOLLOW = "into the queue of growing files"
    QUEUE_ABORT = "into the queue of transfers to clean up"
    STOP_COPY = "kill its worker"
    DELAY = "go on after the retry delay, or later where no attempt was counted"
    COUNT_RETRY = "metric: one retry more"
    TELL_CHECKING = "publish that it waits for a probe"
    TELL_RETRYING = "publish that it waits for the next attempt"
    TELL_FAILED = "publish that it has failed"
    TELL_UNTRACKED = "publish that it is no longer tracked"
    REMOVE = "forget the job; its successor becomes a job"
    START_OVER = "a fresh job takes its place"


S, E, F = JobState, JobEvent, Effect
COPY_WAITING = frozenset({S.NEW, S.QUEUED})
FOLLOW_WAITING = frozenset({S.GROWING_NEW, S.GROWING_QUEUED})
GROWING = FOLLOW_WAITING | {S.GROWING_IDLE, S.GROWING_UNFOLLOWED, S.FOLLOWING}
COPYING_ENDS = frozenset({S.COPYING_CANCELLED, S.COPYING_CHANGED, S.COPYING_GONE, S.COPYING_UNROUTED})
RUNNING = COPYING_ENDS | {S.FOLLOWING, S.FOLLOWING_ENDED, S.COPYING}
ABORTING = frozenset({S.ABORTING, S.ABORTING_TO_RETRY, S.ABORTING_TO_REMOVE})
# Of these a part may be at the destination or in the journal.
WAITING_BEGUN = frozenset(
    {S.QUEUED, S.RETRYING, S.CHECKING, S.GROWING_QUEUED, S.GROWING_IDLE, S.GROWING_UNFOLLOWED}
)
# Of these there is nothing to clean up.
WITHOUT_TRANSFER = frozenset({S.NEW, S.GROWING_NEW, S.FAILED, S.KEPT})
RETRIED_LATER = frozenset({S.ABORTING, S.ABORTING_TO_RETRY})
ATTEMPTS_COUNT = frozenset({S.COPYING, S.FOLLOWING_ENDED, S.CHECKING})
KEEPABLE = frozenset({S.COPYING, S.COPYING_CANCELLED})
TRACKED = frozenset(S) - {S.REMOVED}

INTERRUPTIONS = frozenset({E.STOPPED, E.OUTAGE, E.UNCLEAR, E.DELAYED})
FAILURES = frozenset({E.ATTEMPT_FAILED, E.GIVEN_UP})
VERDICTS = FAILURES | {E.OUTAGE, E.DELAYED}  # once it is clear whose fault it was
COPY_RETURNS = INTERRUPTIONS | FAILURES | {E.DELIVERED, E.KEPT, E.TAIL_IDLE, E.UNFINISHED}


@frozen
class Transition:
    """`is_refused`: an operator's command does not apply in this state, and nothing changes."""

    next_state: JobState
    effects: tuple[Effect, ...] = ()
    is_refused: bool = False


Table = dict[tuple[JobState, JobEvent], Transition]


def _rows(
    states: Iterable[JobState],
    events: Iterable[JobEvent],
    next_state: JobState | None,
    effects: tuple[Effect, ...] = (),
) -> Table:
    """One transition for all these pairs; `next_state` None: the state stays."""
    return {(state, event): Transition(next_state or state, effects) for state in states for event in events}


def _refused(states: Iterable[JobState], command: JobEvent) -> Table:
    return {(state, command): Transition(state, is_refused=True) for state in states}


def _merged(*parts: Table) -> Table:
    table: Table = {}
    for part in parts:
        if twice := table.keys() & part.keys():
            raise ValueError(f"listed twice: {twice}")
        table |= part
    return table


_FAIL = (F.QUEUE_ABORT, F.TELL_FAILED)
_FORGET = (F.DROP_SUCCESSOR, F.CLEAR_ERROR, F.QUEUE_ABORT)
_WITHOUT_DELIVERY = COPY_RETURNS - {E.DELIVERED, E.KEPT, E.UNFINISHED}

TRANSITIONS = _merged(
    # The ordinary way: a slot is free, then the copy is delivered.
    _rows(COPY_WAITING, {E.STARTED}, S.COPYING),
    _rows(RUNNING - {S.FOLLOWING, S.FOLLOWING_ENDED}, {E.DELIVERED}, S.REMOVED, (F.REMOVE,)),
    _rows(KEEPABLE, {E.KEPT}, S.KEPT),
    _rows(COPYING_ENDS - KEEPABLE, {E.KEPT}, S.REMOVED, (F.REMOVE,)),
    # A growing file's slot is free; a delay has passed.
    _rows(FOLLOW_WAITING, {E.STARTED}, S.FOLLOWING),
    _rows({S.RETRYING}, {E.DELAY_OVER}, S.QUEUED, (F.QUEUE,)),
    _rows(ABORTING, {E.DELAY_OVER}, None, (F.QUEUE_ABORT,)),
    # The tracker: a file that has stopped growing is compared from its beginning and copied to its end.
    _rows({S.GROWING_IDLE}, {E.GREW}, S.GROWING_QUEUED, (F.UPDATE_FILE, F.QUEUE_FOLLOW)),
    _rows(GROWING - {S.GROWING_IDLE}, {E.GREW}, None, (F.UPDATE_FILE,)),
    _rows(TRACKED - GROWING, {E.GREW}, None),
    _rows({S.GROWING_NEW}, {E.READY}, S.NEW, (F.UPDATE_FILE, F.QUEUE)),
    _rows(GROWING - {S.GROWING_NEW, S.FOLLOWING}, {E.READY}, S.QUEUED, (F.UPDATE_FILE, F.QUEUE)),
    _rows({S.FOLLOWING}, {E.READY}, S.FOLLOWING_ENDED, (F.UPDATE_FILE, F.STOP_COPY)),
    _rows({S.COPYING_GONE}, {E.READY}, S.COPYING_CHANGED, (F.KEEP_SUCCESSOR,)),
    _rows(TRACKED - GROWING - {S.COPYING_GONE}, {E.READY}, None, (F.KEEP_SUCCESSOR,)),
    # A copy finds out itself that its source has changed or gone, and then it is clear what has arrived.
    # A follower is stopped: its writer may go on for hours in a file that has no name any more.
    _rows(RUNNING - {S.FOLLOWING}, {E.CHANGED}, S.COPYING_CHANGED, (F.DROP_SUCCESSOR,)),
    _rows(RUNNING - {S.FOLLOWING}, {E.GONE}, S.COPYING_GONE, (F.DROP_SUCCESSOR,)),
    _rows({S.FOLLOWING}, {E.CHANGED}, S.COPYING_CHANGED, (F.STOP_COPY,)),
    _rows({S.FOLLOWING}, {E.GONE}, S.COPYING_GONE, (F.STOP_COPY,)),
    _rows(WAITING_BEGUN, {E.CHANGED}, S.ABORTING_TO_REMOVE, _FORGET),
    _rows(WAITING_BEGUN, {E.GONE}, S.ABORTING_TO_REMOVE, (*_FORGET, F.TELL_UNTRACKED)),
    _rows(ABORTING, {E.CHANGED}, S.ABORTING_TO_REMOVE, (F.DROP_SUCCESSOR,)),
    _rows(ABORTING, {E.GONE}, S.ABORTING_TO_REMOVE, (F.DROP_SUCCESSOR, F.TELL_UNTRACKED)),
    _rows(WITHOUT_TRANSFER, {E.CHANGED}, S.REMOVED, (F.DROP_SUCCESSOR, F.REMOVE)),
    _rows(WITHOUT_TRANSFER, {E.GONE}, S.REMOVED, (F.DROP_SUCCESSOR, F.REMOVE, F.TELL_UNTRACKED)),
    # A copy returns without having delivered. A file that is not finished is the tracker's again.
    _rows({S.COPYING, S.COPYING_CANCELLED, S.COPYING_CHANGED}, {E.UNFINISHED}, S.REMOVED, (F.REMOVE,)),
    _rows({S.COPYING_GONE, S.COPYING_UNROUTED}, {E.UNFINISHED}, S.REMOVED, (F.REMOVE, F.TELL_UNTRACKED)),
    _rows({S.COPYING}, {E.STOPPED}, S.QUEUED, (F.QUEUE,)),
    _rows({S.COPYING, S.CHECKING}, {E.OUTAGE}, S.QUEUED, (F.QUEUE,)),
    _rows({S.COPYING, S.FOLLOWING_ENDED}, {E.UNCLEAR}, S.CHECKING, (F.SET_ERROR, F.TELL_CHECKING)),
    _rows({S.FOLLOWING_ENDED}, {E.STOPPED, E.OUTAGE, E.TAIL_IDLE}, S.QUEUED, (F.QUEUE,)),
    _rows(ATTEMPTS_COUNT, {E.DELAYED}, S.RETRYING, (F.SET_ERROR, F.DELAY, F.TELL_RETRYING)),
    _rows(
        ATTEMPTS_COUNT,
        {E.ATTEMPT_FAILED},
        S.RETRYING,
        (F.COUNT_ATTEMPT, F.SET_ERROR, F.COUNT_RETRY, F.DELAY, F.TELL_RETRYING),
    ),
    _rows(ATTEMPTS_COUNT, {E.GIVEN_UP}, S.ABORTING, (F.COUNT_ATTEMPT, F.SET_ERROR, *_FAIL)),
    _rows({S.FOLLOWING}, INTERRUPTIONS | {E.TAIL_IDLE}, S.GROWING_IDLE),
    _rows({S.FOLLOWING}, FAILURES, S.GROWING_UNFOLLOWED),
    _rows({S.COPYING_CANCELLED}, _WITHOUT_DELIVERY, S.ABORTING, _FAIL),
    _rows({S.COPYING_UNROUTED}, _WITHOUT_DELIVERY, S.ABORTING_TO_REMOVE, _FAIL),
    _rows({S.COPYING_CHANGED}, _WITHOUT_DELIVERY, S.ABORTING_TO_REMOVE, (F.CLEAR_ERROR, F.QUEUE_ABORT)),
    _rows(
        {S.COPYING_GONE},
        _WITHOUT_DELIVERY,
        S.ABORTING_TO_REMOVE,
        (F.CLEAR_ERROR, F.QUEUE_ABORT, F.TELL_UNTRACKED),
    ),
    # It waits for space, and its partial takes the room of others.
    _rows({S.QUEUED}, {E.YIELDED}, S.ABORTING_TO_RETRY, (F.CLEAR_ERROR, F.QUEUE_ABORT)),
    # A cleanup returns.
    _rows({S.ABORTING}, {E.ABORTED}, S.FAILED),
    _rows({S.ABORTING_TO_RETRY}, {E.ABORTED}, S.REMOVED, (F.START_OVER,)),
    _rows({S.ABORTING_TO_REMOVE}, {E.ABORTED}, S.REMOVED, (F.REMOVE,)),
    _rows(ABORTING, {E.STOPPED}, None, (F.QUEUE_ABORT,)),
    _rows(ABORTING, VERDICTS | {E.UNCLEAR}, None, (F.DELAY,)),
    # The operator.
    _rows(COPY_WAITING | {S.RETRYING, S.CHECKING}, {E.CANCEL}, S.ABORTING, (F.SET_ERROR, *_FAIL)),
    _rows(
        {S.COPYING, S.FOLLOWING_ENDED, S.COPYING_CANCELLED},
        {E.CANCEL},
        S.COPYING_CANCELLED,
        (F.SET_ERROR, F.STOP_COPY),
    ),
    _rows(COPYING_ENDS - {S.COPYING_CANCELLED}, {E.CANCEL}, None, (F.STOP_COPY,)),
    _refused(GROWING | ABORTING | {S.FAILED, S.KEPT}, E.CANCEL),
    _rows({S.FAILED}, {E.RETRY}, S.REMOVED, (F.START_OVER,)),
    _rows({S.KEPT}, {E.RETRY}, S.QUEUED, (F.RESET_ATTEMPTS, F.CLEAR_ERROR, F.QUEUE)),
    _rows(RETRIED_LATER, {E.RETRY}, S.ABORTING_TO_RETRY),
    _refused(TRACKED - RETRIED_LATER - {S.FAILED, S.KEPT}, E.RETRY),
    # Its route is being removed: all its copies are stopped by one command.
    _rows(WITHOUT_TRANSFER, {E.ROUTE_REMOVED}, S.REMOVED, (F.DROP_SUCCESSOR, F.REMOVE, F.TELL_UNTRACKED)),
    _rows(
        WAITING_BEGUN,
        {E.ROUTE_REMOVED},
        S.ABORTING_TO_REMOVE,
        (F.DROP_SUCCESSOR, F.SET_ERROR, *_FAIL),
    ),
    _rows(
        RUNNING - {S.COPYING_CHANGED, S.COPYING_GONE},
        {E.ROUTE_REMOVED},
        S.COPYING_UNROUTED,
        (F.DROP_SUCCESSOR, F.SET_ERROR),
    ),
    _rows({S.COPYING_CHANGED, S.COPYING_GONE}, {E.ROUTE_REMOVED}, None, (F.DROP_SUCCESSOR,)),
    _rows(ABORTING, {E.ROUTE_REMOVED}, S.ABORTING_TO_REMOVE, (F.DROP_SUCCESSOR,)),
)

# Each of these is a bug: a copy returns that does not run, or a job starts that does not wait.
IMPOSSIBLE = (
    {(S.REMOVED, event) for event in E}
    | {(state, E.STARTED) for state in TRACKED - COPY_WAITING - FOLLOW_WAITING}
    | {(state, E.DELAY_OVER) for state in TRACKED - ABORTING - {S.RETRYING}}
    | {(state, E.ABORTED) for state in TRACKED - ABORTING}
    | {(state, event) for state in TRACKED - RUNNING - ABORTING - {S.CHECKING} for event in COPY_RETURNS}
    | {(S.CHECKING, event) for event in COPY_RETURNS - VERDICTS}
    | {(state, event) for state in ABORTING for event in (E.DELIVERED, E.KEPT, E.TAIL_IDLE, E.UNFINISHED)}
    | {
        (state, event)
        for state in (S.FOLLOWING, S.FOLLOWING_ENDED)
        for event in (E.DELIVERED, E.KEPT, E.UNFINISHED)
    }
    | {(S.COPYING, E.TAIL_IDLE)}
    | {(state, E.YIELDED) for state in TRACKED - {S.QUEUED}}
)


def transition(state: JobState, event: JobEvent) -> Transition:
    """Raises: RuntimeError: a bug, since this pair is impossible."""
    found = TRANSITIONS.get((state, event))
    if found is None:
        raise RuntimeError(f"a job in state {state.name} has no transition for {event.name}")
    return found
