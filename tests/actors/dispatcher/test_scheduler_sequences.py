"""Random sequences of everything that can happen to the dispatcher, with a simulated copier behind it."""

import math
from collections.abc import Callable

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.actors.dispatcher.transitions import ABORTING, COPY_WAITING, RUNNING, JobState
from agent.messages.broadcaster import StatusChanged
from agent.messages.copier_pool import AbortTransfer, Copy
from agent.messages.dispatcher import (
    AttemptFailed,
    Cancel,
    FoundUnfinished,
    Gone,
    Interrupted,
    PauseRoute,
    Ready,
    Refusal,
    ResumeRoute,
    Retry,
    RetryAll,
    SourceState,
)
from agent.model.errors import Fault, FaultKind
from agent.model.transfer import Status
from tests.actors.dispatcher.scheduler_driver import (
    CONFIG,
    HELD_UP,
    OWN_FAULTS,
    PLACES,
    ROUTES,
    SIZES,
    Dispatching,
    one_of,
    some,
)
from tests.actors.dispatcher.schedulers import progress
from tests.samples import OUTAGE, STALL, a_file, but, unusable, usable

SOURCE_OUTAGE = Fault(FaultKind.SOURCE_OUTAGE, "source: no answer")


class Simulation(Dispatching):
    """The scheduler among all that talks to it; steps pick `which` and `what` from what there is."""

    # Stability trackers

    def a_file_is_ready(self, which: int, what: int) -> None:
        route, path = one_of(PLACES, which)
        self.version += 1
        file = a_file(path, one_of(SIZES, what), self.version, route)
        if file.id in self.announced:
            return
        if what % 5 == 0:
            file = a_file(path, version=0, route=route)
        for status in (Status.DISCOVERED, Status.READY):
            self.view.apply(StatusChanged(file.id, status, self.at, file, ""))
        self.announced[file.id] = file
        prior = None if file.id in self.scheduler.jobs else self.prior_results.pop(file.id, None)
        same = prior if prior is not None and prior.signature == file.signature else None
        if same is not None and same.result == "kept":
            self.delivered[file.id] = file
        self.handle(Ready(file, self.at, prior))
        if same is not None and same.result == "failed":
            assert self.scheduler.jobs[file.id].state is JobState.FAILED

    def a_file_leaves(self, which: int, what: int) -> None:
        changed = what % 2 == 0
        for file in some(list(self.announced.values()), which):
            del self.announced[file.id]
            if file.id in self.scheduler.jobs:
                self.case(self.scheduler.jobs[file.id]).superseded = True
            if changed:
                again = evolve(file, signature=but(file.signature, mtime_ns=-1))
                self.view.apply(StatusChanged(file.id, Status.GROWING, self.at, again, ""))
            self.handle(Gone(file, self.at, changed))

    # Copier pools

    def a_copy_arrives(self, which: int, _what: int) -> None:
        for file in some(self.out(Copy), which):
            self.done(file)

    def a_copy_finds_its_file_unfinished(self, which: int, _what: int) -> None:
        for file in some(self.out(Copy), which):
            case = self.came_back(file)
            if not case.superseded:
                del self.announced[file.id]  # until it is ready again
            self.handle(FoundUnfinished(file, self.at))
            if not case.superseded:
                self.view.apply(StatusChanged(file.id, Status.DISCOVERED, self.at, file, ""))

    def an_attempt_fails(self, which: int, what: int) -> None:
        fault = one_of(OWN_FAULTS, what)
        for file in some(self.out(Copy), which):
            case = self.came_back(file)
            case.interrupted(0, self.now_s)
            is_at_source = fault.kind in {FaultKind.SOURCE, FaultKind.SOURCE_GONE}
            is_seen_by_scan = is_at_source and file.route in self.unreadable
            if not self.ends_early(case) and not is_seen_by_scan:
                case.attempt_failed(fault.kind, self.now_s)
            self.handle(AttemptFailed(file, fault, 0, self.at))

    def an_order_meets_a_fault_of_its_destination(self, which: int, what: int) -> None:
        verified_bytes = what // 8
        for file in some(self.out(Copy, AbortTransfer), which):
            place, case = self.place(file), self.came_back(file)
            further = case.interrupted(verified_bytes, self.now_s)
            case.setbacks += not further
            if case.job.state in ABORTING:
                case.not_away_before_s = self.now_s + case.next_wait_s()
            elif not self.ends_early(case) and place.is_open:
                place.checks.append((case, self.now_s))
            if not place.is_open:
                place.distrusted_until_s = self.now_s
            self.handle(Interrupted(file, OUTAGE, verified_bytes, self.at))

    def an_order_stalls(self, which: int, what: int) -> None:
        verified_bytes = what // 8
        for file in some(self.out(Copy, AbortTransfer), which):
            place, case = self.place(file), self.came_back(file)
            further = case.interrupted(verified_bytes, self.now_s)
            case.setbacks += not further
            is_own = place.is_open and case.stalled(place.deliveries)
            if case.job.state in ABORTING:
                case.not_away_before_s = self.now_s + case.next_wait_s()
            elif not self.ends_early(case) and is_own:
                case.attempt_failed(STALL.kind, self.now_s)
            halts = self.closed(place)
            place.distrusted_until_s = self.now_s
            self.handle(Interrupted(file, STALL, verified_bytes, self.at), halts)

    def a_source_cannot_be_read(self, which: int, _what: int) -> None:
        for file in some(self.out(Copy), which):
            case = self.came_back(file)
            case.interrupted(0, self.now_s)
            self.ends_early(case)
            self.cannot_be_read(file.route)
            self.handle(Interrupted(file, SOURCE_OUTAGE, 0, self.at))

    def an_order_is_held_up(self, which: int, what: int) -> None:
        for file in some(self.out(Copy, AbortTransfer), which):
            case = self.came_back(file)
            case.interrupted(0, self.now_s)
            if case.job.state in ABORTING:
                case.not_away_before_s = self.now_s + case.next_wait_s()
            elif not self.ends_early(case):
                case.not_before_s = self.now_s + case.next_wait_s()
            self.handle(Interrupted(file, one_of(HELD_UP, what), 0, self.at))

    def a_halted_order_stops(self, which: int, _what: int) -> None:
        for file in some(self.halted(), which):
            case = self.came_back(file)
            case.interrupted(0, self.now_s)
            self.ends_early(case)
            self.handle(Interrupted(file, None, 0, self.at))

    def a_transfer_is_aborted(self, which: int, _what: int) -> None:
        for file in some(self.out(AbortTransfer), which):
            self.abort_returns(file)

    def a_copy_advances(self, which: int, what: int) -> None:
        for file in some(self.out(Copy), which):
            self.place(file).out[file.id].written_bytes = what
            self.handle(progress(file, what))

    def an_old_figure_arrives(self, which: int, _what: int) -> None:
        route, path = one_of(PLACES, which)
        file = a_file(path, route=route)
        if file.id not in self.place(file).out:
            self.handle(progress(file, 10**9))

    # Storage monitors

    def a_probe_succeeds(self, which: int, what: int) -> None:
        began_s = self.now_s - what % 2
        self.probe(usable(one_of(list(self.places), which), began_s, one_of([None, None, 30, 60, 200], what)))

    def a_probe_fails(self, which: int, _what: int) -> None:
        self.probe(unusable(one_of(list(self.places), which), self.now_s))

    # Watchers

    def a_source_is_scanned(self, which: int, what: int) -> None:
        route = one_of(CONFIG.routes, which).name
        error = None if what % 3 else "source: no answer"
        self.scanned(SourceState(route, error, self.now_s - what % 2, at=1.0))

    # The operator, and time

    def a_route_is_paused(self, which: int, _what: int) -> None:
        route = one_of(CONFIG.routes, which)
        self.paused.add(route.name)
        copies = {file.id for file in self.out(Copy) if file.route == route.name}
        self.execute(PauseRoute(route.name), {route.destination: copies} if copies else {})

    def a_route_is_resumed(self, which: int, _what: int) -> None:
        route = one_of(CONFIG.routes, which).name
        self.paused.discard(route)
        self.execute(ResumeRoute(route))

    def a_file_is_cancelled(self, which: int, _what: int) -> None:
        route, path = one_of(PLACES, which)
        file_id = a_file(path, route=route).id
        job = self.scheduler.jobs.get(file_id)
        halts: dict[str, set[str] | None] = {}
        refusal = None
        if job is not None and job.state in RUNNING:
            self.case(job).cancelled = True
            halts = {job.route.destination: {file_id}}
        elif job is not None and job.state in COPY_WAITING | {JobState.RETRYING, JobState.CHECKING}:
            self.case(job).fails = True
        elif job is None or job.state is JobState.ABORTING_TO_REMOVE:
            refusal = Refusal.NOT_FOUND
        else:
            refusal = Refusal.WRONG_STATE
        assert self.execute(Cancel(file_id), halts).refusal is refusal

    def a_failed_file_is_tried_again(self, which: int, _what: int) -> None:
        route, path = one_of(PLACES, which)
        job = self.scheduler.jobs.get(a_file(path, route=route).id)
        if job is None or job.state is JobState.ABORTING_TO_REMOVE:
            refusal: Refusal | None = Refusal.NOT_FOUND
        else:
            is_failed = job.state in ABORTING | {JobState.FAILED}
            refusal = None if is_failed else Refusal.WRONG_STATE
        self.retry(Retry(a_file(path, route=route).id), refusal)

    def all_failed_files_are_tried_again(self, _which: int, _what: int) -> None:
        self.retry(RetryAll(), None)

    def retry(self, command: Retry | RetryAll, refusal: Refusal | None) -> None:
        failed = [
            job
            for job in self.scheduler.jobs.values()
            if job.state is JobState.FAILED and getattr(command, "file_id", job.file.id) == job.file.id
        ]
        assert self.execute(command).refusal is refusal
        for job in failed:
            assert self.scheduler.jobs[job.file.id].state in (JobState.NEW, JobState.COPYING)

    def time_passes(self, which: int, _what: int) -> None:
        self.now_s += one_of([0.5, 5.0, 60.0], which)
        self.handle(None)

    def all_goes_well_again(self) -> None:
        for destination in self.places:
            self.now_s += 1.0
            self.probe(usable(destination, self.now_s))
        for number, route in enumerate(CONFIG.routes):
            self.a_route_is_resumed(number, 0)
            self.scanned(SourceState(route.name, None, self.now_s, at=1.0))
        while self.scheduler.due_s() < math.inf or self.out(Copy, AbortTransfer):
            for file in self.out(AbortTransfer):
                self.abort_returns(file)
            for file in self.out(Copy):
                self.done(file)
            self.time_passes(which=1, _what=0)


STEPS = st.tuples(
    st.sampled_from(
        [
            *3 * [Simulation.a_file_is_ready],
            Simulation.a_file_leaves,
            *2 * [Simulation.a_copy_arrives],
            Simulation.a_copy_finds_its_file_unfinished,
            *2 * [Simulation.an_attempt_fails],
            *2 * [Simulation.an_order_meets_a_fault_of_its_destination],
            Simulation.an_order_stalls,
            Simulation.a_source_cannot_be_read,
            Simulation.an_order_is_held_up,
            *2 * [Simulation.a_halted_order_stops],
            *2 * [Simulation.a_transfer_is_aborted],
            Simulation.a_copy_advances,
            Simulation.an_old_figure_arrives,
            *5 * [Simulation.a_probe_succeeds],
            Simulation.a_probe_fails,
            *2 * [Simulation.a_source_is_scanned],
            Simulation.a_route_is_paused,
            *2 * [Simulation.a_route_is_resumed],
            Simulation.a_file_is_cancelled,
            Simulation.a_failed_file_is_tried_again,
            Simulation.all_failed_files_are_tried_again,
            *2 * [Simulation.time_passes],
        ]
    ),
    st.integers(0, 11),
    st.integers(0, 40),
)


@settings(max_examples=300)
@given(
    st.sets(st.sampled_from(sorted(ROUTES)), max_size=1),
    st.dictionaries(st.sampled_from(PLACES), st.sampled_from(["kept", "failed"]), max_size=2),
    st.one_of(st.lists(STEPS), st.lists(STEPS, min_size=60, max_size=160)),
)
def test_whatever_happens_every_file_at_the_source_ends_delivered_or_failed(
    paused: set[str],
    ends: dict[tuple[str, str], str],
    steps: list[tuple[Callable[[Simulation, int, int], None], int, int]],
) -> None:
    simulation = Simulation(paused, ends)
    for step, which, what in steps:
        step(simulation, which, what)
    simulation.all_goes_well_again()
    failed = simulation.scheduler.jobs
    assert all(job.state is JobState.FAILED for job in failed.values())
    assert all(simulation.announced[file_id] == job.file for file_id, job in failed.items())
    assert all(
        simulation.delivered[file_id] == simulation.announced[file_id]
        for file_id in simulation.announced.keys() - failed
    )
