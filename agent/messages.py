"""Every message that travels between actors, and each inbox's union. No behaviour.

`*_s` on a monotonic clock unless the name says `at`: `*_at` is wall time in seconds since the epoch.
Paths are relative to the route's source, separated by "/", with undecodable bytes as surrogates (PEP 383).
"""

from typing import Literal

import trio
from attrs import frozen

from agent.config import Route
from agent.faults import Fault, OutageReason
from agent.terms import Delivery, Entry, SourceFile, Status, Unreadable
from agent.views import Feed


@frozen
class Scan:
    """What stands in a source: a level, not an edge.

    `looked` is None for a whole scan; otherwise only these paths were looked at, and those of them without
    an entry are gone. `unseen`: what could not be looked at; nothing is known of it and of what is below.
    The stats lie between `began_s` and `ended_s`.
    """

    entries: tuple[Entry, ...]
    began_s: float
    ended_s: float
    at: float
    free_bytes: int
    looked: tuple[str, ...] | None = None
    unseen: tuple[Unreadable, ...] = ()


@frozen
class Hint:
    """Something moved in the source: look there soon. Empty `paths`: look everywhere."""

    paths: tuple[str, ...] = ()


@frozen
class Look:
    """Examine these files closely as soon as possible."""

    paths: tuple[str, ...]


@frozen
class Listening:
    """Whether the operating system tells what happens in the source; unless this is said, it is taken to."""

    active: bool


WatcherInbox = Hint | Look | Listening
StabilityInbox = Scan


@frozen
class Ready:
    file: SourceFile
    at: float


@frozen
class Growing:
    """It grows as a recording does, and may be copied meanwhile; said again each time it has grown."""

    file: SourceFile
    at: float


@frozen
class Gone:
    """What was announced is no longer so: the file left the source, or it `changed` and is watched afresh."""

    file: SourceFile
    at: float
    changed: bool


@frozen
class Done:
    file: SourceFile
    delivery: Delivery
    at: float


@frozen
class CaughtUp:
    """A growing file was copied as far as it goes, and has not grown for a while."""

    file: SourceFile
    at: float


@frozen
class Interrupted:
    """The copy stopped through no fault of the file's; `fault` None: we stopped it ourselves."""

    file: SourceFile
    fault: Fault | None
    verified_bytes: int
    at: float


@frozen
class Failed:
    """An attempt ended with the file's own fault."""

    file: SourceFile
    fault: Fault
    at: float


@frozen
class Abandoned:
    """A given-up or cancelled transfer has been put away: journaled, its partial removed."""

    file: SourceFile
    at: float


@frozen
class Advanced:
    """How far a running copy is, for the free-space gate; may be dropped."""

    file_id: str
    written_bytes: int


@frozen
class StorageState:
    """A destination as of now; `reason` None means usable. `since_at` is when this state began.

    `device` is the file system that was accepted there; None until one was.
    """

    destination: str
    reason: OutageReason | None
    detail: str
    since_at: float
    began_s: float
    free_bytes: int | None
    total_bytes: int | None
    device: int | None


@frozen
class SourceReach:
    """What a scan of a whole source, begun at `began_s`, met; no `error`: the source can be read."""

    route: str
    error: str
    began_s: float


@frozen
class Retry:
    """Try again: one failed file, or all of them (None)."""

    file_id: str | None


@frozen
class Cancel:
    file_id: str


@frozen
class PauseRoute:
    route: str


@frozen
class ResumeRoute:
    route: str


DispatcherInbox = (
    Ready
    | Growing
    | Gone
    | Done
    | CaughtUp
    | Interrupted
    | Failed
    | Abandoned
    | Advanced
    | StorageState
    | SourceReach
    | Retry
    | Cancel
    | PauseRoute
    | ResumeRoute
)


@frozen
class Doubt:
    """A copy met an outage that the storage monitor has not seen: probe now."""

    fault: Fault


@frozen
class Copy:
    """Carry this file over; `attempt` counts from 1 and is the last when it equals the route's maximum.

    `device`: the file system that the monitor has accepted at the destination.
    """

    file: SourceFile
    attempt: int
    device: int


@frozen
class Follow:
    """Copy what stands of this growing file, and its tail as it comes."""

    file: SourceFile
    device: int


@frozen
class Abandon:
    """Put the transfer away for good and remove its partial; `error` None: its source vanished, forget it."""

    file: SourceFile
    attempts: int
    error: str | None
    device: int


@frozen
class Halt:
    """Stop these running copies (None: all of them) by killing their workers."""

    file_ids: tuple[str, ...] | None = None


@frozen
class Sweep:
    """Finish what is half-published and remove orphans of ours."""

    device: int


LaneMessage = Copy | Follow | Abandon | Halt | Sweep


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


@frozen
class Swept:
    """What earlier runs had left half done at a destination is finished or put away."""

    destination: str


@frozen
class RouteState:
    route: str
    paused: bool


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


BroadcasterInbox = (
    Moved
    | Moves
    | Forgotten
    | Progress
    | Counted
    | StorageState
    | SourceState
    | Swept
    | RouteState
    | GenerationStarted
    | Crashed
    | ConfigRejected
    | JournalState
    | JournalRenewed
    | Subscribe
)


@frozen
class Reload:
    """Read the configuration again."""
