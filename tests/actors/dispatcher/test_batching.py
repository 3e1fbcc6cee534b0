"""Which small files are copied in one batch; each of them ends delivered or failed all the same."""

from collections.abc import Iterable

import pytest
from attrs import define, evolve, field
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.actors.dispatcher.batching import MAX_BATCH_BYTES, MAX_BATCH_FILES, MAX_UNBATCHED
from agent.actors.dispatcher.scheduler import Scheduler
from agent.config.sections import Route
from agent.messages.broadcaster import StatusChanged
from agent.messages.copier_pool import AbortTransfer, CancelCopies, CopierPoolInbox, Copy, CopyBatch
from agent.messages.dispatcher import (
    Aborted,
    AttemptFailed,
    Delivered,
    Interrupted,
    MessageGroup,
    Ready,
    SchedulerInput,
)
from agent.model.source_file import FileVersion
from agent.model.storage import BandwidthStep
from agent.model.transfer import SMALL_BYTES, Status
from tests.samples import NAS, OUTAGE, ROUTE, SOURCE_FAULT, a_config, a_delivery, a_file, usable

ONE = evolve(ROUTE, workers=1, retry_delay_s=0.0)
OTHER = evolve(ONE, name="wav", source="/src2")
MANY = 3 * MAX_BATCH_FILES
Outcome = Delivered | AttemptFailed | Interrupted


def small(number: int, size_bytes: int = 1000, route: str = "mxf") -> FileVersion:
    return a_file(f"{number:05}", size_bytes, route=route)


def all_ready(files: Iterable[FileVersion]) -> MessageGroup:
    return MessageGroup(tuple(Ready(file, 1.0) for file in files))


def commands_of(scheduler: Scheduler) -> list[CopierPoolInbox]:
    return [command for _, command in scheduler.take().commands]


def given_first(
    *files: FileVersion, routes: tuple[Route, ...] = (ONE,), free_bytes: int | None = None
) -> CopierPoolInbox:
    """The command that is given when all these are ready and the destination has been found usable."""
    scheduler = Scheduler.start(a_config(*routes), paused=())
    scheduler.handle(all_ready(files), 1.0, 1001.0)
    scheduler.handle(usable(NAS, 2.0, free_bytes), 2.0, 1002.0)
    return commands_of(scheduler)[1]  # after the recovery


def test_many_small_files_take_one_slot_in_the_order_of_the_queue() -> None:
    files = [small(number) for number in range(MANY)]
    assert given_first(*files) == CopyBatch(tuple(files[:MAX_BATCH_FILES]), 7)


def test_only_the_first_of_them_is_shown_as_being_copied() -> None:
    scheduler = Scheduler.start(a_config(ONE), paused=())
    scheduler.handle(all_ready(map(small, range(MANY))), 1.0, 1001.0)
    scheduler.take()
    scheduler.handle(usable(), 2.0, 1002.0)
    events = [event for event in scheduler.take().events if isinstance(event, StatusChanged)]
    copying = [event.file_id for event in events if event.status is Status.COPYING]
    assert copying == [small(0).id]


def test_a_few_are_copied_one_by_one() -> None:
    assert given_first(*(small(number) for number in range(MAX_UNBATCHED))) == Copy(small(0), 1, 7)
    assert isinstance(given_first(*(small(number) for number in range(MAX_UNBATCHED + 1))), CopyBatch)


@pytest.mark.parametrize("size_bytes", [SMALL_BYTES, SMALL_BYTES + 1])
def test_a_large_one_goes_alone(size_bytes: int) -> None:
    command = given_first(*(small(number, size_bytes) for number in range(MANY)))
    assert isinstance(command, CopyBatch) is (size_bytes == SMALL_BYTES)


def test_a_batch_is_no_larger_than_a_worker_holds_in_memory() -> None:
    command = given_first(*(small(number, SMALL_BYTES) for number in range(MANY)))
    assert isinstance(command, CopyBatch)
    assert sum(file.signature.size_bytes for file in command.files) == MAX_BATCH_BYTES


def test_a_batch_is_no_larger_than_the_free_space() -> None:
    command = given_first(*(small(number) for number in range(MANY)), free_bytes=20_500)
    assert isinstance(command, CopyBatch)
    assert len(command.files) == 20


def test_a_large_file_ends_a_batch() -> None:
    files = [small(number) for number in range(MANY)]
    files[20] = small(20, SMALL_BYTES + 1)
    assert given_first(*files) == CopyBatch(tuple(files[:20]), 7)


def test_a_batch_is_of_one_route() -> None:
    files = [small(number, route=("mxf", "wav")[number >= 20]) for number in range(MANY)]
    assert given_first(*files, routes=(ONE, OTHER)) == CopyBatch(tuple(files[:20]), 7)


@pytest.mark.parametrize(
    "route",
    [
        evolve(ONE, bandwidth=(BandwidthStep(0, 1000),)),
        evolve(ONE, destination="s3://bucket/prefix"),
    ],
    ids=["bandwidth", "bucket"],
)
def test_where_more_than_a_folder_and_its_speed_matters_each_goes_alone(route: Route) -> None:
    scheduler = Scheduler.start(a_config(route), paused=())
    scheduler.handle(all_ready(map(small, range(MANY))), 1.0, 1001.0)
    scheduler.handle(usable(route.destination), 2.0, 1002.0)
    assert isinstance(commands_of(scheduler)[1], Copy)


@define
class Simulation:
    """A scheduler, and a copier pool whose copies return with the outcomes that are drawn."""

    workers: int
    scheduler: Scheduler = field(init=False)
    now_s: float = 1.0
    out: list[Copy | CopyBatch | AbortTransfer] = field(factory=list)
    tried: set[str] = field(factory=set)
    delivered: set[str] = field(factory=set)

    def __attrs_post_init__(self) -> None:
        self.scheduler = Scheduler.start(a_config(evolve(ONE, workers=self.workers)), paused=())

    def handle(self, message: SchedulerInput) -> None:
        self.now_s += 1.0
        self.scheduler.handle(message, self.now_s, 1000.0 + self.now_s)
        for command in commands_of(self.scheduler):
            match command:
                case Copy(file) | AbortTransfer(file):
                    self.out.append(command)
                    self.tried.add(file.id)
                case CopyBatch(files):
                    assert len(files) > MAX_UNBATCHED
                    assert not self.tried.intersection(file.id for file in files)
                    self.out.append(command)
                    self.tried.update(file.id for file in files)
                case CancelCopies():
                    pass  # each of them comes back in any case
        assert len(self.out) <= self.workers

    def come_back(self, which: int, kinds: list[int]) -> None:
        command = self.out.pop(which % len(self.out))
        match command:
            case AbortTransfer(file):
                self.handle(Aborted(file, 1.0))
            case Copy(file):
                self.handle(self.outcome(file, kinds[0]))
            case CopyBatch(files):
                outcomes = tuple(
                    self.outcome(file, kinds[number % len(kinds)]) for number, file in enumerate(files)
                )
                self.handle(MessageGroup(outcomes))
        self.handle(usable(NAS, self.now_s))

    def outcome(self, file: FileVersion, kind: int) -> Outcome:
        if kind == 0:
            self.delivered.add(file.id)
            return Delivered(file, a_delivery(file.signature.size_bytes), 1.0)
        if kind == 1:
            return AttemptFailed(file, SOURCE_FAULT, 0, 1.0)
        return Interrupted(file, None if kind == 2 else OUTAGE, 0, 1.0)


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 3),
    st.lists(st.sampled_from([500, 5000, SMALL_BYTES, SMALL_BYTES + 1]), min_size=1, max_size=150),
    st.lists(st.tuples(st.integers(0, 5), st.lists(st.integers(0, 3), min_size=1, max_size=7)), max_size=30),
)
def test_whatever_becomes_of_a_batch_each_of_its_files_ends_delivered_or_failed(
    workers: int, sizes: list[int], returns: list[tuple[int, list[int]]]
) -> None:
    simulation = Simulation(workers)
    files = [small(number, size_bytes) for number, size_bytes in enumerate(sizes)]
    simulation.handle(all_ready(files))
    simulation.handle(usable(NAS, simulation.now_s))
    for which, kinds in returns:
        if simulation.out:
            simulation.come_back(which, kinds)
    while simulation.out:
        simulation.come_back(0, [0])
    failed = set(simulation.scheduler.jobs)
    assert simulation.delivered | failed == {file.id for file in files}
    assert not simulation.delivered & failed
