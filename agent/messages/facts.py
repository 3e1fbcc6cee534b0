"""What the broadcaster hears: every fact that visitors are told of, and the visitors themselves."""

from typing import Literal

import trio
from attrs import frozen

from agent.config import Route
from agent.messages.dispatching import StorageState
from agent.terms import Delivery, SourceFile, Status, Unreadable
from agent.views import Feed, Snapshot


@frozen
class Moved:
    """What became of a file; what is None stays as it was."""

    file_id: str
    status: Status
    at: float
    file: SourceFile | None = None
    why: str | None = None
    until_at: float | None = None
    attempts: int | None = None
    error: str | None = None
    delivery: Delivery | None = None


@frozen
class Moves:
    """Many files moved for one reason."""

    moved: tuple[Moved, ...]


@frozen
class Forgotten:
    """These files are no longer tracked."""

    file_ids: tuple[str, ...]


@frozen
class Progress:
    """A running copy's figures; may be dropped."""

    file_id: str
    copied_bytes: int
    verified_bytes: int
    at: float


@frozen
class Counted:
    """Something for the metrics alone: a name of rules/metrics.py and its labels."""

    what: Literal["verify_failure", "retry_local", "retry_outage", "watch_overflow"]
    route: str


@frozen
class SourceState:
    """A source as the last whole scan found it; `error` None means readable, but for these folders in it."""

    route: str
    error: str | None
    free_bytes: int | None
    at: float
    unreadable: tuple[Unreadable, ...] = ()
    began_s: float = 0.0  # of the scan; the clock's beginning where it found nothing out


@frozen
class Swept:
    """What earlier runs had left half done at a destination is finished or put away."""

    destination: str


@frozen
class RouteState:
    route: str
    paused: bool


@frozen
class RouteOpened:
    """A route has come while the house runs: it is known to visitors before anything is heard of it."""

    route: Route


@frozen
class RouteClosed:
    """A route has gone: nothing will be heard of it any more."""

    route: str


@frozen
class GenerationStarted:
    """A configuration took effect: all that was tracked before is seen afresh."""

    routes: tuple[Route, ...]
    at: float


@frozen
class Crashed:
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
class JournalRenewed:
    """The journal was damaged and has been set aside; a fresh one goes on."""

    damage: str
    at: float


@frozen
class Subscribe:
    """A visitor: gets a Snapshot, then Updates; closed when it is too slow."""

    feed: "trio.MemorySendChannel[Feed]"


@frozen
class Glance:
    """A question: how does all stand this moment? Gets a Snapshot, and nothing more."""

    answer: "trio.MemorySendChannel[Snapshot]"


@frozen
class JobsChanged:
    """Upload jobs were added or stopped: the journal knows which."""


UploadFact = Moved | Moves | Forgotten | Progress | StorageState | SourceState | RouteClosed
UploadsInbox = UploadFact | JobsChanged


@frozen
class Overhear:
    """The keeper of upload jobs: from now on it is told every fact that may be about a job, in order.

    Nobody waits for it: the channel has no bound, and it only notes what it hears.
    """

    ear: trio.MemorySendChannel[UploadsInbox]


# What changes the picture that visitors have of the house.
ViewFact = (
    Moved
    | Moves
    | Forgotten
    | Progress
    | StorageState
    | SourceState
    | Swept
    | RouteState
    | RouteOpened
    | RouteClosed
    | GenerationStarted
    | Crashed
    | ConfigRejected
    | JournalState
    | JournalRenewed
)
BroadcasterInbox = ViewFact | Counted | Subscribe | Glance | Overhear
