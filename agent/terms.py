"""The words of the field that every room uses: statuses, signatures, evidence, deliveries."""

import enum
from typing import Literal

from attrs import evolve, frozen


class Status(enum.Enum):
    """Where a file stands; the values are the contract's words."""

    DISCOVERED = "Discovered"
    GROWING = "Growing"
    READY = "Ready"
    IN_QUEUE = "InQueue"
    COPYING = "Copying"
    VERIFYING = "Verifying"
    PAUSED = "Paused"
    HELD = "Held"
    COMPLETED = "Completed"
    FAILED = "Failed"


VerifyLevel = Literal["read_back", "read_back_cached", "hash", "size"]


@frozen
class Signature:
    """What makes one state of a file different from another (promise S4)."""

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int
    ctime_ns: int

    def is_same_file(self, other: "Signature") -> bool:
        """Whether both are states of one file, not of two that had one name."""
        return (self.device, self.inode) == (other.device, other.inode)

    def provisional(self) -> "Signature":
        """Of this file, but a state in which it will never be found: what was copied before its end."""
        return evolve(self, ctime_ns=-1)

    def __reduce__(self) -> tuple[object, ...]:
        """Scans pass these from process to process by the 100,000: attrs' own way takes twice as long."""
        return Signature, (self.device, self.inode, self.size_bytes, self.mtime_ns, self.ctime_ns)


@frozen
class BandwidthStep:
    """From this minute of the day (0 to 1439, local time) on so many bytes a second; None: no limit."""

    minute_of_day: int
    limit_bytes_s: int | None


@frozen
class S3Access:
    """How an s3:// destination is reached; empty texts leave the choice to the usual AWS places.

    An answer that takes longer than `timeout_s` is none.
    """

    endpoint_url: str
    region: str
    path_style: bool
    part_size_bytes: int
    timeout_s: float


class Writer(enum.Enum):
    """What the operating system says about open writers."""

    NONE = "none"
    OPEN = "open"
    UNKNOWN = "unknown"


class Container(enum.Enum):
    """What the file's own structure says about its end."""

    CLOSED = "closed"
    OPEN = "open"
    TRUNCATED = "truncated"
    UNKNOWN = "unknown"


@frozen
class Evidence:
    """What a close look at one file, in one state, found."""

    writer: Writer
    container: Container
    container_detail: str = ""


@frozen
class Entry:
    """One file as a scan saw it; `evidence` only where a look was asked for."""

    path: str
    signature: Signature
    evidence: Evidence | None = None

    def __reduce__(self) -> tuple[object, ...]:
        """As of a signature."""
        return Entry, (self.path, self.signature, self.evidence)


@frozen
class Unreadable:
    """A folder of a source, relative to it, that cannot be listed, and why."""

    folder: str
    reason: str


@frozen
class SourceFile:
    """One file in one state on one route."""

    id: str
    route: str
    path: str
    signature: Signature
    discovered_at: float


@frozen
class Delivery:
    """How a transfer ended well. `kept`: it stays at the source. `hash`: "xxh128:" and 32 hex digits.

    `started_at`: when it began; None where that is not remembered.
    """

    destination_path: str
    level: VerifyLevel
    hash: str
    size_bytes: int
    already_there: bool
    kept: bool
    started_at: float | None = None


@frozen
class Record:
    """What the history says of a delivered file. `destination_path` is absolute, `hash` as in `Delivery`."""

    route: str
    destination: str
    destination_path: str
    size_bytes: int
    hash: str


class Step(enum.Enum):
    """How far a running transfer has come, in the journal's words."""

    COPYING = "copying"
    INTENT = "intent"  # verified; the name we are about to give is written down
    PUBLISHED = "published"  # delivered; only the source has to be settled


@frozen
class Transfer:
    """One running or interrupted transfer, as the journal remembers it.

    `partial` and `name` are relative to the destination. `blocks`: 16-byte xxh3_128 digests of the verified
    blocks from offset 0 on, without gaps. `name`, `hash` and `level` are set from INTENT on.
    """

    id: int
    route: str
    path: str
    signature: Signature
    destination: str
    step: Step
    partial: str
    name: str | None
    blocks: tuple[bytes, ...]
    hash: str | None
    level: VerifyLevel | None
    already_there: bool
    discovered_at: float
    started_at: float


@frozen
class Ending:
    """How a transfer ended, as the history keeps it. `leftover`: its partial may still stand."""

    transfer_id: int
    result: Literal["delivered", "kept", "failed"]
    attempts: int
    error: str | None
    at: float
    destination_path: str | None
    leftover: bool = False


@frozen
class Interim:
    """How much of an interrupted transfer stands verified at its destination."""

    route: str
    path: str
    signature: Signature
    destination: str
    verified_bytes: int


@frozen
class Settled:
    """Why a file that still stands at the source is not transferred again: it was kept, or given up."""

    route: str
    path: str
    signature: Signature
    result: Literal["kept", "failed"]
    error: str | None
    attempts: int
    ended_at: float
    destination_path: str | None
    verified_level: VerifyLevel | None
    hash: str | None


class UploadState(enum.Enum):
    """Where an upload job stands; the values are the contract's words."""

    PENDING = "PENDING"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"

    @property
    def is_end(self) -> bool:
        return self in (UploadState.COMPLETED, UploadState.FAILED)


class UploadFileState(enum.Enum):
    """Where one file of an upload job stands; the values are the contract's words."""

    PENDING = "PENDING"
    IN_PROGRESS = "IN_PROGRESS"
    UPLOADED = "UPLOADED"
    FAILED = "FAILED"


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
    """One file of an upload job; `path` is relative to its folder, `key` is where it stands in the bucket."""

    path: str
    state: UploadFileState
    size_bytes: int
    mtime_ns: int
    created_at: float
    updated_at: float
    key: str | None = None
    error: str | None = None
