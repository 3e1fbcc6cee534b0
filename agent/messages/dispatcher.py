"""What the dispatcher hears: of files, of copies, of storage, and from the operator."""

from attrs import frozen

from agent.config.sections import DestinationPlan, Route
from agent.model.errors import Fault, OutageReason
from agent.model.source_file import FileVersion, UnreadableFolder
from agent.model.transfer import Delivery, PriorResult


@frozen
class Ready:
    """`prior_result`: why it may not have to be transferred again; perhaps of another state of the file."""

    file: FileVersion
    at: float
    prior_result: PriorResult | None = None


@frozen
class Growing:
    """It grows as a recording does, and may be copied meanwhile; said again each time it has grown."""

    file: FileVersion
    at: float


@frozen
class Gone:
    """What was announced is no longer so: the file left the source, or it `changed` and is watched afresh."""

    file: FileVersion
    at: float
    changed: bool


@frozen
class Delivered:
    file: FileVersion
    delivery: Delivery
    at: float


@frozen
class TailIdle:
    """A growing file was copied as far as it goes, and has not grown for a while."""

    file: FileVersion
    at: float


@frozen
class Interrupted:
    """The copy stopped through no fault of the file's; `fault` None: we stopped it ourselves."""

    file: FileVersion
    fault: Fault | None
    verified_bytes: int
    at: float


@frozen
class AttemptFailed:
    """An attempt ended with the file's own fault."""

    file: FileVersion
    fault: Fault
    at: float


@frozen
class Aborted:
    """A given-up or cancelled transfer has been put away: journaled, its partial removed."""

    file: FileVersion
    at: float


@frozen
class MessageBatch:
    """What one sender says of many files at once, so that the line is looked through once for all of them."""

    messages: tuple[Ready | Growing | Gone | Delivered | Interrupted | AttemptFailed, ...]


@frozen
class BytesWritten:
    """How far a running copy is, for the free-space gate; may be dropped."""

    file_id: str
    written_bytes: int


@frozen
class DestinationState:
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
class SourceState:
    """A source as a scan of all of it found it, which began at `began_s`; `error` None: it can be read.

    `unreadable`: the first of the folders in it that cannot be listed.
    """

    route: str
    error: str | None
    began_s: float
    at: float
    free_bytes: int | None = None
    unreadable: tuple[UnreadableFolder, ...] = ()


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
class AddDestination:
    """A destination that no configured route has."""

    plan: DestinationPlan


@frozen
class RemoveDestination:
    """Nothing goes there any more: none of its routes is left."""

    destination: str


@frozen
class AddRoute:
    """A route that comes while the house runs; its lane is open."""

    route: Route


@frozen
class RemoveRoute:
    """Stop its copies and put away what they leave; nothing more will be heard of its source."""

    route: str


SchedulerInput = (
    Ready
    | Growing
    | Gone
    | Delivered
    | TailIdle
    | Interrupted
    | AttemptFailed
    | Aborted
    | MessageBatch
    | BytesWritten
    | DestinationState
    | SourceState
    | Retry
    | Cancel
    | PauseRoute
    | ResumeRoute
    | AddDestination
    | RemoveDestination
    | AddRoute
    | RemoveRoute
)
