"""What the broadcaster hears: every fact that visitors are told of, and the visitors themselves."""

from typing import Literal

from attrs import frozen

from agent.config.sections import Route
from agent.messages.dispatcher import DestinationState, SourceState
from agent.model.source_file import FileVersion
from agent.model.transfer import Delivery, Status


@frozen
class StatusChanged:
    """What became of a file; what is None stays as it was."""

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
    """Many files moved for one reason."""

    moved: tuple[StatusChanged, ...]


@frozen
class Untracked:
    """These files are no longer tracked."""

    file_ids: tuple[str, ...]


@frozen
class TransferProgress:
    """A running copy's figures; may be dropped."""

    file_id: str
    copied_bytes: int
    verified_bytes: int
    at: float


@frozen
class CounterIncremented:
    """Something for the metrics alone: a name of rules/metrics.py and its labels."""

    what: Literal["verify_failure", "retry_local", "retry_outage", "watch_overflow"]
    route: str


@frozen
class Recovered:
    """What earlier runs had left half done at a destination is finished or put away."""

    destination: str


@frozen
class RouteState:
    route: str
    paused: bool


@frozen
class RouteAdded:
    """A route has come while the house runs: it is known to visitors before anything is heard of it."""

    route: Route


@frozen
class RouteRemoved:
    """A route has gone: nothing will be heard of it any more."""

    route: str


@frozen
class GenerationStarted:
    """A configuration took effect: all that was tracked before is seen afresh."""

    routes: tuple[Route, ...]
    at: float


@frozen
class ActorCrashed:
    """An actor raised, a bug; the house was restarted after `delay_s`."""

    actor: str
    error: str
    at: float
    delay_s: float


@frozen
class ConfigRejected:
    """A reload was refused; the old configuration goes on."""

    reasons: tuple[str, ...]
    at: float


@frozen
class JournalState:
    """Whether the journal can be written; `error` None: it can."""

    error: str | None
    at: float


@frozen
class JournalReplaced:
    """The journal was damaged and has been set aside; a fresh one goes on."""

    damage: str
    at: float


# What changes the picture that visitors have of the house.
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
