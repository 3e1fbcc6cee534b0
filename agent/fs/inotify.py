"""Source events on Linux: inotify(7) on every folder below a root."""

import ctypes
import os
import posixpath
import select
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Self

from attrs import define, field, frozen

from agent.fs import safe_open
from agent.fs.descriptors import closing_fd
from agent.fs.libc import function
from agent.fs.platform import is_network

# sys/inotify.h
_CLOSE_WRITE = 0x8
_MOVED_FROM = 0x40
_MOVED_TO = 0x80
_CREATE = 0x100
_DELETE = 0x200
_MOVE_SELF = 0x800
_UNMOUNT = 0x2000
_Q_OVERFLOW = 0x4000
_IGNORED = 0x8000
_ONLYDIR = 0x01000000
_EXCL_UNLINK = 0x04000000
_ISDIR = 0x40000000

# No MODIFY: it floods while a file is recorded, and a scan sees growth too.
_MASK = _CREATE | _CLOSE_WRITE | _MOVED_TO | _MOVED_FROM | _DELETE | _ONLYDIR | _EXCL_UNLINK

_HEADER = struct.Struct("iIII")  # watch, mask, cookie, length of the name that follows
_READ_BYTES = 1 << 16
_LOOK_AT_ROOT_S = 10.0

_inotify_init1 = function("inotify_init1", ctypes.c_int)
_inotify_add_watch = function("inotify_add_watch", ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)


@frozen
class _InotifyEvent:
    watch: int
    mask: int
    name: str


@define
class _Burst:
    """What a burst of events came to. `unseen`: look everywhere; `lost`: the watches are wrong as well."""

    paths: dict[str, None] = field(factory=dict)
    unseen: bool = False
    lost: bool = False


class SourceEvents:
    """Tells which files below `root` were touched. Only hints: a scan is the truth.

    `active`: events come; False on network file systems (other machines' writes are not seen), where
    inotify is refused, and once the root is gone. `overflowed` counts the times events were lost.
    `complete`: every folder that can be read is watched; the system may have too few watches for that.
    """

    def __init__(self, root: str, burst_s: float = 0.05) -> None:
        self.active = False
        self.overflowed = 0
        self.complete = True
        self._untold = False
        self._root = root
        self._burst_s = burst_s
        self._identity: tuple[int, int] | None = None
        self._inotify = -1
        self._folders: dict[int, str] = {}  # by watch, relative to the root
        self._poll = select.poll()

    def __enter__(self) -> Self:
        self._arm()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._disarm()

    def wait(self, timeout_s: float | None) -> tuple[str, ...] | None:
        """The relative paths touched, some perhaps twice or gone again; None when the time is over.

        Empty: look everywhere. Events were lost, a folder was moved away or cannot be watched, or the root
        is another one or gone. What comes within a burst comes together.
        """
        if self._untold:
            self._untold = False
            return ()
        until_s = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            if self.active and self._root_identity() != self._identity:
                self._arm()
                return ()
            left_s = None if until_s is None else max(0.0, until_s - time.monotonic())
            if self._is_readable(self._nap_s(left_s)):
                if (found := self._collect()) is not None:
                    return found
            elif left_s is not None and (left_s <= _LOOK_AT_ROOT_S or not self.active):
                return None

    def _nap_s(self, left_s: float | None) -> float | None:
        if not self.active:
            return left_s
        return _LOOK_AT_ROOT_S if left_s is None else min(left_s, _LOOK_AT_ROOT_S)

    def _is_readable(self, timeout_s: float | None) -> bool:
        return bool(self._poll.poll(None if timeout_s is None else timeout_s * 1000))

    def _collect(self) -> tuple[str, ...] | None:
        burst = _Burst()
        until_s = time.monotonic() + self._burst_s
        while (left_s := until_s - time.monotonic()) > 0 and self._is_readable(left_s):
            for event in _events(os.read(self._inotify, _READ_BYTES)):
                self._take(event, burst)
        if burst.lost:
            self._arm()
        if burst.lost or burst.unseen:
            return ()
        return tuple(burst.paths) or None

    def _take(self, event: _InotifyEvent, burst: _Burst) -> None:
        folder = self._folders.get(event.watch, "")
        path = posixpath.join(folder, event.name)
        if event.mask & _Q_OVERFLOW:
            self.overflowed += 1
            burst.lost = True
        elif event.mask & (_UNMOUNT | _MOVE_SELF):
            burst.lost = True
        elif event.mask & _IGNORED:
            self._folders.pop(event.watch, None)
            burst.lost |= not folder
        elif not event.mask & _ISDIR:
            burst.paths[path] = None
        elif event.mask & _MOVED_FROM:
            burst.lost = True  # its watches live on under names that are wrong now
        elif event.mask & (_CREATE | _MOVED_TO):
            self._watch_new(path, burst)

    def _watch_new(self, folder: str, burst: _Burst) -> None:
        try:
            with closing_fd(safe_open.open_root(self._root)) as root:
                self._watch_tree(root, folder, burst)
        except OSError:
            burst.lost = True

    def _watch_tree(self, root: int, top: str, burst: _Burst) -> None:
        """Watch this folder and all below; what stands in them counts as touched."""
        folders = [top]
        while folders:
            folder = folders.pop()
            try:
                self._watch_folder(root, folder, folders, burst)
            except (FileNotFoundError, NotADirectoryError):
                continue  # gone again, or a link now
            except PermissionError:
                burst.unseen = True  # a scan sees no more of it
            except OSError:
                burst.unseen, self.complete = True, False  # no watch left, most likely

    def _watch_folder(self, root: int, folder: str, folders: list[str], burst: _Burst) -> None:
        # Watched first, listed then: what comes in between is seen twice rather than not at all.
        with closing_fd(safe_open.open_folder(root, folder, create=False)) as fd:
            mask = _MASK if folder else _MASK | _MOVE_SELF
            self._folders[_inotify_add_watch(self._inotify, b"/proc/self/fd/%d" % fd, mask)] = folder
            with os.scandir(fd) as entries:
                for entry in entries:
                    path = posixpath.join(folder, entry.name)
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(path)
                    elif entry.is_file(follow_symlinks=False):
                        burst.paths[path] = None

    def _arm(self) -> None:
        """Begin anew, with watches on all that is there now; `_untold`: not all of it could be."""
        self._disarm()
        burst = _Burst()
        self._identity = self._root_identity()
        with suppress(OSError):
            if is_network(self._root):
                return
            with closing_fd(safe_open.open_root(self._root)) as root:
                self._inotify = _inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
                self._poll.register(self._inotify, select.POLLIN)
                self._watch_tree(root, "", burst)
        if self._folders:
            self.active, self._untold = True, burst.unseen
        else:
            self._disarm()

    def _disarm(self) -> None:
        self.active, self.complete = False, True
        self._folders.clear()
        if self._inotify >= 0:
            self._poll.unregister(self._inotify)
            os.close(self._inotify)
            self._inotify = -1

    def _root_identity(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self._root)
        except OSError:
            return None
        return status.st_dev, status.st_ino


def _events(data: bytes) -> Iterator[_InotifyEvent]:
    at = 0
    while at < len(data):
        watch, mask, _, length = _HEADER.unpack_from(data, at)
        at += _HEADER.size
        yield _InotifyEvent(watch, mask, os.fsdecode(data[at : at + length].rstrip(b"\0")))
        at += length
