"""Opening below a root without ever leaving it: no symbolic link is followed, no "..", no absolute path.

Paths are relative, with "/" between folders and surrogates for undecodable bytes (PEP 383). Errors carry
the relative path as their file name; a link in the way is ENOTDIR (a folder's place) or ELOOP (a file's).
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from agent.fs.descriptors import closing_fd
from agent.fs.libc import with_path
from agent.fs.platform import sync_folder

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def open_root(path: str) -> int:
    """A descriptor of the root folder; links on the way to it are the operator's choice and are followed.

    Raises:
        OSError: it cannot be opened, or is not a folder.
    """
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def make_root(path: str) -> None:
    """Make this folder, and those above it, where missing; it is durable in its parent.

    Raises:
        OSError: it cannot be made.
    """
    parent = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(path):
        if not os.path.isdir(parent):
            make_root(parent)
        with suppress(FileExistsError):  # somebody was faster
            os.mkdir(path)
    # Also when it was there: whoever made it may have been killed before he came to this.
    with suppress(PermissionError), closing_fd(open_root(parent)) as above:
        sync_folder(above)


def open_folder(root_fd: int, relative_folder: str, *, create: bool) -> int:
    """A descriptor of a folder below the root ("": the root itself).

    `create`: missing folders are made, each durable in its parent before anything is put into it.

    Raises:
        ValueError: the path could lead out of the root.
        OSError: it cannot be opened or made.
    """
    names = _names(relative_folder) if relative_folder else []
    with with_path(relative_folder):
        return _descend(root_fd, names, create=create)


def open_at(root_fd: int, relative: str, flags: int, mode: int = 0o666) -> int:
    """A descriptor of a file below the root, opened as open(2) would with `flags`.

    Without O_NONBLOCK in them a named pipe blocks.

    Raises:
        ValueError: the path could lead out of the root.
        OSError: it cannot be opened.
    """
    with parent(root_fd, relative) as (folder, name):
        return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=folder)


def stat_at(root_fd: int, relative: str) -> os.stat_result:
    """What stands at this path below the root; a link is itself.

    Raises:
        ValueError: the path could lead out of the root.
        OSError: nothing stands there, or it cannot be asked.
    """
    with parent(root_fd, relative) as (folder, name):
        return os.stat(name, dir_fd=folder, follow_symlinks=False)


def fsync_parents(root_fd: int, relative: str) -> None:
    """Make the name of what stands at this path below the root durable, and all folders on the way to it.

    Raises:
        ValueError: the path could lead out of the root.
        OSError: nothing stands there, or a folder could not be stored.
    """
    _names(relative)
    fsync_folders(root_fd, {relative.rpartition("/")[0]})


def fsync_folders(root_fd: int, folders: Iterable[str]) -> None:
    """Make durable what stands in these folders below the root ("": the root itself), and the way to them.

    Raises:
        ValueError: a path could lead out of the root.
        OSError: there is no such folder, or it could not be stored.
    """
    ways: set[tuple[str, ...]] = set()
    for folder in folders:
        names = _names(folder) if folder else []
        ways.update(tuple(names[:depth]) for depth in range(len(names) + 1))
    for way in sorted(ways, key=len):
        with with_path("/".join(way)), closing_fd(_descend(root_fd, way, create=False)) as descriptor:
            sync_folder(descriptor)


def unlink_at(root_fd: int, relative: str) -> None:
    """Remove a file below the root, durably; a link is itself.

    Raises:
        ValueError: the path could lead out of the root.
        OSError: it cannot be removed.
    """
    with parent(root_fd, relative) as (folder, name):
        os.unlink(name, dir_fd=folder)
        sync_folder(folder)


@contextmanager
def parent(root_fd: int, relative: str, *, create: bool = False) -> Iterator[tuple[int, str]]:
    """The folder that holds this path, open, and the name in it; `create` as in `open_folder`.

    Raises:
        ValueError: the path could lead out of the root.
        OSError: the folder cannot be opened or made.
    """
    *folders, name = _names(relative)
    with with_path(relative):
        if not folders:
            yield root_fd, name
            return
        with closing_fd(_descend(root_fd, folders, create=create)) as folder:
            yield folder, name


def _names(relative: str) -> list[str]:
    names = relative.split("/")
    if any(name in ("", ".", "..") or "\0" in name for name in names):
        raise ValueError(f"not a plain relative path: {relative!r}")
    return names


def _descend(root_fd: int, names: Sequence[str], *, create: bool) -> int:
    folder = os.open(".", _FOLDER, dir_fd=root_fd)
    for name in names:
        with closing_fd(folder):
            folder = _made(folder, name) if create else os.open(name, _FOLDER, dir_fd=folder)
    return folder


def _made(parent: int, name: str) -> int:
    try:
        return os.open(name, _FOLDER, dir_fd=parent)
    except FileNotFoundError:
        with suppress(FileExistsError):  # another worker was faster, but may not have come to the sync yet
            os.mkdir(name, dir_fd=parent)
        sync_folder(parent)
        return os.open(name, _FOLDER, dir_fd=parent)
