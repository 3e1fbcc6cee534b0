"""Requests to a worker process."""

from typing import Literal

from attrs import frozen

from agent.model.source_file import Signature
from agent.model.storage import BandwidthStep, S3Access

VerifyMode = Literal["read_back", "hash", "size"]
AfterMode = Literal["delete", "keep", "archive"]
ConflictMode = Literal["rename", "fail"]


@frozen
class SourceFolder:
    """A source, and the patterns of the files that count."""

    root: str
    include: tuple[str, ...]
    exclude: tuple[str, ...]


@frozen
class DestinationRef:
    """A destination: a folder on the device that the storage monitor has accepted, or an s3:// URL.

    `s3`: how to reach the latter; None: it is a folder.
    """

    root: str
    device: int
    s3: S3Access | None = None


@frozen
class PrepareSource:
    """Make the source folder if it is missing. Ends with Finished."""

    root: str


@frozen
class ListSource:
    """Stat every file that counts. Streams ScanBatch, ends with ScanEnd."""

    source: SourceFolder


@frozen
class ExamineSource:
    """Stat these paths, and examine some `closely`: open writers, container. Ends with ScanEnd."""

    source: SourceFolder
    paths: tuple[str, ...]
    closely: frozenset[str]


@frozen
class WatchSource:
    """Stream PathsChanged for ever, where the platform can; ends with Finished when it cannot."""

    root: str


@frozen
class ProbeDestination:
    """Check that the destination is there, on its mount, and writable. Ends with Probed.

    `try_writing`: the name of a file that is written and removed; None: only check permissions.
    """

    root: str
    marker: str | None
    try_writing: str | None
    s3: S3Access | None = None


@frozen
class FindDestination:
    """Check that the destination is there, to be read. Ends with Probed."""

    root: str
    marker: str | None
    s3: S3Access | None = None


@frozen
class Bandwidth:
    """How fast a copy may go: the route's timetable (empty: no limit), divided among `shares` copies."""

    steps: tuple[BandwidthStep, ...] = ()
    shares: int = 1


@frozen
class CopyFile:
    """Copy and verify into the partial. Streams Copying and Checkpoint, ends with Copied or PartialAllocated.

    `digests`: of the blocks that the journal has; all but the first `trusted_blocks` are read back before
    they are trusted. `source_changed`: since they were taken, so each block of the source is compared.
    """

    source: str
    path: str
    signature: Signature
    destination: DestinationRef
    name: str
    partial: str
    digests: tuple[bytes, ...]
    verify: VerifyMode
    conflict: ConflictMode
    bandwidth: Bandwidth
    source_changed: bool = False
    trusted_blocks: int = 0


@frozen
class FollowFile:
    """Copy the part of a growing file that its writer has finished, until it does not grow for a while.

    `signature` only identifies the file (device, inode); the rest as in CopyFile. Streams TrustedBlocks
    first, then Copying, Checkpoint and BlockPatched, ends with Followed or PartialAllocated.
    """

    source: str
    path: str
    signature: Signature
    destination: DestinationRef
    name: str
    conflict: ConflictMode
    partial: str
    digests: tuple[bytes, ...]
    trusted_blocks: int
    verify: VerifyMode
    bandwidth: Bandwidth


@frozen
class CopySmallFiles:
    """Copy small files of one source whole into their partials at one destination. Ends with CopiedFiles.

    No attempt was made for any of them before.
    """

    files: tuple[CopyFile, ...]


@frozen
class PartialToPublish:
    """A verified partial and the name that its file is to have.

    `read_back`: verify the content under its name, since it could not be read back before.
    """

    partial: str
    name: str
    size_bytes: int
    digest: bytes
    read_back: bool = False


@frozen
class PublishFiles:
    """Give each verified partial its name without replacing anything. Ends with PublishedFiles."""

    destination: DestinationRef
    conflict: ConflictMode
    files: tuple[PartialToPublish, ...]


@frozen
class VerifyFile:
    """Read a published file back and compare it with the history. Streams Copying, ends with VerifyResult."""

    destination: DestinationRef
    name: str
    size_bytes: int
    digest: bytes


@frozen
class SourceToRemove:
    """A source and the signature of what was delivered."""

    path: str
    signature: Signature


@frozen
class RemoveSources:
    """Delete, keep or archive each source if it is still what was delivered. Ends with RemovedSources."""

    source: str
    after: AfterMode
    archive: str | None
    files: tuple[SourceToRemove, ...]


@frozen
class LookUpSource:
    """Check whether this path still exists. Ends with SourceExists."""

    source: str
    path: str


@frozen
class DiscardPartial:
    """Remove a partial of ours, if it exists. Ends with Finished."""

    destination: DestinationRef
    partial: str


@frozen
class FindOrphans:
    """Find files whose names prove that they are `identity`'s: in the root, or `deep` in every folder below.

    Streams OrphansFound, ends with Finished.
    """

    destination: DestinationRef
    identity: str
    deep: bool


@frozen
class ResolveFolder:
    """Check that this absolute path is a folder below one of `roots`. Ends with FolderResolved."""

    path: str
    roots: tuple[str, ...]


Request = (
    PrepareSource
    | ListSource
    | ExamineSource
    | WatchSource
    | ProbeDestination
    | FindDestination
    | CopyFile
    | FollowFile
    | CopySmallFiles
    | PublishFiles
    | RemoveSources
    | VerifyFile
    | LookUpSource
    | DiscardPartial
    | FindOrphans
    | ResolveFolder
)
