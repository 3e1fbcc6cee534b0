"""Replies of a worker process."""

from typing import Literal

from attrs import frozen

from agent.model.errors import Fault, Side
from agent.model.source_file import FinishEvidence, ScannedFile
from agent.model.storage import PublishStrategy
from agent.model.verification import VerifyLevel
from agent.protocol.message import Message


@frozen(eq=False, repr=False)
class Started(Message):
    """The first frame of a worker: it is ready, and from now on missing replies count as a stall."""


@frozen(eq=False, repr=False)
class RootFound(Message):
    """This root folder was opened for the first time since the start, and is at that path without links."""

    path: str
    real_path: str


@frozen(eq=False, repr=False)
class ScanPart(Message):
    """Some of a source's files, streamed."""

    entries: tuple[ScannedFile, ...]


@frozen(eq=False, repr=False)
class Examining(Message):
    """A file is about to be examined: while nothing follows, this one hangs.

    `entries`, `unreadable`: what was found since the last one, as in ScanEnd.
    """

    path: str
    entries: tuple[ScannedFile, ...]
    unreadable: tuple[tuple[str, str], ...]


@frozen(eq=False, repr=False)
class ScanEnd(Message):
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


@frozen(eq=False, repr=False)
class SourcePrepared(Message):
    """`created`: the source folder was missing and was made."""

    created: bool


@frozen(eq=False, repr=False)
class PathsChanged(Message):
    """Paths that changed; an empty tuple asks for a full scan. `overflows`: how often events were lost.

    `complete`: every readable folder is watched. `closed`: files that a writer has closed, each as it was
    right after that.
    """

    paths: tuple[str, ...]
    overflows: int
    complete: bool = True
    closed: tuple[ScannedFile, ...] = ()


@frozen(eq=False, repr=False)
class Probed(Message):
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


@frozen(eq=False, repr=False)
class Copying(Message):
    """The progress of a copy, streamed."""

    copied_bytes: int
    verified_bytes: int


@frozen(eq=False, repr=False)
class Blocked(Message):
    """Nothing has moved since the last reply: the worker waits for a system call on this side."""

    side: Side


@frozen(eq=False, repr=False)
class Heartbeat(Message):
    """Bytes are moving; how many follows with the next other reply."""


@frozen(eq=False, repr=False)
class CopyEnd(Message):
    """The base of all last replies of a copy."""


@frozen(eq=False, repr=False)
class PartialAllocated(CopyEnd):
    """Nothing is copied yet: journal this partial, then send the request again with it."""

    partial: str


@frozen(eq=False, repr=False)
class Checkpoint(Message):
    """These consecutive blocks are durable at the destination and, if the route verifies, verified.

    `digests`: the concatenated digests of the blocks. `past_cache`: no block was read back from the client's
    cache so far.
    """

    first_block: int
    digests: bytes
    past_cache: bool = True


@frozen(eq=False, repr=False)
class BlockPatched(Message):
    """This block was written again and verified; the journaled digests of other blocks stay valid."""

    block: int
    digest: bytes


@frozen(eq=False, repr=False)
class TrustedBlocks(Message):
    """How many of the request's trusted blocks the opened partial still contains."""

    blocks: int


@frozen(eq=False, repr=False)
class Followed(CopyEnd):
    """The follower has stopped; this many blocks are verified at the destination."""

    blocks: int


@frozen(eq=False, repr=False)
class Published(Message):
    """The content has this name; `already_present`: another request or somebody else put it there.

    `level`: verified by reading it back under that name; None: it was not. `file_identity`: as in `Transfer`.
    """

    name: str
    already_present: bool
    level: VerifyLevel | None = None
    file_identity: str | None = None


@frozen(eq=False, repr=False)
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


@frozen(eq=False, repr=False)
class VerifyResult(Message):
    """The verdict on a published file.

    `detail`: the difference or the error. `level`: the level of verification that was reached.
    """

    verdict: VerifyVerdict
    detail: str = ""
    level: VerifyLevel | None = None


@frozen(eq=False, repr=False)
class SourceRemoved(Message):
    """`kept_because`: the reason why the source was kept; None: it is gone.

    `put_back_as`: the name beside it of another file, which had to be moved out of the way and whose own
    name was taken meanwhile.
    """

    kept_because: str | None
    put_back_as: str | None = None


@frozen(eq=False, repr=False)
class Unfinished(CopyEnd):
    """The source is not finished, and nothing was written. `evidence` None: it has changed or left."""

    evidence: FinishEvidence | None


@frozen(eq=False, repr=False)
class NotBatchable(Message):
    """Nothing was done for this file: it needs a copy of its own."""


SmallFileResult = Copied | Unfinished | NotBatchable | Fault


@frozen(eq=False, repr=False)
class CopiedFiles(Message):
    """One result for each file of the request, in its order."""

    results: tuple[SmallFileResult, ...]


@frozen(eq=False, repr=False)
class PublishedFiles(Message):
    """One result for each file of the request, in its order."""

    results: tuple[Published | Fault, ...]


@frozen(eq=False, repr=False)
class RemovedSources(Message):
    """One result for each file of the request, in its order."""

    results: tuple[SourceRemoved | Fault, ...]


@frozen(eq=False, repr=False)
class FolderTried(Message):
    """What was tried in a folder or bucket, and what came of it."""

    findings: tuple[tuple[str, str], ...]


@frozen(eq=False, repr=False)
class NamesTaken(Message):
    """Those of the names that something has already."""

    names: tuple[str, ...]


@frozen(eq=False, repr=False)
class SourcesPutBack(Message):
    """The path that each file has now; those that were gone are left out."""

    paths: tuple[str, ...]


@frozen(eq=False, repr=False)
class FoldersRemoved(Message):
    """The folders that were empty and are gone; those that were gone before are left out."""

    folders: tuple[str, ...]


@frozen(eq=False, repr=False)
class SourceExists(Message):
    """Whether the path exists. `is_renamed`: a removal was cut off, and its private path exists."""

    exists: bool
    is_renamed: bool = False


@frozen(eq=False, repr=False)
class SourceHashed(Message):
    """`digest`: the xxh3_128 of the whole source."""

    digest: bytes


@frozen(eq=False, repr=False)
class Discarded(Message):
    """`is_gone`: no partial is left. False: no file has its name, and it may have been moved elsewhere."""

    is_gone: bool


@frozen(eq=False, repr=False)
class OrphansFound(Message):
    """Temporary files of this installation, also those of running transfers; empty: the search goes on."""

    paths: tuple[str, ...]


@frozen(eq=False, repr=False)
class FolderResolved(Message):
    """`path` is the folder with its symbolic links resolved; `is_allowed`: it lies below one of the roots."""

    path: str
    is_allowed: bool


@frozen(eq=False, repr=False)
class Finished(Message):
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
