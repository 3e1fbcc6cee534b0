"""The contract that a destination backend implements for the copy engine.

A worker opens a `Destination`, serves one request with it, and closes it. Offsets and sizes are in bytes;
blocks have `BLOCK_BYTES`, only the last block of a file may be shorter.

Copying one file calls, in this order:

1. `Destination.allocate_partial`, until it returns the partial it was given. The agent journals every other
   result before it asks again, so that no partial exists which the journal does not know.
2. `Destination.open_partial`. The partial may hold content from an earlier attempt. Where something else has
   its name, or nothing although it was verified up to some block, the copy starts over in a fresh partial.
3. To resume: `read_back` and `truncate` where the partial is readable, else `may_contain` and `matches`.
4. For each window of blocks: `write` per write group, `flush`, and `matches` when the route verifies by
   reading back. A write group that does not match is written, flushed and compared once more.
5. For each checkpoint: `fsync_parents`, then the agent journals the verified blocks.
6. `finalize`, `fsync_parents`, `file_identity`, `close`.
7. `Destination.publish`, in a later request, after the agent has journaled that the partial is verified, and
   its identity. What has another identity is read again before it is published.
   A partial with `survives_request` False is published by the request that wrote it.
8. Where a partial is not readable: `Destination.find` and `Existing.read_back` verify the published file.
   `Destination.unpublish` removes it again if it was altered.

An attempt may stop after any call. The next one starts at step 1, or at step 7 once the partial is verified.

Durable means: it survives a power cut. Content is durable after `flush` or `finalize`, the partial's entry
after `fsync_parents`, a published name after `publish`, a removal after `discard`.

The engine calls `write` from one thread and `flush`, `matches`, `read_back` and repairing `write` calls from
another. `Destination` methods are called from up to `calls_at_once` threads, each for another file.

Every method raises Fault: DESTINATION with its reason for an outage, REFUSED when the backend cannot hold
this one file.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from agent.model.verification import VerifyLevel
from agent.protocol.requests import ConflictMode, VerifyMode

Beat = Callable[[], None]  # called while bytes move without any other reply, from any thread


class Partial(Protocol):  # noqa: PLR0904  each method is one step of a copy
    """The content of one file before it is published."""

    @property
    def survives_request(self) -> bool:
        """Whether the partial exists after this request; else the same request has to publish it."""
        ...

    @property
    def is_readable(self) -> bool:
        """Whether `read_back` works before the partial is published."""
        ...

    @property
    def size_bytes(self) -> int:
        """The length of the content that starts at offset 0 and has no gap, verified or not."""
        ...

    def write_group(self, block: int) -> range:
        """Return the blocks that have to be written together with this one.

        Groups are adjacent and do not overlap. The last group of a file ends with the file.
        """
        ...

    def may_contain(self, block: int) -> bool:
        """Return whether `matches` is worth a call for a block that the journal does not know.

        Only True where `matches` compares without reading the content back.
        """
        ...

    def truncate(self, size_bytes: int) -> None:
        """Drop the content behind `size_bytes`, and each write group that this would cut."""
        ...

    def leave_room(self, kept_bytes: int) -> None:
        """Give back the space behind `kept_bytes`; where the storage refuses that, all of it."""
        ...

    def write(self, offset: int, blocks: Sequence[bytes]) -> None:
        """Write one write group, replacing earlier content. It is not durable yet."""
        ...

    def flush(self, end: int) -> None:
        """Make all content written before the offset `end` durable, and check what the storage reports of it.

        Raises:
            Fault: CORRUPT: the storage reports other content than was sent.
        """
        ...

    def matches(self, offset: int, blocks: Sequence[bytes]) -> bool:
        """Return whether the storage holds this write group, read back or compared by its checksum."""
        ...

    def fsync_parents(self) -> None:
        """Make the partial's entry durable, so that its content is found again after a power cut.

        Raises:
            Fault: PARTIAL_GONE: it has lost its name, or its folder has. This is asked now and then only.
        """
        ...

    def read_back(self, offset: int, length: int) -> bytes:
        """Read what the storage holds, past the client's cache where that is possible.

        Only called when `is_readable`.
        """
        ...

    def level(self, wanted: VerifyMode) -> VerifyLevel:
        """Return the level of verification that was reached before publishing, at most `wanted`."""
        ...

    def finalize(self, mtime_ns: int) -> bool:
        """Complete the partial: set the modification time where there is one, make content and size durable.

        Returns False where the storage refuses to set the time: that is no reason not to deliver.

        Raises:
            Fault: CORRUPT: the storage reports other content than was sent.
        """
        ...

    @property
    def file_identity(self) -> str:
        """What tells the finalized partial from whatever else may get its name, in the backend's words.

        Any change of the content changes it. Empty where the request that wrote the partial publishes it.
        """
        ...

    def close(self) -> None: ...


class Existing(Protocol):
    """A file that has its name, opened for comparing and verifying; also a partial, where it is readable."""

    @property
    def size_bytes(self) -> int: ...

    def read_back(self, offset: int, length: int) -> bytes:
        """Read what the storage holds, past the client's cache where that is possible; empty at the end."""
        ...

    @property
    def read_back_level(self) -> VerifyLevel:
        """The level of verification that the `read_back` calls so far have reached."""
        ...

    @property
    def file_identity(self) -> str:
        """As `Partial.file_identity`, for this file as it is now."""
        ...

    def is_file(self, device: int, inode: int) -> bool:
        """Return whether this is that very file of the local machine, and no copy of it."""
        ...

    def make_durable(self) -> None:
        """Make the content and the name durable, whoever wrote them."""
        ...

    def close(self) -> None: ...


class Destination(Protocol):
    """One destination, opened for one request. Names are paths relative to its root."""

    @property
    def calls_at_once(self) -> int:
        """How many calls for different files are worth running in parallel, each from its own thread."""
        ...

    @property
    def name_max_bytes(self) -> int:
        """How long a name may be, in bytes and without its folders."""
        ...

    def durable_together(self) -> AbstractContextManager[None]:
        """Delay syncing folders to the end of this block, where each folder is synced once for many files.

        `fsync_parents`, `publish` and `make_durable` are then durable when the block ends without an error.
        """
        ...

    def allocate_partial(
        self, partial: str, name: str, size_bytes: int | None, conflict: ConflictMode
    ) -> str:
        """Return the partial to write this file into; `size_bytes` None: the file grows.

        A result other than `partial` has to be journaled. Then this is called again with the result, until
        it returns its argument. A backend whose storage assigns names (as S3 does upload ids) creates
        nothing that the journal could not find again.

        Raises:
            Fault: CONFLICT: the name is taken and `conflict` is "fail".
        """
        ...

    def open_partial(self, partial: str, *, is_begun: bool = False) -> Partial:
        """Open the partial that `allocate_partial` returned; it is created if missing.

        `is_begun`: the journal has blocks of it, so that it has to be there.

        Raises:
            Fault: DISPLACED: something else has its name, and is left alone. PARTIAL_GONE: nothing has it,
                although it is begun.
        """
        ...

    def discard(self, partial: str) -> bool:
        """Remove the partial durably if it exists; what is no file is not ours, and stays.

        Returns whether none is left. False: no file has its name, and it may have been moved elsewhere.
        """
        ...

    def publish(self, partial: str, name: str, size_bytes: int, file_identity: str | None) -> str | None:
        """Give the finalized partial of this size and identity its name durably, without replacing anything.

        Returns its identity under that name. It may have been taken away since. None: another file may have
        got the name, so its content has to be read. May be repeated after a kill at any point.

        Raises:
            IdentityMismatch: the partial's content has to be read before it is published.
            FileExistsError: the name is taken.
            Fault: CONFLICT: the partial was allocated for another name and cannot have this one.
                CORRUPT: the partial is gone or incomplete.
        """
        ...

    def unpublish(self, partial: str, name: str) -> bool:
        """Remove the file `name` if it provably is this published partial, and return whether it was removed.

        Only needed where partials are not readable, because there a file can be found altered too late.
        """
        ...

    def exists(self, name: str) -> bool:
        """Return whether anything has this name, or whether this partial exists."""
        ...

    def find(self, name: str) -> Existing | None:
        """Open the file with this name; None when there is no readable file."""
        ...

    def find_orphans(self, identity: str, *, deep: bool) -> Iterator[tuple[str, ...]]:
        """Yield the paths that carry a temporary name of this installation (`has_our_tag`).

        With `deep` all folders are searched, else the root only. An empty tuple now and then shows that
        the search goes on.
        """
        ...
