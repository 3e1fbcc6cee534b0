"""Which file is carried next, and what becomes of one that did not arrive."""

from collections.abc import Iterable
from typing import assert_never

from attrs import define, evolve, field

from agent.actors.dispatcher import dynamic_routes
from agent.actors.dispatcher.destination_queue import DestinationQueue
from agent.actors.dispatcher.job import Job, JobState
from agent.actors.dispatcher.job_table import JobTable, SchedulerDecisions
from agent.actors.dispatcher.source_availability import SourceAvailability
from agent.config.sections import Config
from agent.messages.broadcaster import CounterIncremented, RouteState, StatusChanged, Untracked
from agent.messages.copier_pool import CancelCopies, RecoverDestination
from agent.messages.dispatcher import (
    Aborted,
    AddDestination,
    AddRoute,
    AttemptFailed,
    BytesWritten,
    Cancel,
    Delivered,
    DestinationState,
    Gone,
    Growing,
    Interrupted,
    MessageBatch,
    PauseRoute,
    Ready,
    RemoveDestination,
    RemoveRoute,
    ResumeRoute,
    Retry,
    SchedulerInput,
    SourceState,
    TailIdle,
)
from agent.model.errors import FaultKind
from agent.model.source_file import FileVersion
from agent.model.transfer import Delivery, PriorResult, ResumePoint, Status


@define
class Scheduler:
    """All ready files of all routes. Feed it with `handle`, collect with `take`, wake it at `due_s`."""

    _interim: dict[tuple[str, str], ResumePoint]
    roster: JobTable = field()

    @classmethod
    def start(
        cls,
        config: Config,
        paused: Iterable[str],
        interim: Iterable[ResumePoint] = (),
    ) -> "Scheduler":
        """Begin with what the journal remembers.

        These are the routes that the operator paused, and how much of the interrupted files stands at the
        destination.
        """
        lanes = {plan.destination: DestinationQueue(plan) for plan in config.destinations()}
        routes = {route.name: route for route in config.routes}
        gates = {name: SourceAvailability() for name in routes}
        schedule = cls(
            {(item.route, item.path): item for item in interim},
            JobTable(lanes, routes, gates, set(paused)),
        )
        schedule.roster.tell(
            *(RouteState(route.name, route.name in schedule.roster.paused) for route in config.routes)
        )
        return schedule

    def take(self) -> SchedulerDecisions:
        return self.roster.take()

    def due_s(self) -> float:
        """When the next retry is due; infinity: none waits."""
        return self.roster.due_s()

    def handle(self, message: SchedulerInput | None, now_s: float, at: float) -> None:
        """Take in a message, or (None) the passing of time."""
        self.roster.now_s, self.roster.at = now_s, at
        if message is not None:
            self._dispatch(message)
        self.roster.retry_what_is_due()
        for lane in self.roster.lanes.values():
            self.roster.fill(lane)
        dynamic_routes.reap_removed(self.roster)

    def _dispatch(self, message: SchedulerInput) -> None:  # noqa: C901, PLR0912  one line per message
        match message:
            case Ready(file, prior_result=memory):
                self._ready(file, memory)
            case Growing(file):
                self._growing(file)
            case Gone():
                self._gone(message)
            case Delivered():
                self._done(message)
            case TailIdle(file):
                self._caught_up(file)
            case Interrupted():
                self._interrupted(message)
            case AttemptFailed():
                self._failed(message)
            case Aborted():
                self._abandoned(message)
            case MessageBatch(messages):
                for each in messages:
                    self._dispatch(each)
            case BytesWritten():
                self._advanced(message)
            case DestinationState():
                self._storage(message)
            case SourceState():
                self._source(message)
            case PauseRoute(route) if route in self.roster.routes:
                self._pause(route)
            case ResumeRoute(route) if route in self.roster.routes:
                self._resume(route)
            case PauseRoute() | ResumeRoute():
                pass  # it has closed meanwhile
            case Retry(file_id):
                self._retry(file_id)
            case Cancel(file_id):
                self._cancel(file_id)
            case AddDestination(plan):
                dynamic_routes.add_destination(self.roster, plan)
            case RemoveDestination(destination):
                dynamic_routes.remove_destination(self.roster, destination)
            case AddRoute(opened):
                dynamic_routes.add_route(self.roster, opened)
            case RemoveRoute(route):
                dynamic_routes.remove_route(self.roster, route)
            case _ as never:
                assert_never(never)

    # What the stability trackers say

    def _ready(self, file: FileVersion, memory: PriorResult | None = None) -> None:
        job = self.roster.jobs.get(file.id)
        if job is not None and job.is_growing and not job.superseded:
            self._has_ended(job, file)
            return
        if job is not None:
            job.successor, job.source_gone = file, False
            return
        is_same = memory is not None and memory.signature == file.signature
        if memory is not None and is_same and memory.result == "kept" and memory.error is None:
            self.roster.tell(_kept_before(file, memory))
            return
        job = self._new_job(file)
        if memory is not None and is_same:  # given up, perhaps after it had been delivered
            job.state, job.attempts, job.error = JobState.FAILED, memory.attempts, memory.error
            self.roster.tell(job.failed(self.roster.at))
        else:
            self.roster.queue(job)

    def _growing(self, file: FileVersion) -> None:
        job = self.roster.jobs.get(file.id)
        if job is None:
            job = self._new_job(file)
            job.state, job.is_growing = JobState.GROWING_IDLE, True
        if job.is_growing and not job.superseded:
            job.file = file
            self.roster.follow(job)

    def _has_ended(self, job: Job, file: FileVersion) -> None:
        """What was followed is complete: now all of it is compared and the rest copied."""
        job.file, job.is_growing = file, False
        if job.state is JobState.RUNNING:
            self.roster.order(job.route.destination, CancelCopies((file.id,)))
        else:
            self.roster.queue(job)

    def _new_job(self, file: FileVersion) -> Job:
        route = self.roster.routes[file.route]
        arrived_bytes = self._arrived_bytes(file, route.destination)
        job = Job(file, route, self.roster.next_ordinal(), arrived_bytes=arrived_bytes)
        self.roster.add(job)
        return job

    def _arrived_bytes(self, file: FileVersion, destination: str) -> int:
        """What an earlier run has brought of this file to the destination."""
        interim = self._interim.pop((file.route, file.path), None)
        if interim is None or interim.destination != destination:
            return 0
        if not interim.signature.is_same_file(file.signature):
            return 0
        return min(interim.verified_bytes, file.signature.size_bytes)

    def _gone(self, message: Gone) -> None:
        job = self.roster.jobs.get(message.file.id)
        if job is not None:
            job.superseded, job.source_gone, job.successor = True, not message.changed, None
            if job.state is JobState.RUNNING:
                if job.is_growing:  # its writer may go on for hours in a file that has no name any more
                    self.roster.order(job.route.destination, CancelCopies((job.file.id,)))
                return  # the copy finds out by itself, and then it is clear what has arrived
            if job.started and job.state in WAITING:
                self.roster.put_away(job, error=None)
            elif job.state is not JobState.ABORTING:
                self._remove(job)
        if not message.changed:
            self.roster.tell(Untracked((message.file.id,)))

    # What the copy tasks say

    def _done(self, message: Delivered) -> None:
        job = self.roster.returned(message.file)
        self.roster.lane(job).deliveries += 1
        fact = StatusChanged(
            job.file.id,
            Status.COMPLETED,
            message.at,
            message.file,
            "delivered",
            attempts=job.attempts,
            delivery=message.delivery,
        )
        self.roster.tell(fact)
        self._remove(job)

    def _caught_up(self, file: FileVersion) -> None:
        self._follow_later(self.roster.returned(file))

    def _follow_later(self, job: Job) -> None:
        """A copy that only followed has come back."""
        if job.superseded:
            self._end_early(job)
        elif job.is_growing:
            job.state = JobState.GROWING_IDLE  # the next growth wakes it
        else:
            self.roster.queue(job)

    def _interrupted(self, message: Interrupted) -> None:
        job = self.roster.returned(message.file)
        fault = message.fault
        doubted = False
        if fault is not None and fault.kind is FaultKind.DESTINATION:
            lane = self.roster.lane(job)
            doubted = job.suspect(message.verified_bytes, lane.deliveries) and not job.is_growing
            self.roster.close(lane, fault)
            self.roster.tell(CounterIncremented("retry_outage", job.route.name))
        elif fault is not None and fault.kind is FaultKind.SOURCE_OUTAGE:
            self.roster.gates[job.route.name].close(fault.detail, self.roster.now_s)
            self.roster.show_route(job.route.name)
        if job.is_growing:
            self._follow_later(job)
        elif job.state is JobState.ABORTING:
            if fault is None:
                self.roster.lane(job).queue.push_abort(job)
            else:
                self.roster.wake_later(job)
        elif job.cancelled or job.superseded:
            self._end_early(job)
        elif fault is not None and doubted:
            self.roster.attempt_failed(job, fault)
        elif fault is not None and fault.kind in (FaultKind.JOURNAL, FaultKind.BUSY):
            job.error = fault.detail
            self.roster.wait_for_retry(job)
        else:
            self.roster.queue(job)

    def _failed(self, message: AttemptFailed) -> None:
        job = self.roster.returned(message.file)
        if job.is_growing:
            job.follow_failed = True  # to follow is a favour: its attempts begin when it has ended
            self._follow_later(job)
        elif job.cancelled or job.superseded:
            self._end_early(job)
        else:
            self.roster.attempt_failed(job, message.fault)

    def _abandoned(self, message: Aborted) -> None:
        job = self.roster.returned(message.file)
        if job.superseded or job.route.name in self.roster.closing:
            self._remove(job)
            return
        job.state = JobState.FAILED
        if job.retry_wanted:
            self.roster.start_over(job)

    def _advanced(self, message: BytesWritten) -> None:
        job = self.roster.jobs.get(message.file_id)
        if job is not None:
            self.roster.lane(job).advanced(message.file_id, message.written_bytes)

    def _end_early(self, job: Job) -> None:
        self.roster.put_away(job, error=None if job.superseded else job.cancel_reason)
        if job.source_gone:
            self.roster.tell(Untracked((job.file.id,)))

    def _remove(self, job: Job) -> None:
        self.roster.leave(job)
        if job.successor is not None:
            self._ready(job.successor)

    # What the storage monitors and the watchers say

    def _storage(self, state: DestinationState) -> None:
        lane = self.roster.lanes.get(state.destination)
        if lane is None:
            return  # closed while it was being probed
        was_open = lane.is_open
        if not lane.probed(state):
            return
        lane.retry_blocked()
        if lane.is_open and not was_open:
            self.roster.order(state.destination, RecoverDestination(lane.device))
            self.roster.show_lane(lane)
        elif was_open and not lane.is_open:
            self.roster.halt_all(lane)

    def _source(self, reach: SourceState) -> None:
        if self.roster.gates[reach.route].scanned(reach, self.roster.now_s):
            self.roster.show_route(reach.route)

    # What the operator says

    def _pause(self, route: str) -> None:
        self.roster.paused.add(route)
        self.roster.tell(RouteState(route, paused=True))
        jobs = [job for job in self.roster.jobs.values() if job.route.name == route]
        running = tuple(job.file.id for job in jobs if job.state is JobState.RUNNING)
        if running:
            self.roster.order(jobs[0].route.destination, CancelCopies(running))
        self.roster.show_route(route)

    def _resume(self, route: str) -> None:
        self.roster.paused.discard(route)
        self.roster.tell(RouteState(route, paused=False))
        self.roster.show_route(route)

    def _retry(self, file_id: str | None) -> None:
        for job in list(self.roster.jobs.values()) if file_id is None else self._one(file_id):
            if job.state is JobState.FAILED:
                self.roster.start_over(job)
            elif job.state is JobState.ABORTING and job.error is not None:
                job.retry_wanted = True

    def _cancel(self, file_id: str) -> None:
        for job in self._one(file_id):
            if job.state is JobState.RUNNING:
                job.cancelled = True
                self.roster.order(job.route.destination, CancelCopies((file_id,)))
            elif job.state in (JobState.QUEUED, JobState.RETRYING):
                self.roster.put_away(job, error=job.cancel_reason)

    def _one(self, file_id: str) -> list[Job]:
        job = self.roster.jobs.get(file_id)
        return [] if job is None else [job]


WAITING = (JobState.GROWING_IDLE, JobState.GROWING_QUEUED, JobState.QUEUED, JobState.RETRYING)


def _kept_before(file: FileVersion, memory: PriorResult) -> StatusChanged:
    delivery = None
    if memory.destination_path and memory.verified_level and memory.hash:
        size_bytes = file.signature.size_bytes
        delivery = Delivery(
            memory.destination_path, memory.verified_level, memory.hash, size_bytes, False, kept=True
        )
    shown = evolve(file, discovered_at=min(file.discovered_at, memory.ended_at))
    return StatusChanged(
        file.id, Status.COMPLETED, memory.ended_at, shown, "delivered before and kept", delivery=delivery
    )
