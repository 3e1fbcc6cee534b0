"""What a worker process answers."""

from typing import Literal

from attrs import frozen

from agent.faults import Fault, Side
from agent.terms import Entry, VerifyLevel


@frozen
class Started:
    """The first thing a worker says: from now on its silence has a meaning."""


@frozen
class Listed:
    entries: tuple[Entry, ...]


@frozen
class ListingEnd:
    """`unseen`: folders that could not be listed, or files that could not be asked for, with the reason."""

    entries: tuple[Entry, ...]
    unseen: tuple[tuple[str, str], ...]
    free_bytes: int


@frozen
class Touched:
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
class Waiting:
    """Nothing has moved since the last reply; on this side the worker waits for an answer."""

    side: Side


@frozen
class Moving:
    """Bytes are on their way; how many is said when they have arrived."""


@frozen
class CopyEnd:
    """What a copy may end with."""


@frozen
class Reserved(CopyEnd):
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
class Patch:
    """This block has been written again, verified; others around it stay as they are known."""

    block: int
    digest: bytes


@frozen
class Proven:
    """So many of the blocks that were said to be proven are so still, now that the partial is open."""

    blocks: int


@frozen
class Followed(CopyEnd):
    """So many blocks stand at the destination."""

    blocks: int


@frozen
class Arrived(CopyEnd):
    """The content is at the destination, verified to `level`; `digest` is its xxh3_128."""

    digest: bytes
    level: VerifyLevel


@frozen
class Copied(Arrived):
    """It stands in the partial.

    `resumed_bytes` were there from an earlier attempt; `patched_blocks` had been there with other content;
    `repaired_blocks` arrived altered at first.
    """

    read_bytes: int
    resumed_bytes: int
    repaired_blocks: int
    patched_blocks: int = 0


@frozen
class Found(Arrived):
    """It stands at `name` already."""

    name: str


@frozen
class Placed(Arrived):
    """It has been published as a whole, at `name`; `already_there`: not by this request."""

    name: str
    already_there: bool


@frozen
class Published:
    """The content stands at `name`; `already_there`: it was not this request that put it there.

    `level`: verified by reading it back there; None: it was not.
    """

    name: str
    already_there: bool
    level: VerifyLevel | None = None


CheckVerdict = Literal["verified", "altered", "missing", "unreadable"]


@frozen
class Checked:
    """What became of a published file; `detail`: what differs or is in the way; `level`: how it was read."""

    verdict: CheckVerdict
    detail: str = ""
    level: VerifyLevel | None = None


@frozen
class SourceSettled:
    """`kept` says why the source was left standing, None: it is gone."""

    kept: str | None


@frozen
class Declined:
    """It is not as plain as the others of its request: nothing was done, carry it alone."""


@frozen
class Outcomes:
    """What became of each, in the order in which they were asked for."""

    each: tuple[Copied | Declined | Published | SourceSettled | Fault, ...]


@frozen
class Presence:
    exists: bool


@frozen
class Strays:
    """Temporary files of ours, running transfers' among them; empty: none so far, and still looking."""

    paths: tuple[str, ...]


@frozen
class FolderFound:
    """`path` is the folder's own, without symbolic links; `is_allowed`: it lies below one of the roots."""

    path: str
    is_allowed: bool


@frozen
class Finished:
    pass


Reply = (
    Started
    | Listed
    | ListingEnd
    | Touched
    | Probed
    | Copying
    | Waiting
    | Moving
    | Reserved
    | Checkpoint
    | Patch
    | Proven
    | Followed
    | Copied
    | Found
    | Placed
    | Published
    | Checked
    | SourceSettled
    | Outcomes
    | Presence
    | Strays
    | FolderFound
    | Finished
)
