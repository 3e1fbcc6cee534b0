"""Which file is copied next, and what becomes of one that did not arrive.

A message becomes an event of a job. The table in `transitions.py` gives the job its next state and the
effects, which are carried out here. Then free slots are filled.
"""

from collections.abc import Iterable, Sequence
from itertools import count
from typing import assert_never

from attrs import define, field

from agent.actors.dispatcher.commands import result_of, retried_by_all
from agent.actors.dispatcher.decisions import SchedulerDecisions, SchedulerEvent
from agent.actors.dispatcher.destination_queue import Check, DestinationQueue
from agent.actors.dispatcher.job import CANCELLED, STOPPED, Job, kept_before, resumable_bytes, shown_ready
from agent.actors.dispatcher.priority_queue import DelayedJobs
from agent.actors.dispatcher.routes import RouteTable
from agent.actors.dispatcher.transitions import (
    ATTEMPTS_COUNT,
    COPY_WAITING,
    RUNNING,
    Effect,
    JobEvent,
    JobState,
)
from agent.config.sections import Config
from agent.messages.broadcaster import (
    CounterIncremented,
    RouteRemoved,
    StatusChanged,
    StatusesChanged,
    Untracked,
)
from agent.messages.copier_pool import AbortTransfer, CancelCopies, CopierPoolInbox, RecoverDestination
from agent.messages.dispatcher import (
    Aborted,
    AddDestination,
    AddRoute,
    AttemptFailed,
    Cancel,
    Command,
    CommandResult,
    Delivered,
    DestinationState,
    FoundUnfinished,
    Gone,
    Growing,
    Interrupted,
    MessageGroup,
    PauseRoute,
    Ready,
    RemoveDestination,
    RemoveRoute,
    ResumeRoute,
    Retry,
    RetryAll,
    SchedulerInput,
    SourceState,
    TailIdle,
    TransferProgress,
)
from agent.model.errors import OF_SOURCE_FILES, Fault, FaultKind, OutageReason
from agent.model.source_file import FileVersion
from agent.model.transfer import PriorResult, ResumePoint


@define
class Scheduler:
    """Give it messages with `handle` and commands with `execute`, collect with `take`, wake it at `due_s`."""

    destinations: dict[str, DestinationQueue]
    routes: RouteTable
    _resume_points: dict[tuple[str, str], ResumePoint]
    jobs: dict[str, Job] = field(factory=dict, init=False)
    _delayed: DelayedJobs = field(factory=DelayedJobs, init=False)
    _decisions: SchedulerDecisions = field(factory=SchedulerDecisions, init=False)
    _queue_numbers: "count[int]" = field(factory=count, init=False)
    _now_s: float = field(default=0.0, init=False)
    _at: float = field(default=0.0, init=False)

    @classmethod
    def start(
        cls, config: Config, paused: Iterable[str], resume_points: Iterable[ResumePoint] = ()
    ) -> "Scheduler":
        """Begin with what the journal remembers.

        These are the routes that the operator paused, and how much of the interrupted files had arrived.
        """
        scheduler = cls(
            {plan.destination: DestinationQueue(plan) for plan in config.destinations()},
            RouteTable(set(paused)),
            {(point.route, point.path): point for point in resume_points},
        )
        scheduler._publish(*map(scheduler.routes.add, config.routes))
        return scheduler

    def take(self) -> SchedulerDecisions:
        """What was decided since the last call."""
        decisions, self._decisions = self._decisions, SchedulerDecisions()
        return decisions

    def due_s(self) -> float:
        """When the next delay is over; infinity: none runs."""
        return self._delayed.due_s()

    def handle(self, message: SchedulerInput | None, now_s: float, at: float) -> None:
        """Take in a message, or (None) the passing of time."""
        self._now_s, self._at = now_s, at
        if message is not None:
            self._on_message(message)
        self._go_on()

    def execute(self, command: Command, now_s: float, at: float) -> CommandResult:
        """Carry out a command of the operator if it applies; the result says what it did or why not."""
        result = result_of(command, self.jobs, self.routes)
        if result.refusal is None:
            self._now_s, self._at = now_s, at
            self._on_command(command)
            self._go_on()
        return result

    def _go_on(self) -> None:
        for job in self._delayed.pop_due(self._now_s):
            self._apply(job, JobEvent.DELAY_OVER)
        for destination in self.destinations.values():
            self._fill_slots(destination)
        for route in self.routes.forget_removed(job.route.name for job in self.jobs.values()):
            self._publish(RouteRemoved(route))

    def _on_message(self, message: SchedulerInput) -> None:  # noqa: C901, PLR0912  one line per message
        match message:
            case Ready(file, prior_result=prior):
                self._publish(shown_ready(message))
                self._on_ready(file, prior)
            case Growing(file):
                self._on_growing(file)
            case Gone(file, changed=changed):
                self._on_gone(file, changed=changed)
            case Delivered():
                self._on_delivered(message)
            case TailIdle(file):
                self._apply(self._release_slot(file), JobEvent.TAIL_IDLE)
            case Interrupted():
                self._on_interrupted(message)
            case AttemptFailed():
                self._on_attempt_failed(message)
            case Aborted(file):
                self._on_aborted(file)
            case FoundUnfinished(file):
                self._apply(self._release_slot(file), JobEvent.UNFINISHED)
            case MessageGroup(messages):
                for each in messages:
                    self._on_message(each)
            case TransferProgress():
                self._on_progress(message)
            case DestinationState():
                self._on_destination_state(message)
            case SourceState(route):
                if self.routes.sources[route].scanned(message, self._now_s):
                    self._publish_route(route)
            case AddDestination(plan):
                self.destinations[plan.destination] = DestinationQueue(plan)
            case RemoveDestination(destination):
                del self.destinations[destination]
            case AddRoute(route):
                self._publish(self.routes.add(route))
            case RemoveRoute(name):
                self._remove_route(name)
            case _ as never:
                assert_never(never)

    def _on_command(self, command: Command) -> None:
        match command:
            case PauseRoute(route):
                self.routes.paused.add(route)
                self._publish(self.routes.state(route))
                self._stop_route(route)
                self._publish_route(route)
            case ResumeRoute(route):
                self.routes.paused.discard(route)
                self._publish(self.routes.state(route))
                self._publish_route(route)
            case Retry(file_id):
                self._apply(self.jobs[file_id], JobEvent.RETRY)
            case RetryAll():
                for job in retried_by_all(self.jobs):
                    self._apply(job, JobEvent.RETRY)
            case Cancel(file_id):
                self._apply(self.jobs[file_id], JobEvent.CANCEL, error=CANCELLED)
            case _ as never:
                assert_never(never)

    # Stability trackers

    def _on_ready(self, file: FileVersion, prior: PriorResult | None = None) -> None:
        job = self.jobs.get(file.id)
        if job is not None:
            self._apply(job, JobEvent.READY, file)
        elif prior is None or not prior.signature.is_same_state(file.signature):
            self._queue(self._add_job(file, JobState.NEW))
        elif prior.result == "kept":
            if prior.error is not None:
                job = self._add_job(file, JobState.KEPT)
                job.arrived_bytes = file.signature.size_bytes
            self._publish(kept_before(file, prior))
        else:
            job = self._add_job(file, JobState.FAILED)
            job.attempts, job.error = prior.attempts, prior.error
            self._publish(job.failed(self._at))

    def _on_growing(self, file: FileVersion) -> None:
        job = self.jobs.get(file.id)
        if job is not None:
            self._apply(job, JobEvent.GREW, file)
        else:
            self._queue_follow(self._add_job(file, JobState.GROWING_NEW))

    def _on_gone(self, file: FileVersion, *, changed: bool) -> None:
        job = self.jobs.get(file.id)
        if job is not None:
            self._apply(job, JobEvent.CHANGED if changed else JobEvent.GONE)
        elif not changed:
            self._publish(Untracked((file.id,)))

    def _add_job(self, file: FileVersion, state: JobState) -> Job:
        route = self.routes[file.route]
        point = self._resume_points.pop((file.route, file.path), None)
        arrived_bytes = resumable_bytes(point, file, route.destination)
        job = Job(file, route, next(self._queue_numbers), state, arrived_bytes=arrived_bytes)
        self.jobs[file.id] = job
        return job

    # Copier pools

    def _release_slot(self, file: FileVersion) -> Job:
        """Release the slot of a task that has ended. Returns: its job."""
        job = self.jobs[file.id]
        self._destination(job).returned(job)
        return job

    def _on_progress(self, message: TransferProgress) -> None:
        job = self.jobs.get(message.file_id)
        if job is not None:
            self._destination(job).space.advanced(message.file_id, message.copied_bytes)

    def _on_delivered(self, message: Delivered) -> None:
        destination = self._destination(self.jobs[message.file.id])
        destination.deliveries += 1
        destination.space.delivered(message.file.id)
        job = self._release_slot(message.file)
        self._publish(job.delivered(message))
        is_kept = message.delivery.kept_because is not None
        self._apply(job, JobEvent.KEPT if is_kept else JobEvent.DELIVERED)

    def _on_aborted(self, file: FileVersion) -> None:
        job = self.jobs[file.id]
        self._destination(job).space.room.gain(job.arrived_bytes)
        self._apply(self._release_slot(file), JobEvent.ABORTED)

    def _on_interrupted(self, message: Interrupted) -> None:
        job, fault = self._release_slot(message.file), message.fault
        has_progressed = job.interrupted(message.verified_bytes, self._now_s)
        if fault is None:
            self._apply(job, JobEvent.STOPPED)
        elif fault.kind is FaultKind.DESTINATION:
            job.setbacks.outages += not has_progressed
            self._on_destination_fault(job, fault, message.verified_bytes)
        elif fault.kind is FaultKind.SOURCE_OUTAGE:
            self.routes.sources[job.route.name].failed(fault.detail, self._now_s)
            self._publish_route(job.route.name)
            if not has_progressed:
                job.queue_number = next(self._queue_numbers)  # it may be the file that stops its source
            self._apply(job, JobEvent.OUTAGE)
        else:
            self._apply(job, JobEvent.DELAYED, error=fault.detail)

    def _on_destination_fault(self, job: Job, fault: Fault, verified_bytes: int) -> None:
        """Storage that stalls is an outage at once. Of any other fault a probe tells whose it is."""
        destination = self._destination(job)
        if destination.storage.is_open and fault.reason is not OutageReason.HUNG:
            self._apply(job, JobEvent.UNCLEAR, error=fault.detail)
            if job.state is JobState.CHECKING:
                destination.check(job, fault, verified_bytes, self._now_s)
            self._decisions.request_probe(destination.plan.destination, None)
            return
        is_own = destination.storage.is_open and job.setbacks.is_own_stall(destination.deliveries)
        self._close_destination(destination, fault)
        if is_own and job.state in ATTEMPTS_COUNT:
            self._attempt_failed(job, fault)
        else:
            self._met_outage(job)

    def _met_outage(self, job: Job) -> None:
        self._publish(CounterIncremented("retry_outage", job.route.name))
        self._apply(job, JobEvent.OUTAGE)

    def _on_confirmed(self, check: Check) -> None:
        """The destination is closed: nobody's fault."""
        check.job.setbacks.confirmed()
        self._met_outage(check.job)

    def _on_not_confirmed(self, destination: DestinationQueue, checks: Sequence[Check]) -> None:
        """The destination is well, and these faults are of files; those that found no space met one lack."""
        refused = [check.unverified_bytes for check in checks if check.fault.reason is OutageReason.FULL]
        others_got_more = bool(refused) and destination.space.room.refused(sum(refused), self._now_s)
        for check in checks:
            self._charge(check, may_be_own=others_got_more or check.fault.reason is not OutageReason.FULL)

    def _charge(self, check: Check, *, may_be_own: bool) -> None:
        """Once that may be bad luck, the next time it is the file's attempt."""
        if check.job.setbacks.is_own(check.fault) and may_be_own:
            self._attempt_failed(check.job, check.fault)
        else:
            self._apply(check.job, JobEvent.DELAYED, error=check.fault.detail)

    def _on_attempt_failed(self, message: AttemptFailed) -> None:
        job, fault = self._release_slot(message.file), message.fault
        job.interrupted(message.verified_bytes, self._now_s)
        is_at_source = fault.kind in OF_SOURCE_FILES
        if is_at_source and not self.routes.sources[job.route.name].is_available:
            self._apply(job, JobEvent.OUTAGE)  # the scan found the same
        else:
            self._attempt_failed(job, fault)

    def _attempt_failed(self, job: Job, fault: Fault) -> None:
        is_last = job.has_last_attempt or fault.kind is FaultKind.CONFLICT
        event = JobEvent.GIVEN_UP if is_last else JobEvent.ATTEMPT_FAILED
        self._apply(job, event, error=fault.detail)

    # Destinations and routes

    def _on_destination_state(self, state: DestinationState) -> None:
        destination = self.destinations.get(state.destination)
        if destination is None:
            return  # removed while it was being probed
        was_open = destination.storage.is_open
        if not destination.probed(state):
            return
        is_open = destination.storage.is_open
        if is_open and not was_open:
            self._command(state.destination, RecoverDestination(destination.storage.device))
            self._publish_destination(state.destination)
        elif was_open and not is_open:
            self._stop_all(destination)
        self._on_not_confirmed(destination, destination.take_checks(state.began_s))

    def _close_destination(self, destination: DestinationQueue, fault: Fault) -> None:
        """A copy met an outage."""
        was_open = destination.storage.is_open
        destination.storage.failed(fault, self._now_s, self._at)
        if was_open:
            self._decisions.request_probe(destination.plan.destination, fault)
            self._stop_all(destination)

    def _stop_all(self, destination: DestinationQueue) -> None:
        if destination.space.running:
            self._command(destination.plan.destination, CancelCopies())
        for check in destination.take_checks():
            self._on_confirmed(check)
        self._publish_destination(destination.plan.destination)

    def _remove_route(self, name: str) -> None:
        """End its jobs; the route is forgotten with the last of them."""
        self.routes.removing.add(name)
        self._stop_route(name)
        for job in self._jobs_of(name):
            self._apply(job, JobEvent.ROUTE_REMOVED, error=STOPPED)

    def _stop_route(self, name: str) -> None:
        running = tuple(job.file.id for job in self._jobs_of(name) if job.state in RUNNING)
        if running:
            self._command(self.routes[name].destination, CancelCopies(running))

    def _jobs_of(self, route: str) -> list[Job]:
        return [job for job in self.jobs.values() if job.route.name == route]

    # Effects of the table

    def _apply(
        self, job: Job, event: JobEvent, file: FileVersion | None = None, error: str | None = None
    ) -> None:
        for effect in job.on(event, file, error):
            self._carry_out(effect, job)

    def _carry_out(self, effect: Effect, job: Job) -> None:  # noqa: C901, PLR0912  one line per effect
        match effect:
            case Effect.QUEUE:
                self._queue(job)
            case Effect.QUEUE_FOLLOW:
                self._queue_follow(job)
            case Effect.QUEUE_ABORT:
                self._destination(job).queue.push_abort(job)
            case Effect.STOP_COPY:
                self._command(job.route.destination, CancelCopies((job.file.id,)))
            case Effect.DELAY:
                self._delayed.push(job, self._now_s + job.delay_s)
            case Effect.COUNT_RETRY:
                self._publish(CounterIncremented("retry_local", job.route.name))
            case Effect.TELL_CHECKING:
                self._publish(job.checking(self._at))
            case Effect.TELL_RETRYING:
                self._publish(job.retrying(self._at))
            case Effect.TELL_FAILED:
                self._publish(job.failed(self._at))
            case Effect.TELL_UNTRACKED:
                self._publish(Untracked((job.file.id,)))
            case Effect.REMOVE:
                del self.jobs[job.file.id]
                if job.successor is not None:
                    self._on_ready(job.successor)
            case _:  # START_OVER: the job has applied all others to its own data
                self._queue(self._add_job(job.file, JobState.NEW))

    def _queue(self, job: Job) -> None:
        job.waits_for_space = False
        self._destination(job).queue.push(job)
        self._publish(self._waiting(job))

    def _queue_follow(self, job: Job) -> None:
        job.waits_for_space = False
        self._destination(job).follow_queue.push(job)

    def _fill_slots(self, destination: DestinationQueue) -> None:
        name, closed = destination.plan.destination, self.routes.closed()
        self._start_copies(destination)
        if destination.storage.is_open and destination.space.room.left_bytes is not None:
            self._make_room(destination)
        while (follow := destination.start_next_follow(closed)) is not None:
            self._command(name, follow)
        newly_blocked, changed = destination.update_shortage(self.routes.paused, self._at)
        self._publish(*map(self._waiting, newly_blocked))
        self._publish_waiting(changed)
        state = destination.state_to_publish()
        if state is not None:
            self._publish(state)

    def _start_copies(self, destination: DestinationQueue) -> None:
        name, closed = destination.plan.destination, self.routes.closed()
        while (started := destination.start_next(closed)) is not None:
            job, command = started
            self._command(name, command)
            if not isinstance(command, AbortTransfer):
                self._publish(job.copying(self._at))

    def _make_room(self, destination: DestinationQueue) -> None:
        """Where partials take up all that can be written, one of them is given up."""
        job = destination.space.partial_to_give_up(destination.queue.short_of_space())
        if job is not None:
            self._apply(job, JobEvent.YIELDED)
            self._start_copies(destination)

    # Decisions

    def _destination(self, job: Job) -> DestinationQueue:
        return self.destinations[job.route.destination]

    def _publish(self, *events: SchedulerEvent) -> None:
        self._decisions.events += events

    def _command(self, destination: str, command: CopierPoolInbox) -> None:
        self._decisions.commands.append((destination, command))

    def _waiting(self, job: Job) -> StatusChanged:
        why_paused = self.routes.why_paused(job.route.name) or self._destination(job).why_paused(job)
        return job.waiting(self._at, why_paused)

    def _publish_waiting(self, jobs: Iterable[Job]) -> None:
        """The status of queued files; running ones are published when they return."""
        waiting = tuple(self._waiting(job) for job in jobs if job.state in COPY_WAITING)
        if waiting:
            self._publish(StatusesChanged(waiting))

    def _publish_route(self, route: str) -> None:
        self._publish_waiting(job for job in self.jobs.values() if job.route.name == route)

    def _publish_destination(self, name: str) -> None:
        self._publish_waiting(job for job in self.jobs.values() if job.route.destination == name)
