"""Storage that loses at a power cut whatever POSIX does not promise to keep.

Content and size of a file are durable by an fsync or fdatasync of that file, its attributes by an fsync, a
name by an fsync of the folder that holds it. All else is gone after the cut; until then it is seen as usual.

Paths begin with "/". Errors are OSErrors with the number that a kernel would give. Not for use by two threads
at a time.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from typing import NoReturn

from attrs import define, evolve, field, frozen

RENAME_NOREPLACE = 1


@frozen
class Attributes:
    """What stat(2) tells besides the size; times in nanoseconds."""

    mode: int
    uid: int
    gid: int
    atime_ns: int
    mtime_ns: int
    ctime_ns: int


@define(eq=False)
class File:
    """Content as it is seen and as it is durable; `_unsynced` are the ranges where they may differ."""

    number: int
    attributes: Attributes
    content: bytearray = field(factory=bytearray)
    links: int = 1
    _durable: bytearray = field(factory=bytearray, init=False)
    _durable_attributes: Attributes = field(init=False)
    _unsynced: list[tuple[int, int]] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self._durable_attributes = self.attributes

    def write(self, data: bytes, offset: int) -> None:
        self.resize(max(len(self.content), offset + len(data)))
        self.content[offset : offset + len(data)] = data
        self._unsynced.append((offset, offset + len(data)))

    def resize(self, size_bytes: int) -> None:
        if size_bytes < len(self.content):
            self._unsynced.append((size_bytes, len(self.content)))
            del self.content[size_bytes:]
        self.content.extend(bytes(size_bytes - len(self.content)))

    def sync(self, *, data_only: bool) -> None:
        size_bytes = len(self.content)
        del self._durable[size_bytes:]
        self._durable.extend(bytes(size_bytes - len(self._durable)))
        for start, end in self._unsynced:
            self._durable[start : min(end, size_bytes)] = self.content[start : min(end, size_bytes)]
        self._unsynced.clear()
        if not data_only:
            self._durable_attributes = self.attributes

    def after_cut(self) -> "File":
        file = File(self.number, self._durable_attributes, bytearray(self._durable), links=0)
        file._durable = bytearray(self._durable)
        return file


@define(eq=False)
class Folder:
    """The names in it as they are seen, and as they are durable. Its attributes are always durable."""

    number: int
    attributes: Attributes
    entries: "dict[str, File | Folder]" = field(factory=dict)
    durable: "dict[str, File | Folder]" = field(factory=dict)

    def sync(self) -> None:
        self.durable = dict(self.entries)


Node = File | Folder


@define(eq=False)
class Disk:
    """A tree of files and folders; `clock_ns` gives the times that go into their attributes."""

    clock_ns: Callable[[], int]
    root: Folder = field(init=False)
    _last_number: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self.root = Folder(self._number(), self._fresh(stat.S_IFDIR | 0o755))

    def find(self, path: str) -> Node:
        node: Node = self.root
        for name in _names(path):
            if not isinstance(node, Folder):
                _refuse(errno.ENOTDIR, path)
            found = node.entries.get(name)
            if found is None:
                _refuse(errno.ENOENT, path)
            node = found
        return node

    def file(self, path: str) -> File:
        node = self.find(path)
        if isinstance(node, Folder):
            _refuse(errno.EISDIR, path)
        return node

    def folder(self, path: str) -> Folder:
        node = self.find(path)
        if not isinstance(node, Folder):
            _refuse(errno.ENOTDIR, path)
        return node

    def create(self, path: str, mode: int) -> File:
        folder, name = self._place(path)
        file = File(self._number(), self._fresh(stat.S_IFREG | mode & 0o7777))
        folder.entries[name] = file
        self._touch(folder)
        return file

    def mkdir(self, path: str, mode: int) -> None:
        folder, name = self._place(path)
        folder.entries[name] = Folder(self._number(), self._fresh(stat.S_IFDIR | mode & 0o7777))
        self._touch(folder)

    def link(self, old: str, new: str) -> None:
        file = self.file(old)
        folder, name = self._place(new)
        folder.entries[name] = file
        file.links += 1
        self._touch(folder)
        self._changed(file)

    def unlink(self, path: str) -> None:
        file = self.file(path)
        self._remove(path)
        file.links -= 1
        self._changed(file)

    def rmdir(self, path: str) -> None:
        if self.folder(path).entries:
            _refuse(errno.ENOTEMPTY, path)
        self._remove(path)

    def rename(self, old: str, new: str, flags: int = 0) -> None:
        """A folder stays within its folder (EXDEV), which is all that is asked of it here."""
        if flags & ~RENAME_NOREPLACE:
            _refuse(errno.EINVAL, new)
        node = self.find(old)
        source, target = self._parent(old), self._parent(new)
        if isinstance(node, Folder) and source is not target:
            _refuse(errno.EXDEV, new)
        name = _names(new)[-1]
        replaced = target.entries.get(name)
        if replaced is node:
            return
        if replaced is not None:
            self._make_way(node, new, flags)
        self._remove(old)
        target.entries[name] = node
        self._touch(target)
        self._changed(node)

    def write(self, file: File, data: bytes, offset: int) -> None:
        file.write(data, offset)
        self._touch(file)

    def truncate(self, file: File, size_bytes: int) -> None:
        file.resize(size_bytes)
        self._touch(file)

    def alter(self, node: Node, **attributes: int) -> None:
        """Set some of the `Attributes`."""
        node.attributes = evolve(node.attributes, **attributes, ctime_ns=self.clock_ns())

    def sync_all(self) -> None:
        """As an orderly shutdown does."""
        for node in _walk(self.root):
            if isinstance(node, Folder):
                node.sync()
            else:
                node.sync(data_only=False)

    def after_cut(self) -> "Disk":
        """What is there when the power is back."""
        disk = Disk(self.clock_ns)
        disk._last_number = self._last_number
        disk.root = _folder_after_cut(self.root, {})
        return disk

    def _make_way(self, node: Node, path: str, flags: int) -> None:
        if flags & RENAME_NOREPLACE:
            _refuse(errno.EEXIST, path)
        if isinstance(node, Folder):
            self.rmdir(path)
        else:
            self.unlink(path)

    def _place(self, path: str) -> tuple[Folder, str]:
        folder, name = self._parent(path), _names(path)[-1]
        if name in folder.entries:
            _refuse(errno.EEXIST, path)
        return folder, name

    def _parent(self, path: str) -> Folder:
        return self.folder("/" + "/".join(_names(path)[:-1]))

    def _remove(self, path: str) -> None:
        folder = self._parent(path)
        del folder.entries[_names(path)[-1]]
        self._touch(folder)

    def _number(self) -> int:
        self._last_number += 1
        return self._last_number

    def _fresh(self, mode: int) -> Attributes:
        now_ns = self.clock_ns()
        return Attributes(mode, os.geteuid(), os.getegid(), now_ns, now_ns, now_ns)

    def _touch(self, node: Node) -> None:
        self.alter(node, mtime_ns=self.clock_ns())

    def _changed(self, node: Node) -> None:
        self.alter(node)


def _folder_after_cut(folder: Folder, files: dict[int, File]) -> Folder:
    """`files` by number: one with two durable names is one file."""
    survivor = Folder(folder.number, folder.attributes)
    for name, node in folder.durable.items():
        if isinstance(node, Folder):
            survivor.entries[name] = _folder_after_cut(node, files)
        else:
            file = files.get(node.number) or files.setdefault(node.number, node.after_cut())
            file.links += 1
            survivor.entries[name] = file
    survivor.sync()
    return survivor


def _walk(node: Node) -> Iterator[Node]:
    yield node
    if isinstance(node, Folder):
        for entry in node.entries.values():
            yield from _walk(entry)


def _names(path: str) -> list[str]:
    return [name for name in path.split("/") if name]


def _refuse(number: int, path: str) -> NoReturn:
    raise OSError(number, os.strerror(number), path)
