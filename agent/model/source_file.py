"""A source file: its signature, the evidence that it is finished, and one version of it on a route."""

import enum
import struct
from typing import Self

from attrs import field, frozen

_COMPACT = struct.Struct("=qQqqq")
_WIDE = struct.Struct("=qQqqIqI")  # for times that do not fit into 64 bits of nanoseconds
_SECOND_NS = 10**9


class Signature(bytes):
    """Identifies one version of a file: device, inode, size, mtime and ctime (promise S4).

    The numbers are packed into bytes, because there may be millions of signatures and a scan compares all.
    """

    __slots__ = ()

    def __new__(cls, device: int, inode: int, size_bytes: int, mtime_ns: int, ctime_ns: int) -> Self:
        try:
            packed = _COMPACT.pack(device, inode, size_bytes, mtime_ns, ctime_ns)
        except struct.error:
            times = (*divmod(mtime_ns, _SECOND_NS), *divmod(ctime_ns, _SECOND_NS))
            packed = _WIDE.pack(device, inode, size_bytes, *times)
        return super().__new__(cls, packed)

    @property
    def numbers(self) -> tuple[int, int, int, int, int]:
        """Return device, inode, size in bytes, mtime and ctime in nanoseconds."""
        if len(self) == _COMPACT.size:
            device, inode, size_bytes, mtime_ns, ctime_ns = _COMPACT.unpack(self)
            return device, inode, size_bytes, mtime_ns, ctime_ns
        device, inode, size_bytes, mtime_s, mtime_ns, ctime_s, ctime_ns = _WIDE.unpack(self)
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
        """Return whether both are versions of one file, not of two files with one name."""
        return self.numbers[:2] == other.numbers[:2]

    def has_content_of(self, other: "Signature") -> bool:
        """Return whether both differ by ctime at most, which a rename or new access rights change as well."""
        return self.numbers[:4] == other.numbers[:4]

    def is_same_state(self, other: "Signature") -> bool:
        """Return whether all agrees but the device, which is another when a share is mounted again."""
        return self.numbers[1:] == other.numbers[1:]

    def placeholder(self) -> "Signature":
        """Return a signature of this file that no version has; a growing file is journaled under it."""
        return Signature(*self.numbers[:4], ctime_ns=-1)

    def __repr__(self) -> str:
        return f"Signature{self.numbers}"

    def __reduce__(self) -> tuple[object, ...]:
        return signature_from_bytes, (bytes(self),)


def may_have_same_content(one: Signature, other: Signature) -> bool:
    """Return whether size and mtime agree; only a hash tells where anything else differs."""
    return one.numbers[2:4] == other.numbers[2:4]


def may_share_blocks(one: Signature, other: Signature) -> bool:
    """Return whether it is worth comparing the blocks of two versions; a card may renumber its inodes."""
    return one.inode == other.inode or may_have_same_content(one, other)


def signature_from_bytes(packed: bytes) -> Signature:
    """Return the signature with these packed bytes; large collections keep plain bytes to save memory."""
    return bytes.__new__(Signature, packed)


class WriterState(enum.Enum):
    """Whether a process has the file open for writing, as the operating system reports it.

    NONE and OPEN were seen. NOT_PERMITTED: the file is local, but its writers are not shown to this user.
    NOT_SUPPORTED: the file is local, but nothing here can show its writers. UNKNOWN: no local evidence is
    possible, because other machines write to this file system or the system has no means.
    """

    NONE = "none"
    OPEN = "open"
    NOT_PERMITTED = "not permitted"
    NOT_SUPPORTED = "not supported"
    UNKNOWN = "unknown"


class ContainerState(enum.Enum):
    """Whether the file is complete, judged by its container structure."""

    CLOSED = "closed"
    OPEN = "open"
    TRUNCATED = "truncated"
    UNKNOWN = "unknown"


@frozen
class FinishEvidence:
    """The result of examining one version of a file.

    `unreadable`: why it could not be read; empty: it could.
    """

    writer: WriterState
    container: ContainerState
    container_detail: str = ""
    unreadable: str = ""


@frozen
class FinishRule:
    """Which evidence lets a file pass as finished."""

    writers: frozenset[WriterState]
    containers: frozenset[ContainerState]

    def allows(self, evidence: FinishEvidence) -> bool:
        return evidence.writer in self.writers and evidence.container in self.containers


@frozen
class ScannedFile:
    """One file as a scan found it; `evidence` only if the file was examined closely."""

    path: str
    packed_signature: bytes = field(converter=bytes, alias="signature")
    evidence: FinishEvidence | None = None

    @property
    def signature(self) -> Signature:
        return signature_from_bytes(self.packed_signature)

    def __reduce__(self) -> tuple[object, ...]:
        """Scans send 100,000s of these between processes; attrs' own pickling takes twice as long."""
        return ScannedFile, (self.path, self.packed_signature, self.evidence)


@frozen
class UnreadableFolder:
    """A folder, relative to its source, that cannot be listed, with the reason."""

    folder: str
    reason: str


@frozen(weakref_slot=False)
class FileVersion:
    """One version of a file on one route.

    `finish_rule`: its copy is to examine it first, by this rule; None: it was examined.
    """

    id: str
    route: str
    path: str
    packed_signature: bytes = field(converter=bytes, alias="signature")
    discovered_at: float
    finish_rule: FinishRule | None = field(default=None, eq=False)

    @property
    def signature(self) -> Signature:
        return signature_from_bytes(self.packed_signature)
