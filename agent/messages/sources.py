"""What watchers and stability trackers say of a source, and hear."""

from attrs import frozen

from agent.terms import Entry, Settled, SourceFile, Unreadable


@frozen
class Seen:
    """A part of a whole scan that is under way; the stats lie between the scan's `began_s` and `ended_s`."""

    entries: tuple[Entry, ...]
    began_s: float
    ended_s: float
    at: float


@frozen
class Scan:
    """What stands in a source: a level, not an edge.

    `looked` is None for a whole scan, whose other entries have come in parts that began with it; otherwise
    only these paths were looked at. What was looked at and has no entry is gone. `unseen`: what could not be
    looked at; nothing is known of it and of what is below. The stats lie between `began_s` and `ended_s`.
    """

    entries: tuple[Entry, ...]
    began_s: float
    ended_s: float
    at: float
    free_bytes: int
    looked: tuple[str, ...] | None = None
    unseen: tuple[Unreadable, ...] = ()


@frozen
class Hint:
    """Something moved in the source: look there soon. Empty `paths`: look everywhere."""

    paths: tuple[str, ...] = ()


@frozen
class Look:
    """Examine these files closely as soon as possible."""

    paths: tuple[str, ...]


@frozen
class Listening:
    """Whether the operating system tells all that happens in the source; until this is said, it does."""

    active: bool


WatcherInbox = Hint | Look | Listening
StabilityInbox = Seen | Scan


@frozen
class Ready:
    """`memory`: why it may not have to be transferred again; perhaps of another state of the file."""

    file: SourceFile
    at: float
    memory: Settled | None = None


@frozen
class Growing:
    """It grows as a recording does, and may be copied meanwhile; said again each time it has grown."""

    file: SourceFile
    at: float


@frozen
class Gone:
    """What was announced is no longer so: the file left the source, or it `changed` and is watched afresh."""

    file: SourceFile
    at: float
    changed: bool
