"""Messages to a watcher."""

from attrs import frozen

from agent.model.source_file import ScannedFile


@frozen
class WatchEvent:
    """These paths of the source have changed: examine them soon. Empty `paths`: scan everything.

    `closed`: files that a writer has closed, each as it was right after that.
    """

    paths: tuple[str, ...] = ()
    closed: tuple[ScannedFile, ...] = ()


@frozen
class Examine:
    """Examine these files closely as soon as possible."""

    paths: tuple[str, ...]


@frozen
class PutBack:
    """These files have private names that no transfer knows: they are to get their own names back."""

    private_paths: tuple[str, ...]


@frozen
class RemoveFolders:
    """Remove those of these folders that are empty: we have emptied them."""

    folders: tuple[str, ...]


@frozen
class WatchStatus:
    """Whether the operating system gives events about all of the source; before the first one: yes."""

    active: bool


WatcherInbox = WatchEvent | Examine | PutBack | RemoveFolders | WatchStatus
