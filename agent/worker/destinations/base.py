"""The contract of a destination: what the copy engine needs of a place to deliver to.

Every method raises Fault: DESTINATION with its reason for an outage, REFUSED for this one file.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from agent.model.transfer import VerifyLevel
from agent.protocol.requests import ConflictMode, VerifyMode


class Partial(Protocol):  # noqa: PLR0904  each is one step of a copy
    """The bytes of one file before they are published; offsets in bytes, blocks of `BLOCK_BYTES`."""

    @property
    def survives_request(self) -> bool:
        """Whether it outlives this request; one that does not has to be published by the same request."""
        ...

    @property
    def is_readable(self) -> bool:
        """Whether its bytes can be read back before they are published."""
        ...

    @property
    def size_bytes(self) -> int:
        """How far it reaches without a gap, verified or not."""
        ...

    def write_group(self, block: int) -> range:
        """The blocks that can only be written together with this one; the end of the file may cut it."""
        ...

    def may_contain(self, block: int) -> bool:
        """Whether something may stand there that nobody remembers; `matches` tells, and need not read it."""
        ...

    def truncate(self, size_bytes: int) -> None:
        """What stands behind counts no more; nor does a unit that is cut by this."""
        ...

    def write(self, offset: int, blocks: Sequence[bytes]) -> None:
        """One unit, in place of what may have stood there. Returns before it is durable."""
        ...

    def flush(self, until: int) -> None:
        """All that was written before this offset is durable, and as far as the storage says arrived as sent.

        Raises: Fault: CORRUPT: it does not arrive as it was sent.
        """
        ...

    def matches(self, offset: int, blocks: Sequence[bytes]) -> bool:
        """Whether the storage itself holds this unit: read back, or by what it says of it."""
        ...

    def fsync_parents(self) -> None:
        """From here on it is found again after a power cut, not only what was flushed into it."""
        ...

    def read_back(self, offset: int, length: int) -> bytes:
        """If `is_readable`: what the storage itself holds, past the client's cache where that can be had."""
        ...

    def level(self, wanted: VerifyMode) -> VerifyLevel:
        """How far what was written is verified, by all that could be done before publishing."""
        ...

    def finalize(self, mtime_ns: int) -> None:
        """Complete: modification time set where there is one, content and size durable."""
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

    @property
    def calls_at_once(self) -> int:
        """How many calls for different files are worth having under way, from as many threads."""
        ...

    def durable_together(self) -> AbstractContextManager[None]:
        """What is promised to be durable inside of it is so when it ends without an error, at less cost."""
        ...

    def allocate_partial(
        self, partial: str, name: str, size_bytes: int | None, conflict: ConflictMode
    ) -> str:
        """The partial under which these bytes (None: it grows) may be written, to become `name`.

        As long as it is another than what was asked with, it has to be remembered durably, and then be asked
        with once more. So nothing is made that could not be found again.

        Raises: Fault: CONFLICT: the name is taken.
        """
        ...

    def open_partial(self, partial: str) -> Partial:
        """The partial with this name, made if missing."""
        ...

    def discard(self, partial: str) -> None:
        """Remove the partial if it is there."""
        ...

    def publish(self, partial: str, name: str, size_bytes: int) -> None:
        """Give the sealed partial this name, durably.

        Raises:
            FileExistsError: the name is taken.
            Fault: CONFLICT: the partial was reserved for another name and cannot be given this one.
        """
        ...

    def unpublish(self, partial: str, name: str) -> bool:
        """Remove what has this name if it is provably this partial, published; whether it was.

        For what cannot be read back before: it may turn out altered afterwards.
        """
        ...

    def exists(self, name: str) -> bool:
        """Whether anything at all has this name, or is this partial."""
        ...

    def find(self, name: str) -> Existing | None:
        """The file with this name; None when there is none that could be read."""
        ...

    def find_orphans(self, identity: str, *, deep: bool) -> Iterator[tuple[str, ...]]:
        """Whatever bears a temporary name of this installation, `deep`: in every folder, else in the root.

        An empty tuple now and then shows that the search goes on.
        """
        ...
