"""A file of a source: its signature, the evidence that it is finished, and one state of it on one route."""

import enum
import struct
from typing import Self

from attrs import field, frozen

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

    def placeholder(self) -> "Signature":
        """Of this file, but a state in which it will never be found: what was copied before its end."""
        return Signature(*self.numbers[:4], ctime_ns=-1)

    def __repr__(self) -> str:
        return f"Signature{self.numbers}"

    def __reduce__(self) -> tuple[object, ...]:
        return signature_from_bytes, (bytes(self),)


def signature_from_bytes(state: bytes) -> Signature:
    """The signature that these are the bytes of: plain ones are what is kept of millions of files."""
    return bytes.__new__(Signature, state)


class WriterState(enum.Enum):
    """What the operating system says about open writers."""

    NONE = "none"
    OPEN = "open"
    UNKNOWN = "unknown"


class ContainerState(enum.Enum):
    """What the file's own structure says about its end."""

    CLOSED = "closed"
    OPEN = "open"
    TRUNCATED = "truncated"
    UNKNOWN = "unknown"


@frozen
class FinishEvidence:
    """What a close look at one file, in one state, found."""

    writer: WriterState
    container: ContainerState
    container_detail: str = ""


@frozen
class ScannedFile:
    """One file as a scan saw it; `evidence` only where a look was asked for."""

    path: str
    packed_signature: bytes = field(converter=bytes, alias="signature")
    evidence: FinishEvidence | None = None

    @property
    def signature(self) -> Signature:
        return signature_from_bytes(self.packed_signature)

    def __reduce__(self) -> tuple[object, ...]:
        """Scans pass these from process to process by the 100,000: attrs' own way takes twice as long."""
        return ScannedFile, (self.path, self.packed_signature, self.evidence)


@frozen
class UnreadableFolder:
    """A folder of a source, relative to it, that cannot be listed, and why."""

    folder: str
    reason: str


@frozen(weakref_slot=False)
class FileVersion:
    """One file in one state on one route."""

    id: str
    route: str
    path: str
    packed_signature: bytes = field(converter=bytes, alias="signature")
    discovered_at: float

    @property
    def signature(self) -> Signature:
        return signature_from_bytes(self.packed_signature)
