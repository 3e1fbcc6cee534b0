"""What the tests of the scheduler say to it, and how they read its answers."""

from attrs import evolve

from agent.actors.dispatcher.decisions import SchedulerDecisions, SchedulerEvent
from agent.actors.dispatcher.scheduler import Scheduler
from agent.messages.broadcaster import StatusChanged, StatusesChanged
from agent.messages.copier_pool import CopierPoolInbox, Copy
from agent.messages.dispatcher import (
    AttemptFailed,
    Command,
    Delivered,
    DestinationState,
    Interrupted,
    Ready,
    SchedulerInput,
)
from agent.model.errors import Fault
from agent.model.source_file import FileVersion
from tests.samples import OUTAGE, ROUTE, SOURCE_FAULT, a_config, a_delivery, a_file, usable

ONE = evolve(ROUTE, workers=1)
URGENT = evolve(ONE, name="urgent", priority=1)
FILE, OTHER, THIRD = a_file("a.mxf"), a_file("b.mxf"), a_file("c.mxf")


def tell(
    scheduler: Scheduler, *messages: SchedulerInput | Command | None, now_s: float = 0.0
) -> SchedulerDecisions:
    """What follows from the last message."""
    for message in messages:
        scheduler.take()
        if isinstance(message, Command):
            scheduler.execute(message, now_s, 1000.0 + now_s)
        else:
            scheduler.handle(message, now_s, 1000.0 + now_s)
    return scheduler.take()


def opened(*files: FileVersion, free_bytes: int | None = None, workers: int = 1) -> Scheduler:
    """A scheduler for one open destination, with these files ready."""
    scheduler = Scheduler.start(a_config(evolve(ONE, workers=workers), URGENT), ())
    tell(scheduler, usable(free_bytes=free_bytes), *(Ready(file, 1000.0) for file in files))
    return scheduler


def orders(effects: SchedulerDecisions) -> list[CopierPoolInbox]:
    return [order for _, order in effects.commands]


def copied(effects: SchedulerDecisions) -> list[FileVersion]:
    return [order.file for order in orders(effects) if isinstance(order, Copy)]


def moved(effects: SchedulerDecisions, file: FileVersion = FILE) -> list[StatusChanged]:
    """What visitors hear of this file."""
    facts: list[SchedulerEvent] = []
    for fact in effects.events:
        facts += fact.moved if isinstance(fact, StatusesChanged) else [fact]
    return [fact for fact in facts if isinstance(fact, StatusChanged) and fact.file_id == file.id]


def storage(effects: SchedulerDecisions) -> list[DestinationState]:
    return [fact for fact in effects.events if isinstance(fact, DestinationState)]


def failed(fault: Fault = SOURCE_FAULT, file: FileVersion = FILE) -> AttemptFailed:
    return AttemptFailed(file, fault, 1.0)


def interrupted(
    fault: Fault | None = OUTAGE, file: FileVersion = FILE, verified_bytes: int = 0
) -> Interrupted:
    return Interrupted(file, fault, verified_bytes, 1.0)


def done(file: FileVersion = FILE) -> Delivered:
    return Delivered(file, a_delivery(), 1.0)
