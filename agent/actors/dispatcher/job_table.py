"""All jobs and the lanes they wait in: how a job moves from one state to the next."""

import heapq
import math
from collections.abc import Callable
from itertools import count

from attrs import define, field

from agent.actors.dispatcher.batching import Batch, is_batchable
from agent.actors.dispatcher.destination_queue import DestinationQueue
from agent.actors.dispatcher.job import Job, JobState
from agent.actors.dispatcher.priority_queue import PriorityQueue
from agent.actors.dispatcher.source_availability import SourceAvailability
from agent.config.sections import Route
from agent.messages.broadcaster import (
    CounterIncremented,
    RouteRemoved,
    RouteState,
    StatusChanged,
    StatusesChanged,
    Untracked,
)
from agent.messages.copier_pool import AbortTransfer, CancelCopies, CopierPoolInbox, Copy, CopyBatch, Follow
from agent.messages.dispatcher import DestinationState
from agent.model.errors import Fault, FaultKind
from agent.model.source_file import FileVersion

SchedulerEvent = (
    StatusChanged
    | StatusesChanged
    | Untracked
    | CounterIncremented
    | DestinationState
    | RouteState
    | RouteRemoved
)


@define
class SchedulerDecisions:
    """What a decision leads to: facts for the broadcaster, orders for the lanes, doubts for the monitors."""

    events: list[SchedulerEvent] = field(factory=list)
    commands: list[tuple[str, CopierPoolInbox]] = field(factory=list)
    probe_requests: list[tuple[str, Fault]] = field(factory=list)


@define  # noqa: PLR0904  each message of `Schedule` changes jobs in its own way
class JobTable:
    """`paused`: routes the operator has paused; `gates`: by route, whether its source can be read.

    `closing`: routes that are on their way out, and are gone when the last of their jobs is.
    """

    lanes: dict[str, DestinationQueue]
    routes: dict[str, Route]
    gates: dict[str, SourceAvailability]
    paused: set[str]
    closing: set[str] = field(factory=set, init=False)
    jobs: dict[str, Job] = field(factory=dict, init=False)
    effects: SchedulerDecisions = field(factory=SchedulerDecisions, init=False)
    now_s: float = field(default=0.0, init=False)
    at: float = field(default=0.0, init=False)
    _retries: list[tuple[float, int, Job, JobState]] = field(factory=list, init=False)
    _ordinals: "count[int]" = field(factory=count, init=False)

    def take(self) -> SchedulerDecisions:
        effects, self.effects = self.effects, SchedulerDecisions()
        return effects

    def due_s(self) -> float:
        """When the next retry is due; infinity: none waits."""
        return self._retries[0][0] if self._retries else math.inf

    def lane(self, job: Job) -> DestinationQueue:
        return self.lanes[job.route.destination]

    def tell(self, *facts: SchedulerEvent) -> None:
        self.effects.events += facts

    def order(self, destination: str, order: CopierPoolInbox) -> None:
        self.effects.commands.append((destination, order))

    # What visitors see of those that wait

    def waiting(self, job: Job) -> StatusChanged:
        return job.waiting(self.at, self._why_paused(job))

    def _why_paused(self, job: Job) -> str:
        if job.route.name in self.paused:
            return "paused by the operator"
        return self.gates[job.route.name].why or self.lane(job).why_paused(job)

    def show_waiting(self, concerned: Callable[[Job], bool]) -> None:
        """Tell how the waiting ones of these jobs stand; running ones say so when they return."""
        waiting = [job for job in self.jobs.values() if job.state is JobState.QUEUED and concerned(job)]
        if waiting:
            self.tell(StatusesChanged(tuple(map(self.waiting, waiting))))

    def show_route(self, route: str) -> None:
        self.show_waiting(lambda job: job.route.name == route)

    def show_lane(self, lane: DestinationQueue) -> None:
        self.show_waiting(lambda job: self.lane(job) is lane)

    # A job's way

    def add(self, job: Job) -> None:
        self.jobs[job.file.id] = job

    def next_ordinal(self) -> int:
        return next(self._ordinals)

    def queue(self, job: Job) -> None:
        job.state, job.waits_for_space = JobState.QUEUED, False
        self.lane(job).queue.push(job)
        self.tell(self.waiting(job))

    def follow(self, job: Job) -> None:
        """It has grown."""
        if job.state is JobState.GROWING_IDLE and not job.follow_failed:
            job.state, job.waits_for_space = JobState.GROWING_QUEUED, False
            self.lane(job).follow_queue.push(job)

    def start_over(self, job: Job) -> None:
        fresh = Job(job.file, job.route, self.next_ordinal())
        self.add(fresh)
        self.queue(fresh)

    def attempt_failed(self, job: Job, fault: Fault) -> None:
        job.attempts += 1
        if job.attempts >= job.route.max_attempts or fault.kind is FaultKind.CONFLICT:
            self.put_away(job, error=fault.detail)
        else:
            job.error = fault.detail
            self.tell(CounterIncremented("retry_local", job.route.name))
            self.wait_for_retry(job)

    def wait_for_retry(self, job: Job) -> None:
        job.state = JobState.RETRYING
        self.wake_later(job)
        self.tell(job.retrying(self.at, self.at + job.route.retry_delay_s))

    def wake_later(self, job: Job) -> None:
        due_s = self.now_s + job.route.retry_delay_s
        heapq.heappush(self._retries, (due_s, self.next_ordinal(), job, job.state))

    def retry_what_is_due(self) -> None:
        while self._retries and self._retries[0][0] <= self.now_s:
            *_, job, state = heapq.heappop(self._retries)
            if job.state is not state:
                continue
            if state is JobState.RETRYING:
                self.queue(job)
            else:
                self.lane(job).queue.push_abort(job)

    def put_away(self, job: Job, error: str | None) -> None:
        job.state, job.error = JobState.ABORTING, error
        self.lane(job).queue.push_abort(job)
        if error is not None:
            self.tell(job.failed(self.at))

    def leave(self, job: Job) -> None:
        job.state = JobState.REMOVED
        del self.jobs[job.file.id]

    def returned(self, file: FileVersion) -> Job:
        """The job of a copy that came back; its credit is free again."""
        job = self.jobs[file.id]
        job.arrived_bytes = self.lane(job).finished(file.id)
        return job

    # A destination's way

    def close(self, lane: DestinationQueue, fault: Fault) -> None:
        """A copy met an outage."""
        was_open = lane.is_open
        lane.outage_reported(fault, self.now_s, self.at)
        if was_open:
            self.effects.probe_requests.append((lane.plan.destination, fault))
            self.halt_all(lane)

    def halt_all(self, lane: DestinationQueue) -> None:
        if lane.running:
            self.order(lane.plan.destination, CancelCopies())
        self.show_lane(lane)

    def fill(self, lane: DestinationQueue) -> None:
        """Spend what credits there are, and say what has become of the destination."""
        aside: list[Job] = []
        while lane.has_free_slot and (order := self._next_order(lane, aside)) is not None:
            self.order(lane.plan.destination, order)
        while lane.can_follow and (job := self._next_job(lane, lane.follow_queue)) is not None:
            self._start(lane, job, follows=True)
            self.order(lane.plan.destination, Follow(job.file, lane.device))
        self.tell(*map(self.waiting, aside))
        concerned = lane.short_of_space(aside, self.paused, self.at)
        if concerned:
            self.tell(StatusesChanged(tuple(map(self.waiting, concerned))))
        news = lane.changed_state()
        if news is not None:
            self.tell(news)

    def _next_order(self, lane: DestinationQueue, aside: list[Job]) -> CopierPoolInbox | None:
        job = lane.queue.next_abort()
        if job is not None:
            lane.started(job.file.id, 0, 0)
            return AbortTransfer(job.file, job.attempts, job.error, lane.device)
        job = self._next_job(lane, lane.queue, aside)
        if job is None:
            return None
        lot = self._lot(lane, job)
        for each in lot:
            self._start(lane, each, place=job.file.id)
        self.tell(job.copying(self.at))
        if len(lot) > 1:
            return CopyBatch(tuple(each.file for each in lot), lane.device)
        return Copy(job.file, job.attempts + 1, lane.device)

    def _next_job(
        self, lane: DestinationQueue, line: PriorityQueue, aside: list[Job] | None = None
    ) -> Job | None:
        """The next one to begin with; `aside` gathers those that do not fit and have to be told of it."""
        job, unfit = line.next_copy(self._closed_routes(), lambda job: lane.fits(job.missing_bytes))
        if aside is not None:
            aside += unfit
        return job

    def _lot(self, lane: DestinationQueue, lead: Job) -> list[Job]:
        """This job and those that are carried with it."""
        lot = Batch(lane.plan, [lead])
        if not is_batchable(lead, lane.plan):
            return lot.jobs
        room_bytes, closed = lane.available_bytes, self._closed_routes()
        while job := lane.queue.next_if(closed, lambda job: lot.takes(job, room_bytes)):
            lot.add(job)
        if lot.is_worth_it:
            return lot.jobs
        for job in lot.jobs[1:]:
            lane.queue.push(job)
        return [lead]

    def _start(self, lane: DestinationQueue, job: Job, *, follows: bool = False, place: str = "") -> None:
        job.state, job.started = JobState.RUNNING, True
        size_bytes = job.file.signature.size_bytes
        lane.started(job.file.id, size_bytes, job.arrived_bytes, follows=follows, place=place)

    def _closed_routes(self) -> set[str]:
        shut = {route for route, gate in self.gates.items() if gate.is_closed}
        return self.paused | self.closing | shut
