"""What the scheduler has decided: events to publish, commands to copier pools, probes to ask for."""

from collections.abc import Iterator

from attrs import define, field

from agent.messages.broadcaster import (
    CounterIncremented,
    RouteRemoved,
    RouteState,
    StatusChanged,
    StatusesChanged,
    Untracked,
)
from agent.messages.copier_pool import CopierPoolInbox
from agent.messages.dispatcher import DestinationState
from agent.model.errors import Fault

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
    """`commands` and `probe_requests` with the destination that each of them is for.

    A probe request has the fault that closed the destination; None: it is open, and the probe is to tell
    whether it works.
    """

    events: list[SchedulerEvent] = field(factory=list)
    commands: list[tuple[str, CopierPoolInbox]] = field(factory=list)
    probe_requests: list[tuple[str, Fault | None]] = field(factory=list)

    def request_probe(self, destination: str, fault: Fault | None) -> None:
        if (destination, fault) not in self.probe_requests:
            self.probe_requests.append((destination, fault))

    def grouped_events(self) -> Iterator[SchedulerEvent]:
        """The events in their order, with successive status changes joined into one message."""
        changes: list[StatusChanged] = []
        for event in self.events:
            if isinstance(event, StatusChanged):
                changes.append(event)
                continue
            yield from _joined(changes)
            changes = []
            yield event
        yield from _joined(changes)


def _joined(changes: list[StatusChanged]) -> list[StatusChanged] | list[StatusesChanged]:
    return [StatusesChanged(tuple(changes))] if len(changes) > 1 else changes
