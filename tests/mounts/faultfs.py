"""A file system in a process of its own that fails as it is told to.

    python -m tests.mounts.faultfs MOUNTPOINT BACKING CONTROL_SOCKET [OPTION]

The options are --volatile, --restore and --cache-attributes. It mirrors the folder BACKING. With --volatile
it is empty at first and forgets at a power cut what was not made durable; what was is kept in BACKING, and
a mount with --restore shows it. Faults are set by JSON lines through the socket (`tests.mounts.control`).
Unless it is volatile the client's page cache is kept from one opening to the next, as network clients keep
theirs. With --cache-attributes the client keeps attributes too.
"""

import errno
import os
import sys
import time
from pathlib import Path

import mfusepy
from attrs import define

from tests.mounts import control
from tests.mounts.faults import Faults, refuse
from tests.mounts.memory import Memory
from tests.mounts.storage import Figures, Mirror, Storage

THREADS = 128  # each operation that hangs holds one
CAP_AUTO_INVAL_DATA = 1 << 12  # linux/fuse.h: drop the cache when the server's times move
UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2  # in place of nanoseconds; linux/stat.h
LONG_S = 3600.0
WRITING = os.O_WRONLY | os.O_RDWR


class Fuse(mfusepy.FUSE):
    """Hands the flags of renameat2(2) on, which its base drops."""

    def rename_fuse_3(self, old: bytes, new: bytes, flags: int) -> int:
        return int(self.operations.rename(os.fsdecode(old), os.fsdecode(new), flags))


@define(eq=False)
class Shell:
    """The operations of FUSE: each asks the faults first, then the storage."""

    storage: Storage
    faults: Faults
    keeps_cache: bool
    attribute_timeout_s: float
    use_ns: bool = True

    def init_with_config(self, conn: mfusepy.fuse_conn_info, config: mfusepy.fuse_config) -> None:
        conn.want &= ~CAP_AUTO_INVAL_DATA
        config.kernel_cache = int(self.keeps_cache)
        config.use_ino = config.hard_remove = 1
        config.negative_timeout = 0.0
        config.entry_timeout = config.attr_timeout = self.attribute_timeout_s  # a look-up asks for both

    def getattr(self, path: str | None, handle: int | None = None) -> Figures:
        self.faults.admit("getattr", path or "")
        return self.storage.getattr(path, handle)

    def access(self, path: str, mode: int) -> int:
        self.faults.admit("access", path)
        if mode & os.W_OK:
            self.faults.refuse_writing()
        return 0

    def statfs(self, path: str) -> Figures:
        self.faults.admit("statfs", path)
        figures = self.storage.statfs()
        free_blocks = self.faults.free_bytes(figures["f_bavail"] * figures["f_frsize"]) // figures["f_frsize"]
        name_max = self.faults.allowed_name_bytes(figures["f_namemax"])
        return {**figures, "f_bavail": free_blocks, "f_bfree": free_blocks, "f_namemax": name_max}

    def opendir(self, path: str) -> int:
        self.faults.admit("opendir", path)
        return 0

    def readdir(self, path: str, _handle: int) -> list[tuple[str, Figures, int]]:
        self.faults.admit("readdir", path)
        return [(name, figures, 0) for name, figures in self.storage.entries(path)]

    def fsyncdir(self, path: str, _data_only: int, _handle: int) -> int:
        self.faults.admit("fsyncdir", path)
        self.storage.fsyncdir(path)
        return 0

    def mkdir(self, path: str, mode: int) -> int:
        self.faults.admit("mkdir", path)
        self.storage.mkdir(path, mode)
        return 0

    def rmdir(self, path: str) -> int:
        self.faults.admit("rmdir", path)
        self.storage.rmdir(path)
        return 0

    def unlink(self, path: str) -> int:
        self.faults.admit("unlink", path)
        figures = self.storage.getattr(path, None)
        self.storage.unlink(path)
        if figures["st_nlink"] == 1:
            self.faults.spend(-figures["st_size"])
        return 0

    def link(self, new: str, old: str) -> int:
        self.faults.admit("link", new)
        self.storage.link(old, new)
        return 0

    def rename(self, old: str, new: str, flags: int) -> int:
        self.faults.admit("rename", new)
        self.storage.rename(old, new, flags)
        return 0

    def chmod(self, path: str, mode: int) -> int:
        self.faults.admit("chmod", path)
        self.storage.chmod(path, mode)
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        self.faults.admit("chown", path)
        self.storage.chown(path, uid, gid)
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        self.faults.admit("utimens", path)
        atime_ns, mtime_ns = times or (UTIME_NOW, UTIME_NOW)
        self.storage.utimens(path, (_meant(atime_ns), _meant(mtime_ns)))
        return 0

    def truncate(self, path: str | None, size_bytes: int) -> int:
        if path is None:
            refuse(errno.ESTALE)
        self.faults.admit("truncate", path)
        self.faults.spend(size_bytes - self.storage.getattr(path, None)["st_size"])
        self.storage.truncate(path, size_bytes)
        return 0

    def create(self, path: str, mode: int, flags: int) -> int:
        self.faults.admit("create", path)
        return self.storage.create(path, mode, flags)

    def open(self, path: str, flags: int) -> int:
        self.faults.admit("open", path)
        if flags & WRITING:
            self.faults.refuse_writing()
        if flags & os.O_TRUNC:
            self.truncate(path, 0)
        return self.storage.open(path, flags)

    def read(self, path: str | None, length: int, offset: int, handle: int) -> bytes:
        self.faults.admit("read", path or "")
        data = self.storage.read(handle, length, offset)
        self.faults.crawl(len(data))
        return data

    def write(self, path: str | None, data: bytes, offset: int, handle: int) -> int:
        self.faults.admit("write", path or "")
        accepted = self.faults.accepted((path or "").lstrip("/"), data, offset)
        size_bytes = self.storage.getattr(None, handle)["st_size"]
        self.faults.spend(max(0, offset + len(accepted) - size_bytes))
        self.faults.crawl(len(accepted))
        self.faults.note_written(len(accepted))
        return self.storage.write(handle, accepted, offset)

    def flush(self, path: str | None, _handle: int) -> int:
        self.faults.admit("flush", path or "")
        return 0

    def fsync(self, path: str | None, data_only: int, handle: int) -> int:
        self.faults.admit("fsync", path or "")
        self.faults.crawl_at_sync()
        self.storage.fsync(handle, data_only=bool(data_only))
        return 0

    def release(self, _path: str | None, handle: int) -> int:
        self.storage.release(handle)
        return 0


def _meant(time_ns: int) -> int | None:
    if time_ns == UTIME_OMIT:
        return None
    return time.time_ns() if time_ns == UTIME_NOW else time_ns


def _mount(storage: Storage, faults: Faults, mountpoint: str, attribute_timeout_s: float = 0.0) -> None:
    """Serve until it is unmounted."""
    is_steady = isinstance(storage, Mirror)  # content may otherwise be lost behind the client's back
    Fuse(
        Shell(storage, faults, is_steady, attribute_timeout_s),
        mountpoint,
        foreground=True,
        encoding=sys.getfilesystemencoding(),
        fsname="faultfs",
        subtype="faultfs",
        max_threads=THREADS,
        max_idle_threads=THREADS,
    )


def main(mountpoint: str, backing: str, control_socket: str, *options: str) -> None:
    os.umask(0)  # the client's has been applied already
    faults = Faults()
    if options in ((), ("--cache-attributes",)):
        with control.serving(control_socket, faults, None):
            _mount(Mirror(backing), faults, mountpoint, LONG_S if options else 0.0)
        return
    storage = (Memory.restored if options == ("--restore",) else Memory.fresh)(Path(backing))
    with control.serving(control_socket, faults, storage):
        _mount(storage, faults, mountpoint)
    if not faults.is_cut:
        storage.sync_all()
    storage.save()


if __name__ == "__main__":
    main(*sys.argv[1:])
