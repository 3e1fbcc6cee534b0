"""Requests to a worker process."""

from typing import Literal

from attrs import frozen

from agent.model.source_file import FinishRule, Signature
from agent.model.storage import BandwidthStep, S3Access
from agent.protocol.message import Message

VerifyMode = Literal["read_back", "hash", "size"]
AfterMode = Literal["delete", "keep", "archive"]
ConflictMode = Literal["rename", "fail"]


@frozen(eq=False, repr=False)
class SourceMount(Message):
    """How to tell that a source is there, and not the folder under a mount that is gone.

    `point`: where it was mounted when it was last accepted. `marker`: a file in it, which overrules `point`.
    """

    point: str | None = None
    marker: str | None = None


ANY_MOUNT = SourceMount()


@frozen(eq=False, repr=False)
class SourceFolder(Message):
    """A source folder, and the globs that choose its files.

    Its marker is never chosen, nor are private names that the installation `identity` gives sources while it
    removes them.
    """

    root: str
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    identity: str = ""
    mount: SourceMount = ANY_MOUNT


@frozen(eq=False, repr=False)
class DestinationRef(Message):
    """A destination: a folder on the device that the storage monitor accepted, or an s3:// URL.

    `s3`: the access to the bucket; None for a folder.
    """

    root: str
    device: int
    s3: S3Access | None = None


@frozen(eq=False, repr=False)
class PrepareSource(Message):
    """Create the last folder of the source's path if it is missing. Ends with SourcePrepared."""

    root: str


@frozen(eq=False, repr=False)
class ListSource(Message):
    """List all files of the source. Streams ScanPart, ends with ScanEnd."""

    source: SourceFolder


@frozen(eq=False, repr=False)
class ExamineSource(Message):
    """Stat these paths, and collect finish evidence for those in `closely`.

    Streams Examining, ends with ScanEnd. After a while the rest is left for another request.
    """

    source: SourceFolder
    paths: tuple[str, ...]
    closely: frozenset[str]


@frozen(eq=False, repr=False)
class WatchSource(Message):
    """Watch the source. Streams PathsChanged without end; Finished when there can be no events."""

    root: str


@frozen(eq=False, repr=False)
class ProbeDestination(Message):
    """Check that the destination is mounted and writable. Ends with Probed.

    `try_writing`: the name of a file that is created and removed to prove it; None: check only.
    `try_publishing`: a second name, which that file gets as a delivered one does; None: not tried.
    """

    root: str
    marker: str | None
    try_writing: str | None
    s3: S3Access | None = None
    try_publishing: str | None = None


@frozen(eq=False, repr=False)
class FindDestination(Message):
    """Check that the destination exists, for reading only. Ends with Probed."""

    root: str
    marker: str | None
    s3: S3Access | None = None


@frozen(eq=False, repr=False)
class Bandwidth(Message):
    """The bandwidth limit of a copy: the route's timetable (empty: no limit), divided by `shares` copies."""

    steps: tuple[BandwidthStep, ...] = ()
    shares: int = 1


@frozen(eq=False, repr=False)
class CopyFile(Message):
    """Copy and verify into the partial. Streams Copying and Checkpoint, ends with a CopyEnd.

    `digests`: the journaled digests of the first blocks; these blocks are read back before they are trusted.
    `source_changed`: the source has changed since then, so each of its blocks is compared with `digests`.
    The first `trusted_blocks` blocks were verified in this session and are not read back again.
    `finish_rule`: examine the source first; by this rule it is Unfinished or copied. None: it was examined.
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
    finish_rule: FinishRule | None = None


@frozen(eq=False, repr=False)
class FollowFile(Message):
    """Copy the part of a growing file that its writer has finished, until it stops growing for a while.

    `signature` only identifies the file (device, inode). Streams TrustedBlocks first, then Copying,
    Checkpoint and BlockPatched. Ends with Followed or PartialAllocated. All other fields as in CopyFile.
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


@frozen(eq=False, repr=False)
class CopySmallFiles(Message):
    """Copy small files of one source whole into their partials at one destination. Ends with CopiedFiles.

    No attempt was made for any of them before.
    """

    files: tuple[CopyFile, ...]


@frozen(eq=False, repr=False)
class PartialToPublish(Message):
    """A verified partial and the name that its file is to have.

    `read_back`: verify the content under its name, since it could not be read back before. `file_identity`:
    the partial's when it was verified (`Transfer`); with another, or None, it is read again before.
    """

    partial: str
    name: str
    size_bytes: int
    digest: bytes
    read_back: bool = False
    file_identity: str | None = None


@frozen(eq=False, repr=False)
class PublishFiles(Message):
    """Give each verified partial its name without replacing anything. Ends with PublishedFiles."""

    destination: DestinationRef
    conflict: ConflictMode
    files: tuple[PartialToPublish, ...]


@frozen(eq=False, repr=False)
class VerifyFile(Message):
    """Read a published file back and compare it with the record. Streams Copying, ends with VerifyResult.

    `digest`: None: only its size is compared.
    """

    destination: DestinationRef
    name: str
    size_bytes: int
    digest: bytes | None


@frozen(eq=False, repr=False)
class ConfirmDelivery(Message):
    """As VerifyFile, but an outage of the destination is a fault and no verdict."""

    file: VerifyFile


@frozen(eq=False, repr=False)
class CheckSeparateRoots(Message):
    """Check that what is written to the destination, a folder, does not show in the source.

    `probe`: the name of a file that is created at the destination's root and removed. Ends with Finished.
    """

    source: str
    destination: DestinationRef
    probe: str


@frozen(eq=False, repr=False)
class CheckSeparateFiles(Message):
    """Check that a file found at the destination is not the source, seen through another mount.

    `temporary`: the name of a file that is created beside the one, looked for beside the other, and removed.
    It is relative to the destination. `at_source`: beside the source too. Ends with Finished.
    """

    source: str
    path: str
    destination: DestinationRef
    temporary: str
    at_source: bool


@frozen(eq=False, repr=False)
class SourceToRemove(Message):
    """A source and the signature of what was delivered.

    `private_path`: beside `path`; the file is renamed to it first, and looked at again there. `is_renamed`:
    an earlier request was cut off after that.
    """

    path: str
    signature: Signature
    private_path: str
    is_renamed: bool = False


@frozen(eq=False, repr=False)
class RemoveSources(Message):
    """Delete, keep or archive each source if it is still what was delivered. Ends with RemovedSources."""

    source: str
    after: AfterMode
    archive: str | None
    files: tuple[SourceToRemove, ...]


@frozen(eq=False, repr=False)
class PutBackSources(Message):
    """Give these files, which have private names that no transfer knows, their own names back.

    Ends with SourcesPutBack.
    """

    source: str
    private_paths: tuple[str, ...]


@frozen(eq=False, repr=False)
class RemoveEmptyFolders(Message):
    """Remove those of these folders below the source that are empty. Ends with FoldersRemoved."""

    source: str
    folders: tuple[str, ...]
    mount: SourceMount = ANY_MOUNT


@frozen(eq=False, repr=False)
class LookUpSource(Message):
    """Check whether this path exists, or the private one of a removal that may have been cut off.

    Ends with SourceExists.
    """

    source: str
    path: str
    private_path: str | None = None
    mount: SourceMount = ANY_MOUNT


@frozen(eq=False, repr=False)
class TryFolder(Message):
    """Try what this folder can do with a temporary file of this name. Ends with FolderTried."""

    root: str
    name: str


@frozen(eq=False, repr=False)
class TryArchive(Message):
    """As TryFolder, with a folder that may be missing and to which files are moved from this source."""

    root: str
    name: str
    source: str


@frozen(eq=False, repr=False)
class TryBucket(Message):
    """Try what this bucket can do with a temporary object of this name. Ends with FolderTried."""

    root: str
    name: str
    s3: S3Access


@frozen(eq=False, repr=False)
class LookUpNames(Message):
    """Check which of these names are taken at the destination. Ends with NamesTaken."""

    destination: DestinationRef
    names: tuple[str, ...]


@frozen(eq=False, repr=False)
class HashSource(Message):
    """Read and hash this source if it is unchanged. Ends with SourceHashed."""

    source: str
    path: str
    signature: Signature


@frozen(eq=False, repr=False)
class DiscardPartial(Message):
    """Remove a partial if it exists. Ends with Discarded."""

    destination: DestinationRef
    partial: str


@frozen(eq=False, repr=False)
class FindOrphans(Message):
    """Find temporary files of the installation `identity`: in the root, or `deep` in every folder below it.

    Streams OrphansFound, ends with Finished.
    """

    destination: DestinationRef
    identity: str
    deep: bool


@frozen(eq=False, repr=False)
class ResolveFolder(Message):
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
    | PutBackSources
    | RemoveEmptyFolders
    | VerifyFile
    | ConfirmDelivery
    | CheckSeparateRoots
    | CheckSeparateFiles
    | LookUpSource
    | LookUpNames
    | TryFolder
    | TryArchive
    | TryBucket
    | HashSource
    | DiscardPartial
    | FindOrphans
    | ResolveFolder
)
