"""Replies of a worker process."""

from typing import Literal

from attrs import frozen

from agent.model.errors import Fault, Side
from agent.model.source_file import FinishEvidence, ScannedFile
from agent.model.transfer import PublishStrategy, VerifyLevel


@frozen
class Started:
    """The first frame of a worker: it is ready, and from now on missing replies count as a stall."""


@frozen
class RootFound:
    """This root folder was opened for the first time since the start, and is at that path without links."""

    path: str
    real_path: str


@frozen
class ScanPart:
    """Some of a source's files, streamed."""

    entries: tuple[ScannedFile, ...]


@frozen
class Examining:
    """A file is about to be examined: while nothing follows, this one hangs.

    `entries`, `unreadable`: what was found since the last one, as in ScanEnd.
    """

    path: str
    entries: tuple[ScannedFile, ...]
    unreadable: tuple[tuple[str, str], ...]


@frozen
class ScanEnd:
    """The end of a scan, with the last files.

    `unreadable`: paths that could not be listed or examined, with the reason. `private_paths`: sources that
    are being removed, or whose removal was cut off. `mount_point`: of the source folder's file system.
    `left`: paths that were not examined, because that took too long. `may_remove`: whether files
    in the source folder itself could be removed.
    """

    entries: tuple[ScannedFile, ...]
    unreadable: tuple[tuple[str, str], ...]
    free_bytes: int
    private_paths: tuple[str, ...] = ()
    mount_point: str = "/"
    left: tuple[str, ...] = ()
    may_remove: bool = True


@frozen
class SourcePrepared:
    """`created`: the source folder was missing and was made."""

    created: bool


@frozen
class PathsChanged:
    """Paths that changed; an empty tuple asks for a full scan. `overflows`: how often events were lost.

    `complete`: every readable folder is watched. `closed`: files that a writer has closed, each as it was
    right after that.
    """

    paths: tuple[str, ...]
    overflows: int
    complete: bool = True
    closed: tuple[ScannedFile, ...] = ()


@frozen
class Probed:
    """The destination is usable. An object store has no device (0) and no sizes (None).

    `expected_mount`: the folder at or below which this machine is meant to have it mounted; None: unknown.
    `publish_strategy`: how files get their names there; None: not tried, or no folder.
    """

    device: int
    mount_point: str
    free_bytes: int | None
    total_bytes: int | None
    expected_mount: str | None = None
    publish_strategy: PublishStrategy | None = None


@frozen
class Copying:
    """The progress of a copy, streamed."""

    copied_bytes: int
    verified_bytes: int


@frozen
class Blocked:
    """Nothing has moved since the last reply: the worker waits for a system call on this side."""

    side: Side


@frozen
class Heartbeat:
    """Bytes are moving; how many follows with the next other reply."""


@frozen
class CopyEnd:
    """The base of all last replies of a copy."""


@frozen
class PartialAllocated(CopyEnd):
    """Nothing is copied yet: journal this partial, then send the request again with it."""

    partial: str


@frozen
class Checkpoint:
    """These consecutive blocks are durable at the destination and, if the route verifies, verified.

    `digests`: the concatenated digests of the blocks. `past_cache`: no block was read back from the client's
    cache so far.
    """

    first_block: int
    digests: bytes
    past_cache: bool = True


@frozen
class BlockPatched:
    """This block was written again and verified; the journaled digests of other blocks stay valid."""

    block: int
    digest: bytes


@frozen
class TrustedBlocks:
    """How many of the request's trusted blocks the opened partial still contains."""

    blocks: int


@frozen
class Followed(CopyEnd):
    """The follower has stopped; this many blocks are verified at the destination."""

    blocks: int


@frozen
class Published:
    """The content has this name; `already_present`: another request or somebody else put it there.

    `level`: verified by reading it back under that name; None: it was not. `file_identity`: as in `Transfer`.
    """

    name: str
    already_present: bool
    level: VerifyLevel | None = None
    file_identity: str | None = None


@frozen
class Copied(CopyEnd):
    """The content is at the destination, verified to `level`; `digest` is its xxh3_128.

    `published`: it has its name already, since the content was there before or the destination takes such a
    file only as a whole; None: it is in the partial. `resumed_bytes` were there from an earlier attempt,
    `patched_blocks` had other content there, `repaired_blocks` arrived altered at first. `file_identity`: the
    partial's, as in `Transfer`. `is_time_set`: False where the destination refuses modification times.
    """

    digest: bytes
    level: VerifyLevel
    read_bytes: int
    resumed_bytes: int
    repaired_blocks: int
    patched_blocks: int = 0
    published: Published | None = None
    file_identity: str | None = None
    is_time_set: bool = True


VerifyVerdict = Literal["verified", "altered", "missing", "unreadable"]


@frozen
class VerifyResult:
    """The verdict on a published file.

    `detail`: the difference or the error. `level`: the level of verification that was reached.
    """

    verdict: VerifyVerdict
    detail: str = ""
    level: VerifyLevel | None = None


@frozen
class SourceRemoved:
    """`kept_because`: the reason why the source was kept; None: it is gone.

    `put_back_as`: the name beside it of another file, which had to be moved out of the way and whose own
    name was taken meanwhile.
    """

    kept_because: str | None
    put_back_as: str | None = None


@frozen
class Unfinished(CopyEnd):
    """The source is not finished, and nothing was written. `evidence` None: it has changed or left."""

    evidence: FinishEvidence | None


@frozen
class NotBatchable:
    """Nothing was done for this file: it needs a copy of its own."""


SmallFileResult = Copied | Unfinished | NotBatchable | Fault


@frozen
class CopiedFiles:
    """One result for each file of the request, in its order."""

    results: tuple[SmallFileResult, ...]


@frozen
class PublishedFiles:
    """One result for each file of the request, in its order."""

    results: tuple[Published | Fault, ...]


@frozen
class RemovedSources:
    """One result for each file of the request, in its order."""

    results: tuple[SourceRemoved | Fault, ...]


@frozen
class FolderTried:
    """What was tried in a folder or bucket, and what came of it."""

    findings: tuple[tuple[str, str], ...]


@frozen
class NamesTaken:
    """Those of the names that something has already."""

    names: tuple[str, ...]


@frozen
class SourcesPutBack:
    """The path that each file has now; those that were gone are left out."""

    paths: tuple[str, ...]


@frozen
class FoldersRemoved:
    """The folders that were empty and are gone; those that were gone before are left out."""

    folders: tuple[str, ...]


@frozen
class SourceExists:
    """Whether the path exists. `is_renamed`: a removal was cut off, and its private path exists."""

    exists: bool
    is_renamed: bool = False


@frozen
class SourceHashed:
    """`digest`: the xxh3_128 of the whole source."""

    digest: bytes


@frozen
class Discarded:
    """`is_gone`: no partial is left. False: no file has its name, and it may have been moved elsewhere."""

    is_gone: bool


@frozen
class OrphansFound:
    """Temporary files of this installation, also those of running transfers; empty: the search goes on."""

    paths: tuple[str, ...]


@frozen
class FolderResolved:
    """`path` is the folder with its symbolic links resolved; `is_allowed`: it lies below one of the roots."""

    path: str
    is_allowed: bool


@frozen
class Finished:
    """The request is done; there is no result."""


Reply = (
    Started
    | RootFound
    | ScanPart
    | Examining
    | ScanEnd
    | SourcePrepared
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
    | Unfinished
    | VerifyResult
    | CopiedFiles
    | PublishedFiles
    | RemovedSources
    | SourcesPutBack
    | FoldersRemoved
    | SourceExists
    | NamesTaken
    | FolderTried
    | SourceHashed
    | Discarded
    | OrphansFound
    | FolderResolved
    | Finished
)
