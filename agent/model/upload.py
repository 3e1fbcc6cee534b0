"""Upload jobs and their files."""

import enum

from attrs import frozen


class UploadState(enum.Enum):
    """The state of an upload job; the values are the contract's words."""

    PENDING = "PENDING"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"

    @property
    def is_end(self) -> bool:
        return self in (UploadState.COMPLETED, UploadState.FAILED)


class UploadFileState(enum.Enum):
    """The state of one file of an upload job; the values are the contract's words."""

    PENDING = "PENDING"
    IN_PROGRESS = "IN_PROGRESS"
    UPLOADED = "UPLOADED"
    FAILED = "FAILED"


@frozen
class CreateUpload:
    """The request for an upload job; `source_folder` is an absolute path."""

    source_folder: str
    destination_bucket: str
    pattern: str | None = None


@frozen
class UploadJob:
    """Everything of `source_folder`, an absolute path, that matches `pattern` (None: all) goes to a bucket.

    `progress` is from 0 to 1, by bytes; `error` is one line: why it failed, or what holds it up now.
    """

    id: str
    source_folder: str
    destination_bucket: str
    pattern: str | None
    state: UploadState
    created_at: float
    updated_at: float
    progress: float = 0.0
    total_files: int = 0
    completed_files: int = 0
    error: str | None = None


@frozen
class UploadFile:
    """One file of an upload job; `path` is relative to its folder, `key` is its key in the bucket."""

    path: str
    state: UploadFileState
    size_bytes: int
    mtime_ns: int
    created_at: float
    updated_at: float
    key: str | None = None
    error: str | None = None
