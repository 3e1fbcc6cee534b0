"""Random sequences of everything that can happen to the dispatcher, with a simulated copier behind it."""

import math
from collections import Counter as Tally

from attrs import define, evolve, field
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from agent.config import DestinationPlan
from agent.faults import Fault, FaultKind
from agent.messages import (
    Abandon,
    Abandoned,
    Advanced,
    Cancel,
    Copy,
    DispatcherInbox,
    Done,
    Failed,
    GenerationStarted,
    Gone,
    Halt,
    Interrupted,
    LaneMessage,
    Moved,
    PauseRoute,
    Ready,
    ResumeRoute,
    Retry,
    StorageState,
    Sweep,
)
from agent.rules.jobs import MAX_DOUBTS, Job, JobState
from agent.rules.schedule import Effects, Schedule
from agent.rules.view import View
from agent.terms import Settled, SourceFile, Status
from tests.rules.samples import (
    OUTAGE,
    ROUTE,
    a_config,
    a_delivery,
    a_file,
    failed_before,
    kept_before,
    unusable,
    usable,
)

URGENT = evolve(ROUTE, name="urgent", workers=1, max_attempts=2, priority=5)
PLAIN = evolve(ROUTE, name="plain", workers=2, max_attempts=3, retry_delay_s=0.0)
ALONE = evolve(ROUTE, name="alone", destination="/tape", workers=1, max_attempts=1)
CONFIG = a_config(URGENT, PLAIN, ALONE)
ROUTES = {route.name: route for route in CONFIG.routes}
PLACES = [(route, path) for route in ROUTES for path in ("a", "b", "c")]
SIZES = st.sampled_from([10, 40, 90])
JOURNAL = Fault(FaultKind.JOURNAL, "journal: disk full")
OWN_FAULTS = [
    Fault(kind, f"{kind.value} fault") for kind in FaultKind if kind not in (FaultKind.DESTINATION, FaultKind.JOURNAL)
]


@define
class Out:
    """An order that the simulated copier carries out."""

    order: Copy | Abandon
    size_bytes: int
    written_bytes: int
    probed_bytes: int
    halted: bool = False


@define
class Place:
    """A destination as the test knows it."""

    plan: DestinationPlan
    is_open: bool = False
    swept: bool = False
    distrusted_until_s: float = -math.inf
    free_bytes: int | None = None
    deliveries: int = 0
    out: dict[str, Out] = field(factory=dict)

    def fits(self, missing_bytes: int) -> bool:
        needed = sum(max(0, out.size_bytes - out.probed_bytes) for out in self.out.values())
        return self.free_bytes is None or missing_bytes <= self.free_bytes - needed

    def has_credit(self) -> bool:
        return self.is_open and len(self.out) < self.plan.workers


@define
class Case:
    """What has to be true of one job, from all that was told about it."""

    job: Job
    attempts: int = 0
    not_before_s: float = -math.inf
    arrived_bytes: int = 0
    cancelled: bool = False
    fails: bool = False
    times_failed: int = 0
    verified_bytes: int = -1
    deliveries_seen: int = 0
    setbacks: int = 0
    doubts: int = 0

    def attempt_failed(self, kind: FaultKind, now_s: float) -> None:
        self.attempts += 1
        self.fails = kind is FaultKind.CONFLICT or self.attempts == self.job.route.max_attempts
        self.not_before_s = now_s + self.job.route.retry_delay_s

    def met_outage(self, verified_bytes: int, deliveries: int) -> bool:
        further, alone = verified_bytes > self.verified_bytes, deliveries == self.deliveries_seen
        self.setbacks = 0 if further else self.setbacks + 1
        self.doubts = 0 if further else self.doubts + (not alone)
        self.verified_bytes, self.deliveries_seen = verified_bytes, deliveries
        return self.doubts >= MAX_DOUBTS


class Dispatching(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.version = 0
        self.places = {plan.destination: Place(plan) for plan in CONFIG.destinations()}
        self.cases: dict[int, Case] = {}
        self.announced: dict[str, SourceFile] = {}
        self.delivered: dict[str, SourceFile] = {}
        self.view = View()
        self.view.apply(GenerationStarted(CONFIG.routes, 0.0))

    @initialize(
        paused=st.sets(st.sampled_from(sorted(ROUTES))),
        ends=st.dictionaries(st.sampled_from(PLACES), st.sampled_from(["kept", "failed"])),
    )
    def start(self, paused: set[str], ends: dict[tuple[str, str], str]) -> None:
        self.paused = set(paused)
        self.memory: dict[str, Settled] = {}
        for (route, path), end in ends.items():
            file = a_file(path, route=route, version=0)
            self.memory[file.id] = kept_before(file) if end == "kept" else failed_before(file)
        self.schedule = Schedule.start(CONFIG, paused, self.memory.values())
        self.check(self.schedule.take(), {})

    # What the stability trackers say

    @rule(where=st.sampled_from(PLACES), size_bytes=SIZES, as_before=st.booleans())
    def a_file_is_ready(self, where: tuple[str, str], size_bytes: int, as_before: bool) -> None:
        route, path = where
        self.version += 1
        file = a_file(path, size_bytes, self.version, route)
        if file.id in self.announced:
            return
        if as_before:
            file = a_file(path, version=0, route=route)
        for status in (Status.DISCOVERED, Status.READY):
            self.view.apply(Moved(file.id, status, self.at, file, ""))
        self.announced[file.id] = file
        memory = None if file.id in self.schedule._jobs else self.memory.pop(file.id, None)
        remembered = memory if memory is not None and memory.signature == file.signature else None
        if remembered is not None and remembered.result == "kept":
            self.delivered[file.id] = file
        self.handle(Ready(file, self.at))
        if remembered is not None and remembered.result == "failed":
            assert self.schedule._jobs[file.id].state is JobState.FAILED

    @precondition(lambda self: self.announced)
    @rule(data=st.data(), changed=st.booleans())
    def a_file_leaves(self, data: st.DataObject, changed: bool) -> None:
        file = self.announced.pop(data.draw(st.sampled_from(sorted(self.announced))))
        if changed:
            again = evolve(file, signature=evolve(file.signature, mtime_ns=-1))
            self.view.apply(Moved(file.id, Status.GROWING, self.at, again, ""))
        self.handle(Gone(file, self.at, changed))

    # What the copier says

    @precondition(lambda self: self.out(Copy))
    @rule(data=st.data())
    def a_copy_arrives(self, data: st.DataObject) -> None:
        self.done(self.pick(data, Copy))

    @precondition(lambda self: self.out(Copy))
    @rule(data=st.data(), fault=st.sampled_from(OWN_FAULTS))
    def an_attempt_fails(self, data: st.DataObject, fault: Fault) -> None:
        file = self.pick(data, Copy)
        case = self.came_back(file)
        if not self.ends_early(case):
            case.attempt_failed(fault.kind, self.now_s)
        self.handle(Failed(file, fault, self.at))

    @precondition(lambda self: self.out(Copy, Abandon))
    @rule(data=st.data(), verified_bytes=st.sampled_from([0, 5]))
    def an_order_meets_an_outage(self, data: st.DataObject, verified_bytes: int) -> None:
        file = self.pick(data, Copy, Abandon)
        place, is_copy = self.place(file), isinstance(self.place(file).out[file.id].order, Copy)
        case = self.came_back(file)
        doubted = case.met_outage(verified_bytes, place.deliveries)
        if is_copy and not self.ends_early(case) and doubted:
            case.attempt_failed(OUTAGE.kind, self.now_s)
        elif not is_copy:
            case.not_before_s = self.now_s + case.job.route.retry_delay_s
        halts = self.closed(place)
        place.distrusted_until_s = self.now_s
        self.handle(Interrupted(file, OUTAGE, verified_bytes, self.at), halts)

    @precondition(lambda self: self.out(Copy, Abandon))
    @rule(data=st.data())
    def the_journal_fails(self, data: st.DataObject) -> None:
        file = self.pick(data, Copy, Abandon)
        case = self.came_back(file)
        self.ends_early(case)
        case.not_before_s = self.now_s + case.job.route.retry_delay_s
        self.handle(Interrupted(file, JOURNAL, 0, self.at))

    @precondition(lambda self: self.halted())
    @rule(data=st.data())
    def a_halted_order_stops(self, data: st.DataObject) -> None:
        file = data.draw(st.sampled_from(self.halted()))
        self.ends_early(self.came_back(file))
        self.handle(Interrupted(file, None, 0, self.at))

    @precondition(lambda self: self.out(Abandon))
    @rule(data=st.data())
    def a_transfer_is_put_away(self, data: st.DataObject) -> None:
        self.put_away(self.pick(data, Abandon))

    @precondition(lambda self: self.out(Copy))
    @rule(data=st.data(), written_bytes=st.sampled_from([0, 5, 10, 40]))
    def a_copy_advances(self, data: st.DataObject, written_bytes: int) -> None:
        file = self.pick(data, Copy)
        self.place(file).out[file.id].written_bytes = written_bytes
        self.handle(Advanced(file.id, written_bytes))

    @rule(where=st.sampled_from(PLACES))
    def an_old_figure_arrives(self, where: tuple[str, str]) -> None:
        file_id = a_file(where[1], route=where[0]).id
        if not any(file_id in place.out for place in self.places.values()):
            self.handle(Advanced(file_id, 10**9))

    # What the storage monitors say

    @rule(
        destination=st.sampled_from(["/nas", "/tape"]),
        free_bytes=st.sampled_from([None, 30, 60, 200]),
        took_s=st.sampled_from([0.0, 1.0]),
    )
    def a_probe_succeeds(self, destination: str, free_bytes: int | None, took_s: float) -> None:
        self.probe(usable(destination, self.now_s - took_s, free_bytes))

    @rule(destination=st.sampled_from(["/nas", "/tape"]))
    def a_probe_fails(self, destination: str) -> None:
        self.probe(unusable(destination, self.now_s))

    # What the operator says, and time

    @rule(route=st.sampled_from(sorted(ROUTES)))
    def the_route_is_paused(self, route: str) -> None:
        self.paused.add(route)
        copies = {file.id for file in self.out(Copy) if file.route == route}
        self.handle(PauseRoute(route), {ROUTES[route].destination: copies} if copies else {})

    @rule(route=st.sampled_from(sorted(ROUTES)))
    def the_route_is_resumed(self, route: str) -> None:
        self.paused.discard(route)
        self.handle(ResumeRoute(route))

    @rule(where=st.sampled_from(PLACES))
    def a_file_is_cancelled(self, where: tuple[str, str]) -> None:
        file_id = a_file(where[1], route=where[0]).id
        job = self.schedule._jobs.get(file_id)
        halts: dict[str, set[str] | None] = {}
        if job is not None and job.state is JobState.RUNNING:
            self.case(job).cancelled = True
            halts = {job.route.destination: {file_id}}
        elif job is not None and job.state in (JobState.QUEUED, JobState.RETRYING):
            self.case(job).fails = True
        self.handle(Cancel(file_id), halts)

    @rule(where=st.sampled_from([None, *PLACES]))
    def failed_files_are_tried_again(self, where: tuple[str, str] | None) -> None:
        file_id = None if where is None else a_file(where[1], route=where[0]).id
        self.handle(Retry(file_id))
        for job in self.schedule._jobs.values():
            assert job.state is not JobState.FAILED or (file_id is not None and job.file.id != file_id)
            assert job.state is not JobState.PUTTING_AWAY or file_id not in (None, job.file.id) or (
                job.retry_wanted is (job.error is not None)
            )

    @rule(seconds=st.sampled_from([0.5, 5.0, 60.0]))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds
        self.handle(None)

    def teardown(self) -> None:
        """When all goes well again, every file that stands at the source ends Completed or Failed."""
        if not hasattr(self, "schedule"):
            return
        for destination in self.places:
            self.now_s += 1.0
            self.probe(usable(destination, self.now_s))
        for route in ROUTES:
            self.the_route_is_resumed(route)
        while self.schedule.due_s() < math.inf or self.out(Copy, Abandon):
            for file in self.out(Abandon):
                self.put_away(file)
            for file in self.out(Copy):
                self.done(file)
            self.now_s = max(self.now_s, min(self.schedule.due_s(), self.now_s + 60.0))
            self.handle(None)
        for job in self.schedule._jobs.values():
            assert job.state is JobState.FAILED
            assert self.announced[job.file.id] == job.file
        waiting = self.announced.keys() - self.schedule._jobs.keys()
        assert all(self.delivered[file_id] == self.announced[file_id] for file_id in waiting)

    # The copier and the places it copies to

    @property
    def at(self) -> float:
        return 1000.0 + self.now_s

    def place(self, file: SourceFile) -> Place:
        return self.places[ROUTES[file.route].destination]

    def out(self, *kinds: type[Copy | Abandon]) -> list[SourceFile]:
        outs = [out for place in self.places.values() for out in place.out.values()]
        return [out.order.file for out in outs if isinstance(out.order, kinds)]

    def halted(self) -> list[SourceFile]:
        return [file for file in self.out(Copy, Abandon) if self.place(file).out[file.id].halted]

    def pick(self, data: st.DataObject, *kinds: type[Copy | Abandon]) -> SourceFile:
        return data.draw(st.sampled_from(self.out(*kinds)))

    def case(self, job: Job) -> Case:
        return self.cases.setdefault(id(job), Case(job))

    def came_back(self, file: SourceFile) -> Case:
        case = self.case(self.schedule._jobs[file.id])
        case.arrived_bytes = self.place(file).out.pop(file.id).written_bytes
        return case

    def ends_early(self, case: Case) -> bool:
        if case.job.state is JobState.PUTTING_AWAY:
            return True
        if self.announced.get(case.job.file.id) != case.job.file:
            return True
        case.fails = case.fails or case.cancelled
        return case.cancelled

    def done(self, file: SourceFile) -> None:
        self.came_back(file)
        self.place(file).deliveries += 1
        self.delivered[file.id] = file
        self.handle(Done(file, a_delivery(file.signature.size_bytes), self.at))

    def put_away(self, file: SourceFile) -> None:
        wanted = self.came_back(file).job.retry_wanted
        self.handle(Abandoned(file, self.at))
        assert not wanted or self.schedule._jobs.get(file.id) is None or self.case(
            self.schedule._jobs[file.id]
        ).job.state in (JobState.QUEUED, JobState.RUNNING)

    def probe(self, state: StorageState) -> None:
        place = self.places[state.destination]
        halts: dict[str, set[str] | None] = {}
        if state.reason is not None:
            halts = self.closed(place)
        elif state.began_s > place.distrusted_until_s:
            place.swept = place.swept and place.is_open
            place.is_open = True
        else:
            self.handle(state)
            return
        place.free_bytes = state.free_bytes
        for out in place.out.values():
            out.probed_bytes = out.written_bytes
        self.handle(state, halts)

    @staticmethod
    def closed(place: Place) -> dict[str, set[str] | None]:
        """Which halts have to follow from this place being closed: all that runs, but only once."""
        was_open, place.is_open, place.swept = place.is_open, False, False
        return {place.plan.destination: None} if was_open and place.out else {}

    # What has to be true of every decision

    def handle(
        self, message: DispatcherInbox | None, halts: dict[str, set[str] | None] | None = None
    ) -> None:
        self.schedule.handle(message, self.now_s, self.at)
        self.check(self.schedule.take(), halts or {})

    def check(self, effects: Effects, halts: dict[str, set[str] | None]) -> None:
        self.check_facts(effects)
        for destination, place in self.places.items():
            orders = [order for where, order in effects.orders if where == destination]
            assert len(orders) <= 2 * place.plan.workers + 2
            self.check_halts(destination, orders, halts)
            while orders:
                self.check_order(place, orders)
                del orders[0]
            self.check_nothing_idles(place)

    def check_halts(
        self, destination: str, orders: list[LaneMessage], halts: dict[str, set[str] | None]
    ) -> None:
        found = [order.file_ids for order in orders if isinstance(order, Halt)]
        expected = [halts[destination]] if destination in halts else []
        assert [None if ids is None else set(ids) for ids in found] == expected

    def check_order(self, place: Place, orders: list[LaneMessage]) -> None:
        match orders[0]:
            case Sweep(device):
                assert place.is_open
                assert not place.swept
                assert device == 7
                place.swept = True
            case Halt(file_ids):
                for file_id in place.out if file_ids is None else file_ids:
                    place.out[file_id].halted = True
            case Copy() | Abandon() as order:
                assert place.swept
                assert place.has_credit()
                assert all(order.file.id not in each.out for each in self.places.values())
                case = self.case(self.schedule._jobs[order.file.id])
                assert case.job.file == order.file
                assert self.now_s >= case.not_before_s
                place.out[order.file.id] = self.ordered(place, order, case, orders)

    def ordered(self, place: Place, order: Copy | Abandon, case: Case, orders: list[LaneMessage]) -> Out:
        if isinstance(order, Abandon):
            assert (order.error is not None) is case.fails
            assert order.attempts == case.job.attempts
            assert case.fails or self.announced.get(order.file.id) != order.file
            return Out(order, 0, 0, 0)
        assert order.attempt == case.attempts + 1 <= case.job.route.max_attempts
        assert self.announced[order.file.id] == order.file
        assert case.job is self.next_in_line(place, orders)
        return Out(order, order.file.signature.size_bytes, case.arrived_bytes, case.arrived_bytes)

    def next_in_line(self, place: Place, orders: list[LaneMessage]) -> Job:
        """Of all that waited when the first of these orders was given: the one whose turn it was."""
        ordered = {order.file.id for order in orders if isinstance(order, Copy)}
        jobs = (job for job in self.schedule._jobs.values() if self.is_waiting(job, place) or job.file.id in ordered)
        cases = [case for case in map(self.case, jobs) if place.fits(self.missing_bytes(case))]
        best = min(cases, key=lambda case: (case.setbacks, -case.job.route.priority, case.job.ordinal))
        return best.job

    def is_waiting(self, job: Job, place: Place) -> bool:
        here = job.route.name in place.plan.routes
        return here and job.state is JobState.QUEUED and job.route.name not in self.paused

    @staticmethod
    def missing_bytes(case: Case) -> int:
        return case.job.file.signature.size_bytes - case.arrived_bytes

    def check_nothing_idles(self, place: Place) -> None:
        """A free place on an open destination is used by whatever can use it."""
        jobs = self.schedule._jobs.values()
        if place.has_credit():
            waiting = [self.case(job) for job in jobs if self.is_waiting(job, place)]
            assert not [case for case in waiting if place.fits(self.missing_bytes(case))]
            leaving = [job for job in jobs if job.state is JobState.PUTTING_AWAY and self.place(job.file) is place]
            assert all(job.file.id in place.out or self.case(job).not_before_s > self.now_s for job in leaving)

    def check_facts(self, effects: Effects) -> None:
        failed = Tally(
            fact.file_id for fact in effects.facts if isinstance(fact, Moved) and fact.status is Status.FAILED
        )
        for fact in effects.facts:
            self.view.apply(fact)  # type: ignore[arg-type]
        for job in self.schedule._jobs.values():
            case = self.case(job)
            if id(job) not in self.cases or job.error == "unreadable":
                case.fails = True
            case.times_failed += failed[job.file.id]
            assert case.times_failed == case.fails
        for file_id, file in self.announced.items():
            self.check_shown(file_id, file)

    def check_shown(self, file_id: str, file: SourceFile) -> None:
        row = self.view._find(file_id)
        assert row is not None
        job = self.schedule._jobs.get(file_id)
        if job is None:
            assert self.delivered[file_id] == file
            assert row.status is Status.COMPLETED
        elif job.file == file and not job.withdrawn:
            assert row.status is self.status(job)
            assert row.attempts == job.attempts
        else:
            assert job.successor == file

    def status(self, job: Job) -> Status:
        match job.state:
            case JobState.QUEUED:
                paused = job.route.name in self.paused or not self.place(job.file).is_open
                return Status.PAUSED if paused else Status.IN_QUEUE
            case JobState.RETRYING:
                return Status.IN_QUEUE
            case JobState.RUNNING:
                return Status.COPYING
        return Status.FAILED


TestDispatching = Dispatching.TestCase
TestDispatching.settings = settings(stateful_step_count=60)
