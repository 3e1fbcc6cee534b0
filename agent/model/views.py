"""The views of the read model: the page, the command line and monitoring read nothing else."""

from typing import Literal

from attrs import field, frozen

from agent.model.errors import OutageReason
from agent.model.source_file import UnreadableFolder, signature_from_bytes
from agent.model.transfer import Status
from agent.model.upload import UploadFile, UploadFileState, UploadJob
from agent.model.verification import VerifyLevel


@frozen(weakref_slot=False)
class FileStatus:
    """The status of a file, and how far its transfer has come or how it ended.

    `source` is the route's folder. `error`, `why` and `kept_because` are one line of text each.
    `kept_because`: why the source of a completed file could not be removed.
    """

    route: str
    source: str
    status: Status
    why: str = ""
    until_at: float | None = None
    copied_bytes: int = 0
    verified_bytes: int = 0
    attempts: int = 0
    error: str | None = None
    started_at: float | None = None
    completed_at: float | None = None
    destination_path: str | None = None
    verified_level: VerifyLevel | None = None
    hash: str | None = None
    kept_because: str | None = None


@frozen(weakref_slot=False)
class FileView:
    """One file as clients see it: the only source of a file's row, in JSON, metrics and logic alike.

    Of a million files most wait. Files that wait for the same reason share one `current` object, and what the
    signature tells is not stored again: both keep a row small.
    """

    id: str
    path: str
    packed_signature: bytes = field(converter=bytes, alias="signature")
    discovered_at: float
    current: FileStatus

    @property
    def file_path(self) -> str:
        return f"{self.current.source}/{self.path}"

    @property
    def size_bytes(self) -> int:
        return signature_from_bytes(self.packed_signature).size_bytes

    @property
    def mtime_at(self) -> float:
        return signature_from_bytes(self.packed_signature).mtime_ns / 1e9


@frozen
class Outage:
    reason: OutageReason
    since_at: float
    detail: str


@frozen
class HeldFiles:
    """How many files are held for this reason."""

    why: str
    files: int


@frozen
class RouteView:
    """One route as clients see it. `counts` by status value; `rate_bytes_s` over the last seconds."""

    name: str
    source: str
    destination: str
    rules: dict[str, object]
    paused: bool
    counts: dict[str, int]
    queue_bytes: int
    rate_bytes_s: float
    outage: Outage | None
    checked: bool  # False until the destination was probed for the first time
    scanned: bool  # False until its source was listed for the first time
    recovered: bool  # False until recovery has completed or removed what earlier runs left there
    source_error: str | None
    source_free_bytes: int | None
    destination_free_bytes: int | None
    destination_total_bytes: int | None
    low_space_bytes: int
    unreadable_folders: tuple[UnreadableFolder, ...] = ()  # the first of those in the source
    held: tuple[HeldFiles, ...] = ()  # the most frequent reasons
    upload_id: str | None = None  # the upload job whose route it is


@frozen
class Event:
    """A line for the page: an actor crashed, a configuration was rejected, the journal cannot be written."""

    at: float
    level: Literal["warning", "error"]
    text: str


@frozen(eq=False)
class Snapshot:
    """The first item of a feed; `files` holds the tracked ones and the last 100 completed.

    `journal_error`: why the journal cannot be written, None: it can. This and `Update` compare by identity:
    web/message_cache.py keeps one encoded message per object.
    """

    seq: int
    files: tuple[FileView, ...]
    routes: tuple[RouteView, ...]
    events: tuple[Event, ...]
    journal_error: str | None = None


@frozen(eq=False)
class Update:
    """What changed since number `seq` - 1."""

    seq: int
    changed: tuple[FileView, ...]
    removed: tuple[str, ...]
    routes: tuple[RouteView, ...]
    events: tuple[Event, ...]


Feed = Snapshot | Update


HistoryResult = Literal["delivered", "kept", "failed"]


@frozen
class HistoryRow:
    """One ended transfer, from the journal."""

    transfer_id: int
    route: str
    path: str
    file_path: str
    result: HistoryResult
    size_bytes: int
    destination_path: str | None
    verified_level: VerifyLevel | None
    hash: str | None
    attempts: int
    error: str | None
    discovered_at: float
    started_at: float
    completed_at: float


@frozen
class HistoryQuery:
    """Rows that ended in [since_at, until_at): newest first, at most `limit`, older than `before_id`.

    `path`: of one file, absolute or below its source.
    """

    since_at: float | None = None
    until_at: float | None = None
    route: str | None = None
    limit: int = 100
    before_id: int | None = None
    path: str | None = None


@frozen
class UploadsQuery:
    """Upload jobs, newest first, at most `limit`, older than the one numbered `before_id`."""

    limit: int = 100
    before_id: int | None = None


@frozen
class UploadsPage:
    """`next_before_id` continues the listing; None at its end."""

    jobs: tuple[UploadJob, ...]
    next_before_id: int | None


@frozen
class UploadFilesQuery:
    """The files of one job in the order in which they were found, after the one numbered `after_id`."""

    upload_id: str
    state: UploadFileState | None = None
    limit: int = 1000
    after_id: int = 0


@frozen
class UploadFilesPage:
    """`next_after_id` continues the listing; None at its end."""

    files: tuple[UploadFile, ...]
    next_after_id: int | None


@frozen
class HistoryPage:
    """`next_before_id` continues the listing; None at its end."""

    rows: tuple[HistoryRow, ...]
    next_before_id: int | None
