"""Messages to the broadcaster: every event that changes what the page shows or counts."""

from typing import Literal

from attrs import frozen

from agent.config.sections import Route
from agent.messages.dispatcher import DestinationState, SourceState, TransferProgress
from agent.model.source_file import FileVersion
from agent.model.transfer import Delivery, Status


@frozen
class StatusChanged:
    """The new status of a file; what is None stays as it was."""

    file_id: str
    status: Status
    at: float
    file: FileVersion | None = None
    why: str | None = None
    until_at: float | None = None
    attempts: int | None = None
    error: str | None = None
    delivery: Delivery | None = None


@frozen
class StatusesChanged:
    """The new status of many files."""

    changes: tuple[StatusChanged, ...]


@frozen
class Untracked:
    """These files are no longer tracked."""

    file_ids: tuple[str, ...]


@frozen
class CounterIncremented:
    """One more of what only the metrics count."""

    what: Literal["verify_failure", "retry_local", "retry_outage", "watch_overflow"]
    route: str


@frozen
class Recovered:
    """Recovery at a destination has ended: transfers of earlier runs are finished, orphans removed."""

    destination: str


@frozen
class RouteState:
    route: str
    paused: bool


@frozen
class RouteAdded:
    """A route was added while the agent runs; it comes before every other event of the route."""

    route: Route


@frozen
class RouteRemoved:
    """A route was removed; no other event of the route follows."""

    route: str


@frozen
class GenerationStarted:
    """A configuration took effect: files are tracked from the beginning again."""

    routes: tuple[Route, ...]
    at: float


@frozen
class ActorCrashed:
    """An actor raised, which is a bug; it is restarted after `delay_s`."""

    actor: str
    error: str
    at: float
    delay_s: float


@frozen
class ConfigRejected:
    """A reload was refused; the old configuration stays in effect."""

    reasons: tuple[str, ...]
    at: float


@frozen
class JournalState:
    """Whether the journal can be written; `error` None: it can."""

    error: str | None
    at: float


@frozen
class JournalReplaced:
    """The journal was damaged and has been set aside; a new one is in use."""

    damage: str
    at: float


# What changes the status model.
StatusEvent = (
    StatusChanged
    | StatusesChanged
    | Untracked
    | TransferProgress
    | DestinationState
    | SourceState
    | Recovered
    | RouteState
    | RouteAdded
    | RouteRemoved
    | GenerationStarted
    | ActorCrashed
    | ConfigRejected
    | JournalState
    | JournalReplaced
)
