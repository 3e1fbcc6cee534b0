"""What the dispatcher hears: of files, of copies, of storage, and from the operator."""

import trio
from attrs import frozen

from agent.config import DestinationPlan, Route
from agent.faults import Fault, OutageReason
from agent.messages.lanes import Doubt, LaneMessage
from agent.messages.sources import Gone, Growing, Ready
from agent.terms import Delivery, SourceFile


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
class Several:
    """What one sender says of many files at once, so that the line is looked through once for all of them."""

    messages: tuple[Ready | Growing | Gone | Done | Interrupted | Failed, ...]


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


@frozen
class OpenLane:
    """A destination that no configured route has."""

    plan: DestinationPlan
    lane: trio.MemorySendChannel[LaneMessage]
    doubts: trio.MemorySendChannel[Doubt]


@frozen
class CloseLane:
    """Nothing goes there any more: none of its routes is left."""

    destination: str


@frozen
class OpenRoute:
    """A route that comes while the house runs; its lane is open."""

    route: Route


@frozen
class CloseRoute:
    """Stop its copies and put away what they leave; nothing more will be heard of its source."""

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
    | Several
    | Advanced
    | StorageState
    | SourceReach
    | Retry
    | Cancel
    | PauseRoute
    | ResumeRoute
    | OpenLane
    | CloseLane
    | OpenRoute
    | CloseRoute
)
