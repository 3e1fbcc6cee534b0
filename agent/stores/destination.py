"""The contract of a destination: what the copy engine needs of a place to deliver to.

Every method raises Fault: DESTINATION with its reason for an outage, REFUSED for this one file.
"""

from typing import Protocol

from agent.terms import VerifyLevel


class Partial(Protocol):
    """The bytes of one file before they are published. Offsets and lengths in bytes."""

    @property
    def size_bytes(self) -> int:
        """How much stands there, verified or not."""
        ...

    def truncate(self, size_bytes: int) -> None: ...

    def write(self, offset: int, data: bytes) -> None: ...

    def flush(self) -> None:
        """All that was written is durable at the storage when this returns."""
        ...

    def anchor(self) -> None:
        """From here on it is found again after a power cut, not only what was flushed into it."""
        ...

    def read_back(self, offset: int, length: int) -> bytes:
        """What the storage itself holds, past the client's cache where that can be had."""
        ...

    @property
    def read_back_level(self) -> VerifyLevel:
        """`read_back` while every read so far got past the cache, else `read_back_cached`."""
        ...

    def seal(self, mtime_ns: int) -> None:
        """Complete: modification time set, content and size durable."""
        ...

    def close(self) -> None: ...


class Existing(Protocol):
    """A published file, to be compared; read back as a partial is."""

    @property
    def size_bytes(self) -> int: ...

    def read_back(self, offset: int, length: int) -> bytes: ...

    @property
    def read_back_level(self) -> VerifyLevel: ...

    def is_file(self, device: int, inode: int) -> bool:
        """Whether it is this very file of the local machine, not a copy of it."""
        ...

    def make_durable(self) -> None:
        """Whoever wrote it: it and its name survive a power cut when this returns."""
        ...

    def close(self) -> None: ...


class Destination(Protocol):
    """One destination, opened for one request. Names are paths relative to its root."""

    def open_partial(self, partial: str) -> Partial:
        """The partial with this name, made if missing."""
        ...

    def discard(self, partial: str) -> None:
        """Remove the partial if it is there."""
        ...

    def publish(self, partial: str, name: str) -> None:
        """Give the sealed partial this name, durably. Raises: FileExistsError: the name is taken."""
        ...

    def stands(self, name: str) -> bool:
        """Whether anything at all has this name."""
        ...

    def find(self, name: str) -> Existing | None:
        """The file with this name; None when there is none that could be read."""
        ...
