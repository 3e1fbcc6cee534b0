"""What stands behind the mount, and the plain one: a backing folder as it is.

Paths begin with "/" and are relative to the mount; a handle is what `open` and `create` return.
"""

import errno
import os
from contextlib import suppress
from typing import Protocol

from attrs import define

from tests.mounts.faults import refuse
from tests.mounts.volatile import RENAME_NOREPLACE

Figures = dict[str, int]  # by the member names of struct stat or statvfs; times in nanoseconds
Times = tuple[int | None, int | None]  # access, modification, in nanoseconds; None: leave it

# The kernel has opened, created and truncated by itself before it asks, and gives every write its offset.
_NOT_PASSED_ON = os.O_CREAT | os.O_EXCL | os.O_TRUNC | os.O_APPEND | os.O_DIRECT | os.O_NOFOLLOW


class Storage(Protocol):
    """Every method may raise OSError."""

    def getattr(self, path: str | None, handle: int | None) -> Figures: ...
    def entries(self, path: str) -> list[tuple[str, Figures]]: ...
    def mkdir(self, path: str, mode: int) -> None: ...
    def rmdir(self, path: str) -> None: ...
    def unlink(self, path: str) -> None: ...
    def link(self, old: str, new: str) -> None: ...
    def rename(self, old: str, new: str, flags: int) -> None: ...
    def chmod(self, path: str, mode: int) -> None: ...
    def chown(self, path: str, uid: int, gid: int) -> None: ...
    def utimens(self, path: str, times: Times) -> None: ...
    def truncate(self, path: str, size_bytes: int) -> None: ...
    def create(self, path: str, mode: int, flags: int, /) -> int: ...
    def open(self, path: str, flags: int, /) -> int: ...
    def read(self, handle: int, length: int, offset: int) -> bytes: ...
    def write(self, handle: int, data: bytes, offset: int) -> int: ...
    def fsync(self, handle: int, *, data_only: bool) -> None: ...
    def fsyncdir(self, path: str) -> None: ...
    def release(self, handle: int) -> None: ...
    def statfs(self) -> Figures: ...


@define
class Mirror:
    """Passes everything on to a folder."""

    root: str

    def getattr(self, path: str | None, handle: int | None) -> Figures:
        if path is None and handle is not None:
            return _figures(os.fstat(handle))
        return _figures(os.lstat(self._real(path)))

    def entries(self, path: str) -> list[tuple[str, Figures]]:
        entries = []
        with os.scandir(self._real(path)) as items:
            for item in items:
                with suppress(FileNotFoundError):  # removed since the folder was read
                    entries.append((item.name, _figures(item.stat(follow_symlinks=False))))
        return entries

    def mkdir(self, path: str, mode: int) -> None:
        os.mkdir(self._real(path), mode)

    def rmdir(self, path: str) -> None:
        os.rmdir(self._real(path))

    def unlink(self, path: str) -> None:
        os.unlink(self._real(path))

    def link(self, old: str, new: str) -> None:
        os.link(self._real(old), self._real(new))

    def rename(self, old: str, new: str, flags: int) -> None:
        if flags & ~RENAME_NOREPLACE:
            refuse(errno.EINVAL)
        if flags and os.path.lexists(self._real(new)):
            refuse(errno.EEXIST)
        os.rename(self._real(old), self._real(new))

    def chmod(self, path: str, mode: int) -> None:
        os.chmod(self._real(path), mode)

    def chown(self, path: str, uid: int, gid: int) -> None:
        os.chown(self._real(path), uid, gid)

    def utimens(self, path: str, times: Times) -> None:
        status = os.stat(self._real(path))
        atime_ns, mtime_ns = times
        os.utime(
            self._real(path),
            ns=(
                status.st_atime_ns if atime_ns is None else atime_ns,
                status.st_mtime_ns if mtime_ns is None else mtime_ns,
            ),
        )

    def truncate(self, path: str, size_bytes: int) -> None:
        os.truncate(self._real(path), size_bytes)

    def create(self, path: str, mode: int, flags: int) -> int:
        return os.open(self._real(path), flags & ~_NOT_PASSED_ON | os.O_CREAT | os.O_EXCL, mode)

    def open(self, path: str, flags: int) -> int:
        return os.open(self._real(path), flags & ~_NOT_PASSED_ON)

    def read(self, handle: int, length: int, offset: int) -> bytes:
        return os.pread(handle, length, offset)

    def write(self, handle: int, data: bytes, offset: int) -> int:
        return os.pwrite(handle, data, offset)

    def fsync(self, handle: int, *, data_only: bool) -> None:
        (os.fdatasync if data_only else os.fsync)(handle)

    def fsyncdir(self, path: str) -> None:
        folder = os.open(self._real(path), os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def release(self, handle: int) -> None:
        os.close(handle)

    def statfs(self) -> Figures:
        status = os.statvfs(self.root)
        return {name: getattr(status, name) for name in dir(status) if name.startswith("f_")}

    def _real(self, path: str | None) -> str:
        if path is None:
            refuse(errno.ESTALE)
        return self.root + path


def _figures(status: os.stat_result) -> Figures:
    figures = {name: getattr(status, name) for name in dir(status) if name.startswith("st_")}
    return {name: int(figures.get(f"{name}_ns", value)) for name, value in figures.items()}
