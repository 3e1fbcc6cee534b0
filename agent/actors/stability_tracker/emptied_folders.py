"""Folders that we have emptied: which of them may be removed now (`remove_empty_folders`)."""

from collections.abc import Iterable

from attrs import define, field

from agent.messages.stability_tracker import FoldersTried
from agent.model.names import split_path

MAX_FOLDERS = 1000  # of one request


@define
class EmptiedFolders:
    """The folders below one source from which we removed something, and when we did so last.

    Our own removal changes the folder's modification time, so that says nothing. A folder is tried when a
    scan that began `quiet_s` after our last removal there has listed no file in it or below it. The file
    system has the last word: it removes only what is empty.
    """

    quiet_s: float
    _removed_s: dict[str, float] = field(factory=dict, init=False)

    def __len__(self) -> int:
        return len(self._removed_s)

    def add(self, path: str, removed_s: float) -> None:
        """A file or folder was removed; the folder that held it may be empty now, unless it is the source."""
        folder = split_path(path)[0].rstrip("/")
        if folder:
            self._removed_s[folder] = max(removed_s, self._removed_s.get(folder, removed_s))

    def due(self, began_s: float, known: Iterable[str]) -> tuple[str, ...]:
        """The folders to try after a scan that began then; `known`: the files that are in the source.

        Where files are known, our next removal there counts, and the folder is forgotten until then. What is
        due is so again after the next scan, until it was `tried`.
        """
        due = {folder for folder, removed_s in self._removed_s.items() if began_s - removed_s >= self.quiet_s}
        if not due:
            return ()
        for path in known:
            folder = path
            while folder := split_path(folder)[0].rstrip("/"):
                if folder in due:
                    due.remove(folder)
                    del self._removed_s[folder]
        return tuple(sorted(due)[:MAX_FOLDERS])

    def tried(self, result: FoldersTried) -> None:
        """Those that are gone may have left an empty one above them; the others are used by somebody."""
        for folder in result.folders:
            if self._removed_s.get(folder, result.began_s) < result.began_s:
                del self._removed_s[folder]
        for folder in result.removed:
            self.add(folder, result.ended_s)
