"""The JSON bodies of the contract as types: serializers.py fills them in, openapi.py describes them.

Five older bodies keep the camelCase names that their clients know; all others are snake_case. Sizes are
bytes.
"""

from typing import Annotated, Literal, NotRequired, TypedDict

from agent.model.health import HealthLevel
from agent.model.transfer import Status
from agent.model.upload import UploadFileState, UploadState
from agent.model.verification import VerifyLevel
from agent.model.views import HistoryResult

Moment = Annotated[str, "date-time"]  # RFC 3339, UTC, milliseconds
StatusWord = Annotated[str, Status]
LevelWord = Annotated[str, HealthLevel]
UploadStateWord = Annotated[str, UploadState]
UploadFileStateWord = Annotated[str, UploadFileState]


class InProgress(TypedDict):
    file: str
    progressPercentage: int
    status: StatusWord
    startTime: Moment


class CompletedFile(TypedDict):
    file: str
    completedAt: Moment | None


class FailedFile(TypedDict):
    file: str
    error: str
    failedAt: Moment | None


class StatusBody(TypedDict):
    """`allInProgress` is there only when several files are in progress; the oldest is `inProgress`."""

    pendingFilesCount: int
    pendingFiles: list[str]
    inProgress: InProgress | None
    allInProgress: NotRequired[list[InProgress]]
    recentlyCompleted: list[CompletedFile]
    failedFiles: list[FailedFile]


class RouteStorage(TypedDict):
    """Free space in whole GiB, -1 where it is not known."""

    name: str
    status: LevelWord
    message: str
    sourceFreeGB: int
    destinationFreeGB: int


class StorageBody(TypedDict):
    """The worst route decides; `message` is there unless all is well."""

    sourceFreeGB: int
    destinationFreeGB: int
    status: LevelWord
    message: NotRequired[str]
    routes: list[RouteStorage]


class FileEntry(TypedDict):
    """One file; `copy_progress` in percent of the size seen so far.

    `kept_because`: why the source of a delivered file, which is to be removed, is still there.
    """

    file_path: str
    status: StatusWord
    file_size: int
    last_write_time: Moment
    copy_progress: float
    retry_count: int
    error_message: str | None
    id: str
    route: str
    destination_path: str | None
    bytes_verified: int
    verified_level: VerifyLevel | None
    hash: str | None
    kept_because: str | None
    discovered_at: Moment
    started_at: Moment | None
    completed_at: Moment | None


class LiveFile(FileEntry):
    """`path` is relative to the source; `why` and `until` say what the file waits for."""

    path: str
    bytes_copied: int
    why: str
    until: Moment | None


class ExclusionEntry(TypedDict):
    """`rule`: in words, by which the route does not take the file."""

    route: str
    file_path: str
    rule: str


class ExcludedBody(TypedDict):
    """Of a path that is not tracked: the routes that do not take it. A relative path may be of several."""

    excluded: list[ExclusionEntry]


class FilesBody(TypedDict):
    """`next_cursor` is there only when there is more. With `verbose` each file is a LiveFile."""

    files: list[FileEntry]
    next_cursor: NotRequired[str]


class OutageEntry(TypedDict):
    reason: str
    since: Moment
    detail: str


class UnreadableFolderEntry(TypedDict):
    """`folder` is relative to the source."""

    folder: str
    reason: str


class HeldEntry(TypedDict):
    """How many files are held for this reason."""

    why: str
    files: int


class RouteEntry(TypedDict):
    """`counts` by status; `rate_bytes_s` over the last seconds; `checked`: the destination was probed.

    `unreadable_folders`: the first 20 folders of the source that cannot be listed. `held`: the three most
    frequent reasons why files are held. `upload_id`: the job whose route it is; null for those of the
    configuration.
    """

    name: str
    source: str
    destination: str
    rules: dict[str, object]
    paused: bool
    counts: dict[str, int]
    queue_bytes: int
    rate_bytes_s: float
    outage: OutageEntry | None
    checked: bool
    source_error: str | None
    source_free_bytes: int | None
    destination_free_bytes: int | None
    destination_total_bytes: int | None
    low_space_bytes: int
    unreadable_folders: list[UnreadableFolderEntry]
    held: list[HeldEntry]
    upload_id: str | None


class RoutesBody(TypedDict):
    routes: list[RouteEntry]


class HistoryEntry(TypedDict):
    """One ended transfer, from the journal."""

    transfer_id: int
    route: str
    path: str
    file_path: str
    result: HistoryResult
    file_size: int
    destination_path: str | None
    verified_level: VerifyLevel | None
    hash: str | None
    attempts: int
    error_message: str | None
    discovered_at: Moment
    started_at: Moment
    completed_at: Moment


class EndedBody(TypedDict):
    """Of a path that is not tracked any more: how its last transfer ended."""

    ended: HistoryEntry


class HistoryBody(TypedDict):
    """Newest first; `next_cursor` is there only when there is more."""

    history: list[HistoryEntry]
    next_cursor: NotRequired[str]


class EventEntry(TypedDict):
    at: Moment
    level: Literal["warning", "error"]
    text: str


class SnapshotMessage(TypedDict):
    """The first message of a live feed; with a window, `total` is the number of all files."""

    type: Literal["snapshot"]
    seq: int
    total: NotRequired[int]
    files: list[LiveFile]
    routes: list[RouteEntry]
    storage: StorageBody
    events: list[EventEntry]


class UpdateMessage(TypedDict):
    """What changed since number `seq` - 1; `removed` holds file ids."""

    type: Literal["update"]
    seq: int
    changed: list[LiveFile]
    removed: list[str]
    routes: list[RouteEntry]
    events: list[EventEntry]


class Accepted(TypedDict):
    """A command was carried out; `subject` is its route or file, `result` says in words what was done."""

    accepted: str
    subject: NotRequired[str]
    result: str


class Alive(TypedDict):
    status: Literal["ok"]


class ProblemBody(TypedDict):
    """RFC 9457 problem details; `reasons` where a configuration was rejected."""

    type: str
    title: str
    status: int
    detail: str
    reasons: NotRequired[list[str]]


class UploadRequest(TypedDict):
    """`source_folder` is absolute; `pattern` is a glob on the path below it."""

    source_folder: str
    destination_bucket: str
    pattern: NotRequired[str | None]


class UploadCreated(TypedDict):
    upload_id: str
    status: Literal["created"]


class UploadStopped(TypedDict):
    upload_id: str
    status: Literal["stopped"]


class UploadEntry(TypedDict):
    """One job; `progress` is from 0 to 1, by bytes. `error_message`: why it failed, or what holds it up."""

    upload_id: str
    progress: float
    state: UploadStateWord
    total_files: int
    completed_files: int
    source_folder: str
    destination_bucket: str
    pattern: str | None
    error_message: str | None
    created_at: Moment
    updated_at: Moment


class UploadsBody(TypedDict):
    """Newest first; `next_cursor` is there only when there is more."""

    uploads: list[UploadEntry]
    next_cursor: NotRequired[str]


class UploadFileEntry(TypedDict):
    """One file of an upload job; `path` is relative to its folder, `key` is its name in the bucket."""

    path: str
    state: UploadFileStateWord
    file_size: int
    last_write_time: Moment
    key: str | None
    error_message: str | None
    created_at: Moment
    updated_at: Moment


class UploadFilesBody(TypedDict):
    """In the order in which they were found; `next_cursor` is there only when there is more."""

    files: list[UploadFileEntry]
    next_cursor: NotRequired[str]
