"""What a worker process answers."""

from typing import Literal

from attrs import frozen

from agent.model.errors import Fault, Side
from agent.model.source_file import ScannedFile
from agent.model.transfer import VerifyLevel


@frozen
class Started:
    """The first thing a worker says: from now on its silence has a meaning."""


@frozen
class ScanBatch:
    entries: tuple[ScannedFile, ...]


@frozen
class ScanEnd:
    """The end of a scan. `unreadable`: paths that could not be listed or examined, with the reason."""

    entries: tuple[ScannedFile, ...]
    unreadable: tuple[tuple[str, str], ...]
    free_bytes: int


@frozen
class PathsChanged:
    """Paths that something happened to; empty: look everywhere. `overflows` counts lost queues so far.

    `complete`: events come from every folder that can be read.
    """

    paths: tuple[str, ...]
    overflows: int
    complete: bool = True


@frozen
class Probed:
    """`device` is 0 and the sizes are None where there is no such thing, as in an object store."""

    device: int
    mount_point: str
    free_bytes: int | None
    total_bytes: int | None


@frozen
class Copying:
    copied_bytes: int
    verified_bytes: int


@frozen
class Blocked:
    """Nothing has moved since the last reply; on this side the worker waits for an answer."""

    side: Side


@frozen
class Heartbeat:
    """Bytes are on their way; how many is said when they have arrived."""


@frozen
class CopyEnd:
    """What a copy may end with."""


@frozen
class PartialAllocated(CopyEnd):
    """Nothing was copied yet: remember this name of the partial durably, then ask again with it."""

    partial: str


@frozen
class Checkpoint:
    """These blocks are durable at the destination and, where the route asks for it, verified.

    `past_cache`: so far nothing was read back from the client's cache.
    """

    first_block: int
    digests: bytes
    past_cache: bool = True


@frozen
class BlockPatched:
    """This block has been written again, verified; others around it stay as they are known."""

    block: int
    digest: bytes


@frozen
class TrustedBlocks:
    """So many of the blocks that were said to be proven are so still, now that the partial is open."""

    blocks: int


@frozen
class Followed(CopyEnd):
    """So many blocks stand at the destination."""

    blocks: int


@frozen
class Published:
    """The content has this name; `already_present`: another request or somebody else put it there.

    `level`: verified by reading it back under that name; None: it was not.
    """

    name: str
    already_present: bool
    level: VerifyLevel | None = None


@frozen
class Copied(CopyEnd):
    """The content is at the destination, verified to `level`; `digest` is its xxh3_128.

    `published`: it has its name already, since the content was there before or the destination takes such a
    file only as a whole; None: it is in the partial. `resumed_bytes` were there from an earlier attempt,
    `patched_blocks` had other content there, `repaired_blocks` arrived altered at first.
    """

    digest: bytes
    level: VerifyLevel
    read_bytes: int
    resumed_bytes: int
    repaired_blocks: int
    patched_blocks: int = 0
    published: Published | None = None


VerifyVerdict = Literal["verified", "altered", "missing", "unreadable"]


@frozen
class VerifyResult:
    """What became of a published file; `detail`: what differs or is in the way; `level`: how it was read."""

    verdict: VerifyVerdict
    detail: str = ""
    level: VerifyLevel | None = None


@frozen
class SourceRemoved:
    """`kept_because`: the reason why the source was kept; None: it is gone."""

    kept_because: str | None


@frozen
class NotBatchable:
    """Nothing was done for this file: it needs a copy of its own."""


@frozen
class CopiedFiles:
    """One result for each file of the request, in its order."""

    results: tuple[Copied | NotBatchable | Fault, ...]


@frozen
class PublishedFiles:
    """One result for each file of the request, in its order."""

    results: tuple[Published | Fault, ...]


@frozen
class RemovedSources:
    """One result for each file of the request, in its order."""

    results: tuple[SourceRemoved | Fault, ...]


@frozen
class SourceExists:
    exists: bool


@frozen
class OrphansFound:
    """Temporary files of ours, running transfers' among them; empty: none so far, and still looking."""

    paths: tuple[str, ...]


@frozen
class FolderResolved:
    """`path` is the folder's own, without symbolic links; `is_allowed`: it lies below one of the roots."""

    path: str
    is_allowed: bool


@frozen
class Finished:
    pass


Reply = (
    Started
    | ScanBatch
    | ScanEnd
    | PathsChanged
    | Probed
    | Copying
    | Blocked
    | Heartbeat
    | PartialAllocated
    | Checkpoint
    | BlockPatched
    | TrustedBlocks
    | Followed
    | Copied
    | VerifyResult
    | CopiedFiles
    | PublishedFiles
    | RemovedSources
    | SourceExists
    | OrphansFound
    | FolderResolved
    | Finished
)
