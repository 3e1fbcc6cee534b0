"""Source events on Linux: an inotify(7) watch on every folder below a root."""

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

from agent.fs import root_folders, safe_open
from agent.fs.closed_files import ClosedFiles
from agent.fs.platform import is_network
from agent.fs.syscalls import c_function, closing_fd
from agent.model.built_in_excludes import excludes_name

# sys/inotify.h
_ATTRIB = 0x4
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

# Without IN_MODIFY: it floods while a file is recorded, and a scan sees growth too.
_MASK = _CREATE | _CLOSE_WRITE | _ATTRIB | _MOVED_TO | _MOVED_FROM | _DELETE | _ONLYDIR | _EXCL_UNLINK

_HEADER = struct.Struct("iIII")  # watch, mask, cookie, length of the following name
_READ_BYTES = 1 << 16
_ROOT_CHECK_S = 10.0

_inotify_init1 = c_function("inotify_init1", ctypes.c_int)
_inotify_add_watch = c_function("inotify_add_watch", ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)


@frozen
class _InotifyEvent:
    watch: int
    mask: int
    name: str
    cookie: int = 0


@define
class _Burst:
    """The result of one burst of events. With `must_rearm` the watches are wrong and have to be set anew."""

    paths: dict[str, None] = field(factory=dict)  # an ordered set
    needs_scan: bool = False
    must_rearm: bool = False


class InotifyEvents:
    """Implements `SourceEvents`; `burst_s` is how long events are collected before they are returned.

    What no route moves (`agent.model.built_in_excludes`) is not watched.
    """

    def __init__(self, root: str, burst_s: float = 0.05) -> None:
        self.active = False
        self.overflowed = 0
        self.complete = True
        self._needs_scan = False
        self._root = root
        self._burst_s = burst_s
        self._identity: tuple[int, int] | None = None
        self._inotify = -1
        self._folders: dict[int, str] = {}  # by watch descriptor, relative to the root
        self._poll = select.poll()
        self._closed_files = ClosedFiles()
        self._moving_folder = (0, "")  # cookie and path
        self._closed: dict[str, os.stat_result] = {}

    def __enter__(self) -> Self:
        self._arm()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._disarm()

    def wait(self, timeout_s: float | None) -> tuple[str, ...] | None:
        if self._needs_scan:
            self._needs_scan = False
            return ()
        until_s = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            if self.active and self._root_identity() != self._identity:
                self._arm()
                return ()
            left_s = None if until_s is None else max(0.0, until_s - time.monotonic())
            if self._is_readable(self._poll_timeout_s(left_s)):
                if (found := self._collect()) is not None:
                    return found
            elif left_s is not None and (left_s <= _ROOT_CHECK_S or not self.active):
                return None

    def take_closed(self) -> dict[str, os.stat_result]:
        closed, self._closed = self._closed, {}
        return closed

    def _poll_timeout_s(self, left_s: float | None) -> float | None:
        if not self.active:
            return left_s
        return _ROOT_CHECK_S if left_s is None else min(left_s, _ROOT_CHECK_S)

    def _is_readable(self, timeout_s: float | None) -> bool:
        return bool(self._poll.poll(None if timeout_s is None else timeout_s * 1000))

    def _collect(self) -> tuple[str, ...] | None:
        burst = _Burst()
        until_s = time.monotonic() + self._burst_s
        while (left_s := until_s - time.monotonic()) > 0 and self._is_readable(left_s):
            for event in _parse(os.read(self._inotify, _READ_BYTES)):
                self._add(event, burst)
        if burst.must_rearm:
            self._arm()
        if burst.must_rearm or burst.needs_scan:
            return ()
        return tuple(burst.paths) or None

    def _add(self, event: _InotifyEvent, burst: _Burst) -> None:
        folder = self._folders.get(event.watch, "")
        path = posixpath.join(folder, event.name)
        if event.mask & _Q_OVERFLOW:
            self.overflowed += 1
            burst.must_rearm = True
            self._closed_files.clear()
        elif event.mask & (_UNMOUNT | _MOVE_SELF):
            burst.must_rearm = True
        elif event.mask & _IGNORED:
            self._folders.pop(event.watch, None)
            burst.must_rearm |= not folder
        elif not event.mask & _ISDIR:
            self._note_close(path, event)  # of an unfinished name, too: a finished one may come of it
            if not excludes_name(event.name):
                burst.paths[path] = None
                self._take_note(path)
        elif excludes_name(event.name):
            return
        elif event.mask & _MOVED_FROM:
            burst.must_rearm = True  # its watches stay, with paths that are wrong now
            self._folder_moved(path, event)
        elif event.mask & (_CREATE | _MOVED_TO):
            self._folder_moved(path, event)
            self._watch_new(path, burst)

    def _note_close(self, path: str, event: _InotifyEvent) -> None:
        """Look at the file at once: what is written to it from now on shows in its attributes."""
        closed = self._closed_files
        if event.mask & _CLOSE_WRITE:
            closed.closed(path, self._look(path))
        elif event.mask & _ATTRIB:
            closed.attributes_set(path, self._look(path))
        elif event.mask & _MOVED_FROM:
            closed.moved_from(path, event.cookie)
        elif event.mask & _MOVED_TO:
            closed.moved_to(path, event.cookie, self._look(path))
        else:
            closed.forget(path)

    def _look(self, path: str) -> os.stat_result | None:
        with suppress(OSError), closing_fd(root_folders.open_root(self._root)) as root:
            return safe_open.stat_at(root, path)
        return None

    def _take_note(self, path: str) -> None:
        status = self._closed_files.status(path)
        if status is None:
            self._closed.pop(path, None)
        else:
            self._closed[path] = status

    def _folder_moved(self, path: str, event: _InotifyEvent) -> None:
        if event.mask & _MOVED_FROM:
            self._moving_folder = (event.cookie, path)
        elif event.mask & _MOVED_TO and event.cookie == self._moving_folder[0]:
            self._closed_files.folder_moved(self._moving_folder[1], path)

    def _watch_new(self, folder: str, burst: _Burst) -> None:
        try:
            with closing_fd(root_folders.open_root(self._root)) as root:
                self._watch_tree(root, folder, burst)
        except OSError:
            burst.must_rearm = True

    def _watch_tree(self, root: int, top: str, burst: _Burst) -> None:
        """Watch this folder and all below it; their files count as changed."""
        folders = [top]
        while folders:
            folder = folders.pop()
            try:
                self._watch_folder(root, folder, folders, burst)
            except (FileNotFoundError, NotADirectoryError):
                continue  # gone again, or a link now
            except PermissionError:
                burst.needs_scan = True  # a scan cannot read it either, so no event is missed
            except OSError:
                burst.needs_scan, self.complete = True, False  # most likely no watch is left

    def _watch_folder(self, root: int, folder: str, folders: list[str], burst: _Burst) -> None:
        # Watch first, then list: a file created in between is reported twice rather than never.
        with closing_fd(safe_open.open_folder(root, folder, create=False)) as fd:
            mask = _MASK if folder else _MASK | _MOVE_SELF
            self._folders[_inotify_add_watch(self._inotify, b"/proc/self/fd/%d" % fd, mask)] = folder
            with os.scandir(fd) as entries:
                for entry in entries:
                    if excludes_name(entry.name):
                        continue
                    path = posixpath.join(folder, entry.name)
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(path)
                    elif entry.is_file(follow_symlinks=False):
                        burst.paths[path] = None
                        self._take_note(path)

    def _arm(self) -> None:
        """Close the watches and set new ones on all folders; `_needs_scan` is set when some could not be."""
        self._disarm()
        burst = _Burst()
        self._identity = self._root_identity()
        with suppress(OSError):
            if is_network(self._root):
                return
            with closing_fd(root_folders.open_root(self._root)) as root:
                self._inotify = _inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
                self._poll.register(self._inotify, select.POLLIN)
                self._watch_tree(root, "", burst)
        if self._folders:
            self.active, self._needs_scan = True, burst.needs_scan
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


def _parse(data: bytes) -> Iterator[_InotifyEvent]:
    at = 0
    while at < len(data):
        watch, mask, cookie, length = _HEADER.unpack_from(data, at)
        at += _HEADER.size
        yield _InotifyEvent(watch, mask, os.fsdecode(data[at : at + length].rstrip(b"\0")), cookie)
        at += length
