"""Messages to the dispatcher: from trackers, copies, storage monitors, watchers and the operator."""

import enum

from attrs import frozen

from agent.config.sections import DestinationPlan, Route
from agent.model.errors import Fault, OutageReason
from agent.model.source_file import FileVersion, UnreadableFolder
from agent.model.transfer import Delivery, PriorResult


@frozen
class Ready:
    """A file is complete.

    `prior_result`: how an earlier transfer of it ended, perhaps of another state of the file.
    """

    file: FileVersion
    at: float
    prior_result: PriorResult | None = None


@frozen
class Growing:
    """A file grows as a recording does and may be copied meanwhile; sent again each time it has grown."""

    file: FileVersion
    at: float


@frozen
class Gone:
    """A file that was announced has left the source, or it has `changed` and is tracked afresh."""

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
    """A copy stopped, and the file is not at fault; `fault` None: we stopped it ourselves."""

    file: FileVersion
    fault: Fault | None
    verified_bytes: int
    at: float


@frozen
class AttemptFailed:
    """An attempt ended with a fault of the file itself."""

    file: FileVersion
    fault: Fault
    verified_bytes: int
    at: float


@frozen
class Aborted:
    """A transfer that was given up or cancelled is cleaned up: journaled, its partial removed."""

    file: FileVersion
    at: float


@frozen
class FoundUnfinished:
    """A file that its copy was to examine is not finished; nothing of it is left."""

    file: FileVersion
    at: float


Outcome = Delivered | TailIdle | Aborted | AttemptFailed | Interrupted | FoundUnfinished


@frozen
class MessageGroup:
    """Messages about many files, so that free slots are filled once after all of them."""

    messages: tuple[Ready | Growing | Gone | Outcome, ...]


@frozen
class TransferProgress:
    """How far a running copy is, for the account of free space and for the page; may be dropped."""

    file_id: str
    copied_bytes: int
    verified_bytes: int
    at: float


@frozen
class DestinationState:
    """The state of a destination; `reason` None means usable. `since_at` is when this state began.

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
    """Try a failed file again."""

    file_id: str


@frozen
class RetryAll:
    """Try every failed file again."""


@frozen
class Cancel:
    file_id: str


@frozen
class PauseRoute:
    route: str


@frozen
class ResumeRoute:
    route: str


Command = Retry | RetryAll | Cancel | PauseRoute | ResumeRoute

ONLY_FAILED = "only a Failed file can be retried, or one whose source was kept"


class Refusal(enum.Enum):
    NOT_FOUND = "not found"
    WRONG_STATE = "wrong state"


@frozen
class CommandResult:
    """`detail`: what a command did, or why it did nothing; `refusal` None: it was carried out."""

    detail: str
    refusal: Refusal | None = None


@frozen
class AddDestination:
    """A destination that no configured route has."""

    plan: DestinationPlan


@frozen
class RemoveDestination:
    """None of its routes is left."""

    destination: str


@frozen
class AddRoute:
    """A route of an upload job; its destination is known already."""

    route: Route


@frozen
class RemoveRoute:
    """Stop its copies and clean up their transfers; its watcher and tracker have ended already."""

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
    | FoundUnfinished
    | MessageGroup
    | TransferProgress
    | DestinationState
    | SourceState
    | AddDestination
    | RemoveDestination
    | AddRoute
    | RemoveRoute
)
