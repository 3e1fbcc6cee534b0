"""Open, create and sync files below a root folder without ever leaving it.

No symbolic link, no ".." and no absolute path is followed. Paths are relative, with "/" between folders and
surrogates for undecodable bytes (PEP 383). Every OSError carries the relative path as its file name.
A symbolic link is ENOTDIR where a folder is expected and ELOOP where a file is expected.
"""

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from attrs import define, field

from agent.fs.platform import fresh_stat, sync_folder
from agent.fs.syscalls import close_unwritten, closing_fd, with_path

_REMOVED = {errno.ENOENT, errno.ESTALE, errno.ENOTDIR}  # what a sync of a removed folder may end with
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def open_root(path: str) -> int:
    """Return a descriptor of the root folder; symbolic links in its own path are the operator's and followed.

    Raises:
        OSError: the path cannot be opened, or is not a folder.
    """
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def make_root(path: str) -> None:
    """Create this folder and its missing parents; its entry in the parent is durable.

    Raises:
        OSError: the folder cannot be created.
    """
    parent = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(path):
        if not os.path.isdir(parent):
            make_root(parent)
        with suppress(FileExistsError):  # another process was faster
            os.mkdir(path)
    # An existing folder is synced too: its creator may have been killed before the sync.
    with suppress(PermissionError), closing_fd(open_root(parent)) as above:
        sync_folder(above)


def open_folder(root_fd: int, relative_folder: str, *, create: bool) -> int:
    """Return a descriptor of a folder below the root ("" is the root itself).

    With `create` missing folders are made. Each is durable in its parent before anything is created in it.

    Raises:
        ValueError: the path could lead out of the root.
        OSError: the folder cannot be opened or created.
    """
    names = _names(relative_folder) if relative_folder else []
    with with_path(relative_folder):
        return _descend(root_fd, names, create=create)


def open_at(root_fd: int, relative: str, flags: int, mode: int = 0o666) -> int:
    """Return a descriptor of a file below the root, opened as open(2) does with `flags`.

    Pass O_NONBLOCK, or opening a named pipe blocks.

    Raises:
        ValueError: the path could lead out of the root.
        OSError: the file cannot be opened.
    """
    with parent(root_fd, relative) as (folder, name):
        return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=folder)


def stat_at(root_fd: int, relative: str) -> os.stat_result:
    """Return the status of this path below the root, of a symbolic link itself, as the server has it.

    Raises:
        ValueError: the path could lead out of the root.
        OSError: the path does not exist, or stat failed.
    """
    with parent(root_fd, relative) as (folder, name):
        return fresh_stat(name, folder)


def make_temporary(root_fd: int, relative: str) -> bool:
    """Create this empty file; one with this name must be ours, and makes way. False: its folder is missing.

    Raises:
        ValueError: the path could lead out of the root.
        OSError: the file cannot be created.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with suppress(FileNotFoundError, NotADirectoryError), parent(root_fd, relative) as (folder, name):
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)
        os.close(os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666, dir_fd=folder))
        return True
    return False


def unlink_at(root_fd: int, relative: str) -> None:
    """Remove a file, or a symbolic link itself, below the root durably.

    Raises:
        ValueError: the path could lead out of the root.
        OSError: the file cannot be removed.
    """
    with parent(root_fd, relative) as (folder, name):
        os.unlink(name, dir_fd=folder)
        sync_folder(folder)


def rmdir_at(root_fd: int, relative: str) -> None:
    """Remove an empty folder below the root durably; a symbolic link is none.

    Raises:
        ValueError: the path could lead out of the root, or is the root.
        OSError: the folder is not empty, or cannot be removed.
    """
    with parent(root_fd, relative) as (folder, name):
        os.rmdir(name, dir_fd=folder)
        sync_folder(folder)


@contextmanager
def parent(root_fd: int, relative: str, *, create: bool = False) -> Iterator[tuple[int, str]]:
    """Yield a descriptor of this path's folder and the last name; `create` as in `open_folder`.

    Raises:
        ValueError: the path could lead out of the root.
        OSError: the folder cannot be opened or created.
    """
    *folders, name = _names(relative)
    with with_path(relative):
        if not folders:
            yield root_fd, name
            return
        with closing_fd(_descend(root_fd, folders, create=create)) as folder:
            yield folder, name


def fsync_parents(root_fd: int, relative: str) -> None:
    """Make this path's entry durable, and those of all folders that lead to it.

    Raises:
        ValueError: the path could lead out of the root.
        OSError: a folder does not exist or could not be stored.
    """
    _names(relative)
    _fsync_folders(root_fd, {relative.rpartition("/")[0]})


@define(eq=False)
class DirSync:
    """Makes entries below an open root durable: one by one, or inside `together` each folder only once."""

    root: int
    _waiting_folders: set[str] | None = field(default=None, init=False)  # None outside `together`
    _held_folders: dict[str, int] = field(
        factory=dict, init=False
    )  # of `together` too, with a descriptor each

    def sync(self, path: str) -> None:
        """As `fsync_parents`; inside `together` the entry is durable when that block ends.

        Raises:
            ValueError: the path could lead out of the root.
            OSError: a folder does not exist or could not be stored.
        """
        if self._waiting_folders is None:
            fsync_parents(self.root, path)
        else:
            self._waiting_folders.add(path.rpartition("/")[0])

    def sync_entry(self, path: str, folder_fd: int) -> None:
        """Make this entry of an open folder durable, whose own entry is; as `sync` inside `together`.

        The folder may have been removed since: then nothing is left to be made durable.

        Raises:
            OSError: the folder could not be stored.
        """
        folder = path.rpartition("/")[0]
        if self._waiting_folders is None:
            self._sync_held(folder, folder_fd)
        else:
            held = os.dup(folder_fd)
            if self._held_folders.setdefault(folder, held) != held:
                close_unwritten(held)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Sync each folder once when the block ends; no folder is synced if the block raises.

        Raises:
            OSError: a folder does not exist or could not be stored.
        """
        folders = self._waiting_folders = set()
        with ExitStack() as closing:
            closing.callback(self._release_held)
            try:
                yield
            finally:
                self._waiting_folders = None
            _fsync_folders(self.root, folders)
            for folder, held in sorted(self._held_folders.items()):
                self._sync_held(folder, held)

    def _release_held(self) -> None:
        while self._held_folders:
            close_unwritten(self._held_folders.popitem()[1])

    def _sync_held(self, folder: str, folder_fd: int) -> None:
        try:
            sync_folder(folder_fd)
        except OSError as error:
            if error.errno not in _REMOVED or self._exists(folder):
                raise

    def _exists(self, folder: str) -> bool:
        if not folder:
            return True
        try:
            stat_at(self.root, folder)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True


def _fsync_folders(root_fd: int, folders: Iterable[str]) -> None:
    """Sync these folders and all above them up to the root ("" is the root itself), parents first."""
    paths: set[tuple[str, ...]] = set()
    for folder in folders:
        names = _names(folder) if folder else []
        paths.update(tuple(names[:depth]) for depth in range(len(names) + 1))
    for path in sorted(paths, key=len):
        with with_path("/".join(path)), closing_fd(_descend(root_fd, path, create=False)) as descriptor:
            sync_folder(descriptor)


def _names(relative: str) -> list[str]:
    names = relative.split("/")
    if any(name in ("", ".", "..") or "\0" in name for name in names):
        raise ValueError(f"not a plain relative path: {relative!r}")
    return names


def _descend(root_fd: int, names: Sequence[str], *, create: bool) -> int:
    folder = os.open(".", _FOLDER, dir_fd=root_fd)
    for name in names:
        with closing_fd(folder):
            folder = _open_or_create(folder, name) if create else os.open(name, _FOLDER, dir_fd=folder)
    return folder


def _open_or_create(parent: int, name: str) -> int:
    try:
        return os.open(name, _FOLDER, dir_fd=parent)
    except FileNotFoundError:
        with suppress(FileExistsError):  # another worker was faster, but may not have synced the parent yet
            os.mkdir(name, dir_fd=parent)
        sync_folder(parent)
        return os.open(name, _FOLDER, dir_fd=parent)
