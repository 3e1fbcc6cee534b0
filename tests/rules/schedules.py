"""What the tests of the schedule say to it, and how they read its answers."""

from attrs import evolve

from agent.faults import Fault
from agent.messages import (
    Copy,
    DispatcherInbox,
    Done,
    Failed,
    Interrupted,
    LaneMessage,
    Moved,
    Moves,
    Ready,
    StorageState,
)
from agent.rules.roster import Effects, Fact
from agent.rules.schedule import Schedule
from agent.terms import SourceFile
from tests.rules.samples import (
    OUTAGE,
    ROUTE,
    SOURCE_FAULT,
    a_config,
    a_delivery,
    a_file,
    usable,
)

ONE = evolve(ROUTE, workers=1)
URGENT = evolve(ONE, name="urgent", priority=1)
FILE, OTHER, THIRD = a_file("a.mxf"), a_file("b.mxf"), a_file("c.mxf")


def tell(schedule: Schedule, *messages: DispatcherInbox | None, now_s: float = 0.0) -> Effects:
    """What follows from the last message."""
    for message in messages:
        schedule.take()
        schedule.handle(message, now_s, 1000.0 + now_s)
    return schedule.take()


def opened(*files: SourceFile, free_bytes: int | None = None, workers: int = 1) -> Schedule:
    """A schedule for one open destination, with these files ready."""
    schedule = Schedule.start(a_config(evolve(ONE, workers=workers), URGENT), ())
    tell(schedule, usable(free_bytes=free_bytes), *(Ready(file, 1000.0) for file in files))
    return schedule


def orders(effects: Effects) -> list[LaneMessage]:
    return [order for _, order in effects.orders]


def copied(effects: Effects) -> list[SourceFile]:
    return [order.file for order in orders(effects) if isinstance(order, Copy)]


def moved(effects: Effects, file: SourceFile = FILE) -> list[Moved]:
    """What visitors hear of this file."""
    facts: list[Fact] = []
    for fact in effects.facts:
        facts += fact.moved if isinstance(fact, Moves) else [fact]
    return [fact for fact in facts if isinstance(fact, Moved) and fact.file_id == file.id]


def storage(effects: Effects) -> list[StorageState]:
    return [fact for fact in effects.facts if isinstance(fact, StorageState)]


def failed(fault: Fault = SOURCE_FAULT, file: SourceFile = FILE) -> Failed:
    return Failed(file, fault, 1.0)


def interrupted(
    fault: Fault | None = OUTAGE, file: SourceFile = FILE, verified_bytes: int = 0
) -> Interrupted:
    return Interrupted(file, fault, verified_bytes, 1.0)


def done(file: SourceFile = FILE) -> Done:
    return Done(file, a_delivery(), 1.0)
