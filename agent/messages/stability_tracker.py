"""What watchers and stability trackers say of a source, and hear."""

from attrs import frozen

from agent.model.source_file import ScannedFile, UnreadableFolder


@frozen
class ScanChunk:
    """A part of a whole scan that is under way; the stats lie between the scan's `began_s` and `ended_s`."""

    entries: tuple[ScannedFile, ...]
    began_s: float
    ended_s: float
    at: float


@frozen
class ScanResult:
    """What stands in a source: a level, not an edge.

    `examined` is None for a whole scan, whose other entries have come in parts that began with it; otherwise
    only these paths were looked at. What was looked at and has no entry is gone. `unreadable`: what could
    not be
    looked at; nothing is known of it and of what is below. The stats lie between `began_s` and `ended_s`.
    """

    entries: tuple[ScannedFile, ...]
    began_s: float
    ended_s: float
    at: float
    free_bytes: int
    examined: tuple[str, ...] | None = None
    unreadable: tuple[UnreadableFolder, ...] = ()


TrackerInbox = ScanChunk | ScanResult
