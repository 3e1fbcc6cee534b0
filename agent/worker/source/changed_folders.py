"""The folders in which a request has removed files: each is synced once, when all files are done."""

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Self

from attrs import define, field

from agent.fs import platform, safe_open
from agent.fs.syscalls import close_unwritten, with_path


@define(eq=False)
class ChangedFolders:
    """Folders by their path below the source, held open: another may be at that path by the time of the sync.

    May be used from several threads.
    """

    _descriptors: dict[str, int] = field(factory=dict, init=False)
    _closing: ExitStack = field(factory=ExitStack, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    @classmethod
    @contextmanager
    def open(cls) -> Iterator[Self]:
        """Close all folders when the block ends."""
        changed = cls()
        with changed._closing:
            yield changed

    def add(self, folder: str, descriptor: int) -> None:
        """`descriptor`: the open folder; it may be closed afterwards.

        Raises:
            OSError: there are no more descriptors.
        """
        with self._lock:
            if folder not in self._descriptors:
                self._descriptors[folder] = os.dup(descriptor)
                self._closing.callback(close_unwritten, self._descriptors[folder])

    def add_nearest(self, root: int, path: str) -> None:
        """The folder of this path is gone: the nearest one above it that is there still has to be synced.

        Raises:
            OSError: a folder cannot be opened.
        """
        folder = path.rpartition("/")[0]
        while folder:
            folder = folder.rpartition("/")[0]
            try:
                descriptor = safe_open.open_folder(root, folder, create=False)
            except (FileNotFoundError, NotADirectoryError):
                continue
            try:
                self.add(folder, descriptor)
            finally:
                close_unwritten(descriptor)
            return

    def sync(self) -> None:
        """Bring what was removed to stable storage.

        Raises:
            OSError: a folder could not be stored.
        """
        for folder, descriptor in self._descriptors.items():
            with with_path(folder):
                platform.sync_folder(descriptor)
