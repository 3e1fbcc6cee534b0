"""Messages to a watcher."""

from attrs import frozen


@frozen
class WatchEvent:
    """Something moved in the source: look there soon. Empty `paths`: look everywhere."""

    paths: tuple[str, ...] = ()


@frozen
class Examine:
    """Examine these files closely as soon as possible."""

    paths: tuple[str, ...]


@frozen
class WatchStatus:
    """Whether the operating system tells all that happens in the source; until this is said, it does."""

    active: bool


WatcherInbox = WatchEvent | Examine | WatchStatus
