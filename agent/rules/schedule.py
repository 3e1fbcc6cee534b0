"""Which file is carried next, and what becomes of one that did not arrive."""

import heapq
import math
from collections.abc import Callable, Iterable
from itertools import count
from typing import assert_never

from attrs import define, evolve, field

from agent.config import Config
from agent.faults import Fault, FaultKind
from agent.messages import (
    Abandon,
    Abandoned,
    Advanced,
    Cancel,
    Copy,
    Counted,
    DispatcherInbox,
    Done,
    Failed,
    Forgotten,
    Gone,
    Halt,
    Interrupted,
    LaneMessage,
    Moved,
    Moves,
    PauseRoute,
    Ready,
    ResumeRoute,
    Retry,
    RouteState,
    StorageState,
    Sweep,
)
from agent.rules.jobs import Job, JobState
from agent.rules.lane import Lane
from agent.terms import Delivery, Settled, SourceFile, Status

Fact = Moved | Moves | Forgotten | Counted | StorageState | RouteState


@define
class Effects:
    """What a decision leads to: facts for the broadcaster, then orders for the destinations' lanes."""

    facts: list[Fact] = field(factory=list)
    orders: list[tuple[str, LaneMessage]] = field(factory=list)


@define
class Schedule:
    """All ready files of all routes. Feed it with `handle`, collect with `take`, wake it at `due_s`."""

    _config: Config
    _paused: set[str]
    _settled: dict[tuple[str, str], Settled]
    _lanes: dict[str, Lane]
    _jobs: dict[str, Job] = field(factory=dict, init=False)
    _retries: list[tuple[float, int, Job, JobState]] = field(factory=list, init=False)
    _ordinals: "count[int]" = field(factory=count, init=False)
    _effects: Effects = field(factory=Effects, init=False)
    _now_s: float = field(default=0.0, init=False)
    _at: float = field(default=0.0, init=False)

    @classmethod
    def start(cls, config: Config, paused: Iterable[str], settled: Iterable[Settled]) -> "Schedule":
        """Begin with what the journal remembers: routes the operator paused, files not to be moved again."""
        lanes = {plan.destination: Lane(plan) for plan in config.destinations()}
        memory = {(item.route, item.path): item for item in settled}
        schedule = cls(config, set(paused), memory, lanes)
        schedule._effects.facts += [
            RouteState(route.name, route.name in schedule._paused) for route in config.routes
        ]
        return schedule

    def take(self) -> Effects:
        effects, self._effects = self._effects, Effects()
        return effects

    def due_s(self) -> float:
        """When the next retry is due; infinity: none waits."""
        return self._retries[0][0] if self._retries else math.inf

    def handle(self, message: DispatcherInbox | None, now_s: float, at: float) -> None:
        """Take in a message, or (None) the passing of time."""
        self._now_s, self._at = now_s, at
        if message is not None:
            self._dispatch(message)
        self._retry_what_is_due()
        for lane in self._lanes.values():
            self._fill(lane)

    def _dispatch(self, message: DispatcherInbox) -> None:  # noqa: C901, PLR0912  one line per message
        match message:
            case Ready(file):
                self._ready(file)
            case Gone():
                self._gone(message)
            case Done():
                self._done(message)
            case Interrupted():
                self._interrupted(message)
            case Failed():
                self._failed(message)
            case Abandoned():
                self._abandoned(message)
            case Advanced():
                self._advanced(message)
            case StorageState():
                self._storage(message)
            case PauseRoute(route):
                self._pause(route)
            case ResumeRoute(route):
                self._resume(route)
            case Retry(file_id):
                self._retry(file_id)
            case Cancel(file_id):
                self._cancel(file_id)
            case _ as never:
                assert_never(never)

    # What the stability trackers say

    def _ready(self, file: SourceFile) -> None:
        job = self._jobs.get(file.id)
        if job is not None:
            job.successor, job.vanished = file, False
            return
        route = next(route for route in self._config.routes if route.name == file.route)
        memory = self._settled.pop((file.route, file.path), None)
        if memory is not None and memory.signature == file.signature and memory.result == "kept":
            self._effects.facts.append(_kept_before(file, memory))
            return
        job = Job(file, route, next(self._ordinals))
        self._jobs[file.id] = job
        if memory is not None and memory.signature == file.signature:
            job.state, job.attempts, job.error = JobState.FAILED, memory.attempts, memory.error
            self._effects.facts.append(job.failed(self._at))
        else:
            self._queue(job)

    def _gone(self, message: Gone) -> None:
        job = self._jobs.get(message.file.id)
        if job is not None:
            job.withdrawn, job.vanished, job.successor = True, not message.changed, None
            if job.state is JobState.RUNNING:
                return  # the copy finds out by itself, and then it is clear what has arrived
            if job.started and job.state in (JobState.QUEUED, JobState.RETRYING):
                self._put_away(job, error=None)
            elif job.state is not JobState.PUTTING_AWAY:
                self._remove(job)
        if not message.changed:
            self._effects.facts.append(Forgotten((message.file.id,)))

    # What the copy tasks say

    def _done(self, message: Done) -> None:
        job = self._returned(message.file)
        self._lane(job).deliveries += 1
        fact = Moved(
            job.file.id,
            Status.COMPLETED,
            message.at,
            message.file,
            "delivered",
            attempts=job.attempts,
            delivery=message.delivery,
        )
        self._effects.facts.append(fact)
        self._remove(job)

    def _interrupted(self, message: Interrupted) -> None:
        job = self._returned(message.file)
        fault = message.fault
        doubted = False
        if fault is not None and fault.kind is FaultKind.DESTINATION:
            doubted = job.doubted(message.verified_bytes, self._lane(job).deliveries)
            self._close(self._lane(job), fault)
            self._effects.facts.append(Counted("retry_outage", job.route.name))
        if job.state is JobState.PUTTING_AWAY:
            if fault is None:
                self._lane(job).line.push_put_away(job)
            else:
                self._wake_later(job)
        elif job.cancelled or job.withdrawn:
            self._end_early(job)
        elif fault is not None and doubted:
            self._attempt_failed(job, fault)
        elif fault is not None and fault.kind is FaultKind.JOURNAL:
            job.error = fault.detail
            self._wait_for_retry(job)
        else:
            self._queue(job)

    def _failed(self, message: Failed) -> None:
        job = self._returned(message.file)
        if job.cancelled or job.withdrawn:
            self._end_early(job)
        else:
            self._attempt_failed(job, message.fault)

    def _abandoned(self, message: Abandoned) -> None:
        job = self._returned(message.file)
        if job.withdrawn:
            self._remove(job)
            return
        job.state = JobState.FAILED
        if job.retry_wanted:
            self._start_over(job)

    def _advanced(self, message: Advanced) -> None:
        job = self._jobs.get(message.file_id)
        if job is not None:
            self._lane(job).advanced(message.file_id, message.written_bytes)

    def _end_early(self, job: Job) -> None:
        self._put_away(job, error=None if job.withdrawn else CANCELLED)
        if job.vanished:
            self._effects.facts.append(Forgotten((job.file.id,)))

    def _attempt_failed(self, job: Job, fault: Fault) -> None:
        job.attempts += 1
        if job.attempts >= job.route.max_attempts or fault.kind is FaultKind.CONFLICT:
            self._put_away(job, error=fault.detail)
        else:
            job.error = fault.detail
            self._effects.facts.append(Counted("retry_local", job.route.name))
            self._wait_for_retry(job)

    # What the storage monitors say

    def _storage(self, state: StorageState) -> None:
        lane = self._lanes[state.destination]
        was_open = lane.is_open
        if not lane.probed(state):
            return
        lane.line.unpark()
        if lane.is_open and not was_open:
            self._effects.orders.append((state.destination, Sweep(lane.device)))
            self._show_waiting(lambda job: self._lane(job) is lane)
        elif was_open and not lane.is_open:
            self._halt_all(lane)

    def _close(self, lane: Lane, fault: Fault) -> None:
        was_open = lane.is_open
        self._effects.facts.append(lane.faulted(fault, self._now_s, self._at))
        if was_open:
            self._halt_all(lane)

    def _halt_all(self, lane: Lane) -> None:
        if lane.running:
            self._effects.orders.append((lane.plan.destination, Halt()))
        self._show_waiting(lambda job: self._lane(job) is lane)

    # What the operator says

    def _pause(self, route: str) -> None:
        self._paused.add(route)
        self._effects.facts.append(RouteState(route, paused=True))
        jobs = [job for job in self._jobs.values() if job.route.name == route]
        running = tuple(job.file.id for job in jobs if job.state is JobState.RUNNING)
        if running:
            self._effects.orders.append((jobs[0].route.destination, Halt(running)))
        self._show_waiting(lambda job: job.route.name == route)

    def _resume(self, route: str) -> None:
        self._paused.discard(route)
        self._effects.facts.append(RouteState(route, paused=False))
        self._show_waiting(lambda job: job.route.name == route)

    def _retry(self, file_id: str | None) -> None:
        for job in list(self._jobs.values()) if file_id is None else self._one(file_id):
            if job.state is JobState.FAILED:
                self._start_over(job)
            elif job.state is JobState.PUTTING_AWAY and job.error is not None:
                job.retry_wanted = True

    def _cancel(self, file_id: str) -> None:
        for job in self._one(file_id):
            if job.state is JobState.RUNNING:
                job.cancelled = True
                self._effects.orders.append((job.route.destination, Halt((file_id,))))
            elif job.state in (JobState.QUEUED, JobState.RETRYING):
                self._put_away(job, error=CANCELLED)

    def _one(self, file_id: str) -> list[Job]:
        job = self._jobs.get(file_id)
        return [] if job is None else [job]

    # A job's way

    def _queue(self, job: Job) -> None:
        job.state, job.waits_for_space = JobState.QUEUED, False
        self._lane(job).line.push(job)
        self._effects.facts.append(self._waiting(job))

    def _start_over(self, job: Job) -> None:
        self._jobs[job.file.id] = fresh = Job(job.file, job.route, next(self._ordinals))
        self._queue(fresh)

    def _wait_for_retry(self, job: Job) -> None:
        job.state = JobState.RETRYING
        self._wake_later(job)
        self._effects.facts.append(job.retrying(self._at, self._at + job.route.retry_delay_s))

    def _wake_later(self, job: Job) -> None:
        due_s = self._now_s + job.route.retry_delay_s
        heapq.heappush(self._retries, (due_s, next(self._ordinals), job, job.state))

    def _retry_what_is_due(self) -> None:
        while self._retries and self._retries[0][0] <= self._now_s:
            *_, job, state = heapq.heappop(self._retries)
            if job.state is not state:
                continue
            if state is JobState.RETRYING:
                self._queue(job)
            else:
                self._lane(job).line.push_put_away(job)

    def _put_away(self, job: Job, error: str | None) -> None:
        job.state, job.error = JobState.PUTTING_AWAY, error
        self._lane(job).line.push_put_away(job)
        if error is not None:
            self._effects.facts.append(job.failed(self._at))

    def _remove(self, job: Job) -> None:
        job.state = JobState.LEFT
        del self._jobs[job.file.id]
        if job.successor is not None:
            self._ready(job.successor)

    def _returned(self, file: SourceFile) -> Job:
        job = self._jobs[file.id]
        job.arrived_bytes = self._lane(job).finished(file.id)
        return job

    def _fill(self, lane: Lane) -> None:
        while lane.has_credit:
            job = lane.line.next_put_away()
            if job is not None:
                order: LaneMessage = Abandon(job.file, job.attempts, job.error, lane.device)
                lane.started(job.file.id, 0, 0)
            else:
                job, aside = lane.line.next_copy(self._paused, lambda job: lane.fits(job.missing_bytes))
                self._effects.facts += [self._waiting(parked) for parked in aside]
                if job is None:
                    return
                job.state, job.started = JobState.RUNNING, True
                self._effects.facts.append(job.copying(self._at))
                order = Copy(job.file, job.attempts + 1, lane.device)
                lane.started(job.file.id, job.file.signature.size_bytes, job.arrived_bytes)
            self._effects.orders.append((lane.plan.destination, order))

    def _waiting(self, job: Job) -> Moved:
        paused = job.route.name in self._paused
        return job.waiting(self._at, "paused by the operator" if paused else self._lane(job).why_closed)

    def _lane(self, job: Job) -> Lane:
        return self._lanes[job.route.destination]

    def _show_waiting(self, concerned: Callable[[Job], bool]) -> None:
        """Tell visitors how the waiting ones of these jobs stand; running ones say so when they return."""
        waiting = [job for job in self._jobs.values() if job.state is JobState.QUEUED and concerned(job)]
        if waiting:
            self._effects.facts.append(Moves(tuple(self._waiting(job) for job in waiting)))


CANCELLED = "cancelled by the operator"


def _kept_before(file: SourceFile, memory: Settled) -> Moved:
    delivery = None
    if memory.destination_path and memory.verified_level and memory.hash:
        size_bytes = file.signature.size_bytes
        delivery = Delivery(
            memory.destination_path, memory.verified_level, memory.hash, size_bytes, False, kept=True
        )
    shown = evolve(file, discovered_at=min(file.discovered_at, memory.ended_at))
    return Moved(
        file.id, Status.COMPLETED, memory.ended_at, shown, "delivered before and kept", delivery=delivery
    )
