"""Source events: which files of a source were changed, as the operating system reports it."""

import os
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol

if sys.platform == "darwin":
    from agent.fs.fsevents import FSEvents as PlatformEvents
else:
    from agent.fs.inotify import InotifyEvents as PlatformEvents


class SourceEvents(Protocol):
    """Reports changed paths below a source folder. They are hints only: a scan decides."""

    @property
    def active(self) -> bool:
        """Whether events can come.

        False where the system refuses to watch, and on network file systems, because the writes of other
        machines cause no event there. False too once the source folder is gone.
        """
        ...

    @property
    def overflowed(self) -> int:
        """How many times events were lost so far, as far as the system reports losses."""
        ...

    @property
    def complete(self) -> bool:
        """Whether every readable folder is watched; the system may have too few watches."""
        ...

    def wait(self, timeout_s: float | None) -> tuple[str, ...] | None:
        """Wait for changes and return their paths relative to the source; None after `timeout_s`.

        A path may come twice, and its file may be gone again. Changes within one burst come together.
        An empty tuple asks for a full scan: events were lost, or a folder moved or cannot be watched.
        It also comes when the source folder was replaced or is gone.
        """
        ...

    def take_closed(self) -> Mapping[str, os.stat_result]:
        """Return the files that a writer has closed, with their status right after that, and forget them.

        The writer may be any user's. Others may still have the file open, and a close may have been missed.
        """
        ...


def watch_source(root: str) -> AbstractContextManager[SourceEvents]:
    """Watch this folder and all below it until the block ends. A missing folder is no error."""
    return PlatformEvents(root)
