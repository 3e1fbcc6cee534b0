"""Storage behind the mount that forgets at a power cut: the model, for many threads, kept between mounts."""

import pickle
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import define, field

from tests.mounts.storage import Figures, Times
from tests.mounts.volatile import Disk, File, Folder, Node

BLOCK_BYTES = 4096
SIZE_BYTES = 64 << 30  # nothing here asks for more


@define(eq=False)
class Memory:
    """What is durable is kept as a picture from one mount to the next."""

    picture: Path
    disk: Disk
    _handles: dict[int, File] = field(factory=dict, init=False)
    _last_handle: int = field(default=0, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    @classmethod
    def fresh(cls, backing: Path) -> "Memory":
        return cls(backing / "picture", Disk(time.time_ns))

    @classmethod
    def restored(cls, backing: Path) -> "Memory":
        """What was durable when `save` was called."""
        picture = backing / "picture"
        disk: Disk = pickle.loads(picture.read_bytes())  # noqa: S301  `save` wrote it
        return cls(picture, disk)

    def save(self) -> None:
        self.picture.write_bytes(pickle.dumps(self.disk.after_cut()))

    def sync_all(self) -> None:
        with self._lock:
            self.disk.sync_all()

    def getattr(self, path: str | None, handle: int | None) -> Figures:
        with self._lock:
            if path is None and handle is not None:
                return _figures(self._handles[handle])
            return _figures(self.disk.find(path or ""))

    def entries(self, path: str) -> list[tuple[str, Figures]]:
        with self._lock:
            return [(name, _figures(node)) for name, node in self.disk.folder(path).entries.items()]

    def mkdir(self, path: str, mode: int) -> None:
        with self._lock:
            self.disk.mkdir(path, mode)

    def rmdir(self, path: str) -> None:
        with self._lock:
            self.disk.rmdir(path)

    def unlink(self, path: str) -> None:
        with self._lock:
            self.disk.unlink(path)

    def link(self, old: str, new: str) -> None:
        with self._lock:
            self.disk.link(old, new)

    def rename(self, old: str, new: str, flags: int) -> None:
        with self._lock:
            self.disk.rename(old, new, flags)

    def chmod(self, path: str, mode: int) -> None:
        with self._altering(path) as node:
            kind = stat.S_IFMT(node.attributes.mode)
            self.disk.alter(node, mode=kind | stat.S_IMODE(mode))

    def chown(self, path: str, uid: int, gid: int) -> None:
        with self._altering(path) as node:
            given = {"uid": uid, "gid": gid}
            self.disk.alter(node, **{name: number for name, number in given.items() if number != 0xFFFFFFFF})

    def utimens(self, path: str, times: Times) -> None:
        with self._altering(path) as node:
            given = dict(zip(("atime_ns", "mtime_ns"), times, strict=True))
            self.disk.alter(node, **{name: at_ns for name, at_ns in given.items() if at_ns is not None})

    def truncate(self, path: str, size_bytes: int) -> None:
        with self._lock:
            self.disk.truncate(self.disk.file(path), size_bytes)

    def create(self, path: str, mode: int, _flags: int) -> int:
        with self._lock:
            return self._opened(self.disk.create(path, mode))

    def open(self, path: str, _flags: int) -> int:
        with self._lock:
            return self._opened(self.disk.file(path))

    def read(self, handle: int, length: int, offset: int) -> bytes:
        with self._lock:
            return bytes(self._handles[handle].content[offset : offset + length])

    def write(self, handle: int, data: bytes, offset: int) -> int:
        with self._lock:
            self.disk.write(self._handles[handle], data, offset)
            return len(data)

    def fsync(self, handle: int, *, data_only: bool) -> None:
        with self._lock:
            self._handles[handle].sync(data_only=data_only)

    def fsyncdir(self, path: str) -> None:
        with self._lock:
            self.disk.folder(path).sync()

    def release(self, handle: int) -> None:
        with self._lock:
            del self._handles[handle]

    def statfs(self) -> Figures:
        blocks = SIZE_BYTES // BLOCK_BYTES
        return {
            "f_bsize": BLOCK_BYTES,
            "f_frsize": BLOCK_BYTES,
            "f_blocks": blocks,
            "f_bfree": blocks,
            "f_bavail": blocks,
            "f_namemax": 255,
        }

    def _opened(self, file: File) -> int:
        self._last_handle += 1
        self._handles[self._last_handle] = file
        return self._last_handle

    @contextmanager
    def _altering(self, path: str) -> Iterator[Node]:
        with self._lock:
            yield self.disk.find(path)


def _figures(node: Node) -> Figures:
    attributes = node.attributes
    size_bytes = BLOCK_BYTES if isinstance(node, Folder) else len(node.content)
    return {
        "st_ino": node.number,
        "st_mode": attributes.mode,
        "st_uid": attributes.uid,
        "st_gid": attributes.gid,
        "st_nlink": 2 if isinstance(node, Folder) else node.links,
        "st_size": size_bytes,
        "st_blocks": -(-size_bytes // 512),
        "st_atime": attributes.atime_ns,
        "st_mtime": attributes.mtime_ns,
        "st_ctime": attributes.ctime_ns,
    }
