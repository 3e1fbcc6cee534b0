"""What the agent asks a worker process, and what comes back. No behaviour.

A request is answered by any number of streamed replies and one last one, or by a Fault.
Paths are relative to the root beside them, with "/" between folders and surrogates for undecodable bytes.
"""

from typing import Literal

from attrs import frozen

from agent.config import BandwidthStep
from agent.faults import Side
from agent.folders import FindFolder, FolderFound
from agent.terms import Entry, Signature, VerifyLevel

BLOCK_BYTES = 1024 * 1024  # one digest a block; also what a growing file is patched by
DIGEST_BYTES = 16  # xxh3_128

VerifyMode = Literal["read_back", "hash", "size"]
AfterMode = Literal["delete", "keep", "archive"]
ConflictMode = Literal["rename", "fail"]


@frozen
class SourceFolder:
    """A source and which of its files count."""

    root: str
    include: tuple[str, ...]
    exclude: tuple[str, ...]


@frozen
class Place:
    """A destination folder on the device that the storage monitor has accepted."""

    root: str
    device: int


@frozen
class PrepareSource:
    """Make the source folder if it is missing. Ends with Finished."""

    root: str


@frozen
class ListSource:
    """Stat everything that counts. Streams Listed, ends with ListingEnd."""

    source: SourceFolder


@frozen
class ExamineSource:
    """Stat these paths, and look `closely` at some: open writers, container. Ends with ListingEnd."""

    source: SourceFolder
    paths: tuple[str, ...]
    closely: frozenset[str]


@frozen
class ListenToSource:
    """Stream Touched for ever, where the platform can; ends with Finished when it cannot."""

    root: str


@frozen
class ProbeDestination:
    """Is the folder there, on a mount, writable? Answered by Probed.

    `try_writing`: the name of a file to prove it with, which is gone afterwards; None: only look.
    """

    root: str
    marker: str | None
    try_writing: str | None


@frozen
class FindDestination:
    """Is the folder there, to be read? Answered by Probed."""

    root: str
    marker: str | None


@frozen
class Pace:
    """How fast a copy may go: the route's timetable (empty: no limit), divided among `shares` copies."""

    steps: tuple[BandwidthStep, ...] = ()
    shares: int = 1


@frozen
class CopyFile:
    """Copy and verify into the partial. Streams Copying and Checkpoint, ends with Copied or Found.

    `digests` are those of the blocks that the journal believes in; they are read back before being trusted.
    `revised`: the source has changed since they were taken, so that each of its blocks is compared with them;
    of the first `proven_blocks` it is certain that they stand at the destination.
    """

    source: str
    path: str
    signature: Signature
    place: Place
    name: str
    partial: str
    digests: tuple[bytes, ...]
    verify: VerifyMode
    conflict: ConflictMode
    pace: Pace
    revised: bool = False
    proven_blocks: int = 0


@frozen
class FollowFile:
    """Copy what a writer has left behind of a growing file, until it stops growing for a while.

    `signature` only says which file it is (device, inode). Streams Proven first, then Copying, Checkpoint and
    Patch, ends with Followed. The rest as in CopyFile.
    """

    source: str
    path: str
    signature: Signature
    place: Place
    partial: str
    digests: tuple[bytes, ...]
    proven_blocks: int
    verify: VerifyMode
    pace: Pace


@frozen
class PublishFile:
    """Give the verified partial its name without replacing anything. Streams Copying, ends with Published."""

    place: Place
    partial: str
    name: str
    conflict: ConflictMode
    size_bytes: int
    digest: bytes


@frozen
class CheckFile:
    """Read a published file back and compare it with the record. Streams Copying, ends with Checked."""

    place: Place
    name: str
    size_bytes: int
    digest: bytes


@frozen
class SettleSource:
    """Delete, keep or archive the source if it is still what was delivered. Ends with SourceSettled."""

    source: str
    path: str
    signature: Signature
    after: AfterMode
    archive: str | None


@frozen
class LookUpSource:
    """Does this path still exist? Ends with Presence."""

    source: str
    path: str


@frozen
class DiscardPartial:
    """Remove a partial of ours, if it is there. Ends with Finished."""

    place: Place
    partial: str


@frozen
class FindStrays:
    """Find files whose names prove that they are `identity`'s: in the root, or `deep` in every folder below.

    Streams Strays, ends with Finished.
    """

    place: Place
    identity: str
    deep: bool


Request = (
    PrepareSource
    | ListSource
    | ExamineSource
    | ListenToSource
    | ProbeDestination
    | FindDestination
    | CopyFile
    | FollowFile
    | PublishFile
    | CheckFile
    | SettleSource
    | LookUpSource
    | DiscardPartial
    | FindStrays
    | FindFolder
)


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
    """Paths that something happened to; empty: look everywhere. `overflows` counts lost queues so far."""

    paths: tuple[str, ...]
    overflows: int


@frozen
class Probed:
    device: int
    mount_point: str
    free_bytes: int
    total_bytes: int


@frozen
class Copying:
    copied_bytes: int
    verified_bytes: int


@frozen
class Waiting:
    """Nothing has moved since the last reply; on this side the worker waits for an answer."""

    side: Side


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
class Followed:
    """So many blocks stand at the destination."""

    blocks: int


@frozen
class Arrived:
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
class Published:
    """The content stands at `name`; `already_there`: it was not this request that put it there."""

    name: str
    already_there: bool


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
class Presence:
    exists: bool


@frozen
class Strays:
    """Temporary files of ours, running transfers' among them; empty: none so far, and still looking."""

    paths: tuple[str, ...]


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
    | Checkpoint
    | Patch
    | Proven
    | Followed
    | Copied
    | Found
    | Published
    | Checked
    | SourceSettled
    | Presence
    | Strays
    | FolderFound
    | Finished
)
