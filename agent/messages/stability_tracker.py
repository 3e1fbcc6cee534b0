"""Messages to a stability tracker."""

from attrs import frozen

from agent.model.source_file import FileVersion, FinishEvidence, ScannedFile, UnreadableFolder


@frozen
class ScanChunk:
    """A part of a whole scan that is under way; all was read between `began_s` and `ended_s`.

    `closed`: files that a writer closed before the scan began, each as it was right after that.
    """

    entries: tuple[ScannedFile, ...]
    began_s: float
    ended_s: float
    at: float
    closed: tuple[ScannedFile, ...] = ()


@frozen
class ScanResult:
    """The files that are in a source: a level, not an edge.

    `examined`: the only paths that were examined, or None for a whole scan, whose other entries came as
    `ScanChunk`s with the same `began_s`. A path that was examined and has no entry is gone. Nothing is known
    of `unreadable` folders and of what is below them. All was read between `began_s` and `ended_s`. `hung`:
    files that did not answer when they were examined, though the source did. `private_paths`: sources that
    are being removed, or whose removal was cut off. `closed` as in `ScanChunk`.
    """

    entries: tuple[ScannedFile, ...]
    began_s: float
    ended_s: float
    at: float
    free_bytes: int
    examined: tuple[str, ...] | None = None
    unreadable: tuple[UnreadableFolder, ...] = ()
    closed: tuple[ScannedFile, ...] = ()
    private_paths: tuple[str, ...] = ()
    hung: tuple[str, ...] = ()


@frozen
class FilesRemoved:
    """These files were delivered and their sources removed or archived, at the latest at `removed_s`."""

    files: tuple[FileVersion, ...]
    removed_s: float


@frozen
class FilesUnfinished:
    """Files that were reported unexamined are not finished, as their copies found since `began_s`.

    With each comes the evidence; None: it has changed or left.
    """

    files: tuple[tuple[FileVersion, FinishEvidence | None], ...]
    began_s: float
    at: float


@frozen
class FoldersTried:
    """The removal of these folders was tried between `began_s` and `ended_s`.

    `removed`: those that were empty and are gone; the others were not empty any more.
    """

    folders: tuple[str, ...]
    removed: tuple[str, ...]
    began_s: float
    ended_s: float


TrackerInbox = ScanChunk | ScanResult | FilesRemoved | FilesUnfinished | FoldersTried
