"""A scheduler, a simulated copier behind it, and what has to be true of every decision."""

import math
from collections import Counter as Tally
from collections.abc import Sequence
from typing import TypeVar

from attrs import define, evolve, field

from agent.actors.broadcaster.status_model import StatusModel
from agent.actors.dispatcher.decisions import SchedulerDecisions
from agent.actors.dispatcher.job import Job
from agent.actors.dispatcher.scheduler import Scheduler
from agent.actors.dispatcher.setbacks import FORGOTTEN_AFTER_S, MAX_STALLS
from agent.actors.dispatcher.transitions import ABORTING, COPY_WAITING, RUNNING, JobState
from agent.config.sections import DestinationPlan
from agent.messages.broadcaster import CounterIncremented, GenerationStarted, StatusChanged
from agent.messages.copier_pool import AbortTransfer, CancelCopies, CopierPoolInbox, Copy, RecoverDestination
from agent.messages.dispatcher import (
    Aborted,
    Command,
    CommandResult,
    Delivered,
    DestinationState,
    SchedulerInput,
    SourceState,
)
from agent.model.errors import Fault, FaultKind
from agent.model.source_file import FileVersion
from agent.model.transfer import PriorResult, Status
from tests.samples import ROUTE, a_config, a_delivery, a_file, failed_before, kept_before

URGENT = evolve(ROUTE, name="urgent", workers=1, max_attempts=2, priority=5)
PLAIN = evolve(ROUTE, name="plain", workers=2, max_attempts=3, retry_delay_s=0.0)
ALONE = evolve(ROUTE, name="alone", destination="/tape", workers=1, max_attempts=1)
CONFIG = a_config(URGENT, PLAIN, ALONE)
ROUTES = {route.name: route for route in CONFIG.routes}
PLACES = [(route, path) for route in ROUTES for path in ("a", "b")]
SIZES = [10, 40, 90]
PAUSING = (FaultKind.DESTINATION, FaultKind.JOURNAL, FaultKind.BUSY, FaultKind.SOURCE_OUTAGE)
HELD_UP = [Fault(FaultKind.JOURNAL, "journal: disk full"), Fault(FaultKind.BUSY, "a stuck worker")]
OWN_FAULTS = [Fault(kind, f"{kind.value} fault") for kind in FaultKind if kind not in PAUSING]


T = TypeVar("T")


def one_of(choices: Sequence[T], which: int) -> T:
    return choices[which % len(choices)]


def some(choices: Sequence[T], which: int) -> list[T]:
    """One of them, or none where there is none."""
    return [one_of(choices, which)] if choices else []


@define
class Out:
    """A command that the simulated copier pool carries out."""

    command: Copy | AbortTransfer
    size_bytes: int
    written_bytes: int
    probed_bytes: int
    halted: bool = False


@define
class Place:
    """A destination as the test knows it."""

    plan: DestinationPlan
    is_open: bool = False
    recovered: bool = False
    distrusted_until_s: float = -math.inf
    free_bytes: int | None = None
    deliveries: int = 0
    out: dict[str, Out] = field(factory=dict)
    checks: "list[tuple[Case, float]]" = field(factory=list)

    def take_checks(self, began_s: float) -> "list[Case]":
        """The files whose fault a probe answers which began then."""
        answered = [case for case, met_s in self.checks if met_s <= began_s]
        self.checks = [check for check in self.checks if check[1] > began_s]
        return [case for case in answered if case.job.state is JobState.CHECKING]

    def lacks(self, missing_bytes: int) -> bool:
        return self.is_open and self.free_bytes is not None and missing_bytes > self.free_bytes

    def fits(self, missing_bytes: int) -> bool:
        needed = sum(max(0, out.size_bytes - out.probed_bytes) for out in self.out.values())
        return self.free_bytes is None or missing_bytes <= self.free_bytes - needed

    def has_credit(self) -> bool:
        in_doubt = any(case.job.state is JobState.CHECKING for case, _ in self.checks)
        return self.is_open and not in_doubt and len(self.out) < self.plan.workers


@define
class Case:
    """The expected data of one job, from all that was sent about it."""

    job: Job
    attempts: int = 0
    not_before_s: float = -math.inf
    not_away_before_s: float = -math.inf
    arrived_bytes: int = 0
    cancelled: bool = False
    superseded: bool = False
    fails: bool = False
    times_failed: int = 0
    verified_bytes: int = -1
    interrupted_s: float = -math.inf
    deliveries_seen: int = 0
    setbacks: int = 0
    unconfirmed: bool = False
    stalls: int = 0
    waits: int = 0

    def next_wait_s(self) -> float:
        """How long it waits after what cost no attempt: 1, 2, 4 ... 10 s, or the retry delay."""
        self.waits += 1
        return max(self.job.route.retry_delay_s, min(2.0 ** (self.waits - 1), 10.0))

    def attempt_failed(self, kind: FaultKind, now_s: float) -> None:
        self.attempts += 1
        if kind is FaultKind.CONFLICT or self.attempts == self.job.route.max_attempts:
            self.fails = True
        else:
            self.not_before_s = now_s + self.job.route.retry_delay_s

    def interrupted(self, verified_bytes: int, now_s: float) -> bool:
        """Returns whether it got further."""
        if self.job.state in ABORTING:
            return False
        further = verified_bytes > self.verified_bytes
        if further or now_s - self.interrupted_s > FORGOTTEN_AFTER_S:
            self.setbacks = self.stalls = 0
            self.unconfirmed = False
        self.attempts = 0 if further else self.attempts
        self.verified_bytes, self.interrupted_s = max(verified_bytes, self.verified_bytes), now_s
        return further

    def stalled(self, deliveries: int) -> bool:
        self.stalls += deliveries > self.deliveries_seen
        self.deliveries_seen = deliveries
        return self.stalls > MAX_STALLS

    def not_confirmed(self, now_s: float) -> None:
        """A good probe began after it had met a fault of the destination."""
        if self.unconfirmed:
            self.attempt_failed(FaultKind.DESTINATION, now_s)
        else:
            self.unconfirmed = True
            self.not_before_s = now_s + self.next_wait_s()


class Dispatching:
    """The scheduler and all that is known of it from outside; `handle` checks each of its decisions."""

    def __init__(self, paused: set[str], ends: dict[tuple[str, str], str]) -> None:
        self.now_s = 0.0
        self.version = 0
        self.places = {plan.destination: Place(plan) for plan in CONFIG.destinations()}
        self.cases: dict[int, Case] = {}
        self.announced: dict[str, FileVersion] = {}
        self.delivered: dict[str, FileVersion] = {}
        self.view = StatusModel()
        self.view.apply(GenerationStarted(CONFIG.routes, 0.0))
        self.paused = set(paused)
        self.shut: dict[str, float] = {}
        self.unreadable: set[str] = set()
        self.prior_results: dict[str, PriorResult] = {}
        for (route, path), end in ends.items():
            file = a_file(path, route=route, version=0)
            self.prior_results[file.id] = kept_before(file) if end == "kept" else failed_before(file)
        self.scheduler = Scheduler.start(CONFIG, paused)
        self.check(self.scheduler.take(), {})

    # The copier and the places it copies to

    @property
    def at(self) -> float:
        return 1000.0 + self.now_s

    def place(self, file: FileVersion) -> Place:
        return self.places[ROUTES[file.route].destination]

    def out(self, *kinds: type[Copy | AbortTransfer]) -> list[FileVersion]:
        outs = [out for place in self.places.values() for out in place.out.values()]
        return [out.command.file for out in outs if isinstance(out.command, kinds)]

    def halted(self) -> list[FileVersion]:
        return [file for file in self.out(Copy, AbortTransfer) if self.place(file).out[file.id].halted]

    def case(self, job: Job) -> Case:
        return self.cases.setdefault(id(job), Case(job))

    def came_back(self, file: FileVersion) -> Case:
        case = self.case(self.scheduler.jobs[file.id])
        case.arrived_bytes = self.place(file).out.pop(file.id).written_bytes
        return case

    def ends_early(self, case: Case) -> bool:
        if case.job.state in ABORTING:
            return True
        if case.superseded:
            return True
        case.fails = case.fails or case.cancelled
        return case.cancelled

    def done(self, file: FileVersion) -> None:
        self.came_back(file)
        self.place(file).deliveries += 1
        self.delivered[file.id] = file
        self.handle(Delivered(file, a_delivery(file.signature.size_bytes), self.at))

    def abort_returns(self, file: FileVersion) -> None:
        wanted = self.came_back(file).job.state is JobState.ABORTING_TO_RETRY
        self.handle(Aborted(file, self.at))
        job = self.scheduler.jobs.get(file.id)
        assert not wanted or (job is not None and job.state in (JobState.NEW, JobState.COPYING))

    def probe(self, state: DestinationState) -> None:
        place = self.places[state.destination]
        halts: dict[str, set[str] | None] = {}
        if state.reason is not None:
            halts = self.closed(place)
        elif state.began_s > place.distrusted_until_s:
            place.recovered = place.recovered and place.is_open
            place.is_open = True
            for case in place.take_checks(state.began_s):
                case.not_confirmed(self.now_s)
        else:
            self.handle(state)
            return
        place.free_bytes = state.free_bytes
        for out in place.out.values():
            out.probed_bytes = out.written_bytes
        self.handle(state, halts)

    def scanned(self, reach: SourceState) -> None:
        if reach.error:
            self.cannot_be_read(reach.route)
        elif reach.began_s > self.shut.get(reach.route, -math.inf):
            self.unreadable.discard(reach.route)
        self.handle(reach)

    def cannot_be_read(self, route: str) -> None:
        self.shut[route] = self.now_s
        self.unreadable.add(route)

    @staticmethod
    def closed(place: Place) -> dict[str, set[str] | None]:
        """Which halts have to follow from this place being closed: all that runs, but only once."""
        was_open, place.is_open, place.recovered = place.is_open, False, False
        for case in place.take_checks(math.inf):
            case.unconfirmed = False
        return {place.plan.destination: None} if was_open and place.out else {}

    # What has to be true of every decision

    def handle(self, message: SchedulerInput | None, halts: dict[str, set[str] | None] | None = None) -> None:
        self.scheduler.handle(message, self.now_s, self.at)
        self.check(self.scheduler.take(), halts or {})

    def execute(self, command: Command, halts: dict[str, set[str] | None] | None = None) -> CommandResult:
        """A command that is refused changes nothing."""
        before = {job.file.id: job.state for job in self.scheduler.jobs.values()}
        result = self.scheduler.execute(command, self.now_s, self.at)
        decisions = self.scheduler.take()
        if result.refusal is not None:
            assert decisions == SchedulerDecisions()
            assert before == {job.file.id: job.state for job in self.scheduler.jobs.values()}
        self.check(decisions, halts or {})
        return result

    def check(self, decisions: SchedulerDecisions, halts: dict[str, set[str] | None]) -> None:
        self.check_events(decisions)
        for destination, place in self.places.items():
            commands = [command for where, command in decisions.commands if where == destination]
            assert len(commands) <= 2 * place.plan.workers + 2
            self.check_halts(destination, commands, halts)
            while commands:
                self.check_command(place, commands)
                del commands[0]
            self.check_nothing_idles(place)

    def check_halts(
        self, destination: str, commands: list[CopierPoolInbox], halts: dict[str, set[str] | None]
    ) -> None:
        found = [command.file_ids for command in commands if isinstance(command, CancelCopies)]
        expected = [halts[destination]] if destination in halts else []
        assert [None if ids is None else set(ids) for ids in found] == expected

    def check_command(self, place: Place, commands: list[CopierPoolInbox]) -> None:
        match commands[0]:
            case RecoverDestination(device):
                assert place.is_open
                assert not place.recovered
                assert device == 7
                place.recovered = True
            case CancelCopies(file_ids):
                for file_id in place.out if file_ids is None else file_ids:
                    place.out[file_id].halted = True
            case Copy() | AbortTransfer() as command:
                assert place.recovered
                assert place.has_credit()
                assert all(command.file.id not in each.out for each in self.places.values())
                case = self.case(self.scheduler.jobs[command.file.id])
                assert case.job.file == command.file
                place.out[command.file.id] = self.ordered(place, command, case, commands)

    def ordered(
        self, place: Place, command: Copy | AbortTransfer, case: Case, commands: list[CopierPoolInbox]
    ) -> Out:
        if isinstance(command, AbortTransfer):
            assert (command.error is not None) is case.fails
            assert command.attempts == case.job.attempts
            assert case.fails or case.superseded
            assert self.now_s >= case.not_away_before_s
            return Out(command, 0, 0, 0)
        assert self.now_s >= case.not_before_s
        assert command.attempt == case.attempts + 1 <= case.job.route.max_attempts
        assert not case.superseded
        assert self.announced[command.file.id] == command.file
        assert case.job is self.next_in_line(place, commands)
        return Out(command, command.file.signature.size_bytes, case.arrived_bytes, case.arrived_bytes)

    def next_in_line(self, place: Place, commands: list[CopierPoolInbox]) -> Job:
        """Of all that waited when the first of these commands was given: the one whose turn it was."""
        ordered = {command.file.id for command in commands if isinstance(command, Copy)}
        jobs = (
            job
            for job in self.scheduler.jobs.values()
            if self.is_waiting(job, place) or job.file.id in ordered
        )
        cases = [case for case in map(self.case, jobs) if place.fits(self.missing_bytes(case))]
        best = min(cases, key=lambda case: (case.setbacks, -case.job.route.priority, case.job.queue_number))
        return best.job

    def is_waiting(self, job: Job, place: Place) -> bool:
        here = job.route.name in place.plan.routes
        return here and job.state in COPY_WAITING and job.route.name not in self.paused | self.unreadable

    @staticmethod
    def missing_bytes(case: Case) -> int:
        return case.job.file.signature.size_bytes - case.arrived_bytes

    def check_nothing_idles(self, place: Place) -> None:
        """A free slot of an open destination is used by whatever can use it."""
        jobs = self.scheduler.jobs.values()
        if place.has_credit():
            waiting = [self.case(job) for job in jobs if self.is_waiting(job, place)]
            assert not [case for case in waiting if place.fits(self.missing_bytes(case))]
            leaving = [job for job in jobs if job.state in ABORTING and self.place(job.file) is place]
            assert all(
                job.file.id in place.out or self.case(job).not_away_before_s > self.now_s for job in leaving
            )

    def check_events(self, decisions: SchedulerDecisions) -> None:
        failed = Tally(
            event.file_id
            for event in decisions.events
            if isinstance(event, StatusChanged) and event.status is Status.FAILED
        )
        for event in decisions.events:
            if not isinstance(event, CounterIncremented):
                self.view.apply(event)
        for job in self.scheduler.jobs.values():
            case = self.case(job)
            if id(job) not in self.cases or job.error == "unreadable":
                case.fails = True
            case.times_failed += failed[job.file.id]
            assert case.times_failed == case.fails
        for file_id, file in self.announced.items():
            self.check_shown(file_id, file)

    def check_shown(self, file_id: str, file: FileVersion) -> None:
        row = self.view._find(file_id)
        assert row is not None
        job = self.scheduler.jobs.get(file_id)
        if job is None:
            assert self.delivered[file_id] == file
            assert row.current.status is Status.COMPLETED
        elif not self.case(job).superseded:
            assert job.file == file
            assert row.current.status is self.status(job)
            assert row.current.attempts == job.attempts
        else:
            assert job.successor == file

    def status(self, job: Job) -> Status:
        if job.state in COPY_WAITING:
            place = self.place(job.file)
            lacks = job.waits_for_space and place.lacks(self.missing_bytes(self.case(job)))
            paused = job.route.name in self.paused | self.unreadable or not place.is_open or lacks
            return Status.PAUSED if paused else Status.IN_QUEUE
        if job.state in {JobState.RETRYING, JobState.CHECKING}:
            return Status.IN_QUEUE
        return Status.COPYING if job.state in RUNNING else Status.FAILED
