"""The JSON bodies of `/uploads/`, as types; upload_wire.py fills them in."""

from typing import Annotated, Literal, NotRequired, TypedDict

from agent.model.upload import UploadFileState, UploadState
from web.schemas import Moment

UploadStateWord = Annotated[str, UploadState]
UploadFileStateWord = Annotated[str, UploadFileState]


class UploadRequest(TypedDict):
    """`source_folder` is absolute; `pattern` a glob on the path below it, without one every file counts."""

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
    """One file of an upload job; `path` is relative to its folder, `key` is where it stands in the bucket."""

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
