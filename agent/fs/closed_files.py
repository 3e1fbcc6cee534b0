"""Which names stand for a file that a writer has closed, followed through renames by the order of events."""

import os
from collections import OrderedDict

from attrs import define, field

MAX_REMEMBERED = 10_000
MAX_MOVING = 1_000


@define
class ClosedFiles:
    """The names of closed files, each with the file's status at the last look, None: it was gone by then.

    A close that is missed leaves a name out. No name is here whose file was not closed: whatever changes
    without an event of its own, such as the size, ends it.
    """

    _files: OrderedDict[str, os.stat_result | None] = field(factory=OrderedDict, init=False)
    _moving: dict[int, os.stat_result | None] = field(factory=dict, init=False)  # by cookie

    def status(self, path: str) -> os.stat_result | None:
        """Return the status of the closed file with this name; None: it is not known to be closed."""
        return self._files.get(path)

    def closed(self, path: str, status: os.stat_result | None) -> None:
        """A writer has closed the file."""
        self._files[path] = status
        self._files.move_to_end(path)
        if len(self._files) > MAX_REMEMBERED:
            self._files.popitem(last=False)

    def attributes_set(self, path: str, status: os.stat_result | None) -> None:
        """Access rights or times were set, as rsync does after a close: the size stays, the mtime may not."""
        if path not in self._files:
            return
        before = self._files.pop(path)
        if before is None or status is None or _identity(before) == _identity(status):
            self.closed(path, status)

    def forget(self, path: str) -> None:
        """The name is gone, or stands for another file."""
        self._files.pop(path, None)

    def moved_from(self, path: str, cookie: int) -> None:
        """The file loses this name and gets another one, if `moved_to` with the same cookie follows."""
        if path in self._files:
            self._moving[cookie] = self._files.pop(path)
        if len(self._moving) > MAX_MOVING:
            del self._moving[next(iter(self._moving))]

    def moved_to(self, path: str, cookie: int, status: os.stat_result | None) -> None:
        """The file has got this name."""
        self.forget(path)
        if cookie in self._moving:
            before = self._moving.pop(cookie)
            if before is None or status is None or is_unwritten(before, status):
                self.closed(path, status)

    def folder_moved(self, before: str, after: str) -> None:
        """A folder, and all below it, has another name."""
        for path in [each for each in self._files if each.startswith(f"{before}/")]:
            self._files[after + path.removeprefix(before)] = self._files.pop(path)

    def clear(self) -> None:
        """Events were lost."""
        self._files.clear()
        self._moving.clear()


def is_unwritten(before: os.stat_result, after: os.stat_result) -> bool:
    """Return whether this is the same file, with the content that it had."""
    return _identity(before) == _identity(after) and before.st_mtime_ns == after.st_mtime_ns


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_dev, status.st_ino, status.st_size
