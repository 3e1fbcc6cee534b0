"""Schedulers for tests, messages to them, and the parts of their decisions."""

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
    TransferProgress,
)
from agent.model.errors import Fault
from agent.model.source_file import FileVersion
from tests.samples import OUTAGE, ROUTE, SOURCE_FAULT, a_config, a_delivery, a_file, usable

ONE = evolve(ROUTE, workers=1)
URGENT = evolve(ONE, name="urgent", priority=1)
FILE, OTHER, THIRD = a_file("a.mxf"), a_file("b.mxf"), a_file("c.mxf")


def decide(
    scheduler: Scheduler, *messages: SchedulerInput | Command | None, now_s: float = 0.0
) -> SchedulerDecisions:
    """The decisions that follow from the last message."""
    for message in messages:
        scheduler.take()
        if isinstance(message, Command):
            scheduler.execute(message, now_s, 1000.0 + now_s)
        else:
            scheduler.handle(message, now_s, 1000.0 + now_s)
    return scheduler.take()


def opened(
    *files: FileVersion, free_bytes: int | None = None, workers: int = 1, retry_delay_s: float = 5.0
) -> Scheduler:
    """A scheduler for one open destination, with these files ready."""
    route = evolve(ONE, workers=workers, retry_delay_s=retry_delay_s)
    scheduler = Scheduler.start(a_config(route, URGENT), ())
    decide(scheduler, usable(free_bytes=free_bytes), *(Ready(file, 1000.0) for file in files))
    return scheduler


def commands(decisions: SchedulerDecisions) -> list[CopierPoolInbox]:
    return [command for _, command in decisions.commands]


def copied(decisions: SchedulerDecisions) -> list[FileVersion]:
    return [command.file for command in commands(decisions) if isinstance(command, Copy)]


def changes_of(decisions: SchedulerDecisions, file: FileVersion = FILE) -> list[StatusChanged]:
    """The published status changes of this file."""
    events: list[SchedulerEvent] = []
    for event in decisions.events:
        events += event.changes if isinstance(event, StatusesChanged) else [event]
    return [event for event in events if isinstance(event, StatusChanged) and event.file_id == file.id]


def published_states(decisions: SchedulerDecisions) -> list[DestinationState]:
    return [event for event in decisions.events if isinstance(event, DestinationState)]


def progress(file: FileVersion, copied_bytes: int) -> TransferProgress:
    return TransferProgress(file.id, copied_bytes, verified_bytes=0, at=1.0)


def failed(fault: Fault = SOURCE_FAULT, file: FileVersion = FILE, verified_bytes: int = 0) -> AttemptFailed:
    return AttemptFailed(file, fault, verified_bytes, 1.0)


def interrupted(
    fault: Fault | None = OUTAGE, file: FileVersion = FILE, verified_bytes: int = 0
) -> Interrupted:
    return Interrupted(file, fault, verified_bytes, 1.0)


def done(file: FileVersion = FILE, kept_because: str | None = None) -> Delivered:
    delivery = a_delivery(kept=kept_because is not None)
    return Delivered(file, evolve(delivery, kept_because=kept_because), 1.0)
