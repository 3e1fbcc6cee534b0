"""What a worker process is asked to do."""

from typing import Literal

from attrs import frozen

from agent.model.source_file import Signature
from agent.model.storage import BandwidthStep, S3Access

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
    """Stat everything that counts. Streams Listed, ends with ListingEnd."""

    source: SourceFolder


@frozen
class ExamineSource:
    """Stat these paths, and look `closely` at some: open writers, container. Ends with ListingEnd."""

    source: SourceFolder
    paths: tuple[str, ...]
    closely: frozenset[str]


@frozen
class WatchSource:
    """Stream Touched for ever, where the platform can; ends with Finished when it cannot."""

    root: str


@frozen
class ProbeDestination:
    """Is the destination there, on its mount, writable? Answered by Probed.

    `try_writing`: the name of a file to prove it with, which is gone afterwards; None: only look.
    """

    root: str
    marker: str | None
    try_writing: str | None
    s3: S3Access | None = None


@frozen
class FindDestination:
    """Is the destination there, to be read? Answered by Probed."""

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
    """Copy and verify into the partial. Streams Copying and Checkpoint, ends with an Arrived, or Reserved.

    `digests` are those of the blocks that the journal believes in; they are read back before being trusted.
    `source_changed`: the source has changed since they were taken, so that each of its blocks is compared
    with them;
    of the first `trusted_blocks` it is certain that they stand at the destination.
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
    """Copy what a writer has left behind of a growing file, until it stops growing for a while.

    `signature` only says which file it is (device, inode). Streams Proven first, then Copying, Checkpoint and
    Patch, ends with Followed, or Reserved. The rest as in CopyFile.
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
    """Read a published file back and compare it with the record. Streams Copying, ends with Checked."""

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
    """Does this path still exist? Ends with Presence."""

    source: str
    path: str


@frozen
class DiscardPartial:
    """Remove a partial of ours, if it is there. Ends with Finished."""

    destination: DestinationRef
    partial: str


@frozen
class FindOrphans:
    """Find files whose names prove that they are `identity`'s: in the root, or `deep` in every folder below.

    Streams Strays, ends with Finished.
    """

    destination: DestinationRef
    identity: str
    deep: bool


@frozen
class ResolveFolder:
    """Is this absolute path a folder, and below one of `roots`? Answered by FolderFound."""

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
