"""The words of the field that every room uses: statuses, signatures, evidence, deliveries."""

import enum
import struct
from typing import Literal, Self

from attrs import field, frozen


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


_USUAL = struct.Struct("=qQqqq")
_FAR = struct.Struct("=qQqqIqI")  # times that need more than 64 bits, in seconds and nanoseconds
_SECOND_NS = 10**9


class Signature(bytes):
    """What makes one state of a file different from another (promise S4).

    Five numbers in one string of bytes: there may be millions of them, and a scan compares them all.
    """

    __slots__ = ()

    def __new__(cls, device: int, inode: int, size_bytes: int, mtime_ns: int, ctime_ns: int) -> Self:
        try:
            packed = _USUAL.pack(device, inode, size_bytes, mtime_ns, ctime_ns)
        except struct.error:
            times = (*divmod(mtime_ns, _SECOND_NS), *divmod(ctime_ns, _SECOND_NS))
            packed = _FAR.pack(device, inode, size_bytes, *times)
        return super().__new__(cls, packed)

    @property
    def numbers(self) -> tuple[int, int, int, int, int]:
        """Device, inode, size in bytes, mtime and ctime in nanoseconds."""
        if len(self) == _USUAL.size:
            device, inode, size_bytes, mtime_ns, ctime_ns = _USUAL.unpack(self)
            return device, inode, size_bytes, mtime_ns, ctime_ns
        device, inode, size_bytes, mtime_s, mtime_ns, ctime_s, ctime_ns = _FAR.unpack(self)
        return device, inode, size_bytes, mtime_s * _SECOND_NS + mtime_ns, ctime_s * _SECOND_NS + ctime_ns

    @property
    def device(self) -> int:
        return self.numbers[0]

    @property
    def inode(self) -> int:
        return self.numbers[1]

    @property
    def size_bytes(self) -> int:
        return self.numbers[2]

    @property
    def mtime_ns(self) -> int:
        return self.numbers[3]

    def is_same_file(self, other: "Signature") -> bool:
        """Whether both are states of one file, not of two that had one name."""
        return self.numbers[:2] == other.numbers[:2]

    def provisional(self) -> "Signature":
        """Of this file, but a state in which it will never be found: what was copied before its end."""
        return Signature(*self.numbers[:4], ctime_ns=-1)

    def __repr__(self) -> str:
        return f"Signature{self.numbers}"

    def __reduce__(self) -> tuple[object, ...]:
        return unpacked, (bytes(self),)


def unpacked(state: bytes) -> Signature:
    """The signature that these are the bytes of: plain ones are what is kept of millions of files."""
    return bytes.__new__(Signature, state)


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
    state: bytes = field(converter=bytes, alias="signature")
    evidence: Evidence | None = None

    @property
    def signature(self) -> Signature:
        return unpacked(self.state)

    def __reduce__(self) -> tuple[object, ...]:
        """Scans pass these from process to process by the 100,000: attrs' own way takes twice as long."""
        return Entry, (self.path, self.state, self.evidence)


@frozen
class Unreadable:
    """A folder of a source, relative to it, that cannot be listed, and why."""

    folder: str
    reason: str


@frozen(weakref_slot=False)
class SourceFile:
    """One file in one state on one route."""

    id: str
    route: str
    path: str
    state: bytes = field(converter=bytes, alias="signature")
    discovered_at: float

    @property
    def signature(self) -> Signature:
        return unpacked(self.state)


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
